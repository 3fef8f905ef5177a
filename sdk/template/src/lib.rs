//! @NAME@: marks everything reachable from the roots, and lets the rest go. Change it into the collector that you have in mind.

use gc_sdk::{
    Cell, Completeness, CycleInfo, Error, Graph, Info, Marker, Options, Progress, Shape, Strategy, Verdict,
};

/// The collector.
pub struct Collector {
    marker: Marker,
}

impl Strategy for Collector {
    const INFO: Info = Info {
        completeness: Completeness::All(1),
        ..Info::new("@NAME@", env!("CARGO_PKG_VERSION"), "Marks everything reachable and frees the rest.")
    };

    fn new(_options: &Options, shape: Shape) -> Result<Collector, Error> {
        Ok(Collector { marker: Marker::new(shape) })
    }

    fn begin(&mut self, _cycle: &CycleInfo) -> Result<(), Error> {
        self.marker.clear();
        Ok(())
    }

    fn roots(&mut self, cells: &[Cell]) {
        self.marker.add(cells);
    }

    fn shade(&mut self, cells: &[Cell]) -> bool {
        self.marker.add(cells)
    }

    fn step(&mut self, graph: &impl Graph, budget: u32) -> Result<Progress, Error> {
        Ok(self.marker.run(graph, budget))
    }

    fn finish(&mut self, _graph: &impl Graph) -> Result<Verdict, Error> {
        Ok(Verdict::Survivors(self.marker.survivors()))
    }
}

gc_sdk::export_strategy!(Collector);
