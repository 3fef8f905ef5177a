//! The figures that runs are compared by: one number per run each.

use crate::bench::histogram::Counts;
use crate::bench::model::{Kind, Measures, Run};

/// A figure of a run.
#[derive(Debug, Copy, Clone)]
pub struct Metric {
    /// Short and stable: for `--fail-if`, exports and ids of plots.
    pub key: &'static str,
    /// For people.
    pub name: &'static str,
    /// Of the value.
    pub unit: Unit,
    /// Whether less is better.
    pub less_is_better: bool,
    /// The runs that it is taken from.
    pub kind: Kind,
    /// The value; none where it was not measured, or says nothing for want of samples.
    pub of: fn(&Measures) -> Option<f64>,
}

/// What a value counts.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Bytes times seconds.
    ByteSeconds,
    /// Per second.
    PerSecond,
    /// A share from 0 to 1.
    Share,
    /// Something that is counted.
    Count,
}

impl Metric {
    /// The value of a run; none where the run failed, is of another kind, or did not measure it.
    #[must_use]
    pub fn value(&self, run: &Run) -> Option<f64> {
        let usable = run.kind == self.kind && run.outcome.is_ok();
        run.measures.as_deref().filter(|_| usable).and_then(self.of)
    }
}

/// The metric with that key.
#[must_use]
pub fn find(key: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.key == key)
}

/// Samples that must lie beyond a percentile for it to be told.
const BEYOND_MIN: u64 = 10;

fn tail(counts: &Counts, share: f64) -> Option<f64> {
    (counts.beyond(share) >= BEYOND_MIN).then(|| counts.quantile(share)).flatten().map(|ns| ns as f64)
}

fn per_second(count: u64, ns: u64) -> Option<f64> {
    (count > 0 && ns > 0).then(|| count as f64 * 1e9 / ns as f64)
}

const fn less(
    key: &'static str,
    name: &'static str,
    unit: Unit,
    kind: Kind,
    of: fn(&Measures) -> Option<f64>,
) -> Metric {
    Metric { key, name, unit, less_is_better: true, kind, of }
}

const fn more(
    key: &'static str,
    name: &'static str,
    unit: Unit,
    kind: Kind,
    of: fn(&Measures) -> Option<f64>,
) -> Metric {
    Metric { key, name, unit, less_is_better: false, kind, of }
}

fn share_of_window(measures: &Measures, window_ns: u64) -> Option<f64> {
    measures.mmu.iter().find(|point| point.window_ns == window_ns).map(|point| point.share)
}

fn latency<'m>(
    measures: &'m Measures,
    which: fn(&'m crate::bench::model::Latency) -> &'m Counts,
    share: f64,
) -> Option<f64> {
    tail(which(measures.latency.as_ref()?), share)
}

/// All of them, in the order of a verdict.
pub const METRICS: &[Metric] = &[
    less("wall", "wall time", Unit::Nanoseconds, Kind::Timed, |run| Some(run.wall_ns as f64)),
    less("cpu", "CPU time", Unit::Nanoseconds, Kind::Timed, |run| Some(run.cpu_ns as f64)),
    less("collector-cpu", "CPU time of the collector", Unit::Nanoseconds, Kind::Timed, |run| {
        Some(run.cpu.collector_ns() as f64)
    }),
    less("mutator-cpu", "CPU time of mutators", Unit::Nanoseconds, Kind::Timed, |run| {
        Some(run.cpu.mutator_ns as f64)
    }),
    more("throughput", "throughput", Unit::PerSecond, Kind::Timed, |run| {
        per_second(run.operations, run.wall_ns)
    }),
    less("fuel", "fuel", Unit::Count, Kind::Fuel, |run| run.fuel.map(|fuel| fuel as f64)),
    less("crossings", "crossings", Unit::Count, Kind::Timed, |run| run.crossings.map(|count| count as f64)),
    less("pause-p99", "p99 pause", Unit::Nanoseconds, Kind::Timed, |run| tail(&run.pauses, 0.99)),
    less("pause-max", "longest pause", Unit::Nanoseconds, Kind::Timed, |run| Some(run.pauses.max as f64)),
    less("paused", "pauses together", Unit::Nanoseconds, Kind::Timed, |run| Some(run.paused_ns as f64)),
    less("latency-p50", "p50 latency", Unit::Nanoseconds, Kind::Timed, |run| {
        latency(run, |latency| &latency.simple, 0.5)
    }),
    less("latency-p99", "p99 latency", Unit::Nanoseconds, Kind::Timed, |run| {
        latency(run, |latency| &latency.simple, 0.99)
    }),
    less("latency-p999", "p99.9 latency", Unit::Nanoseconds, Kind::Timed, |run| {
        latency(run, |latency| &latency.simple, 0.999)
    }),
    less("metered-p99", "p99 metered latency", Unit::Nanoseconds, Kind::Timed, |run| {
        latency(run, |latency| &latency.metered_100ms, 0.99)
    }),
    less("metered-p999", "p99.9 metered latency", Unit::Nanoseconds, Kind::Timed, |run| {
        latency(run, |latency| &latency.metered_100ms, 0.999)
    }),
    more("mmu-1ms", "least mutator share of any 1 ms", Unit::Share, Kind::Timed, |run| {
        share_of_window(run, 1_000_000)
    }),
    more("mmu-10ms", "least mutator share of any 10 ms", Unit::Share, Kind::Timed, |run| {
        share_of_window(run, 10_000_000)
    }),
    more("mmu-100ms", "least mutator share of any 100 ms", Unit::Share, Kind::Timed, |run| {
        share_of_window(run, 100_000_000)
    }),
    less("footprint", "footprint x time", Unit::ByteSeconds, Kind::Timed, |run| {
        Some(run.footprint.byte_seconds)
    }),
    less("footprint-peak", "peak footprint", Unit::Bytes, Kind::Timed, |run| {
        Some(run.footprint.used_bytes_max as f64)
    }),
    less("strategy-memory", "strategy's own memory", Unit::Bytes, Kind::Timed, |run| {
        Some(run.footprint.strategy_bytes_max as f64)
    }),
    less("messages", "messages between nodes", Unit::Count, Kind::Timed, |run| {
        run.messages.map(|count| count as f64)
    }),
    less("message-bytes", "bytes between nodes", Unit::Bytes, Kind::Timed, |run| {
        run.message_bytes.map(|bytes| bytes as f64)
    }),
    // On one node what is left goes with a later cycle.
    less("left-over", "objects left over", Unit::Count, Kind::Timed, |run| {
        run.messages.and(run.left_over_objects).map(|count| count as f64)
    }),
    less("settle", "time until nothing changes after the end", Unit::Nanoseconds, Kind::Timed, |run| {
        run.messages.map(|_| run.settle_ns as f64)
    }),
    less(
        "nodes-lag",
        "time until the last dead object of all nodes is reclaimed",
        Unit::Nanoseconds,
        Kind::Timed,
        |run| {
            let lags: Option<Vec<u64>> = run.nodes.iter().map(|node| node.lag_ns).collect();
            lags?.into_iter().max().map(|ns| ns as f64)
        },
    ),
    less("floating", "floating garbage", Unit::Bytes, Kind::Oracle, |run| {
        run.quality.as_ref().map(|quality| quality.floating_bytes_mean)
    }),
    less("lag", "p50 lag from death to reclaim", Unit::Nanoseconds, Kind::Oracle, |run| {
        tail(&run.quality.as_ref()?.lag, 0.5)
    }),
    less("lag-p99", "p99 lag from death to reclaim", Unit::Nanoseconds, Kind::Oracle, |run| {
        tail(&run.quality.as_ref()?.lag, 0.99)
    }),
    less("swap-pause", "longest pause of a swap", Unit::Nanoseconds, Kind::Swap, |run| {
        run.swap.as_ref().map(|swap| swap.pause_ns_max as f64)
    }),
    less("swap-time", "time to swap in the next one", Unit::Nanoseconds, Kind::Swap, |run| {
        run.swap.as_ref().map(|swap| swap.total_ns as f64)
    }),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_found() {
        for metric in METRICS {
            assert_eq!(find(metric.key).map(|found| found.name), Some(metric.name));
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn a_tail_without_samples_is_not_told() {
        let mut measures = Measures { pauses: Counts::of(1..=900), ..Measures::default() };
        let metric = find("pause-p99").unwrap();
        assert_eq!((metric.of)(&measures), None);
        measures.pauses = Counts::of(1..=1100);
        assert!((metric.of)(&measures).is_some());
    }
}
