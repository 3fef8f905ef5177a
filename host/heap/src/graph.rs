//! The graph plane: what a strategy may see of the heap.
//!
//! One sealed memfd holds four columns, so that one mapping shows them all: the cells (four 32-bit references each), and the bitmaps
//! *allocated*, *young* and *stub*. Mutators and reclaim write here; strategies read, through a copy-on-write window or in batches. Payloads are
//! in another plane that is never shown.
//!
//! Architecture invariant: whatever a strategy can reach is in this file.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use gc_memory::{Column, MemoryError, Region};

use crate::limits::CELL_SLOTS;

/// Columns begin at multiples of this, so that any page size up to it fits.
const COLUMN_ALIGN: u64 = 64 * 1024;

/// Where the columns lie in the plane, as byte offsets.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Length of the plane in bytes.
    pub bytes: u64,
    /// Number of cells, null included.
    pub capacity: u32,
    /// Four `u32` per cell.
    pub cells: u64,
    /// One bit per cell, in `u64` words.
    pub allocated: u64,
    /// One bit per cell, in `u64` words.
    pub young: u64,
    /// One bit per cell, in `u64` words.
    pub stub: u64,
}

impl PlaneLayout {
    /// The layout for `capacity` cells.
    #[must_use]
    pub fn of(capacity: u32) -> PlaneLayout {
        let align = |bytes: u64| bytes.next_multiple_of(COLUMN_ALIGN);
        let bitmap = align(u64::from(capacity).div_ceil(8));
        let allocated = align(u64::from(capacity) * 16);
        PlaneLayout {
            bytes: allocated + 3 * bitmap,
            capacity,
            cells: 0,
            allocated,
            young: allocated + bitmap,
            stub: allocated + 2 * bitmap,
        }
    }
}

/// The plane itself. Shared by the heap, which writes, and by whoever attaches a strategy, who reads.
pub struct Graph {
    layout: PlaneLayout,
    region: Arc<Region>,
    cells: Column<AtomicU32>,
    allocated: Column<AtomicU64>,
    young: Column<AtomicU64>,
    stub: Column<AtomicU64>,
}

impl Graph {
    pub(crate) fn new(capacity: u32) -> Result<Arc<Graph>, MemoryError> {
        let layout = PlaneLayout::of(capacity);
        let region = Region::shared("gc-graph", layout.bytes)?;
        let words = capacity as usize / 64;
        Ok(Arc::new(Graph {
            layout,
            cells: region.column(layout.cells, capacity as usize * CELL_SLOTS)?,
            allocated: region.column(layout.allocated, words)?,
            young: region.column(layout.young, words)?,
            stub: region.column(layout.stub, words)?,
            region,
        }))
    }

    /// Number of cells, null included.
    #[must_use]
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.layout.capacity
    }

    /// Where the columns lie.
    #[must_use]
    pub fn layout(&self) -> PlaneLayout {
        self.layout
    }

    /// The references, four per cell.
    #[must_use]
    #[inline]
    pub fn cells(&self) -> &[AtomicU32] {
        &self.cells
    }

    /// The references as a column of its own, for who uses it all the time.
    pub(crate) fn cells_column(&self) -> Column<AtomicU32> {
        self.cells.clone()
    }

    /// Cells in use.
    #[must_use]
    #[inline]
    pub fn allocated(&self) -> &[AtomicU64] {
        &self.allocated
    }

    /// Cells allocated since the running cycle began.
    #[must_use]
    #[inline]
    pub fn young(&self) -> &[AtomicU64] {
        &self.young
    }

    /// Cells that stand for an object on another node.
    #[must_use]
    #[inline]
    pub fn stub(&self) -> &[AtomicU64] {
        &self.stub
    }

    /// A read-only descriptor of the plane, to map it elsewhere.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to open the memory again.
    pub fn read_only_fd(&self) -> Result<OwnedFd, MemoryError> {
        self.region.read_only_fd()
    }

    /// Bytes of the plane that are in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.region.resident_bytes()
    }

    /// Gives the memory of free cells back to the system.
    pub(crate) fn release(&self, first: u32, count: u32) -> Result<(), MemoryError> {
        let from = self.layout.cells + u64::from(first) * 16;
        self.region.release(from..from + u64::from(count) * 16)
    }

    /// The four references of a cell.
    #[inline]
    pub(crate) fn references(&self, cell: u32) -> [u32; 4] {
        let at = cell as usize * CELL_SLOTS;
        let slots = &self.cells[at..at + CELL_SLOTS];
        [
            slots[0].load(Ordering::Acquire),
            slots[1].load(Ordering::Acquire),
            slots[2].load(Ordering::Acquire),
            slots[3].load(Ordering::Acquire),
        ]
    }

    #[inline]
    pub(crate) fn slot(&self, cell: u32, slot: u32) -> &AtomicU32 {
        &self.cells[cell as usize * CELL_SLOTS + slot as usize]
    }
}

/// The bit of a cell in its bitmap word.
#[inline]
pub(crate) fn bit(cell: u32) -> u64 {
    1 << (cell % 64)
}

/// Whether a bitmap has a cell.
#[inline]
pub(crate) fn has(bitmap: &[AtomicU64], cell: u32) -> bool {
    bitmap[cell as usize / 64].load(Ordering::Acquire) & bit(cell) != 0
}

/// The cells whose bits are set in one word of a bitmap, lowest first.
pub(crate) fn cells_of(word_index: usize, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let cell = word_index as u32 * 64 + word.trailing_zeros();
            word &= word - 1;
            cell
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_do_not_overlap_and_the_largest_capacity_fits() {
        for capacity in [4096, 1 << 20, crate::limits::CAPACITY_MAX] {
            let layout = PlaneLayout::of(capacity);
            let bitmap = u64::from(capacity) / 8;
            assert!(layout.cells + u64::from(capacity) * 16 <= layout.allocated);
            assert!(layout.allocated + bitmap <= layout.young && layout.young + bitmap <= layout.stub);
            assert!(layout.stub + bitmap <= layout.bytes);
        }
    }

    #[test]
    fn cells_of_a_word_come_lowest_first() {
        assert_eq!(cells_of(2, 0b1001 | 1 << 63).collect::<Vec<_>>(), [128, 131, 191]);
    }
}
