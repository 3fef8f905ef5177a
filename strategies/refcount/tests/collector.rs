//! What refcount must free, and what it may not.

use std::collections::BTreeSet;

use gc_sdk::testing::{Access, MockHeap, Mutator, Runner, random_heap};
use gc_sdk::{assert_complete_within, assert_safe};
use gc_strategy_refcount::Refcount;

#[test]
fn a_chain_goes_at_once_and_a_cycle_one_cycle_later() {
    let mut heap = MockHeap::new(64, Access::Window);
    let tail = heap.alloc([0; 4]);
    let chain = heap.alloc([tail, 0, 0, 0]);
    let (a, b) = (heap.alloc([0; 4]), heap.alloc([0; 4]));
    heap.store(a, 0, b);
    heap.store(b, 0, a);
    let mut runner = Runner::<Refcount>::new(&heap);
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [tail, chain]);
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [a, b]);
}

#[test]
fn a_cycle_that_only_a_root_held_goes_when_the_root_is_gone() {
    let mut heap = MockHeap::new(64, Access::Window);
    let (a, b) = (heap.alloc([0; 4]), heap.alloc([0; 4]));
    heap.store(a, 0, b);
    heap.store(b, 0, a);
    heap.root(b);
    let mut runner = Runner::<Refcount>::new(&heap);
    for _ in 0..4 {
        assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty());
    }
    heap.unroot(b);
    assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty());
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [a, b]);
}

#[test]
fn a_store_between_count_and_trial_fools_nobody() {
    // The count of `x` is 1, from the root `old`. While the trial runs, `y` shows a reference to `x`, too, which no count knows: it would
    // make up for the one from outside.
    let mut heap = MockHeap::new(64, Access::Window);
    let (x, y) = (heap.alloc([0; 4]), heap.alloc([0; 4]));
    heap.store(x, 0, y);
    let old = heap.alloc([x, y, 0, 0]);
    heap.root(old);
    let mut runner = Runner::<Refcount>::new(&heap).budget(1);
    runner.cycle(&mut heap).unwrap();
    heap.store(old, 1, 0);
    let mut stored = false;
    let mutate = |heap: &mut MockHeap| {
        if !stored {
            heap.store(y, 0, x);
            stored = true;
        }
    };
    runner.cycle_with(&mut heap, mutate).unwrap();
    heap.store(y, 0, 0);
    for _ in 0..3 {
        assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty());
    }
    assert!(heap.is_allocated(x) && heap.is_allocated(y));
}

#[test]
fn a_cell_that_is_looked_up_before_the_verdict_takes_all_that_it_reaches_with_it() {
    let mut heap = MockHeap::new(64, Access::Window);
    let tail = heap.alloc([0; 4]);
    let head = heap.alloc([tail, 0, 0, 0]);
    let mut runner = Runner::<Refcount>::new(&heap).budget(1);
    let mut looked_up = 0;
    let mutate = |heap: &mut MockHeap| {
        looked_up += 1;
        if looked_up == 6 {
            heap.root(head);
        }
    };
    assert!(runner.cycle_with(&mut heap, mutate).unwrap().condemned.is_empty());
    heap.unroot(head);
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [tail, head]);
}

#[test]
fn what_a_postponed_verdict_referred_to_goes_as_well() {
    let mut heap = MockHeap::new(64, Access::Window);
    let child = heap.alloc([0; 4]);
    let (parent, holder) = (heap.alloc([child, 0, 0, 0]), heap.alloc([child, 0, 0, 0]));
    heap.root(holder);
    let mut runner = Runner::<Refcount>::new(&heap);
    runner.postpone();
    assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty());
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [parent]);
    heap.unroot(holder);
    assert_eq!(runner.cycle(&mut heap).unwrap().condemned, [child, holder]);
}

#[test]
fn random_heaps_are_clean_after_two_cycles() {
    for seed in 0..60 {
        let access = if seed % 2 == 0 { Access::Window } else { Access::Portable };
        let mut heap = random_heap(seed, 1000, access);
        assert_complete_within!(Refcount, heap, cycles = 2);
    }
}

#[test]
fn garbage_made_while_it_runs_is_gone_two_cycles_later() {
    for seed in 0..40 {
        let mut heap = random_heap(seed, 300, Access::Window);
        let mut mutator = Mutator::new(seed, &heap);
        let mut runner = Runner::<Refcount>::new(&heap).budget(8);
        for _ in 0..6 {
            mutator.run(&mut heap, 100);
            let dead = heap.garbage();
            let mut gone = BTreeSet::new();
            for _ in 0..2 {
                let report = runner.cycle_with(&mut heap, |heap| mutator.run(heap, 2)).unwrap();
                gone.extend(report.condemned);
            }
            let left: Vec<_> = dead.difference(&gone).collect();
            assert!(left.is_empty(), "seed {seed}: {left:?} are left");
        }
    }
}

#[test]
fn is_safe_while_mutators_run() {
    assert_safe!(Refcount, seeds = 0..60);
}
