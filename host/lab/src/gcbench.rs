//! `gcbench`: the classic artificial benchmark of collectors.
//!
//! Source: *GCBench*, by John Ellis and Pete Kovac (Post Communications), changed by Hans Boehm (Silicon
//! Graphics), 1997; Java version 1999. Its phases, with its sizes at `depth=16`:
//!
//! 1. *Stretch*: a tree of depth 18 is built bottom up and dropped, to bring the heap to size.
//! 2. *Long-lived*: a tree of depth 16, built top down, and an array of 500,000 floating-point numbers stay to
//!    the end. In between the array is one payload of 4 MB.
//! 3. *Short-lived*: for each depth 4, 6, ..., 16 as many trees as have twice the nodes of the stretch tree, first
//!    all top down, then all bottom up, each dropped before the next.
//! 4. Both long-lived things are looked at: array element 1000 must be 1/1000.
//!
//! Beyond the source, the nodes of the long-lived tree and of the first tree of each kind are counted. Nodes
//! carry the source's two integers, which nobody reads, as a payload of 8 bytes.
//!
//! What it stresses: allocation, with next to all of it dying at once, above a live part that a collector
//! without generations marks again in every cycle; top down, stores into fresh objects. No cycles, no sharing, no
//! old-to-young stores outside of construction: it says little about barriers.

use std::time::Instant;

use gc_heap::{Heap, Mutator};

use crate::cost::object_bytes;
use crate::crew::{self, Task};
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::leftover::retire_leftover;
use crate::limits::THREADS_MAX;
use crate::options::{Options, SpecError};
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
use crate::trees::{DEPTH_MAX, Halt, Trees, nodes, unless_over};

const KNOWN: &str = "depth, array, payload, rounds, threads, retire and quick";
const TREE: &str = "gcbench tree";
const ARRAY: &str = "gcbench array";
/// Element of the array that is looked at.
const LOOKED_AT: u64 = 1000;
const SHORTEST: u32 = 4;
/// How much deeper the stretch tree is.
const STRETCH: u32 = 2;

/// `gcbench[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `depth=N` | 16 | 12 | depth of the long-lived tree and of the deepest short-lived ones; the stretch tree is two deeper |
/// | `array=N` | 500k | 31250 | elements of the array, 8 bytes each |
/// | `payload=BYTES` | 8 | 8 | payload of a node |
/// | `rounds=N` | 1 | 1 | how often the short-lived trees are built |
/// | `threads=N` | 1 | 1 | threads that share the short-lived trees |
/// | `retire=BOOL` | false | false | trees are retired when they are dropped, for strategies that free only what was |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcBenchSpec {
    /// Depth of the long-lived tree.
    pub depth: u32,
    /// Elements of the array.
    pub array: u64,
    /// Bytes of payload of a node.
    pub payload: u64,
    /// How often the short-lived trees are built.
    pub rounds: u64,
    /// Mutator threads.
    pub threads: u32,
    /// Whether dropped trees are retired.
    pub retire: bool,
}

impl Default for GcBenchSpec {
    fn default() -> GcBenchSpec {
        GcBenchSpec { depth: 16, array: 500_000, payload: 8, rounds: 1, threads: 1, retire: false }
    }
}

impl GcBenchSpec {
    /// The same with a sixteenth of the work and of the live part.
    #[must_use]
    pub fn quick() -> GcBenchSpec {
        GcBenchSpec { depth: 12, array: 31_250, ..GcBenchSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<GcBenchSpec, SpecError> {
        let base = if options.quick()? { GcBenchSpec::quick() } else { GcBenchSpec::default() };
        let deepest = u64::from(DEPTH_MAX - STRETCH);
        let spec = GcBenchSpec {
            depth: options.or("depth", base.depth.into(), SHORTEST.into(), deepest, "4 to 25")? as u32,
            array: options.or(
                "array",
                base.array,
                2 * (LOOKED_AT + 1),
                16_000_000,
                "2002 to 16M elements",
            )?,
            payload: options.or("payload", base.payload, 0, 1 << 20, "0 to 1048576 bytes")?,
            rounds: options.or("rounds", base.rounds, 1, 1_000_000, "1 to 1M")?,
            threads: options.or("threads", base.threads.into(), 1, THREADS_MAX.into(), "1 to 256")? as u32,
            retire: options.flag("retire")?.unwrap_or(base.retire),
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    /// The depths of the short-lived trees, with how many of each kind there are in a round.
    fn short_lived(&self) -> impl Iterator<Item = (u32, u64)> {
        let stretch = 2 * nodes(self.depth + STRETCH);
        (SHORTEST..=self.depth).step_by(2).map(move |depth| (depth, stretch / nodes(depth)))
    }

    /// About the most bytes that are alive at once: the stretch tree, or the long-lived part with a deepest
    /// tree for each thread.
    pub(crate) fn live_bytes(&self) -> u64 {
        let node = object_bytes(2, self.payload);
        let long = nodes(self.depth) * node + object_bytes(0, self.array * 8);
        (nodes(self.depth + STRETCH) * node).max(long + u64::from(self.threads) * nodes(self.depth) * node)
    }
}

pub(crate) fn run(
    spec: &GcBenchSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    crew::or_let_go(work(spec, heap, driver), heap, [TREE, ARRAY])
}

fn work(spec: &GcBenchSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let task = |phase, total| Task { phase, total: Some(total), duration: None };
    let first = nodes(spec.depth + STRETCH) + nodes(spec.depth);
    let set_up = crew::run(heap, driver, task(Phase::Build, first), vec![()], |(), post, mutator| {
        let mut trees = Trees::new(spec.payload as usize, post);
        let kept = unless_over(set_up(spec, &mut trees, mutator))?;
        Ok((kept.is_some(), trees.effort()))
    })?;
    let set_up_time = begun.elapsed();
    let total = spec.rounds * spec.short_lived().map(|(depth, trees)| 2 * trees * nodes(depth)).sum::<u64>();
    let done = crew::run(
        heap,
        driver,
        task(Phase::Mutate, total),
        crew::each(spec.threads),
        |(), post, mutator| {
            let mut trees = Trees::new(spec.payload as usize, post);
            let mut recorder = post.recorder();
            let made = unless_over(short_lived(spec, &mut trees, mutator, &mut recorder))?;
            Ok(((made.is_some(), trees.effort()), recorder))
        },
    )?;
    let (shares, report) = done.measured("tree");
    let all = || set_up.results.iter().chain(&shares);
    let finished = all().all(|&(finished, _)| finished);
    let efforts = all().map(|&(_, effort)| effort);
    let mut report = WorkloadReport { set_up_time, stopped: !finished, ..report.with_efforts(efforts) };
    report.payload_bytes += spec.array * 8;
    report.objects += 1;
    if finished {
        report.checks = check(spec, heap, driver, report.requests)?;
        report.expected_live = Some(nodes(spec.depth) + 1);
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}

/// The stretch tree, and what lives long.
fn set_up(spec: &GcBenchSpec, trees: &mut Trees<'_>, mutator: &mut Mutator) -> Result<(), Halt> {
    [TREE, ARRAY].into_iter().try_for_each(|name| retire_leftover(mutator, name, spec.retire))?;
    trees.with_hand(mutator, |trees, scope, hand| {
        let depth = spec.depth + STRETCH;
        scope.scope(|inner| {
            let stretch = trees.bottom_up(inner, hand, depth)?;
            wrong_unless(trees.count(inner, stretch, depth)? == nodes(depth), "the stretch tree", depth)?;
            if spec.retire {
                trees.retire(inner, stretch)?;
            }
            Ok::<_, Halt>(())
        })?;
        let tree = trees.top_down(scope, spec.depth)?;
        scope.set_root(TREE, Some(tree));
        // The source fills the first half.
        let numbers = (0..spec.array).map(|at| if at < spec.array / 2 { 1.0 / at as f64 } else { 0.0 });
        let bytes: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
        scope.set_root(ARRAY, Some(scope.alloc(&[], &bytes)?));
        Ok(())
    })
}

/// This thread's share of the short-lived trees.
fn short_lived(
    spec: &GcBenchSpec,
    trees: &mut Trees<'_>,
    mutator: &mut Mutator,
    recorder: &mut Recorder,
) -> Result<(), Halt> {
    let (thread, threads) = trees.place();
    trees.with_hand(mutator, |trees, scope, hand| {
        recorder.restart();
        for (depth, count) in (0..spec.rounds).flat_map(|_| spec.short_lived()) {
            for top_down in [true, false] {
                for number in (thread..count).step_by(threads) {
                    scope.scope(|inner| {
                        let tree = match top_down {
                            true => trees.top_down(inner, depth)?,
                            false => trees.bottom_up(inner, hand, depth)?,
                        };
                        if number == 0 {
                            let counted = trees.count(inner, tree, depth)?;
                            wrong_unless(counted == nodes(depth), "a short-lived tree", depth)?;
                        }
                        if spec.retire {
                            trees.retire(inner, tree)?;
                        }
                        Ok::<_, Halt>(())
                    })?;
                    recorder.lap();
                }
            }
        }
        Ok(())
    })
}

fn wrong_unless(right: bool, what: &str, depth: u32) -> Result<(), WorkloadError> {
    if right {
        return Ok(());
    }
    Err(WorkloadError::Wrong {
        what: format!("{what} of depth {depth} does not have {} nodes", nodes(depth)),
    })
}

/// Looks at what has lived long.
fn check(
    spec: &GcBenchSpec,
    heap: &Heap,
    driver: &dyn Driver,
    trees_made: u64,
) -> Result<Vec<String>, WorkloadError> {
    let task = Task { phase: Phase::Collect, total: None, duration: None };
    let done = crew::run(heap, driver, task, vec![()], |(), post, mutator| {
        mutator.scope(|scope| {
            let tree = scope.root(TREE).ok_or_else(|| WorkloadError::lost(TREE))?;
            let mut trees = Trees::new(spec.payload as usize, post);
            let Some(count) = unless_over(trees.count(scope, tree, spec.depth))? else {
                return Ok(Vec::new());
            };
            wrong_unless(count == nodes(spec.depth), "the long-lived tree", spec.depth)?;
            let mut bytes = Vec::new();
            scope.read(scope.root(ARRAY).ok_or_else(|| WorkloadError::lost(ARRAY))?, &mut bytes);
            let element = bytes.as_chunks::<8>().0.get(LOOKED_AT as usize).copied().map(f64::from_le_bytes);
            if element != Some(1.0 / LOOKED_AT as f64) || bytes.len() as u64 != spec.array * 8 {
                return Err(WorkloadError::Wrong {
                    what: format!("array element 1000 is {element:?}, not 1/1000"),
                });
            }
            Ok(vec![
                format!("long lived tree of depth {}: {count} nodes", spec.depth),
                format!("long lived array of {}: element 1000 is 1/1000", spec.array),
                format!("short lived trees: {trees_made}"),
            ])
        })
    })?;
    Ok(done.results.into_iter().flatten().collect())
}
