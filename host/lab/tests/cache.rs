//! The cache: what is in it is alive, everything else has gone, and retiring says which.

mod common;

use std::sync::atomic::Ordering;

use gc_lab::WorkloadReport;

fn run(options: &str) -> (WorkloadReport, u64) {
    let heap = common::heap(64);
    let (report, driver) = common::run_in(&heap, &format!("cache?{options}")).unwrap();
    assert!(driver.condemned_beside.load(Ordering::Relaxed) > 0, "{options}: no cycle ran beside it");
    (report, heap.stats().live_objects)
}

#[test]
fn what_is_live_at_the_end_is_what_is_in_the_cache() {
    for options in [
        "quick",
        "quick&policy=fifo&threads=3&retire=false",
        "quick&ttl=500&updates=0.5&size=uniform:0:600",
        "operations=50k&keys=10&capacity=3&threads=1",
        "operations=50k&keys=300&capacity=1&theta=0&ttl=7",
    ] {
        let (report, live) = run(options);
        assert_eq!(report.expected_live, Some(live), "{options}");
        assert!(live > 6 || options.contains("capacity=1"), "{options}: {live}");
        assert_eq!((report.checks.len(), report.requests > 0), (1, true), "{options}");
    }
}

/// The numbers in the line that the cache says of itself: entries, reads, hits, expired, evicted.
fn numbers(report: &WorkloadReport) -> Vec<u64> {
    report.checks[0].split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn the_hit_rate_is_that_of_a_plain_cache() {
    // A list with a map beside it, asked for the same keys by the same law, must hit as often.
    for (policy, lru) in [("lru", true), ("fifo", false)] {
        let (report, _) = run(&format!(
            "threads=1&keys=5k&capacity=500&ttl=60M&updates=0&operations=60k&policy={policy}&size=fixed:16"
        ));
        let found = numbers(&report);
        let rate = found[2] as f64 / found[1] as f64;
        let wanted = plain_hit_rate(5000, 500, 60_000, lru);
        // The generator of ranks is within a few per cent of the law; the policies are three per cent apart.
        assert!((rate - wanted).abs() < 0.015, "{policy}: {rate}, a plain cache {wanted}");
        assert_eq!((found[0], found[3]), (500, 0));
    }
}

fn plain_hit_rate(keys: u64, capacity: usize, operations: u32, lru: bool) -> f64 {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(99);
    let weights: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-0.99)).collect();
    let mut sums = weights.clone();
    (1..sums.len()).for_each(|at| sums[at] += sums[at - 1]);
    let mut newest_last: Vec<u64> = Vec::new();
    let mut hits = 0;
    for operation in 0..operations + 20_000 {
        let place = random.random::<f64>() * sums[sums.len() - 1];
        // As in the workload, ranks are strewn by a hash, and some share a key.
        let rank = sums.partition_point(|&sum| sum < place) as u64;
        let hash = rank.to_le_bytes().iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        let key = hash % keys;
        match newest_last.iter().position(|&other| other == key) {
            Some(at) => {
                hits += u32::from(operation >= 20_000);
                if lru {
                    newest_last.remove(at);
                    newest_last.push(key);
                }
            }
            None => {
                if newest_last.len() == capacity {
                    newest_last.remove(0);
                }
                newest_last.push(key);
            }
        }
    }
    f64::from(hits) / f64::from(operations)
}

#[test]
fn entries_expire_when_their_time_has_come() {
    // With room for all and a time to live, entries leave only by expiring, and none is older than its time.
    let (report, live) = run("threads=1&keys=2k&capacity=2k&ttl=1000&updates=0&operations=50k");
    let found = numbers(&report);
    assert_eq!(found[4], 0, "none evicted");
    assert!(found[3] > 1000 && found[0] < 1000, "{found:?}");
    assert_eq!(live, 3 + 2 * found[0]);
}

#[test]
fn a_strategy_that_frees_only_what_was_retired_keeps_up() {
    let heap = common::heap(64);
    for _ in 0..2 {
        let (report, _) = common::run_with(&heap, "cache?quick", common::RetiredOnly::new()).unwrap();
        assert_eq!(report.expected_live, Some(heap.stats().live_objects));
    }
}
