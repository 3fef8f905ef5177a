//! `binary-trees`: the benchmark of that name of the Computer Language Benchmarks Game.
//!
//! Source: *binary-trees*, the Computer Language Benchmarks Game
//! (<https://benchmarksgame-team.pages.debian.net/benchmarksgame/description/binarytrees.html>), "a simplistic
//! adaptation of Hans Boehm's GCBench, which in turn was adapted from a benchmark by John Ellis and Pete Kovac".
//! With `depth=N` as its argument: a tree of depth `N + 1` is built, counted and dropped; a tree of depth `N`
//! stays to the end; then for each depth `d` of 4, 6, ..., `N` come `2^(N - d + 4)` trees, each built, counted and
//! dropped. All trees are built bottom up. The lines that the original prints are the report's `checks`.
//!
//! What it stresses: as `gcbench`, allocation above a live part that stays the same; and every node is read once
//! more before it dies. As threads share the trees of each depth, it also shows how allocation scales.

use std::time::Instant;

use gc_heap::{Heap, Mutator};

use crate::cost::{Effort, object_bytes};
use crate::crew::{self, Post, Task};
use crate::driver::{Driver, Phase};
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::leftover::retire_leftover;
use crate::limits::THREADS_MAX;
use crate::options::{Options, SpecError};
use crate::report::WorkloadReport;
use crate::settle::settle_timed;
use crate::trees::{DEPTH_MAX, Halt, Trees, nodes, unless_over};

const KNOWN: &str = "depth, threads, retire and quick";
const LONG_LIVED: &str = "binary-trees long lived tree";
const SHORTEST: u32 = 4;

/// `binary-trees[?key=value&...]`
///
/// | option | default | quick | meaning |
/// |---|---|---|---|
/// | `depth=N` | 16 | 12 | the argument of the original, which is measured with 21; at least 6 |
/// | `threads=N` | 1 | 1 | threads that share the trees of each depth |
/// | `retire=BOOL` | false | false | trees are retired when they are dropped, for strategies that free only what was |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryTreesSpec {
    /// Depth of the long-lived tree.
    pub depth: u32,
    /// Mutator threads.
    pub threads: u32,
    /// Whether dropped trees are retired.
    pub retire: bool,
}

impl Default for BinaryTreesSpec {
    fn default() -> BinaryTreesSpec {
        BinaryTreesSpec { depth: 16, threads: 1, retire: false }
    }
}

impl BinaryTreesSpec {
    /// The same with about a twentieth of the work and a sixteenth of the live part.
    #[must_use]
    pub fn quick() -> BinaryTreesSpec {
        BinaryTreesSpec { depth: 12, ..BinaryTreesSpec::default() }
    }

    pub(crate) fn parse(options: &mut Options<'_>) -> Result<BinaryTreesSpec, SpecError> {
        let base = if options.quick()? { BinaryTreesSpec::quick() } else { BinaryTreesSpec::default() };
        let deepest = u64::from(DEPTH_MAX - 1);
        let spec = BinaryTreesSpec {
            depth: options.or("depth", base.depth.into(), 6, deepest, "6 to 26")? as u32,
            threads: options.or("threads", base.threads.into(), 1, THREADS_MAX.into(), "1 to 256")? as u32,
            retire: options.flag("retire")?.unwrap_or(base.retire),
        };
        options.finish(KNOWN)?;
        Ok(spec)
    }

    /// The depths of the short-lived trees, with how many of each there are.
    fn short_lived(&self) -> impl Iterator<Item = (u32, u64)> {
        let all = self.depth + SHORTEST;
        (SHORTEST..=self.depth).step_by(2).map(move |depth| (depth, 1 << (all - depth)))
    }

    /// About the most bytes that are alive at once: the stretch tree, or the long-lived one with a deepest
    /// short-lived one for each thread.
    pub(crate) fn live_bytes(&self) -> u64 {
        let deepest = self.depth - self.depth % 2;
        let long = nodes(self.depth) + u64::from(self.threads) * nodes(deepest);
        nodes(self.depth + 1).max(long) * object_bytes(2, 0)
    }
}

pub(crate) fn run(
    spec: &BinaryTreesSpec,
    heap: &Heap,
    driver: &dyn Driver,
) -> Result<WorkloadReport, WorkloadError> {
    crew::or_let_go(work(spec, heap, driver), heap, [LONG_LIVED])
}

/// What a thread did, and the sum of the counts of its trees for each depth; none when it ended early.
type Share = (Option<Vec<u64>>, Effort);

fn work(spec: &BinaryTreesSpec, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    let task = |phase, total| Task { phase, total: Some(total), duration: None };
    let first = nodes(spec.depth + 1) + nodes(spec.depth);
    let set_up = crew::run(heap, driver, task(Phase::Build, first), vec![()], |(), post, mutator| {
        share(post, |trees| set_up(spec, trees, mutator))
    })?;
    let set_up_time = begun.elapsed();
    let total = spec.short_lived().map(|(depth, trees)| trees * nodes(depth)).sum();
    let done = crew::run(
        heap,
        driver,
        task(Phase::Mutate, total),
        crew::each(spec.threads),
        |(), post, mutator| {
            let mut recorder = post.recorder();
            let share = share(post, |trees| short_lived(spec, trees, mutator, &mut recorder))?;
            Ok((share, recorder))
        },
    )?;
    let (shares, report) = done.measured("tree");
    let long_lived = crew::run(heap, driver, task(Phase::Collect, 0), vec![()], |(), post, mutator| {
        share(post, |trees| count_long_lived(spec, trees, mutator))
    })?;
    let all = || set_up.results.iter().chain(&shares).chain(&long_lived.results);
    let finished = all().all(|(counted, _)| counted.is_some());
    let efforts = all().map(|&(_, effort)| effort);
    let mut report = WorkloadReport { set_up_time, stopped: !finished, ..report.with_efforts(efforts) };
    if finished {
        let counted = |shares: &[Share]| -> Vec<u64> {
            shares.iter().flat_map(|(counted, _)| counted.clone()).fold(Vec::new(), add)
        };
        report.checks =
            lines(spec, &counted(&set_up.results), &counted(&shares), &counted(&long_lived.results))?;
        report.expected_live = Some(nodes(spec.depth));
    }
    settle_timed(driver, &mut report)?;
    Ok(report)
}

fn add(sum: Vec<u64>, own: Vec<u64>) -> Vec<u64> {
    if sum.is_empty() { own } else { sum.into_iter().zip(own).map(|(sum, own)| sum + own).collect() }
}

fn share(
    post: Post<'_>,
    work: impl FnOnce(&mut Trees<'_>) -> Result<Vec<u64>, Halt>,
) -> Result<Share, WorkloadError> {
    let mut trees = Trees::new(0, post);
    let counted = unless_over(work(&mut trees))?;
    Ok((counted, trees.effort()))
}

/// The stretch tree, whose count it gives, and the long-lived one.
fn set_up(spec: &BinaryTreesSpec, trees: &mut Trees<'_>, mutator: &mut Mutator) -> Result<Vec<u64>, Halt> {
    retire_leftover(mutator, LONG_LIVED, spec.retire)?;
    trees.with_hand(mutator, |trees, scope, hand| {
        let depth = spec.depth + 1;
        let count = scope.scope(|inner| {
            let stretch = trees.bottom_up(inner, hand, depth)?;
            let count = trees.count(inner, stretch, depth)?;
            if spec.retire {
                trees.retire(inner, stretch)?;
            }
            Ok::<_, Halt>(count)
        })?;
        let tree = trees.bottom_up(scope, hand, spec.depth)?;
        scope.set_root(LONG_LIVED, Some(tree));
        Ok(vec![count])
    })
}

/// This thread's share of the trees of each depth.
fn short_lived(
    spec: &BinaryTreesSpec,
    trees: &mut Trees<'_>,
    mutator: &mut Mutator,
    recorder: &mut Recorder,
) -> Result<Vec<u64>, Halt> {
    let (thread, threads) = trees.place();
    trees.with_hand(mutator, |trees, scope, hand| {
        recorder.restart();
        spec.short_lived()
            .map(|(depth, count)| {
                (thread..count).step_by(threads).try_fold(0, |sum, _| {
                    let counted = scope.scope(|inner| {
                        let tree = trees.bottom_up(inner, hand, depth)?;
                        let counted = trees.count(inner, tree, depth)?;
                        if spec.retire {
                            trees.retire(inner, tree)?;
                        }
                        Ok::<_, Halt>(counted)
                    })?;
                    recorder.lap();
                    Ok(sum + counted)
                })
            })
            .collect()
    })
}

fn count_long_lived(
    spec: &BinaryTreesSpec,
    trees: &mut Trees<'_>,
    mutator: &mut Mutator,
) -> Result<Vec<u64>, Halt> {
    mutator.scope(|scope| {
        let tree = scope.root(LONG_LIVED);
        Ok(vec![tree.map_or(Ok(0), |tree| trees.count(scope, tree, spec.depth))?])
    })
}

/// What the original prints, if it is right.
fn lines(
    spec: &BinaryTreesSpec,
    stretch: &[u64],
    short_lived: &[u64],
    long_lived: &[u64],
) -> Result<Vec<String>, WorkloadError> {
    let mut lines = Vec::new();
    let mut line = |text: String, found: u64, wanted: u64| {
        lines.push(format!("{text}\t check: {found}"));
        if found == wanted {
            return Ok(());
        }
        Err(WorkloadError::Wrong { what: format!("{text} check: {found}, not {wanted}") })
    };
    let only = |counts: &[u64]| counts.first().copied().unwrap_or(0);
    let depth = spec.depth;
    line(format!("stretch tree of depth {}", depth + 1), only(stretch), nodes(depth + 1))?;
    for ((depth, trees), &found) in spec.short_lived().zip(short_lived) {
        line(format!("{trees}\t trees of depth {depth}"), found, trees * nodes(depth))?;
    }
    line(format!("long lived tree of depth {depth}"), only(long_lived), nodes(depth))?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the original must print for its argument 21.
    const PUBLISHED_21: &str = "stretch tree of depth 22\t check: 8388607
2097152\t trees of depth 4\t check: 65011712
524288\t trees of depth 6\t check: 66584576
131072\t trees of depth 8\t check: 66977792
32768\t trees of depth 10\t check: 67076096
8192\t trees of depth 12\t check: 67100672
2048\t trees of depth 14\t check: 67106816
512\t trees of depth 16\t check: 67108352
128\t trees of depth 18\t check: 67108736
32\t trees of depth 20\t check: 67108832
long lived tree of depth 21\t check: 4194303";

    #[test]
    fn what_is_taken_for_right_is_what_was_published() {
        let spec = BinaryTreesSpec { depth: 21, ..BinaryTreesSpec::default() };
        let counts: Vec<u64> = spec.short_lived().map(|(depth, trees)| trees * nodes(depth)).collect();
        let printed = lines(&spec, &[nodes(22)], &counts, &[nodes(21)]).unwrap();
        assert_eq!(printed.join("\n"), PUBLISHED_21);
        let mut wrong = counts.clone();
        wrong[3] -= 1;
        let error = lines(&spec, &[nodes(22)], &wrong, &[nodes(21)]).unwrap_err().to_string();
        assert!(error.contains("32768\t trees of depth 10 check: 67076095, not 67076096"), "{error}");
    }
}
