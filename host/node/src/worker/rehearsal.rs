//! Rehearsals: the first cycle of a candidate, whose verdict is proved and not carried out.
//!
//! Alone, a candidate frees nothing. So before a mutator has to wait for room it makes way for a cycle of the serving strategy. The next time it works beside
//! that strategy in a cycle that frees, as a shadow does: its verdict is proved in the same way, and no load is too heavy for a swap.

use std::sync::atomic::Ordering;
use std::time::Instant;

use gc_heap::{Cause, CycleEnd, CycleReport};

use super::{UNSOUND_BESIDE, Worker, request, run_cycle};
use crate::record::reason;
use crate::swap::Id;

/// What became of a rehearsal.
pub(super) enum Rehearsed {
    /// The candidate may serve.
    Passed,
    /// It may not, for this reason.
    Failed(String),
    /// It made way. Rehearse again.
    MadeWay,
    /// The node stops.
    Stopping,
}

impl Worker {
    /// Rehearses a candidate: beside, if it has made way before.
    pub(super) fn rehearsal(&mut self, id: Id, beside: bool) -> Rehearsed {
        let ended = if beside { self.rehearse_beside(id) } else { self.rehearse_alone(id) };
        // Whoever serves next has not seen what the other has seen.
        self.collector.forget();
        self.last_cycle = Instant::now();
        match ended {
            Rehearsed::Passed => self.over_memory(id).map_or(Rehearsed::Passed, Rehearsed::Failed),
            Rehearsed::MadeWay if self.abandon.load(Ordering::Relaxed) => Rehearsed::Stopping,
            Rehearsed::MadeWay if !beside => {
                self.cycle(Cause::Full, true);
                Rehearsed::MadeWay
            }
            ended => ended,
        }
    }

    fn rehearse_alone(&mut self, id: Id) -> Rehearsed {
        let Some(mut attached) = self.crew.take_out(id) else { return Rehearsed::Stopping };
        self.collector.forget();
        let request = request(&self.config, &self.pacer, Cause::Rehearsal, false);
        let latest = self.pacer.limit_trigger();
        let yields = || {
            let full = self.heap.signal().is_full() || self.heap.used().reaches(latest);
            full || self.abandon.load(Ordering::Relaxed)
        };
        let pacer = (!self.config.deterministic).then_some(&self.pacer);
        let strategy = attached.strategy();
        let report = run_cycle(&mut self.collector, &self.heap, pacer, &yields, &request, strategy, None);
        self.pass_on(&mut attached);
        self.crew.put_back(id, attached);
        if report.end == CycleEnd::Abandoned {
            return Rehearsed::MadeWay;
        }
        self.publish(&report, id);
        reason(&report.end).map_or(Rehearsed::Passed, Rehearsed::Failed)
    }

    fn rehearse_beside(&mut self, id: Id) -> Rehearsed {
        self.collector.forget_shadow();
        let served = self.cycle_beside(Cause::Full, true, Some(id));
        self.collector.forget_shadow();
        let Some((report, record, _)) = served else { return Rehearsed::Stopping };
        self.judge_serving(&report, &record);
        as_shadow(&report)
    }
}

/// What a cycle says of the candidate that worked beside.
fn as_shadow(report: &CycleReport) -> Rehearsed {
    match &report.shadow {
        Some(shadow) => match &shadow.fault {
            Some(fault) => Rehearsed::Failed(fault.to_string()),
            // The serving strategy has failed before the two verdicts were compared.
            None if reason(&report.end).is_some() => Rehearsed::MadeWay,
            None if shadow.sound => Rehearsed::Passed,
            None => Rehearsed::Failed(UNSOUND_BESIDE.into()),
        },
        // It was not there.
        None => Rehearsed::Stopping,
    }
}
