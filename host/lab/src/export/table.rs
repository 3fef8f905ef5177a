//! CSV: verdicts and raw samples (RFC 4180, a line of names first, numbers in base units).

use crate::answer::words::{line, sign};
use crate::answer::{Answer, Verdict};
use crate::bench::metric::{METRICS, Unit};
use crate::bench::model::{Kind, Report};
use crate::export::place;
use crate::page::row;
use crate::stats::Interval;

/// One line per verdict, A against A included.
#[must_use]
pub fn verdicts_csv(report: &Report, answer: &Answer) -> String {
    let mut csv = "measure,unit,workload,heap_multiple,a,b,verdict,rounds,median_a,median_b,difference,difference_low,difference_high,\
                   ratio,ratio_low,ratio_high,p,p_holm,mann_whitney_u,mann_whitney_p,cliffs_delta,in_words\n"
        .to_owned();
    for verdict in answer.verdicts.iter().chain(&answer.noise) {
        csv += &verdict_row(report, answer, verdict);
    }
    csv
}

fn verdict_row(report: &Report, answer: &Answer, verdict: &Verdict) -> String {
    let subject = |index: usize| report.subjects.get(index).map_or("?", |subject| subject.label.as_str());
    let workload = report.workloads.get(verdict.workload).map_or("?", |workload| workload.label.as_str());
    let found = &verdict.comparison;
    let low = |interval: Option<Interval>| exact(interval.map(|interval| interval.low));
    let high = |interval: Option<Interval>| exact(interval.map(|interval| interval.high));
    let ratio = found.ratio.and_then(|ratio| ratio.interval);
    row(&[
        &verdict.metric.key,
        &unit(verdict.metric.unit),
        &workload,
        &exact(verdict.heap_multiple),
        &subject(verdict.a),
        &subject(verdict.b),
        &sign(verdict.side()),
        &found.rounds,
        &found.median_a,
        &found.median_b,
        &found.difference.value,
        &low(found.difference.interval),
        &high(found.difference.interval),
        &exact(found.ratio.map(|ratio| ratio.value)),
        &low(ratio),
        &high(ratio),
        &found.p,
        &found.p_corrected,
        &found.mann_whitney.u,
        &found.mann_whitney.p,
        &found.cliffs_delta,
        &line(report, answer, verdict),
    ])
}

/// One line per run and measure.
#[must_use]
pub fn samples_csv(report: &Report) -> String {
    let mut csv = "kind,workload,heap_multiple,strategy,side,round,position,measure,unit,value\n".to_owned();
    for run in &report.runs {
        let Some(measures) = run.measures.as_deref().filter(|_| run.outcome.is_ok()) else { continue };
        let (subject, workload, _) = place(report, run);
        let timed = matches!(run.kind, Kind::Timed | Kind::Baseline | Kind::Same);
        for metric in METRICS {
            let here = metric.kind == run.kind || (timed && metric.kind == Kind::Timed);
            let Some(value) = here.then(|| (metric.of)(measures)).flatten() else { continue };
            csv += &row(&[
                &kind(run.kind),
                &workload,
                &exact(run.heap_multiple),
                &subject,
                &run.side,
                &run.round,
                &run.position,
                &metric.key,
                &unit(metric.unit),
                &value,
            ]);
        }
    }
    csv
}

/// A number to the last digit, or nothing.
fn exact(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Timed => "timed",
        Kind::Baseline => "baseline",
        Kind::Same => "same",
        Kind::Fuel => "fuel",
        Kind::Oracle => "oracle",
        Kind::Swap => "swap",
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "ns",
        Unit::Bytes => "B",
        Unit::ByteSeconds => "B*s",
        Unit::PerSecond => "1/s",
        Unit::Share => "share",
        Unit::Count => "count",
    }
}
