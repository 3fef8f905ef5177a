//! Strategies written for tests: naive and native, and wrong ones.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod scripted;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gc_heap::{
    Change, Collector, CycleInfo, CycleReport, CycleRequest, Fault, Graph, Heap, Needs, Outcome, Pace,
    Progress, Strategy, StrategyIdentity, Verdict,
};

pub(crate) fn identity(name: &str) -> StrategyIdentity {
    StrategyIdentity { name: name.into(), version: "0.0.0".into(), digest: "native".into() }
}

/// Marks what is reachable, one cell at a time, and proposes the rest.
pub(crate) struct MarkSweep {
    identity: StrategyIdentity,
    graph: Arc<Graph>,
    marks: Vec<u64>,
    work: Vec<u32>,
    /// Ignores what is shaded: a strategy that is wrong as soon as mutators run.
    pub(crate) deaf: bool,
    /// Takes part in cycles over nodes, and says what it reaches of other nodes.
    pub(crate) over_nodes: bool,
    reached: Vec<u32>,
    /// Cells that a step visits at most: with few, mutators work between the steps of even a small heap.
    pub(crate) stride: u32,
    /// Called when a cycle begins: a place where schedules can let others run.
    pub(crate) at_begin: Box<dyn FnMut() + Send>,
}

impl MarkSweep {
    pub(crate) fn new(heap: &Heap) -> MarkSweep {
        MarkSweep {
            identity: identity("mark-sweep"),
            graph: Arc::clone(heap.graph()),
            marks: Vec::new(),
            work: Vec::new(),
            deaf: false,
            over_nodes: false,
            reached: Vec::new(),
            stride: u32::MAX,
            at_begin: Box::new(|| ()),
        }
    }

    pub(crate) fn in_small_steps(heap: &Heap) -> MarkSweep {
        MarkSweep { stride: 3, ..MarkSweep::new(heap) }
    }

    /// A strategy of a node.
    pub(crate) fn over_nodes(heap: &Heap) -> MarkSweep {
        MarkSweep { over_nodes: true, ..MarkSweep::in_small_steps(heap) }
    }

    fn mark(&mut self, cell: u32) {
        let word = &mut self.marks[cell as usize / 64];
        if cell != 0 && *word & 1 << (cell % 64) == 0 {
            *word |= 1 << (cell % 64);
            self.work.push(cell);
            if self.graph.stub()[cell as usize / 64].load(Ordering::Relaxed) & 1 << (cell % 64) != 0 {
                self.reached.push(cell);
            }
        }
    }
}

impl Strategy for MarkSweep {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }
    fn needs(&self) -> Needs {
        Needs { cluster_mark: self.over_nodes, ..Needs::default() }
    }
    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        Ok(std::mem::take(&mut self.reached))
    }
    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        self.reached.clear();
        self.marks = vec![0; self.graph.capacity() as usize / 64];
        self.work.clear();
        (self.at_begin)();
        Ok(())
    }
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        cells.iter().for_each(|&cell| self.mark(cell));
        Ok(())
    }
    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Err(Fault::Nonsense("nobody asked for changes".into()))
    }
    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Err(Fault::Nonsense("nobody asked for what was retired".into()))
    }
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        let before = self.work.len();
        if !self.deaf {
            cells.iter().for_each(|&cell| self.mark(cell));
        }
        Ok(self.work.len() > before)
    }
    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        for _ in 0..budget.min(self.stride) {
            let Some(cell) = self.work.pop() else { return Ok(Progress::Idle) };
            for slot in 0..4 {
                let next = self.graph.cells()[cell as usize * 4 + slot].load(Ordering::Relaxed);
                self.mark(next);
            }
        }
        Ok(Progress::More)
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(Verdict::Survivors(std::mem::take(&mut self.marks)))
    }
    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

/// Plain deferred reference counting over the change log; leaves cycles. Its counts are the check of the log: they must be exact.
pub(crate) struct Counting {
    identity: StrategyIdentity,
    graph: Arc<Graph>,
    pub(crate) counts: Vec<i32>,
    rooted: Vec<bool>,
    candidates: std::collections::BTreeSet<u32>,
    proposed: std::collections::HashSet<u32>,
}

impl Counting {
    pub(crate) fn new(heap: &Heap) -> Counting {
        Counting {
            identity: identity("counting"),
            graph: Arc::clone(heap.graph()),
            counts: Vec::new(),
            rooted: Vec::new(),
            candidates: Default::default(),
            proposed: Default::default(),
        }
    }

    fn add(&mut self, cell: u32, by: i32) {
        if cell != 0 {
            self.counts[cell as usize] += by;
            assert!(self.counts[cell as usize] >= 0 || by > 0, "cell {cell} has a count below zero");
            if self.counts[cell as usize] == 0 {
                self.candidates.insert(cell);
            }
        }
    }

    fn is_young(&self, cell: u32) -> bool {
        self.graph.young()[cell as usize / 64].load(Ordering::Relaxed) & 1 << (cell % 64) != 0
    }
    fn is_allocated(&self, cell: u32) -> bool {
        self.graph.allocated()[cell as usize / 64].load(Ordering::Relaxed) & 1 << (cell % 64) != 0
    }
}

impl Strategy for Counting {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }
    fn needs(&self) -> Needs {
        Needs { change_log: true, ..Needs::default() }
    }
    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        let len = self.graph.capacity() as usize;
        if cycle.rebuild {
            self.counts = vec![0; len];
            self.candidates.clear();
            self.proposed.clear();
        }
        self.rooted = vec![false; len];
        Ok(())
    }
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        cells.iter().for_each(|&cell| self.rooted[cell as usize] = true);
        Ok(())
    }
    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        // All increments before any decrement: a count may pass through zero only at its end.
        for change in changes {
            change[5..].iter().for_each(|&cell| {
                if cell != 0 {
                    self.counts[cell as usize] += 1
                }
            });
            self.candidates.insert(change[0]);
        }
        for change in changes {
            change[1..5].iter().for_each(|&cell| self.add(cell, -1));
        }
        Ok(())
    }
    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        cells.iter().for_each(|&cell| self.rooted[cell as usize] = true);
        Ok(false)
    }
    fn step(&mut self, _: u32) -> Result<Progress, Fault> {
        Ok(Progress::Idle)
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        let mut condemned = Vec::new();
        let mut kept = std::collections::BTreeSet::new();
        while let Some(cell) = self.candidates.pop_first() {
            let at = cell as usize;
            if self.counts[at] > 0 || !self.is_allocated(cell) || self.proposed.contains(&cell) {
                continue;
            }
            if self.rooted[at] || self.is_young(cell) {
                kept.insert(cell);
                continue;
            }
            condemned.push(cell);
            self.proposed.insert(cell);
            for slot in 0..4 {
                let child = self.graph.cells()[at * 4 + slot].load(Ordering::Relaxed);
                self.add(child, -1);
            }
        }
        self.candidates = kept;
        Ok(Verdict::Condemned(condemned))
    }
    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        if outcome.condemned_cells > 0 {
            self.proposed.clear();
        }
        Ok(())
    }
}

/// Answers with a fixed verdict.
pub(crate) struct Fixed(pub(crate) StrategyIdentity, pub(crate) Verdict);

impl Strategy for Fixed {
    fn identity(&self) -> &StrategyIdentity {
        &self.0
    }
    fn needs(&self) -> Needs {
        Needs { retired: true, ..Needs::default() }
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
        Ok(self.1.clone())
    }
    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

pub(crate) fn cycle(collector: &mut Collector, strategy: &mut dyn Strategy) -> CycleReport {
    collector.run(&CycleRequest::new(gc_heap::Cause::Request), strategy, None, &mut |_| Pace::Go)
}
