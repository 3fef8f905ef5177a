//! Limits that a comparison must keep, as given to `--fail-if`: `cpu > +3%`.
//!
//! ```text
//!  limit   = [ workload "/" ] measure [ "@" number "x" ] operator amount
//!  operator= ">" | ">=" | "<" | "<="
//!  amount  = ("+" | "-") number "%"            change of B against A
//!          | number "x"                        B over A
//!          | ("+" | "-") number unit           B less A
//!          | number [ unit ]                   B itself
//!  unit    = "ns" | "us" | "ms" | "s" | "B" | "KiB" | "MiB" | "GiB" | "kB" | "MB" | "GB" | "k" | "M" | "G" | "%"
//! ```
//!
//! It is written as what must not happen. A limit on a change is broken when the median of the paired rounds is beyond it *and* the two sides were found
//! to differ: noise alone breaks nothing. A limit on B itself is broken when the median of B is beyond it. Where there are too few rounds nothing
//! is broken and nothing is kept, and the caller is told so.

use std::fmt;
use std::str::FromStr;

use crate::answer::units::show;
use crate::answer::{Answer, Verdict};
use crate::bench::metric::{METRICS, Metric, Unit, find};
use crate::bench::model::Report;
use crate::stats::Finding;

/// A limit.
#[derive(Debug, Clone)]
pub struct Limit {
    /// As it was given.
    pub text: String,
    /// Only on this workload.
    pub workload: Option<String>,
    /// The measure.
    pub metric: &'static Metric,
    /// Only at this multiple of the minimum heap.
    pub heap_multiple: Option<f64>,
    above: bool,
    or_equal: bool,
    amount: Amount,
}

/// What is held against a limit. A is what is compared with: of a budget, what served before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// B over A.
    Ratio(f64),
    /// B less A, in base units.
    Difference(f64),
    /// B itself, in base units.
    Itself(f64),
}

/// A limit as it is written, before anybody knows what its subject is: for limits and for budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clause<'t> {
    /// What stands before the operator.
    pub subject: &'t str,
    /// Whether the operator is `>` or `>=`.
    pub above: bool,
    /// Whether the operator is `>=` or `<=`.
    pub or_equal: bool,
    amount: &'t str,
}

impl<'t> Clause<'t> {
    /// Splits a text at its operator; none if it has none.
    #[must_use]
    pub fn split(text: &'t str) -> Option<Clause<'t>> {
        let (subject, rest) = text.split_at(text.find(['<', '>'])?);
        let above = rest.starts_with('>');
        let rest = &rest[1..];
        let (or_equal, amount) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
        Some(Clause { subject: subject.trim(), above, or_equal, amount: amount.trim() })
    }

    /// The amount of a measure with that key and unit.
    ///
    /// # Errors
    ///
    /// [`LimitError::NoAmount`] says how amounts of it are written.
    pub fn amount(&self, measure: &'static str, unit: Unit) -> Result<Amount, LimitError> {
        let found = || self.amount.to_owned();
        amount_of(self.amount, unit).ok_or_else(|| LimitError::NoAmount {
            found: found(),
            measure,
            wanted: wanted(unit),
        })
    }
}

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// No operator in it.
    #[error("'{0}' is no limit: write a measure, an operator and an amount, for example 'cpu > +3%'")]
    NoOperator(String),
    /// No such measure.
    #[error("'{found}' is no measure: take one of {}", measures())]
    NoMeasure {
        /// What was given.
        found: String,
    },
    /// An amount that is none.
    #[error("'{found}' is no amount for {measure}: write {wanted}")]
    NoAmount {
        /// What was given.
        found: String,
        /// The measure.
        measure: &'static str,
        /// How amounts of it are written.
        wanted: &'static str,
    },
    /// A heap that is none.
    #[error("'{0}' is no heap: write a multiple of the minimum, for example '2x'")]
    NoHeap(String),
}

fn measures() -> String {
    METRICS.iter().map(|metric| metric.key).collect::<Vec<_>>().join(", ")
}

/// Short names that people use.
fn named(word: &str) -> Option<&'static Metric> {
    let key = match word {
        "time" => "wall",
        "pause" => "pause-max",
        "p50" => "latency-p50",
        "p99" => "latency-p99",
        "p999" | "p99.9" => "latency-p999",
        other => other,
    };
    find(key)
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Limit, LimitError> {
        let clause = Clause::split(text).ok_or_else(|| LimitError::NoOperator(text.to_owned()))?;
        let Clause { subject, above, or_equal, .. } = clause;
        let (place, heap) =
            subject.split_once('@').map_or((subject, None), |(place, heap)| (place, Some(heap)));
        let (workload, word) =
            place.rsplit_once('/').map_or((None, place), |(workload, word)| (Some(workload), word));
        let metric =
            named(word.trim()).ok_or_else(|| LimitError::NoMeasure { found: word.trim().to_owned() })?;
        Ok(Limit {
            text: text.trim().to_owned(),
            workload: workload.map(|workload| workload.trim().to_owned()),
            metric,
            heap_multiple: heap.map(multiple).transpose()?,
            above,
            or_equal,
            amount: clause.amount(metric.key, metric.unit)?,
        })
    }
}

fn multiple(text: &str) -> Result<f64, LimitError> {
    let number = text.trim().trim_end_matches('x').parse().ok();
    number
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .ok_or_else(|| LimitError::NoHeap(text.trim().to_owned()))
}

fn amount_of(text: &str, of: Unit) -> Option<Amount> {
    let end = text.find(|letter: char| letter.is_alphabetic() || letter == '%').unwrap_or(text.len());
    let (number, unit) = (text[..end].trim(), text[end..].trim());
    let value: f64 = number.parse().ok().filter(|value: &f64| value.is_finite())?;
    let signed = number.starts_with(['+', '-']);
    match (unit, signed) {
        ("%", true) if of != Unit::Share => Some(Amount::Ratio(1.0 + value / 100.0)),
        ("x", false) => Some(Amount::Ratio(value)),
        _ => {
            let value = value * factor(unit, of)?;
            Some(if signed { Amount::Difference(value) } else { Amount::Itself(value) })
        }
    }
}

/// What one of a unit is in base units; none if values of that kind are not told in it.
fn factor(unit: &str, of: Unit) -> Option<f64> {
    let table: &[(&str, f64)] = match of {
        Unit::Nanoseconds => &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)],
        Unit::Bytes | Unit::ByteSeconds => &[
            ("B", 1.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
        ],
        Unit::Share => &[("", 1.0), ("%", 0.01)],
        Unit::PerSecond | Unit::Count => &[("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9)],
    };
    table.iter().find(|(name, _)| *name == unit).map(|&(_, factor)| factor)
}

fn wanted(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "a change ('+3%', '1.5x', '+2ms') or a time ('50us')",
        Unit::Bytes => "a change ('+3%', '1.5x', '+2MiB') or a size ('64MiB')",
        Unit::ByteSeconds => "a change ('+3%', '1.5x') or bytes times seconds ('64MiB')",
        Unit::Share => "a change ('-5%' of the whole) or a share ('90%')",
        Unit::PerSecond => "a change ('-3%', '0.9x') or a rate per second ('20k')",
        Unit::Count => "a change ('+3%', '1.5x') or a count ('20k')",
    }
}

/// What became of a limit in one place.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// It was kept.
    Kept,
    /// It was broken.
    Broken,
    /// There are too few rounds to say.
    Unsaid,
}

/// A limit held against one verdict.
#[derive(Debug, Clone)]
pub struct Held<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// What became of it.
    pub kept: Kept,
    /// What was found, for people.
    pub found: String,
}

impl fmt::Display for Held<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.found)
    }
}

impl Limit {
    /// Holds the limit against every verdict that it is about. None are returned if the report has no such measure, workload or heap.
    #[must_use]
    pub fn hold<'a>(&self, report: &Report, answer: &'a Answer) -> Vec<Held<'a>> {
        let about = answer.verdicts.iter().filter(|verdict| self.is_about(report, verdict));
        about
            .map(|verdict| Held { verdict, kept: self.kept(verdict), found: self.found(report, verdict) })
            .collect()
    }

    fn is_about(&self, report: &Report, verdict: &Verdict) -> bool {
        let workload = report.workloads.get(verdict.workload).map(|workload| workload.label.as_str());
        verdict.metric.key == self.metric.key
            && (self.workload.is_none() || self.workload.as_deref() == workload)
            && (self.heap_multiple.is_none() || self.heap_multiple == verdict.heap_multiple)
    }

    fn kept(&self, verdict: &Verdict) -> Kept {
        let comparison = &verdict.comparison;
        if matches!(comparison.finding, Finding::Unsaid(_)) {
            return Kept::Unsaid;
        }
        let different = comparison.finding == Finding::Different;
        let broken = match (self.amount, comparison.ratio) {
            (Amount::Ratio(limit), Some(ratio)) => different && self.beyond(ratio.value, limit),
            // From nothing to something is beyond any ratio.
            (Amount::Ratio(_), None) => different && self.above == (comparison.difference.value > 0.0),
            (Amount::Difference(limit), _) => different && self.beyond(comparison.difference.value, limit),
            (Amount::Itself(limit), _) => self.beyond(comparison.median_b, limit),
        };
        if broken { Kept::Broken } else { Kept::Kept }
    }

    fn beyond(&self, value: f64, limit: f64) -> bool {
        let past = if self.above { value > limit } else { value < limit };
        past || (self.or_equal && value == limit)
    }

    fn found(&self, report: &Report, verdict: &Verdict) -> String {
        let subject = |index: usize| report.subjects.get(index).map_or("?", |subject| subject.label.as_str());
        let workload = report.workloads.get(verdict.workload).map_or("?", |workload| workload.label.as_str());
        let heap = verdict.heap_multiple.map_or(String::new(), |multiple| format!(" at {multiple}x heap"));
        let comparison = &verdict.comparison;
        let unit = verdict.metric.unit;
        let change = comparison
            .ratio
            .map_or(String::new(), |ratio| format!(", {:+.1} %", 100.0 * (ratio.value - 1.0)));
        format!(
            "{} of {} on {workload}{heap}: {} against {} of {}{change} ({} rounds)",
            verdict.metric.name,
            subject(verdict.b),
            show(comparison.median_b, unit),
            show(comparison.median_a, unit),
            subject(verdict.a),
            comparison.rounds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Limit, LimitError> {
        text.parse()
    }

    #[test]
    fn limits_are_read() {
        for (text, key, above, amount) in [
            ("cpu > +3%", "cpu", true, Amount::Ratio(1.03)),
            ("cpu>=1.5x", "cpu", true, Amount::Ratio(1.5)),
            ("throughput < -5 %", "throughput", false, Amount::Ratio(0.95)),
            ("p999 > 50us", "latency-p999", true, Amount::Itself(50_000.0)),
            ("pause > +2ms", "pause-max", true, Amount::Difference(2e6)),
            ("footprint-peak > 64MiB", "footprint-peak", true, Amount::Itself(67_108_864.0)),
            ("mmu-10ms < 90%", "mmu-10ms", false, Amount::Itself(0.9)),
            ("mmu-10ms < -5%", "mmu-10ms", false, Amount::Difference(-0.05)),
            ("fuel > 20k", "fuel", true, Amount::Itself(20_000.0)),
        ] {
            let limit = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((limit.metric.key, limit.above, limit.amount), (key, above, amount), "{text}");
        }
        let limit = parse("churn?a/b / cpu @ 2x > +3%").unwrap();
        assert_eq!((limit.workload.as_deref(), limit.heap_multiple), (Some("churn?a/b"), Some(2.0)));
    }

    #[test]
    fn what_is_no_limit_says_how_one_looks() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message("cpu").contains("for example 'cpu > +3%'"));
        assert!(message("speed > 3%").contains("take one of wall, cpu, collector-cpu"));
        assert!(message("cpu > 3%").contains("'3%' is no amount for cpu: write a change ('+3%'"));
        assert!(message("cpu > 5MiB").contains("'5MiB' is no amount"));
        assert!(message("cpu > ").contains("'' is no amount"));
        assert!(message("cpu@big > +3%").contains("'big' is no heap"));
        assert!(message("cpu > +NaN%").contains("no amount"));
    }
}
