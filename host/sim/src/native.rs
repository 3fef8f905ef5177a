//! The built-in strategies as native code: the same sources as the components, over the columns of the heap itself.

use std::sync::Arc;

use gc_heap::{
    Cause, Change, CycleInfo, Fault, Graph, Heap, Needs, Outcome, Progress, Strategy, StrategyIdentity,
    Verdict,
};
use gc_sdk::graph::Columns;
use gc_sdk::{Changes, Need, Options, RetiredCells, Shape};

/// A strategy of the SDK as one of the heap.
pub(crate) struct Native<S> {
    strategy: S,
    graph: Arc<Graph>,
    identity: StrategyIdentity,
}

impl<S: gc_sdk::Strategy> Native<S> {
    /// An instance with the defaults of its options.
    ///
    /// # Panics
    /// When it does not take its own defaults.
    pub(crate) fn new(heap: &Heap) -> Native<S> {
        let graph = Arc::clone(heap.graph());
        let options = Options::defaults(&S::INFO);
        let strategy = S::new(&options, Shape { capacity: graph.capacity() });
        let identity = StrategyIdentity {
            name: S::INFO.name.into(),
            version: S::INFO.version.into(),
            digest: "native".into(),
        };
        Native { strategy: strategy.expect("a strategy takes its own defaults"), graph, identity }
    }
}

fn fault(error: gc_sdk::Error) -> Fault {
    match error {
        gc_sdk::Error::OutOfMemory => Fault::OutOfMemory(error.to_string()),
        gc_sdk::Error::InvalidOption(_) | gc_sdk::Error::Other(_) => Fault::Error(error.to_string()),
    }
}

fn columns(graph: &Graph) -> Columns<'_> {
    Columns { cells: graph.cells(), allocated: graph.allocated(), young: graph.young(), stub: graph.stub() }
}

fn cause(cause: Cause) -> gc_sdk::Cause {
    match cause {
        Cause::Goal => gc_sdk::Cause::Goal,
        Cause::Full => gc_sdk::Cause::Full,
        Cause::Request => gc_sdk::Cause::Request,
        Cause::Idle => gc_sdk::Cause::Idle,
        Cause::Rehearsal => gc_sdk::Cause::Rehearsal,
        Cause::Cluster => gc_sdk::Cause::Cluster,
    }
}

impl<S: gc_sdk::Strategy> Strategy for Native<S> {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    fn needs(&self) -> Needs {
        let needs = |need| S::INFO.needs(need);
        Needs {
            change_log: needs(Need::ChangeLog),
            retired: needs(Need::Retired),
            cluster_mark: needs(Need::ClusterMark),
        }
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        let info = gc_sdk::CycleInfo {
            number: cycle.number,
            cause: cause(cycle.cause),
            rebuild: cycle.rebuild,
            allocated_cells: cycle.allocated_cells,
            goal_cells: cycle.goal_cells,
            safe_grace_epoch: cycle.safe_grace_epoch,
        };
        self.strategy.begin(&info).map_err(fault)
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.strategy.roots(cells);
        Ok(())
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.strategy.changed(Changes::new(changes.as_flattened()));
        Ok(())
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.strategy.retired(RetiredCells::new(cells, grace_epochs));
        Ok(())
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        Ok(self.strategy.shade(cells))
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        let progress = self.strategy.step(&columns(&self.graph), budget).map_err(fault)?;
        Ok(match progress {
            gc_sdk::Progress::More => Progress::More,
            gc_sdk::Progress::Idle => Progress::Idle,
        })
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        Ok(self.strategy.take_reached())
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(match self.strategy.finish(&columns(&self.graph)).map_err(fault)? {
            gc_sdk::Verdict::KeepAll => Verdict::KeepAll,
            gc_sdk::Verdict::Survivors(words) => Verdict::Survivors(words),
            gc_sdk::Verdict::Condemned(cells) => Verdict::Condemned(cells),
        })
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        let &Outcome { accepted, condemned_cells, withheld_cells } = outcome;
        self.strategy.settled(&gc_sdk::Outcome { accepted, condemned_cells, withheld_cells });
        Ok(())
    }
}
