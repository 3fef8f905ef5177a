//! `queue`: producers and consumers over one linked queue.
//!
//! Source: the two-lock queue of Michael and Scott (*Simple, Fast, and Practical Non-Blocking and Blocking
//! Concurrent Queue Algorithms*, PODC 1996): a list with a dummy at its head, one lock for each end. The dummy
//! that a consumer leaves behind still refers to the node after it, and so a dead node leads to a live one, and
//! all dead ones form one chain. Where one of them is old, it keeps all that came after it alive in a collector
//! that does not look at old objects (*nepotism*: Ungar and Jackson, *Tenuring Policies for Generation-Based
//! Storage Reclamation*, OOPSLA 1988); where references are counted, the chain falls like dominoes. Doug Lea's
//! `LinkedBlockingQueue` cuts the reference for that reason; so does `cut=true`.
//!
//! ```text
//!  queue ── head ──▶ dummy ──▶ node ──▶ node ──▶ ... ──▶ node ◀── tail
//!                      ▲         └▶ value                  └▶ value
//!  dead ──▶ dead ──────┘
//! ```
//!
//! What it stresses: long chains, both of live objects (marking has nothing to do side by side) and of garbage;
//! objects made by one thread and dropped by another; two old slots that are stored to all the time. Nothing is
//! drawn at random.
//!
//! **What is alive at the end**: the queue, its dummy, and as many nodes with their values as were in it before
//! the measured part: consumers take as many items as producers bring. Each consumer sees the items of one
//! producer in their order, and all items together have the sum that they must have.

mod spec;
mod thread;

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use gc_heap::Heap;

use crate::crew::{self, Task};
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
pub use spec::QueueSpec;
use thread::{Counts, Ends, Thread, fill, walk};

/// Name of the root that keeps the queue.
const QUEUE: &str = "queue";

pub(crate) fn run(
    spec: &QueueSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    crew::or_let_go(work(spec, heap, driver), heap, [QUEUE])
}

fn work(spec: &QueueSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let kept = spec.length / 2;
    let ends = Ends { head: Mutex::default(), tail: Mutex::default(), ready: AtomicU64::new(kept) };
    let task = Task { phase: Phase::Build, total: Some(kept), duration: None };
    let filled =
        crew::run(heap, driver, task, vec![()], |(), post, mutator| fill(spec, &ends, kept, post, mutator))?;
    let set_up_time = begun.elapsed();
    let task = Task { phase: Phase::Mutate, total: Some(2 * spec.items), duration: None };
    let members = crew::each(spec.producers + spec.consumers);
    let done = crew::run(heap, driver, task, members, |(), post, mutator| {
        let thread = Thread::new(spec, &ends, post);
        if post.thread < spec.producers { thread.produce(mutator) } else { thread.consume(mutator) }
    })?;
    let (mut counts, report) = done.measured("item brought or taken");
    counts.extend(filled.results);
    let mut report = WorkloadReport {
        set_up_time,
        stopped: !counts.iter().all(|counts| counts.whole),
        ..report.with_efforts(counts.iter().map(|counts| counts.effort))
    };
    if !report.stopped {
        let left = crew::run(
            heap,
            driver,
            Task { phase: Phase::Collect, total: None, duration: None },
            vec![()],
            |(), post, mutator| walk(spec, &ends, post, mutator),
        )?;
        let taken = counts.iter().map(|counts| counts.sum).sum::<u128>();
        check(spec, kept, taken, &left.results[0], &mut report)?;
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}

/// Nothing may be lost and nothing be doubled.
fn check(
    spec: &QueueSpec,
    kept: u64,
    taken: u128,
    left: &Counts,
    report: &mut WorkloadReport,
) -> Result<(), WorkloadError> {
    if !left.whole {
        report.stopped = true;
        return Ok(());
    }
    // Items are numbered from 1: those of the filler up to `kept`, those of producers up to their shares.
    let triangle = |count: u64| u128::from(count) * (u128::from(count) + 1) / 2;
    let brought =
        (0..spec.producers).map(|producer| triangle(crew::share(spec.items, producer, spec.producers)));
    let wanted = triangle(kept) + brought.sum::<u128>();
    if left.items != kept || taken + left.sum != wanted {
        let what =
            format!("the queue holds {} items and not {kept}, or others than were brought", left.items);
        return Err(WorkloadError::Wrong { what });
    }
    report.expected_live = Some(2 + 2 * kept);
    report
        .checks
        .push(format!("{} items went through, {kept} are left, none was lost or doubled", spec.items));
    Ok(())
}
