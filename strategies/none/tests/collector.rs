//! What none must free: nothing.

use gc_sdk::assert_safe;
use gc_sdk::testing::{Access, Runner, random_heap};
use gc_strategy_none::Nothing;

#[test]
fn frees_nothing() {
    let mut heap = random_heap(1, 500, Access::Window);
    assert!(!heap.garbage().is_empty(), "there is something that it could free");
    assert!(Runner::<Nothing>::new(&heap).cycle(&mut heap).unwrap().condemned.is_empty());
}

#[test]
fn is_safe_while_mutators_run() {
    assert_safe!(Nothing, seeds = 0..5);
}
