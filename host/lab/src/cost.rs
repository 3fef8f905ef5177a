//! What objects cost in the heap's own counting, to say beforehand how much a workload keeps alive.

use gc_heap::limits::CELL_BYTES;

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
