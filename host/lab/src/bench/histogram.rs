//! Histograms as they stand in a result: the filled buckets and nothing else.
//!
//! A bucket is known by the highest value that falls into it, as [`hdrhistogram`] rounds at [`DIGITS`] significant digits; so percentiles are at most
//! 1 % too high, and two of them add up bucket by bucket. Some hundred numbers per histogram, readable without a library.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Significant decimal digits.
pub const DIGITS: u8 = 2;

/// Largest value that is told from others: an hour in nanoseconds.
const VALUE_MAX: u64 = 3_600_000_000_000;

/// How often which value was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Pairs of the highest value of a bucket and how often it was hit, ascending, none empty.
    pub buckets: Vec<(u64, u64)>,
    /// The largest value itself, not rounded; 0 if there is none.
    pub max: u64,
    /// Sum of all values.
    pub sum: u64,
}

/// A histogram to record into.
#[must_use]
pub fn recorder() -> Histogram<u64> {
    Histogram::new_with_bounds(1, VALUE_MAX, DIGITS).expect("the bounds are constants and in order")
}

impl Counts {
    /// Of these values.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Counts {
        let mut histogram = recorder();
        let (mut max, mut sum) = (0, 0_u64);
        for value in values {
            histogram.saturating_record(value);
            max = max.max(value);
            sum = sum.saturating_add(value);
        }
        Counts { max, sum, ..Counts::from(&histogram) }
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, count)| count).sum()
    }

    /// Their mean; none without values.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum as f64 / count as f64)
    }

    /// The value that this share of all values does not exceed, rounded up to its bucket; none without values.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for &(value, hits) in &self.buckets {
            seen += hits;
            if seen >= rank {
                return Some(value.min(self.max));
            }
        }
        None
    }

    /// How many values lie beyond that quantile: with fewer than ten, a tail percentile says little.
    #[must_use]
    pub fn beyond(&self, share: f64) -> u64 {
        let count = self.count();
        count - ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).min(count)
    }

    /// Adds the values of another one.
    pub fn add(&mut self, other: &Counts) {
        let mut buckets: BTreeMap<u64, u64> = self.buckets.iter().copied().collect();
        for &(value, count) in &other.buckets {
            *buckets.entry(value).or_default() += count;
        }
        self.buckets = buckets.into_iter().collect();
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// As a histogram of the library, for its formats.
    #[must_use]
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram = recorder();
        for &(value, count) in &self.buckets {
            histogram.saturating_record_n(value.min(self.max), count);
        }
        histogram
    }
}

impl From<&Histogram<u64>> for Counts {
    /// Of a histogram of any precision: what it tells finer than [`DIGITS`] digits is given up. The sum is that of the middles of its buckets.
    fn from(histogram: &Histogram<u64>) -> Counts {
        let mut own = recorder();
        let mut sum = 0.0;
        for step in histogram.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_at_value());
            own.saturating_record_n(histogram.lowest_equivalent(value).max(1), count);
            sum += histogram.median_equivalent(value) as f64 * count as f64;
        }
        let pair = |value: u64, count| (own.highest_equivalent(value), count);
        let buckets =
            own.iter_recorded().map(|step| pair(step.value_iterated_to(), step.count_at_value())).collect();
        Counts { buckets, max: histogram.max(), sum: sum as u64 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_percentiles() {
        let none = Counts::of([]);
        assert_eq!((none.count(), none.quantile(0.5), none.mean(), none.max), (0, None, None, 0));
    }

    #[test]
    fn a_percentile_says_how_much_lies_beyond_it() {
        let counts = Counts::of(1..=1000);
        assert_eq!((counts.beyond(0.999), counts.beyond(0.99), counts.beyond(1.0)), (1, 10, 0));
    }

    #[test]
    fn a_finer_histogram_is_told_coarser() {
        let mut fine = Histogram::<u64>::new_with_bounds(1, VALUE_MAX, 3).unwrap();
        (1..=100_000).for_each(|value| fine.saturating_record(value));
        let counts = Counts::from(&fine);
        assert_eq!((counts.count(), counts.buckets.len()), (100_000, Counts::of(1..=100_000).buckets.len()));
        let median = counts.quantile(0.5).unwrap();
        assert!(median.abs_diff(50_000) < 500, "{median}");
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_values_up_to_a_hundredth(
            mut values in prop::collection::vec(1_u64..10_000_000_000, 1..300),
            share in 0.0..=1.0_f64,
        ) {
            let counts = Counts::of(values.iter().copied());
            values.sort_unstable();
            let rank = ((share * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let found = counts.quantile(share).unwrap();
            prop_assert!(found >= exact && found as f64 <= exact as f64 * 1.01 + 1.0, "{found} for {exact}");
            prop_assert_eq!(counts.quantile(1.0), values.last().copied());
            prop_assert_eq!(counts.sum, values.iter().sum::<u64>());
        }

        #[test]
        fn two_add_up_as_their_values_do(
            left in prop::collection::vec(1_u64..1_000_000, 0..100),
            right in prop::collection::vec(1_u64..1_000_000, 0..100),
        ) {
            let mut sum = Counts::of(left.iter().copied());
            sum.add(&Counts::of(right.iter().copied()));
            let all = Counts::of(left.into_iter().chain(right));
            prop_assert_eq!(&sum, &all);
            prop_assert_eq!(Counts::from(&all.histogram()).buckets, all.buckets);
        }
    }
}
