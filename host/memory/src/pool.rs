//! One size class: the depot of free blocks behind the caches, over slabs of the arena.
//!
//! Free blocks lie in two places, each behind a lock of its own. `ready` is a dense stack of block numbers: what caches bring in whole batches goes out
//! again in whole batches, one copy of half a kilobyte under the lock. What does not fit there goes to the bit maps of the slabs, which takes some
//! microseconds per batch. Whoever frees much fills `ready` first and is among the maps afterwards; whoever allocates finds blocks in `ready` meanwhile, and
//! does not wait for a thread that the kernel put aside in the middle of a map. Out of the maps blocks are taken lowest address first, so that the slabs
//! at the high end run empty and can be given back.
//!
//! [`Elastic`] decides how many slabs the pool keeps committed; this file carries it out.
//!
//! **Invariants**.
//! 1. A block is out (`used`: live, or in a cache), in `ready`, on its way between the two places in the hands of one thread, or a one in the map of its
//!    slab; never two of these.
//! 2. `nonempty` holds the slabs of this pool whose map has a one.
//! 3. `policy.committed()` is `slabs.len() * per_slab`.
//! 4. Lock order: maps, then `ready`; maps, then arena. Never two pools.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::classes::{NO_CLASS, Shape};
use crate::set::NumberSet;
use crate::sync::{Mutex, MutexGuard, lock, try_lock};
use crate::table::SlabTable;
use crate::{Arena, Elastic, ElasticConfig, MemoryError, Span};

/// How many batches `ready` holds.
const READY_BATCHES: usize = 32;

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct SizePool {
    ready: Mutex<Ready>,
    state: Mutex<State>,
    /// Blocks outside the depot: live, or in a cache.
    used: AtomicU64,
    arena: Arc<Arena>,
    table: SlabTable,
    class: u8,
    shape: Shape,
    /// Slabs from this one on may use huge pages.
    huge_from: u32,
    ready_max: usize,
}

#[derive(Debug, Default)]
struct Ready {
    blocks: Vec<u32>,
    rounding: Rounding,
    closed: bool,
}

#[derive(Debug)]
struct State {
    policy: Elastic,
    slabs: NumberSet,
    nonempty: NumberSet,
    closed: bool,
}

/// What requests asked for and what they got, sampled at each refill of a cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rounding {
    pub(crate) asked_bytes: u64,
    pub(crate) given_bytes: u64,
}

/// Counts of one pool, in blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PoolCounts {
    pub(crate) committed: u64,
    pub(crate) out: u64,
    /// Free blocks in slabs none of whose blocks is out or ready.
    pub(crate) releasable: u64,
    pub(crate) rounding: Rounding,
}

impl SizePool {
    pub(crate) fn new(
        arena: Arc<Arena>,
        table: SlabTable,
        (class, shape): (u8, Shape),
        config: ElasticConfig,
        (batch, huge_from): (usize, u32),
    ) -> Result<SizePool, MemoryError> {
        let per_slab = u64::from(shape.per_slab);
        let maximum = config.maximum.min(u64::from(arena.slabs()) * per_slab);
        let policy = Elastic::new(ElasticConfig { maximum, ..config }, per_slab)?;
        let (slabs, nonempty) = (NumberSet::default(), NumberSet::default());
        let state = State { policy, slabs, nonempty, closed: false };
        let pool = SizePool {
            ready: Mutex::default(),
            state: Mutex::new(state),
            used: AtomicU64::new(0),
            arena,
            table,
            class,
            shape,
            huge_from,
            ready_max: batch * READY_BATCHES,
        };
        let mut state = pool.lock();
        let initial = state.policy.config().initial / per_slab;
        for _ in 0..initial {
            pool.commit(&mut state)?;
        }
        drop(state);
        Ok(pool)
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Fills the beginning of `out` with at least one free block, so that popping them gives ascending addresses; returns how many. `bytes` is what
    /// the caller wants to store in the first of them.
    pub(crate) fn take(&self, bytes: u64, out: &mut [u32]) -> Result<usize, MemoryError> {
        let ready = self.take_ready(bytes, out)?;
        if ready > 0 {
            // Somebody else in there looks ahead by himself, or makes more room.
            try_lock(&self.state).iter_mut().for_each(|state| self.grow_ahead(state));
            return Ok(ready);
        }
        let mut state = self.lock();
        if state.closed {
            return Err(MemoryError::Closed);
        }
        let count = self.take_from_slabs(&mut state, out)?;
        self.used.fetch_add(count as u64, Relaxed);
        self.count_rounding(&mut lock(&self.ready), bytes, count);
        self.grow_ahead(&mut state);
        Ok(count)
    }

    fn take_ready(&self, bytes: u64, out: &mut [u32]) -> Result<usize, MemoryError> {
        let mut ready = lock(&self.ready);
        if ready.closed {
            return Err(MemoryError::Closed);
        }
        let count = out.len().min(ready.blocks.len());
        let rest = ready.blocks.len() - count;
        out[..count].copy_from_slice(&ready.blocks[rest..]);
        ready.blocks.truncate(rest);
        self.used.fetch_add(count as u64, Relaxed);
        self.count_rounding(&mut ready, bytes, count);
        Ok(count)
    }

    fn count_rounding(&self, ready: &mut Ready, bytes: u64, count: usize) {
        ready.rounding.asked_bytes += bytes * count as u64;
        ready.rounding.given_bytes += self.shape.bytes() * count as u64;
    }

    /// Takes blocks back.
    pub(crate) fn put(&self, blocks: &[u32]) {
        {
            let mut ready = lock(&self.ready);
            if ready.closed {
                return;
            }
            let used = self.used.fetch_sub(blocks.len() as u64, Relaxed);
            assert!(used >= blocks.len() as u64, "more blocks freed than allocated in class {}", self.class);
            if ready.blocks.len() + blocks.len() <= self.ready_max {
                ready.blocks.extend_from_slice(blocks);
                return;
            }
        }
        let mut state = self.lock();
        if !state.closed {
            self.put_in_slabs(&mut state, blocks);
        }
    }

    /// Lets the policy look at the load; releases what it says. Slabs must be wholly free for that: what is scattered stays.
    pub(crate) fn tick(&self, now: Duration) -> Result<u64, MemoryError> {
        let mut state = self.lock();
        let blocks = state.policy.tick(now, self.used.load(Relaxed));
        let released = if blocks > 0 {
            self.take_empty(&mut state, blocks / u64::from(self.shape.per_slab))
        } else {
            Vec::new()
        };
        drop(state);
        self.give_back(&released)
    }

    /// Releases every wholly free slab above the initial count: somebody else needs it. Returns how many.
    pub(crate) fn trim(&self) -> Result<u64, MemoryError> {
        let mut state = self.lock();
        let per_slab = u64::from(self.shape.per_slab);
        let most = (state.policy.committed() - state.policy.config().initial.min(state.policy.committed()))
            / per_slab;
        let released = self.take_empty(&mut state, most);
        drop(state);
        self.give_back(&released)
    }

    /// Forgets all slabs; the arena is closed by the caller.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.policy.close();
        state.closed = true;
        *lock(&self.ready) = Ready { closed: true, ..Ready::default() };
        self.used.store(0, Relaxed);
        for slab in state.slabs.descending() {
            self.table.set_class(slab, NO_CLASS);
        }
        state.slabs = NumberSet::default();
        state.nonempty = NumberSet::default();
    }

    pub(crate) fn counts(&self) -> PoolCounts {
        let state = self.lock();
        let per_slab = self.shape.per_slab;
        let empty =
            state.nonempty.descending().filter(|&slab| self.table.free(slab) == per_slab).count() as u64;
        PoolCounts {
            committed: state.policy.committed(),
            out: self.used.load(Relaxed),
            releasable: empty * u64::from(per_slab),
            rounding: lock(&self.ready).rounding,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn take_from_slabs(&self, state: &mut State, out: &mut [u32]) -> Result<usize, MemoryError> {
        let mut count = 0;
        while count < out.len() {
            let Some(slab) = state.nonempty.first() else {
                if count > 0 {
                    break;
                }
                self.commit(state)?;
                continue;
            };
            let room = (out.len() - count) as u32;
            self.table.take(slab, &self.shape, room, |block| {
                out[count] = block;
                count += 1;
            });
            if self.table.free(slab) == 0 {
                state.nonempty.remove(slab);
            }
        }
        out[..count].reverse();
        Ok(count)
    }

    fn put_in_slabs(&self, state: &mut State, blocks: &[u32]) {
        for &block in blocks {
            if self.table.put(block, &self.shape) == 0 {
                state.nonempty.insert(self.table.slab_of(block));
            }
        }
    }

    /// Commits what the policy wants beyond what was asked for; if the arena has no more, the next one who needs a block will say so.
    fn grow_ahead(&self, state: &mut State) {
        let slabs = state.policy.grow(self.used.load(Relaxed)) / u64::from(self.shape.per_slab);
        for _ in 0..slabs {
            if self.commit(state).is_err() {
                break;
            }
        }
    }

    fn commit(&self, state: &mut State) -> Result<(), MemoryError> {
        let per_slab = u64::from(self.shape.per_slab);
        let maximum = state.policy.config().maximum;
        // Where the arena is the bound, it says so itself.
        let arena_bound = maximum == u64::from(self.arena.slabs()) * per_slab;
        if !arena_bound && maximum - state.policy.committed() < per_slab {
            let block = self.shape.bytes();
            return Err(MemoryError::Full {
                asked: block,
                used: self.used.load(Relaxed) * block,
                committed: state.policy.committed() * block,
                limit: maximum * block,
                which: "the pool of this block size",
            });
        }
        let huge = state.slabs.len() >= self.huge_from;
        let slab = self.arena.commit(1, huge)?.first();
        state.policy.grown(per_slab);
        state.slabs.insert(slab);
        state.nonempty.insert(slab);
        self.table.fill(slab, self.shape.per_slab);
        self.table.set_class(slab, self.class);
        Ok(())
    }

    /// Takes up to `most` wholly free slabs out of the pool, highest first.
    fn take_empty(&self, state: &mut State, most: u64) -> Vec<u32> {
        let ready = std::mem::take(&mut lock(&self.ready).blocks);
        self.put_in_slabs(state, &ready);
        let per_slab = self.shape.per_slab;
        let empty = |slab: &u32| self.table.free(*slab) == per_slab;
        let chosen: Vec<u32> = state.nonempty.descending().filter(empty).take(most as usize).collect();
        for &slab in &chosen {
            state.nonempty.remove(slab);
            state.slabs.remove(slab);
            self.table.set_class(slab, NO_CLASS);
        }
        state.policy.shrunk(chosen.len() as u64 * u64::from(per_slab));
        chosen
    }

    fn give_back(&self, slabs: &[u32]) -> Result<u64, MemoryError> {
        for &slab in slabs {
            self.arena.release(Span::of(slab, 1))?;
        }
        Ok(slabs.len() as u64)
    }
}
