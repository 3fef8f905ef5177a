//! Two instances that are told the same and must answer the same.

use gc_heap::{Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict};

use crate::source::Attached;

/// See the module. The answers of the first one count.
pub(crate) struct Twin {
    one: Attached,
    other: Attached,
    identity: StrategyIdentity,
}

impl Twin {
    pub(crate) fn new(mut one: Attached, other: Attached) -> Twin {
        let identity = one.strategy().identity().clone();
        Twin { one, other, identity }
    }

    fn both<R: PartialEq>(
        &mut self,
        what: &str,
        call: impl Fn(&mut dyn Strategy) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let answer = call(self.one.strategy())?;
        match call(self.other.strategy())? == answer {
            true => Ok(answer),
            false => Err(Fault::Nonsense(format!(
                "two instances that were told the same answered {what} differently"
            ))),
        }
    }
}

impl Strategy for Twin {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    fn needs(&self) -> Needs {
        match &self.one {
            Attached::Native(strategy) => strategy.needs(),
            Attached::Wasm(strategy) => strategy.needs(),
        }
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.both("begin", |strategy| strategy.begin(cycle))
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.both("roots", |strategy| strategy.roots(cells))
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.both("changed", |strategy| strategy.changed(changes))
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.both("retired", |strategy| strategy.retired(cells, grace_epochs))
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.both("shade", |strategy| strategy.shade(cells))
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        self.both("step", |strategy| strategy.step(budget))
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        self.both("what it reached", |strategy| strategy.take_reached())
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.both("finish", |strategy| strategy.finish())
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.both("settled", |strategy| strategy.settled(outcome))
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        self.both("inspect", |strategy| strategy.inspect())
    }
}
