//! Epoch-based reclamation: frees what mutators retired once every scope that could still hold it has ended. Nothing else.
//!
//! The host stamps each retired cell with its grace epoch and says in `begin` below which epoch nobody is left. Fraser 2004, chapter 5.
//! An object that is retired while something still refers to it is a broken promise of the mutator: the host's proof keeps it.

use gc_sdk::{
    Cell, Completeness, CycleInfo, Error, Graph, Info, Need, Options, RetiredCells, Shape, Strategy, Verdict,
};

/// The collector: the retired cells of the running cycle that may go.
pub struct Epoch {
    safe_grace_epoch: u64,
    condemned: Vec<Cell>,
}

impl Strategy for Epoch {
    const INFO: Info = Info {
        needs: &[Need::Retired],
        completeness: Completeness::Retired(1),
        ..Info::new(
            "epoch",
            env!("CARGO_PKG_VERSION"),
            "Frees what was retired, when no scope can hold it any more.",
        )
    };

    fn new(_options: &Options, _shape: Shape) -> Result<Epoch, Error> {
        Ok(Epoch { safe_grace_epoch: 0, condemned: Vec::new() })
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Error> {
        self.safe_grace_epoch = cycle.safe_grace_epoch;
        self.condemned.clear();
        Ok(())
    }

    fn retired(&mut self, retired: RetiredCells<'_>) {
        let safe = |&(_, grace_epoch): &(Cell, u64)| grace_epoch < self.safe_grace_epoch;
        self.condemned.extend(retired.iter().filter(safe).map(|(cell, _)| cell));
    }

    fn finish(&mut self, _graph: &impl Graph) -> Result<Verdict, Error> {
        Ok(Verdict::Condemned(std::mem::take(&mut self.condemned)))
    }
}

gc_sdk::export_strategy!(Epoch);
