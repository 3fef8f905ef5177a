//! Who gets room in a heap that has little.

use std::time::Duration;

use gc_heap::pacer::{Amount, Brake};
use gc_heap::{Heap, HeapConfig, HeapError, Holdup, Mutator};

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

#[test]
fn a_heap_that_is_full_of_blocks_of_one_size_says_so() {
    let mut config = HeapConfig { full_wait: Duration::ZERO, ..HeapConfig::with_limit(16 << 20) };
    config.slabs.slab_bytes = Some(64 << 10);
    config.slabs.pool.maximum = 8192;
    let heap = Heap::new(config).unwrap();
    let mut mutator = heap.mutator();
    let fill = |payload: &[u8], mutator: &mut Mutator| {
        mutator
            .scope(|scope| (0..1_000_000).find_map(|_| scope.alloc(&[], payload).err()))
            .unwrap()
            .to_string()
    };
    let full = fill(&[7; 1000], &mut mutator);
    assert!(full.contains("of the pool of this block size are in use: raise that limit or --heap"), "{full}");
    // What is full after that is something else.
    mutator.scope(|scope| scope.alloc(&[], &[7; 100]).map(|_| ())).unwrap();
    let full = fill(&[], &mut mutator);
    assert!(
        full.ends_with("waited for: raise --heap, drop references, or choose a strategy that frees more"),
        "{full}"
    );
}

/// How often mutators were slowed while `cells` small objects were allocated and dropped.
fn slowed(heap: &Heap, cells: u64) -> u64 {
    let _ = heap.take_holdups();
    let mut mutator = heap.mutator();
    for _ in 0..cells {
        mutator.scope(|scope| scope.alloc(&[], &[]).map(|_| ())).unwrap();
    }
    let held = heap.take_holdups();
    held.causes.iter().filter(|by| by.cause == Holdup::Brake).map(|by| by.count).sum()
}

#[test]
fn mutators_are_slowed_from_the_brake_on_the_more_the_less_is_left() {
    let heap = Heap::new(HeapConfig::with_limit(4 << 20)).unwrap();
    let limit = heap.limit();
    assert_eq!(slowed(&heap, limit.cells / 4), 0, "nobody has set a brake");
    let from = Amount { cells: limit.cells / 2, bytes: u64::MAX };
    heap.set_brake(Brake { from, span: Duration::from_millis(100) });
    assert_eq!(slowed(&heap, limit.cells / 8), 0);
    // A quarter of the cells, half of what is left; then an eighth, half of what is left again: as long for both, 70 ms.
    let (early, late) = (slowed(&heap, limit.cells * 3 / 8), slowed(&heap, limit.cells / 8));
    assert!(
        early > 100 && 3 * early > 2 * late && 3 * late > 2 * early,
        "{early} times and then {late} times"
    );
    heap.set_brake(Brake::OFF);
    assert_eq!(slowed(&heap, 4096), 0);
}
