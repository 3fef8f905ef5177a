//! The host's side of the portable path, and the log.

use gc_heap::Fault;

use crate::common::*;

#[test]
fn reads_beyond_the_heap_or_the_batch_are_traps_that_say_so() {
    for (mode, part) in [("step-read-beyond", "cell 4294967295"), ("step-read-too-many", "65537 cells")] {
        let Fault::Trap(message) = fault(mode) else { panic!("{mode}") };
        assert!(message.contains(part), "{mode}: {message}");
    }
}

#[test]
fn a_log_is_bounded_per_cycle_and_lines_are_cut() {
    let heap = heap();
    let mut strategy = windowed("step-log", &heap);
    cycle(&heap, &mut strategy);
    let log = strategy.take_log();
    assert_eq!((log.lines.len(), log.dropped), (100, 900));
    assert_eq!(log.lines[99].text, "line 99");
    assert!(strategy.take_log().lines.is_empty());

    let mut strategy = windowed("step-log-long", &heap);
    cycle(&heap, &mut strategy);
    let log = strategy.take_log();
    assert!(log.lines[0].text.len() <= 1024 * 3 + 3, "{}", log.lines[0].text.len());
    assert!(log.lines[0].text.chars().count() <= 1025 && !log.lines[0].text.contains('\u{1b}'));
}
