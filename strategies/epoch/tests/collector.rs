//! What epoch must free, and what it may not.

use gc_sdk::testing::{Access, MockHeap, Runner, random_heap};
use gc_sdk::{assert_complete_within, assert_safe};
use gc_strategy_epoch::Epoch;

#[test]
fn frees_what_was_retired_and_leaves_other_garbage() {
    let mut heap = MockHeap::new(64, Access::Window);
    let (retired, garbage) = (heap.alloc([0; 4]), heap.alloc([0; 4]));
    heap.retire(retired);
    heap.end_grace_epoch();
    let mut runner = Runner::<Epoch>::new(&heap);
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [retired]);
    assert!(heap.is_allocated(garbage));
}

#[test]
fn waits_until_the_grace_epoch_has_ended() {
    let mut heap = MockHeap::new(64, Access::Window);
    let cell = heap.alloc([0; 4]);
    heap.retire(cell);
    let mut runner = Runner::<Epoch>::new(&heap);
    assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty());
    heap.end_grace_epoch();
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [cell]);
}

#[test]
fn retired_garbage_is_gone_after_one_cycle() {
    for seed in 0..20 {
        let mut heap = random_heap(seed, 300, Access::Portable);
        heap.garbage().into_iter().for_each(|cell| heap.retire(cell));
        heap.end_grace_epoch();
        assert_complete_within!(Epoch, heap, cycles = 1);
    }
}

#[test]
fn is_safe_while_mutators_run() {
    assert_safe!(Epoch, seeds = 0..20);
}
