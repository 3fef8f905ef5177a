//! `service`: a service that answers requests about records in memory, for sessions that remember.
//!
//! Sources: the shape of load is that of YCSB (Cooper, Silberstein, Tam, Ramakrishnan, Sears: *Benchmarking
//! Cloud Serving Systems with YCSB*, SoCC 2010): records of fields of 100 bytes, keys by Zipf's law with theta
//! 0.99 and strewn, half of the requests update as in its workload A. Its generator is that of Gray et al.
//! (SIGMOD 1994), see [`crate::distributions`]. That requests come by a clock of their own, whether the service
//! keeps up or not, and are timed from when they were to come, follows Schroeder, Wierman, Harchol-Balter (*Open
//! Versus Closed: A Cautionary Tale*, NSDI 2006) and Tene's warning of coordinated omission.
//!
//! ```text
//!  table ──▶ record ──▶ field (payload)  ◀── response ◀── ring of a session ◀── sessions of a thread
//!  shared by all threads                     refers to the fields as they were when it was asked
//! ```
//!
//! A request belongs to a session of its thread and to a key. It makes some temporary objects, as the parsing of
//! a request does; reads all fields of the record, or puts a new object in the place of one field; and leaves
//! a response in the ring of its session, where it takes the place of an old one. Sessions end at random.
//!
//! What it stresses: three lifetimes at once (temporaries, responses, records), stores of young objects into old
//! ones by several threads, objects that are shared between old and young, and, with `rate`, what the collector
//! does to those who wait. Payloads say whose they are, and reads check it.
//!
//! **What is alive at the end**: the table, its records and their fields, the sessions, their responses, and the
//! versions of fields that only responses still refer to. Each thread's books know which versions its
//! responses hold; the versions that are current are read from the heap at the end.

mod spec;
mod worker;

use std::time::Instant;

use gc_heap::{Heap, Mutator};
use rustc_hash::FxHashSet;

use crate::cost::Effort;
use crate::crew::{self, Post, Task};
use crate::distributions::Zipf;
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::leftover::retire_leftover;
use crate::limits::STEPS_PER_LOOK;
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
pub use spec::{Arrivals, ServiceSpec};
use worker::{Fields, Served, Version, Worker};

/// Thread number of the versions that are there at the beginning.
const LOADER: u32 = 0xFFFF;

pub(crate) fn run(
    spec: &ServiceSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    crew::or_let_go(work(spec, heap, driver), heap, roots(spec))
}

fn table() -> String {
    "service table".to_owned()
}

fn sessions(thread: u32) -> String {
    format!("service sessions {thread}")
}

fn roots(spec: &ServiceSpec) -> impl Iterator<Item = String> {
    std::iter::once(table()).chain((0..spec.threads).map(sessions))
}

fn work(spec: &ServiceSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let task = Task { phase: Phase::Build, total: Some(spec.keys), duration: None };
    let loaded = crew::run(heap, driver, task, vec![()], |(), post, mutator| load(spec, post, mutator))?;
    let zipf = Zipf::new(spec.keys, spec.theta);
    let set_up_time = begun.elapsed();
    let task = Task { phase: Phase::Mutate, total: spec.requests, duration: spec.duration };
    let done = crew::run(heap, driver, task, crew::each(spec.threads), |(), post, mutator| {
        Worker::new(spec, &zipf, post).run(mutator)
    })?;
    let (served, report) = done.measured("request");
    let (loader, loaded) = loaded.results[0];
    let efforts = served.iter().map(|served| served.effort).chain([loader]);
    let mut report = WorkloadReport {
        set_up_time,
        stopped: driver.stop_requested() || !loaded,
        ..report.with_efforts(efforts)
    };
    if !report.stopped {
        let task = Task { phase: Phase::Collect, total: None, duration: None };
        let read = crew::run(heap, driver, task, vec![()], |(), post, mutator| current(spec, post, mutator))?;
        if let Some(current) = read.results.into_iter().next().flatten() {
            settle_books(spec, &served, &current, &mut report);
        }
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}

/// Counts what must be alive.
fn settle_books(spec: &ServiceSpec, served: &[Served], current: &[u64], report: &mut WorkloadReport) {
    let responses = || served.iter().flat_map(|served| &served.responses);
    let is_stale = |version: &&Version| current[version.field as usize] != version.number;
    let stale: FxHashSet<Version> = responses().flatten().filter(is_stale).copied().collect();
    let (responses, stale) = (responses().count() as u64, stale.len() as u64);
    let sessions: u64 = served.iter().map(|served| 1 + served.sessions).sum();
    report.expected_live = Some(1 + spec.keys * (1 + spec.fields) + sessions + responses + stale);
    report.checks.push(format!(
        "{} fields are what was written last; {responses} responses hold {stale} older ones",
        spec.keys * spec.fields
    ));
}

/// The records and the empty sessions; false when it ended early.
fn load(spec: &ServiceSpec, post: Post<'_>, mutator: &mut Mutator) -> Result<(Effort, bool), WorkloadError> {
    roots(spec).try_for_each(|root| retire_leftover(mutator, &root, false))?;
    let mut fields = Fields::new(spec, LOADER);
    mutator.scope(|scope| {
        let empty = scope.alloc(&vec![None; spec.keys as usize], &[])?;
        scope.set_root(&table(), Some(empty));
        for thread in 0..spec.threads {
            let of_thread = scope.alloc(&vec![None; spec.sessions_per_thread() as usize], &[])?;
            scope.set_root(&sessions(thread), Some(of_thread));
        }
        Ok::<_, WorkloadError>(())
    })?;
    fields.effort.objects += 1 + u64::from(spec.threads);
    fields.effort.operations += 2 * (1 + u64::from(spec.threads));
    for first in (0..spec.keys).step_by(STEPS_PER_LOOK as usize) {
        post.tell(first);
        if post.is_over() {
            return Ok((fields.effort, false));
        }
        mutator.scope(|scope| {
            let table = scope.root(&table()).ok_or_else(|| WorkloadError::lost("the table"))?;
            for key in first..spec.keys.min(first + STEPS_PER_LOOK) {
                scope.scope(|inner| fields.record(inner, table, key))?;
            }
            Ok::<_, WorkloadError>(())
        })?;
    }
    Ok((fields.effort, true))
}

/// The version of each field; none when it ended early.
fn current(
    spec: &ServiceSpec,
    post: Post<'_>,
    mutator: &mut Mutator,
) -> Result<Option<Vec<u64>>, WorkloadError> {
    let mut fields = Fields::new(spec, LOADER);
    let mut numbers = Vec::with_capacity((spec.keys * spec.fields) as usize);
    for key in 0..spec.keys {
        if key.is_multiple_of(STEPS_PER_LOOK) && post.is_over() {
            return Ok(None);
        }
        mutator.scope(|scope| {
            let table = scope.root(&table()).ok_or_else(|| WorkloadError::lost("the table"))?;
            let record = scope.load(table, key as u32)?.ok_or_else(|| WorkloadError::lost("a record"))?;
            fields.read(scope, record, key, |_, version| numbers.push(version.number))
        })?;
    }
    Ok(Some(numbers))
}
