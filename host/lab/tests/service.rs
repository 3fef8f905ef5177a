//! The service: what it must keep alive, and that those who wait are counted.

mod common;

use std::sync::atomic::Ordering;
use std::time::Instant;

use gc_lab::WorkloadReport;

fn run(options: &str) -> (WorkloadReport, u64) {
    let heap = common::heap(64);
    let (report, driver) = common::run_in(&heap, &format!("service?{options}")).unwrap();
    assert!(driver.cycles.load(Ordering::Relaxed) > 2);
    (report, heap.stats().live_objects)
}

#[test]
fn what_is_live_at_the_end_is_what_the_books_say() {
    for options in [
        "quick",
        "quick&threads=1&updates=0",
        "quick&threads=4&updates=1&theta=0&sessions=7",
        "requests=20k&keys=50&ring=1&length=1",
        "requests=20k&keys=1&fields=9&size=uniform:0:300&temporaries=0",
        "requests=20k&keys=3&threads=3&sessions=2&length=1000",
    ] {
        let (report, live) = run(options);
        assert_eq!(report.expected_live, Some(live), "{options}");
        assert_eq!(report.requests, report.latency.as_ref().unwrap().count(), "{options}");
        assert!(!report.stopped && report.checks.len() == 1, "{options}");
    }
}

#[test]
fn how_requests_come_does_not_change_what_they_ask_for() {
    let counts = |rate: &str| {
        let (report, _) = run(&format!("requests=20k&keys=500&size=lognormal:80:1&seed=7{rate}"));
        (report.objects, report.references, report.payload_bytes, report.operations, report.requests)
    };
    assert_eq!(counts("&rate=40000"), counts(""));
}

#[test]
fn requests_come_at_the_rate_that_was_asked_for() {
    for arrivals in ["poisson", "uniform"] {
        let begun = Instant::now();
        let (report, _) = run(&format!("keys=500&requests=4000&rate=4000&arrivals={arrivals}"));
        assert!((0.9..3.0).contains(&begun.elapsed().as_secs_f64()), "{arrivals}: {:?}", begun.elapsed());
        let latency = report.latency.unwrap();
        let mut due: Vec<u64> = latency.requests.iter().map(|request| request.intended_ns).collect();
        due.sort_unstable();
        assert!((900_000_000..1_100_000_000).contains(due.last().unwrap()), "{arrivals}: {:?}", due.last());
        // Of intervals of a Poisson process 1 - 1/e are shorter than their mean, of even ones none.
        let short = due.windows(2).filter(|pair| pair[1] - pair[0] < 225_000).count();
        let wanted = if arrivals == "poisson" { 2200..2700 } else { 0..1 };
        assert!(wanted.contains(&short), "{arrivals}: {short}");
        assert!(latency.requests.iter().all(|request| request.intended_ns <= request.start_ns));
    }
}

#[test]
fn who_comes_while_the_service_cannot_keep_up_waits() {
    // Far more than it can serve: by the end requests are late by most of the run.
    let (report, _) = run("keys=500&requests=20000&rate=1000000000");
    let latency = report.latency.unwrap();
    let waited = latency.from_intended.unwrap();
    assert!(waited.max() > 100 * latency.simple.value_at_quantile(0.5), "{}", waited.max());
    assert!(u128::from(waited.max()) > report.mutate_time.as_nanos() / 2);
}

#[test]
fn an_end_in_time_is_kept() {
    let begun = Instant::now();
    let (report, live) = run("keys=500&seconds=1");
    assert!((1.0..2.5).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    assert!(!report.stopped);
    assert_eq!(report.expected_live, Some(live));
}
