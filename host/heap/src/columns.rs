//! The host's own columns beside the graph plane: what no strategy sees.
//!
//! | column | bytes per cell | who writes |
//! |---|---|---|
//! | generation | 4 | reclaim, when it frees a cell |
//! | stamp: the log epoch in which the cell was last logged | 4 | barrier, allocation |
//! | locator: where the payload is, 0 for none | 4 | allocation, reclaim |
//! | decision: the record that condemned the cell last, 0 for none | 2 | reclaim |
//! | flags | 1 | allocation, `retire` |
//! | condemned, quarantine | 1/8 each | proof, reclaim |
//!
//! With the graph plane (16 bytes and three bitmaps) that makes 31 5/8 bytes per cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use gc_memory::{Column, MemoryError, Region};

/// Flags of a cell.
pub(crate) mod flag {
    /// Height of the tree of extension cells below an object's first cell: 0 for an object of one cell.
    pub(crate) const HEIGHT: u8 = 0x1f;
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
}

impl Columns {
    pub(crate) fn new(capacity: u32) -> Result<Columns, MemoryError> {
        let cells = u64::from(capacity);
        let region = Region::private(cells * 15 + 2 * (cells / 8))?;
        let len = capacity as usize;
        Ok(Columns {
            generation: region.column(0, len)?,
            stamp: region.column(cells * 4, len)?,
            locator: region.column(cells * 8, len)?,
            condemned: region.column(cells * 12, len / 64)?,
            quarantine: region.column(cells * 12 + cells / 8, len / 64)?,
            decision: region.column(cells * 12 + cells / 4, len)?,
            flags: region.column(cells * 14 + cells / 4, len)?,
            region,
        })
    }

    pub(crate) fn is_extension(&self, cell: u32) -> bool {
        self.flags[cell as usize].load(Ordering::Relaxed) & flag::EXTENSION != 0
    }

    pub(crate) fn is_retired(&self, cell: u32) -> bool {
        self.flags[cell as usize].load(Ordering::Relaxed) & flag::RETIRED != 0
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.region.resident_bytes()
    }
}
