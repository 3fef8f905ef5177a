//! The end of one thread: magazines of free blocks, one per size class.
//!
//! Allocate pops a number off a dense array, free pushes one: no lock, no atomic read-modify-write, no touch of the block itself. An empty magazine
//! fetches a batch from the pool, a full one hands a batch back (the oldest half: what was freed last is still in the processor's cache). A block may be
//! freed through any cache.
//!
//! A magazine is owned by one thread, because its methods take `&mut self`. Only its length can be seen by others (for statistics), which is why
//! lengths are atomics, read and written without read-modify-write.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::classes::{CLASSES_MAX, fine_class};
use crate::table::{LARGE, LARGE_REST, NO_CLASS, SlabTable};
use crate::{MemoryError, Slabs};

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

/// How many blocks each magazine holds.
pub(crate) type Counts = [AtomicU32; CLASSES_MAX];

/// The allocating and freeing end of one thread. Dropping it returns its magazines.
#[derive(Debug)]
pub struct Cache {
    counts: Arc<Counts>,
    magazines: Box<[Box<[u32]>; CLASSES_MAX]>,
    table: SlabTable,
    slabs: Arc<Slabs>,
}

impl Cache {
    pub(crate) fn new(slabs: Arc<Slabs>) -> Cache {
        let counts = Arc::new(std::array::from_fn(|_| AtomicU32::new(0)));
        let magazines = Box::new(std::array::from_fn(|_| Box::default()));
        Cache { counts, magazines, table: slabs.table().clone(), slabs }
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
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

    /// Gives a block back, through whichever cache. Panics if no block is there: that would be a bug of the caller, and memory is at stake.
    ///
    /// A block that is freed twice is noticed when the second one leaves the cache, if at all.
    #[inline]
    pub fn free(&mut self, block: Block) {
        let class = self.table.class_at(block.index()) as usize;
        if class < CLASSES_MAX {
            let count = self.counts[class].load(Relaxed) as usize;
            if let Some(slot) = self.magazines[class].get_mut(count) {
                *slot = block.index();
                self.counts[class].store(count as u32 + 1, Relaxed);
                return;
            }
        }
        self.free_slow(block);
    }

    /// Returns all magazines to the pools, for a thread that will be idle.
    pub fn flush(&mut self) {
        for class in 0..self.slabs.pools().len() {
            let count = self.counts[class].swap(0, Relaxed) as usize;
            if count > 0 {
                self.slabs.pools()[class].put(&self.magazines[class][..count]);
            }
        }
    }

    #[inline(always)]
    fn pop(&mut self, class: usize) -> Option<Block> {
        let left = (self.counts[class].load(Relaxed) as usize).checked_sub(1)?;
        let index = *self.magazines[class].get(left)?;
        self.counts[class].store(left as u32, Relaxed);
        Block::from_index(index)
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
        self.equip(class);
        let batch = self.slabs.batch(class);
        let count = self.slabs.pools()[class].take(bytes, batch, &mut self.magazines[class])?;
        self.counts[class].store(count as u32, Relaxed);
        Ok(self.pop(class).expect("a pool gives at least one block or an error"))
    }

    #[cold]
    #[inline(never)]
    fn free_slow(&mut self, block: Block) {
        match self.table.class_at(block.index()) {
            // What belonged to a closed arena is gone already.
            NO_CLASS if self.slabs.is_closed() => {}
            NO_CLASS | LARGE_REST => panic!("{block:?} is no block: freed twice, or never allocated"),
            LARGE => self.slabs.free_large(block),
            class => {
                self.make_room(class as usize);
                self.free(block);
            }
        }
    }

    /// Hands the oldest half of a full magazine back, or gets the magazine in the first place.
    fn make_room(&mut self, class: usize) {
        if self.magazines[class].is_empty() {
            return self.equip(class);
        }
        let batch = self.slabs.batch(class);
        let magazine = &mut self.magazines[class];
        self.slabs.pools()[class].put(&magazine[..batch]);
        let left = magazine.len() - batch;
        magazine.copy_within(batch.., 0);
        self.counts[class].store(left as u32, Relaxed);
    }

    fn equip(&mut self, class: usize) {
        if self.magazines[class].is_empty() {
            self.magazines[class] = vec![0; 2 * self.slabs.batch(class)].into_boxed_slice();
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if !self.slabs.is_closed() {
            self.flush();
        }
    }
}
