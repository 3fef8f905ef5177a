//! What tracing must free, and what it may not.

use gc_sdk::testing::{Access, MockHeap, Runner, random_heap};
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
