//! GCBench and binary-trees: the published results, and exactly what must be alive at the end.

mod common;

use std::sync::atomic::Ordering;

use gc_lab::WorkloadReport;

fn run(workload: &str) -> (WorkloadReport, u64) {
    let heap = common::heap(64);
    let (report, driver) = common::run_in(&heap, workload).unwrap();
    assert!(driver.condemned_beside.load(Ordering::Relaxed) > 0, "{workload}: no cycle ran beside it");
    assert!(!report.stopped);
    (report, heap.stats().live_objects)
}

#[test]
fn binary_trees_print_what_was_published_for_ten() {
    let published = "stretch tree of depth 11\t check: 4095
1024\t trees of depth 4\t check: 31744
256\t trees of depth 6\t check: 32512
64\t trees of depth 8\t check: 32704
16\t trees of depth 10\t check: 32752
long lived tree of depth 10\t check: 2047";
    for threads in [1, 3] {
        let (report, live) = run(&format!("binary-trees?depth=10&threads={threads}"));
        assert_eq!(report.checks.join("\n"), published, "{threads} threads");
        assert_eq!((Some(live), live), (report.expected_live, 2047));
        assert_eq!((report.requests, report.objects), (1360, 4095 + 2047 + 31744 + 32512 + 32704 + 32752));
        assert_eq!(report.latency.unwrap().count(), 1360);
    }
}

#[test]
fn an_odd_depth_ends_with_trees_one_less_deep() {
    let (report, live) = run("binary-trees?depth=13");
    assert_eq!(report.checks[5], "32\t trees of depth 12\t check: 262112");
    assert_eq!((report.checks.len(), Some(live)), (7, report.expected_live));
}

#[test]
fn gcbench_keeps_its_long_lived_tree_and_its_array() {
    for options in ["quick", "quick&threads=2&payload=0", "depth=10&array=5000&rounds=2"] {
        let (report, live) = run(&format!("gcbench?{options}"));
        let depth = if options.starts_with("quick") { 12 } else { 10 };
        assert_eq!((Some(live), live), (report.expected_live, (2 << depth) - 1 + 1), "{options}");
        assert_eq!(report.checks.len(), 3, "{options}");
        let nodes = |depth: u64| (2 << depth) - 1_u64;
        let rounds = if options.contains("rounds=2") { 2 } else { 1 };
        let short =
            (4..=depth).step_by(2).map(|short| 2 * (2 * nodes(depth + 2) / nodes(short)) * nodes(short));
        let all = nodes(depth + 2) + nodes(depth) + 1 + rounds * short.sum::<u64>();
        assert_eq!(report.objects, all, "{options}");
    }
}

#[test]
fn a_strategy_that_frees_only_what_was_retired_gets_through() {
    for (workload, kept) in
        [("binary-trees?depth=10&retire=true", 2047), ("gcbench?depth=9&array=3000&retire=true", 1024)]
    {
        let heap = common::heap(64);
        // The second run lets go of what the first one kept.
        for _ in 0..2 {
            let (report, _) = common::run_with(&heap, workload, common::RetiredOnly::new()).unwrap();
            assert_eq!((report.expected_live, heap.stats().live_objects), (Some(kept), kept), "{workload}");
        }
    }
}
