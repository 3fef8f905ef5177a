//! One member of the cluster: it performs what its node wants done to its heap, tells the node what became of it, and hands everything else outward.
//!
//! # How to drive it
//!
//! As a [`gc_protocol::Node`], whose rules 1, 6, 7 and 8 are the driver's still: [`Member::step`] with the time and an event, do what comes back in
//! order, [`Event::Ticked`] at [`Member::next_wake`]. Rules 2 to 5 and 9 are kept here:
//!
//! * *Sending* takes pins, so what is sent is held until the node has pinned it.
//! * *Receiving* makes every reference a pin of this heap before anybody can acknowledge it; the application gets the pins.
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

use gc_heap::{FreedStub, Heap, HeapError, Mutator, Pin};
use gc_protocol::{
    Config, CycleEnding, CycleId, Delivered, Effect, Event, Life, Nanos, Node, NodeId, Object, Reference,
    StubLoss,
};

use crate::desk::Desk;
use crate::limits::DROPS_PER_POLL;
use crate::names::{handle_of, reference_of};

/// Why a reference that arrived is nothing that this heap holds.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The object is gone, or the life that it belonged to.
    Gone,
    /// This heap had no room for a stub. The reference was let go again.
    NoRoom,
}

/// A reference that arrived, in its place in the message.
pub struct Arrival {
    /// What it refers to.
    pub reference: Reference,
    /// It as an object or a stub of this heap. Held until the pin is dropped.
    pub pin: Result<Pin, Lost>,
}

/// A message that arrived.
pub struct Delivery {
    /// Who sent it.
    pub from: Life,
    /// The references in it.
    pub references: Vec<Arrival>,
    /// The rest of it.
    pub payload: Vec<u8>,
}

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
        outward
    }

    /// When [`Event::Ticked`] is wanted, at the latest.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        self.node.next_wake()
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
                let references = references.into_iter().map(|it| self.arrive(it, events)).collect();
                outward.push(Outward::Delivered(Delivery { from, references, payload }));
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

    /// Makes a reference that arrived something that this heap holds.
    fn arrive(&mut self, delivered: Delivered, events: &mut VecDeque<Event>) -> Arrival {
        let Delivered { reference, import } = delivered;
        self.note(reference);
        let handle = handle_of(reference);
        let own = reference.home == self.node.me();
        let pin = match () {
            () if !own && import == 0 => Err(Lost::Gone),
            () => self.driver.scope(|scope| match scope.import(handle, import) {
                Ok(local) => Ok(scope.pin(local)),
                Err(HeapError::Gone(_)) => Err(Lost::Gone),
                Err(_) => Err(Lost::NoRoom),
            }),
        };
        // There was no stub either, else the import had found it: what this heap holds of it is nothing.
        if let Err(Lost::NoRoom) = pin {
            events.push_back(Event::StubsDropped { stubs: vec![(reference, import)] });
        }
        Arrival { reference, pin }
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
        let stale = deciding.is_some_and(|deciding| deciding.touched.iter().any(condemns));
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
