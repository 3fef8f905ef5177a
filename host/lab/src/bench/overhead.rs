//! Lower-bound overhead: how much more a strategy costs, at least, than an ideal one (Cai, Blackburn, Bond, Maas, *Distilling the Real Cost of
//! Production Garbage Collectors*, ISPASS 2022).
//!
//! From the total of each configuration what is known to be the collector's is taken away; the least remainder of all, `none` in a large heap
//! included, is an upper bound of what the work costs without a collector. Every total is told as a multiple of it. It is a lower bound because
//! even that remainder has some of the collector's cost in it: barriers, a worse memory layout.

use serde::{Deserialize, Serialize};

use crate::bench::model::{Kind, Measures, Report, Run};

/// Which cost.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Time on the clock.
    Wall,
    /// CPU time of all threads.
    Cpu,
}

/// Overhead on one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Overhead {
    /// What the work costs without a collector, at most, in nanoseconds.
    pub baseline_ns: f64,
    /// Whose remainder that is: index into [`Report::subjects`].
    pub baseline_subject: usize,
    /// One point per run that came to its end.
    pub points: Vec<Point>,
}

/// The overhead of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Index into [`Report::subjects`].
    pub subject: usize,
    /// The heap.
    pub heap_multiple: Option<f64>,
    /// The round.
    pub round: u32,
    /// Total over baseline: 1 is free.
    pub times: f64,
}

fn total_ns(cost: Cost, run: &Measures) -> f64 {
    match cost {
        Cost::Wall => run.wall_ns as f64,
        Cost::Cpu => run.cpu_ns as f64,
    }
}

/// What is known to be the collector's. On the clock that is the pauses of a mutator, as if all of them shared them evenly.
fn explicit_ns(cost: Cost, run: &Measures) -> f64 {
    match cost {
        Cost::Wall => run.paused_ns as f64 / f64::from(run.mutators.max(1)),
        Cost::Cpu => run.cpu.collector_ns() as f64,
    }
}

/// The overhead of all strategies on a workload; none without a run that came to its end.
#[must_use]
pub fn lower_bound(report: &Report, workload: usize, cost: Cost) -> Option<Overhead> {
    let runs: Vec<(&Run, &Measures)> = report
        .runs
        .iter()
        .filter(|run| {
            run.workload == workload
                && matches!(run.kind, Kind::Timed | Kind::Baseline)
                && run.outcome.is_ok()
        })
        .filter_map(|run| Some((run, run.measures.as_deref()?)))
        .collect();
    let (baseline_subject, baseline_ns) = cheapest(&runs, cost)?;
    let point = |&(run, measures): &(&Run, &Measures)| Point {
        subject: run.subject,
        heap_multiple: run.heap_multiple,
        round: run.round,
        times: total_ns(cost, measures) / baseline_ns,
    };
    Some(Overhead { baseline_ns, baseline_subject, points: runs.iter().map(point).collect() })
}

/// The strategy and heap with the least remainder, in the median over rounds: a single lucky run is no bound.
fn cheapest(runs: &[(&Run, &Measures)], cost: Cost) -> Option<(usize, f64)> {
    let mut left: Vec<(usize, Option<u64>, f64)> = runs
        .iter()
        .map(|(run, measures)| {
            let remainder = total_ns(cost, measures) - explicit_ns(cost, measures);
            (run.subject, run.heap_multiple.map(f64::to_bits), remainder)
        })
        .collect();
    left.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    left.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
        .map(|group| (group[0].0, group[group.len() / 2].2))
        .filter(|&(_, ns)| ns > 0.0)
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::model::{CpuParts, Outcome};

    fn run(kind: Kind, subject: usize, heap_multiple: Option<f64>, cpu_ns: u64, strategy_ns: u64) -> Run {
        let cpu = CpuParts { strategy_ns, mutator_ns: cpu_ns - strategy_ns, ..CpuParts::default() };
        Run {
            kind,
            subject,
            workload: 0,
            side: 0,
            heap_multiple,
            heap_bytes: 0,
            round: 0,
            position: 0,
            seed: 0,
            outcome: Outcome::Ok,
            others_cpu_share: None,
            measures: Some(Box::new(Measures { cpu_ns, cpu, mutators: 1, ..Measures::default() })),
        }
    }

    fn report(runs: Vec<Run>) -> Report {
        Report { runs, ..Report::empty() }
    }

    #[test]
    fn overhead_is_against_the_least_remainder_of_all() {
        let report = report(vec![
            run(Kind::Timed, 0, Some(1.0), 200, 60),
            run(Kind::Timed, 0, Some(2.0), 150, 55),
            run(Kind::Timed, 1, Some(1.0), 180, 10),
            run(Kind::Baseline, 2, None, 100, 0),
        ]);
        let overhead = lower_bound(&report, 0, Cost::Cpu).unwrap();
        // 150 - 55 is less than the 100 of the baseline, whose allocation only ever touches fresh memory.
        assert_eq!((overhead.baseline_subject, overhead.baseline_ns), (0, 95.0));
        assert_eq!(overhead.points[0].times, 200.0 / 95.0);
        assert_eq!(overhead.points.len(), 4);
    }

    #[test]
    fn runs_that_failed_and_other_workloads_do_not_count() {
        let mut failed = run(Kind::Timed, 0, Some(1.0), 10, 0);
        failed.outcome = Outcome::Failed { how: crate::bench::model::Failure::Crashed, why: String::new() };
        let mut other = run(Kind::Timed, 0, Some(1.0), 10, 0);
        other.workload = 1;
        let report = report(vec![failed, other, run(Kind::Fuel, 0, Some(1.0), 10, 0)]);
        assert_eq!(lower_bound(&report, 0, Cost::Cpu), None);
    }
}
