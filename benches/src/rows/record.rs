//! The row of traces: what it costs the mutators to have one written, and how large it gets.

use std::path::Path;
use std::process::Command;

use super::heap::program;
use super::{Goal, Row, RowError, Settings, command};
use crate::goals::Reading;
use crate::programs::record::Run;
use crate::stats::{paired_ratio, summary};

pub(super) const ROW: Row = Row {
    name: "record",
    goals: &[
        Goal { name: "recording `churn`, two mutators: throughput given up", unit: "%", at_most: 5.0 },
        Goal {
            name: "trace of `git-history` of this repository: bytes per operation",
            unit: "bytes",
            at_most: 6.0,
        },
    ],
    measure,
};

fn measure(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let (operations, pairs) = if settings.quick { ("200k", 2) } else { ("6M", 15) };
    let trace = settings.target.join(format!("record-{}.trace", std::process::id()));
    let churn = format!("churn?threads=2&operations={operations}");
    let history = format!("git-history:{}?keep=50", settings.root.display());
    let cost = cost(settings, &trace, &churn, pairs);
    // Without a repository there is no size; the cost stands all the same.
    let size = size(settings, &trace, &history).unwrap_or_else(|error| Reading {
        value: f64::NAN,
        range: None,
        note: error.to_string(),
    });
    let _ = std::fs::remove_file(&trace);
    Ok(vec![cost?, size])
}

/// Pairs of runs, with a trace and without, each first in every second pair.
fn cost(settings: &Settings, trace: &Path, workload: &str, pairs: u32) -> Result<Reading, RowError> {
    let (mut plain, mut recorded) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        for with in [pair % 2 == 0, pair % 2 != 0] {
            let runs = if with { &mut recorded } else { &mut plain };
            runs.push(run(settings, workload, with.then_some(trace))?);
        }
    }
    given_up(&plain, &recorded)
}

fn run(settings: &Settings, workload: &str, trace: Option<&Path>) -> Result<Run, RowError> {
    let mut command: Command = program(settings, "record");
    if let Some(trace) = trace {
        command.arg("--to").arg(trace);
    }
    let runs: Vec<Run> = command::json_lines(command.arg(workload))?;
    runs.into_iter().next().ok_or_else(nothing)
}

fn nothing() -> RowError {
    RowError::Nothing("no runs".to_owned())
}

fn given_up(plain: &[Run], recorded: &[Run]) -> Result<Reading, RowError> {
    let column = |runs: &[Run], of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    let per_second = |runs: &[Run]| column(runs, |run| run.operations as f64 / run.wall_ns.max(1) as f64);
    let kept = paired_ratio(&per_second(recorded), &per_second(plain)).ok_or_else(nothing)?;
    let cpu = |runs: &[Run]| column(runs, |run| run.cpu_ns as f64 / run.operations.max(1) as f64);
    let more = paired_ratio(&cpu(recorded), &cpu(plain)).ok_or_else(nothing)?;
    let bytes = column(recorded, |run| run.trace_bytes as f64 / run.trace_operations.max(1) as f64);
    let median = |samples: &[f64]| summary(samples).map_or(f64::NAN, |summary| summary.median);
    let percent = |kept: f64| 100.0 * (1.0 - kept);
    Ok(Reading {
        value: percent(kept.median),
        range: Some((percent(kept.high), percent(kept.low))),
        note: format!(
            "processor time per operation {:.1} % more (without: {:.0} ns); {:.2} bytes per operation of the trace; {} pairs of runs",
            100.0 * (more.median - 1.0),
            median(&cpu(plain)),
            median(&bytes),
            plain.len()
        ),
    })
}

fn size(settings: &Settings, trace: &Path, workload: &str) -> Result<Reading, RowError> {
    let run = run(settings, workload, Some(trace))?;
    if run.trace_operations == 0 {
        return Err(RowError::Nothing(format!("{workload} did nothing")));
    }
    let value = run.trace_bytes as f64 / run.trace_operations as f64;
    let note = format!("{} operations in {} bytes", run.trace_operations, run.trace_bytes);
    Ok(Reading { value, range: None, note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(wall_ns: u64, cpu_ns: u64) -> Run {
        Run { operations: 1000, wall_ns, cpu_ns, trace_bytes: 4000, trace_operations: 1000 }
    }

    #[test]
    fn what_is_given_up_is_taken_pair_by_pair() {
        // The machine was twice as slow in the second pair; both lost a twentieth.
        let plain = [run(95_000, 190_000), run(190_000, 380_000), run(95_000, 190_000)];
        let recorded = [run(100_000, 209_000), run(200_000, 418_000), run(100_000, 209_000)];
        let reading = given_up(&plain, &recorded).unwrap();
        assert!((reading.value - 5.0).abs() < 1e-9, "{reading:?}");
        assert!(reading.note.contains("10.0 % more (without: 190 ns); 4.00 bytes"), "{}", reading.note);
        assert!(given_up(&plain, &recorded[..2]).is_err());
    }
}
