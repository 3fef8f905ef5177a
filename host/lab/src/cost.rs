//! What workloads count: what objects cost in the heap's own counting, to say beforehand how much they keep alive, and
//! what they have done on the heap.

use std::iter::Sum;

use gc_heap::limits::CELL_BYTES;
use gc_heap::{Local, Scope};

use crate::error::WorkloadError;

/// What was done on a heap.
#[derive(Debug, Default, Copy, Clone)]
pub(crate) struct Effort {
    /// Objects allocated.
    pub(crate) objects: u64,
    /// References written that are not null.
    pub(crate) references: u64,
    /// Bytes of payload written.
    pub(crate) payload_bytes: u64,
    /// Operations: see [`WorkloadReport::operations`](crate::WorkloadReport::operations).
    pub(crate) operations: u64,
}

impl Effort {
    /// Allocates, and counts it.
    pub(crate) fn alloc<'s>(
        &mut self,
        scope: &Scope<'s>,
        slots: &[Option<Local<'_>>],
        payload: &[u8],
    ) -> Result<Local<'s>, WorkloadError> {
        self.objects += 1;
        self.operations += 1;
        self.references += slots.iter().flatten().count() as u64;
        self.payload_bytes += payload.len() as u64;
        Ok(scope.alloc(slots, payload)?)
    }

    /// Reads a reference that must be there: `what` says to what.
    pub(crate) fn load<'s>(
        &mut self,
        scope: &Scope<'s>,
        object: Local<'_>,
        slot: u32,
        what: &str,
    ) -> Result<Local<'s>, WorkloadError> {
        self.operations += 1;
        scope.load(object, slot)?.ok_or_else(|| WorkloadError::lost(what))
    }

    /// Writes a reference, and counts it.
    pub(crate) fn store(
        &mut self,
        scope: &Scope<'_>,
        object: Local<'_>,
        slot: u32,
        to: Option<Local<'_>>,
    ) -> Result<(), WorkloadError> {
        self.references += u64::from(to.is_some());
        self.operations += 1;
        Ok(scope.store(object, slot, to)?)
    }

    /// Retires an object, and counts it.
    pub(crate) fn retire(&mut self, scope: &Scope<'_>, object: Local<'_>) {
        self.operations += 1;
        scope.retire(object);
    }
}

impl Sum for Effort {
    fn sum<I: Iterator<Item = Effort>>(efforts: I) -> Effort {
        efforts.fold(Effort::default(), |sum, one| Effort {
            objects: sum.objects + one.objects,
            references: sum.references + one.references,
            payload_bytes: sum.payload_bytes + one.payload_bytes,
            operations: sum.operations + one.operations,
        })
    }
}

/// Bytes of an object with this many references and this payload, by the heap's limit: 32 for each cell, and a
/// block of the payload's size class (multiples of 64 bytes up to a page, powers of two above).
pub(crate) fn object_bytes(slots: u64, payload: u64) -> u64 {
    cells(slots) * CELL_BYTES + block_bytes(payload)
}

/// The first cell, and the tree of extension cells that holds the slots from 3 on.
fn cells(slots: u64) -> u64 {
    if slots <= 4 {
        return 1;
    }
    let mut level = (slots - 3).div_ceil(4);
    let mut cells = 1 + level;
    while level > 1 {
        level = level.div_ceil(4);
        cells += level;
    }
    cells
}

fn block_bytes(payload: u64) -> u64 {
    if payload == 0 {
        return 0;
    }
    // A word in front says how long it is.
    let bytes = 8 + payload.next_multiple_of(8);
    if bytes <= 4096 { bytes.next_multiple_of(64) } else { bytes.next_power_of_two() }
}

#[cfg(test)]
mod tests {
    use gc_heap::{Heap, HeapConfig};

    use super::*;

    #[test]
    fn the_heap_counts_the_same() {
        for (slots, payload) in
            [(0, 0), (4, 56), (5, 57), (19, 4088), (20, 4089), (1000, 5000), (0, 100_000), (0, 1_000_000)]
        {
            let heap = Heap::new(HeapConfig::with_limit(16 << 20)).unwrap();
            heap.mutator().scope(|scope| {
                scope.alloc(&vec![None; slots as usize], &vec![0; payload as usize]).unwrap();
            });
            let counted = heap.stats().allocated_bytes_total;
            assert_eq!(counted, object_bytes(slots, payload), "{slots} slots, {payload} bytes");
        }
    }
}
