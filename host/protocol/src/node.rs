//! One node of the cluster: the machine that composes all the others. `gc-cluster` and `gc-sim` are thin shells around it.
//!
//! ```text
//!        connections, frames, time                     frames, closings
//!  shell ─────────────────────────▶ ┌──────────┐ ─────────────────────────▶ shell
//!        messages with references   │   Node   │  messages with references
//!  app   ─────────────────────────▶ │          │ ─────────────────────────▶ app
//!        drops, verdicts            └──────────┘  root, unroot, shade, sweep
//!  heap  ─────────────────────────▶                ─────────────────────────▶ heap
//!        memberships                               proposals
//!  coordinator ───────────────────▶                ─────────────────────────▶ coordinator
//! ```
//!
//! # How to drive it
//!
//! Call [`Node::step`] with the time and an event. Do the effects, in order, before the next step. Feed [`Event::Ticked`] at [`Node::next_wake`]. That is all:
//! the node has no clock, no threads and no IO, so two runs with the same events are the same run.
//!
//! 1. Time is monotonic and counts suspend. A step with an earlier time is taken as at the latest one.
//! 2. **Sending.** [`Event::SendRequested`] while the sender still holds every reference; [`Effect::Root`] is among its effects.
//! 3. **Receiving.** During [`Effect::Deliver`] every reference becomes something that the local heap holds: an object of its own, or a stub. The acknowledgement that
//!    lets the sender's pin go is an effect that comes later. A stub for which the heap has no room at the moment may come later too: until it is dropped by the number of this
//!    delivery, the home lists it. Meanwhile a cycle is told that it is reached, and no verdict may name it.
//! 4. **Dropping.** When the local heap has freed a stub it says so with the import number of its last delivery, once. If a delivery came in between, the number
//!    is too old and the drop is ignored: the stub that the delivery made is another one.
//! 5. **Rooting.** Between `Root` and `Unroot` an object is a root of the local heap, except in a marking cycle of the cluster, where only
//!    [`Node::cycle_roots`] are.
//! 6. **Connections.** One per pair. Which side opens it is the shell's business. After [`Effect::Close`] the node has forgotten the connection, and the shell may try again
//!    with a back-off. Frames must arrive at the node that they were sent to or not at all; loss, repetition and disorder are survived.
//! 7. **Membership.** Comes from whoever coordinates, at every node in rising numbers; nodes may learn of it at different times. A node that joins must be told the membership
//!    that has it in. Until the first membership a node talks to nobody. When a connection is closed over who is a member ([`Refusal::NotAMember`], [`Refusal::ByPeer`] with 6, 7 or 8)
//!    the shell asks the coordinator for the present membership, and feeds it in: this node may be the one that was exiled.
//! 8. **Exile.** A coordinator that acts on [`Effect::ProposeExile`] should wait until members that make at least half of the present membership propose it, and at least half of
//!    every membership since the last one that the client is known to have taken; proposals count in the membership that they were made in. Then the client has fenced
//!    itself ([`Effect::Fence`]) before it is out, also if it believes in an older membership and other exiles keep it company. Where it does not come to that it
//!    must answer [`Event::ExileDeclined`]: until then the home renews no lease of that client.
//! 9. **Marking.** One member, the first, takes [`Event::CycleRequested`]. Every node: `BeginCycle` → mark, say [`Event::StubsReached`] for every stub that is reached,
//!    take `Shade` as roots → [`Event::MarkingRested`] whenever nothing is left → `DecideCycle` → [`Event::Proved`] → `Sweep`, `CycleEnded`. What is allocated or delivered during the
//!    cycle is marked from the start. After `Proved`, something condemned that is looked up locally must be answered with [`Event::ProofFailed`].
//!
//! # Invariants
//!
//! 1. What a peer sends can change what is kept for that peer, and nothing else. The worst it can do with a lie is to lose its own references. The two exceptions are what members
//!    say of each other's votes in a marking cycle ([`crate::mark`]), and which strategy the cluster runs: any member may say that ([`crate::swap`]). A strategy has no power over memory, and what it
//!    condemns is proved.
//! 2. A step never panics on what comes from outside, and never waits. Its work is bounded by the frame or list that it is given, except for
//!    exile, which reads the scions once, and the comparison of a digest that differs, which reads one table. A peer may have that compared once in half an interval, and
//!    the scions read twice in a step and [`SET_READS_MAX`](crate::limits::SET_READS_MAX) times in that interval.
//! 3. Nothing grows without a bound of `limits.rs`, except tables that are bounded by the heaps: a stub is a cell of this heap, a scion entry an object of this heap and
//!    a member, an unanswered message one of those.
//! 4. No message concerning references is lost between two living members, whatever happens to connections ([`crate::session`]).

mod event;
mod ingress;
mod outbox;
mod status;
mod time;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::exile::Exile;
use crate::ids::{Life, MembershipEpoch, Nanos, NodeId, Reference};
use crate::lease::Leases;
use crate::limits::{COPIES_OPEN_MAX, ENTRIES_PER_MESSAGE_MAX, PAYLOAD_BYTES_MAX, REFERENCES_PER_COPY_MAX};
use crate::mark::{Mark, MarkNotice, MarkOutput};
use crate::phi::Phi;
use crate::references::{NotSendable, Notice, Output, References};
use crate::session::{Link, Stamps};
use crate::swap::{Swap, SwapNotice, SwapOutput};
use crate::wire::{Copy, ExileAck, Message, Payload};

pub use event::{Config, Effect, Event, Refusal};
use outbox::Outbox;
pub use status::{Counters, PeerStatus};

/// What is kept for one member other than this node.
#[derive(Debug, Clone)]
struct Peer {
    link: Link,
    outbox: Outbox,
    phi: Phi,
    digest_at: Nanos,
    /// The peer, as home, has been sent a digest, and may answer it with its hashes.
    asked: bool,
    /// Before this no further digest of the peer is compared.
    compares_at: Nanos,
    /// How often sets of buckets may still be read of the peer: each time the table is.
    set_reads_left: usize,
    /// The lease for which the whole set was sent.
    reregistering: u64,
    /// See [`PeerStatus::unfounded`].
    unfounded: u64,
}

/// A node. See the top of this file for how to drive it.
#[derive(Debug, Clone)]
pub struct Node {
    config: Config,
    now: Nanos,
    /// Connections that there are, members or not: our wall clock when they were made, and our clock then.
    connections: BTreeMap<NodeId, (u64, Nanos)>,
    peers: BTreeMap<NodeId, Peer>,
    exile: Exile,
    exiled: bool,
    fenced: bool,
    references: References,
    leases: Leases,
    mark: Mark,
    swap: Swap,
    /// Messages to oneself.
    own: VecDeque<Message>,
    /// Peers for which something was queued in this step.
    touched: BTreeSet<NodeId>,
    /// Messages in outboxes may have become ready.
    pump: bool,
    counters: Counters,
    /// When the next lease that this node holds runs out.
    lease_ends_at: Nanos,
}

impl Node {
    /// A node without a membership.
    #[must_use]
    pub fn new(config: Config) -> Node {
        let faults = config.faults;
        let swap =
            Swap::new(config.me, config.swap, config.strategy, std::sync::Arc::clone(&config.module), faults);
        Node {
            now: 0,
            connections: BTreeMap::new(),
            peers: BTreeMap::new(),
            exile: Exile::new(faults),
            exiled: false,
            fenced: false,
            references: References::new(config.me, faults),
            leases: Leases::new(config.lease, faults),
            mark: Mark::new(config.me, config.mark, faults),
            swap,
            own: VecDeque::new(),
            touched: BTreeSet::new(),
            pump: false,
            counters: Counters::default(),
            lease_ends_at: Nanos::MAX,
            config,
        }
    }

    /// Takes an event, appends what is to be done.
    pub fn step(&mut self, now: Nanos, event: Event, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        if self.exiled {
            return;
        }
        if self.lease_ends_at <= self.now {
            // Before anything else: this process may have slept.
            self.check_leases(effects);
        }
        self.take(event, effects);
        while let Some(message) = self.own.pop_front() {
            self.message(self.config.me, message, effects);
        }
        self.pump_outboxes();
        self.flush_touched(effects);
    }

    fn take(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Ticked => self.tick(effects),
            Event::Connected { peer, wall_ms } => self.connected(peer, wall_ms),
            Event::Disconnected { peer } => {
                self.connections.remove(&peer);
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.link.disconnected();
                }
            }
            Event::Received { peer, frame } => self.received(peer, &frame, effects),
            Event::SendRequested { to, references, payload, token } => {
                if let Err(reason) = self.send(to, references, payload, token, effects) {
                    effects.push(Effect::NotSent { token, reason });
                }
            }
            Event::StubsDropped { stubs } => self.with_references(effects, |references, out| {
                stubs.iter().for_each(|&(reference, import)| references.dropped(reference, import, out));
            }),
            Event::RootRefused { object } => {
                self.mark.root_refused(object);
                self.with_references(effects, |references, out| references.root_refused(object, out));
            }
            Event::MembershipChanged { epoch, members } => self.change_membership(epoch, members, effects),
            Event::ExileDeclined { client } => self.leases.pardoned(client, self.now),
            Event::CycleRequested => self.start_cycle(effects),
            Event::StubsReached { cycle, references } => {
                self.with_mark(effects, |mark, tables, out| mark.reached(cycle, references, tables, out));
            }
            Event::MarkingRested { cycle, worked_off } => {
                let now = self.now;
                self.with_mark(effects, |mark, _, out| mark.passive(now, cycle, worked_off, out));
            }
            Event::MarkingResumed { cycle } => self.mark.active(cycle),
            Event::StrategySays { cycle, to, bytes } => {
                if let Some(to) = self.exile.member(to).filter(|_| bytes.len() <= PAYLOAD_BYTES_MAX) {
                    self.with_mark(effects, |mark, _, out| mark.strategy_says(cycle, to, bytes, out));
                }
            }
            Event::Proved { cycle, objects, stubs } => {
                self.with_mark(effects, |mark, references, out| {
                    mark.proved(cycle, objects, stubs, references, out);
                });
            }
            Event::ProofFailed { cycle } => {
                self.with_mark(effects, |mark, _, out| mark.failed(cycle, out));
            }
            Event::SwapRequested { digest, bytes } => {
                let mut out = SwapOutput::default();
                if !self.swap.propose(self.now, digest, bytes, &mut out) {
                    effects.push(Effect::SwapRefused(digest));
                }
                self.put_swap(out, effects);
            }
            Event::StrategyPrepared { digest, ready } => {
                let now = self.now;
                self.with_swap(effects, |swap, out| swap.prepared(now, digest, ready, out));
            }
        }
    }

    fn start_cycle(&mut self, effects: &mut Vec<Effect>) {
        let mut out = MarkOutput::default();
        if !self.mark.start(self.now, &self.references, &mut out) {
            let other = self.mark.coordinator().filter(|&first| first != self.config.me);
            effects.push(Effect::CycleRefused { ask: other });
        }
        self.put_mark(out, effects);
    }

    /// Takes a message of the application.
    fn send(
        &mut self,
        to: NodeId,
        references: Vec<Reference>,
        payload: Vec<u8>,
        token: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if self.fenced {
            return Err(Refusal::Fenced);
        }
        if payload.len() > PAYLOAD_BYTES_MAX || references.len() > REFERENCES_PER_COPY_MAX {
            return Err(Refusal::TooLarge);
        }
        let me = self.config.me;
        let suspect =
            references.iter().find(|reference| reference.home != me && !self.leases.trusts(reference.home));
        if let Some(&reference) = suspect {
            let known = self.exile.is_member(reference.home);
            return Err(if known {
                Refusal::LeaseLost(reference)
            } else {
                Refusal::UnknownReference(reference)
            });
        }
        let peer = self.peers.get_mut(&to).ok_or(Refusal::NoSuchMember)?;
        let open = self.references.open_copies(peer.link.peer) + references.len();
        if !peer.outbox.has_room(payload.len()) || open > COPIES_OPEN_MAX {
            return Err(Refusal::Full);
        }
        let mut out = Output::default();
        let pinned = self.references.pin(peer.link.peer, &references, &mut out);
        let first = pinned.map_err(|refused| match refused {
            NotSendable::Unknown(reference) | NotSendable::Dropped(reference) => {
                Refusal::UnknownReference(reference)
            }
        })?;
        let mut marks = MarkOutput::default();
        for &reference in &references {
            self.mark.touched(reference, false, &self.references, &mut marks);
        }
        peer.outbox.push(token, Copy { first, references, payload: Payload(payload) });
        self.pump = true;
        self.counters.copies_sent += 1;
        self.put_references(out, effects);
        self.put_mark(marks, effects);
        Ok(())
    }

    /// Moves messages of the application that may go from the outboxes to the links.
    fn pump_outboxes(&mut self) {
        if !std::mem::take(&mut self.pump) {
            return;
        }
        let me = self.config.me;
        let (references, leases, exile) = (&self.references, &self.leases, &self.exile);
        // What has died while it waited goes as it is: its receiver finds out in the same way.
        let may_leave = |&reference: &Reference| {
            let home = reference.home;
            !exile.is_member(home) || (references.may_leave(reference) && (home == me || leases.trusts(home)))
        };
        for (&node, peer) in &mut self.peers {
            while peer.link.pending_bytes() < crate::limits::OUTBOX_BYTES_MAX {
                let Some(copy) = peer.outbox.take(|copy| copy.references.iter().all(may_leave)) else {
                    break;
                };
                peer.link.queue(self.now, Message::Copy(copy), &self.config.link);
                self.touched.insert(node);
            }
        }
    }

    fn change_membership(
        &mut self,
        epoch: MembershipEpoch,
        members: BTreeSet<Life>,
        effects: &mut Vec<Effect>,
    ) {
        let departed = match self.exile.change(epoch, members) {
            Ok(departed) => departed,
            Err(refused) => return effects.push(Effect::MembershipRefused(refused)),
        };
        if !self.exile.is_member(self.config.me) {
            self.exiled = true;
            return effects.push(Effect::Exiled);
        }
        for &life in &departed {
            if let Some(peer) = self.peers.remove(&life.node) {
                if peer.link.is_connected() {
                    self.connections.remove(&life.node);
                    effects.push(Effect::Close { peer: life.node, reason: Refusal::ExiledLife });
                }
                let lost = peer.outbox.tokens();
                effects.extend(lost.map(|token| Effect::NotSent { token, reason: Refusal::NoSuchMember }));
            }
            self.leases.departed(life);
        }
        let members = self.exile.members().clone();
        for &life in members.iter().filter(|&&life| life != self.config.me) {
            self.leases.joined(life, self.now);
            if self.leases.has_lapsed(life) {
                self.leases.pardoned(life, self.now);
            }
            if !self.peers.contains_key(&life.node) {
                let peer = self.peer(life);
                self.peers.insert(life.node, peer);
            }
        }
        self.with_references(effects, |references, out| {
            references.departed(|life| departed.contains(&life), out);
        });
        let mut marks = MarkOutput::default();
        self.mark.membership_changed(epoch, &members, &mut marks);
        self.put_mark(marks, effects);
        self.with_swap(effects, |swap, out| swap.membership_changed(&members, out));
        for member in members {
            let mut admitted = self.references.admitted(member);
            // There may be a million: what a message has no room for goes before the acknowledgement, on the same link.
            while admitted.len() > ENTRIES_PER_MESSAGE_MAX {
                let rest = admitted.split_off(ENTRIES_PER_MESSAGE_MAX);
                let first = std::mem::replace(&mut admitted, rest);
                self.queue(member, Message::Dirty(first));
            }
            self.queue(member, Message::ExileAck(ExileAck { epoch: epoch.0, admitted }));
        }
        self.pump = true;
        self.update_fence(effects);
    }

    fn peer(&self, life: Life) -> Peer {
        let mut link = Link::new(life, self.config.faults);
        if self.connections.contains_key(&life.node) {
            link.connected(self.now);
        }
        Peer {
            link,
            outbox: Outbox::default(),
            phi: Phi::new(self.config.lease.renew_every),
            digest_at: self.now.saturating_add(self.config.digest_every),
            asked: false,
            compares_at: 0,
            set_reads_left: 0,
            reregistering: 0,
            unfounded: 0,
        }
    }

    /// Forgets those whom every member has left behind.
    fn forget(&mut self, effects: &mut Vec<Effect>) {
        for life in self.exile.forgettable() {
            self.with_references(effects, |references, out| references.forget_client(life, out));
            effects.push(Effect::Forgotten(life));
        }
    }

    fn queue(&mut self, to: Life, message: Message) {
        if to == self.config.me {
            self.own.push_back(message);
            return;
        }
        let Some(peer) = self.peers.get_mut(&to.node).filter(|peer| peer.link.peer == to) else { return };
        self.counters.messages_sent += message.entries();
        self.touched.insert(to.node);
        peer.link.queue(self.now, message, &self.config.link);
    }

    fn close(&mut self, node: NodeId, reason: Refusal, effects: &mut Vec<Effect>) {
        let stamps = self.stamps(node);
        if let Some(peer) = self.peers.get_mut(&node) {
            if peer.link.is_connected() {
                let frame = peer.link.unsequenced(&stamps, &[Message::Refused(reason.code())]);
                effects.push(Effect::Transmit { peer: node, frame });
            }
            peer.link.disconnected();
        }
        self.connections.remove(&node);
        self.counters.refusals += 1;
        effects.push(Effect::Close { peer: node, reason });
    }

    fn stamps(&self, node: NodeId) -> Stamps {
        let peer = self.peers.get(&node).map(|peer| peer.link.peer);
        Stamps {
            me: self.config.me,
            epoch: self.exile.epoch(),
            cycle: self.mark.cycle(),
            settled: peer.map_or(0, |peer| self.references.settled(peer)),
        }
    }

    fn flush_touched(&mut self, effects: &mut Vec<Effect>) {
        for node in std::mem::take(&mut self.touched) {
            self.flush(node, effects);
        }
    }

    fn flush(&mut self, node: NodeId, effects: &mut Vec<Effect>) {
        let stamps = self.stamps(node);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let counters = &mut self.counters;
        peer.link.flush(self.now, &stamps, &self.config.link, |frame| {
            counters.frames_sent += 1;
            counters.bytes_sent += frame.len() as u64;
            effects.push(Effect::Transmit { peer: node, frame });
        });
    }

    fn with_references(
        &mut self,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut References, &mut Output),
    ) {
        let mut out = Output::default();
        work(&mut self.references, &mut out);
        self.put_references(out, effects);
    }

    fn put_references(&mut self, out: Output, effects: &mut Vec<Effect>) {
        let mut marks = MarkOutput::default();
        for notice in out.notices {
            match notice {
                Notice::Root(object) => effects.push(Effect::Root(object)),
                Notice::Unroot(object) => effects.push(Effect::Unroot(object)),
                Notice::StubDead { reference, why } => effects.push(Effect::StubDead { reference, why }),
                Notice::Registered(_) => self.pump = true,
                Notice::Touched(reference) => {
                    self.mark.touched(reference, true, &self.references, &mut marks);
                }
                Notice::Healed { client, object, added } => {
                    self.counters.healed += 1;
                    effects.push(Effect::Healed { client, object, added });
                }
                Notice::Unfounded { client } => self.unfounded(client),
            }
        }
        for (to, message) in out.messages {
            self.queue(to, message);
        }
        self.put_mark(marks, effects);
    }

    fn unfounded(&mut self, client: Life) {
        self.counters.unfounded += 1;
        if let Some(peer) = self.peers.get_mut(&client.node).filter(|peer| peer.link.peer == client) {
            peer.unfounded += 1;
        }
    }

    fn with_mark(
        &mut self,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Mark, &References, &mut MarkOutput),
    ) {
        let mut out = MarkOutput::default();
        work(&mut self.mark, &self.references, &mut out);
        self.put_mark(out, effects);
    }

    fn put_mark(&mut self, out: MarkOutput, effects: &mut Vec<Effect>) {
        for notice in out.notices {
            effects.push(match notice {
                MarkNotice::Begin(cycle) => Effect::BeginCycle(cycle),
                MarkNotice::Shade { cycle, objects, number } => Effect::Shade { cycle, objects, number },
                MarkNotice::Strategy { cycle, from, bytes, number } => {
                    Effect::StrategySaid { cycle, from, bytes, number }
                }
                MarkNotice::Decide(cycle) => Effect::DecideCycle(cycle),
                MarkNotice::Sweep(cycle) => Effect::Sweep(cycle),
                MarkNotice::Ended(cycle, why) => Effect::CycleEnded(cycle, why),
            });
        }
        for (to, message) in out.messages {
            self.queue(to, message);
        }
    }

    fn with_swap(&mut self, effects: &mut Vec<Effect>, work: impl FnOnce(&mut Swap, &mut SwapOutput)) {
        let mut out = SwapOutput::default();
        work(&mut self.swap, &mut out);
        self.put_swap(out, effects);
    }

    fn put_swap(&mut self, out: SwapOutput, effects: &mut Vec<Effect>) {
        for notice in out.notices {
            effects.push(match notice {
                SwapNotice::Prepare { digest, bytes } => Effect::PrepareStrategy { digest, bytes },
                SwapNotice::Install(present) => Effect::InstallStrategy(present),
                SwapNotice::Discard(digest) => Effect::DiscardStrategy(digest),
                SwapNotice::Ended(digest, why) => Effect::SwapEnded(digest, why),
            });
        }
        for (to, message) in out.messages {
            self.queue(to, message);
        }
    }
}
