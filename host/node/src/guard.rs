//! A native strategy that panics when it is called is a strategy that trapped: the collector thread goes on. One that panics while it is made cannot be
//! loaded: see [`crate::crew::Workshop::make`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gc_heap::{Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict};

/// Turns panics of the strategy inside into faults. After a fault it is not called again, so that whatever the panic left half done is never seen.
pub(crate) struct Guarded {
    identity: StrategyIdentity,
    needs: Needs,
    inside: Box<dyn Strategy + Send>,
}

impl Guarded {
    pub(crate) fn new(inside: Box<dyn Strategy + Send>) -> Guarded {
        Guarded { identity: inside.identity().clone(), needs: inside.needs(), inside }
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut dyn Strategy) -> Result<R, Fault>) -> Result<R, Fault> {
        catch_unwind(AssertUnwindSafe(|| call(self.inside.as_mut())))
            .unwrap_or_else(|panic| Err(Fault::Trap(said(panic.as_ref()))))
    }
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

impl Strategy for Guarded {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    fn needs(&self) -> Needs {
        self.needs
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.call(|inside| inside.begin(cycle))
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.call(|inside| inside.roots(cells))
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.call(|inside| inside.changed(changes))
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.call(|inside| inside.retired(cells, grace_epochs))
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.call(|inside| inside.shade(cells))
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        self.call(|inside| inside.step(budget))
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        self.call(|inside| inside.take_reached())
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.call(|inside| inside.finish())
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.call(|inside| inside.settled(outcome))
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        self.call(|inside| inside.inspect())
    }
}
