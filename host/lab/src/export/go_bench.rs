//! Go's benchmark text, so that `benchstat bench-0-mark-sweep.txt bench-1-tracing.txt` works as it is.
//!
//! One line per round: `BenchmarkRun/workload=gcbench/heap=2x-2 1 912345678 ns/op ...`. The format is that of golang.org/design/14313-benchmark-format: a name that
//! begins with `Benchmark`, the count of iterations, then pairs of value and unit; lines `key: value` configure what follows. The strategy is not among
//! those: benchstat would put results that differ in one of them into different tables instead of comparing them. The file is its name.

use std::fmt::Write as _;

use crate::bench::metric::{METRICS, Unit};
use crate::bench::model::{Kind, Report};
use crate::export::{place, plain};

/// The runs of one strategy, as text.
#[must_use]
pub fn go_bench(report: &Report, subject: usize) -> String {
    let mut text = String::new();
    let line = |text: &mut String, key: &str, value: &str| {
        let value: String = value.chars().filter(|letter| !letter.is_control()).collect();
        let _ = writeln!(text, "{key}: {}", value.trim());
    };
    line(&mut text, "pkg", "gc/lab");
    line(&mut text, "cpu", &report.environment.cpu);
    line(&mut text, "kernel", &report.environment.kernel);
    for metric in METRICS.iter().filter(|metric| !metric.less_is_better) {
        let _ = writeln!(text, "Unit {} better=higher", unit(metric.key, metric.unit));
    }
    text.push('\n');
    let runs = report.runs.iter().filter(|run| {
        run.subject == subject
            && matches!(run.kind, Kind::Timed | Kind::Baseline | Kind::Fuel)
            && run.outcome.is_ok()
    });
    for run in runs {
        let (_, workload, heap) = place(report, run);
        // Runs that count fuel are slower: a name of their own keeps their times apart.
        let name = if run.kind == Kind::Fuel { "Fuel" } else { "Run" };
        let mut values = String::new();
        for metric in METRICS {
            let timed = matches!(run.kind, Kind::Timed | Kind::Baseline) && metric.kind == Kind::Timed;
            let here = timed || metric.kind == run.kind;
            let value = run.measures.as_deref().filter(|_| here).and_then(metric.of);
            if let Some(value) = value {
                let _ = write!(values, " {value} {}", unit(metric.key, metric.unit));
            }
        }
        if !values.is_empty() {
            let cpus = report.environment.cpus.max(1);
            let _ =
                writeln!(text, "Benchmark{name}/workload={}/heap={heap}-{cpus} 1{values}", plain(&workload));
        }
    }
    text
}

/// Unit of a value: `ns/op` for time on the clock, as every tool expects; others carry the measure's name. What begins with `ns` or `B` is scaled by benchstat.
fn unit(key: &str, unit: Unit) -> String {
    match (key, unit) {
        ("wall", _) => "ns/op".to_owned(),
        (key, Unit::Nanoseconds) => format!("{key}-ns/op"),
        (key, Unit::Bytes) => format!("{key}-B/op"),
        (key, Unit::ByteSeconds) => format!("{key}-B*s/op"),
        (key, Unit::PerSecond) => format!("{key}/s"),
        (key, Unit::Share) => format!("{key}-share"),
        (key, Unit::Count) => format!("{key}/op"),
    }
}
