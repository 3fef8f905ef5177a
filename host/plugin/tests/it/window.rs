//! What a strategy does with its window that it must not: the process lives, the heap is whole, and it is found out.

use gc_heap::{CycleEnd, Fault, Strategy};
use gc_plugin::{Access, PluginError};

use crate::common::*;

#[test]
fn writes_into_the_window_are_found_and_reach_nothing() {
    for (mode, at_least) in [("step-window-store", 1), ("step-window-fill", 3), ("step-window-copy", 3)] {
        let Fault::WindowWritten(pages) = fault(mode) else { panic!("{mode} was not found out") };
        assert!((at_least..=at_least + 1).contains(&pages), "{mode}: {pages} pages");
    }
}

#[test]
fn a_write_outside_of_cycles_is_found_in_the_next() {
    assert!(matches!(fault("attached-store"), Fault::WindowWritten(1)));
}

#[test]
fn lists_lowered_into_the_window_are_found() {
    assert!(matches!(fault("step-steal"), Fault::WindowWritten(_)));
}

#[test]
fn a_strategy_that_wrote_is_not_called_again() {
    let heap = heap();
    let mut strategy = windowed("step-window-store", &heap);
    strategy.begin(&info()).unwrap();
    strategy.inspect().unwrap();
    strategy.step(1).unwrap();
    assert_eq!(strategy.inspect(), Err(Fault::WindowWritten(1)));
    assert_eq!(strategy.finish(), Err(Fault::WindowWritten(1)));
}

#[test]
fn texts_that_lie_in_the_window_are_refused() {
    assert!(
        matches!(fault("step-log-in-window"), Fault::Trap(message) if message.contains("lies in the window"))
    );
}

#[test]
fn answers_that_lie_in_the_window_are_judged_by_what_they_say() {
    let heap = heap();
    let mut strategy = windowed("bitmap-in-window", &heap);
    let report = cycle(&heap, &mut strategy);
    assert!(!matches!(report.end, CycleEnd::Settled), "{:?}", report.end);
    assert!(intact(&heap));
    let mut strategy = windowed("begin-error-in-window", &heap);
    assert!(strategy.begin(&info()).is_err());
}

#[test]
fn ranges_that_are_not_its_to_give_are_refused() {
    let heap = heap();
    for (mode, part) in [
        ("reserve-unaligned", "no multiple of 65,536"),
        ("reserve-live-data", "which it had before"),
        ("reserve-old-and-new", "which it had before"),
        ("reserve-short", "outside of its memory"),
        ("reserve-outside", "outside of its memory"),
        ("reserve-top", "outside of its memory"),
        ("reserve-without-growing", "outside of its memory"),
    ] {
        for access in [Access::Window, Access::Auto] {
            let refused = attach(mode, &heap, access).unwrap_err();
            assert!(matches!(refused, PluginError::WindowRefused { .. }), "{mode}: {refused}");
            let message = refused.to_string();
            assert!(message.contains("hostile") && message.contains(part), "{mode}: {message}");
        }
    }
    assert!(intact(&heap));
}

#[test]
fn a_reservation_that_traps_or_does_not_end_is_a_fault() {
    let heap = heap();
    let fault = |mode| match attach(mode, &heap, Access::Auto) {
        Err(PluginError::Faulted { strategy, fault }) => {
            assert_eq!(strategy, "hostile");
            fault
        }
        other => panic!("{mode}: {other:?}"),
    };
    assert!(matches!(fault("reserve-trap"), Fault::Trap(message) if message.contains("`window.reserve`")));
    assert_eq!(fault("reserve-loop"), Fault::Deadline(DEADLINE));
}

#[test]
fn no_room_means_batches_unless_the_window_was_demanded() {
    let heap = heap();
    let mut strategy = attach("reserve-zero", &heap, Access::Auto).unwrap();
    assert!(!strategy.windowed());
    assert_eq!(cycle(&heap, &mut strategy).condemned_objects, 1000);
    assert!(matches!(attach("reserve-zero", &heap, Access::Window), Err(PluginError::NoWindow { .. })));
}
