//! Counting a heap by looking at every cell.
//!
//! The counts of a heap ([`Heap::stats`]) are sums of births and deaths, kept by mutators and by reclaim, because nobody can afford to look at all cells whenever
//! somebody asks. This looks. It shares nothing with those sums but the columns, so that a test, or a person in doubt, can hold one against the other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::graph::cells_of;
use crate::heap::{Heap, Inner};
use crate::limits::CELL_BYTES;

/// What there is in a heap. Each field is what the field of the same name in [`HeapStats`](crate::HeapStats) should be.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Recount {
    /// Objects that are neither condemned nor free, stubs included.
    pub live_objects: u64,
    /// Their cells, extension cells included.
    pub live_cells: u64,
    /// Bytes of those cells and of their payload blocks.
    pub live_bytes: u64,
    /// Cells that wait in quarantine.
    pub quarantined_cells: u64,
    /// Bytes of those cells and of their payload blocks.
    pub quarantined_bytes: u64,
    /// Bytes in use: live and quarantined.
    pub used_bytes: u64,
    /// Bytes in payload blocks, of both.
    pub payload_bytes: u64,
    /// Objects that are held for other nodes.
    pub held_objects: u64,
    /// Cells that stand for objects of other nodes, those in quarantine included.
    pub stubs: u64,
}

impl Heap {
    /// Counts by looking at every cell that was ever taken: a few nanoseconds for each. Exact while nobody works on the heap.
    #[must_use]
    pub fn recount(&self) -> Recount {
        let inner = &*self.inner;
        let mut found = Recount::default();
        for index in 0..inner.space.words_in_use() {
            let read = |bitmap: &[AtomicU64]| bitmap[index].load(Ordering::Acquire);
            let live = read(inner.graph.allocated());
            // What is condemned at this moment may be in both.
            let quarantined = read(&inner.columns.quarantine) & !live;
            found.held_objects += u64::from(read(&inner.columns.held).count_ones());
            found.stubs += u64::from(((live | quarantined) & read(inner.graph.stub())).count_ones());
            let blocks =
                |bits: u64| -> u64 { cells_of(index, bits).map(|cell| inner.block_bytes(cell)).sum() };
            found.live_objects += inner.objects_in(index, live);
            found.live_cells += u64::from(live.count_ones());
            found.quarantined_cells += u64::from(quarantined.count_ones());
            let (live_blocks, quarantined_blocks) = (blocks(live), blocks(quarantined));
            found.live_bytes += live_blocks;
            found.quarantined_bytes += quarantined_blocks;
            found.payload_bytes += live_blocks + quarantined_blocks;
        }
        found.live_bytes += found.live_cells * CELL_BYTES;
        found.quarantined_bytes += found.quarantined_cells * CELL_BYTES;
        found.used_bytes = found.live_bytes + found.quarantined_bytes;
        found
    }
}

impl Inner {
    /// How many of these cells are the first of an object.
    fn objects_in(&self, index: usize, bits: u64) -> u64 {
        cells_of(index, bits).filter(|&cell| !self.columns.is_extension(cell)).count() as u64
    }
}
