//! Churn counts its own live objects, and the heap agrees.

mod common;

use std::sync::atomic::Ordering;

use gc_lab::WorkloadReport;

fn churn(options: &str) -> (WorkloadReport, u64) {
    let heap = common::heap(64);
    let (report, driver) = common::run_in(&heap, &format!("churn?{options}")).unwrap();
    assert!(driver.cycles.load(Ordering::Relaxed) > 2);
    (report, heap.stats().live_objects)
}

#[test]
fn what_is_live_at_the_end_is_what_the_tables_hold() {
    for options in [
        "operations=200k&live=5k",
        "operations=200k&live=5k&lifetime=fifo&links=4",
        "operations=200k&live=5k&lifetime=random&group=9&fanout=4&shared=0.3",
        "operations=200k&live=5k&threads=1&group=1&links=0&size=uniform:0:300",
        "operations=200k&live=5k&threads=4&retire=true&reads=1",
        "operations=50k&live=1&threads=3&size=fixed:5000&lifetime=young:1",
    ] {
        let (report, live) = churn(options);
        assert_eq!(Some(live), report.expected_live, "{options}");
        assert!(report.objects > 2 * live, "{options}: {report:?}");
        assert!(!report.stopped);
    }
}

#[test]
fn a_strategy_that_frees_only_what_was_retired_keeps_up_with_retiring_churn() {
    let heap = common::heap(64);
    let options = "retire=true&operations=200k&live=5k&lifetime=young:0.5&group=6&links=3";
    let (report, _) =
        common::run_with(&heap, &format!("churn?{options}"), common::RetiredOnly::new()).unwrap();
    assert_eq!(Some(heap.stats().live_objects), report.expected_live);
    assert!(report.objects > 4 * heap.stats().live_objects);
}

#[test]
fn the_live_target_and_the_group_size_are_kept() {
    let (_, live) = churn("operations=300k&live=20k&group=5");
    assert!((19_000..21_000).contains(&live), "{live}");
}

#[test]
fn a_rate_is_kept_and_an_end_in_time_too() {
    let begun = std::time::Instant::now();
    let (report, _) = churn("seconds=1&rate=20000&live=1000");
    assert!((15_000..26_000).contains(&report.operations), "{report:?}");
    assert!((1.0..2.5).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}
