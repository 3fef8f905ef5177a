//! The editor: its versions share what they share, and nothing else is alive.

mod common;

use std::sync::atomic::Ordering;

use gc_lab::WorkloadReport;

fn run(options: &str) -> (WorkloadReport, u64) {
    let heap = common::heap(64);
    let (report, driver) = common::run_in(&heap, &format!("editor?{options}")).unwrap();
    assert!(driver.condemned_beside.load(Ordering::Relaxed) > 0, "{options}: no cycle ran beside it");
    (report, heap.stats().live_objects)
}

#[test]
fn what_is_live_at_the_end_is_what_the_versions_share() {
    for options in [
        "quick",
        "quick&threads=3&undos=0.4",
        "nodes=300&versions=1&edits=20k",
        "nodes=4&versions=3&edits=20k&undos=0.2",
        "nodes=1000&versions=5000&edits=20k&undos=0",
        "nodes=1000&versions=20&edits=20k&undos=0.5&size=uniform:0:200&retire=true",
    ] {
        let (report, live) = run(options);
        assert_eq!(report.expected_live, Some(live), "{options}");
        assert_eq!(report.requests, report.latency.unwrap().count(), "{options}");
    }
}

#[test]
fn the_document_keeps_its_size_and_the_ring_is_full() {
    let (report, _) = run("nodes=2000&versions=50&edits=30k&undos=0");
    let found: Vec<u64> =
        report.checks[0].split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert_eq!((found[0], found[2]), (50, 0), "{:?}", report.checks);
    assert!((1700..2300).contains(&found[1]), "{:?}", report.checks);
}

#[test]
fn a_strategy_that_frees_only_what_was_retired_keeps_up() {
    let heap = common::heap(64);
    for _ in 0..2 {
        let workload = "editor?quick&retire=true&undos=0.2&threads=2";
        let (report, _) = common::run_with(&heap, workload, common::RetiredOnly::new()).unwrap();
        assert_eq!(report.expected_live, Some(heap.stats().live_objects));
    }
}
