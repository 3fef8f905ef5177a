//! Who gets room in a heap that has little.

use gc_heap::{Heap, HeapConfig, HeapError};

#[test]
fn mutators_that_do_nothing_keep_no_cells_from_others() {
    // Eight blocks of cells.
    let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut mutator = heap.mutator();
        mutator.scope(|scope| scope.alloc(&[], &[]).map(|_| ())).unwrap();
        idle.push(mutator);
    }
    let error = heap.mutator().scope(|scope| {
        loop {
            if let Err(error) = scope.scope(|inner| inner.alloc(&[], &[]).map(|_| ())) {
                break error;
            }
        }
    });
    // Cell 0 is null, and what the idle ones hold is not counted yet.
    let HeapError::Full { used_cells, capacity_cells, .. } = error else { panic!("{error}") };
    assert!(used_cells >= capacity_cells - 24, "{used_cells} of {capacity_cells} cells could be used");
}
