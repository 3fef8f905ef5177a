//! One marking cycle over all nodes: what the host keeps of it, and the proof that needs no trust in whoever marked.
//!
//! A garbage cycle that spans nodes is held only by scions. To find it, all nodes mark together from everything but scions; what a node reaches elsewhere it
//! says to that home. The strategies do the marking. The host carries the messages, finds out when nothing is left to do, and then *does not believe* the
//! result: it goes through a proof of the whole cluster.
//!
//! ```text
//!  coordinator  start ──▶ marks, waves ... ──▶ decide ──▶ each node: verdict, local proof, lists of condemned stubs to their homes
//!                                                         │ all have proved
//!                                              votes ◀────┘ ──▶ all agreed? ──▶ sweep
//!                                                                no, late, changed ──▶ abort
//! ```
//!
//! # Termination
//!
//! Four counters (Mattern 1987). A wave asks every node for its totals of marks sent and received, and whether it is passive. Marking has ended when two
//! waves in a row found everybody passive and what the first found received is what the second found sent. A mutator that makes a passive node active by
//! itself (its barrier shades) does no harm: it either sends a mark, which shows in the second wave, or its work was local and is done.
//!
//! Passive means that the heap has worked off all that it was handed to shade. Each hand-over has a number, and "passive" names the last one that was worked
//! off, so a report that crosses with a hand-over says nothing.
//!
//! # The proof of the whole cluster
//!
//! Node N condemns C(N): objects and stubs. Its own proof shows that nothing that survives at N refers into C(N), with all roots of N surviving, and with every
//! scion surviving whose object is not in C(N). What is left to show is that the scions of condemned objects may be ignored. N tells every home which of its stubs of
//! that home are in C(N). When all have proved, votes are called, and N votes for the sweep only if
//!
//! 1. each client that was listed for an object of C(N) at N's proof is a member, and its list for this cycle (so for this membership, and from this life) is complete and
//!    has its stub of that object;
//! 2. nothing in C(N) was pinned at N's proof, or has been sent since;
//! 3. nothing in C(N) has arrived in a message since N's proof: no copy of it, no mention of it.
//!
//! The sweep begins only if all have voted for it. *Claim: then nothing in any C is reachable, now or later.* Suppose the contrary and take the first moment, over all
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
//! the others. An abort is always safe. What a coordinator says of the votes of others is believed; all else is checked by whom it concerns. A cycle is bound to a membership by its name; any change aborts it. Nothing is ever swept on a partial mark.
//!
//! Positive lists (what is condemned) and not lists of survivors: what is missing, late or newly listed is then kept without anybody having to notice.
//!
//! Papers: Mattern, *Algorithms for distributed termination detection*, 1987; Lang, Queinnec, Piquer, *Garbage collecting the world*, 1992 (groups: clients outside
//! the membership are roots); Yuasa 1990 (the snapshot).

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{CycleId, Life, MembershipEpoch, Nanos, Object, Reference};
use crate::limits::ENTRIES_PER_MESSAGE_MAX;
use crate::references::References;
use crate::rules::{Faults, Rule};
use crate::wire::{CondemnedStubs, MarkRequest, Message, Payload, StrategyBytes, Vote, Wave, WaveAnswer};

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
    /// The coordinator gave it up, for one of these reasons, or a newer cycle has begun, or this node has voted against it and did not wait for the others,
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

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
struct Totals {
    passive: bool,
    sent: u64,
    received: u64,
}

/// What only the coordinator keeps.
#[derive(Debug, Clone, Default)]
struct Coordination {
    wave: u32,
    answers: BTreeMap<Life, Totals>,
    previous: Option<Totals>,
    wave_at: Nanos,
    decided: bool,
    proved: BTreeSet<Life>,
    votes: BTreeSet<Life>,
}

#[derive(Debug, Clone, Default)]
struct Condemned {
    objects: BTreeSet<Object>,
    stubs: BTreeSet<Reference>,
    /// Who was listed for these objects at the proof.
    listed: Vec<(Object, Life)>,
}

#[derive(Debug, Clone, Default)]
struct Report {
    objects: BTreeSet<Object>,
    complete: bool,
}

#[derive(Debug, Clone)]
struct Running {
    cycle: CycleId,
    sent: u64,
    received: u64,
    /// Hand-overs to the heap.
    handed: u64,
    /// The last hand-over that the heap has worked off.
    worked_off: Option<u64>,
    requested: BTreeSet<Reference>,
    /// Objects of ours that others have asked for: once is enough in a cycle.
    shaded: BTreeSet<Object>,
    /// The last mention to each home when the cycle began here.
    mentions: BTreeMap<Life, u64>,
    condemned: Option<Condemned>,
    reports: BTreeMap<Life, Report>,
    vetoed: bool,
    votes_called: bool,
    /// What this node has voted.
    voted: Option<bool>,
    deadline: Nanos,
    coordination: Option<Coordination>,
}

/// Times of marking cycles.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkConfig {
    /// How long the coordinator waits between waves.
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
    number: u32,
    seen: CycleId,
    running: Option<Running>,
    faults: Faults,
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
    /// No cycle.
    #[must_use]
    pub fn new(me: Life, config: MarkConfig, faults: Faults) -> Mark {
        Mark {
            me,
            config,
            epoch: MembershipEpoch(0),
            members: BTreeSet::new(),
            number: 0,
            seen: CycleId::NONE,
            running: None,
            faults,
        }
    }

    /// Who may start a cycle: the first of the members.
    #[must_use]
    pub fn coordinator(&self) -> Option<Life> {
        self.members.first().copied()
    }

    /// The cycle that runs, or none.
    #[must_use]
    pub fn cycle(&self) -> CycleId {
        self.running.as_ref().map_or(CycleId::NONE, |running| running.cycle)
    }

    fn broadcast(&self, message: &Message, out: &mut MarkOutput) {
        out.messages.extend(self.members.iter().map(|&member| (member, message.clone())));
    }

    /// Starts a cycle. False when this node may not, or one is running.
    pub fn start(&mut self, now: Nanos, references: &References, out: &mut MarkOutput) -> bool {
        let next = CycleId::in_epoch(self.epoch, self.number + 1);
        let (true, None, Some(cycle)) = (self.coordinator() == Some(self.me), &self.running, next) else {
            return false;
        };
        self.number += 1;
        self.seen(now, cycle, references, out);
        if let Some(running) = &mut self.running {
            let wave_at = now.saturating_add(self.config.wave_every);
            running.coordination = Some(Coordination { wave_at, ..Coordination::default() });
        }
        let others = self.members.iter().filter(|&&member| member != self.me);
        out.messages.extend(others.map(|&member| (member, Message::CycleStart(cycle))));
        true
    }

    /// A message was stamped with this cycle, or starts it: it begins here before anything else of that message is looked at.
    pub fn seen(&mut self, now: Nanos, cycle: CycleId, references: &References, out: &mut MarkOutput) {
        if cycle <= self.seen || cycle.epoch() != self.epoch {
            return;
        }
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
            condemned: None,
            reports: BTreeMap::new(),
            vetoed: false,
            votes_called: false,
            voted: None,
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

    fn running(&mut self, cycle: CycleId) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.cycle == cycle)
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

    /// Another node has reached objects of ours.
    pub fn requested(&mut self, request: MarkRequest, out: &mut MarkOutput) {
        let Some(running) = self.running(request.cycle) else { return };
        running.received += request.objects.len() as u64;
        match &running.condemned {
            Some(condemned) => {
                running.vetoed |= request.objects.iter().any(|object| condemned.objects.contains(object));
            }
            None => self.shade(request.cycle, request.objects, out),
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
        let (keeps, me, coordinator) = (self.faults.keeps(rule), self.me, self.coordinator());
        let Some(running) = self.running.as_mut().filter(|_| keeps) else { return };
        let cycle = running.cycle;
        match &running.condemned {
            Some(condemned) => {
                let own = reference.home == me && condemned.objects.contains(&reference.object);
                if own || condemned.stubs.contains(&reference) {
                    running.vetoed = true;
                    if running.voted.is_some() {
                        let vote = Message::Vote(Vote { cycle, agreed: false });
                        out.messages.extend(coordinator.map(|coordinator| (coordinator, vote)));
                    }
                }
            }
            None if reference.home == me => self.shade_lightly(reference.object, out),
            None => self.reached(cycle, [reference], references, out),
        }
    }

    /// The heap has nothing left to mark, with everything up to this hand-over worked off.
    pub fn passive(&mut self, cycle: CycleId, worked_off: u64) {
        if let Some(running) = self.running(cycle) {
            running.worked_off = Some(worked_off);
        }
    }

    /// The heap has something to mark again.
    pub fn active(&mut self, cycle: CycleId) {
        if let Some(running) = self.running(cycle) {
            running.worked_off = None;
        }
    }

    /// The coordinator asks.
    pub fn wave(&mut self, from: Life, wave: &Wave, out: &mut MarkOutput) {
        let Some(running) = self.running(wave.cycle) else { return };
        let answer = WaveAnswer {
            cycle: wave.cycle,
            number: wave.number,
            passive: running.worked_off == Some(running.handed),
            sent: running.sent,
            received: running.received,
        };
        out.messages.push((from, Message::WaveAnswer(answer)));
    }

    /// A node answers a wave.
    pub fn wave_answered(&mut self, now: Nanos, from: Life, answer: &WaveAnswer, out: &mut MarkOutput) {
        let (members, every) = (self.members.len(), self.config.wave_every);
        let two_waves = self.faults.keeps(Rule::TwoWaves);
        let Some(coordination) = self.running(answer.cycle).and_then(|running| running.coordination.as_mut())
        else {
            return;
        };
        if answer.number != coordination.wave || coordination.decided {
            return;
        }
        let totals = Totals { passive: answer.passive, sent: answer.sent, received: answer.received };
        coordination.answers.insert(from, totals);
        if coordination.answers.len() < members {
            return;
        }
        let sum = coordination.answers.values().fold(
            Totals { passive: true, sent: 0, received: 0 },
            |sum, totals| Totals {
                passive: sum.passive && totals.passive,
                sent: sum.sent.saturating_add(totals.sent),
                received: sum.received.saturating_add(totals.received),
            },
        );
        let agrees = |previous: Totals| previous.passive && previous.received == sum.sent;
        coordination.decided = sum.passive && (coordination.previous.is_some_and(agrees) || !two_waves);
        coordination.previous = Some(sum);
        coordination.answers.clear();
        coordination.wave_at = now.saturating_add(every);
        if coordination.decided {
            self.broadcast(&Message::CycleDecide(answer.cycle), out);
        }
    }

    /// Marking has ended everywhere.
    pub fn decide(&mut self, cycle: CycleId, out: &mut MarkOutput) {
        if self.running(cycle).is_some() {
            out.notices.push(MarkNotice::Decide(cycle));
        }
    }

    /// The heap has a verdict and has proved it, with the scions of these objects ignored.
    pub fn proved(
        &mut self,
        cycle: CycleId,
        objects: BTreeSet<Object>,
        stubs: BTreeSet<Reference>,
        references: &References,
        out: &mut MarkOutput,
    ) {
        let pins_count = self.faults.keeps(Rule::PinsAreRoots);
        let Some(running) = self.running.as_mut().filter(|running| running.cycle == cycle) else { return };
        if running.condemned.is_some() {
            return;
        }
        running.vetoed |= pins_count && is_pinned(references, &objects, &stubs);
        // Every home that this node ever had stubs of hears of it: a list that is empty says so.
        for home in references.homes().filter(|home| self.members.contains(home)) {
            report(cycle, home, &stubs, out);
        }
        let listed = objects
            .iter()
            .flat_map(|&object| references.clients_of(object).map(move |client| (object, client)));
        let listed = listed.collect();
        running.condemned = Some(Condemned { objects, stubs, listed });
        out.messages.extend(self.coordinator().map(|first| (first, Message::CycleProved(cycle))));
    }

    /// A node has proved its verdict. When all have, votes are called.
    pub fn member_proved(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        let members = self.members.len();
        let Some(coordination) = self.running(cycle).and_then(|running| running.coordination.as_mut()) else {
            return;
        };
        if coordination.proved.insert(from) && coordination.proved.len() == members {
            self.broadcast(&Message::CycleVote(cycle), out);
        }
    }

    /// The coordinator calls for votes.
    pub fn votes_called(&mut self, cycle: CycleId, references: &References, out: &mut MarkOutput) {
        if let Some(running) = self.running(cycle) {
            running.votes_called = true;
            self.vote_if_ready(references, out);
        }
    }

    /// The heap has no verdict, or could not prove it, or has found since that it does not hold. Without this node's vote nothing is swept anywhere, so unless it has
    /// agreed the cycle ends here at once: nobody waits for a coordinator that may be silent. Once it has agreed, others may be sweeping, and it waits for word.
    pub fn failed(&mut self, cycle: CycleId, out: &mut MarkOutput) {
        let (me, coordinator) = (self.me, self.coordinator());
        let (Some(running), Some(coordinator)) = (self.running(cycle), coordinator) else { return };
        let agreed = running.voted == Some(true);
        running.vetoed = true;
        running.voted = running.voted.or(Some(false));
        out.messages.push((coordinator, Message::Vote(Vote { cycle, agreed: false })));
        // The coordinator hears its own vote in this very step, and gives the cycle up for all.
        if !agreed && coordinator != me {
            self.end(CycleEnding::Abandoned, out);
        }
    }

    /// A member has not been heard of for a lease. The coordinator gives the cycle up for all: what is still to come of that member, its vote or its sweep, would
    /// keep everybody until the deadline. Any other node ends it if the silent one is its coordinator, unless it has agreed: others may be sweeping.
    pub fn lost(&mut self, member: Life, out: &mut MarkOutput) {
        let coordinator = self.coordinator();
        let Some(running) = &self.running else { return };
        if coordinator == Some(self.me) {
            self.give_up(CycleEnding::Abandoned, out);
        } else if coordinator == Some(member) && running.voted != Some(true) {
            self.failed(running.cycle, out);
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
        let kept = running.reports.entry(from).or_default();
        kept.objects.extend(report.objects);
        kept.complete |= report.last;
        self.vote_if_ready(references, out);
    }

    /// Votes when votes are called and every list that matters has come.
    fn vote_if_ready(&mut self, references: &References, out: &mut MarkOutput) {
        let Some(coordinator) = self.coordinator() else { return };
        let Some(running) = self.running.as_mut().filter(|it| it.votes_called && it.voted.is_none()) else {
            return;
        };
        let Some(condemned) = &running.condemned else { return };
        let need = self.faults.keeps(Rule::ScionsNeedReports);
        let said = |client: &Life| running.reports.get(client).filter(|report| report.complete);
        let late = |(_, client): &&(Object, Life)| self.members.contains(client) && said(client).is_none();
        if need && !running.vetoed && condemned.listed.iter().any(|listed| late(&listed)) {
            return;
        }
        let let_go = |(object, client): &(Object, Life)| {
            self.members.contains(client)
                && said(client).is_some_and(|report| report.objects.contains(object))
        };
        let pins_count = self.faults.keeps(Rule::PinsAreRoots);
        let pinned = pins_count && is_pinned(references, &condemned.objects, &condemned.stubs);
        let agreed = !running.vetoed && !pinned && (!need || condemned.listed.iter().all(let_go));
        running.voted = Some(agreed);
        out.messages.push((coordinator, Message::Vote(Vote { cycle: running.cycle, agreed })));
    }

    /// A node votes.
    pub fn voted(&mut self, from: Life, vote: &Vote, out: &mut MarkOutput) {
        let (members, unanimous) = (self.members.len(), self.faults.keeps(Rule::SweepIsUnanimous));
        let Some(coordination) = self.running(vote.cycle).and_then(|running| running.coordination.as_mut())
        else {
            return;
        };
        if vote.agreed || !unanimous {
            coordination.votes.insert(from);
            if coordination.votes.len() == members {
                self.broadcast(&Message::CycleSweep(vote.cycle), out);
            }
        } else {
            self.give_up(CycleEnding::VotedDown, out);
        }
    }

    /// The coordinator says that all have agreed.
    pub fn swept(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        let agreed = self.coordinator() == Some(from);
        if agreed && self.running(cycle).is_some_and(|running| running.condemned.is_some()) {
            out.notices.push(MarkNotice::Sweep(cycle));
            self.end(CycleEnding::Swept, out);
        }
    }

    /// The coordinator gives the cycle up.
    pub fn aborted(&mut self, from: Life, cycle: CycleId, out: &mut MarkOutput) {
        if self.coordinator() == Some(from) && self.running(cycle).is_some() {
            self.end(CycleEnding::Abandoned, out);
        }
    }

    fn give_up(&mut self, why: CycleEnding, out: &mut MarkOutput) {
        let cycle = self.cycle();
        let others = self.members.iter().filter(|&&member| member != self.me);
        out.messages.extend(others.map(|&member| (member, Message::CycleAbort(cycle))));
        self.end(why, out);
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
        self.end(CycleEnding::MembershipChanged, out);
        self.epoch = epoch;
        self.members.clone_from(members);
        self.number = 0;
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Nanos, out: &mut MarkOutput) {
        let Some(running) = &mut self.running else { return };
        let cycle = running.cycle;
        if running.deadline <= now {
            if running.coordination.is_some() {
                self.give_up(CycleEnding::TimedOut, out);
            } else {
                self.end(CycleEnding::TimedOut, out);
            }
            return;
        }
        if let Some(coordination) = &mut running.coordination
            && !coordination.decided
            && coordination.answers.is_empty()
            && coordination.wave_at <= now
        {
            coordination.wave += 1;
            coordination.wave_at = Nanos::MAX;
            let wave = Message::Wave(Wave { cycle, number: coordination.wave });
            self.broadcast(&wave, out);
        }
    }

    /// When something is to be done next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        let running = self.running.as_ref()?;
        let wave = running.coordination.as_ref().filter(|coordination| !coordination.decided);
        Some(wave.map_or(running.deadline, |wave| wave.wave_at.min(running.deadline)))
    }
}
