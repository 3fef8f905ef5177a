//! `random-workers`: workers on several nodes that come to know each other at random, send each other work, and are forgotten.
//!
//! Source: *RandomWorkers* of Plyukhin, Agha and Montesi (*CRGC: Fault-Recovering Actor Garbage Collection in Pekko*, PLDI 2025;
//! `dplyukhin/uigc-bench` at 606f39f, folder `workers`). Its probabilities and bounds are those of [`spec::Mode`]. What is different here:
//!
//! * A worker is an object and not an actor: its node's thread does its turns. What it knows is a list behind it, its state an object of its own.
//! * The manager of every node is pinged, not only the leader's: all nodes do the same work. Pings come as fast as they are dealt with, unless
//!   `rate` is given (100 per second there).
//! * Queries, by which the original measures how long a mailbox is, are left out: nothing waits in one here.
//!
//! ```text
//!  node 1: manager ──▶ book ──▶ worker ──▶ contact ──▶ worker         node 2: manager ──▶ book ──▶ worker
//!                       │          └─▶ state  └─▶ contact ──▶ stub ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─▶┘
//!                       └──▶ stub ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─▶ worker
//! ```
//!
//! What it stresses: references that cross nodes and are dropped again all the time, hand-over of a third node's object, and garbage cycles over
//! nodes, which nobody finds alone.
//!
//! **What is alive at the end**: nothing. Before the managers forget everybody, all nodes look at each worker that they can reach: it must be where it was
//! put, and who knows a worker of another node asks that node. Whoever takes a message checks what it carries in the same way.
//!
//! 1. Work that has been sent keeps its worker and what it carries by pins, until it is done or on its way.
//! 2. A node that has done its turns sends nothing any more that carries a reference. What it sent arrives in order; so once all have said that they are done,
//!    nothing is under way.
//! 3. No more than [`LETTERS_OPEN`](crate::limits::LETTERS_OPEN) messages to a node are under way at a time: the sender waits, and takes in what comes meanwhile.

mod spec;
mod word;

mod post;
mod worker;

mod book;

mod site;

mod ending;
mod telling;

use gc_heap::Heap;

use crate::crew;
use crate::driver::Driver;
use crate::error::WorkloadError;
use crate::report::WorkloadReport;
use book::BOOK;
use post::Halt;
use site::Site;
pub use spec::{Mode, RandomWorkersSpec};

pub(crate) fn run(
    spec: &RandomWorkersSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    match crew::or_let_go(
        work(spec, heap, driver).map_or_else(stopped, |report| Ok(Some(report))),
        heap,
        [BOOK],
    )? {
        Some(report) => Ok(report),
        None => {
            heap.mutator().scope(|scope| scope.set_root(BOOK, None));
            Ok(WorkloadReport { stopped: true, threads: 1, ..WorkloadReport::default() })
        }
    }
}

/// An early end that was asked for is no error.
fn stopped(halt: Halt) -> Result<Option<WorkloadReport>, WorkloadError> {
    match halt {
        Halt::Stopped => Ok(None),
        Halt::Failed(error) => Err(error),
    }
}

fn work(spec: &RandomWorkersSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, Halt> {
    let peers = driver.peers().ok_or(WorkloadError::NoNodes)?;
    let mut site = Site::meet(spec, heap, driver, peers)?;
    let mut report = site.work()?;
    site.end(&mut report)?;
    report.checks = telling::lines(&report.nodes);
    Ok(report)
}
