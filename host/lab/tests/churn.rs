//! Churn counts its own live objects, and the heap agrees.

mod common;

use std::sync::atomic::Ordering;

use gc_lab::{WorkloadError, WorkloadReport};

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
fn the_same_seed_does_the_same_work() {
    let counts = |options: &str| {
        let (report, _) = churn(options);
        (report.objects, report.references, report.payload_bytes, report.operations, report.expected_live)
    };
    let first = counts("operations=100k&live=2k&shared=0.2&seed=7");
    assert_eq!(counts("operations=100k&live=2k&shared=0.2&seed=7"), first);
    assert_ne!(counts("operations=100k&live=2k&shared=0.2&seed=8"), first);
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

#[test]
fn a_wish_to_stop_is_granted_at_once() {
    let heap = common::heap(64);
    let driver = common::Local::new(&heap, common::MarkSweep::new(&heap));
    let spec: gc_lab::WorkloadSpec = "churn?live=1M&rate=1".parse().unwrap();
    let report = std::thread::scope(|threads| {
        let worker = threads.spawn(|| spec.run(&heap, &driver));
        std::thread::sleep(std::time::Duration::from_millis(100));
        driver.stop.store(true, Ordering::Relaxed);
        let asked = std::time::Instant::now();
        let report = worker.join().unwrap().unwrap();
        assert!(asked.elapsed().as_secs_f64() < 1.0, "{:?}", asked.elapsed());
        report
    });
    assert!(report.stopped);
}

#[test]
fn a_heap_that_is_too_small_ends_all_threads() {
    let heap = gc_heap::Heap::new(gc_heap::HeapConfig {
        full_wait: std::time::Duration::from_millis(20),
        ..gc_heap::HeapConfig::with_limit(16 << 20)
    })
    .unwrap();
    let result = common::run_in(&heap, "churn?live=1M&threads=4");
    assert!(matches!(result.as_ref().err(), Some(WorkloadError::Heap(_))));
    assert_eq!(heap.named_roots(), [], "what a failed workload built is garbage");
}
