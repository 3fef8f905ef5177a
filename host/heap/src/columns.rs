//! The host's own columns beside the graph plane: what no strategy sees.
//!
//! | column | bytes per cell | who writes |
//! |---|---|---|
//! | generation | 4 | reclaim, when it frees a cell |
//! | stamp: the log epoch in which the cell was last logged; of a stub its entry in [`crate::stubs`] | 4 | barrier, allocation |
//! | locator: where the payload is, 0 for none | 4 | allocation, reclaim |
//! | decision: the record that condemned the cell last, 0 for none | 2 | reclaim |
//! | flags | 1 | allocation, `retire` |
//! | condemned, quarantine | 1/8 each | proof, reclaim |
//! | held: a scion, the object is kept for other nodes | 1/8 | [`crate::Heap::hold`], reclaim |
//!
//! With the graph plane (16 bytes and three bitmaps) that makes 31 3/4 bytes per cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use gc_memory::{Column, MemoryError, Region};

/// Flags of a cell.
pub(crate) mod flag {
    /// Height of the tree of extension cells below an object's first cell: 0 for an object of one cell.
    pub(crate) const HEIGHT: u8 = 0x1f;
    /// The cell stands for an object of another node: the same as its bit in the graph plane.
    pub(crate) const STUB: u8 = 0x20;
    /// A mutator retired the object.
    pub(crate) const RETIRED: u8 = 0x40;
    /// The cell is a part of a larger object, not an object.
    pub(crate) const EXTENSION: u8 = 0x80;
}

pub(crate) struct Columns {
    region: Arc<Region>,
    pub(crate) generation: Column<AtomicU32>,
    pub(crate) stamp: Column<AtomicU32>,
    pub(crate) locator: Column<AtomicU32>,
    pub(crate) decision: Column<AtomicU16>,
    pub(crate) flags: Column<AtomicU8>,
    /// Proposed by the verdict at hand and not yet given up: set and cleared by the collector alone.
    pub(crate) condemned: Column<AtomicU64>,
    /// Condemned for good, waiting to be freed.
    pub(crate) quarantine: Column<AtomicU64>,
    /// Held for other nodes: set and cleared under the lock of [`crate::remote`].
    pub(crate) held: Column<AtomicU64>,
}

/// Columns begin at multiples of this, so that the memory of a block of cells is whole pages in each of them.
const COLUMN_ALIGN: u64 = 4096;

/// Where the columns of `cells` cells lie, as byte offsets: generation, stamp, locator, decision, flags, condemned, quarantine, held, end.
fn offsets(cells: u64) -> [u64; 9] {
    let mut offsets = [0; 9];
    for (at, bits_per_cell) in [32, 32, 32, 16, 8, 1, 1, 1].into_iter().enumerate() {
        offsets[at + 1] = (offsets[at] + cells * bits_per_cell / 8).next_multiple_of(COLUMN_ALIGN);
    }
    offsets
}

/// Bytes of the columns of `cells` cells.
pub(crate) fn bytes(cells: u64) -> u64 {
    let [.., end] = offsets(cells);
    end
}

impl Columns {
    pub(crate) fn new(capacity: u32) -> Result<Columns, MemoryError> {
        let [generation, stamp, locator, decision, flags, condemned, quarantine, held, end] =
            offsets(u64::from(capacity));
        let region = Region::private(end)?;
        let len = capacity as usize;
        Ok(Columns {
            generation: region.column(generation, len)?,
            stamp: region.column(stamp, len)?,
            locator: region.column(locator, len)?,
            decision: region.column(decision, len)?,
            flags: region.column(flags, len)?,
            condemned: region.column(condemned, len / 64)?,
            quarantine: region.column(quarantine, len / 64)?,
            held: region.column(held, len / 64)?,
            region,
        })
    }

    /// Gives the memory of free cells back to the system: stamps, locators and flags. Generations and decisions are for ever.
    pub(crate) fn release(&self, first: u32, count: u32) -> Result<(), MemoryError> {
        let [_, stamp, locator, _, flags, ..] = offsets(self.generation.len() as u64);
        let (first, count) = (u64::from(first), u64::from(count));
        for (base, bytes) in [(stamp, 4), (locator, 4), (flags, 1)] {
            let from = base + first * bytes;
            self.region.release(from..from + count * bytes)?;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn is_extension(&self, cell: u32) -> bool {
        self.flags[cell as usize].load(Ordering::Relaxed) & flag::EXTENSION != 0
    }

    #[inline]
    pub(crate) fn is_stub(&self, cell: u32) -> bool {
        self.flags[cell as usize].load(Ordering::Relaxed) & flag::STUB != 0
    }

    #[inline]
    pub(crate) fn is_retired(&self, cell: u32) -> bool {
        self.flags[cell as usize].load(Ordering::Relaxed) & flag::RETIRED != 0
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.region.resident_bytes()
    }
}
