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

use gc_heap::Heap;

use crate::crew::{self, Task};
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
pub use spec::{ChurnSpec, Lifetime};
use worker::Worker;

pub(crate) fn run(
    spec: &ChurnSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    let result = work(spec, heap, driver);
    if result.is_err() {
        heap.mutator().scope(|scope| worker::let_go(scope, spec.threads));
    }
    result
}

fn work(spec: &ChurnSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let task = Task { phase: Phase::Mutate, total: spec.operations, duration: spec.duration };
    let done = crew::run(heap, driver, task, crew::each(spec.threads), |(), post, mutator| {
        Worker::new(spec, post).run(mutator)
    })?;
    let (counts, report) = done.measured("step");
    let expected_live = Some(counts.iter().map(|counts| counts.live).sum());
    let efforts = counts.iter().map(|counts| counts.effort);
    let mut report = WorkloadReport { expected_live, ..report.with_efforts(efforts) };
    settle_timed(driver, &mut report)?;
    Ok(report)
}
