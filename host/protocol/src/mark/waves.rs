//! Waves: how the coordinator finds out that nothing is left to mark; and the rounds of answers that waves, proofs and agreements are summed in.
//!
//! ```text
//!  root:  wave 1 ──▶ totals ── marks under way: pause ──▶ wave 2 ──▶ totals ── none under way: at once ──▶ wave 3 ──▶ as found before: decide
//! ```
//!
//! 1. A wave begins when the last one is answered, so whatever a node says in a wave is younger than all that was said in the one before.
//! 2. A node keeps one number for each child and round, and says one thing to its parent in each round.
//! 3. A pause lasts at least a third of what the cycle has taken, so waves are bounded by the logarithm of its length.

use std::collections::BTreeMap;

use crate::ids::{CycleId, Life, Nanos};
use crate::references::References;
use crate::rules::Rule;
use crate::wire::{Message, SubtreeTotals, Wave};

use super::{CycleEnding, Mark, MarkNotice, MarkOutput, Running};

/// Which part of what the cycle has taken the pause between two waves is.
const PAUSE_PART: Nanos = 3;

/// What is said for a node and all below it.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// How many nodes it is said for.
    pub(super) nodes: u32,
    /// Marks sent.
    pub(super) sent: u64,
    /// Marks received.
    pub(super) received: u64,
}

impl Sum {
    /// For one node.
    pub(super) const ONE: Sum = Sum { nodes: 1, sent: 0, received: 0 };

    fn plus(self, more: &Sum) -> Sum {
        Sum {
            nodes: self.nodes.saturating_add(more.nodes),
            sent: self.sent.saturating_add(more.sent),
            received: self.received.saturating_add(more.received),
        }
    }
}

/// One round of answers, on the way up.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    heard: BTreeMap<Life, Sum>,
    passed: bool,
}

impl Round {
    /// A child says something for itself and all below it.
    pub(super) fn hear(&mut self, child: Life, sum: Sum) {
        self.heard.entry(child).or_insert(sum);
    }

    /// Whether this node has said its own to its parent.
    pub(super) fn has_passed(&self) -> bool {
        self.passed
    }

    fn pass(&mut self, own: Sum, children: usize) -> Option<Sum> {
        if self.passed || self.heard.len() < children {
            return None;
        }
        self.passed = true;
        Some(self.heard.values().fold(own, Sum::plus))
    }
}

/// What only the coordinator keeps.
#[derive(Debug, Clone)]
pub(super) struct Coordination {
    began: Nanos,
    /// When the next wave is due; `Nanos::MAX` while one is under way, and when there will be none.
    pub(super) wave_at: Nanos,
    previous: Option<Sum>,
    /// The wave that is under way followed the last one at once.
    hurried: bool,
}

impl Coordination {
    pub(super) fn new(began: Nanos) -> Coordination {
        Coordination { began, wave_at: Nanos::MAX, previous: None, hurried: false }
    }
}

impl Mark {
    /// What goes up from here in this round, once: when this node can say its own, and all below have said theirs.
    pub(super) fn pass(&mut self, round: impl FnOnce(&mut Running) -> &mut Round, own: Sum) -> Option<Sum> {
        // Who breaks the rule speaks for itself alone and lets it count for all.
        let alone = !self.is_root() && !self.faults.keeps(Rule::SubtreesSpeakAsOne);
        let children = if alone { 0 } else { self.tree.children().len() };
        round(self.running.as_mut()?).pass(own, children)
    }

    /// Whether this is said for all members. If not, not all see the same tree.
    pub(super) fn is_for_all(&self, sum: Sum) -> bool {
        sum.nodes as usize == self.members.len() || !self.faults.keeps(Rule::SubtreesSpeakAsOne)
    }

    /// The coordinator asks, through the parent of this node. So a cycle begins where no mark has come before.
    pub fn wave(
        &mut self,
        now: Nanos,
        from: Life,
        wave: &Wave,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let cycle = wave.cycle;
        if self.tree.parent() != Some(from) || !self.is_of_this_membership(cycle) {
            return;
        }
        let news = self.is_near(cycle) && self.told < cycle.number();
        if news {
            self.told = cycle.number();
            self.begin(now, cycle, references, out);
        }
        if self.running(cycle).is_some() {
            return self.ask(now, wave, out);
        }
        // It was over here before its first wave came, or it cannot be.
        out.messages.push((from, Message::CycleObjection(cycle)));
        if news {
            self.tell_children(&Message::Wave(wave.clone()), out);
            self.tell_children(&Message::CycleAbort(cycle), out);
        }
    }

    /// The coordinator's next wave.
    pub(super) fn next_wave(&mut self, now: Nanos, out: &mut MarkOutput) {
        let Some(running) = &mut self.running else { return };
        let Some(coordination) = &mut running.coordination else { return };
        coordination.wave_at = Nanos::MAX;
        let wave = Wave { cycle: running.cycle, number: running.wave.saturating_add(1) };
        self.ask(now, &wave, out);
    }

    fn ask(&mut self, now: Nanos, wave: &Wave, out: &mut MarkOutput) {
        let Some(running) = self.running(wave.cycle).filter(|running| running.wave < wave.number) else {
            return;
        };
        running.wave = wave.number;
        running.totals = Round::default();
        self.tell_children(&Message::Wave(wave.clone()), out);
        self.answer(now, out);
    }

    /// The heap has nothing left to mark, with everything up to this hand-over worked off.
    pub fn passive(&mut self, now: Nanos, cycle: CycleId, worked_off: u64, out: &mut MarkOutput) {
        if let Some(running) = self.running(cycle) {
            running.worked_off = Some(worked_off);
            self.answer(now, out);
        }
    }

    /// The heap has something to mark again.
    pub fn active(&mut self, cycle: CycleId) {
        if let Some(running) = self.running(cycle) {
            running.worked_off = None;
        }
    }

    /// A child answers a wave, for itself and all below it.
    pub fn totals(&mut self, now: Nanos, from: Life, totals: &SubtreeTotals, out: &mut MarkOutput) {
        let is_child = self.tree.has_child(from);
        let running = self.running(totals.cycle).filter(|it| is_child && it.wave == totals.number);
        if let Some(running) = running {
            let SubtreeTotals { nodes, sent, received, .. } = *totals;
            running.totals.hear(from, Sum { nodes, sent, received });
            self.answer(now, out);
        }
    }

    /// Answers the wave, if there is one, when all below have, at a moment when nothing is left to do here.
    fn answer(&mut self, now: Nanos, out: &mut MarkOutput) {
        let Some(running) = &self.running else { return };
        if running.wave == 0 || running.worked_off != Some(running.handed) {
            return;
        }
        let (cycle, number) = (running.cycle, running.wave);
        let own = Sum { nodes: 1, sent: running.sent, received: running.received };
        let Some(sum) = self.pass(|running| &mut running.totals, own) else { return };
        match self.tree.parent() {
            Some(parent) => {
                let Sum { nodes, sent, received } = sum;
                let totals = SubtreeTotals { cycle, number, nodes, sent, received };
                out.messages.push((parent, Message::SubtreeTotals(totals)));
            }
            None if self.is_for_all(sum) => self.wave_ended(now, sum, out),
            None => self.object(CycleEnding::Abandoned, out),
        }
    }

    /// All have answered. Decides, or asks again.
    fn wave_ended(&mut self, now: Nanos, sum: Sum, out: &mut MarkOutput) {
        let (two_waves, every) = (self.faults.keeps(Rule::TwoWaves), self.config.wave_every);
        let Some(running) = &mut self.running else { return };
        let Some(coordination) = &mut running.coordination else { return };
        let cycle = running.cycle;
        let previous = coordination.previous.replace(sum);
        if previous.is_some_and(|previous| previous.received == sum.sent) || !two_waves {
            self.tell_children(&Message::CycleDecide(cycle), out);
            out.notices.push(MarkNotice::Decide(cycle));
            return;
        }
        coordination.hurried = sum.received == sum.sent && !coordination.hurried;
        if coordination.hurried {
            self.next_wave(now, out);
        } else {
            let taken = now.saturating_sub(coordination.began);
            coordination.wave_at = now.saturating_add(every.max(taken / PAUSE_PART));
        }
    }

    /// Marking has ended everywhere.
    pub fn decide(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        if self.tree.parent() == Some(from) && self.running(cycle).is_some() {
            self.tell_children(&Message::CycleDecide(cycle), out);
            out.notices.push(MarkNotice::Decide(cycle));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_heard_once_and_the_sum_goes_up_once() {
        let sum = |nodes, sent, received| Sum { nodes, sent, received };
        let own = sum(1, 5, 7);
        let mut round = Round::default();
        assert_eq!(round.pass(own, 2), None);
        round.hear(Life::new(2, 1), sum(3, 10, 20));
        round.hear(Life::new(2, 1), sum(9, 90, 90));
        assert_eq!(round.pass(own, 2), None, "one child is missing");
        round.hear(Life::new(3, 1), sum(4, u64::MAX, 2));
        assert!(!round.has_passed());
        assert_eq!(round.pass(own, 2), Some(sum(8, u64::MAX, 29)));
        assert_eq!((round.pass(own, 2), round.has_passed()), (None, true));
        assert_eq!(Round::default().pass(own, 0), Some(own), "a leaf speaks for itself");
    }
}
