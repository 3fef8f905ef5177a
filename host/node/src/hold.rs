//! The strategy that frees nothing: what serves when nobody sound is left.
//!
//! Native, so that it needs no code to be loaded, no memory and no window, and cannot trap. Mutators go on until the heap is full.

use gc_heap::{Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict};

/// See the module.
#[derive(Debug)]
pub struct Hold {
    identity: StrategyIdentity,
}

impl Hold {
    /// Its name: `hold`.
    pub const NAME: &'static str = "hold";

    /// A new one.
    #[must_use]
    pub fn new() -> Hold {
        Hold {
            identity: StrategyIdentity {
                name: Hold::NAME.into(),
                version: env!("CARGO_PKG_VERSION").into(),
                digest: "native".into(),
            },
        }
    }
}

impl Default for Hold {
    fn default() -> Hold {
        Hold::new()
    }
}

impl Strategy for Hold {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        Ok(())
    }

    fn roots(&mut self, _: &[u32]) -> Result<(), Fault> {
        Ok(())
    }

    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }

    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }

    fn shade(&mut self, _: &[u32]) -> Result<bool, Fault> {
        Ok(false)
    }

    fn step(&mut self, _: u32) -> Result<Progress, Fault> {
        Ok(Progress::Idle)
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(Verdict::KeepAll)
    }

    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}
