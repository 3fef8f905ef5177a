//! A strategy that answers what it is told to answer, and writes down what it was told; and small heaps to try it on.

use gc_heap::{
    Cause, Change, Collector, CycleInfo, CycleReport, CycleRequest, Fault, Handle, Heap, HeapConfig, Needs,
    Outcome, Pace, Progress, Quarantine, Scope, Strategy, StrategyIdentity, Verdict,
};

use super::identity;

/// What the strategy was told in one cycle.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) info: CycleInfo,
    pub(crate) roots: Vec<u32>,
    pub(crate) changes: Vec<Change>,
    pub(crate) retired: Vec<(u32, u64)>,
    pub(crate) shaded: Vec<u32>,
    pub(crate) outcome: Option<Outcome>,
}

/// See the module. Everything may be changed between cycles.
pub(crate) struct Scripted {
    identity: StrategyIdentity,
    pub(crate) needs: Needs,
    pub(crate) verdict: Verdict,
    pub(crate) progress: Progress,
    /// Called when a cycle begins, after the handshakes, and when it asks for the verdict: for what mutators do meanwhile.
    pub(crate) at_begin: Box<dyn FnMut()>,
    pub(crate) at_finish: Box<dyn FnMut()>,
    /// What it says that it has reached, once.
    pub(crate) reached: Vec<u32>,
    /// One for each cycle, oldest first.
    pub(crate) told: Vec<Told>,
}

impl Scripted {
    pub(crate) fn new(verdict: Verdict) -> Scripted {
        Scripted {
            identity: identity("scripted"),
            needs: Needs::default(),
            verdict,
            progress: Progress::Idle,
            at_begin: Box::new(|| ()),
            at_finish: Box::new(|| ()),
            reached: Vec::new(),
            told: Vec::new(),
        }
    }

    pub(crate) fn over_nodes(verdict: Verdict) -> Scripted {
        Scripted { needs: Needs { cluster_mark: true, ..Needs::default() }, ..Scripted::new(verdict) }
    }

    pub(crate) fn with_changes(verdict: Verdict) -> Scripted {
        Scripted { needs: Needs { change_log: true, ..Needs::default() }, ..Scripted::new(verdict) }
    }

    pub(crate) fn with_retired(verdict: Verdict) -> Scripted {
        Scripted { needs: Needs { retired: true, ..Needs::default() }, ..Scripted::new(verdict) }
    }

    /// What it was told in the last cycle.
    pub(crate) fn last(&mut self) -> &mut Told {
        self.told.last_mut().expect("a cycle has begun")
    }
}

impl Strategy for Scripted {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }
    fn needs(&self) -> Needs {
        self.needs
    }
    fn begin(&mut self, info: &CycleInfo) -> Result<(), Fault> {
        self.told.push(Told {
            info: *info,
            roots: Vec::new(),
            changes: Vec::new(),
            retired: Vec::new(),
            shaded: Vec::new(),
            outcome: None,
        });
        (self.at_begin)();
        Ok(())
    }
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.last().roots.extend(cells);
        Ok(())
    }
    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.last().changes.extend(changes);
        Ok(())
    }
    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.last().retired.extend(cells.iter().copied().zip(grace_epochs.iter().copied()));
        Ok(())
    }
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.last().shaded.extend(cells);
        Ok(false)
    }
    fn step(&mut self, _: u32) -> Result<Progress, Fault> {
        Ok(self.progress)
    }
    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        Ok(std::mem::take(&mut self.reached))
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        (self.at_finish)();
        Ok(self.verdict.clone())
    }
    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.last().outcome = Some(*outcome);
        Ok(())
    }
}

/// A heap of one block, in which a cell that was freed is the next to be used.
pub(crate) fn one_block(quarantine: Quarantine) -> Heap {
    let config = HeapConfig {
        quarantine,
        share_proofs: false,
        cell_capacity: Some(4096),
        ..HeapConfig::with_limit(1 << 20)
    };
    Heap::new(config).unwrap()
}

pub(crate) fn with_shadow(
    collector: &mut Collector,
    strategy: &mut Scripted,
    shadow: &mut Scripted,
) -> CycleReport {
    collector.run(&CycleRequest::new(Cause::Request), strategy, Some(shadow), &mut |_| Pace::Go)
}

/// A root that leads to a child.
pub(crate) fn rooted(scope: &Scope<'_>) -> [Handle; 2] {
    let child = scope.alloc(&[], &[]).unwrap();
    let root = scope.alloc(&[Some(child)], &[]).unwrap();
    scope.set_root("root", Some(root));
    [scope.handle(root), scope.handle(child)]
}

/// What a strategy that begins anew is told of such a pair.
pub(crate) fn whole(root: Handle, child: Handle) -> Change {
    [root.cell, 0, 0, 0, 0, child.cell, 0, 0, 0]
}
