//! Figures of one sample.

/// The value that `share` of a sorted sample lies below, between neighbours by a straight line (type 7 of Hyndman and Fan 1996, the default of numpy).
/// None of an empty sample.
#[must_use]
pub fn quantile_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(between(sorted[below], sorted[above], place - below as f64))
}

/// The same of a sample in any order.
#[must_use]
pub fn quantile(sample: &[f64], share: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_sorted(&sorted, share)
}

/// The middle of a sample: of an even number of values the mean of the two in the middle. None of an empty sample.
#[must_use]
pub fn median(sample: &[f64]) -> Option<f64> {
    median_in_place(&mut sample.to_vec())
}

/// The same in linear time; the sample is left in some other order.
pub fn median_in_place(sample: &mut [f64]) -> Option<f64> {
    let middle = sample.len() / 2;
    let even = sample.len().is_multiple_of(2);
    if sample.is_empty() {
        return None;
    }
    let (below, &mut upper, _) = sample.select_nth_unstable_by(middle, f64::total_cmp);
    if !even {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(lower + (upper - lower) / 2.0)
}

/// The mean of ratios as it must be taken: halving and doubling cancel. None unless all values are above zero.
#[must_use]
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    if ratios.is_empty() || ratios.iter().any(|&ratio| !ratio.is_finite() || ratio <= 0.0) {
        return None;
    }
    Some((ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp())
}

/// How likely at least so many of `of` independent trials succeed that each do so with this probability (the upper tail of the binomial distribution).
#[must_use]
pub fn at_least(count: usize, of: usize, probability: f64) -> f64 {
    let odds = probability / (1.0 - probability);
    let (mut term, mut below) = ((1.0 - probability).powf(of as f64), 0.0);
    for successes in 0..count.min(of + 1) {
        below += term;
        term *= odds * of.saturating_sub(successes) as f64 / (successes + 1) as f64;
    }
    (1.0 - below).clamp(0.0, 1.0)
}

fn between(low: f64, high: f64, share: f64) -> f64 {
    if share == 0.0 || low == high { low } else { low + (high - low) * share }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_middle() {
        assert_eq!((median(&[]), quantile(&[], 0.5), geometric_mean(&[])), (None, None, None));
    }

    /// Figures by scipy.stats.binom.sf.
    #[test]
    fn at_least_so_many_is_the_tail_of_the_binomial_distribution() {
        for (count, of, tail) in [
            (2, 35, 0.5279735402457464),
            (5, 35, 0.029026281822406567),
            (1, 1, 0.05),
            (0, 7, 1.0),
            (8, 7, 0.0),
        ] {
            assert!((at_least(count, of, 0.05) - tail).abs() < 1e-12, "{count} of {of}");
        }
    }

    #[test]
    fn ratios_that_are_none_have_no_mean() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(geometric_mean(&[2.0, bad]), None, "{bad}");
        }
        assert_eq!(geometric_mean(&[0.5, 2.0]), Some(1.0));
    }

    proptest! {
        #[test]
        fn the_median_is_the_quantile_at_one_half(sample in prop::collection::vec(-1e6..1e6_f64, 1..60)) {
            let (fast, slow) = (median(&sample).unwrap(), quantile(&sample, 0.5).unwrap());
            prop_assert!((fast - slow).abs() <= 1e-9 * slow.abs().max(1.0), "{fast} and {slow}");
        }
    }
}
