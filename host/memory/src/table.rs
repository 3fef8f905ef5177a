//! What is known of each slab: its class, and which of its blocks are free.
//!
//! Nothing of this lies in the blocks themselves: to free a block that has left the cache long ago touches one bit of a dense map, not the block.
//! A 2 MiB slab of 64-byte blocks has a map of 4 KiB.
//!
//! **Who writes.** The class of a slab: whoever owns it (a pool under its lock, or a large allocation), at commit and release; read by everybody. Map and
//! free count: the owning pool, under its lock, so plain loads and stores do.
//!
//! **Invariants.** (1) `free[slab]` is the number of ones in the slab's map. (2) Bit *w* of the summary is set if and only if word *w* of the map is
//! not zero. (3) Bits from the shape's `per_slab` on are zero.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use crate::classes::{GRANULE_BYTES, SLAB_BYTES_MIN, Shape};
use crate::{Column, MemoryError, Region};

/// log2 of the granules under one entry of a [`ClassMap`].
const UNIT_SHIFT: u32 = (SLAB_BYTES_MIN / GRANULE_BYTES).ilog2();

/// The class of the block at any granule of the arena: what every free and every read begins with.
///
/// One byte for each 64 KiB, the smallest slab there is, however large slabs are: so it is found by a shift that the compiler knows, and a
/// class costs two loads. A larger slab fills several entries; one who reads a stale block while they change sees the old class or the other.
#[derive(Clone, Debug)]
pub(crate) struct ClassMap(Column<AtomicU8>);

impl ClassMap {
    /// The class at this granule; panics outside the arena.
    #[inline(always)]
    pub(crate) fn at(&self, granule: u32) -> u8 {
        // Relaxed: who holds a live block got it from the thread that wrote its class, or from one who got it so; for a stale block any class will do.
        self.0[(granule >> UNIT_SHIFT) as usize].load(Relaxed)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SlabTable {
    classes: ClassMap,
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
        // Two lines apart: everybody reads classes all the time, pools write the counts before and the maps after them.
        let frees = (entries as u64 * 4).next_multiple_of(128);
        let units = entries << (granules.ilog2() - UNIT_SHIFT);
        let classes = (units as u64).next_multiple_of(128);
        let region = Region::private_small_pages(frees + classes + (entries * stride * 8) as u64)?;
        Ok(SlabTable {
            classes: ClassMap(region.column(frees, units)?),
            free: region.column(0, entries)?,
            bits: region.column(frees + classes, entries * stride)?,
            summary_words,
            stride,
            shift: granules.ilog2(),
        })
    }

    /// The slab that holds this granule of the arena.
    #[inline]
    pub(crate) fn slab_of(&self, granule: u32) -> u32 {
        granule >> self.shift
    }

    pub(crate) fn classes(&self) -> &ClassMap {
        &self.classes
    }

    pub(crate) fn set_class(&self, slab: u32, class: u8) {
        let units = self.shift - UNIT_SHIFT;
        let (start, end) = ((slab as usize) << units, (slab as usize + 1) << units);
        self.classes.0[start..end].iter().for_each(|entry| entry.store(class, Relaxed));
    }

    /// Free blocks of a slab of a pool; slabs spanned by a large block.
    #[inline]
    pub(crate) fn free(&self, slab: u32) -> u32 {
        self.free[slab as usize].load(Relaxed)
    }

    #[inline]
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

    #[inline]
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
