//! What tracing must free, and what it may not.

use gc_sdk::testing::{Access, MockHeap, Runner, check_complete_over_nodes, random_heap, random_member};
use gc_sdk::{Error, OptionValue, Options, Strategy, assert_complete_within, assert_safe};
use gc_strategy_tracing::Tracing;

#[test]
fn random_heaps_are_clean_after_one_cycle() {
    for seed in 0..40 {
        let access = if seed % 2 == 0 { Access::Window } else { Access::Portable };
        let mut heap = random_heap(seed, 2000, access);
        assert_complete_within!(Tracing, heap, cycles = 1);
    }
}

#[test]
fn is_safe_while_mutators_run() {
    assert_safe!(Tracing, seeds = 0..60);
}

#[test]
fn an_object_that_is_moved_behind_the_marker_survives() {
    let mut heap = MockHeap::new(64, Access::Window);
    let hidden = heap.alloc([0; 4]);
    let chain = (0..20).fold(heap.alloc([hidden, 0, 0, 0]), |next, _| heap.alloc([next, 0, 0, 0]));
    heap.root(chain);
    let end = (0..20).fold(chain, |cell, _| heap.load(cell, 0));
    let mut moved = false;
    let mutate = |heap: &mut MockHeap| {
        if !moved {
            heap.store(chain, 1, hidden);
            heap.store(end, 0, 0);
            moved = true;
        }
    };
    let report = Runner::<Tracing>::new(&heap).budget(1).cycle_with(&mut heap, mutate).unwrap();
    assert!(report.steps > 10, "the cycle is incremental");
    assert!(heap.is_allocated(hidden));
}

#[test]
fn a_short_slice_takes_more_steps() {
    let steps = [100, 10].map(|percent| {
        let mut heap = random_heap(7, 2000, Access::Window);
        let options = Options::defaults(&Tracing::INFO).with("slice-percent", OptionValue::Integer(percent));
        let mut runner = Runner::<Tracing>::with_options(&heap, &options).unwrap().budget(1000);
        runner.cycle(&mut heap).unwrap().steps
    });
    assert!(steps[1] > 3 * steps[0], "{steps:?}");
}

#[test]
fn a_slice_of_nothing_is_refused() {
    let heap = MockHeap::new(64, Access::Window);
    let options = Options::defaults(&Tracing::INFO).with("slice-percent", OptionValue::Integer(0));
    let refused = Runner::<Tracing>::with_options(&heap, &options).err();
    assert!(matches!(refused, Some(Error::InvalidOption(_))), "{refused:?}");
}

#[test]
fn what_only_other_nodes_hold_is_gone_after_one_cycle_over_nodes_in_which_nobody_reaches_it() {
    for seed in 0..40 {
        let access = if seed % 2 == 0 { Access::Window } else { Access::Portable };
        let mut heap = random_member(seed, 2000, access);
        check_complete_over_nodes::<Tracing>(&mut heap, 1)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn what_only_other_nodes_hold_stays_in_every_other_cycle() {
    let mut heap = random_member(3, 500, Access::Window);
    let held = heap.reachable();
    let mut runner = Runner::<Tracing>::new(&heap);
    let report = runner.cycle(&mut heap).unwrap();
    assert!(held.iter().all(|&cell| heap.is_allocated(cell)) && report.reached.is_empty());
    let report = runner.cycle_over_nodes(&mut heap, |_, _| Vec::new()).unwrap();
    assert!(!report.condemned.is_empty() && !report.reached.is_empty());
    assert!(runner.cycle(&mut heap).unwrap().condemned.is_empty());
}

#[test]
fn a_mark_from_another_node_is_followed_to_the_stubs_behind_it() {
    let mut heap = MockHeap::new(256, Access::Portable);
    let stub = heap.import();
    let exported = (0..20).fold(heap.alloc([stub, 0, 0, 0]), |next, _| heap.alloc([0, next, 0, 0]));
    heap.export(exported);
    let mut marks = vec![exported];
    let mut told_at = None;
    let mut calls = 0;
    let mut runner = Runner::<Tracing>::new(&heap).budget(1);
    let report = runner.cycle_over_nodes(&mut heap, |_, reached| {
        calls += 1;
        told_at = told_at.or((!reached.is_empty()).then_some(calls));
        std::mem::take(&mut marks)
    });
    let report = report.unwrap();
    assert_eq!((report.condemned, report.reached), (vec![], vec![stub]));
    assert_eq!(told_at, Some(calls), "stubs are looked for when nothing is left to mark, not step by step");
}
