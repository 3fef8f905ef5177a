//! The cells of the verdict: counts that reached zero, what only they referred to, and cycles that were found out.
//!
//! Each is kept with the references that were read when it was doomed, so that it can be taken back exactly: a cell that is looked up by
//! handle before the verdict is given takes all that it reaches out of the verdict again.

use gc_sdk::{Cell, Graph, Progress, References};

use crate::counts::Counts;

/// Cells read at once: a crossing on the portable path costs as much as a hundred cells.
const BATCH: usize = 4096;

/// What the verdict will name.
#[derive(Default)]
pub(crate) struct Doomed {
    cells: Vec<(Cell, References)>,
}

impl Doomed {
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
    }

    /// The cells, in the order in which they were doomed.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        self.cells.iter().map(|&(cell, _)| cell).collect()
    }

    /// Takes over garbage cycles. Their references are read anew: a mutator that held one of them when the epoch ended, and let go of it before its
    /// locals were copied, may have written to it in between. The record of that is still to come, and chains with what is there when the cell goes.
    pub(crate) fn add_suspects(&mut self, suspects: &[Cell], graph: &impl Graph, counts: &mut Counts) {
        suspects.iter().for_each(|&cell| counts.set_doomed(cell, true));
        graph.for_each(suspects, |cell, references| self.add(cell, references, counts));
    }

    /// Dooms up to `budget` cells whose count is zero.
    pub(crate) fn cascade(
        &mut self,
        counts: &mut Counts,
        allocated: &[u64],
        graph: &impl Graph,
        budget: usize,
    ) -> Progress {
        let mut left = budget;
        while left > 0 {
            let mut batch = Vec::new();
            while batch.len() < BATCH.min(left) {
                let Some(cell) = counts.next_queued() else { break };
                left -= 1;
                let exists = allocated[cell as usize / 64] >> (cell % 64) & 1 == 1;
                if exists && counts.count(cell) == 0 && !counts.is_held(cell) && !counts.is_doomed(cell) {
                    counts.set_doomed(cell, true);
                    batch.push(cell);
                }
            }
            if batch.is_empty() && left > 0 {
                return Progress::Idle;
            }
            graph.for_each(&batch, |cell, references| self.add(cell, references, counts));
        }
        Progress::More
    }

    /// Takes back what is held, and all that it reaches.
    pub(crate) fn spare_held(&mut self, counts: &mut Counts) {
        let held: Vec<Cell> =
            self.cells.iter().map(|&(cell, _)| cell).filter(|&cell| counts.is_held(cell)).collect();
        if !held.is_empty() {
            self.spare(held, counts);
        }
    }

    fn spare(&mut self, mut work: Vec<Cell>, counts: &mut Counts) {
        let mut index: Vec<(Cell, References)> = self.cells.clone();
        index.sort_unstable_by_key(|&(cell, _)| cell);
        while let Some(cell) = work.pop() {
            if !counts.is_doomed(cell) {
                continue;
            }
            counts.set_doomed(cell, false);
            let at =
                index.binary_search_by_key(&cell, |&(cell, _)| cell).expect("a doomed cell is in the list");
            let references = index[at].1;
            restore(cell, references, counts);
            work.extend(references.into_iter().filter(|&cell| cell != 0));
        }
        self.cells.retain(|&(cell, _)| counts.is_doomed(cell));
    }

    fn add(&mut self, cell: Cell, references: References, counts: &mut Counts) {
        references.into_iter().filter(|&cell| cell != 0).for_each(|cell| counts.decrement(cell));
        self.cells.push((cell, references));
    }
}

/// Gives back what a doomed cell contributed, and lets the next cycle look again at every cell that this concerns.
fn restore(cell: Cell, references: References, counts: &mut Counts) {
    counts.hold(cell);
    for target in references.into_iter().filter(|&cell| cell != 0) {
        counts.increment(target);
        counts.hold(target);
    }
}
