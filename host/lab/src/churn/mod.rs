//! `churn`: synthetic load with stated distributions, for as long as asked.
//!
//! Each thread keeps a table of *groups*. A group is a few objects that live and die together: a chain from
//! its head to its last member, more references between members at random, and in half of the groups one from
//! the last member back to the head, so that half of what dies is cyclic. A step makes a new group, lets it
//! take the place of another one in the table (or die at once: [`Lifetime`]), links it to some groups of the
//! same thread, and now and then reads a group, passes one to other threads through a named root, or keeps
//! one that another thread has passed.
//!
//! When a group dies its links to and from others are removed first. So what is live is known exactly at any
//! time: it is what the tables hold. The report has that count ([`WorkloadReport::expected_live`]), every
//! payload says what must be in it, and reads check it: a heap or a strategy that loses an object is found
//! out here.
//!
//! What it stresses: allocation at a steady live size, the barrier (links and unlinks in old objects), cyclic
//! garbage, named roots under contention, and with `retire=true` the retired list.
//!
//! Each thread draws its numbers from ChaCha8, stream `thread` of the seed: with `operations=N` what a thread
//! does is the same in every run. What it finds at places where threads share depends on timing, but not what
//! it does then.

mod spec;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gc_heap::Heap;

use crate::driver::{Driver, Phase, Progress};
use crate::error::WorkloadError;
use crate::limits::PROGRESS_EVERY;
use crate::report::WorkloadReport;
use crate::settle::settle;
pub use spec::{ChurnSpec, Lifetime, Size};
use worker::{Counts, Worker};

/// What the threads of one run share.
struct Shared<'d> {
    driver: &'d dyn Driver,
    /// A thread has failed, or time is up.
    over: AtomicBool,
    begun: Instant,
}

pub(crate) fn run(
    spec: &ChurnSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    let shared = Shared { driver, over: AtomicBool::new(false), begun: Instant::now() };
    let counters: Vec<AtomicU64> = (0..spec.threads).map(|_| AtomicU64::new(0)).collect();
    let counts = std::thread::scope(|threads| {
        let workers: Vec<_> = (0..spec.threads)
            .zip(&counters)
            .map(|(thread, counter)| {
                let shared = &shared;
                threads.spawn(move || {
                    let end = OnEnd(&shared.over);
                    let result = Worker::new(spec, shared, thread, counter).run(&mut heap.mutator());
                    if result.is_ok() {
                        std::mem::forget(end);
                    }
                    result
                })
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            let done = counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
            driver.progress(Progress { phase: Phase::Mutate, done, total: spec.operations });
            if spec.duration.is_some_and(|duration| shared.begun.elapsed() >= duration) {
                shared.over.store(true, Ordering::Relaxed);
            }
            nap(&shared, &workers);
        }
        let results = workers.into_iter().map(|worker| worker.join().unwrap_or(Err(WorkloadError::Panicked)));
        results.collect::<Result<Vec<Counts>, WorkloadError>>()
    })?;
    let sum = |count: fn(&Counts) -> u64| counts.iter().map(count).sum();
    Ok(WorkloadReport {
        objects: sum(|counts| counts.objects),
        references: sum(|counts| counts.references),
        payload_bytes: sum(|counts| counts.payload_bytes),
        operations: sum(|counts| counts.operations),
        threads: spec.threads,
        mutate_time: shared.begun.elapsed(),
        expected_live: Some(sum(|counts| counts.live)),
        stopped: settle_at_end(driver)?,
        ..WorkloadReport::default()
    })
}

/// Cycles at the end, unless the driver wants to go home.
fn settle_at_end(driver: &dyn Driver) -> Result<bool, WorkloadError> {
    Ok(driver.stop_requested() || settle(driver)?)
}

/// Sleeps until the next report of progress, or until the threads have ended.
fn nap<T>(shared: &Shared<'_>, workers: &[std::thread::ScopedJoinHandle<'_, T>]) {
    let until = Instant::now() + PROGRESS_EVERY;
    while Instant::now() < until && !shared.over.load(Ordering::Relaxed) {
        if workers.iter().all(|worker| worker.is_finished()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tells the other threads to end when a thread fails or panics.
struct OnEnd<'s>(&'s AtomicBool);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
