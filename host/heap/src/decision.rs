//! Decision records: for every batch that was condemned, who decided it and by what rule.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::limits::{DECISION_NUMBERS, DECISION_SWEEP, DECISIONS_MAX};
use crate::strategy::StrategyIdentity;

/// By what rule a batch was condemned.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The survivors were scanned: they hold every root and nothing in them refers to the batch.
    Proved,
    /// The same, with the scions of the batch ignored, and every other node had proved that it holds none of it.
    Agreed,
    /// The proof is switched off; only roots and young cells were kept back.
    Unproved,
}

/// Why a batch of objects is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// The cycle that condemned the batch.
    pub cycle: u64,
    /// When, counted from the start of the heap.
    pub at: Duration,
    /// Who proposed it.
    pub strategy: StrategyIdentity,
    /// By what rule it was accepted.
    pub rule: Rule,
    /// Objects in the batch; 0 while they are being condemned.
    pub objects: u64,
    /// Cells in the batch; 0 while they are being condemned.
    pub cells: u64,
}

impl fmt::Display for DecisionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.rule {
            Rule::Proved => "proved unreachable",
            Rule::Agreed => "proved unreachable on all nodes",
            Rule::Unproved => "not proved (the proof is off)",
        };
        write!(
            f,
            "condemned in cycle {} by {}, {rule}, with {} objects, {:.3} s after the start",
            self.cycle,
            self.strategy,
            self.objects,
            self.at.as_secs_f64()
        )
    }
}

/// The last records. A cell names one by its 16-bit number; 0 names none.
#[derive(Default)]
pub(crate) struct Decisions {
    kept: VecDeque<Arc<DecisionRecord>>,
    made: u64,
}

/// What the numbers mean at one moment: the newest decision that has a number is the one it names, if that is kept.
#[derive(Copy, Clone)]
pub(crate) struct Numbers {
    made: u64,
    kept: usize,
}

impl Numbers {
    /// The place among those that are kept, oldest first.
    fn place(self, number: u16) -> Option<usize> {
        let slot = u64::from(number.checked_sub(1)?);
        let newest = self.made.checked_sub(1)? % DECISION_NUMBERS;
        let back = (newest + DECISION_NUMBERS - slot) % DECISION_NUMBERS;
        self.kept.checked_sub(1)?.checked_sub(back as usize)
    }
}

impl Decisions {
    /// Keeps a record and gives its number, which is never 0.
    pub(crate) fn keep(&mut self, record: DecisionRecord) -> u16 {
        if self.kept.len() == DECISIONS_MAX {
            self.kept.pop_front();
        }
        let number = (self.made % DECISION_NUMBERS) as u16 + 1;
        self.kept.push_back(Arc::new(record));
        self.made += 1;
        number
    }

    /// Fills in how much a decision condemned.
    pub(crate) fn amend(&mut self, number: u16, objects: u64, cells: u64) {
        if let Some(at) = self.numbers().place(number) {
            let record = Arc::make_mut(&mut self.kept[at]);
            (record.objects, record.cells) = (objects, cells);
        }
    }

    pub(crate) fn newest(&self) -> Option<Arc<DecisionRecord>> {
        self.kept.back().cloned()
    }

    pub(crate) fn find(&self, number: u16) -> Option<Arc<DecisionRecord>> {
        self.numbers().place(number).map(|at| Arc::clone(&self.kept[at]))
    }

    pub(crate) fn numbers(&self) -> Numbers {
        Numbers { made: self.made, kept: self.kept.len() }
    }

    pub(crate) fn all(&self) -> Vec<Arc<DecisionRecord>> {
        self.kept.iter().cloned().collect()
    }
}

/// Goes round the column of decisions, a little with every decision, and clears numbers of decisions that are not kept any more: before a number is
/// given to another decision, no cell has it. See [`DECISION_SWEEP`].
#[derive(Default)]
pub(crate) struct Sweep {
    next: usize,
}

impl Sweep {
    pub(crate) fn step(&mut self, numbers: Numbers, column: &[AtomicU16]) {
        for _ in 0..(column.len() / DECISION_SWEEP + 1).min(column.len()) {
            // The column may be longer than it was, never shorter.
            let at = self.next % column.len();
            let number = column[at].load(Ordering::Relaxed);
            if number != 0 && numbers.place(number).is_none() {
                column[at].store(0, Ordering::Relaxed);
            }
            self.next = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cycle: u64) -> DecisionRecord {
        let strategy = StrategyIdentity { name: "t".into(), version: "1".into(), digest: "native".into() };
        DecisionRecord { cycle, at: Duration::ZERO, strategy, rule: Rule::Proved, objects: 1, cells: 1 }
    }

    #[test]
    fn a_number_finds_its_record_while_that_is_kept() {
        let mut decisions = Decisions::default();
        assert_eq!(decisions.find(1), None);
        let first = decisions.keep(record(1));
        let second = decisions.keep(record(2));
        assert_eq!(decisions.find(first).unwrap().cycle, 1);
        decisions.amend(second, 7, 8);
        assert_eq!((decisions.find(second).unwrap().cycle, decisions.find(second).unwrap().objects), (2, 7));
        assert_eq!(decisions.find(0), None);
        for cycle in 3..=DECISIONS_MAX as u64 {
            decisions.keep(record(cycle));
        }
        assert_eq!(decisions.find(first).unwrap().cycle, 1);
        decisions.keep(record(0));
        assert_eq!((decisions.find(first), decisions.find(second).unwrap().cycle), (None, 2));
        assert_eq!(decisions.all().len(), DECISIONS_MAX);
    }

    /// Cells are condemned now and then over more than three rounds of the numbers, some soon again, some never. None ever names a decision that was not its
    /// own.
    #[test]
    fn no_cell_names_the_decision_of_another_however_many_there_were() {
        let mut len = 40_000;
        let column: Vec<AtomicU16> = (0..200_000).map(|_| AtomicU16::new(0)).collect();
        let mut last = vec![0; column.len()];
        let (mut decisions, mut sweep) = (Decisions::default(), Sweep::default());
        let mut random = 1u64;
        for cycle in 1..=if cfg!(miri) { 10 } else { 220_000u64 } {
            let number = decisions.keep(record(cycle));
            if cycle == 50_000 {
                len = column.len();
            }
            for _ in 0..3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let cell = (random >> 33) as usize % if cycle % 1000 < 5 { len } else { 500 };
                column[cell].store(number, Ordering::Relaxed);
                last[cell] = cycle;
            }
            sweep.step(decisions.numbers(), &column[..len]);
            let cell = (random >> 20) as usize % len;
            let found = decisions.find(column[cell].load(Ordering::Relaxed));
            let wanted = cycle < last[cell] + DECISIONS_MAX as u64 && last[cell] > 0;
            assert_eq!(
                found.map(|found| found.cycle),
                wanted.then_some(last[cell]),
                "cell {cell} at {cycle}"
            );
        }
    }
}
