//! One member of the cluster: it performs what its node wants done to its heap, tells the node what became of it, and hands everything else outward.
//!
//! # How to drive it
//!
//! As a [`gc_protocol::Node`], whose rules 1, 6, 7 and 8 are the driver's still: [`Member::step`] with the time and an event, do what comes back in
//! order, [`Event::Ticked`] at [`Member::next_wake`]. Rules 2 to 5 and 9 are kept here:
//!
//! * *Sending* takes pins, so what is sent is held until the node has pinned it.
//! * *Receiving* makes every reference a pin of this heap; the application gets the pins. Where there is no room for a stub the message waits, see the module `arrival`.
//! * *Dropping* is said when the heap has really freed a stub, with the number of its import.
//! * *Rooting* is [`Heap::hold`] and [`Heap::release`]; an object that is gone is answered so.
//! * *Marking* goes over the [`Desk`]. When [`Effect::BeginCycle`] comes back the driver has its collector [sit down](Desk::sit) and run a cycle over nodes.
//!
//! Call [`Member::poll`] when the desk's waker says so, and after every collection (or [`Desk::ring`] does it for the collector).
//!
//! # What is asked of the order of things
//!
//! Between the moment at which the collector's verdict is made and the moment at which the node hears of it, messages come in. The node vetoes what arrives after it
//! has heard ([`gc_protocol::mark`], condition 3), so this file has to close the gap before:
//!
//! 1. From `DecideCycle` until the verdict is handed to the node, whatever arrives, is mentioned or is sent is noted. A verdict that condemns any of it is answered with
//!    `ProofFailed` instead.
//!    What waits for room counts as arriving at this moment: the heap may condemn an older stub of it.
//! 2. In the same time no object is released: else something that arrived and was let go again would not be in the list of exported objects, and the veto would miss it.
//!    A release that comes later keeps a root a little longer.
//!
//! # A limit
//!
//! A node that has agreed to a sweep and then loses the cycle (its time is over, or the membership changes) does not know whether the others have swept. Nothing that a root leads
//! to is concerned: unreachability is stable. But an object that only a handle remembers can be looked up again after that, and what it referred to on other nodes may
//! be gone. Such references answer so ([`Member::standing`]), and nothing is mistaken for something else.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use gc_heap::{FreedStub, Heap, HeapError, Mutator, Pin, RoomWanted};
use gc_protocol::{
    Config, CycleEnding, CycleId, Delivered, Effect, Event, Life, Nanos, Node, NodeId, Object, Reference,
    StubLoss,
};

use crate::arrival::{Arriving, Delivery, Lost, Waiting};
use crate::desk::Desk;
use crate::limits::{DROPS_PER_POLL, ROOM_LOOK};
use crate::names::{handle_of, reference_of};

/// What is to be done outside, in the order given.
pub enum Outward {
    /// Give the application a message.
    Delivered(Delivery),
    /// An effect that concerns no heap. Never `Deliver`, `Root`, `Unroot`, `Shade`, `StrategySaid`, `DecideCycle` or `Sweep`, which are done.
    Effect(Effect),
}

/// What a reference that this node has is worth.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is an object of this node.
    Own,
    /// Its home lists this node, or is about to, and is trusted.
    Good,
    /// The lease of its home has lapsed: wait until it is trusted.
    Suspect,
    /// It leads nowhere.
    Lost(StubLoss),
}

/// A heap and a node that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the heap is that of {heap} and the node is {node}: make both with the node's number and present incarnation"
)]
pub struct NotJoined {
    /// Whose handles the heap gives out.
    pub heap: Life,
    /// Who the node is.
    pub node: Life,
}

/// A member. See the top of this file.
pub struct Member {
    heap: Heap,
    /// For what arrives. Nothing that it does waits for a verdict.
    driver: Mutator,
    node: Node,
    desk: Arc<Desk>,
    deciding: Option<Deciding>,
    /// Freed stubs that the node has not heard of yet.
    freed: VecDeque<FreedStub>,
    waiting: Waiting,
    /// Of the last turn.
    now: Nanos,
}

/// From `DecideCycle` until the verdict is handed on.
struct Deciding {
    cycle: CycleId,
    /// Arrived, mentioned or sent.
    touched: BTreeSet<Reference>,
    /// To be released.
    releases: BTreeSet<Object>,
}

impl Member {
    /// Joins a heap and a node.
    ///
    /// # Errors
    ///
    /// [`NotJoined`] when the heap gives out handles of another life.
    pub fn new(heap: Heap, config: Config) -> Result<Member, NotJoined> {
        let (life, node) = (Life::new(heap.config().node, heap.config().incarnation), config.me);
        if life != node {
            return Err(NotJoined { heap: life, node });
        }
        let driver = heap.mutator();
        Ok(Member {
            driver,
            node: Node::new(config),
            desk: Desk::new(),
            deciding: None,
            freed: VecDeque::new(),
            waiting: Waiting::default(),
            now: 0,
            heap,
        })
    }

    /// Takes an event of the network, the clock or the coordinator, and does what follows in the heap. What the heap and the collector have to say is heard first.
    pub fn step(&mut self, now: Nanos, event: Event) -> Vec<Outward> {
        let mut outward = self.poll(now);
        self.feed(now, event, &mut outward);
        outward
    }

    /// Sends a message with references. A refusal comes back as [`Effect::NotSent`] with the token.
    pub fn send(
        &mut self,
        now: Nanos,
        to: NodeId,
        held: &[Pin],
        payload: Vec<u8>,
        token: u64,
    ) -> Vec<Outward> {
        let references = held.iter().map(|pin| reference_of(pin.handle())).collect();
        self.step(now, Event::SendRequested { to, references, payload, token })
    }

    /// Hears what the heap and the collector have to say.
    pub fn poll(&mut self, now: Nanos) -> Vec<Outward> {
        let mut outward = Vec::new();
        self.now = now;
        while let Some(event) = self.desk.next_event() {
            let event = self.checked(event);
            self.feed(now, event, &mut outward);
        }
        self.freed.extend(self.heap.take_freed_stubs());
        let now_freed = self.freed.drain(..self.freed.len().min(DROPS_PER_POLL));
        let stubs: Vec<_> = now_freed.map(|freed| (reference_of(freed.handle), freed.import)).collect();
        if !stubs.is_empty() {
            self.feed(now, Event::StubsDropped { stubs }, &mut outward);
        }
        if !self.freed.is_empty() {
            // In another turn: between two turns the driver renews leases.
            self.desk.ring();
        }
        self.look_for_room(now, &mut outward);
        outward
    }

    /// Delivers what has waited for room, as far as there is some.
    fn look_for_room(&mut self, now: Nanos, outward: &mut Vec<Outward>) {
        if self.waiting.room.as_ref().is_some_and(RoomWanted::has_news) {
            let mut events = VecDeque::new();
            self.deliver(true, &mut events, outward);
            events.into_iter().for_each(|event| self.feed(now, event, outward));
        }
    }

    /// When [`Event::Ticked`] is wanted, at the latest.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        let look = (!self.waiting.is_empty()).then(|| self.now.saturating_add(ROOM_LOOK));
        self.node.next_wake().into_iter().chain(look).min()
    }

    /// How many messages have arrived and wait for room in the heap.
    #[must_use]
    pub fn waiting_for_room(&self) -> usize {
        self.waiting.len()
    }

    /// The node, to ask it.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The heap.
    #[must_use]
    pub fn heap(&self) -> &Heap {
        &self.heap
    }

    /// Where the collector sits down for a cycle over nodes.
    #[must_use]
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// What a reference is worth here.
    #[must_use]
    pub fn standing(&self, reference: Reference) -> Standing {
        if reference.home == self.node.me() {
            Standing::Own
        } else if !self.node.membership().is_member(reference.home) {
            Standing::Lost(StubLoss::HomeDeparted)
        } else if !self.node.references().holds(reference) {
            Standing::Lost(StubLoss::Gone)
        } else if self.node.trusts(reference.home) {
            Standing::Good
        } else {
            Standing::Suspect
        }
    }

    /// Gives the node an event, does what it wants of the heap, and what follows from that.
    fn feed(&mut self, now: Nanos, event: Event, outward: &mut Vec<Outward>) {
        let mut events = VecDeque::from([event]);
        let mut effects = Vec::new();
        while let Some(event) = events.pop_front() {
            self.note_sent(&event);
            self.node.step(now, event, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, &mut events, outward);
            }
        }
    }

    fn perform(&mut self, effect: Effect, events: &mut VecDeque<Event>, outward: &mut Vec<Outward>) {
        let me = self.node.me();
        match effect {
            Effect::Root(object) => {
                self.note(Reference { home: me, object });
                if let Some(deciding) = &mut self.deciding {
                    deciding.releases.remove(&object);
                }
                if self.heap.hold(handle_of(Reference { home: me, object })).is_err() {
                    events.push_back(Event::RootRefused { object });
                }
            }
            Effect::Unroot(object) => match &mut self.deciding {
                Some(deciding) => {
                    deciding.releases.insert(object);
                }
                None => self.heap.release(handle_of(Reference { home: me, object })),
            },
            Effect::Deliver { from, references, payload } => {
                let references = references.into_iter().map(|it| (it, self.arrive(it))).collect();
                self.take_in(Arriving::new(from, references, payload), events, outward);
            }
            Effect::Shade { cycle, objects, number } => self.desk.shade(cycle, me, &objects, number),
            // Strategies speak in marks, which the host can check. What is said in bytes is a hand-over with nothing in it.
            Effect::StrategySaid { cycle, number, .. } => self.desk.shade(cycle, me, &[], number),
            Effect::DecideCycle(cycle) => {
                let fresh = || Deciding { cycle, touched: BTreeSet::new(), releases: BTreeSet::new() };
                self.deciding.get_or_insert_with(fresh);
                self.desk.decide(cycle);
            }
            Effect::Sweep(cycle) => self.desk.end(cycle, true),
            Effect::BeginCycle(cycle) => {
                self.desk.begin(cycle, me, &self.node.cycle_roots());
                let references: Vec<Reference> = self.waiting.references().collect();
                if !references.is_empty() {
                    // The heap does not know them yet, and so cannot say it.
                    events.push_back(Event::StubsReached { cycle, references });
                }
                outward.push(Outward::Effect(Effect::BeginCycle(cycle)));
            }
            Effect::CycleEnded(cycle, why) => {
                self.desk.end(cycle, why == CycleEnding::Swept);
                self.decided();
                outward.push(Outward::Effect(Effect::CycleEnded(cycle, why)));
            }
            effect => outward.push(Outward::Effect(effect)),
        }
    }

    /// Makes a reference that has arrived something that this heap holds. None where that may need room, and its turn.
    fn arrive(&mut self, delivered: Delivered) -> Option<Result<Pin, Lost>> {
        let Delivered { reference, import } = delivered;
        self.note(reference);
        match reference.home == self.node.me() {
            true => Some(self.import(delivered)),
            false => (import == 0).then_some(Err(Lost::Gone)),
        }
    }

    fn import(&mut self, Delivered { reference, import }: Delivered) -> Result<Pin, Lost> {
        self.driver.scope(|scope| match scope.import(handle_of(reference), import) {
            Ok(local) => Ok(scope.pin(local)),
            Err(HeapError::Gone(_)) => Err(Lost::Gone),
            Err(_) => Err(Lost::NoRoom),
        })
    }

    /// Delivers a message, or lets it wait.
    fn take_in(&mut self, arriving: Arriving, events: &mut VecDeque<Event>, outward: &mut Vec<Outward>) {
        let (waits, is_whole) = (self.waiting.goes_before(&arriving), arriving.next().is_none());
        if is_whole && !waits {
            return outward.push(Outward::Delivered(arriving.delivery()));
        }
        self.waiting.push(arriving);
        if !waits || self.waiting.is_too_much() {
            self.deliver(!waits, events, outward);
        }
    }

    /// Delivers what waits, in order: as far as there is room, or else asking for some is in vain, or nobody is `patient`.
    fn deliver(&mut self, patient: bool, events: &mut VecDeque<Event>, outward: &mut Vec<Outward>) {
        while let Some(first) = self.waiting.first() {
            let Some(delivered) = first.next() else {
                outward.extend(self.waiting.pop().map(|first| Outward::Delivered(first.delivery())));
                continue;
            };
            let reference = delivered.reference;
            let pin = match self.node.references().import(reference) {
                // Its home has died since, or has said that there is no such object.
                None => Err(Lost::Gone),
                Some(_) => self.import(delivered),
            };
            match pin {
                Ok(_) => {
                    self.note(reference);
                    self.waiting.room = None;
                }
                Err(Lost::Gone) => {}
                Err(Lost::NoRoom) => {
                    let heap = &self.heap;
                    let room = self.waiting.room.get_or_insert_with(|| heap.want_room());
                    if patient && room.ask() {
                        return;
                    }
                    // There is no stub either, else the import had found it: what this heap holds of it is nothing.
                    events.push_back(Event::StubsDropped { stubs: vec![(reference, delivered.import)] });
                }
            }
            self.waiting.arrived(pin);
        }
    }

    fn note(&mut self, reference: Reference) {
        if let Some(deciding) = &mut self.deciding {
            deciding.touched.insert(reference);
        }
    }

    fn note_sent(&mut self, event: &Event) {
        if let (Event::SendRequested { references, .. }, Some(deciding)) = (event, &mut self.deciding) {
            deciding.touched.extend(references);
        }
    }

    /// What the collector says, unless something has come since that takes the ground from under it.
    fn checked(&mut self, event: Event) -> Event {
        let Event::Proved { cycle, objects, stubs } = &event else { return event };
        let (cycle, me) = (*cycle, self.node.me());
        let condemns = |reference: &Reference| {
            stubs.contains(reference) || (reference.home == me && objects.contains(&reference.object))
        };
        let deciding = self.deciding.as_ref().filter(|deciding| deciding.cycle == cycle);
        let stale = deciding.is_some_and(|deciding| deciding.touched.iter().any(condemns))
            || self.waiting.references().any(|reference| condemns(&reference));
        self.decided();
        if stale { Event::ProofFailed { cycle } } else { event }
    }

    /// The node has the verdict, or the cycle is over: releases go on.
    fn decided(&mut self) {
        let Some(Deciding { releases, .. }) = self.deciding.take() else { return };
        let home = self.node.me();
        releases.into_iter().for_each(|object| self.heap.release(handle_of(Reference { home, object })));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.desk.close();
    }
}
