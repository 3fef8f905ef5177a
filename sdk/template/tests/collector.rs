//! What @NAME@ must free, and what it may not.

use @CRATE@::Collector;
use gc_sdk::testing::{Access, MockHeap, Runner, random_heap};
use gc_sdk::{assert_complete_within, assert_safe};

#[test]
fn frees_an_object_that_nothing_refers_to() {
    let mut heap = MockHeap::new(64, Access::Window);
    let garbage = heap.alloc([0; 4]);
    let child = heap.alloc([0; 4]);
    let parent = heap.alloc([child, 0, 0, 0]);
    heap.root(parent);
    let report = Runner::<Collector>::new(&heap).cycle(&mut heap).unwrap();
    assert_eq!(report.condemned, [garbage]);
}

/// A property: whatever the heap looks like and whatever mutators do between two steps, nothing goes that a root reaches.
#[test]
fn is_safe_while_mutators_run() {
    assert_safe!(Collector, seeds = 0..30);
}

/// A property: what the strategy promises in its `INFO` goes in time.
#[test]
fn frees_what_it_promises() {
    for seed in 0..20 {
        let mut heap = random_heap(seed, 1000, Access::Portable);
        assert_complete_within!(Collector, heap, cycles = 1);
    }
}
