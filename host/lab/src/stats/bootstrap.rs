//! Percentile bootstrap of medians (Efron 1979): how far the median would move if the rounds had fallen otherwise.
//!
//! Rounds are drawn with replacement, [`Bootstrap::resamples`] times; the interval holds the middle [`Bootstrap::confidence`] of the medians found. The
//! unit that is drawn is the round, so what the sides of a round have in common stays together: callers pass differences or ratios of rounds.
//!
//! Draws are positions in the *sorted* sample. That has the same distribution as positions in the given order, and makes the interval independent
//! of the order of rounds; and the median of a resample is found by counting instead of sorting.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::stats::describe::{geometric_mean, median_in_place, quantile_sorted};

/// From here to there, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies in it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// A figure, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Where it lies with the wanted confidence. Absent where there are too few rounds for that.
    pub interval: Option<Interval>,
}

/// How to resample. The same seed gives the same intervals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// How often to draw.
    pub resamples: u32,
    /// Share of the resampled figures that the interval holds, from 0 to 1.
    pub confidence: f64,
    /// Seed of the draws.
    pub seed: u64,
    /// Fewer values have no interval.
    pub count_min: usize,
}

impl Default for Bootstrap {
    fn default() -> Bootstrap {
        Bootstrap { resamples: 10_000, confidence: 0.95, seed: 1, count_min: 6 }
    }
}

impl Bootstrap {
    /// The median of a sample with its interval. None of an empty sample. Linear in resamples times values.
    #[must_use]
    pub fn median(&self, sample: &[f64]) -> Option<Estimate> {
        let sorted = sorted(sample);
        let value = quantile_sorted(&sorted, 0.5)?;
        let mut draws = self.draws();
        let mut found: Vec<f64> = Vec::new();
        if sorted.len() >= self.count_min {
            let mut hits = vec![0_u32; sorted.len()];
            found.extend((0..self.resamples).map(|_| resampled_median(&sorted, &mut hits, &mut draws)));
        }
        Some(Estimate { value, interval: self.middle(found) })
    }

    /// The geometric mean of medians, one per group: of ratios of rounds, one group per workload. Each group is resampled for itself. None without
    /// groups, with an empty one, or with a median that is not above zero.
    #[must_use]
    pub fn geometric_mean_of_medians(&self, groups: &[Vec<f64>]) -> Option<Estimate> {
        let medians: Option<Vec<f64>> =
            groups.iter().map(|group| median_in_place(&mut group.clone())).collect();
        let value = geometric_mean(&medians?)?;
        let sorted: Vec<Vec<f64>> = groups.iter().map(|group| sorted(group)).collect();
        let enough = sorted.iter().all(|group| group.len() >= self.count_min);
        let mut draws = self.draws();
        let mut found: Vec<f64> = Vec::new();
        for _ in 0..if enough { self.resamples } else { 0 } {
            let medians: Vec<f64> = sorted
                .iter()
                .map(|group| resampled_median(group, &mut vec![0; group.len()], &mut draws))
                .collect();
            found.push(geometric_mean(&medians)?);
        }
        Some(Estimate { value, interval: self.middle(found) })
    }

    /// The positions in a sorted sample that the first resamples of `count` values consist of. For checking against other programs.
    #[must_use]
    pub fn positions(&self, count: usize, resamples: usize) -> Vec<Vec<usize>> {
        let mut draws = self.draws();
        (0..resamples).map(|_| (0..count).map(|_| draws.random_range(0..count)).collect()).collect()
    }

    fn draws(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    fn middle(&self, mut found: Vec<f64>) -> Option<Interval> {
        found.sort_unstable_by(f64::total_cmp);
        let outside = (1.0 - self.confidence) / 2.0;
        Some(Interval {
            low: quantile_sorted(&found, outside)?,
            high: quantile_sorted(&found, 1.0 - outside)?,
        })
    }
}

fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Draws as many positions as there are values, and walks up to the middle of them.
fn resampled_median(sorted: &[f64], hits: &mut [u32], draws: &mut ChaCha8Rng) -> f64 {
    let count = sorted.len();
    hits.fill(0);
    for _ in 0..count {
        hits[draws.random_range(0..count)] += 1;
    }
    let at = |rank: usize| {
        let mut seen = 0;
        let place = hits.iter().position(|&hit| {
            seen += hit as usize;
            seen > rank
        });
        sorted[place.unwrap_or(count - 1)]
    };
    let upper = at(count / 2);
    if count.is_multiple_of(2) {
        let lower = at(count / 2 - 1);
        lower + (upper - lower) / 2.0
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quick() -> Bootstrap {
        Bootstrap { resamples: 300, ..Bootstrap::default() }
    }

    #[test]
    fn too_few_values_have_a_median_and_no_interval() {
        let found = quick().median(&[3.0, 1.0, 2.0, 5.0, 4.0]).unwrap();
        assert_eq!((found.value, found.interval), (3.0, None));
        assert!(quick().median(&[3.0, 1.0, 2.0, 5.0, 4.0, 6.0]).unwrap().interval.is_some());
        assert_eq!(quick().median(&[]), None);
    }

    #[test]
    fn values_without_spread_are_certain() {
        let found = quick().median(&[7.0; 20]).unwrap();
        assert_eq!(found.interval, Some(Interval { low: 7.0, high: 7.0 }));
    }

    #[test]
    fn the_interval_is_that_of_efrons_formula() {
        // Of 11 different values, the median of a resample is the k-th or less when at least 6 of 11 draws hit the first k:
        // binomial tails give 0.7 % for k = 2, 5.1 % for 3; so the lower 2.5 % quantile is the third value.
        let values: Vec<f64> = (1..=11).map(f64::from).collect();
        let found = Bootstrap { resamples: 20_000, ..Bootstrap::default() }.median(&values).unwrap();
        assert_eq!(found.interval, Some(Interval { low: 3.0, high: 9.0 }));
    }

    #[test]
    fn the_mean_over_workloads_is_narrower_than_one_of_them() {
        let group: Vec<f64> = (0..20).map(|i| 1.0 + f64::from(i * 7 % 20) / 100.0).collect();
        let width =
            |estimate: Estimate| estimate.interval.map(|interval| interval.high - interval.low).unwrap();
        let one = quick().geometric_mean_of_medians(std::slice::from_ref(&group)).unwrap();
        let many = quick().geometric_mean_of_medians(&vec![group; 9]).unwrap();
        assert!(width(many) < width(one) / 2.0);
        assert_eq!(quick().geometric_mean_of_medians(&[vec![0.0; 9]]), None);
        assert_eq!(quick().geometric_mean_of_medians(&[]), None);
    }

    proptest! {
        #[test]
        fn the_same_seed_and_any_order_give_the_same_interval(
            (sample, shuffled) in prop::collection::vec(-1e6..1e6_f64, 6..40)
                .prop_flat_map(|sample| (Just(sample.clone()), Just(sample).prop_shuffle())),
        ) {
            prop_assert_eq!(quick().median(&sample), quick().median(&shuffled));
        }

        #[test]
        fn shifting_and_stretching_move_the_interval_along(
            sample in prop::collection::vec((-1000_i32..1000).prop_map(f64::from), 6..40),
        ) {
            let moved: Vec<f64> = sample.iter().map(|value| 4.0 * value + 64.0).collect();
            let (from, to) = (quick().median(&sample).unwrap(), quick().median(&moved).unwrap());
            let (from, to) = (from.interval.unwrap(), to.interval.unwrap());
            prop_assert!((4.0 * from.low + 64.0 - to.low).abs() < 1e-9);
            prop_assert!((4.0 * from.high + 64.0 - to.high).abs() < 1e-9);
        }

        #[test]
        fn the_median_lies_in_its_interval(sample in prop::collection::vec(-1e6..1e6_f64, 6..40)) {
            let found = quick().median(&sample).unwrap();
            prop_assert!(found.interval.unwrap().holds(found.value));
        }
    }
}
