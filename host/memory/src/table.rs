//! What is known of each slab: its class, and which of its blocks are free.
//!
//! Nothing of this lies in the blocks themselves: to free a block that has left the cache long ago touches one bit of a dense map, not the block.
//! A 2 MiB slab of 64-byte blocks has a map of 4 KiB.
//!
//! **Who writes.** `class` of a slab: whoever owns it (a pool under its lock, or a large allocation), at commit and release; read by everybody. Map and
//! free count: the owning pool, under its lock, so plain loads and stores do.
//!
//! **Invariants.** (1) `free[slab]` is the number of ones in the slab's map. (2) Bit *w* of the summary is set if and only if word *w* of the map is
//! not zero. (3) Bits from the shape's `per_slab` on are zero.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use crate::classes::{GRANULE_BYTES, Shape};
use crate::{Column, MemoryError, Region};

/// Class of a slab that nobody has.
pub(crate) const NO_CLASS: u8 = u8::MAX;
/// Class of the first slab of a large block; its `free` entry holds how many slabs the block spans.
pub(crate) const LARGE: u8 = u8::MAX - 1;
/// Class of the other slabs of a large block.
pub(crate) const LARGE_REST: u8 = u8::MAX - 2;

#[derive(Clone, Debug)]
pub(crate) struct SlabTable {
    class: Column<AtomicU8>,
    free: Column<AtomicU32>,
    /// Per slab: summary, then map.
    bits: Column<AtomicU64>,
    summary_words: usize,
    stride: usize,
    /// log2 of granules per slab.
    shift: u32,
}

impl SlabTable {
    /// A table for the slabs 0 to `slabs`.
    pub(crate) fn new(slabs: u32, slab_bytes: u64) -> Result<SlabTable, MemoryError> {
        let granules = slab_bytes / GRANULE_BYTES;
        let map_words = granules.div_ceil(64) as usize;
        let summary_words = map_words.div_ceil(64);
        let stride = (summary_words + map_words).next_multiple_of(8);
        let entries = slabs as usize + 1;
        let frees = (entries as u64 * 4).next_multiple_of(64);
        let classes = (entries as u64).next_multiple_of(64);
        let region = Region::private_small_pages(frees + classes + (entries * stride * 8) as u64)?;
        let class: Column<AtomicU8> = region.column(frees, entries)?;
        class.iter().for_each(|class| class.store(NO_CLASS, Relaxed));
        Ok(SlabTable {
            class,
            free: region.column(0, entries)?,
            bits: region.column(frees + classes, entries * stride)?,
            summary_words,
            stride,
            shift: granules.ilog2(),
        })
    }

    /// The slab that holds this granule of the arena.
    #[inline(always)]
    pub(crate) fn slab_of(&self, granule: u32) -> u32 {
        granule >> self.shift
    }

    /// The class of the slab that holds this granule; panics outside the arena.
    #[inline(always)]
    pub(crate) fn class_at(&self, granule: u32) -> u8 {
        self.class[self.slab_of(granule) as usize].load(Relaxed)
    }

    pub(crate) fn set_class(&self, slab: u32, class: u8) {
        self.class[slab as usize].store(class, Relaxed);
    }

    /// Free blocks of a slab of a pool; slabs spanned by a large block.
    pub(crate) fn free(&self, slab: u32) -> u32 {
        self.free[slab as usize].load(Relaxed)
    }

    pub(crate) fn set_free(&self, slab: u32, count: u32) {
        self.free[slab as usize].store(count, Relaxed);
    }

    /// Makes all `per_slab` blocks of a slab free.
    pub(crate) fn fill(&self, slab: u32, per_slab: u32) {
        let (summary, map) = self.of(slab);
        set_first(map, per_slab as usize);
        set_first(summary, per_slab.div_ceil(64) as usize);
        self.set_free(slab, per_slab);
    }

    /// Takes free blocks of a slab, lowest first, up to `room`; gives the granule of each to `taken`. Returns how many.
    pub(crate) fn take(&self, slab: u32, shape: &Shape, room: u32, mut taken: impl FnMut(u32)) -> u32 {
        let (summary, map) = self.of(slab);
        let start = slab << self.shift;
        let mut left = room.min(self.free(slab));
        self.set_free(slab, self.free(slab) - left);
        let count = left;
        for (at, entry) in summary.iter().enumerate() {
            let mut present = entry.load(Relaxed);
            while present != 0 && left > 0 {
                let word = at * 64 + present.trailing_zeros() as usize;
                let mut bits = map[word].load(Relaxed);
                while bits != 0 && left > 0 {
                    taken(start + (word as u32 * 64 + bits.trailing_zeros()) * shape.granules);
                    bits &= bits - 1;
                    left -= 1;
                }
                map[word].store(bits, Relaxed);
                if bits == 0 {
                    present &= present - 1;
                }
            }
            entry.store(present, Relaxed);
            if left == 0 {
                break;
            }
        }
        assert!(left == 0, "slab {slab} has fewer free blocks than it counts");
        count
    }

    /// Makes a block free; returns how many blocks of its slab were free before. Panics if it was free, or if no block begins there.
    #[inline]
    pub(crate) fn put(&self, granule: u32, shape: &Shape) -> u32 {
        let slab = self.slab_of(granule);
        let (summary, map) = self.of(slab);
        let number = shape.number(granule - (slab << self.shift));
        let number = number.unwrap_or_else(|| {
            panic!("no block begins at granule {granule}: freed what was never allocated")
        });
        let word = &map[number as usize / 64];
        let (bits, bit) = (word.load(Relaxed), 1 << (number % 64));
        assert!(bits & bit == 0, "the block at granule {granule} was freed twice");
        word.store(bits | bit, Relaxed);
        if bits == 0 {
            let entry = &summary[number as usize / 4096];
            entry.store(entry.load(Relaxed) | 1 << (number / 64 % 64), Relaxed);
        }
        let free = self.free(slab);
        self.set_free(slab, free + 1);
        free
    }

    fn of(&self, slab: u32) -> (&[AtomicU64], &[AtomicU64]) {
        let start = slab as usize * self.stride;
        self.bits[start..start + self.stride].split_at(self.summary_words)
    }
}

/// Sets the first `count` bits and clears the others.
fn set_first(words: &[AtomicU64], count: usize) {
    for (at, word) in words.iter().enumerate() {
        let ones = count.saturating_sub(at * 64).min(64) as u32;
        word.store(u64::MAX.checked_shr(64 - ones).unwrap_or(0), Relaxed);
    }
}
