//! What a strategy does wrong while it runs, and what it is called then.

use std::time::{Duration, Instant};

use gc_heap::{CycleEnd, Fault, Strategy};
use gc_plugin::{Access, PluginError};

use crate::common::*;

/// The message of a trap, which must name the strategy and the call.
fn trap(mode: &str) -> String {
    match fault(mode) {
        Fault::Trap(message) => {
            assert!(message.contains("hostile in `"), "{mode}: {message}");
            message
        }
        other => panic!("{mode}: {other:?}"),
    }
}

#[test]
fn a_trap_is_a_fault_with_the_call_in_which_it_happened() {
    assert!(trap("step-trap").contains("`step`: it gave up"));
    assert!(trap("finish-trap").contains("`finish`"));
    assert!(trap("step-recursion").contains("stack overflowed"));
    assert!(
        trap("step-big-frames").contains("out of bounds"),
        "the stack in linear memory ends at address 0"
    );
}

#[test]
fn a_clock_or_randomness_is_a_trap_that_says_what_was_called() {
    assert!(trap("step-clock").contains("wasi:clocks"));
    assert!(trap("step-random").contains("wasi:random"));
    assert!(trap("step-panic").contains("wasi:cli"), "a panic writes to stderr");
}

#[test]
fn a_loop_without_end_is_interrupted_at_its_deadline() {
    for mode in ["step-loop", "step-loop-calling-the-host"] {
        let begun = Instant::now();
        assert_eq!(fault(mode), Fault::Deadline(DEADLINE));
        let taken = begun.elapsed();
        assert!((DEADLINE..DEADLINE + Duration::from_secs(2)).contains(&taken), "{mode}: {taken:?}");
    }
}

#[test]
fn memory_without_end_is_refused_and_called_that() {
    let Fault::OutOfMemory(message) = fault("step-grow") else { panic!("not out of memory") };
    assert!(message.contains("hostile") && message.contains("limit"), "{message}");
}

#[test]
fn a_strategy_that_takes_a_refusal_well_goes_on() {
    let heap = heap();
    let mut strategy = windowed("step-grow-quietly", &heap);
    assert_eq!(cycle(&heap, &mut strategy).condemned_objects, 1000);
    assert!(strategy.memory_bytes() <= 32 << 20, "{}", strategy.memory_bytes());
}

#[test]
fn after_a_trap_nothing_is_entered_again() {
    let heap = heap();
    let mut strategy = windowed("step-trap", &heap);
    strategy.begin(&info()).unwrap();
    let first = strategy.step(1).unwrap_err();
    let calls = strategy.crossings();
    assert_eq!(strategy.begin(&info()), Err(first.clone()));
    assert_eq!(strategy.roots(&[1]), Err(first.clone()));
    assert_eq!(strategy.finish(), Err(first));
    assert_eq!(strategy.crossings(), calls);
}

#[test]
fn errors_of_its_own_are_shown_cut_and_do_not_poison() {
    let heap = heap();
    let mut strategy = windowed("begin-error", &heap);
    let Err(Fault::Error(message)) = strategy.begin(&info()) else { panic!("no error") };
    assert!(message.contains("hostile in `begin`: nono") && message.len() < 700, "{message}");
    strategy.roots(&[1]).unwrap();
    assert!(matches!(fault("step-error"), Fault::Error(message) if message.contains("cannot go on")));
    assert!(matches!(fault("finish-error"), Fault::Error(message) if message.contains("cannot say")));
    assert!(matches!(fault("begin-out-of-memory"), Fault::OutOfMemory(_)));
}

#[test]
fn a_configuration_that_it_refuses_is_shown_with_its_reason() {
    let heap = heap();
    let refused = attach("configure-error", &heap, Access::Auto).unwrap_err().to_string();
    assert!(refused.contains("hostile") && refused.contains("speed: must be even"), "{refused}");
    let refused = attach("configure-loop", &heap, Access::Auto).unwrap_err();
    assert!(matches!(refused, PluginError::Faulted { fault: Fault::Deadline(_), .. }), "{refused}");
}

#[test]
fn verdicts_of_another_shape_are_nonsense() {
    for mode in
        ["bitmap-short", "bitmap-long", "bitmap-empty", "condemn-beyond", "condemn-null", "condemn-often"]
    {
        let Fault::Nonsense(message) = fault(mode) else { panic!("{mode}") };
        assert!(message.contains("hostile in `finish`"), "{mode}: {message}");
    }
}

#[test]
fn a_verdict_larger_than_any_heap_is_not_copied() {
    assert!(trap("condemn-flood").contains("more data than one call may"));
}

#[test]
fn a_verdict_that_condemns_the_living_is_refused_by_the_proof() {
    // Roots are left out of any verdict, so what is proposed here breaks the list behind them.
    for mode in ["condemn-everything", "bitmap-zero"] {
        let heap = heap();
        let mut strategy = windowed(mode, &heap);
        let report = cycle(&heap, &mut strategy);
        assert!(matches!(report.end, CycleEnd::Refused(_)), "{mode}: {:?}", report.end);
        assert!(intact(&heap), "{mode}");
    }
}
