//! The heap over time, and the events of the node, while a workload runs. Over several nodes: all heaps together, and the events of the first.

use std::time::{Duration, Instant};

use gc_heap::Heap;
use gc_lab::bench::model::HeapSample;
use gc_node::{CycleRecord, Event, JournalRecord, Node, Subscription};

use crate::bench::child::nodes::Nodes;

/// Time between two samples of the heap.
const EVERY: Duration = Duration::from_millis(5);

/// Samples between two looks at the memory that was taken from the system: the kernel is asked for each page.
const COMMITTED_EVERY: usize = 50;

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) used_bytes: u64,
    pub(crate) committed_bytes: u64,
}

/// See the module.
pub(crate) struct Sampler {
    events: Subscription,
    /// When the node's own clock began.
    epoch: Instant,
    pub(crate) samples: Vec<Sample>,
    pub(crate) cycles: Vec<(Instant, CycleRecord)>,
    pub(crate) swaps: Vec<(Instant, JournalRecord)>,
    /// The first failure of a strategy.
    pub(crate) failure: Option<String>,
}

impl Sampler {
    pub(crate) fn new(node: &Node) -> Sampler {
        let uptime = Duration::from_secs_f64(node.status(0).uptime_s.max(0.0));
        Sampler {
            events: node.subscribe(),
            epoch: Instant::now().checked_sub(uptime).unwrap_or_else(Instant::now),
            samples: Vec::new(),
            cycles: Vec::new(),
            swaps: Vec::new(),
            failure: None,
        }
    }

    /// Samples once, then takes in events until the next sample is due.
    pub(crate) fn turn(&mut self, nodes: &Nodes) {
        let sum = |of: fn(&Heap) -> u64| nodes.all().map(|node| of(node.heap())).sum::<u64>();
        let at = Instant::now();
        let committed_bytes = match self.samples.last() {
            Some(last) if !self.samples.len().is_multiple_of(COMMITTED_EVERY) => last.committed_bytes,
            _ => sum(|heap| heap.stats().committed_bytes),
        };
        self.samples.push(Sample { at, used_bytes: sum(|heap| heap.used().bytes), committed_bytes });
        let until = at + EVERY;
        while let Ok(event) = self.events.next_within(until.saturating_duration_since(Instant::now())) {
            self.take(event);
        }
    }

    /// Takes in what is left when everything is over.
    pub(crate) fn end(&mut self) {
        while let Ok(event) = self.events.try_next() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        let at = |seconds: f64| self.epoch + Duration::from_secs_f64(seconds.max(0.0));
        match event {
            Event::Cycle(cycle) => {
                if let Some(reason) = &cycle.reason {
                    let failed = || format!("{} in cycle {}: {reason}", cycle.strategy, cycle.cycle);
                    self.failure.get_or_insert_with(failed);
                }
                self.cycles.push((at(cycle.at_s), *cycle));
            }
            Event::Swap(step) => {
                if matches!(step.step.as_str(), "faulted" | "probation-failed" | "held") {
                    let reason = step.reason.clone().unwrap_or_else(|| step.step.clone());
                    self.failure.get_or_insert_with(|| format!("{}: {reason}", step.strategy));
                }
                self.swaps.push((at(step.at_s), step));
            }
            Event::Message(_) | Event::Missed { .. } => {}
        }
    }

    /// The samples from `begin` to `end`, with times from `begin`, at most `count` of them.
    pub(crate) fn heap(&self, begin: Instant, end: Instant, count: usize) -> Vec<HeapSample> {
        let within: Vec<&Sample> = self.within(begin, end).collect();
        let step = within.len().div_ceil(count.max(1)).max(1);
        let sample = |sample: &&Sample| HeapSample {
            at_ns: (sample.at - begin).as_nanos() as u64,
            used_bytes: sample.used_bytes,
            committed_bytes: sample.committed_bytes,
            garbage_bytes: None,
        };
        within.iter().step_by(step).map(sample).collect()
    }

    pub(crate) fn within(&self, begin: Instant, end: Instant) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| (begin..=end).contains(&sample.at))
    }

    /// The integral of the bytes in use over time, and the mean; each sample stands until the next one.
    pub(crate) fn byte_seconds(&self, begin: Instant, end: Instant) -> (f64, f64) {
        let samples: Vec<&Sample> = self.within(begin, end).collect();
        let mut sum = 0.0;
        for (at, sample) in samples.iter().enumerate() {
            let from = if at == 0 { begin } else { sample.at };
            let to = samples.get(at + 1).map_or(end, |next| next.at);
            sum += sample.used_bytes as f64 * to.saturating_duration_since(from).as_secs_f64();
        }
        let seconds = end.saturating_duration_since(begin).as_secs_f64();
        (sum, if seconds > 0.0 { sum / seconds } else { 0.0 })
    }
}
