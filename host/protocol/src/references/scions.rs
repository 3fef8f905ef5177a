//! The home's side: which client holds what of this node.
//!
//! One entry per object and client, with the number of the client's last mention. An entry is *listed*, or it is a *tombstone*: the client has cleaned, and
//! only its number is kept, so that an older dirty that comes late does not list it again. Tombstones go as soon as the client says that nothing
//! older is under way (`settled`), so there are as many as a round trip makes.
//!
//! 1. A mention counts only if its number is above the entry's and above what the client has settled.
//! 2. The digest of a client is over its listed entries.
//! 3. Sets, never counters: a client is listed or it is not, however often it says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::{Digest, bucket_of};
use crate::ids::{Life, Object};
use crate::rules::{Faults, Rule};
use crate::wire::{BucketSet, Mention};

/// An object and the row of a client: 12 bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    object: Object,
    row: u32,
}

/// The number of the last mention, and whether the client is listed: 8 bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Entry(u64);

impl Entry {
    fn new(seq: u64, listed: bool) -> Entry {
        Entry(seq << 1 | u64::from(listed))
    }

    fn seq(self) -> u64 {
        self.0 >> 1
    }

    fn listed(self) -> bool {
        self.0 & 1 == 1
    }
}

const _: () = assert!(size_of::<Key>() + size_of::<Entry>() == 20);

/// The highest number of a mention that an entry can keep.
const SEQ_MAX: u64 = u64::MAX >> 1;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Client {
    life: Life,
    /// Mentions up to here are answered: what comes with such a number is a repetition.
    settled: u64,
    listed_count: u64,
    digest: Digest,
}

/// What a mention did.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Mentioned {
    /// It changed whether the client is listed.
    Changed,
    /// It is the last one, or says what is so already: to be answered, nothing else.
    Again,
    /// It is older than what is known, and is not answered.
    Stale,
    /// It cleans what the client is not listed for: to be answered, nothing else.
    Unlisted,
    /// Nobody who counts says so. It is not answered.
    Impossible,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scions {
    entries: BTreeMap<Key, Entry>,
    rows: BTreeMap<Life, u32>,
    clients: Vec<Option<Client>>,
    tombstones: BTreeMap<(u32, u64), Object>,
    faults: Faults,
}

fn keys_of(object: Object) -> std::ops::RangeInclusive<Key> {
    Key { object, row: 0 }..=Key { object, row: u32::MAX }
}

impl Scions {
    pub(crate) fn new(faults: Faults) -> Scions {
        Scions { faults, ..Scions::default() }
    }

    fn row(&mut self, life: Life) -> u32 {
        if let Some(&row) = self.rows.get(&life) {
            return row;
        }
        let client = Client { life, settled: 0, listed_count: 0, digest: Digest::default() };
        let row = self.clients.iter().position(Option::is_none).unwrap_or(self.clients.len());
        match self.clients.get_mut(row) {
            Some(free) => *free = Some(client),
            None => self.clients.push(Some(client)),
        }
        self.rows.insert(life, row as u32);
        row as u32
    }

    fn client(&self, life: Life) -> Option<&Client> {
        self.clients.get(*self.rows.get(&life)? as usize)?.as_ref()
    }

    fn put(&mut self, key: Key, seq: u64, listed: bool) {
        let entry = Entry::new(seq, listed);
        let before = self.entries.insert(key, entry);
        if let Some(before) = before.filter(|before| !before.listed()) {
            self.tombstones.remove(&(key.row, before.seq()));
        }
        if !listed {
            self.tombstones.insert((key.row, seq), key.object);
        }
        self.account(key, before.is_some_and(Entry::listed), listed);
    }

    fn take(&mut self, key: Key) {
        if let Some(before) = self.entries.remove(&key) {
            self.tombstones.remove(&(key.row, before.seq()));
            self.account(key, before.listed(), false);
        }
    }

    fn account(&mut self, key: Key, before: bool, after: bool) {
        if let Some(Some(client)) = self.clients.get_mut(key.row as usize)
            && before != after
        {
            client.digest.toggle(key.object);
            client.listed_count =
                client.listed_count.wrapping_add_signed(i64::from(after) - i64::from(before));
        }
    }

    /// Takes a mention in: dirty if `listed`, else clean. `again` says that it stands in a set, so its number may be settled.
    pub(crate) fn mention(&mut self, life: Life, mention: &Mention, listed: bool, again: bool) -> Mentioned {
        if mention.seq > SEQ_MAX {
            return Mentioned::Impossible;
        }
        let row = self.row(life);
        let key = Key { object: mention.object, row };
        let settled = self.client(life).map_or(0, |client| client.settled);
        let last = self.entries.get(&key).copied();
        if self.faults.keeps(Rule::IgnoreOldMentions) {
            let stale = match last {
                Some(last) => mention.seq < last.seq(),
                None => mention.seq <= settled && !again,
            };
            if stale {
                return Mentioned::Stale;
            }
        }
        let before = last.is_some_and(Entry::listed);
        if last.is_some_and(|last| last.seq() == mention.seq) && before != listed {
            // A dirty that was repeated after a clean took its number.
            return Mentioned::Impossible;
        }
        if last.is_none() && !listed {
            // Who cleans was answered to its dirty before, so none can come late; and whoever makes objects up leaves nothing here.
            return Mentioned::Unlisted;
        }
        if listed || self.faults.keeps(Rule::CleansLeaveTombstones) {
            self.put(key, mention.seq, listed);
        } else {
            self.take(key);
        }
        if before == listed { Mentioned::Again } else { Mentioned::Changed }
    }

    /// Takes an entry away, whatever it says.
    pub(crate) fn remove(&mut self, life: Life, object: Object) {
        if let Some(&row) = self.rows.get(&life) {
            self.take(Key { object, row });
        }
    }

    /// The client says that nothing up to `settled` is under way.
    pub(crate) fn settle(&mut self, life: Life, settled: u64) {
        let Some(&row) = self.rows.get(&life) else { return };
        if let Some(Some(client)) = self.clients.get_mut(row as usize) {
            client.settled = client.settled.max(settled);
        }
        let old: Vec<(u64, Object)> = self
            .tombstones
            .range((row, 0)..=(row, settled))
            .map(|(&(_, seq), &object)| (seq, object))
            .collect();
        for (seq, object) in old {
            self.tombstones.remove(&(row, seq));
            self.entries.remove(&Key { object, row });
        }
    }

    /// The number of the client's last mention of an object.
    pub(crate) fn seq(&self, object: Object, life: Life) -> Option<u64> {
        let row = *self.rows.get(&life)?;
        self.entries.get(&Key { object, row }).map(|entry| entry.seq())
    }

    pub(crate) fn is_listed(&self, object: Object) -> bool {
        self.entries.range(keys_of(object)).any(|(_, entry)| entry.listed())
    }

    /// Clients that are listed for an object.
    pub(crate) fn clients_of(&self, object: Object) -> impl Iterator<Item = Life> + '_ {
        self.entries
            .range(keys_of(object))
            .filter(|(_, entry)| entry.listed())
            .filter_map(|(key, _)| Some(self.clients.get(key.row as usize)?.as_ref()?.life))
    }

    pub(crate) fn lists(&self, object: Object, life: Life) -> bool {
        self.clients_of(object).any(|client| client == life)
    }

    pub(crate) fn root(&self, life: Life) -> u64 {
        self.client(life).map_or_else(|| Digest::default().root(), |client| client.digest.root())
    }

    pub(crate) fn buckets(&self, life: Life) -> Vec<u64> {
        let empty = Digest::default();
        self.client(life).map_or(&empty, |client| &client.digest).buckets().to_vec()
    }

    /// Entries of the client that sets of buckets lack and that are not newer than the set. Reads the table once, for all sets; where two of a bucket overlap, the one that
    /// begins later speaks.
    pub(crate) fn lacking(&self, life: Life, sets: &[BucketSet]) -> Vec<Object> {
        let Some(&row) = self.rows.get(&life) else { return Vec::new() };
        let sets = || sets.iter().filter(|set| set.low <= set.high);
        let (low, high) = (sets().map(|set| set.low).min(), sets().map(|set| set.high).max());
        let (Some(low), Some(high)) = (low, high) else { return Vec::new() };
        let said: BTreeSet<Object> =
            sets().flat_map(|set| &set.mentions).map(|mention| mention.object).collect();
        let by_bucket: BTreeMap<(u8, Object), &BucketSet> =
            sets().map(|set| ((set.bucket, set.low), set)).collect();
        let first = Object { cell: 0, generation: 0 };
        let lacks = |object: Object, entry: Entry| {
            let bucket = bucket_of(object);
            let before = by_bucket.range((bucket, first)..=(bucket, object)).next_back();
            before.is_some_and(|(_, set)| {
                let known = entry.seq() <= set.watermark || !self.faults.keeps(Rule::HealingHasWatermark);
                known && object <= set.high && !said.contains(&object)
            })
        };
        let range = Key { object: low, row: 0 }..=Key { object: high, row: u32::MAX };
        let listed = self.entries.range(range).filter(|(key, entry)| key.row == row && entry.listed());
        listed.filter(|(key, entry)| lacks(key.object, **entry)).map(|(key, _)| key.object).collect()
    }

    /// Takes a client off every list. Answers the objects that it was listed for. Reads the whole table.
    pub(crate) fn forget(&mut self, life: Life) -> Vec<Object> {
        let Some(row) = self.rows.remove(&life) else { return Vec::new() };
        let mut held = Vec::new();
        self.entries.retain(|key, entry| {
            if key.row == row && entry.listed() {
                held.push(key.object);
            }
            key.row != row
        });
        self.tombstones.retain(|&(tombstone, _), _| tombstone != row);
        if let Some(client) = self.clients.get_mut(row as usize) {
            *client = None;
        }
        held
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = Life> + '_ {
        self.rows.keys().copied()
    }

    /// Objects that somebody is listed for, once for each listing.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (Object, Life)> + '_ {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.listed())
            .filter_map(|(key, _)| Some((key.object, self.clients.get(key.row as usize)?.as_ref()?.life)))
    }

    pub(crate) fn listed_count(&self, life: Life) -> u64 {
        self.client(life).map_or(0, |client| client.listed_count)
    }

    /// Listings: an object that two clients are listed for counts twice. A look at each client.
    pub(crate) fn listing_count(&self) -> u64 {
        self.clients.iter().flatten().map(|client| client.listed_count).sum()
    }

    pub(crate) fn tombstone_count(&self) -> usize {
        self.tombstones.len()
    }
}
