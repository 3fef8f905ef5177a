//! One node's part: its thread, which does the turns of its manager and of its workers.

use std::time::{Duration, Instant};

use gc_heap::{Heap, Mutator};

use crate::driver::{Driver, Phase, Ticker};
use crate::error::WorkloadError;
use crate::limits::{LOOK_EVERY, NAP_MAX, RECEIVE_PATIENCE};
use crate::peers::Peers;
use crate::report::{NodeWork, WorkloadReport};

use super::book::Book;
use super::post::{Halt, Letter, Post};
use super::spec::RandomWorkersSpec;
use super::word::{Stage, Word};
use super::worker::Shop;

/// See the module.
pub(super) struct Site<'d> {
    spec: &'d RandomWorkersSpec,
    pub(super) heap: &'d Heap,
    pub(super) driver: &'d dyn Driver,
    pub(super) peers: &'d dyn Peers,
    pub(super) mutator: Mutator,
    pub(super) shop: Shop,
    pub(super) manager: Book,
    pub(super) post: Post<'d>,
}

impl<'d> Site<'d> {
    /// Waits for the other nodes.
    pub(super) fn meet(
        spec: &'d RandomWorkersSpec,
        heap: &'d Heap,
        driver: &'d dyn Driver,
        peers: &'d dyn Peers,
    ) -> Result<Site<'d>, Halt> {
        let post = Post::meet(spec, driver, peers)?;
        let mut mutator = heap.mutator();
        let manager = mutator.scope(|scope| Book::new(scope))?;
        let shop = Shop::new(spec, post.me, post.others.clone());
        Ok(Site { spec, heap, driver, peers, mutator, shop, manager, post })
    }

    /// All turns of all nodes: the measured part.
    pub(super) fn work(&mut self) -> Result<WorkloadReport, Halt> {
        let traffic = self.peers.traffic();
        let begun = Instant::now();
        let turns = self.turns(begun)?;
        self.shop.closing = true;
        self.deliver()?;
        self.post.reach(Stage::Worked)?;
        self.until_all(Stage::Worked)?;
        let took = begun.elapsed();
        let node = NodeWork {
            node: self.post.me,
            turns,
            workers: self.shop.spawned.len() as u64,
            letters: self.post.sent,
            working: self.peers.traffic().since(traffic),
            ..NodeWork::default()
        };
        let report = WorkloadReport {
            threads: 1,
            mutate_begun: Some(begun),
            mutate_time: took,
            requests: turns,
            request_unit: "turn",
            nodes: vec![node],
            ..WorkloadReport::default()
        };
        Ok(report.with_efforts([self.shop.effort]))
    }

    fn turns(&mut self, begun: Instant) -> Result<u64, Halt> {
        let mut ticker = Ticker::new(self.driver, Phase::Mutate, self.spec.turns);
        let over = |done: u64| {
            self.spec.turns.is_some_and(|turns| done >= turns)
                || self.spec.duration.is_some_and(|duration| begun.elapsed() >= duration)
        };
        let mut done = 0;
        while !over(done) {
            if ticker.tick(done) {
                return Err(Halt::Stopped);
            }
            if self.wait_for_ping(begun, done)? {
                let (shop, manager) = (&mut self.shop, &mut self.manager);
                self.mutator.scope(|scope| {
                    manager.act(scope, shop)?;
                    shop.let_go();
                    Ok::<_, WorkloadError>(())
                })?;
                self.post_all()?;
                done += 1;
            }
            while self.post.pump(Duration::ZERO)? {}
            self.deliver()?;
            self.look();
        }
        Ok(done)
    }

    /// Takes in what comes until the next ping is due, or for a short while; says whether it is.
    fn wait_for_ping(&mut self, begun: Instant, done: u64) -> Result<bool, Halt> {
        if self.spec.rate == 0 {
            return Ok(true);
        }
        let due = begun + Duration::from_secs_f64(done as f64 / self.spec.rate as f64);
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            self.post.pump(left.min(NAP_MAX))?;
        }
        Ok(Instant::now() >= due)
    }

    /// Deals with everything that is here until nothing is.
    pub(super) fn deliver(&mut self) -> Result<(), Halt> {
        while let Some(letter) = self.post.inbox.pop_front() {
            if self.driver.stop_requested() {
                return Err(Halt::Stopped);
            }
            self.open(&letter)?;
            self.post_all()?;
            letter.references.iter().for_each(|pin| self.shop.leaves(pin.handle()));
            self.shop.let_go();
        }
        Ok(())
    }

    /// Sends what was written.
    pub(super) fn post_all(&mut self) -> Result<(), Halt> {
        std::mem::take(&mut self.shop.out).into_iter().try_for_each(|letter| self.post.send(letter))
    }

    /// Deals with what comes until all nodes have come so far.
    pub(super) fn until_all(&mut self, stage: Stage) -> Result<(), Halt> {
        loop {
            // Looked at first: what a node sent before it said so is in the inbox by then.
            let all = self.post.all_reached(stage);
            self.deliver()?;
            if all {
                return Ok(());
            }
            self.post.go_on()?;
            self.post.pump(self.patience())?;
            self.look();
        }
    }

    /// How long to wait for a message.
    pub(super) fn patience(&self) -> Duration {
        if self.shop.lives.is_some() { LOOK_EVERY } else { RECEIVE_PATIENCE }
    }

    /// Looks what has been reclaimed, if lives are written down.
    pub(super) fn look(&mut self) {
        if let Some(lives) = &mut self.shop.lives {
            lives.look(self.heap);
        }
    }

    fn open(&mut self, letter: &Letter) -> Result<(), WorkloadError> {
        let (shop, manager) = (&mut self.shop, &mut self.manager);
        if letter.word == Word::Check {
            return self.look_after(letter);
        }
        self.mutator.scope(|scope| {
            let pins = letter.references.iter();
            let workers = pins.map(|pin| shop.verified(scope, pin)).collect::<Result<Vec<_>, _>>()?;
            match (&letter.word, &workers[..]) {
                (Word::Publish, workers) => manager.meet(scope, shop, workers)?,
                (_, [worker, ..]) if scope.is_stub(*worker) => return Err(astray(shop.me)),
                (Word::Work(work), [worker]) => shop.turn(scope, *worker, work)?,
                (Word::Acquaint, [worker, others @ ..]) => {
                    others.iter().try_for_each(|&other| shop.acquaint(scope, *worker, other))?;
                }
                _ => return Err(astray(shop.me)),
            }
            shop.let_go();
            Ok(())
        })
    }
}

/// A letter for nobody here.
fn astray(me: u32) -> WorkloadError {
    WorkloadError::Peer { node: me, what: "was sent something for a worker of another node".into() }
}
