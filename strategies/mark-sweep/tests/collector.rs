//! What mark-sweep must free, and what it may not.

use gc_sdk::testing::{Access, MockHeap, Runner, check_complete_over_nodes, random_heap, random_member};
use gc_sdk::{assert_complete_within, assert_safe};
use gc_strategy_mark_sweep::MarkSweep;

#[test]
fn frees_a_cycle_and_a_chain_in_one_cycle() {
    let mut heap = MockHeap::new(64, Access::Window);
    let (a, b, c) = (heap.alloc([0; 4]), heap.alloc([0; 4]), heap.alloc([0; 4]));
    heap.store(a, 0, b);
    heap.store(b, 3, a);
    heap.store(b, 1, c);
    let root = heap.alloc([c, 0, 0, 0]);
    heap.root(root);
    let report = Runner::<MarkSweep>::new(&heap).cycle(&mut heap).unwrap();
    assert_eq!(report.condemned, [a, b]);
}

#[test]
fn random_heaps_are_clean_after_one_cycle() {
    for seed in 0..40 {
        let access = if seed % 2 == 0 { Access::Window } else { Access::Portable };
        let mut heap = random_heap(seed, 2000, access);
        assert_complete_within!(MarkSweep, heap, cycles = 1);
    }
}

#[test]
fn is_safe_while_mutators_run() {
    assert_safe!(MarkSweep, seeds = 0..60);
}

#[test]
fn takes_part_in_marking_over_nodes() {
    for seed in 0..20 {
        let mut heap = random_member(seed, 1000, Access::Window);
        check_complete_over_nodes::<MarkSweep>(&mut heap, 1)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
