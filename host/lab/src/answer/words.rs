//! Verdicts as sentences.
//!
//! ```text
//! +  tracing uses 12 % [9, 15] less CPU time than mark-sweep: gcbench, 2x heap (20 rounds; 412 ms against 468 ms)
//! -  tracing has 1.8x [1.5, 2.3] the p99.9 metered latency of mark-sweep: ...
//! ~  no difference found in peak footprint: between 1.2 % less and 0.8 % more ...
//! ?  fuel: 1 round says nothing, take at least 6 ...
//! ```

use crate::answer::units::{percent, show, times};
use crate::answer::{Answer, Mean, Side, Verdict, opponents};
use crate::bench::metric::{METRICS, Metric};
use crate::bench::model::{Kind, Report};
use crate::stats::describe::at_least;
use crate::stats::{Estimate, Finding, Interval, Unsaid};

/// The sign at the front of a line.
#[must_use]
pub fn sign(side: Side) -> char {
    match side {
        Side::Better => '+',
        Side::Worse => '-',
        Side::Even => '~',
        Side::Unsaid => '?',
    }
}

/// A verdict as one line.
#[must_use]
pub fn line(report: &Report, answer: &Answer, verdict: &Verdict) -> String {
    let place = place(report, verdict);
    let sentence = sentence(report, verdict);
    let band = band(answer, verdict);
    format!("{}  {sentence}: {place}{band}", sign(verdict.side()))
}

/// All verdicts as lines, the clear ones first within each strategy; before them what holds over all workloads.
#[must_use]
pub fn lines(report: &Report, answer: &Answer) -> Vec<String> {
    let mut lines: Vec<String> = answer.means.iter().map(|mean| mean_line(report, mean)).collect();
    let mut verdicts: Vec<&Verdict> = answer.verdicts.iter().collect();
    verdicts.sort_by_key(|verdict| (verdict.b, verdict.workload, verdict.side()));
    lines.extend(verdicts.into_iter().map(|verdict| line(report, answer, verdict)));
    lines
}

/// What the A/A check found, in a sentence.
#[must_use]
pub fn noise_line(report: &Report, answer: &Answer) -> String {
    let (different, decided) = answer.false_alarms();
    let name = report.subjects.first().map_or("A", |subject| subject.label.as_str());
    if decided == 0 {
        return match answer.noise.first() {
            None => "A/A: there was no check of the first strategy against itself".to_owned(),
            Some(some) => format!(
                "A/A: {} say nothing of {name} against itself, take at least {}",
                rounds(some.comparison.rounds),
                crate::stats::decide::ROUNDS_MIN
            ),
        };
    }
    let share = 100.0 * different as f64 / decided as f64;
    // Five of a hundred are expected at most, and a few more are chance.
    let chance = at_least(different, decided, answer.rule.false_alarms_max);
    let judged = if chance > 0.05 {
        "as much as chance explains"
    } else {
        "more than chance explains: the machine was not steady, so believe no small difference"
    };
    format!(
        "A/A: of {decided} measures of {name} against itself {different} came out as different ({share:.1} %, {judged})"
    )
}

/// The mean over workloads as a line.
#[must_use]
pub fn mean_line(report: &Report, mean: &Mean) -> String {
    let known = mean.ratio.interval.is_some_and(|interval| !interval.holds(1.0));
    let interval = mean.ratio.interval.filter(|_| mean.decided);
    let better = (mean.ratio.value < 1.0) == mean.metric.less_is_better;
    let sign = match (known, interval, better) {
        (_, None, _) => '?',
        (false, ..) => '~',
        (true, _, true) => '+',
        (true, _, false) => '-',
    };
    let subject = |index: usize| report.subjects.get(index).map_or("?", |subject| subject.label.as_str());
    let said = if sign == '~' {
        format!(
            "no difference found in {} between {} and {}{}",
            mean.metric.name,
            subject(mean.b),
            subject(mean.a),
            could_be(interval)
        )
    } else {
        ratio_sentence(mean.metric, mean.ratio, subject(mean.a), subject(mean.b))
    };
    let doubt = if sign == '?' { "; too few rounds to be sure" } else { "" };
    format!(
        "{sign}  {said}: geometric mean of {} workloads{}{doubt}",
        mean.workloads,
        heap_text(mean.heap_multiple)
    )
}

/// What can be said of a measure, without where.
#[must_use]
pub fn sentence(report: &Report, verdict: &Verdict) -> String {
    let name = verdict.metric.name;
    let subject = |index: usize| report.subjects.get(index).map_or("?", |subject| subject.label.as_str());
    let (a, b) = (subject(verdict.a), subject(verdict.b));
    match verdict.comparison.finding {
        Finding::Different => match verdict.comparison.ratio {
            Some(ratio) => ratio_sentence(verdict.metric, ratio, a, b),
            None => format!("{b} has {} {name} than {a}", difference(verdict)),
        },
        Finding::NotFound => {
            let interval = verdict.comparison.ratio.and_then(|ratio| ratio.interval);
            format!("no difference found in {name} between {b} and {a}{}", could_be(interval))
        }
        Finding::Unsaid(unsaid) => {
            format!("{name} of {b} against {a}: {}", unsaid_text(unsaid, verdict.comparison.rounds))
        }
    }
}

/// Small changes as percent, large ones as a factor.
fn ratio_sentence(metric: &Metric, ratio: Estimate, a: &str, b: &str) -> String {
    if ratio.value >= 2.0 || ratio.value <= 0.5 {
        return format!("{b} has {} the {} of {a}", multiple(ratio), metric.name);
    }
    let words = words(metric.key);
    format!("{b} {} than {a}", active(&words, &change(ratio, &words), metric.name))
}

/// Workload, heap, rounds, medians.
fn place(report: &Report, verdict: &Verdict) -> String {
    let workload = report.workloads.get(verdict.workload).map_or("?", |workload| workload.label.as_str());
    let unit = verdict.metric.unit;
    format!(
        "{workload}{} ({}; {} against {})",
        heap_text(verdict.heap_multiple),
        rounds(verdict.comparison.rounds),
        show(verdict.comparison.median_b, unit),
        show(verdict.comparison.median_a, unit)
    )
}

fn rounds(count: usize) -> String {
    if count == 1 { "1 round".to_owned() } else { format!("{count} rounds") }
}

fn heap_text(heap_multiple: Option<f64>) -> String {
    heap_multiple.map_or(String::new(), |multiple| format!(", {}x heap", times(multiple)))
}

/// A found difference that is no larger than what A against A shows is told with a warning.
fn band(answer: &Answer, verdict: &Verdict) -> String {
    if verdict.comparison.finding != Finding::Different {
        return String::new();
    }
    let noise = answer.noise_of(verdict).and_then(|noise| noise.comparison.ratio?.interval);
    match (noise, verdict.comparison.ratio) {
        (Some(noise), Some(ratio)) if noise.holds(ratio.value) => {
            format!("; but A against A shows {} to {} %", percent(noise.low - 1.0), percent(noise.high - 1.0))
        }
        _ => String::new(),
    }
}

/// How a measure is spoken of.
struct Words {
    verb: &'static str,
    less: &'static str,
    more: &'static str,
    /// What stands behind "less"; empty for "the name of the measure".
    noun: &'static str,
}

fn words(key: &str) -> Words {
    let words = |verb, less, more, noun| Words { verb, less, more, noun };
    match key {
        "wall" => words("takes", "less", "more", "wall time"),
        "cpu" => words("uses", "less", "more", "CPU time"),
        "collector-cpu" => words("uses", "less", "more", "CPU time for collecting"),
        "mutator-cpu" => words("uses", "less", "more", "CPU time in mutators"),
        "throughput" => words("does", "less", "more", "work per second"),
        "fuel" => words("burns", "less", "more", "fuel"),
        "crossings" => words("makes", "fewer", "more", "crossings"),
        "messages" => words("sends", "fewer", "more", "messages between nodes"),
        "message-bytes" => words("sends", "fewer", "more", "bytes between nodes"),
        "left-over" => words("leaves", "fewer", "more", "objects over"),
        "settle" => words("takes", "less", "more", "time until nothing changes after the end"),
        "nodes-lag" => {
            words("takes", "less", "more", "time until the last dead object of all nodes is reclaimed")
        }
        "footprint" => words("holds", "less", "more", "memory x time"),
        "floating" => words("leaves", "less", "more", "floating garbage"),
        "paused" => words("pauses mutators", "less", "more", "in all"),
        _ if key.starts_with("mmu") => words("has a", "lower", "higher", ""),
        _ if key.contains("pause") || key.contains("lag") || key.contains("time") => {
            words("has a", "shorter", "longer", "")
        }
        _ if key.contains("latency") || key.contains("metered") => words("has a", "lower", "higher", ""),
        _ => words("has a", "smaller", "larger", ""),
    }
}

fn active(words: &Words, change: &str, name: &str) -> String {
    let noun = if words.noun.is_empty() { name } else { words.noun };
    format!("{} {change} {noun}", words.verb)
}

/// `12 % [9, 15] less`.
fn change(ratio: Estimate, words: &Words) -> String {
    let less = ratio.value < 1.0;
    let size = |ratio: f64| if less { 1.0 - ratio } else { ratio - 1.0 };
    let interval = ratio.interval.map_or(String::new(), |found| {
        let ends = if less { (found.high, found.low) } else { (found.low, found.high) };
        format!(" [{}, {}]", percent(size(ends.0)), percent(size(ends.1)))
    });
    format!("{} %{interval} {}", percent(size(ratio.value)), if less { words.less } else { words.more })
}

/// `1.8x [1.5, 2.3]`.
fn multiple(ratio: Estimate) -> String {
    let interval = ratio
        .interval
        .map_or(String::new(), |found| format!(" [{}, {}]", times(found.low), times(found.high)));
    format!("{}x{interval}", times(ratio.value))
}

fn difference(verdict: &Verdict) -> String {
    let Estimate { value, interval } = verdict.comparison.difference;
    let unit = verdict.metric.unit;
    let (flip, word) = if value < 0.0 { (-1.0, "less") } else { (1.0, "more") };
    let interval = interval.map_or(String::new(), |Interval { low, high }| {
        let (from, to) = if value < 0.0 { (-high, -low) } else { (low, high) };
        format!(" [{}, {}]", show(from, unit), show(to, unit))
    });
    format!("{}{interval} {word}", show(flip * value, unit))
}

/// How large a difference could be that was not found.
fn could_be(ratios: Option<Interval>) -> String {
    let directed =
        |share: f64| format!("{} % {}", percent(share.abs()), if share < 0.0 { "less" } else { "more" });
    match ratios {
        Some(Interval { low, high }) if low == high => " (they are the same)".to_owned(),
        Some(Interval { low, high }) if high >= 2.0 || low <= 0.5 => {
            format!(" ({}x to {}x)", times(low), times(high))
        }
        Some(Interval { low, high }) => format!(" ({} to {})", directed(low - 1.0), directed(high - 1.0)),
        None => String::new(),
    }
}

fn unsaid_text(unsaid: Unsaid, count: usize) -> String {
    let says = if count == 1 { "says" } else { "say" };
    match unsaid {
        Unsaid::TooFewRounds { needed } => {
            format!("{} {says} nothing, take at least {needed}", rounds(count))
        }
        Unsaid::TooFewForFamily { family, needed } => format!(
            "{} {says} nothing when {family} workloads are judged at once, take at least {needed}",
            rounds(count)
        ),
    }
}

/// The answer in a few sentences: for each strategy at what it is better, at what worse, where nothing was found, and what cannot be said.
#[must_use]
pub fn summary(report: &Report, answer: &Answer) -> Vec<Summary> {
    opponents(report).into_iter().map(|b| Summary::of(report, answer, b)).collect()
}

/// One strategy against the first one.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Index into [`Report::subjects`].
    pub b: usize,
    /// Where it is better: measures, and in how many of how many cases.
    pub better: Vec<Tally>,
    /// Where it is worse.
    pub worse: Vec<Tally>,
    /// Measures in which no difference was found anywhere.
    pub even: Vec<&'static str>,
    /// Measures of which nothing can be said anywhere.
    pub unsaid: Vec<&'static str>,
}

/// How often a measure came out one way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// The measure.
    pub name: &'static str,
    /// In so many cases.
    pub count: usize,
    /// Of so many: workloads times heaps.
    pub of: usize,
    /// The median of the ratios in these cases, where there are ratios.
    pub ratio: Option<f64>,
}

impl Summary {
    fn of(report: &Report, answer: &Answer, b: usize) -> Summary {
        let mut summary =
            Summary { b, better: Vec::new(), worse: Vec::new(), even: Vec::new(), unsaid: Vec::new() };
        for metric in METRICS {
            let here: Vec<&Verdict> = answer
                .verdicts
                .iter()
                .filter(|verdict| verdict.b == b && verdict.metric.key == metric.key)
                .collect();
            let tally = |side| tally(metric.name, &here, side);
            let (better, worse) = (tally(Side::Better), tally(Side::Worse));
            if better.is_none() && worse.is_none() && !here.is_empty() {
                let said = here.iter().any(|verdict| verdict.side() == Side::Even);
                if said { summary.even.push(metric.name) } else { summary.unsaid.push(metric.name) }
            }
            summary.better.extend(better);
            summary.worse.extend(worse);
        }
        let oracle = report.runs.iter().any(|run| run.kind == Kind::Oracle);
        if !oracle {
            summary.unsaid.push("floating garbage and lag (no run with the oracle)");
        }
        summary
    }
}

fn tally(name: &'static str, verdicts: &[&Verdict], side: Side) -> Option<Tally> {
    let cases: Vec<&&Verdict> = verdicts.iter().filter(|verdict| verdict.side() == side).collect();
    let ratios: Option<Vec<f64>> =
        cases.iter().map(|verdict| verdict.comparison.ratio.map(|ratio| ratio.value)).collect();
    let ratio = ratios.and_then(|ratios| crate::stats::median(&ratios));
    (!cases.is_empty()).then_some(Tally { name, count: cases.len(), of: verdicts.len(), ratio })
}

impl Tally {
    /// As words: `CPU time (12 % less, 4 of 5 cases)`, a case being a workload in a heap.
    #[must_use]
    pub fn text(&self) -> String {
        let amount = match self.ratio {
            Some(ratio) if ratio >= 2.0 || ratio <= 0.5 => format!("{}x, ", times(ratio)),
            Some(ratio) if ratio < 1.0 => format!("{} % less, ", percent(1.0 - ratio)),
            Some(ratio) => format!("{} % more, ", percent(ratio - 1.0)),
            None => String::new(),
        };
        format!("{} ({amount}{} of {} cases)", self.name, self.count, self.of)
    }
}
