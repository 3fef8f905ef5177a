//! Trial deletion: what would be left without the references inside?
//!
//! From each candidate everything that it reaches is read once and turned grey, and each reference that was read takes one from the trial
//! count of its target. A grey cell whose trial count is not zero is held from outside: it turns black with all that it reaches, which
//! gives those references back. What stays grey is suspected to be garbage, and waits for the next cycle to confirm it.

use gc_sdk::{Cell, Graph, Progress, References};

use crate::counts::Counts;
use crate::per_cell::PerCell;

/// Cells read at once.
const BATCH: usize = 4096;

/// A cell that the trial has read.
#[derive(Debug, Clone, Copy)]
struct Grey {
    cell: Cell,
    /// Its count minus the references to it that were read. Wraps: anything but zero means held from outside.
    outside: u32,
    references: References,
}

/// Where the trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Reading from the candidates on.
    Grey,
    /// Taking each reference that was read from the trial count of its target, from this index on.
    Subtract(usize),
    /// Looking for cells that are held from outside, from this index on.
    Scan(usize),
    /// Done: what was not turned black is suspected.
    Done,
    /// One log epoch later: looking for suspects that it has disproved, from this index on.
    Confirm(usize),
}

/// A trial, and between cycles its suspects.
pub(crate) struct Trial {
    /// Index in `greys` plus one; 0 for cells that were not read.
    index: PerCell<u32>,
    greys: Vec<Grey>,
    /// Parallel to `greys`.
    black: Vec<bool>,
    /// Cells to be read.
    work: Vec<Cell>,
    /// Indices of black cells whose references are to be given back.
    revived: Vec<u32>,
    phase: Phase,
}

impl Trial {
    pub(crate) fn new() -> Trial {
        Trial {
            index: PerCell::default(),
            greys: Vec::new(),
            black: Vec::new(),
            work: Vec::new(),
            revived: Vec::new(),
            phase: Phase::Done,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        for grey in std::mem::take(&mut self.greys) {
            *self.index.at(grey.cell) = 0;
        }
        self.black.clear();
        self.work.clear();
        self.revived.clear();
        self.phase = Phase::Done;
    }

    /// Begins to confirm the suspects of the last trial by the log epoch that has been delivered.
    pub(crate) fn begin_confirm(&mut self) {
        self.phase = Phase::Confirm(0);
    }

    /// The suspects that were confirmed. Empties the trial.
    pub(crate) fn take_confirmed(&mut self) -> Vec<Cell> {
        let suspects = self.greys.iter().zip(&self.black).filter(|&(_, &black)| !black);
        let confirmed = suspects.map(|(grey, _)| grey.cell).collect();
        self.clear();
        confirmed
    }

    /// Begins with the candidates of this cycle.
    pub(crate) fn begin(&mut self, counts: &mut Counts, allocated: &[u64]) {
        let exists = |cell: Cell| allocated[cell as usize / 64] >> (cell % 64) & 1 == 1;
        let candidate = |cell: &Cell| exists(*cell) && !counts.is_held(*cell) && !counts.is_doomed(*cell);
        self.work = counts.touched().iter().copied().filter(candidate).collect();
        self.phase = Phase::Grey;
    }

    /// Works on up to about `budget` cells.
    pub(crate) fn run(&mut self, counts: &Counts, graph: &impl Graph, budget: usize) -> Progress {
        let mut left = budget.max(1);
        while left > 0 && self.phase != Phase::Done {
            let used = match self.phase {
                Phase::Grey => self.read(counts, graph, left.min(BATCH)),
                Phase::Subtract(from) => self.subtract(from, left),
                Phase::Scan(from) | Phase::Confirm(from) => self.scan(from, counts, left),
                Phase::Done => 0,
            };
            left = left.saturating_sub(used.max(1));
        }
        if self.phase == Phase::Done { Progress::Idle } else { Progress::More }
    }

    fn read(&mut self, counts: &Counts, graph: &impl Graph, limit: usize) -> usize {
        let mut batch = Vec::with_capacity(limit);
        while batch.len() < limit {
            let Some(cell) = self.work.pop() else { break };
            if self.index.get(cell) == 0 && !counts.is_doomed(cell) {
                self.greys.push(Grey { cell, outside: counts.count(cell), references: [0; 4] });
                self.black.push(false);
                *self.index.at(cell) = self.greys.len() as u32;
                batch.push(cell);
            }
        }
        if batch.is_empty() {
            self.phase = Phase::Subtract(0);
        }
        graph.for_each(&batch, |cell, references| {
            let at = self.index.get(cell) as usize - 1;
            self.greys[at].references = references;
            self.work.extend(references.into_iter().filter(|&cell| cell != 0 && self.index.get(cell) == 0));
        });
        batch.len()
    }

    fn subtract(&mut self, from: usize, budget: usize) -> usize {
        let end = self.greys.len().min(from + budget);
        for at in from..end {
            for cell in self.greys[at].references {
                if let Some(to) = self.position(cell) {
                    self.greys[to].outside = self.greys[to].outside.wrapping_sub(1);
                }
            }
        }
        self.phase = if end < self.greys.len() { Phase::Subtract(end) } else { Phase::Scan(0) };
        end - from
    }

    /// Turns black, with all that they reach, the cells from index `from` on that are no garbage.
    fn scan(&mut self, from: usize, counts: &Counts, budget: usize) -> usize {
        let confirming = matches!(self.phase, Phase::Confirm(_));
        let mut at = from;
        for used in 1..=budget {
            if let Some(black) = self.revived.pop() {
                self.revive_targets(black as usize);
            } else if let Some(grey) = self.greys.get(at) {
                let alive = if confirming { counts.is_touched(grey.cell) } else { grey.outside != 0 };
                if alive || counts.is_held(grey.cell) {
                    self.revive(at);
                }
                at += 1;
            } else {
                self.phase = Phase::Done;
                return used;
            }
        }
        self.phase = if confirming { Phase::Confirm(at) } else { Phase::Scan(at) };
        budget
    }

    fn revive_targets(&mut self, at: usize) {
        for cell in self.greys[at].references {
            if let Some(to) = self.position(cell) {
                self.revive(to);
            }
        }
    }

    fn revive(&mut self, at: usize) {
        if !self.black[at] {
            self.black[at] = true;
            self.revived.push(at as u32);
        }
    }

    fn position(&self, cell: Cell) -> Option<usize> {
        (self.index.get(cell) as usize).checked_sub(1)
    }
}
