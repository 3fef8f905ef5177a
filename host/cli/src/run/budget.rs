//! `--budget`: what a canary must keep, written as `--fail-if` of `host bench` is, but as what must hold.
//!
//! ```text
//!  p999 < 50us     max <= 1ms     cpu < +3%     memory < 64MiB     mark < 1.5x
//! ```
//!
//! The measures are those that a node knows of itself; see [`gc_node::canary`]. A change (`+3%`, `1.5x`, `+2ms`) is one against the strategy that serves
//! while the candidate runs beside it.

use gc_lab::answer::limit::{self, Clause};
use gc_lab::bench::metric;
use gc_node::canary::{Amount, Limit, Measure, Unit};

/// Reads one, for clap.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    let clause = Clause::split(text).ok_or_else(|| {
        format!("'{text}' is no budget: write a measure, an operator and an amount, such as 'p999 < 50us'")
    })?;
    let measure = named(clause.subject).ok_or_else(|| {
        let known: Vec<&str> = Measure::ALL.into_iter().map(Measure::key).collect();
        format!("'{}' is nothing that a node measures: take one of {}", clause.subject, known.join(", "))
    })?;
    let unit = match measure.unit() {
        Unit::Nanoseconds => metric::Unit::Nanoseconds,
        Unit::Bytes => metric::Unit::Bytes,
        Unit::Share => metric::Unit::Share,
    };
    let amount = match clause.amount(measure.key(), unit).map_err(|error| error.to_string())? {
        limit::Amount::Itself(value) => Amount::Itself(value),
        limit::Amount::Ratio(ratio) => Amount::Ratio(ratio),
        limit::Amount::Difference(more) => Amount::Difference(more),
    };
    if measure == Measure::Missed && !matches!(amount, Amount::Itself(_)) {
        return Err(format!(
            "'{text}': the present strategy misses nothing of its own: write a share ('5%')"
        ));
    }
    Ok(Limit { text: text.trim().into(), measure, above: clause.above, or_equal: clause.or_equal, amount })
}

/// By its key, or as `host bench` calls it.
fn named(word: &str) -> Option<Measure> {
    let key = match word {
        "p99.9" => "p999",
        "pause-p99" => "p99",
        "pause" | "pause-max" => "max",
        "collector-cpu" => "cpu",
        "strategy-memory" => "memory",
        "footprint-peak" => "heap",
        other => other,
    };
    Measure::ALL.into_iter().find(|measure| measure.key() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        for (text, measure, or_equal, amount) in [
            ("p999 < 50us", Measure::HoldupP999, false, Amount::Itself(50_000.0)),
            ("max<=1ms", Measure::HoldupMax, true, Amount::Itself(1e6)),
            ("pause < +2ms", Measure::HoldupMax, false, Amount::Difference(2e6)),
            ("cpu < 25%", Measure::Cpu, false, Amount::Itself(0.25)),
            ("cpu < +3%", Measure::Cpu, false, Amount::Difference(0.03)),
            ("mark < 1.5x", Measure::Mark, false, Amount::Ratio(1.5)),
            ("memory < 64MiB", Measure::Memory, false, Amount::Itself(67_108_864.0)),
            ("heap < +10%", Measure::Heap, false, Amount::Ratio(1.1)),
            ("missed < 5%", Measure::Missed, false, Amount::Itself(0.05)),
        ] {
            let limit = limit(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((limit.measure, limit.above, limit.or_equal), (measure, false, or_equal), "{text}");
            assert!(close(limit.amount, amount), "{text}: {:?}", limit.amount);
        }
        assert!(limit("cpu > 1%").unwrap().above);
    }

    fn close(one: Amount, other: Amount) -> bool {
        let near = |one: f64, other: f64| (one / other - 1.0).abs() < 1e-9;
        match (one, other) {
            (Amount::Itself(one), Amount::Itself(other))
            | (Amount::Ratio(one), Amount::Ratio(other))
            | (Amount::Difference(one), Amount::Difference(other)) => near(one, other),
            _ => false,
        }
    }

    #[test]
    fn what_is_no_budget_says_how_one_looks() {
        for (text, word) in [
            ("p999", "'p999 < 50us'"),
            ("wall < 3s", "p50, p99, p999, max, cpu, mark, memory, heap, missed"),
            ("p999 < 50MiB", "a time ('50us')"),
            ("memory < much", "a size ('64MiB')"),
            ("missed < +5%", "a share ('5%')"),
        ] {
            let error = limit(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
