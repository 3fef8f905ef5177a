//! The answer: verdicts in the terminal, files in a folder, and whether a condition was found to hold.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gc_lab::bench::metric::{self, METRICS, Metric, Unit};
use gc_lab::bench::model::{Environment, Kind, Report, Run};
use gc_lab::stats::{Comparison, Finding, Pairs, Rule, compare};

use crate::Usage;
use crate::bench::comparison::Setup;
use crate::output;
use crate::units::{bytes, nanoseconds};

/// What is said before anything runs.
pub(crate) fn greet(setup: &Setup, environment: &Environment) {
    let labels: Vec<&str> = setup
        .entrants
        .iter()
        .filter(|entrant| !entrant.subject.baseline)
        .map(|entrant| entrant.subject.label.as_str())
        .collect();
    let works: Vec<&str> = setup.workloads.iter().map(|workload| workload.text.as_str()).collect();
    eprintln!("comparing {} on {}", labels.join(", "), works.join(", "));
    eprintln!(
        "on {} x {}, {}, {}",
        environment.cpus,
        environment.cpu,
        bytes(environment.memory_bytes),
        environment.kernel
    );
    let warmup = match setup.plan.warmup_iterations {
        0 => "no warm-up: every run has a fresh process and is timed from its first operation".to_owned(),
        1 => "warm-up: one untimed iteration in the process of each run".to_owned(),
        more => format!("warm-up: {more} untimed iterations in the process of each run"),
    };
    eprintln!("{warmup}");
    for noise in &environment.noisy {
        eprintln!("noisy: {noise}");
    }
}

/// A folder for the files of a comparison.
pub(crate) struct Out {
    folder: PathBuf,
    /// It was made by us.
    made: bool,
}

impl Out {
    /// Makes the folder, so that a place where nothing can be written is found out before anything runs.
    pub(crate) fn open(given: Option<&Path>) -> anyhow::Result<Out> {
        let folder = given.map_or_else(|| PathBuf::from(format!("bench-{}", stamp())), Path::to_owned);
        let made = !folder.exists();
        let cannot = || format!("cannot make the folder {}: give another one with --out", folder.display());
        std::fs::create_dir_all(&folder).with_context(cannot)?;
        let probe = folder.join(".writable");
        std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).with_context(cannot)?;
        Ok(Out { folder, made })
    }

    /// Writes what there is so far. A full disk now is no reason to end: it is told at the end, if it still is.
    pub(crate) fn keep(&self, report: &Report) {
        let _ = self.write_json(report);
    }

    /// Nothing came of it.
    pub(crate) fn abandon(&self) {
        if self.made {
            let _ = std::fs::remove_dir(&self.folder);
        }
    }

    pub(crate) fn write(&self, report: &Report) -> anyhow::Result<()> {
        self.write_json(report).with_context(|| {
            format!("cannot write to {}: make room, or give another folder with --out", self.folder.display())
        })
    }

    fn write_json(&self, report: &Report) -> anyhow::Result<()> {
        let partial = self.folder.join("report.json.partial");
        std::fs::write(&partial, serde_json::to_vec(report)?)?;
        std::fs::rename(&partial, self.folder.join("report.json"))?;
        Ok(())
    }
}

/// `20261121-104500`, in UTC.
fn stamp() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant, *chrono-compatible low-level date algorithms*).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// A condition of `--fail-if`: `cpu > +3%`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    text: String,
    metric: &'static Metric,
    above: bool,
    /// Relative difference, such as 0.03.
    bound: f64,
}

/// Reads conditions.
pub(crate) fn conditions(texts: &[String]) -> Result<Vec<Condition>, Usage> {
    texts.iter().map(|text| condition(text)).collect()
}

fn condition(text: &str) -> Result<Condition, Usage> {
    let wrong = |what: &str| Usage(format!("--fail-if '{text}' {what}"));
    let (at, sign) = text
        .char_indices()
        .find(|(_, c)| matches!(c, '<' | '>'))
        .ok_or_else(|| wrong("compares nothing: write it like 'cpu > +3%'"))?;
    let key = text[..at].trim();
    let metric = metric::find(key).ok_or_else(|| {
        let known: Vec<&str> = METRICS.iter().map(|metric| metric.key).collect();
        wrong(&format!("names no measure: there are {}", known.join(", ")))
    })?;
    let bound = text[at + 1..].trim().trim_end_matches('%').trim().parse::<f64>();
    let bound = bound.map_err(|_| wrong("has no bound in percent: write it like 'cpu > +3%'"))?;
    Ok(Condition { text: text.to_owned(), metric, above: sign == '>', bound: bound / 100.0 })
}

impl Condition {
    /// Whether a difference was found and is beyond the bound: chance alone is no reason to fail.
    fn holds(&self, comparison: &Comparison) -> bool {
        let Some(ratio) = comparison.ratio else { return false };
        let difference = ratio.value - 1.0;
        let beyond = if self.above { difference > self.bound } else { difference < self.bound };
        beyond && comparison.finding == Finding::Different
    }
}

/// One comparison of two strategies by one measure.
struct Compared {
    metric: &'static Metric,
    workload: usize,
    heap_multiple: f64,
    subject: usize,
    comparison: Comparison,
}

/// Every measure of the first strategy against each other one.
fn compare_all(report: &Report) -> Vec<Compared> {
    let rule = Rule::default();
    let mut all = Vec::new();
    let others: Vec<usize> = (1..report.subjects.len()).filter(|&at| !report.subjects[at].baseline).collect();
    for metric in METRICS {
        for &subject in &others {
            let mut places = Vec::new();
            let mut family = Vec::new();
            for workload in 0..report.workloads.len() {
                for &multiple in &report.plan.heap_multiples {
                    let of = |subject| move |run: &Run| run.subject == subject && run.kind == metric.kind;
                    if let Some(pairs) = pairs(report, metric, (workload, multiple), of(0), of(subject)) {
                        places.push((workload, multiple));
                        family.push(pairs);
                    }
                }
            }
            let compared = places.into_iter().zip(compare(&family, &rule));
            all.extend(compared.map(|((workload, heap_multiple), comparison)| Compared {
                metric,
                workload,
                heap_multiple,
                subject,
                comparison,
            }));
        }
    }
    all
}

/// The rounds that both sides finished.
fn pairs(
    report: &Report,
    metric: &Metric,
    (workload, multiple): (usize, f64),
    first: impl Fn(&Run) -> bool,
    second: impl Fn(&Run) -> bool,
) -> Option<Pairs> {
    let here = |run: &&Run| run.workload == workload && run.heap_multiple == Some(multiple);
    let of = |run: &Run| run.measures.as_deref().filter(|_| run.outcome.is_ok()).and_then(metric.of);
    let side = |round: u32, which: &dyn Fn(&Run) -> bool| {
        report.runs.iter().filter(here).find(|run| run.round == round && which(run)).and_then(of)
    };
    let rounds =
        (0..report.plan.rounds).filter_map(|round| Some((side(round, &first)?, side(round, &second)?)));
    Pairs::new(rounds)
}

/// Says what came out. Answers the conditions that were found to hold.
pub(crate) fn tell(
    report: &Report,
    conditions: &[Condition],
    out: &Out,
    json: bool,
) -> anyhow::Result<Option<String>> {
    let compared = compare_all(report);
    let lines: Vec<String> = compared.iter().map(|compared| line(report, compared)).collect();
    let found: Vec<&str> = conditions
        .iter()
        .filter(|condition| {
            compared.iter().any(|at| at.metric.key == condition.metric.key && condition.holds(&at.comparison))
        })
        .map(|condition| condition.text.as_str())
        .collect();
    let file = out.folder.join("report.json");
    if json {
        output::json(&serde_json::json!({
            "event": "bench",
            "report": file,
            "interrupted": report.interrupted,
            "rounds": report.plan.rounds,
            "noisy": report.environment.noisy,
            "remarks": report.remarks,
            "noise": noise(report),
            "verdicts": lines,
            "found": found,
        }))?;
    } else {
        noise(report).iter().chain(&lines).try_for_each(output::line)?;
        report.remarks.iter().try_for_each(|remark| output::line(format!("note: {remark}")))?;
        report.environment.noisy.iter().try_for_each(|noisy| output::line(format!("noisy: {noisy}")))?;
        output::line(format!("report: {}", file.display()))?;
    }
    if conditions.is_empty() || found.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("found: {}", found.join(", "))))
}

/// What the first strategy against itself came to.
fn noise(report: &Report) -> Vec<String> {
    let rule = Rule::default();
    let mut lines = Vec::new();
    for (workload, named) in report.workloads.iter().enumerate() {
        let Some(multiple) = gc_lab::bench::schedule::middle(&report.plan.heap_multiples) else { continue };
        let mut told = Vec::new();
        for key in ["wall", "cpu", "throughput", "footprint"] {
            let Some(metric) = metric::find(key) else { continue };
            let side = |side| move |run: &Run| run.kind == Kind::Same && run.side == side;
            let Some(pairs) = pairs(report, metric, (workload, multiple), side(0), side(1)) else { continue };
            let Some(ratio) = compare(&[pairs], &rule).first().and_then(|found| found.ratio) else {
                continue;
            };
            told.push(match ratio.interval {
                Some(interval) => format!(
                    "{} {:+.1} % to {:+.1} %",
                    metric.name,
                    (interval.low - 1.0) * 100.0,
                    (interval.high - 1.0) * 100.0
                ),
                None => format!("{} {:+.1} %", metric.name, (ratio.value - 1.0) * 100.0),
            });
        }
        if !told.is_empty() {
            let label = &report.subjects[0].label;
            lines.push(format!(
                "{label} against itself on {} at {multiple}x: {}",
                named.label,
                told.join(", ")
            ));
        }
    }
    lines
}

fn line(report: &Report, compared: &Compared) -> String {
    let Compared { metric, workload, heap_multiple, subject, comparison } = compared;
    let (a, b) = (&report.subjects[0].label, &report.subjects[*subject].label);
    let place = format!("{} at {heap_multiple}x", report.workloads[*workload].label);
    let medians = format!(
        "{} against {}",
        value(metric.unit, comparison.median_b),
        value(metric.unit, comparison.median_a)
    );
    let mark = if comparison.finding == Finding::Different { "" } else { "~ " };
    let effect = match comparison.ratio {
        Some(ratio) => format!("{:+.1} %", (ratio.value - 1.0) * 100.0),
        None => value(metric.unit, comparison.difference.value),
    };
    format!(
        "{mark}{place}: {b} has {effect} {} against {a} ({medians}, {} rounds)",
        metric.name, comparison.rounds
    )
}

fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Nanoseconds => nanoseconds(value.max(0.0) as u64),
        Unit::Bytes => bytes(value.max(0.0) as u64),
        Unit::ByteSeconds => format!("{} s", bytes(value.max(0.0) as u64)),
        Unit::PerSecond => format!("{value:.0}/s"),
        Unit::Share => format!("{value:.3}"),
        Unit::Count => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!([date(0), date(11_016), date(20_778)], [(1970, 1, 1), (2000, 2, 29), (2026, 11, 21)]);
    }

    #[test]
    fn conditions_name_a_measure_and_a_bound() {
        let read = condition("cpu > +3%").unwrap();
        assert_eq!((read.metric.key, read.above, read.bound), ("cpu", true, 0.03));
        assert!(!condition("throughput < -5 %").unwrap().above);
        for (text, word) in [("cpu", "compares"), ("speed > 3%", "footprint"), ("cpu > fast", "percent")] {
            assert!(condition(text).unwrap_err().to_string().contains(word), "{text}");
        }
    }
}
