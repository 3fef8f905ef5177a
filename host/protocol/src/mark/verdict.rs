//! From the decision to the sweep: proofs, lists of condemned stubs, agreements, objections.
//!
//! ```text
//!                    all below proved      all proved          own check, all below agree       all agreed
//!  decide ──▶ proof ──────────────────▶ up ──────────▶ agree? ──────────────────────────▶ up ──────────▶ sweep
//!               └─▶ lists to the homes        an objection of anybody, at any time before: up, and abort down
//! ```
//!
//! 1. Who has not agreed ends a cycle by itself, at once: without its agreement nothing is swept anywhere. It tells its children: what they have agreed to has gone no further.
//! 2. Who has agreed is in doubt: others may be sweeping. It waits for word from its parent, and all below it, who have agreed too, wait with it.
//! 3. A node sweeps only what it has agreed to.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{CycleId, Life, Object, Reference};
use crate::limits::ENTRIES_PER_MESSAGE_MAX;
use crate::references::References;
use crate::rules::Rule;
use crate::wire::{CondemnedStubs, Message, SubtreeAgrees, SubtreeProved};

use super::waves::{Round, Sum};
use super::{CycleEnding, Mark, MarkNotice, MarkOutput};

/// What this node has condemned and proved.
#[derive(Debug, Clone)]
pub(super) struct Condemned {
    pub(super) objects: BTreeSet<Object>,
    pub(super) stubs: BTreeSet<Reference>,
    /// Who was listed for these objects at the proof.
    listed: Vec<(Object, Life)>,
}

/// What a client says of its stubs for our objects.
#[derive(Debug, Clone, Default)]
struct Report {
    objects: BTreeSet<Object>,
    complete: bool,
}

/// What is known of the verdict.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict {
    pub(super) condemned: Option<Condemned>,
    reports: BTreeMap<Life, Report>,
    proofs: Round,
    agreement_wanted: bool,
    agreements: Round,
    /// The parent has heard an objection from here.
    objected: bool,
}

impl Verdict {
    /// There is no such object.
    pub(super) fn forget(&mut self, object: Object) {
        self.reports.values_mut().for_each(|report| {
            report.objects.remove(&object);
        });
    }

    #[cfg(test)]
    pub(super) fn reported_count(&self) -> usize {
        self.reports.values().map(|report| report.objects.len()).sum()
    }
}

fn is_pinned(references: &References, objects: &BTreeSet<Object>, stubs: &BTreeSet<Reference>) -> bool {
    objects.iter().any(|&object| references.is_pinned(object))
        || stubs.iter().any(|&stub| references.pins(stub))
}

/// Tells a home which of its stubs are condemned.
fn report(cycle: CycleId, home: Life, stubs: &BTreeSet<Reference>, out: &mut MarkOutput) {
    let first = Reference { home, object: Object { cell: 0, generation: 0 } };
    let theirs = stubs.range(first..).take_while(|stub| stub.home == home);
    let objects: Vec<Object> = theirs.map(|stub| stub.object).collect();
    let mut pieces: Vec<&[Object]> = objects.chunks(ENTRIES_PER_MESSAGE_MAX).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let count = pieces.len();
    for (index, piece) in pieces.into_iter().enumerate() {
        let report = CondemnedStubs { cycle, objects: piece.to_vec(), last: index + 1 == count };
        out.messages.push((home, Message::CondemnedStubs(report)));
    }
}

impl Mark {
    /// The heap has a verdict and has proved it, with the scions of these objects ignored.
    pub fn proved(
        &mut self,
        cycle: CycleId,
        objects: BTreeSet<Object>,
        stubs: BTreeSet<Reference>,
        references: &References,
        out: &mut MarkOutput,
    ) {
        if self.running(cycle).is_none_or(|running| running.verdict.condemned.is_some()) {
            return;
        }
        if self.faults.keeps(Rule::PinsAreRoots) && is_pinned(references, &objects, &stubs) {
            self.refuted(out);
        }
        let Some(running) = self.running.as_mut().filter(|running| running.cycle == cycle) else { return };
        // Every home that this node ever had stubs of hears of it: a list that is empty says so.
        for home in references.homes().filter(|home| self.members.contains(home)) {
            report(cycle, home, &stubs, out);
        }
        let listed = objects
            .iter()
            .flat_map(|&object| references.clients_of(object).map(move |client| (object, client)));
        let listed = listed.collect();
        running.verdict.condemned = Some(Condemned { objects, stubs, listed });
        self.pass_proofs(references, out);
    }

    /// A child has proved its verdict, and all below it have proved theirs.
    pub fn subtree_proved(
        &mut self,
        from: Life,
        proved: &SubtreeProved,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let is_child = self.tree.has_child(from);
        if let Some(running) = self.running(proved.cycle).filter(|_| is_child) {
            running.verdict.proofs.hear(from, Sum { nodes: proved.nodes, ..Sum::default() });
            self.pass_proofs(references, out);
        }
    }

    fn pass_proofs(&mut self, references: &References, out: &mut MarkOutput) {
        let Some(running) = self.running.as_ref().filter(|it| it.verdict.condemned.is_some()) else { return };
        let cycle = running.cycle;
        let Some(sum) = self.pass(|running| &mut running.verdict.proofs, Sum::ONE) else { return };
        match self.tree.parent() {
            Some(parent) => {
                let proved = SubtreeProved { cycle, nodes: sum.nodes };
                out.messages.push((parent, Message::SubtreeProved(proved)));
            }
            None if self.is_for_all(sum) => self.want_agreement(cycle, references, out),
            None => self.object(CycleEnding::Abandoned, out),
        }
    }

    /// The coordinator calls for votes: all have proved.
    pub fn votes_called(
        &mut self,
        from: Life,
        cycle: CycleId,
        references: &References,
        out: &mut MarkOutput,
    ) {
        if self.tree.parent() == Some(from) {
            self.want_agreement(cycle, references, out);
        }
    }

    fn want_agreement(&mut self, cycle: CycleId, references: &References, out: &mut MarkOutput) {
        if let Some(running) = self.running(cycle) {
            running.verdict.agreement_wanted = true;
            self.tell_children(&Message::CycleVote(cycle), out);
            self.vote_if_ready(references, out);
        }
    }

    /// A node says which of its stubs for our objects it condemns.
    pub fn reported(
        &mut self,
        from: Life,
        report: CondemnedStubs,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let named = self.faults.keeps(Rule::ReportsNameTheirCycle);
        let running = self.running.as_mut().filter(|running| running.cycle == report.cycle || !named);
        let Some(running) = running else { return };
        let kept = running.verdict.reports.entry(from).or_default();
        // What it is not listed for nobody asks for.
        kept.objects.extend(report.objects.into_iter().filter(|&object| references.lists(object, from)));
        kept.complete |= report.last;
        self.vote_if_ready(references, out);
    }

    /// A child agrees, and all below it do.
    pub fn subtree_agrees(
        &mut self,
        from: Life,
        agrees: &SubtreeAgrees,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let is_child = self.tree.has_child(from);
        if let Some(running) = self.running(agrees.cycle).filter(|_| is_child) {
            running.verdict.agreements.hear(from, Sum { nodes: agrees.nodes, ..Sum::default() });
            self.vote_if_ready(references, out);
        }
    }

    /// Votes when votes are called and every list that matters has come: an objection at once, an agreement with those of all below.
    fn vote_if_ready(&mut self, references: &References, out: &mut MarkOutput) {
        let ready = |verdict: &Verdict| verdict.agreement_wanted && !verdict.agreements.has_passed();
        let Some(running) = self.running.as_ref().filter(|running| ready(&running.verdict)) else { return };
        let cycle = running.cycle;
        match self.agrees(&running.verdict, references) {
            None => return,
            Some(false) => self.refuted(out),
            Some(true) => {}
        }
        let Some(sum) = self.pass(|running| &mut running.verdict.agreements, Sum::ONE) else { return };
        match self.tree.parent() {
            Some(parent) => {
                let agrees = SubtreeAgrees { cycle, nodes: sum.nodes };
                out.messages.push((parent, Message::SubtreeAgrees(agrees)));
            }
            None if self.is_for_all(sum) => self.sweep(cycle, out),
            None => self.object(CycleEnding::Abandoned, out),
        }
    }

    /// Whether this node's part of the verdict stands against all that it was told. None while a list is missing.
    fn agrees(&self, verdict: &Verdict, references: &References) -> Option<bool> {
        let condemned = verdict.condemned.as_ref()?;
        let need = self.faults.keeps(Rule::ScionsNeedReports);
        let said = |client: &Life| verdict.reports.get(client).filter(|report| report.complete);
        let is_late = |(_, client): &(Object, Life)| self.members.contains(client) && said(client).is_none();
        if need && condemned.listed.iter().any(is_late) {
            return None;
        }
        let let_go = |(object, client): &(Object, Life)| {
            self.members.contains(client)
                && said(client).is_some_and(|report| report.objects.contains(object))
        };
        let pinned = self.faults.keeps(Rule::PinsAreRoots)
            && is_pinned(references, &condemned.objects, &condemned.stubs);
        Some(!pinned && (!need || condemned.listed.iter().all(let_go)))
    }

    /// Something speaks against the verdict of this node.
    pub(super) fn refuted(&mut self, out: &mut MarkOutput) {
        if self.faults.keeps(Rule::SweepIsUnanimous) {
            self.object(self.against(), out);
        }
    }

    /// How a cycle ends that somebody is against.
    fn against(&self) -> CycleEnding {
        if self.is_root() { CycleEnding::VotedDown } else { CycleEnding::Abandoned }
    }

    /// The heap has no verdict, or could not prove it, or has found since that it does not hold.
    pub fn failed(&mut self, cycle: CycleId, out: &mut MarkOutput) {
        if self.running(cycle).is_some() {
            self.object(self.against(), out);
        }
    }

    /// A child objects, or somebody below it.
    pub fn objected(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        if self.tree.has_child(from) && self.running(cycle).is_some() {
            self.object(self.against(), out);
        }
    }

    /// This node has agreed for itself and all below it, and not heard what became of it: others may be sweeping.
    pub(super) fn is_in_doubt(&self) -> bool {
        let agreed = self.running.as_ref().is_some_and(|running| running.verdict.agreements.has_passed());
        agreed && !self.is_root()
    }

    /// This node does not go along. Unless it is in doubt the cycle ends here at once: nobody waits for others that may be silent. Otherwise the objection may come in time, or
    /// too late, and word is waited for.
    pub(super) fn object(&mut self, why: CycleEnding, out: &mut MarkOutput) {
        let in_doubt = self.is_in_doubt();
        let Some(running) = &mut self.running else { return };
        let cycle = running.cycle;
        if !std::mem::replace(&mut running.verdict.objected, true) {
            out.messages.extend(self.tree.parent().map(|parent| (parent, Message::CycleObjection(cycle))));
        }
        if !in_doubt {
            self.tell_children(&Message::CycleAbort(cycle), out);
            self.end(why, out);
        }
    }

    /// The coordinator says that all have agreed.
    pub fn swept(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        if self.tree.parent() == Some(from) && self.is_in_doubt() && self.running(cycle).is_some() {
            self.sweep(cycle, out);
        }
    }

    fn sweep(&mut self, cycle: CycleId, out: &mut MarkOutput) {
        self.tell_children(&Message::CycleSweep(cycle), out);
        out.notices.push(MarkNotice::Sweep(cycle));
        self.end(CycleEnding::Swept, out);
    }

    /// The parent says that nobody will sweep.
    pub fn aborted(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        if self.tree.parent() == Some(from) && self.running(cycle).is_some() {
            self.tell_children(&Message::CycleAbort(cycle), out);
            self.end(CycleEnding::Abandoned, out);
        }
    }
}
