//! The queue: nothing is lost, nothing is doubled, and only what is in it is alive.

mod common;

use std::sync::atomic::Ordering;

use gc_lab::WorkloadReport;

fn run(options: &str) -> (WorkloadReport, u64) {
    let heap = common::heap(64);
    let (report, driver) = common::run_in(&heap, &format!("queue?{options}")).unwrap();
    assert!(driver.condemned_beside.load(Ordering::Relaxed) > 0, "{options}: no cycle ran beside it");
    (report, heap.stats().live_objects)
}

#[test]
fn only_what_is_in_the_queue_is_alive_at_the_end() {
    for (options, left) in [
        ("items=100k&length=2k", 1000),
        ("items=100k&length=2k&cut=true", 1000),
        ("items=60k&length=500&producers=3&consumers=2", 250),
        ("items=60k&length=3&producers=2&consumers=3&size=1000", 1),
        ("items=60001&length=20k&producers=4", 10_000),
    ] {
        let (report, live) = run(options);
        assert_eq!((report.expected_live, live), (Some(2 + 2 * left), 2 + 2 * left), "{options}");
        let items = if options.contains("60001") { 60_001 } else { report.requests / 2 };
        assert_eq!(report.objects, 2 + 2 * (items + left), "{options}");
        assert_eq!(report.requests, 2 * items, "{options}");
    }
}

#[test]
fn a_strategy_that_frees_only_what_was_retired_keeps_up() {
    let heap = common::heap(64);
    for _ in 0..2 {
        let workload = "queue?items=100k&length=1k&retire=true&producers=2&consumers=2";
        let (report, _) = common::run_with(&heap, workload, common::RetiredOnly::new()).unwrap();
        assert_eq!(report.expected_live, Some(heap.stats().live_objects));
    }
}
