//! References between nodes, by reference listing: the home of an object knows who holds it.
//!
//! Each node is client of some homes and home for some clients. What a client holds is a *stub*, what the home knows of it a *scion*, and a copy that is
//! under way is held by a *pin* of its sender. A hand-over from A to C of a reference to B's object takes five small messages beside the one of the
//! application, and they travel in batches:
//!
//! ```text
//!   A                       C                        B (home)
//!   │ pin                   │                        │ lists A
//!   ├──── copy ────────────▶│ Registering            │
//!   │                       ├──── dirty ────────────▶│ lists A, C
//!   │                       │◀─── dirty-ack ─────────┤
//!   │◀─── copy-ack ─────────┤ Held                   │
//!   │ unpin                 ┊ ...                    │
//!   │                       ├──── clean ────────────▶│ lists A
//!   │                       │◀─── clean-ack ─────────┤
//! ```
//!
//! # Invariants
//!
//! *Safety.* If a node that is not exiled holds a stub in `Registering` or `Held`, or a copy that can still be admitted carries it, then
//!
//! 1. the home lists that node, or
//! 2. a listed node, or the home itself, has a pin for a copy of it that is not acknowledged.
//!
//! (`tests/explorer.rs` visits every state of three nodes and two copies and asserts it, with messages lost, repeated and overtaken.)
//!
//! *Why.* Induction over the steps. A copy begins with a pin of its sender (`send`), and the sender is the home or is `Held`, so listed. The pin ends with the
//! acknowledgement of that copy, which its receiver sends when the home has answered its dirty: it is listed then. It stops being listed by a clean with a number above that of the dirty, which it
//! sends when it holds nothing and pins nothing. Repeated and overtaken mentions are recognised by their numbers, repeated copies by the link
//! ([`crate::session`]), repeated acknowledgements find nothing to end.
//!
//! *Liveness.* Every stub that the local heap lets go, and that no pin needs, is cleaned, said again until it is answered, and healed by digests if
//! all else fails. So what nobody holds is unrooted one message after the last clean. Cycles that span nodes are left to [`crate::mark`].
//!
//! # Why listing and not counting
//!
//! Counts (weighted, or with sent and received totals) need no message when a reference is copied, but one lost or repeated message leaks or frees for good. Sets
//! are idempotent, name the holder (so that a dead holder can be taken away, and a person can be told who holds what), and can be compared by digest.
//!
//! Papers: Birrell, Evers, Nelson, Owicki, Wobber, *Distributed garbage collection for network objects*, 1993; Moreau, Dickman, Jones,
//! *Birrell's distributed reference listing revisited*, TOPLAS 2005 (the fifth state); Shapiro, Dickman, Plainfossé 1992 (stub-scion pairs).

mod pins;
mod scions;
mod stubs;

use crate::ids::{Life, Object, Reference};
use crate::rules::{Faults, Rule};
use crate::wire::{BucketSet, Copy, Mention, Message};

use pins::Pins;
use scions::{Mentioned, Scions};
use stubs::{State, Stubs};

/// Why a stub leads nowhere any more.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StubLoss {
    /// The home has freed the object.
    Gone,
    /// The life that the object belonged to has ended.
    HomeDeparted,
}

/// What references want from the node around them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Notice {
    /// Another node may hold this object, or a copy is under way: it must be kept.
    Root(Object),
    /// No other node holds this object.
    Unroot(Object),
    /// A stub leads nowhere.
    StubDead {
        /// The stub.
        reference: Reference,
        /// Why.
        why: StubLoss,
    },
    /// A stub may be passed on from here on.
    Registered(Reference),
    /// A copy, a mention or a look-up concerns this object of ours: a running cycle has to treat it as reached.
    Touched(Reference),
    /// Healing found an entry that one side lacked, or had too much: nothing is wrong with it any more, but something was.
    Healed {
        /// The client.
        client: Life,
        /// The object.
        object: Object,
        /// The client was listed too little; else too much.
        added: bool,
    },
    /// A client mentions what cannot be: see [`crate::Counters::unfounded`].
    Unfounded {
        /// The client.
        client: Life,
    },
}

/// What a step brought about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Output {
    /// What is to be sent, in this order.
    pub messages: Vec<(Life, Message)>,
    /// What is to be done here, in this order.
    pub notices: Vec<Notice>,
}

impl Output {
    /// Lists of the same kind for the same node become one as they come: a frame of a thousand mentions is answered in one message.
    pub(crate) fn send(&mut self, to: Life, mut message: Message) {
        let last = self.messages.last_mut().filter(|(last, _)| *last == to);
        if !last.is_some_and(|(_, last)| last.absorb(&mut message)) {
            self.messages.push((to, message));
        }
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

/// A reference that arrived.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delivered {
    /// What it refers to: an object of this node, or one elsewhere.
    pub reference: Reference,
    /// How often the stub was given to the local heap, this time included. It comes back with the drop, so that a drop which crosses with a
    /// new arrival is recognised. 0 for objects of this node, and for what died on the way: no stub is made for that.
    pub import: u32,
}

/// Why a reference cannot be sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotSendable {
    /// There is no stub for it.
    Unknown(Reference),
    /// The local heap has let the stub go.
    Dropped(Reference),
}

/// The tables of one node: pins, stubs, scions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct References {
    me: Life,
    pins: Pins,
    stubs: Stubs,
    scions: Scions,
    faults: Faults,
}

impl References {
    /// Tables without entries.
    #[must_use]
    pub fn new(me: Life, faults: Faults) -> References {
        let (stubs, scions) = (Stubs::new(faults), Scions::new(faults));
        References { me, pins: Pins::default(), stubs, scions, faults }
    }

    /// Pins references that are about to be sent. Answers the number of the first copy. All or nothing.
    ///
    /// # Errors
    ///
    /// When one of them is no reference that this node holds. An object of this node is taken for alive: the caller holds it.
    pub fn pin(&mut self, to: Life, references: &[Reference], out: &mut Output) -> Result<u64, NotSendable> {
        for &reference in references {
            match self.stubs.state(reference) {
                _ if reference.home == self.me => {}
                None => return Err(NotSendable::Unknown(reference)),
                Some(State::Cleaning) => return Err(NotSendable::Dropped(reference)),
                Some(State::Registering | State::Held | State::Reacquired) => {}
            }
        }
        let first = self.pins.number(references.len());
        if self.faults.keeps(Rule::SenderPins) {
            for (copy, &reference) in (first..).zip(references) {
                let kept = self.is_exported(reference.object);
                self.pins.add(copy, reference, to);
                if reference.home == self.me && !kept {
                    out.notice(Notice::Root(reference.object));
                }
            }
        }
        Ok(first)
    }

    /// Whether a reference may leave this node: it is registered, or is its own.
    #[must_use]
    pub fn may_leave(&self, reference: Reference) -> bool {
        reference.home == self.me
            || !self.faults.keeps(Rule::ForwardWhenRegistered)
            || matches!(self.stubs.state(reference), None | Some(State::Held))
    }

    /// References have arrived. `lives` says which homes are still there.
    pub fn admit(
        &mut self,
        from: Life,
        copy: &Copy,
        lives: impl Fn(Life) -> bool,
        out: &mut Output,
    ) -> Vec<Delivered> {
        let mut delivered = Vec::with_capacity(copy.references.len());
        for (at, &reference) in copy.references.iter().enumerate() {
            // A peer may name any number.
            let number = copy.first.wrapping_add(at as u64);
            let import = if reference.home == self.me {
                out.notice(Notice::Touched(reference));
                out.send(from, Message::CopyAck(vec![number]));
                0
            } else if lives(reference.home) {
                out.notice(Notice::Touched(reference));
                self.stubs.admit(reference, from, number, out)
            } else {
                out.notice(Notice::StubDead { reference, why: StubLoss::HomeDeparted });
                out.send(from, Message::CopyAck(vec![number]));
                0
            };
            delivered.push(Delivered { reference, import });
        }
        delivered
    }

    /// A client mentions objects of this node.
    pub fn mentioned(&mut self, from: Life, mention: &Mention, listed: bool, out: &mut Output) {
        self.take_mention(from, mention, listed, false, out);
    }

    fn take_mention(&mut self, from: Life, mention: &Mention, listed: bool, again: bool, out: &mut Output) {
        let object = mention.object;
        let before = self.is_exported(object);
        let did = self.scions.mention(from, mention, listed, again);
        if matches!(did, Mentioned::Unlisted | Mentioned::Impossible) {
            out.notice(Notice::Unfounded { client: from });
        }
        if matches!(did, Mentioned::Stale | Mentioned::Impossible) {
            return;
        }
        let answer = vec![mention.clone()];
        out.send(from, if listed { Message::DirtyAck(answer) } else { Message::CleanAck(answer) });
        if listed {
            out.notice(Notice::Touched(Reference { home: self.me, object }));
        }
        self.notice_change(object, before, out);
        if again && did == Mentioned::Changed {
            out.notice(Notice::Healed { client: from, object, added: true });
        }
    }

    fn notice_change(&self, object: Object, before: bool, out: &mut Output) {
        match (before, self.is_exported(object)) {
            (false, true) => out.notice(Notice::Root(object)),
            (true, false) => out.notice(Notice::Unroot(object)),
            _ => {}
        }
    }

    /// The home answers a dirty.
    pub fn dirty_acknowledged(&mut self, from: Life, mention: &Mention, out: &mut Output) {
        let reference = Reference { home: from, object: mention.object };
        let before = self.stubs.state(reference);
        self.stubs.dirty_acknowledged(from, mention, self.pins.holds(reference), out);
        if before == Some(State::Registering) && self.stubs.state(reference) == Some(State::Held) {
            out.notice(Notice::Registered(reference));
        }
    }

    /// The home answers a clean.
    pub fn clean_acknowledged(&mut self, from: Life, mention: &Mention, out: &mut Output) {
        self.stubs.clean_acknowledged(from, mention, out);
    }

    /// The home says that there is no such object.
    pub fn gone(&mut self, from: Life, mention: &Mention, out: &mut Output) {
        self.stubs.gone(from, mention, out);
    }

    /// The receiver of a copy is registered.
    pub fn copy_acknowledged(&mut self, from: Life, copy: u64, out: &mut Output) {
        if let Some(target) = self.pins.acknowledged(copy, from) {
            self.unpinned(target, out);
        }
    }

    fn unpinned(&mut self, target: Reference, out: &mut Output) {
        if self.pins.holds(target) {
            return;
        }
        if target.home != self.me {
            self.stubs.unpinned(target, out);
        } else if !self.scions.is_listed(target.object) {
            out.notice(Notice::Unroot(target.object));
        }
    }

    /// The local heap has let a stub go.
    pub fn dropped(&mut self, reference: Reference, import: u32, out: &mut Output) {
        self.stubs.dropped(reference, import, self.pins.holds(reference), out);
    }

    /// The heap cannot root an object: there is no such object. Everybody who is listed for it is told.
    pub fn root_refused(&mut self, object: Object, out: &mut Output) {
        let clients: Vec<Life> = self.scions.clients_of(object).collect();
        for client in clients {
            let seq = self.scions.seq(object, client).unwrap_or(0);
            self.scions.remove(client, object);
            out.notice(Notice::Unfounded { client });
            out.send(client, Message::Gone(vec![Mention { object, seq }]));
        }
        self.pins.end_all_of(Reference { home: self.me, object });
    }

    /// The client has settled its mentions up to this number.
    pub fn settle(&mut self, client: Life, settled: u64) {
        self.scions.settle(client, settled);
    }

    /// Mentions to this home up to this number are answered.
    #[must_use]
    pub fn settled(&self, home: Life) -> u64 {
        self.stubs.settled(home)
    }

    /// Says again what was not answered for a whole interval.
    pub fn retry(&mut self, home: Life, out: &mut Output) {
        self.stubs.retry(home, out);
    }

    /// Hash of what this node holds of a home.
    #[must_use]
    pub fn digest_root(&self, home: Life) -> u64 {
        self.stubs.root(home)
    }

    /// The client's digest has come: answers the hashes of the buckets when it differs.
    pub fn compare(&self, client: Life, root: u64, out: &mut Output) {
        if self.scions.root(client) != root {
            out.send(client, Message::BucketHashes(self.scions.buckets(client)));
        }
    }

    /// The home's hashes have come: answers the buckets that differ. No hashes, all buckets.
    pub fn send_buckets(&self, home: Life, theirs: &[u64], out: &mut Output) {
        self.stubs.differing(home, theirs, out);
    }

    /// Buckets of the client have come. Reads the table once.
    pub fn take_buckets(&mut self, client: Life, sets: &[BucketSet], out: &mut Output) {
        for object in self.scions.lacking(client, sets) {
            let before = self.is_exported(object);
            self.scions.remove(client, object);
            self.notice_change(object, before, out);
            out.notice(Notice::Healed { client, object, added: false });
        }
        for mention in sets.iter().flat_map(|set| &set.mentions) {
            if !self.scions.lists(mention.object, client) {
                self.take_mention(client, mention, true, true, out);
            }
        }
    }

    /// Mentions that an acknowledgement of an exile to this home must carry.
    pub fn admitted(&mut self, home: Life) -> Vec<Mention> {
        if self.faults.keeps(Rule::ExileAcksCarryAdmitted) { self.stubs.admitted(home) } else { Vec::new() }
    }

    /// Lives have left the membership: what was under way to them or from them, and what they were home of, is no more. Their listings stay until [`References::forget_client`].
    pub fn departed(&mut self, departed: impl Fn(Life) -> bool, out: &mut Output) {
        self.stubs.forget_senders(&departed);
        let homes: Vec<Life> = self.stubs.homes().filter(|&home| departed(home)).collect();
        homes.into_iter().for_each(|home| self.stubs.forget_home(home, out));
        let ended = self.pins.end(|target, to| departed(to) || departed(target.home));
        ended.into_iter().for_each(|target| self.unpinned(target, out));
    }

    /// Takes a client off all lists. Reads the whole table.
    pub fn forget_client(&mut self, client: Life, out: &mut Output) {
        let mut held = self.scions.forget(client);
        held.dedup();
        for object in held {
            if !self.is_exported(object) {
                out.notice(Notice::Unroot(object));
            }
        }
    }

    /// Another node may hold this object of ours, or a copy of it is under way.
    #[must_use]
    pub fn is_exported(&self, object: Object) -> bool {
        self.is_pinned(object) || self.scions.is_listed(object)
    }

    /// A copy of this object of ours is under way, sent from here.
    #[must_use]
    pub fn is_pinned(&self, object: Object) -> bool {
        self.pins.holds(Reference { home: self.me, object })
    }

    /// A copy of this reference is under way, sent from here.
    #[must_use]
    pub fn pins(&self, reference: Reference) -> bool {
        self.pins.holds(reference)
    }

    /// Everything that is pinned, here and elsewhere.
    pub fn pinned(&self) -> impl Iterator<Item = Reference> + '_ {
        self.pins.targets()
    }

    /// Objects of ours that are pinned.
    pub fn pinned_objects(&self) -> impl Iterator<Item = Object> + '_ {
        self.pins.objects_of(self.me)
    }

    /// Who is listed for what.
    pub fn listed(&self) -> impl Iterator<Item = (Object, Life)> + '_ {
        self.scions.listed()
    }

    /// Who is listed for an object.
    pub fn clients_of(&self, object: Object) -> impl Iterator<Item = Life> + '_ {
        self.scions.clients_of(object)
    }

    /// Whether a client is listed for an object.
    #[must_use]
    pub fn lists(&self, object: Object, client: Life) -> bool {
        self.scions.lists(object, client)
    }

    /// Clients that have, or had a moment ago, an entry here.
    pub fn clients(&self) -> impl Iterator<Item = Life> + '_ {
        self.scions.clients()
    }

    /// Whether this node has a stub that counts: one that the home is to list.
    #[must_use]
    pub fn holds(&self, reference: Reference) -> bool {
        matches!(self.stubs.state(reference), Some(State::Registering | State::Held | State::Reacquired))
    }

    /// The number of the last mention of a stub.
    #[must_use]
    pub fn mention(&self, reference: Reference) -> Option<u64> {
        self.stubs.mention(reference)
    }

    /// The number of the last mention to a home.
    #[must_use]
    pub fn last_mention(&self, home: Life) -> u64 {
        self.stubs.last_mention(home)
    }

    /// Whether the local heap has a stub, and how often it was given to it.
    #[must_use]
    pub fn import(&self, reference: Reference) -> Option<u32> {
        self.stubs.import(reference)
    }

    /// Homes that this node has stubs of.
    pub fn homes(&self) -> impl Iterator<Item = Life> + '_ {
        self.stubs.homes()
    }

    /// Stubs of a home.
    pub fn stubs_of(&self, home: Life) -> impl Iterator<Item = Object> + '_ {
        self.stubs.of_home(home)
    }

    /// Number of stubs that count: those that this node [holds](References::holds).
    #[must_use]
    pub fn stub_count(&self) -> usize {
        self.stubs.held_count()
    }

    /// Number of stubs that were let go, and whose homes have not said yet that they know.
    #[must_use]
    pub fn cleaning_count(&self) -> usize {
        self.stubs.cleaning_count()
    }

    /// Number of scions: an object that two clients are listed for has two.
    #[must_use]
    pub fn scion_count(&self) -> usize {
        self.scions.listing_count() as usize
    }

    /// Number of entries that hold nothing: a client has cleaned, and something older may still be under way from it. A few round trips' worth.
    #[must_use]
    pub fn tombstone_count(&self) -> usize {
        self.scions.tombstone_count()
    }

    /// Copies to a receiver that it has not acknowledged.
    #[must_use]
    pub fn open_copies(&self, to: Life) -> usize {
        self.pins.open(to)
    }

    /// Number of pins.
    #[must_use]
    pub fn pin_count(&self) -> usize {
        self.pins.count()
    }

    /// Objects that a client is listed for.
    #[must_use]
    pub fn listed_count(&self, client: Life) -> u64 {
        self.scions.listed_count(client)
    }
}
