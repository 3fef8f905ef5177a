//! Mark and sweep: marks everything reachable from the roots, and lets the rest go.

use gc_sdk::{
    Cell, Completeness, CycleInfo, Error, Graph, Info, Marker, Need, Options, Progress, Shape, Strategy,
    Verdict,
};

/// The collector: a marker, and nothing that outlives a cycle.
pub struct MarkSweep {
    marker: Marker,
}

impl Strategy for MarkSweep {
    const INFO: Info = Info {
        needs: &[Need::ClusterMark],
        completeness: Completeness::All(1),
        ..Info::new(
            "mark-sweep",
            env!("CARGO_PKG_VERSION"),
            "Marks everything reachable and frees the rest, cycle by cycle.",
        )
    };

    fn new(_options: &Options, shape: Shape) -> Result<MarkSweep, Error> {
        Ok(MarkSweep { marker: Marker::new(shape) })
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Error> {
        self.marker.begin(cycle);
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

    fn take_reached(&mut self) -> Vec<Cell> {
        self.marker.take_reached()
    }

    fn finish(&mut self, _graph: &impl Graph) -> Result<Verdict, Error> {
        Ok(Verdict::Survivors(self.marker.survivors()))
    }
}

gc_sdk::export_strategy!(MarkSweep);
