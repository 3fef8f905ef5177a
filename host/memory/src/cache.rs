//! The end of one thread: magazines of free blocks, one per size class.
//!
//! Allocate pops a number off a dense array, free pushes one: no lock, no atomic read-modify-write, no touch of the block itself. An empty magazine
//! fetches a batch from the pool, a full one hands a batch back (the oldest half: what was freed last is still in the processor's cache). A block may be
//! freed through any cache.
//!
//! ```text
//!  slots   0 F | 0 a b c . . . F | 0 d . F     magazines side by side, in the order of first use; slots 0 and 1 stand for all that are not there
//!                      ▲             ▲
//!  top of a class ─────┘             └─ of another
//! ```
//!
//! What is below a magazine's first block reads as no block, what is above its last slot reads as [`FULL`]: so one load says both what is there
//! and whether there is anything, and the paths of every allocate and free, which other allocators run in 23 to 37 instructions each, stay under 20.
//!
//! **Invariants.** (1) Between the bottom of a magazine (excluded) and its top (included) lie free blocks of its class, that no one else has. (2) The bottom
//! is 0 and the slot after the last is [`FULL`]; no block has either number. (3) A class that this cache never used has its top at 0.
//!
//! A cache is owned by one thread, because its methods take `&mut self`. Only the tops can be seen by others (for statistics), which is why
//! they are atomics, read and written without read-modify-write.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::classes::{CLASS_MAX, GRANULE_BYTES, LARGE, LARGE_REST, NO_CLASS, fine_class};
use crate::table::ClassMap;
use crate::{Column, MemoryError, Slabs};

const GRANULE_WORDS: usize = (GRANULE_BYTES / 8) as usize;

/// What the slot above a magazine holds. No block has this number: the arena ends below it.
const FULL: u32 = u32::MAX;

/// Where a block is: the index of its first 64-byte granule in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(NonZeroU32);

impl Block {
    /// The granule index, never 0: fits a column of 32-bit locators in which 0 means none.
    #[inline(always)]
    pub fn index(self) -> u32 {
        self.0.get()
    }

    /// The block at this granule index; `None` for 0. Whether there is one, only who allocated it knows.
    #[inline(always)]
    pub fn from_index(index: u32) -> Option<Block> {
        NonZeroU32::new(index).map(Block)
    }
}

/// Where the magazines of a cache are. Aligned so that the tops of two threads share no line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Rack {
    /// By class, for any class that a map can hold: the slot of the newest block.
    top: [AtomicU32; 256],
    /// By class: the slot below the oldest block; 0 for a class that was never used.
    bottom: [AtomicU32; CLASS_MAX as usize + 1],
}

impl Rack {
    fn new() -> Rack {
        Rack {
            top: std::array::from_fn(|_| AtomicU32::new(0)),
            bottom: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// How many blocks the magazine of this class holds. For any thread.
    pub(crate) fn count(&self, class: u8) -> u32 {
        // Acquire: pairs with the store in `equip`, so that a bottom is not taken together with a top from before there was a magazine.
        match self.bottom[usize::from(class)].load(Acquire) {
            0 => 0,
            bottom => self.top[usize::from(class)].load(Relaxed) - bottom,
        }
    }
}

/// The allocating and freeing end of one thread. Dropping it returns its magazines.
#[derive(Debug)]
pub struct Cache {
    rack: Arc<Rack>,
    slots: Vec<u32>,
    classes: ClassMap,
    words: Column<AtomicU64>,
    slabs: Arc<Slabs>,
}

impl Cache {
    pub(crate) fn new(slabs: Arc<Slabs>) -> Cache {
        Cache {
            rack: Arc::new(Rack::new()),
            slots: vec![0, FULL],
            classes: slabs.classes().clone(),
            words: slabs.all_words().clone(),
            slabs,
        }
    }

    pub(crate) fn rack(&self) -> &Arc<Rack> {
        &self.rack
    }

    /// A block of at least this many bytes, aligned to 64. Its words hold what the last owner left.
    ///
    /// A few instructions; once per batch a lock, now and then the kernel. When all is full the error says how full.
    #[inline]
    pub fn allocate(&mut self, bytes: u64) -> Result<Block, MemoryError> {
        if let Some(class) = fine_class(bytes)
            && let Some(block) = self.pop(class)
        {
            return Ok(block);
        }
        self.allocate_slow(bytes)
    }

    /// The same together with the words of the block, for one who writes to it at once: cheaper than [`Slabs::words`] afterwards, which has to find out
    /// how long the block is.
    #[inline]
    pub fn allocate_words(&mut self, bytes: u64) -> Result<(Block, &[AtomicU64]), MemoryError> {
        if let Some(class) = fine_class(bytes)
            && let Some(block) = self.pop(class)
        {
            // The number of such a class is its size in granules.
            let start = block.index() as usize * GRANULE_WORDS;
            return Ok((block, &self.words[start..start + usize::from(class) * GRANULE_WORDS]));
        }
        let block = self.allocate_slow(bytes)?;
        Ok((block, self.slabs.words(block)))
    }

    /// Gives a block back, through whichever cache. Panics if no block is there: that would be a bug of the caller, and memory is at stake.
    ///
    /// A block that is freed twice is noticed when the second one leaves the cache, if at all.
    #[inline]
    pub fn free(&mut self, block: Block) {
        // For what is in no size class the top is 0, and the slot above it says full.
        let top = &self.rack.top[usize::from(self.classes.at(block.index()))];
        let above = top.load(Relaxed) + 1;
        if let Some(slot) = self.slots.get_mut(above as usize)
            && *slot != FULL
        {
            *slot = block.index();
            top.store(above, Relaxed);
            return;
        }
        self.free_slow(block);
    }

    /// Returns all magazines to the pools, for a thread that will be idle.
    pub fn flush(&mut self) {
        for class in 1..=self.slabs.class_count() {
            let count = self.rack.count(class);
            if count > 0 {
                self.put(class, count);
            }
        }
    }

    #[inline(always)]
    fn pop(&mut self, class: u8) -> Option<Block> {
        let top = &self.rack.top[usize::from(class)];
        let at = top.load(Relaxed);
        let block = Block::from_index(*self.slots.get(at as usize)?)?;
        top.store(at - 1, Relaxed);
        Some(block)
    }

    #[cold]
    #[inline(never)]
    fn allocate_slow(&mut self, bytes: u64) -> Result<Block, MemoryError> {
        match self.fetch(bytes) {
            Err(MemoryError::Full { .. }) => {}
            done => return done,
        }
        // Other size classes may hold free slabs, and this cache blocks that keep slabs from being free.
        self.flush();
        self.slabs.trim();
        self.fetch(bytes).map_err(|error| match error {
            MemoryError::Full { which: "the arena", .. } => self.slabs.full(bytes),
            other => other,
        })
    }

    fn fetch(&mut self, bytes: u64) -> Result<Block, MemoryError> {
        if self.slabs.is_closed() {
            return Err(MemoryError::Closed);
        }
        let Some(class) = self.slabs.class_of(bytes) else {
            return self.slabs.allocate_large(bytes);
        };
        if let Some(block) = self.pop(class) {
            return Ok(block);
        }
        let bottom = self.equip(class);
        let first = bottom as usize + 1;
        let batch = self.slabs.batch(class);
        let count = self.slabs.pool(class).take(bytes, &mut self.slots[first..first + batch])?;
        self.rack.top[usize::from(class)].store(bottom + count as u32, Relaxed);
        Ok(self.pop(class).expect("a pool gives at least one block or an error"))
    }

    #[cold]
    #[inline(never)]
    fn free_slow(&mut self, block: Block) {
        match self.classes.at(block.index()) {
            // What belonged to a closed arena is gone already.
            NO_CLASS if self.slabs.is_closed() => {}
            NO_CLASS | LARGE_REST => panic!("{block:?} is no block: freed twice, or never allocated"),
            LARGE => self.slabs.free_large(block),
            class => {
                self.make_room(class);
                self.free(block);
            }
        }
    }

    /// Hands the oldest half of a full magazine back, or gets the magazine in the first place.
    fn make_room(&mut self, class: u8) {
        self.equip(class);
        if self.rack.count(class) > 0 {
            self.put(class, self.slabs.batch(class) as u32);
        }
    }

    /// Hands the `count` oldest blocks of a magazine back.
    fn put(&mut self, class: u8, count: u32) {
        let top = &self.rack.top[usize::from(class)];
        let (bottom, last) = (self.rack.bottom[usize::from(class)].load(Relaxed), top.load(Relaxed));
        let (first, rest) = (bottom as usize + 1, (bottom + 1 + count) as usize);
        // Empty while the pool looks at the blocks: if it finds that one is free already it panics, and the drop of this cache must not do so again.
        top.store(bottom, Relaxed);
        self.slabs.pool(class).put(&self.slots[first..rest]);
        self.slots.copy_within(rest..=last as usize, first);
        top.store(last - count, Relaxed);
    }

    /// Makes the magazine of a class, of two batches, if there is none; returns its bottom.
    fn equip(&mut self, class: u8) -> u32 {
        let at = &self.rack.bottom[usize::from(class)];
        let found = at.load(Relaxed);
        if found > 0 {
            return found;
        }
        let bottom = self.slots.len();
        self.slots.resize(bottom + 1 + 2 * self.slabs.batch(class), 0);
        self.slots.push(FULL);
        let bottom = bottom as u32;
        self.rack.top[usize::from(class)].store(bottom, Relaxed);
        // Release, and after the top: pairs with the load in `Rack::count`.
        at.store(bottom, Release);
        bottom
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if !self.slabs.is_closed() {
            self.flush();
        }
    }
}
