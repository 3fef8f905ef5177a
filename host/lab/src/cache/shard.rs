//! The shard of one thread: a table of buckets, and a ring of entries from the newest to the oldest.

use std::collections::VecDeque;

use gc_heap::{Local, Mutator, Scope};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::spec::{CacheSpec, Policy};
use crate::cost::Effort;
use crate::crew::Post;
use crate::distributions::{Zipf, stream};
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::leftover::retire_leftover;
use crate::limits::STEPS_PER_LOOK;

/// Slots of the shard.
const BUCKETS: u32 = 0;
const SENTINEL: u32 = 1;
/// Slots of an entry. The sentinel has the two in the middle.
const NEXT: u32 = 0;
const NEWER: u32 = 1;
const OLDER: u32 = 2;
const VALUE: u32 = 3;

/// What a shard did, and what is in it.
#[derive(Debug, Default, Copy, Clone)]
pub(super) struct Counts {
    pub(super) effort: Effort,
    pub(super) entries: u64,
    pub(super) reads: u64,
    pub(super) hits: u64,
    pub(super) expired: u64,
    pub(super) evicted: u64,
}

pub(super) struct Shard<'w> {
    spec: &'w CacheSpec,
    zipf: &'w Zipf,
    thread: u32,
    random: ChaCha8Rng,
    /// Operations so far: the clock of the shard.
    now: u64,
    /// When the value that was put in for a key expires, in the order of time. One that was replaced or evicted
    /// stays in here until then.
    expiring: VecDeque<(u64, u64)>,
    buffer: Vec<u8>,
    counts: Counts,
}

/// The objects that every operation needs.
#[derive(Copy, Clone)]
struct Anchors<'s> {
    buckets: Local<'s>,
    sentinel: Local<'s>,
}

/// An entry, and the one before it in its bucket.
struct Found<'s> {
    entry: Local<'s>,
    before: Option<Local<'s>>,
}

pub(super) fn root(thread: u32) -> String {
    format!("cache shard {thread}")
}

impl<'w> Shard<'w> {
    pub(super) fn new(spec: &'w CacheSpec, zipf: &'w Zipf, post: Post<'_>) -> Shard<'w> {
        Shard {
            spec,
            zipf,
            thread: post.thread,
            random: stream(spec.seed, post.thread.into()),
            now: 0,
            expiring: VecDeque::new(),
            buffer: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Makes the shard, and works until it is as full as it will be.
    pub(super) fn fill(&mut self, post: Post<'_>, mutator: &mut Mutator) -> Result<(), WorkloadError> {
        retire_leftover(mutator, &root(self.thread), self.spec.retire)?;
        let buckets = self.bucket_count() as usize;
        mutator.scope(|scope| {
            let buckets = scope.alloc(&vec![None; buckets], &[])?;
            let sentinel = scope.alloc(&[None; 4], &[])?;
            for slot in [NEWER, OLDER] {
                scope.store(sentinel, slot, Some(sentinel))?;
            }
            let shard = scope.alloc(&[Some(buckets), Some(sentinel)], &[])?;
            scope.set_root(&root(self.thread), Some(shard));
            Ok::<_, WorkloadError>(())
        })?;
        self.counts.effort.objects += 3;
        self.counts.effort.references += 4;
        self.counts.effort.operations += 6;
        let full = self.spec.capacity_per_thread();
        while self.counts.entries < full && self.now < 2 * self.spec.ttl && !post.is_over() {
            self.some(mutator, STEPS_PER_LOOK, |_| ())?;
            post.tell(self.counts.entries);
        }
        Ok(())
    }

    pub(super) fn work(&mut self, post: Post<'_>, mutator: &mut Mutator) -> Result<Recorder, WorkloadError> {
        let mut recorder = post.recorder();
        let share = post.share(self.spec.operations);
        let mut done = 0;
        while done < share && !post.is_over() {
            let count = STEPS_PER_LOOK.min(share - done);
            recorder.restart();
            self.some(mutator, count, |()| recorder.lap())?;
            done += count;
            post.tell(done);
        }
        Ok(recorder)
    }

    fn some(
        &mut self,
        mutator: &mut Mutator,
        count: u64,
        mut after: impl FnMut(()),
    ) -> Result<(), WorkloadError> {
        mutator.scope(|scope| {
            let anchors = self.anchors(scope)?;
            for _ in 0..count {
                scope.scope(|inner| self.step(inner, anchors))?;
                after(());
            }
            Ok(())
        })
    }

    fn anchors<'s>(&mut self, scope: &Scope<'s>) -> Result<Anchors<'s>, WorkloadError> {
        let shard = scope.root(&root(self.thread)).ok_or_else(|| WorkloadError::lost("a shard"))?;
        self.counts.effort.operations += 3;
        let part = |slot| scope.load(shard, slot)?.ok_or_else(|| WorkloadError::lost("a part of a shard"));
        Ok(Anchors { buckets: part(BUCKETS)?, sentinel: part(SENTINEL)? })
    }

    /// One operation: a read that puts the entry in where it is missing, or a write.
    fn step(&mut self, scope: &Scope<'_>, anchors: Anchors<'_>) -> Result<(), WorkloadError> {
        self.now += 1;
        self.expire(scope, anchors)?;
        let key = self.zipf.sample_strewn(&mut self.random);
        let writes = self.random.random_bool(self.spec.updates);
        let found = self.find(scope, anchors, key)?;
        self.counts.reads += u64::from(!writes);
        match found {
            Some(found) if writes => self.replace(scope, found.entry, key),
            Some(found) => {
                self.counts.hits += 1;
                let value = self.counts.effort.load(scope, found.entry, VALUE, "a part of an entry")?;
                self.read(scope, value, Some(key))?;
                self.use_now(scope, anchors, found.entry)
            }
            None => {
                if self.counts.entries >= self.spec.capacity_per_thread() {
                    self.evict(scope, anchors)?;
                }
                self.insert(scope, anchors, key)
            }
        }
    }

    // The parts of an operation.

    fn insert(&mut self, scope: &Scope<'_>, anchors: Anchors<'_>, key: u64) -> Result<(), WorkloadError> {
        let value = self.value(scope, key)?;
        let bucket = self.bucket(key);
        let next = scope.load(anchors.buckets, bucket)?;
        let newest = self.counts.effort.load(scope, anchors.sentinel, OLDER, "a part of an entry")?;
        let slots = [next, Some(anchors.sentinel), Some(newest), Some(value)];
        let entry = self.counts.effort.alloc(scope, &slots, &key.to_le_bytes())?;
        self.counts.effort.operations += 1;
        self.counts.effort.store(scope, anchors.buckets, bucket, Some(entry))?;
        self.counts.effort.store(scope, newest, NEWER, Some(entry))?;
        self.counts.effort.store(scope, anchors.sentinel, OLDER, Some(entry))?;
        self.counts.entries += 1;
        Ok(())
    }

    fn replace(&mut self, scope: &Scope<'_>, entry: Local<'_>, key: u64) -> Result<(), WorkloadError> {
        let old = self.counts.effort.load(scope, entry, VALUE, "a part of an entry")?;
        let value = self.value(scope, key)?;
        self.counts.effort.store(scope, entry, VALUE, Some(value))?;
        self.retire(scope, old);
        Ok(())
    }

    /// Removes what has expired by now.
    fn expire(&mut self, scope: &Scope<'_>, anchors: Anchors<'_>) -> Result<(), WorkloadError> {
        while let Some(&(at, key)) = self.expiring.front()
            && at <= self.now
        {
            self.expiring.pop_front();
            let Some(found) = self.find(scope, anchors, key)? else { continue };
            let value = self.counts.effort.load(scope, found.entry, VALUE, "a part of an entry")?;
            // A later value lives on.
            if self.read(scope, value, Some(key))? <= self.now {
                self.remove(scope, anchors, &found, key)?;
                self.counts.expired += 1;
            }
        }
        Ok(())
    }

    fn evict(&mut self, scope: &Scope<'_>, anchors: Anchors<'_>) -> Result<(), WorkloadError> {
        let oldest = self.counts.effort.load(scope, anchors.sentinel, NEWER, "a part of an entry")?;
        let key = self.key(scope, oldest);
        let found = self.find(scope, anchors, key)?.ok_or_else(|| WorkloadError::lost("the oldest entry"))?;
        self.counts.evicted += 1;
        self.remove(scope, anchors, &found, key)
    }

    fn remove(
        &mut self,
        scope: &Scope<'_>,
        anchors: Anchors<'_>,
        found: &Found<'_>,
        key: u64,
    ) -> Result<(), WorkloadError> {
        let entry = found.entry;
        let next = scope.load(entry, NEXT)?;
        self.counts.effort.operations += 1;
        match found.before {
            Some(before) => self.counts.effort.store(scope, before, NEXT, next)?,
            None => self.counts.effort.store(scope, anchors.buckets, self.bucket(key), next)?,
        }
        self.unlink(scope, entry)?;
        let value = self.counts.effort.load(scope, entry, VALUE, "a part of an entry")?;
        self.retire(scope, entry);
        self.retire(scope, value);
        self.counts.entries -= 1;
        Ok(())
    }

    fn use_now(
        &mut self,
        scope: &Scope<'_>,
        anchors: Anchors<'_>,
        entry: Local<'_>,
    ) -> Result<(), WorkloadError> {
        let newest = self.counts.effort.load(scope, anchors.sentinel, OLDER, "a part of an entry")?;
        if self.spec.policy == Policy::Fifo || newest == entry {
            return Ok(());
        }
        self.unlink(scope, entry)?;
        self.counts.effort.store(scope, entry, NEWER, Some(anchors.sentinel))?;
        self.counts.effort.store(scope, entry, OLDER, Some(newest))?;
        self.counts.effort.store(scope, newest, NEWER, Some(entry))?;
        self.counts.effort.store(scope, anchors.sentinel, OLDER, Some(entry))
    }

    fn unlink(&mut self, scope: &Scope<'_>, entry: Local<'_>) -> Result<(), WorkloadError> {
        let (newer, older) = (
            self.counts.effort.load(scope, entry, NEWER, "a part of an entry")?,
            self.counts.effort.load(scope, entry, OLDER, "a part of an entry")?,
        );
        self.counts.effort.store(scope, newer, OLDER, Some(older))?;
        self.counts.effort.store(scope, older, NEWER, Some(newer))
    }

    fn find<'s>(
        &mut self,
        scope: &Scope<'s>,
        anchors: Anchors<'_>,
        key: u64,
    ) -> Result<Option<Found<'s>>, WorkloadError> {
        let mut before = None;
        let mut next = scope.load(anchors.buckets, self.bucket(key))?;
        self.counts.effort.operations += 1;
        while let Some(entry) = next {
            if self.key(scope, entry) == key {
                return Ok(Some(Found { entry, before }));
            }
            self.counts.effort.operations += 1;
            next = scope.load(entry, NEXT)?;
            before = Some(entry);
        }
        Ok(None)
    }

    // Objects and their payloads.

    /// A value for a key, which expires: key and time, repeated.
    fn value<'s>(&mut self, scope: &Scope<'s>, key: u64) -> Result<Local<'s>, WorkloadError> {
        let expires = self.now + self.spec.ttl;
        self.expiring.push_back((expires, key));
        let len = CacheSpec::value_bytes(self.spec.size.sample(&mut self.random) as u64) as usize;
        let pair = [key.to_le_bytes(), expires.to_le_bytes()];
        self.buffer.clear();
        self.buffer.extend(pair.as_flattened().iter().cycle().take(len));
        self.counts.effort.alloc(scope, &[], &self.buffer)
    }

    /// When a value expires. It must be whole, and that of the key where one is given.
    fn read(&mut self, scope: &Scope<'_>, value: Local<'_>, key: Option<u64>) -> Result<u64, WorkloadError> {
        self.counts.effort.operations += 1;
        self.buffer.clear();
        scope.read(value, &mut self.buffer);
        let words = self.buffer.as_chunks::<8>().0;
        let word = |at: usize| words.get(at).copied().map_or(0, u64::from_le_bytes);
        let (found, expires) = (word(0), word(1));
        let pair = [found.to_le_bytes(), expires.to_le_bytes()];
        let mut right = pair.as_flattened().iter().cycle();
        let whole = self.buffer.len() >= 16 && self.buffer.iter().all(|byte| Some(byte) == right.next());
        if whole && found == key.unwrap_or(found) {
            return Ok(expires);
        }
        let what = format!("a value of key {found} was found where one of key {key:?} must be");
        Err(WorkloadError::Corrupted { what, object: scope.handle(value).to_string() })
    }

    fn key(&mut self, scope: &Scope<'_>, entry: Local<'_>) -> u64 {
        self.counts.effort.operations += 1;
        self.buffer.clear();
        scope.read(entry, &mut self.buffer);
        self.buffer.as_chunks::<8>().0.first().copied().map_or(u64::MAX, u64::from_le_bytes)
    }

    fn retire(&mut self, scope: &Scope<'_>, object: Local<'_>) {
        if self.spec.retire {
            self.counts.effort.retire(scope, object);
        }
    }

    fn bucket_count(&self) -> u64 {
        self.spec.capacity_per_thread().next_power_of_two()
    }

    fn bucket(&self, key: u64) -> u32 {
        // Fibonacci hashing: keys are small numbers.
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        (hash & (self.bucket_count() - 1)) as u32
    }

    // The end.

    /// Walks the ring from the newest entry to the oldest: each must be found by its key, none may have expired,
    /// and there must be as many as were counted. False when it ended early.
    pub(super) fn walk(&mut self, post: Post<'_>, mutator: &mut Mutator) -> Result<bool, WorkloadError> {
        let mut seen = 0;
        let mut at = mutator.scope(|scope| {
            let anchors = self.anchors(scope)?;
            Ok::<_, WorkloadError>(scope.handle(anchors.sentinel))
        })?;
        loop {
            let next = mutator.scope(|scope| {
                let anchors = self.anchors(scope)?;
                let object = scope.resolve(at)?;
                let entry = self.counts.effort.load(scope, object, OLDER, "a part of an entry")?;
                if entry == anchors.sentinel {
                    return Ok::<_, WorkloadError>(None);
                }
                let key = self.key(scope, entry);
                let found = self.find(scope, anchors, key)?;
                let value = self.counts.effort.load(scope, entry, VALUE, "a part of an entry")?;
                let expires = self.read(scope, value, Some(key))?;
                if found.is_none_or(|found| found.entry != entry) || expires <= self.now {
                    return Err(WorkloadError::Wrong {
                        what: format!("the entry of key {key} is not in its bucket"),
                    });
                }
                Ok(Some(scope.handle(entry)))
            })?;
            match next {
                None if seen == self.counts.entries => return Ok(true),
                None => {
                    let what = format!("a shard holds {seen} entries, not {}", self.counts.entries);
                    return Err(WorkloadError::Wrong { what });
                }
                Some(next) => at = next,
            }
            seen += 1;
            if seen % STEPS_PER_LOOK == 0 && post.is_over() {
                return Ok(false);
            }
        }
    }
}
