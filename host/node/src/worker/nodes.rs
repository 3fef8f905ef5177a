//! The collector's part in a cluster: cycles over all nodes, and strategies that all nodes take together.
//!
//! A cycle over nodes is a cycle like any other for the strategy, the pacer and the books; it is begun by the driver's word, and its verdict falls
//! when all nodes have proved theirs. A strategy for all nodes is loaded and rehearsed here, kept cold until the others are ready too, and then
//! goes the way of every swap: rehearsal, exchange, probation, rollback.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use gc_heap::{Cause, CycleEnd};
use gc_protocol::CycleId;
use gc_protocol::wire::ModuleDigest;

use crate::ask::Ask;
use crate::cluster::{Seat, digest_of, hex, unpack};
use crate::crew::Ready;
use crate::error::NodeError;
use crate::source::StrategySource;
use crate::swap::{Event, Id, Phase, Plan};

use super::rehearsal::Rehearsed;
use super::{Pace, Worker, request};

/// What all nodes do together, as far as this one's collector is concerned.
#[derive(Default)]
pub(super) struct Together {
    /// Cycles that have begun and in which this node has not taken part yet.
    cycles: VecDeque<CycleId>,
    candidate: Option<Candidate>,
    rehearsal_made_way: bool,
}

/// A strategy for all nodes.
struct Candidate {
    digest: ModuleDigest,
    id: Id,
    state: State,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum State {
    /// Being loaded on a thread of its own.
    Loading,
    /// Its rehearsal is due.
    Loaded,
    /// It passed, and waits for the others.
    Ready,
    /// All are ready: it is to be taken as soon as nothing else is being tried here.
    Wanted,
}

impl Worker {
    /// The node is in a cluster.
    pub(crate) fn join(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

    pub(super) fn take_for_nodes(&mut self, ask: Ask) {
        match ask {
            Ask::OverNodes { cycle } => self.together.cycles.push_back(cycle),
            Ask::Prepare { digest, bytes } => self.prepare(digest, &bytes),
            Ask::Prepared { id, made } => self.take_in_prepared(id, made),
            Ask::Install { digest } => self.install(digest),
            Ask::Discard { digest } => self.discard(digest),
            Ask::Collect { .. }
            | Ask::Swap { .. }
            | Ask::ReleaseQuarantine { .. }
            | Ask::Restore { .. }
            | Ask::Loaded { .. }
            | Ask::Stop => {}
        }
    }

    pub(super) fn has_work_for_nodes(&self) -> bool {
        let due = |candidate: &Candidate| match candidate.state {
            State::Loaded => true,
            State::Wanted => self.swap.phase() == Phase::Quiet,
            State::Loading | State::Ready => false,
        };
        !self.together.cycles.is_empty() || self.together.candidate.as_ref().is_some_and(due)
    }

    pub(super) fn work_for_nodes(&mut self) {
        if let Some(cycle) = self.together.cycles.pop_front() {
            self.over_nodes(cycle);
        } else if let Some(Candidate { digest, id, state }) = self.together.candidate {
            match state {
                State::Loaded => self.rehearse_prepared(digest, id),
                State::Wanted => {
                    self.together.candidate = None;
                    self.step(Event::Requested { id, plan: Plan::Serve });
                }
                State::Loading | State::Ready => {}
            }
        }
    }

    fn over_nodes(&mut self, cycle: CycleId) {
        let Some(seat) = self.seat.clone() else { return };
        // It has ended while this collector was busy with something else, and the others went on without.
        let Some(mut place) = seat.desk.sit(cycle, &self.heap) else { return seat.over(cycle, None) };
        let serving = self.swap.serving();
        let mut attached = self.crew.take_out(serving);
        let (begun, begun_at) = (self.heap.used(), Instant::now());
        let request = request(&self.config, &self.pacer, Cause::Cluster, true);
        let report = {
            let strategy = match attached.as_mut() {
                Some(attached) => attached.strategy(),
                None => self.crew.hold(),
            };
            // The others wait for this one: it does not rest.
            let mut pace =
                |_| if self.abandon.load(super::Ordering::Relaxed) { Pace::Abandon } else { Pace::Go };
            self.collector.run_over_nodes(&request, strategy, &mut place, &mut pace)
        };
        drop(place);
        if let Some(mut attached) = attached {
            self.pass_on(&mut attached);
            self.crew.put_back(serving, attached);
        }
        if report.end == CycleEnd::Abandoned {
            // The strategy of the next cycle has not seen the end of this one.
            self.collector.forget();
            return seat.over(cycle, None);
        }
        self.learn(&report, begun, begun_at);
        let record = self.publish(&report, serving);
        self.judge_serving(&report, &record);
        seat.over(cycle, Some(Box::new(record)));
    }

    fn prepare(&mut self, digest: ModuleDigest, bytes: &Arc<Vec<u8>>) {
        let Some(seat) = self.seat.clone() else { return };
        let came = digest_of(bytes);
        if came != digest {
            return self.unprepared(digest, &format!("what came has the digest #{}", hex(&came)));
        }
        let (component, options) = match unpack(bytes) {
            Ok(found) => found,
            Err(damaged) => return self.unprepared(digest, &damaged.to_string()),
        };
        if self.crew.is(self.swap.serving(), &hex(&digest_of(component)), &options) {
            return seat.prepared(digest, None);
        }
        if let Some(before) = self.together.candidate.take() {
            self.crew.forget(before.id);
        }
        let origin = format!("the cluster's #{}", &hex(&digest)[..8]);
        let source = StrategySource::Bytes { origin, bytes: component.to_vec() };
        let id = self.crew.give(source, options);
        let Some(order) = self.crew.order(id) else { return };
        self.together.candidate = Some(Candidate { digest, id, state: State::Loading });
        let (workshop, sender) = (self.workshop.clone(), self.sender.clone());
        let load = move || {
            let made = workshop.make(&order).map(Box::new);
            // Nobody waits for it when the node has stopped.
            let _ = sender.send(Ask::Prepared { id, made });
            workshop.heap.signal().ring();
        };
        match std::thread::Builder::new().name("gc-load".into()).spawn(load) {
            Ok(thread) => self.loading.push(thread),
            Err(error) => self.unprepared(digest, &NodeError::Thread(error).to_string()),
        }
    }

    fn take_in_prepared(&mut self, id: Id, made: Result<Box<Ready>, NodeError>) {
        self.loading.retain(|thread| !thread.is_finished());
        let Some(candidate) = self.together.candidate.as_mut().filter(|candidate| candidate.id == id) else {
            return self.crew.forget(id);
        };
        let digest = candidate.digest;
        match made {
            Ok(ready) => {
                candidate.state = State::Loaded;
                self.together.rehearsal_made_way = false;
                self.crew.arrive(id, *ready);
            }
            Err(error) => self.unprepared(digest, &error.to_string()),
        }
    }

    fn rehearse_prepared(&mut self, digest: ModuleDigest, id: Id) {
        match self.rehearsal(id, self.together.rehearsal_made_way) {
            Rehearsed::Stopping => {}
            Rehearsed::MadeWay => self.together.rehearsal_made_way = true,
            Rehearsed::Failed(why) => self.unprepared(digest, &why),
            Rehearsed::Passed => {
                // Its code is kept, its instance is made anew when all are ready.
                self.crew.cool(id);
                if let Some(candidate) = &mut self.together.candidate {
                    candidate.state = State::Ready;
                }
                if let Some(seat) = &self.seat {
                    seat.prepared(digest, None);
                }
            }
        }
    }

    fn unprepared(&mut self, digest: ModuleDigest, why: &str) {
        self.board.say(
            "warn",
            format!(
                "the strategy #{} for all nodes cannot be taken here: {why}: all nodes keep theirs",
                &hex(&digest)[..8]
            ),
        );
        self.discard(digest);
        if let Some(seat) = &self.seat {
            seat.prepared(digest, Some(why.into()));
        }
    }

    fn install(&mut self, digest: ModuleDigest) {
        if let Some(candidate) = self.together.candidate.as_mut().filter(|ready| ready.digest == digest) {
            candidate.state = State::Wanted;
        }
    }

    fn discard(&mut self, digest: ModuleDigest) {
        if let Some(candidate) = self.together.candidate.take_if(|candidate| candidate.digest == digest) {
            self.crew.forget(candidate.id);
        }
    }
}
