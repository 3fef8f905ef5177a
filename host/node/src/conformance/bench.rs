//! What a check works with: the strategy to be attached, a heap to attach it to, and cycles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Heap, HeapConfig, Needs, Others, Pace, Quarantine,
    Slice,
};
use gc_plugin::{Access, Completeness, Loader, LoaderConfig};

use crate::conformance::Plan;
use crate::error::NodeError;
use crate::limits::PROMISE_CYCLES_MAX;
use crate::record::StrategyRecord;
use crate::source::{Attached, Recipe, StrategySource};

/// A step that takes longer is slow: it should take a millisecond.
const SLICE_MAX: Duration = Duration::from_millis(250);

/// Slow steps that are blamed on the machine, which may be busy with something else.
const SLOW_SLICES_MAX: u32 = 3;

/// A strategy and how much of it is checked.
pub(crate) struct Bench {
    pub(crate) strategy: StrategyRecord,
    pub(crate) recipe: Recipe,
    pub(crate) seed: u64,
    pub(crate) quick: bool,
}

impl Bench {
    pub(crate) fn new(
        source: &StrategySource,
        settings: &BTreeMap<String, String>,
        plan: &Plan,
    ) -> Result<Bench, NodeError> {
        let loader = Loader::new(LoaderConfig::default())?;
        let recipe = Recipe::load(source, settings, &loader)?;
        let heap = Heap::new(HeapConfig::with_limit(1 << 20))?;
        let mut attached = recipe.attach(heap.graph(), Access::Auto)?;
        let strategy = StrategyRecord::from(attached.strategy().identity());
        Ok(Bench { strategy, recipe, seed: plan.seed, quick: plan.quick })
    }

    /// What it promises, within no more cycles than anybody waits for. A native strategy has no place to say so: it promises nothing.
    pub(crate) fn promise(&self) -> Completeness {
        let Recipe::Wasm { loaded, .. } = &self.recipe else { return Completeness::Nothing };
        match loaded.description().completeness {
            Completeness::Nothing => Completeness::Nothing,
            Completeness::Retired(cycles) => Completeness::Retired(cycles.min(PROMISE_CYCLES_MAX)),
            Completeness::Acyclic(cycles) => Completeness::Acyclic(cycles.min(PROMISE_CYCLES_MAX)),
            Completeness::All(cycles) => Completeness::All(cycles.min(PROMISE_CYCLES_MAX)),
        }
    }

    /// Both ways of reading the graph, as far as the strategy has them.
    pub(crate) fn accesses(&self) -> Vec<(&'static str, Access)> {
        match &self.recipe {
            Recipe::Wasm { loaded, .. } if loaded.windowed() => {
                vec![("window", Access::Window), ("portable", Access::Portable)]
            }
            Recipe::Wasm { .. } => vec![("portable", Access::Portable)],
            Recipe::Native(_) => vec![("native", Access::Auto)],
        }
    }

    pub(crate) fn rig(&self, limit_bytes: u64, access: Access) -> Result<Rig, String> {
        let heap = heap(limit_bytes)?;
        let attached = self.recipe.attach(heap.graph(), access).map_err(|error| error.to_string())?;
        Ok(Rig::new(heap, attached))
    }
}

pub(crate) fn heap(limit_bytes: u64) -> Result<Heap, String> {
    let config = HeapConfig {
        quarantine: Quarantine::Off,
        // No check counts on room being made while it waits: the heaps are large enough, or meant to be full.
        full_wait: Duration::from_millis(20),
        ..HeapConfig::with_limit(limit_bytes)
    };
    Heap::new(config).map_err(|error| error.to_string())
}

/// A heap with the strategy attached to it.
pub(crate) struct Rig {
    pub(crate) heap: Heap,
    collector: Collector,
    pub(crate) attached: Attached,
    pub(crate) longest_slice: Duration,
    slow_slices: u32,
}

impl Rig {
    pub(crate) fn new(heap: Heap, attached: Attached) -> Rig {
        Rig {
            collector: Collector::new(&heap),
            heap,
            attached,
            longest_slice: Duration::ZERO,
            slow_slices: 0,
        }
    }

    /// A cycle. Anything but a verdict that passes the proof is a failure.
    pub(crate) fn cycle(&mut self, cause: Cause) -> Result<CycleReport, String> {
        let report = self.run(&CycleRequest::new(cause), &mut |_| Pace::Go);
        self.sound(report)
    }

    /// A cycle over nodes, of which the others are played.
    pub(crate) fn over_nodes(&mut self, others: &mut dyn Others) -> Result<CycleReport, String> {
        let (longest, slow) = (&mut self.longest_slice, &mut self.slow_slices);
        let mut watched = |slice: Slice| {
            *longest = slice.busy.max(*longest);
            *slow += u32::from(slice.busy > SLICE_MAX);
            Pace::Go
        };
        let request = CycleRequest::new(Cause::Cluster);
        let report = self.collector.run_over_nodes(&request, self.attached.strategy(), others, &mut watched);
        self.sound(report)
    }

    pub(crate) fn needs(&mut self) -> Needs {
        self.attached.strategy().needs()
    }

    /// The report of a cycle that ended well.
    fn sound(&self, report: CycleReport) -> Result<CycleReport, String> {
        match &report.end {
            CycleEnd::Settled | CycleEnd::DryRun | CycleEnd::Deferred => {}
            CycleEnd::Abandoned => return Err("the cycle was abandoned".into()),
            CycleEnd::Faulted(fault) => return Err(format!("cycle {}: it {fault}", report.number)),
            CycleEnd::Refused(violation) => return Err(format!("cycle {}: {violation}", report.number)),
        }
        if self.slow_slices > SLOW_SLICES_MAX {
            return Err(format!(
                "cycle {}: {} steps took longer than {SLICE_MAX:?}, the longest {:?}, and a step should take a millisecond: respect the budget",
                report.number, self.slow_slices, self.longest_slice
            ));
        }
        Ok(report)
    }

    pub(crate) fn cycles(&mut self, count: u32) -> Result<(), String> {
        (0..count).try_for_each(|_| self.cycle(Cause::Request).map(drop))
    }

    /// A cycle that is given up after `slices` slices. Says whether there were so many.
    pub(crate) fn abandoned(&mut self, slices: u32) -> bool {
        let mut left = slices;
        let report = self.run(&CycleRequest::new(Cause::Request), &mut |_| {
            left = left.saturating_sub(1);
            if left == 0 { Pace::Abandon } else { Pace::Go }
        });
        report.end == CycleEnd::Abandoned
    }

    fn run(&mut self, request: &CycleRequest, pace: &mut dyn FnMut(Slice) -> Pace) -> CycleReport {
        let (longest, slow) = (&mut self.longest_slice, &mut self.slow_slices);
        let mut watched = |slice: Slice| {
            *longest = slice.busy.max(*longest);
            *slow += u32::from(slice.busy > SLICE_MAX);
            pace(slice)
        };
        self.collector.run(request, self.attached.strategy(), None, &mut watched)
    }

    pub(crate) fn live_objects(&self) -> u64 {
        self.heap.stats().live_objects
    }
}

/// Cycles until `stop` says so, for a heap that others work on. Answers how many there were.
pub(crate) fn keep_collecting(
    rig: &mut Rig,
    stop: &Arc<std::sync::atomic::AtomicBool>,
) -> Result<u32, String> {
    let mut count = 0;
    let began = Instant::now();
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        rig.cycle(Cause::Request)?;
        count += 1;
        if began.elapsed() > Duration::from_secs(60) {
            return Err("the mutators did not come to an end within a minute".into());
        }
    }
    Ok(count)
}
