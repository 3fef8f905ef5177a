//! One marking cycle over all nodes: what the host keeps of it, and the proof that needs no trust in whoever marked.
//!
//! A garbage cycle that spans nodes is held only by scions. To find it, all nodes mark together from everything but scions; what a node reaches elsewhere it
//! says to that home. The strategies do the marking. The host carries the messages, finds out when nothing is left to do, and then *does not believe* the
//! result: it goes through a proof of the whole cluster.
//!
//! ```text
//!  coordinator  wave 1 ──▶ marks, waves ... ──▶ decide ──▶ each node: verdict, local proof, lists of condemned stubs to their homes
//!                                                          │ all have proved
//!                                               votes ◀────┘ ──▶ all agreed? ──▶ sweep
//!                                                                 no, late, changed ──▶ abort
//! ```
//!
//! # The tree
//!
//! The first member coordinates. With each other it deals along a tree over the members in their order (`tree.rs`): what all are to hear goes down it, and what all
//! have to say, totals, proofs, agreements, is summed on the way up. So the dearest node pays for its parent, three children and its own marks, in a cluster of any size. Marks
//! and lists of condemned stubs go straight to their homes.
//!
//! 1. *A node speaks for itself and all below it, in each round once, when all of its children have spoken.* So the root hears from its children what all members say. It counts, and goes on
//!    only with as many as there are members.
//! 2. *What comes down is heard from the parent only, and what comes up from children only.* All in a cycle see the same tree, because the name of the cycle names the membership.
//! 3. *An objection goes up at once, and ends the cycle for everybody on its way that is not in doubt* (`verdict.rs`). What does not arrive, because a node on the way is
//!    gone, ends the cycle there: with the lease, with the membership, or at the deadline.
//!
//! # Termination
//!
//! Four counters (Mattern 1987). A wave asks every node for its totals of marks sent and received, and a node answers when it is passive. Marking has ended when what one wave
//! found received is what the next found sent. A mutator that makes a passive node active by itself (its barrier shades) does no harm: it either sends a mark, which shows in the
//! second wave, or its work was local and is done.
//!
//! Passive means that the heap has worked off all that it was handed to shade. Each hand-over has a number, and "passive" names the last one that was worked
//! off, so a report that crosses with a hand-over says nothing.
//!
//! # The proof of the whole cluster
//!
//! Node N condemns C(N): objects and stubs. Its own proof shows that nothing that survives at N refers into C(N), with all roots of N surviving, and with every
//! scion surviving whose object is not in C(N). What is left to show is that the scions of condemned objects may be ignored. N tells every home which of its stubs of
//! that home are in C(N). When all have proved, votes are called, and N agrees to the sweep only if
//!
//! 1. each client that was listed for an object of C(N) at N's proof is a member, and its list for this cycle (so for this membership, and from this life) is complete and
//!    has its stub of that object;
//! 2. nothing in C(N) was pinned at N's proof, or has been sent since;
//! 3. nothing in C(N) has arrived in a message since N's proof: no copy of it, no mention of it.
//!
//! The sweep begins only if all have agreed to it. N agrees after votes are called, for itself and all below it, when they have.
//!
//! *Claim: then nothing in any C is reachable, now or later.* Suppose the contrary and take the first moment, over all
//! nodes, at which a mutator of some P, after P's proof, can reach an x that is condemned at its home H. By P's own proof it did not get there through P's heap
//! alone, unless P had a stub of x outside C(P). Either way a copy m of x came to P from some Q, after P's proof or into that stub. Q sent it before its own proof: else Q could reach x after its own
//! proof, before P did.
//!
//! * *m was acknowledged before Q's proof.* Then P admitted it before any vote, because all prove before votes are called. If P had condemned its stub of x by then,
//!   3 vetoed at P. Else P's stub is not in C(P), and P registered it: before H's proof, then P is listed there and 1 vetoed at H; or after it, then 3 did.
//! * *m was not acknowledged at Q's proof.* Then x was pinned there: if x is in C(Q), 2 vetoed. Else Q is not H, and was registered before it sent m. If that was after H's
//!   proof, 3 vetoed at H. If Q was still listed at H's proof, 1 did. If not, Q had cleaned before H's proof, hence had the acknowledgement of m by then, and P had admitted m before any
//!   vote: as in the first case.
//!
//! So marks decide how much is found, never whether it is safe. A strategy that marks too little gets a vote against it; one that lies about its stubs
//! is contradicted by its own host's proof.
//!
//! Unreachability is stable, so a sweep that comes late does no harm, and neither does one that reaches only some nodes: what they free cleans its scions at
//! the others. An abort is always safe. A cycle is bound to a membership by its name; any change aborts it. Nothing is ever swept on a partial mark.
//!
//! A node takes part in a cycle that its parent tells it of, and before that in one that a message is stamped with, if the coordinator can have begun it: at most a few ahead of what the parent has said
//! (`limits.rs`). So who stamps what it likes makes the next cycles fail, a few for each time, and no more. A wave of a cycle that is over at a node is answered with an objection: nobody waits for it.
//!
//! Believed is what a node says of the agreement of those below it, and what a parent says that the root has said; all else is checked by whom it concerns. So who lies there can make others sweep what
//! somebody below it objects to, but nobody what it has not agreed to itself.
//!
//! Positive lists (what is condemned) and not lists of survivors: what is missing, late or newly listed is then kept without anybody having to notice.
//!
//! Papers: Mattern, *Algorithms for distributed termination detection*, 1987; Lang, Queinnec, Piquer, *Garbage collecting the world*, 1992 (groups: clients outside
//! the membership are roots); Yuasa 1990 (the snapshot).

mod tree;
mod verdict;
mod waves;

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{CycleId, Life, MembershipEpoch, Nanos, Object, Reference};
use crate::limits::CYCLES_AHEAD_MAX;
use crate::references::References;
use crate::rules::{Faults, Rule};
use crate::wire::{MarkRequest, Message, Payload, StrategyBytes};

use tree::Tree;
use verdict::Verdict;
use waves::{Coordination, Round};

/// How a cycle ended.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CycleEnding {
    /// Everybody agreed; what was condemned may be reclaimed.
    Swept,
    /// Somebody voted against it.
    VotedDown,
    /// It took too long.
    TimedOut,
    /// The membership changed.
    MembershipChanged,
    /// The coordinator gave it up, for one of these reasons, or a newer cycle has begun, or this node or one below it has objected, and did not wait for the others,
    /// or a member has not been heard of for a lease.
    Abandoned,
}

/// What a marking cycle wants from the node around it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkNotice {
    /// A cycle begins: barrier on, take roots.
    Begin(CycleId),
    /// These objects of ours have been reached.
    Shade {
        /// The cycle.
        cycle: CycleId,
        /// What was reached.
        objects: Vec<Object>,
        /// The number of this hand-over.
        number: u64,
    },
    /// The strategy of another node says something to ours.
    Strategy {
        /// The cycle.
        cycle: CycleId,
        /// Who says it.
        from: Life,
        /// What it says.
        bytes: Vec<u8>,
        /// The number of this hand-over.
        number: u64,
    },
    /// Marking has ended everywhere: verdict and proof are wanted.
    Decide(CycleId),
    /// What was condemned here may be reclaimed.
    Sweep(CycleId),
    /// The cycle has ended. If it was not swept, nothing of it may be used.
    Ended(CycleId, CycleEnding),
}

/// What a step brought about.
#[derive(Debug, Clone, Default)]
pub struct MarkOutput {
    /// What is to be sent. To oneself is possible.
    pub messages: Vec<(Life, Message)>,
    /// What is to be done here.
    pub notices: Vec<MarkNotice>,
}

#[derive(Debug, Clone)]
struct Running {
    cycle: CycleId,
    sent: u64,
    received: u64,
    /// Hand-overs to the heap.
    handed: u64,
    /// The last hand-over that the heap has worked off, while it has nothing to mark.
    worked_off: Option<u64>,
    requested: BTreeSet<Reference>,
    /// Objects of ours that others have asked for: once is enough in a cycle.
    shaded: BTreeSet<Object>,
    /// The last mention to each home when the cycle began here.
    mentions: BTreeMap<Life, u64>,
    /// The last wave that was asked, 0 for none.
    wave: u32,
    totals: Round,
    verdict: Verdict,
    deadline: Nanos,
    /// Only where the cycle was started.
    coordination: Option<Coordination>,
}

/// Times of marking cycles.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkConfig {
    /// How long the coordinator waits between waves at least. A pause grows with the cycle.
    pub wave_every: Nanos,
    /// After this long a cycle is given up.
    pub timeout: Nanos,
}

/// The marking cycles of one node.
#[derive(Debug, Clone)]
pub struct Mark {
    me: Life,
    config: MarkConfig,
    epoch: MembershipEpoch,
    members: BTreeSet<Life>,
    tree: Tree,
    /// The last cycle of this epoch that the coordinator has begun, as the parent says; at the coordinator, that it has.
    told: u32,
    /// The last cycle that has begun here.
    seen: CycleId,
    running: Option<Running>,
    faults: Faults,
}

impl Mark {
    /// No cycle.
    #[must_use]
    pub fn new(me: Life, config: MarkConfig, faults: Faults) -> Mark {
        Mark {
            me,
            config,
            epoch: MembershipEpoch(0),
            members: BTreeSet::new(),
            tree: Tree::default(),
            told: 0,
            seen: CycleId::NONE,
            running: None,
            faults,
        }
    }

    /// Who may start a cycle: the first of the members.
    #[must_use]
    pub fn coordinator(&self) -> Option<Life> {
        self.tree.root()
    }

    fn is_root(&self) -> bool {
        self.tree.root() == Some(self.me)
    }

    /// The cycle that runs, or none.
    #[must_use]
    pub fn cycle(&self) -> CycleId {
        self.running.as_ref().map_or(CycleId::NONE, |running| running.cycle)
    }

    fn running(&mut self, cycle: CycleId) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.cycle == cycle)
    }

    fn tell_children(&self, message: &Message, out: &mut MarkOutput) {
        out.messages.extend(self.tree.children().iter().map(|&child| (child, message.clone())));
    }

    /// Starts a cycle. False when this node may not, or one is running, or the numbers are [used up](Mark::is_used_up).
    pub fn start(&mut self, now: Nanos, references: &References, out: &mut MarkOutput) -> bool {
        let (true, None, Some(cycle)) = (self.is_root(), &self.running, self.next()) else { return false };
        self.told = cycle.number();
        self.begin(now, cycle, references, out);
        let Some(running) = self.running(cycle) else { return false };
        running.coordination = Some(Coordination::new(now));
        self.next_wave(now, out);
        true
    }

    fn next(&self) -> Option<CycleId> {
        CycleId::in_epoch(self.epoch, self.told.checked_add(1)?)
    }

    /// This membership has no numbers for further cycles: there will be some in the next one.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.next().is_none()
    }

    fn is_of_this_membership(&self, cycle: CycleId) -> bool {
        cycle.epoch() == self.epoch || !self.faults.keeps(Rule::CyclesEndWithMembership)
    }

    /// Whether the coordinator may have begun this cycle, as far as is known here. What is further ahead somebody has made up, and it must not take the numbers from those to come.
    fn is_near(&self, cycle: CycleId) -> bool {
        self.is_of_this_membership(cycle) && cycle.number() <= self.told.saturating_add(CYCLES_AHEAD_MAX)
    }

    /// A message is stamped with this cycle: it begins here before anything else of that message is looked at, if the coordinator can have begun it.
    pub fn seen(&mut self, now: Nanos, cycle: CycleId, references: &References, out: &mut MarkOutput) {
        if !self.is_root() && self.is_near(cycle) {
            self.begin(now, cycle, references, out);
        }
    }

    fn begin(&mut self, now: Nanos, cycle: CycleId, references: &References, out: &mut MarkOutput) {
        if cycle <= self.seen {
            return;
        }
        // If the newer one was made up the older one goes on elsewhere, and would wait for this node.
        self.object(CycleEnding::Abandoned, out);
        self.end(CycleEnding::Abandoned, out);
        self.seen = cycle;
        self.running = Some(Running {
            cycle,
            sent: 0,
            received: 0,
            handed: 0,
            worked_off: None,
            requested: BTreeSet::new(),
            shaded: BTreeSet::new(),
            mentions: references.homes().map(|home| (home, references.last_mention(home))).collect(),
            wave: 0,
            totals: Round::default(),
            verdict: Verdict::default(),
            deadline: now.saturating_add(self.config.timeout),
            coordination: None,
        });
        out.notices.push(MarkNotice::Begin(cycle));
        if self.faults.keeps(Rule::PinsAreRoots) {
            let pinned: Vec<Reference> =
                references.pinned().filter(|pinned| pinned.home != self.me).collect();
            self.reached(cycle, pinned, references, out);
        }
    }

    /// Hands objects over that other nodes have reached.
    fn shade(&mut self, cycle: CycleId, mut objects: Vec<Object>, out: &mut MarkOutput) {
        let Some(running) = self.running(cycle) else { return };
        objects.retain(|&object| running.shaded.insert(object));
        if !objects.is_empty() {
            running.handed += 1;
            out.notices.push(MarkNotice::Shade { cycle, objects, number: running.handed });
        }
    }

    /// Hands an object over that was mentioned or is being sent. Whoever passed it on had it from somebody that has marked it or will, so nobody waits for this:
    /// it only makes the mark more exact, and busy mutators cannot keep a cycle from ending.
    fn shade_lightly(&mut self, object: Object, out: &mut MarkOutput) {
        if let Some(running) = self.running.as_ref().filter(|running| !running.shaded.contains(&object)) {
            let (cycle, number) = (running.cycle, running.handed);
            out.notices.push(MarkNotice::Shade { cycle, objects: vec![object], number });
        }
    }

    /// The heap has reached these references to objects elsewhere. Each is said once; one that was registered in this cycle is not said, because its home
    /// has shaded it on the mention. So a cycle sends at most as many marks as there were stubs when it began.
    pub fn reached(
        &mut self,
        cycle: CycleId,
        reached: impl IntoIterator<Item = Reference>,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let Some(running) = self.running.as_mut().filter(|running| running.cycle == cycle) else { return };
        for reference in reached {
            let before = running.mentions.get(&reference.home).copied().unwrap_or(0);
            if references.mention(reference).is_none_or(|mention| mention > before) {
                continue;
            }
            if self.members.contains(&reference.home)
                && reference.home != self.me
                && running.requested.insert(reference)
            {
                running.sent += 1;
                let request = MarkRequest { cycle, objects: vec![reference.object] };
                out.messages.push((reference.home, Message::MarkRequest(request)));
            }
        }
    }

    /// Another node has reached objects of ours. Only for what it is listed for can that be: links keep the order, and it was registered before it marks. What it may have been taken off for
    /// meanwhile is pinned by whoever sends it again.
    pub fn requested(
        &mut self,
        from: Life,
        request: MarkRequest,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let MarkRequest { cycle, mut objects } = request;
        let Some(running) = self.running(cycle) else { return };
        running.received += objects.len() as u64;
        objects.retain(|&object| references.lists(object, from));
        match &running.verdict.condemned {
            Some(condemned) => {
                if objects.iter().any(|object| condemned.objects.contains(object)) {
                    self.refuted(out);
                }
            }
            None => self.shade(cycle, objects, out),
        }
    }

    /// There is no such object here, so nothing is kept for it, whoever named it.
    pub fn root_refused(&mut self, object: Object) {
        if let Some(running) = &mut self.running {
            running.shaded.remove(&object);
            running.verdict.forget(object);
        }
    }

    /// The strategy here says something to the one there.
    pub fn strategy_says(&mut self, cycle: CycleId, to: Life, bytes: Vec<u8>, out: &mut MarkOutput) {
        let known = self.members.contains(&to);
        if let Some(running) = self.running(cycle).filter(|_| known) {
            running.sent += 1;
            out.messages.push((to, Message::StrategyBytes(StrategyBytes { cycle, bytes: Payload(bytes) })));
        }
    }

    /// The strategy there has said something.
    pub fn strategy_said(&mut self, from: Life, said: StrategyBytes, out: &mut MarkOutput) {
        let Some(running) = self.running(said.cycle) else { return };
        running.received += 1;
        running.handed += 1;
        let number = running.handed;
        out.notices.push(MarkNotice::Strategy { cycle: said.cycle, from, bytes: said.bytes.0, number });
    }

    /// A reference has arrived in a message, or is being sent: it is a root of the running cycle, and vetoes a verdict that condemned it.
    pub fn touched(
        &mut self,
        reference: Reference,
        arrived: bool,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let rule = if arrived { Rule::ArrivalsVeto } else { Rule::PinsAreRoots };
        let Some(running) = self.running.as_ref().filter(|_| self.faults.keeps(rule)) else { return };
        let (cycle, own) = (running.cycle, reference.home == self.me);
        match &running.verdict.condemned {
            Some(condemned) => {
                let object = own && condemned.objects.contains(&reference.object);
                if object || condemned.stubs.contains(&reference) {
                    self.refuted(out);
                }
            }
            None if own => self.shade_lightly(reference.object, out),
            None => self.reached(cycle, [reference], references, out),
        }
    }

    /// A member has not been heard of for a lease. The coordinator gives the cycle up for all: what is still to come of that member, its agreement or its sweep, would
    /// keep everybody until the deadline. Any other node ends it if the silent one is its parent or a child.
    pub fn lost(&mut self, member: Life, out: &mut MarkOutput) {
        let neighbour = self.tree.parent() == Some(member) || self.tree.has_child(member);
        if (self.is_root() || neighbour) && !self.is_in_doubt() {
            self.object(CycleEnding::Abandoned, out);
        }
    }

    fn end(&mut self, why: CycleEnding, out: &mut MarkOutput) {
        if let Some(running) = self.running.take() {
            out.notices.push(MarkNotice::Ended(running.cycle, why));
        }
    }

    /// Another membership.
    pub fn membership_changed(
        &mut self,
        epoch: MembershipEpoch,
        members: &BTreeSet<Life>,
        out: &mut MarkOutput,
    ) {
        if self.faults.keeps(Rule::CyclesEndWithMembership) {
            self.end(CycleEnding::MembershipChanged, out);
        }
        self.epoch = epoch;
        self.members.clone_from(members);
        self.tree = Tree::of(self.me, members);
        self.told = 0;
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Nanos, out: &mut MarkOutput) {
        let Some(running) = &self.running else { return };
        if running.deadline <= now {
            return if self.is_in_doubt() {
                self.end(CycleEnding::TimedOut, out);
            } else {
                self.object(CycleEnding::TimedOut, out);
            };
        }
        if running.coordination.as_ref().is_some_and(|coordination| coordination.wave_at <= now) {
            self.next_wave(now, out);
        }
    }

    /// When something is to be done next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        let running = self.running.as_ref()?;
        let wave = running.coordination.as_ref().map(|coordination| coordination.wave_at);
        Some(wave.map_or(running.deadline, |wave| wave.min(running.deadline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::references::Output;
    use crate::wire::{CondemnedStubs, Mention};

    const OBJECT: Object = Object { cell: 7, generation: 0 };

    /// A cycle at its coordinator, where a client is listed for one object.
    fn with_a_client(client: Life) -> (Mark, References, CycleId) {
        let (me, config) = (Life::new(1, 1), MarkConfig { wave_every: 1, timeout: 1 });
        let (mut mark, mut references) = (Mark::new(me, config, Faults::default()), listing_nobody(me));
        let mention = Mention { object: OBJECT, seq: 1 };
        references.mentioned(client, &mention, true, &mut Output::default());
        let mut out = MarkOutput::default();
        mark.membership_changed(MembershipEpoch(1), &BTreeSet::from([me, client]), &mut out);
        assert!(mark.start(0, &references, &mut out));
        let cycle = mark.cycle();
        (mark, references, cycle)
    }

    fn listing_nobody(me: Life) -> References {
        References::new(me, Faults::default())
    }

    #[test]
    fn marks_and_reports_of_what_a_node_is_not_listed_for_leave_nothing() {
        let client = Life::new(2, 1);
        let (mut mark, mut references, cycle) = with_a_client(client);
        let made_up = (0..1000).map(|cell| Object { cell, generation: 1 });
        let objects: Vec<Object> = made_up.chain([OBJECT]).collect();
        let mut out = MarkOutput::default();
        mark.requested(client, MarkRequest { cycle, objects: objects.clone() }, &references, &mut out);
        let report = CondemnedStubs { cycle, objects, last: true };
        mark.reported(client, report, &references, &mut out);
        let running = mark.running.as_ref().unwrap();
        assert_eq!((running.received, running.shaded.len()), (1001, 1));
        assert_eq!(running.verdict.reported_count(), 1);
        let shade = MarkNotice::Shade { cycle, objects: vec![OBJECT], number: 1 };
        assert_eq!(out.notices, [shade]);
        // The heap has no such object either: it was listed for as long as that was not known.
        references.root_refused(OBJECT, &mut Output::default());
        mark.root_refused(OBJECT);
        let running = mark.running.as_ref().unwrap();
        assert_eq!((running.shaded.len(), running.verdict.reported_count()), (0, 0));
    }

    #[test]
    fn after_the_last_number_there_is_none() {
        let (me, config) = (Life::new(1, 1), MarkConfig { wave_every: 1, timeout: 1 });
        let mut mark = Mark::new(me, config, Faults::default());
        let (references, mut out) = (listing_nobody(me), MarkOutput::default());
        mark.membership_changed(MembershipEpoch(7), &BTreeSet::from([me]), &mut out);
        mark.told = u32::MAX - 1;
        assert!(mark.start(0, &references, &mut out) && mark.is_used_up());
        mark.end(CycleEnding::Abandoned, &mut out);
        assert!(!mark.start(0, &references, &mut out), "there is no number for it");
        mark.membership_changed(MembershipEpoch(8), &BTreeSet::from([me]), &mut out);
        assert!(!mark.is_used_up() && mark.start(0, &references, &mut out));
    }
}
