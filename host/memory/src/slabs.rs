//! The payload memory of a node: blocks of any size from one arena, by size classes.
//!
//! ```text
//!  mutator A ── Cache ─┐  batches of up to 128 blocks, one short lock each
//!  mutator B ── Cache ─┼──────▶ pool of the size class ──▶ slabs of the arena ──▶ kernel
//!  collector ── Cache ─┘        (depot and bit maps)       (elastic policy)
//! ```
//!
//! A block is a number, not a pointer: the index of its first 64-byte granule in the arena. Whoever has the number may read the words, which are
//! atomics, at any time: a stale number reads a zero or somebody else's words, and never faults.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::cache::{Cache, Rack};
use crate::classes::{GRANULE_BYTES, LARGE, LARGE_REST, NO_CLASS, class_of, serving, shapes};
use crate::pool::SizePool;
use crate::stats::{ClassStats, SlabStats};
use crate::sync::{Mutex, lock};
use crate::table::{ClassMap, SlabTable};
use crate::{Arena, ArenaConfig, Block, Column, ElasticConfig, MemoryError, Span};

const GRANULE_WORDS: usize = (GRANULE_BYTES / 8) as usize;

/// Sizes, thresholds and timers of payload memory.
#[derive(Clone, Debug, PartialEq)]
pub struct SlabConfig {
    /// Bytes of all blocks together. Default 1 GiB; at most what the machine has.
    pub arena_bytes: u64,
    /// Bytes of a slab: a power of two from 64 KiB to 32 MiB. Default: a 512th of the arena, from 64 KiB to 2 MiB.
    pub slab_bytes: Option<u64>,
    /// Sizes of blocks in bytes, the smallest first: multiples of 64 up to 4096, powers of two above it, up to half a slab. A request gets the smallest that holds
    /// it; what is larger than the last spans whole slabs. Fewer sizes mean fewer slabs that are in use in part, and more bytes lost to rounding. A request
    /// whose own multiple of 64 is not among them takes a longer way. Default: all of them.
    pub block_bytes: Option<Vec<u64>>,
    /// How the pool of each size class grows and shrinks. `initial` and `maximum` count blocks of one class.
    pub pool: ElasticConfig,
    /// Whether slabs of 2 MiB or more may use huge pages. Default true.
    pub huge_pages: bool,
    /// How many slabs of a class stay with small pages before huge ones are used, so that a class with few blocks occupies little. Default 1.
    pub small_page_slabs: u32,
    /// Most blocks of one class that a cache exchanges with the depot at once; it holds up to twice as many. Default 128.
    pub batch_blocks: usize,
    /// The same in bytes, for large blocks (one block at least). Default 256 KiB.
    pub batch_bytes: u64,
}

impl Default for SlabConfig {
    fn default() -> SlabConfig {
        SlabConfig {
            arena_bytes: 1 << 30,
            slab_bytes: None,
            block_bytes: None,
            pool: ElasticConfig::default(),
            huge_pages: true,
            small_page_slabs: 1,
            batch_blocks: 128,
            batch_bytes: 256 << 10,
        }
    }
}

/// Payload memory: an arena, a pool per size class, and the caches that are open.
#[derive(Debug)]
pub struct Slabs {
    words: Column<AtomicU64>,
    classes: ClassMap,
    /// Granules of a block by class: one where there is no block, and for [`LARGE`] more than any arena has.
    class_granules: [NonZeroU32; 256],
    table: SlabTable,
    arena: Arc<Arena>,
    /// By class, from class 1 on. A class that another one serves has an empty pool.
    pools: Vec<SizePool>,
    /// By class, from class 1 on: the class that serves it.
    serving: Vec<u8>,
    batches: Vec<usize>,
    large_bytes: AtomicU64,
    caches: Mutex<Vec<Weak<Rack>>>,
    closed: AtomicBool,
}

impl Slabs {
    /// Reserves the arena. Apart from initial blocks nothing is committed, and nothing is resident.
    pub fn new(config: SlabConfig) -> Result<Arc<Slabs>, MemoryError> {
        if config.batch_blocks == 0 || config.batch_blocks > 1 << 16 {
            return Err(MemoryError::Config {
                reason: "batch_blocks is not between 1 and 65536: correct it",
            });
        }
        let arena = Arena::new(&ArenaConfig {
            bytes: config.arena_bytes,
            slab_bytes: config.slab_bytes,
            huge_pages: config.huge_pages,
        })?;
        let table = SlabTable::new(arena.slabs(), arena.slab_bytes())?;
        let shapes = shapes(arena.slab_bytes());
        let serving = serving(config.block_bytes.as_deref(), &shapes)?;
        let serves_itself = |at: usize| usize::from(serving[at]) == at + 1;
        if (0..shapes.len()).any(|at| serves_itself(at) && config.pool.maximum < shapes[at].per_slab.into()) {
            return Err(MemoryError::Config {
                reason: "the maximum count of blocks is less than a slab has of the smallest ones, so there would be none: raise it, or make slabs smaller",
            });
        }
        let fitting = |bytes: u64| ((config.batch_bytes / bytes) as usize).clamp(1, config.batch_blocks);
        let batches: Vec<usize> = shapes.iter().map(|shape| fitting(shape.bytes())).collect();
        let pool = |(at, shape)| {
            let (arena, table) = (Arc::clone(&arena), table.clone());
            let tuning = (batches[at], config.small_page_slabs);
            let initial = if serves_itself(at) { config.pool.initial } else { 0 };
            let pool = ElasticConfig { initial, ..config.pool.clone() };
            SizePool::new(arena, table, (at as u8 + 1, shape), pool, tuning)
        };
        let pools = shapes.iter().copied().enumerate().map(pool).collect::<Result<Vec<_>, _>>()?;
        let (large_bytes, caches, closed) =
            (AtomicU64::new(0), Mutex::new(Vec::new()), AtomicBool::new(false));
        let mut class_granules = [NonZeroU32::MIN; 256];
        class_granules[usize::from(LARGE)] = NonZeroU32::MAX;
        for (granules, shape) in class_granules[1..].iter_mut().zip(&shapes) {
            *granules = NonZeroU32::new(shape.granules).expect("blocks have at least one granule");
        }
        Ok(Arc::new(Slabs {
            words: arena.all_words().clone(),
            classes: table.classes().clone(),
            class_granules,
            table,
            arena,
            pools,
            serving,
            batches,
            large_bytes,
            caches,
            closed,
        }))
    }

    /// The end of a thread that allocates and frees. Costs nothing until it is used.
    pub fn cache(self: &Arc<Self>) -> Cache {
        let cache = Cache::new(Arc::clone(self));
        let mut caches = lock(&self.caches);
        caches.retain(|rack| rack.strong_count() > 0);
        caches.push(Arc::downgrade(cache.rack()));
        cache
    }

    /// The words of a block: all of them, not just what was asked for. They hold what the last owner left.
    ///
    /// Safe also for a block that was freed meanwhile: whatever size lies there, zero or somebody else's words are read. Panics outside the arena.
    #[inline]
    pub fn words(&self, block: Block) -> &[AtomicU64] {
        let class = self.classes.at(block.index());
        let start = block.index() as usize * GRANULE_WORDS;
        let words = self.class_granules[usize::from(class)].get() as usize * GRANULE_WORDS;
        match self.words.get(start..start + words) {
            Some(words) => words,
            None => self.words_slow(block),
        }
    }

    /// A block of whole slabs; or a stale block that lies too near to the end for the class that its slab has by now.
    #[cold]
    #[inline(never)]
    fn words_slow(&self, block: Block) -> &[AtomicU64] {
        let start = block.index() as usize * GRANULE_WORDS;
        let end = start + (self.block_bytes(block) / 8) as usize;
        &self.words[start..end.min(self.words.len())]
    }

    /// Bytes of a block: what was asked for, rounded up to its class. For a block that was freed meanwhile some multiple of 64.
    #[inline]
    pub fn block_bytes(&self, block: Block) -> u64 {
        match self.classes.at(block.index()) {
            LARGE => u64::from(self.table.free(self.table.slab_of(block.index()))) * self.arena.slab_bytes(),
            class => u64::from(self.class_granules[usize::from(class)].get()) * GRANULE_BYTES,
        }
    }

    /// Drives the idle timers; `now` is the time since any fixed origin. Call it every few seconds, from one thread.
    ///
    /// Releases the pages of what the policy gives up, outside all locks that mutators need.
    pub fn tick(&self, now: Duration) {
        for pool in &self.pools {
            // A refused release leaves the slab in the arena, with its pages: nothing to be done about it here.
            let _ = pool.tick(now);
        }
    }

    /// Releases every slab with no block in use at once, whatever the policy says. Returns the bytes released.
    pub fn trim(&self) -> u64 {
        let slabs: u64 = self.pools.iter().map(|pool| pool.trim().unwrap_or(0)).sum();
        slabs * self.arena.slab_bytes()
    }

    /// Returns every page to the kernel and refuses to allocate from here on. What is read from here on is zero.
    pub fn close(&self) -> Result<(), MemoryError> {
        self.closed.store(true, Relaxed);
        self.pools.iter().for_each(SizePool::close);
        self.arena.close()
    }

    /// Bytes that occupy physical memory. Asks the kernel; linear in the size of the arena.
    pub fn resident_bytes(&self) -> u64 {
        self.arena.resident_bytes()
    }

    /// Where the bytes are. Exact while no cache is at work, otherwise each number was true at some moment of the call.
    pub fn stats(&self) -> SlabStats {
        let cached = self.cached_blocks();
        let there = |at: &usize| usize::from(self.serving[*at]) == at + 1;
        let classes = (0..self.pools.len()).filter(there).map(|at| {
            let (pool, cached) = (&self.pools[at], cached[at]);
            let (shape, counts) = (pool.shape(), pool.counts());
            ClassStats {
                block_bytes: shape.bytes(),
                committed_blocks: counts.committed,
                used_blocks: counts.out.saturating_sub(cached),
                cached_blocks: cached,
                releasable_blocks: counts.releasable,
                sampled_asked_bytes: counts.rounding.asked_bytes,
                sampled_given_bytes: counts.rounding.given_bytes,
            }
        });
        SlabStats {
            reserved_bytes: self.arena.reserved_bytes(),
            committed_bytes: self.arena.committed_bytes(),
            large_bytes: self.large_bytes.load(Relaxed),
            classes: classes.collect(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn all_words(&self) -> &Column<AtomicU64> {
        &self.words
    }

    pub(crate) fn classes(&self) -> &ClassMap {
        &self.classes
    }

    /// Classes are numbered from 1 to this.
    pub(crate) fn class_count(&self) -> u8 {
        self.pools.len() as u8
    }

    pub(crate) fn class_of(&self, bytes: u64) -> Option<u8> {
        let class = class_of(bytes, self.pools.len())?;
        Some(self.serving[usize::from(class) - 1]).filter(|&class| class != NO_CLASS)
    }

    pub(crate) fn pool(&self, class: u8) -> &SizePool {
        &self.pools[usize::from(class) - 1]
    }

    pub(crate) fn batch(&self, class: u8) -> usize {
        self.batches[usize::from(class) - 1]
    }

    /// A block of whole slabs.
    pub(crate) fn allocate_large(&self, bytes: u64) -> Result<Block, MemoryError> {
        let slab_bytes = self.arena.slab_bytes();
        let slabs = u32::try_from(bytes.div_ceil(slab_bytes)).unwrap_or(u32::MAX);
        if slabs > self.arena.slabs() {
            return Err(self.full(bytes));
        }
        let span = self.arena.commit(slabs, true)?;
        let first = span.first();
        self.table.set_free(first, slabs);
        (first + 1..first + slabs).for_each(|slab| self.table.set_class(slab, LARGE_REST));
        self.table.set_class(first, LARGE);
        self.large_bytes.fetch_add(u64::from(slabs) * slab_bytes, Relaxed);
        let granules = slab_bytes / GRANULE_BYTES;
        Ok(Block::from_index(first * granules as u32).expect("slab 0 is never handed out"))
    }

    /// Gives a block of whole slabs back to the kernel.
    pub(crate) fn free_large(&self, block: Block) {
        let first = self.table.slab_of(block.index());
        assert!(
            u64::from(block.index()) * GRANULE_BYTES == u64::from(first) * self.arena.slab_bytes(),
            "{block:?} is inside another block"
        );
        let slabs = self.table.free(first);
        (first..first + slabs).for_each(|slab| self.table.set_class(slab, NO_CLASS));
        self.large_bytes.fetch_sub(u64::from(slabs) * self.arena.slab_bytes(), Relaxed);
        // A refused release leaves the slabs in the arena, with their pages.
        let _ = self.arena.release(Span::of(first, slabs));
    }

    /// How full it is, for somebody who asked for so many bytes.
    pub(crate) fn full(&self, asked: u64) -> MemoryError {
        let stats = self.stats();
        MemoryError::Full {
            asked,
            used: stats.used_bytes(),
            committed: stats.committed_bytes,
            limit: stats.reserved_bytes,
            which: "the arena",
        }
    }

    fn cached_blocks(&self) -> Vec<u64> {
        let racks: Vec<Arc<Rack>> = lock(&self.caches).iter().filter_map(Weak::upgrade).collect();
        let count = |class| racks.iter().map(|rack| u64::from(rack.count(class))).sum();
        (1..=self.class_count()).map(count).collect()
    }
}
