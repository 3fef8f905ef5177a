//! Medians and the ranges they are believed within. No outlier is dropped, no distribution assumed.

/// A set of samples in three numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// Lower end of the range: of the 95 % interval of the median with six samples or more, otherwise the least sample.
    pub low: f64,
    /// Upper end of the range.
    pub high: f64,
    /// Number of samples.
    pub sample_count: usize,
}

/// Fewest samples for which a 95 % interval of the median exists.
pub const INTERVAL_SAMPLES_MIN: usize = 6;

/// Summarises samples; `None` where there are none or one is not a number.
pub fn summary(samples: &[f64]) -> Option<Summary> {
    if samples.is_empty() || samples.iter().any(|sample| sample.is_nan()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let skip = outside(sorted.len());
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    };
    Some(Summary {
        median,
        low: sorted[skip],
        high: sorted[sorted.len() - 1 - skip],
        sample_count: sorted.len(),
    })
}

/// The median; `None` where there is no sample.
pub fn median(samples: &[f64]) -> Option<f64> {
    summary(samples).map(|summary| summary.median)
}

/// The range of ratios of two contestants that ran in the same rounds: round by round, so that what slows a whole round cancels out.
///
/// `None` where the rounds do not pair up or a denominator is not positive.
pub fn paired_ratio(numerators: &[f64], denominators: &[f64]) -> Option<Summary> {
    if numerators.len() != denominators.len() || denominators.iter().any(|value| *value <= 0.0) {
        return None;
    }
    let ratios: Vec<f64> = numerators.iter().zip(denominators).map(|(above, below)| above / below).collect();
    summary(&ratios)
}

/// How many sorted samples lie outside the 95 % interval of the median at each end: the greatest k with P(Binomial(n, 1/2) < k) <= 2.5 %.
/// The interval between order statistics needs no assumption about the distribution (Conover, Practical nonparametric statistics).
fn outside(samples: usize) -> usize {
    if !(INTERVAL_SAMPLES_MIN..=1000).contains(&samples) {
        // From a thousand on the powers below leave the range of f64; the normal approximation is exact enough there.
        let n = samples as f64;
        return if samples > 1000 { ((n - 1.96 * n.sqrt()) / 2.0) as usize } else { 0 };
    }
    let mut term = 0.5_f64.powi(samples as i32);
    let (mut below, mut k) = (0.0, 0);
    while below + term <= 0.025 {
        below += term;
        term *= (samples - k) as f64 / (k + 1) as f64;
        k += 1;
    }
    k.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn interval_is_the_one_of_the_tables() {
        // Ranks of the 95 % interval in the usual tables: n = 6 gives 1..6, n = 9 gives 2..8, n = 20 gives 6..15.
        for (count, low, high) in [(5, 1.0, 5.0), (6, 1.0, 6.0), (9, 2.0, 8.0), (20, 6.0, 15.0)] {
            let samples: Vec<f64> = (1..=count).map(f64::from).collect();
            let summary = summary(&samples).unwrap();
            assert_eq!((summary.low, summary.high), (low, high), "{count} samples");
        }
    }

    #[test]
    fn interval_of_many_samples_is_narrow_and_holds_the_median() {
        for count in [1000, 1001, 4000] {
            let samples: Vec<f64> = (1..=count).map(f64::from).collect();
            let Summary { median, low, high, .. } = summary(&samples).unwrap();
            assert!(low < median && median < high, "{count}: {low} {median} {high}");
            assert!(high - low < 2.2 * f64::from(count).sqrt(), "{count}: {low} {high}");
        }
    }

    #[test]
    fn a_slow_round_does_not_move_a_paired_ratio() {
        let ratio = paired_ratio(&[1.0, 10.0, 1.0], &[5.0, 50.0, 5.0]).unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high), (0.2, 0.2, 0.2));
        assert_eq!(paired_ratio(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(paired_ratio(&[1.0], &[0.0]), None);
    }
}
