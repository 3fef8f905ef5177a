//! Concurrent, incremental tri-colour marking.
//!
//! White cells are unmarked, grey ones wait in the marker, black ones were visited. Mutators run between and during steps. The snapshot at the
//! beginning keeps this sound (Yuasa 1990): whatever a mutator overwrites arrives through `shade` and turns grey, so everything that was reachable
//! when the cycle began ends up black; what was allocated since is young, and the host keeps it.
//!
//! The host paces: it sets the budget so that a step takes about a millisecond and sleeps in between to keep the collector's share of
//! the processor. `slice-percent` makes the steps of this strategy shorter or longer than that.
//!
//! In a cycle over nodes the same marking finds garbage cycles that span them: what was reached here and lives elsewhere is told when nothing is
//! left to mark, and what others reach here arrives through `shade`.

use gc_sdk::telemetry::{Level, log};
use gc_sdk::{
    Cell, Completeness, CycleInfo, DefaultValue, Error, Graph, Info, Marker, Need, OptionSpec, Options,
    Outcome, Progress, Shape, Strategy, Verdict,
};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "slice-percent",
        doc: "Length of a step, in percent of the host's budget: less holds the processor for shorter, more crosses less often.",
        default: DefaultValue::Integer(100),
    },
    OptionSpec {
        name: "log-cycles",
        doc: "Whether to write a line per cycle to the node's log.",
        default: DefaultValue::Boolean(false),
    },
];

/// The collector.
pub struct Tracing {
    marker: Marker,
    slice_percent: u32,
    log_cycles: bool,
    steps: u32,
    shaded: u64,
}

impl Strategy for Tracing {
    const INFO: Info = Info {
        needs: &[Need::ClusterMark],
        completeness: Completeness::All(1),
        options: OPTIONS,
        ..Info::new(
            "tracing",
            env!("CARGO_PKG_VERSION"),
            "Marks concurrently in small steps, and frees what it did not reach.",
        )
    };

    fn new(options: &Options, shape: Shape) -> Result<Tracing, Error> {
        let slice_percent = options.integer("slice-percent");
        if !(1..=1000).contains(&slice_percent) {
            let message = format!("slice-percent is {slice_percent}: set it between 1 and 1000");
            return Err(Error::InvalidOption(message));
        }
        Ok(Tracing {
            marker: Marker::new(shape),
            slice_percent: slice_percent as u32,
            log_cycles: options.boolean("log-cycles"),
            steps: 0,
            shaded: 0,
        })
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Error> {
        self.marker.begin(cycle);
        self.steps = 0;
        self.shaded = 0;
        Ok(())
    }

    fn roots(&mut self, cells: &[Cell]) {
        self.marker.add(cells);
    }

    fn shade(&mut self, cells: &[Cell]) -> bool {
        self.shaded += cells.len() as u64;
        self.marker.add(cells)
    }

    fn step(&mut self, graph: &impl Graph, budget: u32) -> Result<Progress, Error> {
        self.steps += 1;
        let budget = u64::from(budget) * u64::from(self.slice_percent) / 100;
        Ok(self.marker.run(graph, u32::try_from(budget).unwrap_or(u32::MAX).max(1)))
    }

    fn take_reached(&mut self) -> Vec<Cell> {
        self.marker.take_reached()
    }

    fn finish(&mut self, _graph: &impl Graph) -> Result<Verdict, Error> {
        Ok(Verdict::Survivors(self.marker.survivors()))
    }

    fn settled(&mut self, outcome: &Outcome) {
        if self.log_cycles {
            let (steps, shaded, condemned) = (self.steps, self.shaded, outcome.condemned_cells);
            log(Level::Info, &format!("steps={steps} shaded={shaded} condemned_cells={condemned}"));
        }
    }
}

gc_sdk::export_strategy!(Tracing);
