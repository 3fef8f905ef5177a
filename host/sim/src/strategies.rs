//! Which strategies collect, and two ways to make them worse for tests.

use gc_heap::{
    Change, CycleInfo, Fault, Heap, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};
use gc_surroundings::Random;

use crate::native::Native;

/// What collects at a node.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Takes part in cycles over nodes.
    Tracing,
    /// Takes part in cycles over nodes.
    MarkSweep,
    /// Does not.
    Refcount,
    /// Tracing that keeps to itself some of the stubs that it reached.
    Forgetful,
}

/// Makes a strategy for a heap, in the thread that collects.
pub type Make = fn(Kind, &Heap) -> Box<dyn Strategy>;

/// The strategies as native code.
#[must_use]
pub fn native(kind: Kind, heap: &Heap) -> Box<dyn Strategy> {
    match kind {
        Kind::Tracing | Kind::Forgetful => Box::new(Native::<gc_strategy_tracing::Tracing>::new(heap)),
        Kind::MarkSweep => Box::new(Native::<gc_strategy_mark_sweep::MarkSweep>::new(heap)),
        Kind::Refcount => Box::new(Native::<gc_strategy_refcount::Refcount>::new(heap)),
    }
}

/// The strategies as WebAssembly.
///
/// # Panics
/// When a built-in strategy cannot be loaded.
#[cfg(feature = "wasm")]
#[must_use]
pub fn wasm(kind: Kind, heap: &Heap) -> Box<dyn Strategy> {
    crate::wasm::make(kind, heap)
}

/// A strategy whose steps are as long as the seed says: the heap makes them as long as the clock says, which is another length each time.
pub(crate) struct Paced {
    inner: Box<dyn Strategy>,
    random: Random,
    /// Stubs of a hundred that are not told.
    forgets_percent: u64,
}

impl Paced {
    pub(crate) fn new(inner: Box<dyn Strategy>, kind: Kind, seed: u64) -> Paced {
        let forgets_percent = if kind == Kind::Forgetful { 25 } else { 0 };
        Paced { inner, random: Random::new(seed), forgets_percent }
    }
}

impl Strategy for Paced {
    fn identity(&self) -> &StrategyIdentity {
        self.inner.identity()
    }
    fn needs(&self) -> Needs {
        self.inner.needs()
    }
    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.inner.begin(cycle)
    }
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.inner.roots(cells)
    }
    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.inner.changed(changes)
    }
    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.inner.retired(cells, grace_epochs)
    }
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.inner.shade(cells)
    }
    fn step(&mut self, _: u32) -> Result<Progress, Fault> {
        let budget = self.random.between(1, 16) as u32;
        self.inner.step(budget)
    }
    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        let mut reached = self.inner.take_reached()?;
        let percent = self.forgets_percent;
        reached.retain(|_| percent == 0 || !self.random.percent(percent));
        Ok(reached)
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.inner.finish()
    }
    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.inner.settled(outcome)
    }
    fn inspect(&mut self) -> Result<(), Fault> {
        self.inner.inspect()
    }
}
