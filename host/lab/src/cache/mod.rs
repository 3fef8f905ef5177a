//! `cache`: a cache whose entries expire, are evicted, and are retired when they go.
//!
//! Source: the caches that Yang, Yue and Rashmi describe (*A Large Scale Analysis of Hundreds of In-memory Cache
//! Clusters at Twitter*, OSDI 2020): keys by Zipf's law, values of a few hundred bytes, a time to live on nearly
//! every entry, and eviction by age or by last use, which differ little there. A read that finds nothing puts the
//! entry in, as a cache in front of a store does.
//!
//! ```text
//!  shard ──▶ buckets ──▶ entry ──▶ entry (same bucket)
//!    │                     │ ▲
//!    └──▶ sentinel ◀──────▶└─┴──▶ newer and older entries, a ring        entry ──▶ value
//! ```
//!
//! Each thread has a shard of its own, with its share of the keys: so what leaves a shard is referred to by nobody
//! else and may be retired. Time is counted in operations of the thread, so that a run does not depend on the
//! clock. Expired entries are removed when their time has come, not when somebody asks for them.
//!
//! What it stresses: *retire*: the program knows what dies, and a strategy that listens needs no tracing at all.
//! For the others, an old structure that is rewired all the time (each hit by last use stores six references), a
//! list whose neighbours refer to each other, so that dead entries refer to live ones, and values of mixed sizes
//! that die in the order of their age.
//!
//! **What is alive at the end**: three objects per shard, and two for each entry. The books of a shard count its
//! entries; at the end they are walked and looked up one by one.

mod shard;
mod spec;

use std::time::Instant;

use gc_heap::Heap;

use crate::crew::{self, Task};
use crate::distributions::Zipf;
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
use shard::{Counts, Shard};
pub use spec::{CacheSpec, Policy};

/// Objects of an empty shard: itself, its buckets, its sentinel.
const EMPTY_SHARD: u64 = 3;

pub(crate) fn run(
    spec: &CacheSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    crew::or_let_go(work(spec, heap, driver), heap, (0..spec.threads).map(shard::root))
}

fn work(spec: &CacheSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let zipf = Zipf::new(spec.keys_per_thread(), spec.theta);
    let begun = Instant::now();
    let task = Task { phase: Phase::Build, total: None, duration: None };
    let filled = crew::run(heap, driver, task, crew::each(spec.threads), |(), post, mutator| {
        let mut shard = Shard::new(spec, &zipf, post);
        shard.fill(post, mutator)?;
        Ok(shard)
    })?;
    let set_up_time = begun.elapsed();
    let task = Task { phase: Phase::Mutate, total: spec.operations, duration: spec.duration };
    let done = crew::run(heap, driver, task, filled.results, |mut shard, post, mutator| {
        let recorder = shard.work(post, mutator)?;
        Ok((shard, recorder))
    })?;
    let (shards, report) = done.measured("operation");
    let counts: Vec<Counts> = shards.iter().map(Shard::counts).collect();
    let sum = |count: fn(&Counts) -> u64| counts.iter().map(count).sum();
    let mut report = WorkloadReport {
        set_up_time,
        stopped: driver.stop_requested(),
        ..report.with_efforts(counts.iter().map(|counts| counts.effort))
    };
    if !report.stopped {
        let task = Task { phase: Phase::Collect, total: None, duration: None };
        let walked =
            crew::run(heap, driver, task, shards, |mut shard, post, mutator| shard.walk(post, mutator))?;
        if walked.results.iter().all(|&whole| whole) {
            let entries: u64 = sum(|counts| counts.entries);
            report.expected_live = Some(u64::from(spec.threads) * EMPTY_SHARD + 2 * entries);
            report.checks.push(format!(
                "{entries} entries; of {} reads {} hit; {} entries expired, {} were evicted",
                sum(|counts| counts.reads),
                sum(|counts| counts.hits),
                sum(|counts| counts.expired),
                sum(|counts| counts.evicted)
            ));
        }
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}
