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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use gc_heap::{Handle, HeapConfig, Scope};
    use rustc_hash::FxHashSet;

    use super::book::Book;
    use super::post::Letter;
    use super::word::Word;
    use super::worker::Shop;
    use super::*;
    use crate::bench::fates::Fates;

    /// The workers that the manager leads to.
    fn reached(scope: &Scope<'_>, shop: &mut Shop, manager: &Book) -> FxHashSet<Handle> {
        let mut pending = manager.known(scope, shop).unwrap();
        let mut reached = FxHashSet::default();
        while let Some(worker) = pending.pop() {
            if reached.insert(scope.handle(worker)) {
                pending.extend(shop.contacts(scope, worker).unwrap());
            }
        }
        reached
    }

    fn deal_with(scope: &mut Scope<'_>, shop: &mut Shop, letter: &Letter) {
        let workers: Vec<_> = letter.references.iter().map(|pin| scope.pinned(pin)).collect();
        match (&letter.word, &workers[..]) {
            (Word::Work(work), [worker]) => shop.turn(scope, *worker, work).unwrap(),
            (Word::Acquaint, [worker, others @ ..]) => {
                others.iter().for_each(|&other| shop.acquaint(scope, *worker, other).unwrap());
            }
            _ => {}
        }
        shop.let_go();
    }

    #[test]
    fn what_is_written_down_says_who_could_be_reached_when() {
        let heap = Heap::new(HeapConfig { node: 1, ..HeapConfig::with_limit(64 << 20) }).unwrap();
        let mut shop =
            Shop::new(&RandomWorkersSpec { lives: true, ..RandomWorkersSpec::default() }, 1, vec![2]);
        let mut mutator = heap.mutator();
        let mut manager = mutator.scope(|scope| Book::new(scope)).unwrap();
        let mut seen = Vec::new();
        for _ in 0..400 {
            mutator.scope(|scope| {
                manager.act(scope, &mut shop).unwrap();
                shop.let_go();
            });
            while let Some(letter) = shop.out.pop() {
                mutator.scope(|scope| deal_with(scope, &mut shop, &letter));
                letter.references.iter().for_each(|pin| shop.leaves(pin.handle()));
                shop.let_go();
            }
            seen.push((Instant::now(), mutator.scope(|scope| reached(scope, &mut shop, &manager))));
        }
        let lives = shop.lives.take().unwrap();
        // Who is known at the end has not died: the last moment that is written down for them is one before that.
        let at_the_end = seen.last().unwrap().1.clone();
        let fates = Fates::of([&lives]);
        let (mut dead, mut alive) = (0, 0);
        for worker in lives.workers().filter(|worker| !at_the_end.contains(&worker.handle)) {
            let died = fates.died(worker.handle).unwrap();
            for (moment, reached) in seen.iter().filter(|(moment, _)| worker.born < *moment) {
                assert_eq!(died > *moment, reached.contains(&worker.handle), "{}", worker.handle);
                if died > *moment { alive += 1 } else { dead += 1 }
            }
        }
        assert!(
            lives.known.len() > 100 && dead > 1000 && alive > 100,
            "{} {dead} {alive}",
            lives.known.len()
        );
    }
}
