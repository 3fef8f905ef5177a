//! The client's side: what this node holds of other homes.
//!
//! ```text
//!              copy                dirty-ack
//!  (none) ────────────▶ Registering ────────▶ Held
//!     ▲                  ▲   ▲  │gone           │ last use gone, not pinned
//!     │ clean-ack        │   └──┼─────────┐     ▼
//!     └───────────── Cleaning ◀─┘(none)   └─ Reacquired ◀── copy ── Cleaning
//! ```
//!
//! *Reacquired* is the state that the first description of the algorithm lacked: a reference comes back while its clean is not answered. It is
//! registered anew once the clean is, and never before.
//!
//! 1. Every mention to a home has a number above all earlier ones to that home in this life.
//! 2. At most one mention of a stub is unanswered, and it is the one whose number the stub keeps.
//! 3. A copy that waits for a registration (`waiting`) is acknowledged when that registration is, and its sender's pin holds the object until then.
//! 4. The digest is over the stubs in `Registering` and `Held`: what the home lists, once it has all that was sent.

use std::collections::BTreeMap;

use crate::digest::{Digest, bucket_of};
use crate::ids::{Life, Object, Reference};
use crate::limits::ENTRIES_PER_MESSAGE_MAX;
use crate::rules::{Faults, Rule};
use crate::wire::{BucketSet, Mention, Message};

use super::{Notice, Output, StubLoss};

#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    Registering,
    Held,
    Cleaning,
    Reacquired,
}

/// 16 bytes, with the key 24.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Stub {
    /// The number of the last mention.
    seq: u64,
    /// How often it was given to the local heap.
    import: u32,
    state: State,
    /// The local heap has it.
    local: bool,
}

const _: () = assert!(size_of::<Stub>() + size_of::<Object>() == 24);

/// Stubs of one home.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Home {
    last_seq: u64,
    table: BTreeMap<Object, Stub>,
    /// Mentions that are not answered.
    unanswered: BTreeMap<u64, Object>,
    /// Copies that wait for a registration: their senders and numbers.
    waiting: BTreeMap<Object, Vec<(Life, u64)>>,
    digest: Digest,
    /// Mentions up to here were unanswered at the last interval too.
    retry_below: u64,
    /// Stubs in `Cleaning`.
    cleaning: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stubs {
    homes: BTreeMap<Life, Home>,
    faults: Faults,
}

impl Home {
    fn mention(&mut self, object: Object) -> Mention {
        self.last_seq += 1;
        self.unanswered.insert(self.last_seq, object);
        Mention { object, seq: self.last_seq }
    }

    fn register(&mut self, home: Life, object: Object, stub: Stub, out: &mut Output) {
        let mention = self.mention(object);
        self.table.insert(object, Stub { seq: mention.seq, state: State::Registering, ..stub });
        self.digest.toggle(object);
        out.send(home, Message::Dirty(vec![mention]));
    }

    /// Lets a stub go that nobody uses.
    fn settle(&mut self, home: Life, object: Object, pinned: bool, out: &mut Output) {
        let Some(stub) = self.table.get(&object).copied() else { return };
        if stub.state == State::Held && !stub.local && !pinned {
            let mention = self.mention(object);
            self.table.insert(object, Stub { seq: mention.seq, state: State::Cleaning, ..stub });
            self.cleaning += 1;
            self.digest.toggle(object);
            out.send(home, Message::Clean(vec![mention]));
        }
    }

    fn acknowledge_copies(&mut self, object: Object, out: &mut Output) {
        for (sender, copy) in self.waiting.remove(&object).unwrap_or_default() {
            out.send(sender, Message::CopyAck(vec![copy]));
        }
    }

    /// The answer to the last mention of a stub. None when the answer is to something older.
    fn answered(&mut self, mention: &Mention) -> Option<Stub> {
        self.unanswered.remove(&mention.seq);
        self.table.get(&mention.object).copied().filter(|stub| stub.seq == mention.seq)
    }

    fn remove(&mut self, object: Object) {
        match self.table.remove(&object).map(|stub| stub.state) {
            Some(State::Registering | State::Held) => self.digest.toggle(object),
            Some(State::Cleaning) => self.cleaning -= 1,
            Some(State::Reacquired) | None => {}
        }
    }

    fn listed(&self) -> impl Iterator<Item = Mention> + '_ {
        let listed = self.table.iter();
        listed
            .filter(|(_, stub)| matches!(stub.state, State::Registering | State::Held))
            .map(|(&object, stub)| Mention { object, seq: stub.seq })
    }

    fn bucket_sets(&self, bucket: u8, mentions: &[Mention], out: &mut Vec<BucketSet>) {
        let first = Object { cell: 0, generation: 0 };
        let last = Object { cell: u32::MAX, generation: u32::MAX };
        let mut pieces: Vec<&[Mention]> = mentions.chunks(ENTRIES_PER_MESSAGE_MAX).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let count = pieces.len();
        for (index, piece) in pieces.iter().enumerate() {
            // A piece speaks of everything from its first object up to the one before the next piece: that of the next piece is left to it.
            let next = pieces.get(index + 1).and_then(|piece| piece.first());
            out.push(BucketSet {
                bucket,
                low: if index == 0 { first } else { piece.first().map_or(first, |mention| mention.object) },
                high: if index + 1 == count {
                    last
                } else {
                    next.map_or(last, |mention| before(mention.object))
                },
                watermark: self.last_seq,
                mentions: piece.to_vec(),
            });
        }
    }
}

/// The object before another one, in their order.
fn before(object: Object) -> Object {
    match object.generation.checked_sub(1) {
        Some(generation) => Object { generation, ..object },
        None => Object { cell: object.cell.saturating_sub(1), generation: u32::MAX },
    }
}

impl Stubs {
    pub(crate) fn new(faults: Faults) -> Stubs {
        Stubs { homes: BTreeMap::new(), faults }
    }

    /// A copy has arrived. Answers the number of the import.
    pub(crate) fn admit(&mut self, reference: Reference, from: Life, copy: u64, out: &mut Output) -> u32 {
        let object = reference.object;
        let home = self.homes.entry(reference.home).or_default();
        let mut wait = true;
        let import = match home.table.get_mut(&object) {
            None => {
                let stub = Stub { seq: 0, import: 1, state: State::Registering, local: true };
                home.register(reference.home, object, stub, out);
                1
            }
            Some(stub) => {
                stub.local = true;
                stub.import = stub.import.wrapping_add(1);
                match stub.state {
                    State::Registering | State::Reacquired => {}
                    State::Held => wait = false,
                    State::Cleaning if self.faults.keeps(Rule::ReacquireRegisters) => {
                        stub.state = State::Reacquired;
                        home.cleaning -= 1;
                    }
                    State::Cleaning => {
                        stub.state = State::Held;
                        home.cleaning -= 1;
                        wait = false;
                    }
                }
                stub.import
            }
        };
        if wait && self.faults.keeps(Rule::AcknowledgeAfterRegistration) {
            home.waiting.entry(object).or_default().push((from, copy));
        } else {
            out.send(from, Message::CopyAck(vec![copy]));
        }
        import
    }

    pub(crate) fn dirty_acknowledged(
        &mut self,
        from: Life,
        mention: &Mention,
        pinned: bool,
        out: &mut Output,
    ) {
        let Some(home) = self.homes.get_mut(&from) else { return };
        let Some(stub) = home.answered(mention) else { return };
        if stub.state == State::Registering {
            home.table.insert(mention.object, Stub { state: State::Held, ..stub });
            home.acknowledge_copies(mention.object, out);
            home.settle(from, mention.object, pinned, out);
        }
    }

    pub(crate) fn clean_acknowledged(&mut self, from: Life, mention: &Mention, out: &mut Output) {
        let Some(home) = self.homes.get_mut(&from) else { return };
        let Some(stub) = home.answered(mention) else { return };
        match stub.state {
            State::Cleaning => home.remove(mention.object),
            State::Reacquired => home.register(from, mention.object, stub, out),
            State::Registering | State::Held => {}
        }
    }

    /// The home says that an object is gone.
    pub(crate) fn gone(&mut self, from: Life, mention: &Mention, out: &mut Output) {
        let Some(home) = self.homes.get_mut(&from) else { return };
        if home.answered(mention).is_none() {
            return;
        }
        home.acknowledge_copies(mention.object, out);
        home.remove(mention.object);
        out.notice(Notice::StubDead {
            reference: Reference { home: from, object: mention.object },
            why: StubLoss::Gone,
        });
    }

    /// The local heap has let a stub go that it was given for the `import`th time.
    pub(crate) fn dropped(&mut self, reference: Reference, import: u32, pinned: bool, out: &mut Output) {
        let Some(home) = self.homes.get_mut(&reference.home) else { return };
        let Some(stub) = home.table.get_mut(&reference.object) else { return };
        if stub.import == import || !self.faults.keeps(Rule::DropCarriesImport) {
            stub.local = false;
            home.settle(reference.home, reference.object, pinned, out);
        }
    }

    /// A pin has ended.
    pub(crate) fn unpinned(&mut self, reference: Reference, out: &mut Output) {
        if let Some(home) = self.homes.get_mut(&reference.home) {
            home.settle(reference.home, reference.object, false, out);
        }
    }

    pub(crate) fn state(&self, reference: Reference) -> Option<State> {
        self.homes.get(&reference.home)?.table.get(&reference.object).map(|stub| stub.state)
    }

    pub(crate) fn mention(&self, reference: Reference) -> Option<u64> {
        self.homes.get(&reference.home)?.table.get(&reference.object).map(|stub| stub.seq)
    }

    pub(crate) fn last_mention(&self, home: Life) -> u64 {
        self.homes.get(&home).map_or(0, |home| home.last_seq)
    }

    /// How often a stub was given to the local heap. None when the local heap does not have it.
    pub(crate) fn import(&self, reference: Reference) -> Option<u32> {
        let stub = self.homes.get(&reference.home)?.table.get(&reference.object)?;
        stub.local.then_some(stub.import)
    }

    /// All mentions to this home up to the answer are answered.
    pub(crate) fn settled(&self, home: Life) -> u64 {
        let Some(home) = self.homes.get(&home) else { return 0 };
        home.unanswered.keys().next().map_or(home.last_seq, |&oldest| oldest - 1)
    }

    /// Says again what was not answered for a whole interval.
    pub(crate) fn retry(&mut self, life: Life, out: &mut Output) {
        let Some(home) = self.homes.get_mut(&life) else { return };
        let old: Vec<(u64, Object)> =
            home.unanswered.range(..=home.retry_below).map(|(&seq, &object)| (seq, object)).collect();
        home.retry_below = home.last_seq;
        for (seq, object) in old {
            let Some(stub) = home.table.get(&object).filter(|stub| stub.seq == seq) else {
                home.unanswered.remove(&seq);
                continue;
            };
            let mention = vec![Mention { object, seq }];
            match stub.state {
                State::Registering | State::Held => out.send(life, Message::Dirty(mention)),
                State::Cleaning | State::Reacquired => out.send(life, Message::Clean(mention)),
            }
        }
    }

    pub(crate) fn root(&self, home: Life) -> u64 {
        self.homes.get(&home).map_or_else(|| Digest::default().root(), |home| home.digest.root())
    }

    /// Sets of the buckets in which the home differs.
    pub(crate) fn differing(&self, life: Life, theirs: &[u64], out: &mut Output) {
        let empty = Home::default();
        let home = self.homes.get(&life).unwrap_or(&empty);
        // The table is read once, however many buckets differ.
        let mut buckets: BTreeMap<u8, Vec<Mention>> =
            home.digest.differing(theirs).map(|bucket| (bucket, Vec::new())).collect();
        if buckets.is_empty() {
            return;
        }
        for mention in home.listed() {
            if let Some(bucket) = buckets.get_mut(&bucket_of(mention.object)) {
                bucket.push(mention);
            }
        }
        let mut sets = Vec::new();
        for (bucket, mentions) in buckets {
            home.bucket_sets(bucket, &mentions, &mut sets);
        }
        sets.into_iter().for_each(|set| out.send(life, Message::BucketSet(set)));
    }

    /// Mentions that go into an acknowledgement of an exile. What is being cleaned and has come back is registered here and now: whoever sent it may be
    /// the life that is exiled, and then nothing else holds it.
    pub(crate) fn admitted(&mut self, life: Life) -> Vec<Mention> {
        let Some(home) = self.homes.get_mut(&life) else { return Vec::new() };
        let open: Vec<Object> = home.waiting.keys().copied().collect();
        let mut mentions = Vec::new();
        for object in open {
            let Some(stub) = home.table.get(&object).copied() else { continue };
            if stub.state == State::Reacquired {
                let mention = home.mention(object);
                let state = State::Registering;
                home.table.insert(object, Stub { seq: mention.seq, state, ..stub });
                home.digest.toggle(object);
                mentions.push(mention);
            } else {
                mentions.push(Mention { object, seq: stub.seq });
            }
        }
        mentions
    }

    /// Nobody waits for acknowledgements of copies that these senders sent.
    pub(crate) fn forget_senders(&mut self, departed: impl Fn(Life) -> bool) {
        for home in self.homes.values_mut() {
            for waiting in home.waiting.values_mut() {
                waiting.retain(|&(sender, _)| !departed(sender));
            }
        }
    }

    /// Lets the stubs of a home go that is no more.
    pub(crate) fn forget_home(&mut self, life: Life, out: &mut Output) {
        let Some(mut home) = self.homes.remove(&life) else { return };
        let objects: Vec<Object> = home.table.keys().copied().collect();
        for object in objects {
            home.acknowledge_copies(object, out);
            let reference = Reference { home: life, object };
            out.notice(Notice::StubDead { reference, why: StubLoss::HomeDeparted });
        }
    }

    pub(crate) fn homes(&self) -> impl Iterator<Item = Life> + '_ {
        self.homes.keys().copied()
    }

    /// Stubs of a home that count.
    pub(crate) fn of_home(&self, life: Life) -> impl Iterator<Item = Object> + '_ {
        let table = self.homes.get(&life).into_iter().flat_map(|home| &home.table);
        table.filter(|(_, stub)| stub.state != State::Cleaning).map(|(&object, _)| object)
    }

    /// Stubs that count.
    pub(crate) fn held_count(&self) -> usize {
        self.homes.values().map(|home| home.table.len() - home.cleaning).sum()
    }

    pub(crate) fn cleaning_count(&self) -> usize {
        self.homes.values().map(|home| home.cleaning).sum()
    }
}
