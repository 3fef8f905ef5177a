//! The end: everybody who is known is looked at, then forgotten, and the nodes collect until nothing changes any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gc_heap::{Handle, Local, Pin};
use rustc_hash::FxHashSet;

use crate::driver::{Phase, Progress};
use crate::error::WorkloadError;
use crate::limits::{QUIET_ROUNDS, ROUND_PATIENCE, ROUND_REST, ROUNDS_MAX, SEND_AGAIN, SPREAD_REFERENCES};
use crate::report::WorkloadReport;

use super::book::BOOK;
use super::post::{Halt, Letter};
use super::site::Site;
use super::word::{Stage, Stand, Word};

/// What this node has to say of its own end.
#[derive(Default)]
struct Outcome {
    condemned: u64,
    /// From when all had forgotten everybody to when none of its workers was left.
    lag: Option<Duration>,
}

impl Site<'_> {
    /// Looks, forgets, collects, and puts down what came of it.
    pub(super) fn end(&mut self, report: &mut WorkloadReport) -> Result<(), Halt> {
        let known = self.look_at_all()?;
        let (shop, manager) = (&mut self.shop, &self.manager);
        self.mutator.scope(|scope| {
            for worker in manager.known(scope, shop)? {
                shop.leaves(scope.handle(worker));
            }
            shop.let_go();
            scope.set_root(BOOK, None);
            Ok::<_, WorkloadError>(())
        })?;
        self.post.reach(Stage::Forgot)?;
        self.until_all(Stage::Forgot)?;
        let (traffic, begun) = (self.peers.traffic(), Instant::now());
        self.driver.progress(Progress { phase: Phase::Collect, done: 0, total: None });
        let mut outcome = Outcome::default();
        match self.post.leads() {
            true => self.lead(begun, &mut outcome)?,
            false => self.follow(begun, &mut outcome)?,
        }
        report.settle_time = begun.elapsed();
        // Nobody knows anybody any more.
        report.expected_live = Some(0);
        let left_workers = self.left();
        self.look();
        for node in &mut report.nodes {
            node.verified = self.shop.verified;
            node.known = known;
            node.settling = self.peers.traffic().since(traffic);
            node.lag = outcome.lag;
            node.left_workers = left_workers;
            node.lives = self.shop.lives.take().map(Box::new);
        }
        Ok(())
    }

    /// Looks at every worker that this node can reach, and has others look at theirs. Answers how many of its own it reached.
    fn look_at_all(&mut self) -> Result<u64, Halt> {
        let (shop, manager) = (&mut self.shop, &self.manager);
        let from = self.mutator.scope(|scope| {
            let known = manager.known(scope, shop)?;
            Ok::<_, WorkloadError>(known.into_iter().map(|worker| scope.handle(worker)).collect())
        })?;
        let (known, elsewhere) = self.walk(from)?;
        for (home, mut pins) in elsewhere {
            while !pins.is_empty() {
                let references = pins.split_off(pins.len().saturating_sub(SPREAD_REFERENCES));
                self.post.send(Letter { home, references, word: Word::Check })?;
            }
        }
        self.post.reach(Stage::Asked)?;
        self.until_all(Stage::Asked)?;
        Ok(known)
    }

    /// Another node knows these: they, and whom they lead to here, must be there.
    pub(super) fn look_after(&mut self, letter: &Letter) -> Result<(), WorkloadError> {
        let from = letter.references.iter().map(Pin::handle).collect();
        self.walk(from).map(|_| ())
    }

    /// Follows all references between workers of this node from these. What they lead to elsewhere is pinned, each once, by home.
    fn walk(&mut self, from: Vec<Handle>) -> Result<(u64, BTreeMap<u32, Vec<Pin>>), WorkloadError> {
        let shop = &mut self.shop;
        let mut seen: FxHashSet<Handle> = from.iter().copied().collect();
        let mut pending: Vec<Handle> = seen.iter().copied().collect();
        let mut elsewhere: BTreeMap<u32, Vec<Pin>> = BTreeMap::new();
        let mut reached = 0;
        while let Some(handle) = pending.pop() {
            self.mutator.scope(|scope| {
                // Held by the manager, by another worker that is, or by the letter that it came with.
                let worker: Local<'_> = scope.resolve(handle)?;
                shop.verify(scope, worker)?;
                if scope.is_stub(worker) {
                    elsewhere.entry(handle.node).or_default().push(scope.pin(worker));
                    return Ok(());
                }
                reached += 1;
                shop.state(scope, worker)?;
                for contact in shop.contacts(scope, worker)? {
                    let handle = scope.handle(contact);
                    if seen.insert(handle) {
                        pending.push(handle);
                    }
                }
                Ok::<_, WorkloadError>(())
            })?;
        }
        Ok((reached, elsewhere))
    }

    /// How many of its workers are still there. Looking so keeps nobody.
    fn left(&self) -> u64 {
        let there = |worker: &&Handle| self.heap.bytes_of(**worker).is_some();
        self.shop.spawned.iter().filter(there).count() as u64
    }

    /// Rounds of cycles, over all nodes and on each, until nothing is left or nothing changes any more.
    fn lead(&mut self, begun: Instant, outcome: &mut Outcome) -> Result<(), Halt> {
        let (mut quiet, mut before) = (0, None);
        for round in 1..=ROUNDS_MAX {
            self.driver.progress(Progress { phase: Phase::Collect, done: round.into(), total: None });
            let swept = self.peers.collect()?;
            self.post.say_all(&Word::Round(round))?;
            let here = self.cycle(round, begun, outcome)?;
            self.post.wait(|post| {
                let answered = |other| post.stands.get(other).is_some_and(|stand| stand.round == round);
                post.others.iter().all(answered)
            })?;
            let stands: Vec<Stand> = self.post.stands.values().copied().chain([here]).collect();
            if stands.iter().all(|stand| stand.left + stand.ledger.stubs + stand.ledger.scions == 0) {
                break;
            }
            let still: Vec<Stand> = stands.iter().map(|stand| Stand { round: 0, ..*stand }).collect();
            let unsettled = stands.iter().any(|stand| stand.ledger.unsettled);
            // A cycle that was given up has found nothing: that nothing changed says nothing.
            quiet = if swept && !unsettled && before.as_ref() == Some(&still) { quiet + 1 } else { 0 };
            before = Some(still);
            if quiet >= QUIET_ROUNDS {
                break;
            }
            std::thread::sleep(ROUND_REST);
        }
        self.post.say_end()
    }

    fn follow(&mut self, begun: Instant, outcome: &mut Outcome) -> Result<(), Halt> {
        loop {
            while self.post.asked.is_none() && !self.post.ended {
                self.post.go_on()?;
                self.post.pump(self.patience())?;
                self.look();
            }
            if self.post.ended {
                return Ok(());
            }
            if let Some(round) = self.post.asked.take() {
                let stand = self.cycle(round, begun, outcome)?;
                self.post.stand(stand)?;
            }
        }
    }

    /// A cycle of this node, and how it stands when the others know what came of it.
    fn cycle(&mut self, round: u32, begun: Instant, outcome: &mut Outcome) -> Result<Stand, Halt> {
        outcome.condemned += self.driver.collect()?;
        self.look();
        let left = self.left();
        if left == 0 {
            outcome.lag.get_or_insert_with(|| begun.elapsed());
        }
        let until = Instant::now() + ROUND_PATIENCE;
        let mut ledger = self.peers.ledger();
        while ledger.unsettled && Instant::now() < until {
            self.post.go_on()?;
            self.post.pump(SEND_AGAIN)?;
            self.look();
            ledger = self.peers.ledger();
        }
        Ok(Stand { round, condemned: outcome.condemned, left, ledger })
    }
}
