//! Decision records: for every batch that was condemned, who decided it and by what rule.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::limits::DECISIONS_MAX;
use crate::strategy::StrategyIdentity;

/// By what rule a batch was condemned.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The survivors were scanned: they hold every root and nothing in them refers to the batch.
    Proved,
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

/// The last 65,535 records. A cell names one by its 16-bit number; 0 names none.
#[derive(Default)]
pub(crate) struct Decisions {
    kept: VecDeque<(u64, DecisionRecord)>,
    made: u64,
}

impl Decisions {
    /// Keeps a record and gives its number, which is never 0.
    pub(crate) fn keep(&mut self, record: DecisionRecord) -> u16 {
        if self.kept.len() == DECISIONS_MAX {
            self.kept.pop_front();
        }
        let number = (self.made % DECISIONS_MAX as u64) as u16 + 1;
        self.kept.push_back((self.made, record));
        self.made += 1;
        number
    }

    /// Fills in how much a decision condemned.
    pub(crate) fn amend(&mut self, number: u16, objects: u64, cells: u64) {
        if let Some(at) = self.place(number) {
            let record = &mut self.kept[at].1;
            (record.objects, record.cells) = (objects, cells);
        }
    }

    pub(crate) fn newest(&self) -> Option<&DecisionRecord> {
        self.kept.back().map(|(_, record)| record)
    }

    pub(crate) fn find(&self, number: u16) -> Option<&DecisionRecord> {
        self.place(number).map(|at| &self.kept[at].1)
    }

    fn place(&self, number: u16) -> Option<usize> {
        let slot = u64::from(number.checked_sub(1)?);
        // The newest decision with this number: numbers repeat every DECISIONS_MAX decisions, which is as many as are kept.
        let newest = self.made.checked_sub(1)?;
        let back = (newest % DECISIONS_MAX as u64 + DECISIONS_MAX as u64 - slot) % DECISIONS_MAX as u64;
        let made = newest.checked_sub(back)?;
        let first = self.kept.front()?.0;
        Some(made.checked_sub(first)? as usize).filter(|&at| at < self.kept.len())
    }

    pub(crate) fn all(&self) -> Vec<DecisionRecord> {
        self.kept.iter().map(|(_, record)| record.clone()).collect()
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
    fn a_number_finds_its_record_until_the_number_is_used_again() {
        let mut decisions = Decisions::default();
        assert_eq!(decisions.find(1), None);
        let first = decisions.keep(record(1));
        let second = decisions.keep(record(2));
        assert_eq!(decisions.find(first).unwrap().cycle, 1);
        assert_eq!(decisions.find(second).unwrap().cycle, 2);
        assert_eq!(decisions.find(0), None);
        for cycle in 3..=DECISIONS_MAX as u64 {
            decisions.keep(record(cycle));
        }
        assert_eq!(decisions.find(first).unwrap().cycle, 1);
        assert_eq!(decisions.keep(record(70_000)), first);
        assert_eq!(decisions.find(first).unwrap().cycle, 70_000);
        assert_eq!(decisions.find(second).unwrap().cycle, 2);
    }
}
