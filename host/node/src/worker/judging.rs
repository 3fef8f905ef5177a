//! Judging whoever serves and whoever works beside: after each cycle, from its report to an event for the swap machine.
//!
//! Nothing is decided here. What a failure, a broken budget or a sound cycle leads to says [`crate::swap`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gc_heap::{CycleEnd, CycleReport};

use super::{Glance, UNSOUND_BESIDE, Worker};
use crate::canary::{Ruling, Seen};
use crate::record::{CycleRecord, ShadowRecord, reason};
use crate::shadow::{Look, Proposal};
use crate::swap::{Event, Id, Phase, Tenure};

impl Worker {
    pub(super) fn judge_serving(&mut self, report: &CycleReport, record: &CycleRecord) {
        let id = self.swap.serving();
        if let Some(reason) = reason(&report.end) {
            self.step(Event::CycleFailed { reason });
            return;
        }
        if let Some(reason) = self.over_pause(record.pause_ns_max).or_else(|| self.over_memory(id)) {
            self.step(Event::BudgetBroken { reason });
            return;
        }
        let canary = matches!(self.swap.tenure(), Tenure::Probation { canary: true, .. });
        let seen = canary.then(|| self.seen(report, id));
        let watch = self.asked.get_mut(&id).and_then(|asked| asked.watch.as_mut());
        let ruling = watch.zip(seen).map(|(watch, seen)| watch.served(seen));
        self.step(match ruling {
            Some(Ruling::Broken(reason)) => Event::BudgetBroken { reason },
            Some(Ruling::Kept(reason)) => Event::BudgetKept { reason },
            None => Event::CyclePassed,
        });
    }

    /// What a budget is about, of the serving strategy since this was asked last.
    fn seen(&mut self, report: &CycleReport, id: Id) -> Seen {
        let before = std::mem::replace(&mut self.glance, Glance::now());
        let beside_ns = report.shadow.as_ref().map_or(0, |shadow| shadow.mark_ns);
        Seen {
            holdups_ns: self.take_holdups(),
            wall_ns: (self.glance.at - before.at).as_nanos() as u64,
            cpu_ns: self.glance.cpu_ns.saturating_sub(before.cpu_ns).saturating_sub(beside_ns),
            mark_ns: report.mark_ns,
            memory_bytes: self.crew.footprint(id).memory_bytes,
            used_bytes: Some(self.heap.used().bytes),
        }
    }

    /// From here on hold-ups and time are somebody else's.
    pub(super) fn glance(&mut self) {
        self.heap.list_holdups();
        drop(self.take_holdups());
        self.glance = Glance::now();
    }

    /// How long each operation was held up, since this was asked last. One that was held up already when the serving strategy took over is left out.
    fn take_holdups(&mut self) -> Vec<u64> {
        self.take_in_holdups();
        std::mem::take(&mut self.holdups_ns)
    }

    /// Takes in what the heap has listed. Says the longest of it.
    fn take_in_holdups(&mut self) -> u64 {
        let listed = self.heap.take_holdup_list().into_iter();
        let known = self.holdups_ns.len();
        let its_own = listed.filter(|held_up| held_up.begun >= self.exchanged);
        self.holdups_ns.extend(its_own.map(|held_up| held_up.wall_ns));
        self.holdups_ns[known..].iter().copied().max().unwrap_or(0)
    }

    /// On probation a strategy answers for each hold-up since it took over, however long others had to wait before. Of a sound one, which goes on, those
    /// are told that are longer than any before.
    fn over_pause(&mut self, pause_ns_max: u64) -> Option<String> {
        let budget = self.config.pause_budget?;
        let listed_ns = self.take_in_holdups();
        if self.asked.values().all(|asked| asked.watch.is_none()) {
            // No canary looks at them.
            self.holdups_ns.clear();
        }
        let longer = pause_ns_max > std::mem::replace(&mut self.pause_ns_max, pause_ns_max);
        let pause = Duration::from_nanos(match self.swap.tenure() {
            Tenure::Probation { .. } => listed_ns,
            Tenure::Sound | Tenure::Held if longer => pause_ns_max,
            Tenure::Sound | Tenure::Held => 0,
        });
        (pause > budget).then(|| format!("a mutator was held up for {pause:?}, and {budget:?} is allowed"))
    }

    pub(super) fn over_memory(&self, id: Id) -> Option<String> {
        let budget = self.config.memory_budget?;
        let bytes = self.crew.footprint(id).memory_bytes;
        (bytes > budget).then(|| format!("it takes {bytes} bytes of memory, and {budget} are allowed"))
    }

    pub(super) fn judge_shadow(&mut self, id: Id, report: &CycleReport, shadow: &ShadowRecord) {
        let failed = match (&shadow.reason, shadow.sound) {
            (Some(fault), _) => Some(fault.clone()),
            (None, false) => Some(UNSOUND_BESIDE.into()),
            (None, true) => None,
        };
        if let Some(reason) = failed {
            let fault = report.shadow.as_ref().and_then(|shadow| shadow.fault.as_ref());
            self.board.with_metrics(|metrics| metrics.candidate_fault(&shadow.strategy, fault));
            self.step(Event::ShadowFailed { id, reason });
        } else if reason(&report.end).is_none() {
            let ruling = self.judge_beside(id, report, shadow);
            self.step(match ruling {
                Some(Ruling::Broken(reason)) => Event::ShadowFailed { id, reason },
                Some(Ruling::Kept(_)) | None => Event::ShadowPassed { id },
            });
        }
    }

    /// Adds a cycle to a shadow run. Says what the budget of a canary has against going on.
    fn judge_beside(&mut self, id: Id, report: &CycleReport, shadow: &ShadowRecord) -> Option<Ruling> {
        let last = matches!(self.swap.phase(), Phase::Shadowing { cycles_left: 0..=1, .. });
        let candidate = Seen {
            mark_ns: shadow.mark_ns,
            memory_bytes: self.crew.footprint(id).memory_bytes,
            ..Seen::default()
        };
        let watched = self.asked.get(&id).is_some_and(|asked| asked.watch.is_some());
        let present = watched.then(|| self.seen(report, self.swap.serving()));
        let asked = self.asked.get_mut(&id)?;
        asked.shadow.add(shadow, report.mark_ns);
        let missed = asked.comparison.missed();
        Some(asked.watch.as_mut()?.beside(present?, candidate, missed, last))
    }

    /// Takes down cell by cell what both proposed.
    pub(super) fn compare(
        &mut self,
        id: Id,
        report: &CycleReport,
        begun: Instant,
        serving: Proposal,
        shadow: Proposal,
    ) {
        let costs = (self.crew.footprint(self.swap.serving()), self.crew.footprint(id));
        let (used, graph) = (self.heap.used(), Arc::clone(self.heap.graph()));
        let Some(asked) = self.asked.get_mut(&id) else { return };
        if reason(&report.end).is_some() {
            return;
        }
        let bytes_per_cell = used.bytes as f64 / used.cells.max(1) as f64;
        asked.comparison.look(&Look { begun, serving, shadow, bytes_per_cell });
        asked.comparison.spend(costs.0, costs.1);
        if report.end == CycleEnd::Settled {
            // What was freed at once may be somebody's again.
            let gone = |cell: u32| {
                let (word, bit) = (cell as usize / 64, cell % 64);
                let young = graph.young()[word].load(Ordering::Acquire);
                (young | !graph.allocated()[word].load(Ordering::Acquire)) >> bit & 1 == 1
            };
            asked.comparison.carried_out(gone);
        }
    }
}
