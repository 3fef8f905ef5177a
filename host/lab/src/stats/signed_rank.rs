//! Paired samples: Wilcoxon's signed-rank test, exact also with ties.
//!
//! Wilcoxon 1945. Differences of zero are left out, as he did. The rest are ranked by size, and W is the sum of the ranks of the positive ones. If nothing
//! but chance decides the signs, each of the `2^n` sign patterns is as likely as any other; how many of them give at least as uneven a W is counted out
//! by adding one rank after the other. Ranks are doubled for that, so that shared ones stay whole numbers.

use crate::stats::normal;
use crate::stats::ranks::midranks;

/// Differences up to which p is counted out; beyond, the normal approximation is as good.
const EXACT_COUNT_MAX: usize = 200;

/// What Wilcoxon says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedRank {
    /// Sum of the ranks of the positive differences.
    pub w: f64,
    /// How likely at least as uneven a W is, in either direction, if signs are chance.
    pub p: f64,
    /// Differences that are not zero.
    pub count: usize,
}

/// Tests whether differences lie to one side of zero. Without any that is not zero p is 1. Cubic in their number where it is exact (up to 200).
#[must_use]
pub fn signed_rank(differences: &[f64]) -> SignedRank {
    let differences: Vec<f64> = differences.iter().copied().filter(|&difference| difference != 0.0).collect();
    let count = differences.len();
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let (ranks, ties) = midranks(&sizes);
    let w: f64 = differences
        .iter()
        .zip(&ranks)
        .filter(|&(&difference, _)| difference > 0.0)
        .map(|(_, rank)| rank)
        .sum();
    let p = match count {
        0 => 1.0,
        1..=EXACT_COUNT_MAX => exact_p(&ranks, w),
        _ => approximate_p(count, w, ties),
    };
    SignedRank { w, p, count }
}

/// The least p that so many rounds can give: all differences have the same sign.
#[must_use]
pub fn least_p(rounds: usize) -> f64 {
    (2.0 * 0.5_f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX))).min(1.0)
}

fn exact_p(ranks: &[f64], w: f64) -> f64 {
    let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank) as usize).collect();
    let total: usize = doubled.iter().sum();
    // The share of sign patterns for each doubled W.
    let mut shares = vec![0.0; total + 1];
    shares[0] = 1.0;
    let mut reached = 0;
    for rank in doubled {
        reached += rank;
        for sum in (0..=reached).rev() {
            let with = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    let found = (2.0 * w) as usize;
    let larger = found.max(total - found);
    (2.0 * shares[larger..].iter().sum::<f64>()).min(1.0)
}

fn approximate_p(count: usize, w: f64, ties: f64) -> f64 {
    let n = count as f64;
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0;
    let distance = (w - n * (n + 1.0) / 4.0).abs();
    (2.0 * normal::above(distance / variance.sqrt())).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every pattern of signs, one by one.
    fn brute(differences: &[f64]) -> f64 {
        let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
        let (ranks, _) = midranks(&sizes);
        let uneven = |signs: u32| {
            let chosen = ranks.iter().enumerate().filter(|(i, _)| signs >> i & 1 == 1);
            (chosen.map(|(_, rank)| rank).sum::<f64>() - ranks.iter().sum::<f64>() / 2.0).abs()
        };
        let observed = differences.iter().rev().fold(0, |signs, &d| signs << 1 | u32::from(d > 0.0));
        let patterns = 1_u32 << differences.len();
        let beyond = (0..patterns).filter(|&signs| uneven(signs) >= uneven(observed) - 1e-9).count();
        beyond as f64 / f64::from(patterns)
    }

    #[test]
    fn five_rounds_cannot_reach_five_percent_and_six_can() {
        assert_eq!((least_p(5), least_p(6)), (0.0625, 0.03125));
        assert_eq!(signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).p, 0.03125);
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(signed_rank(&[0.0; 20]), SignedRank { w: 0.0, p: 1.0, count: 0 });
        assert_eq!(signed_rank(&[]).p, 1.0);
    }

    #[test]
    fn counting_and_approximating_agree_where_they_meet() {
        let differences: Vec<f64> =
            (1..=200).map(|i| f64::from(i) * if i % 9 < 5 { 1.0 } else { -1.0 }).collect();
        let found = signed_rank(&differences);
        let close = approximate_p(200, found.w, 0.0);
        assert!((found.p - close).abs() < 0.002, "{} and {close}", found.p);
    }

    proptest! {
        #[test]
        fn it_is_what_counting_all_sign_patterns_gives(
            differences in prop::collection::vec((1_i32..12, any::<bool>()), 1..11),
        ) {
            let differences: Vec<f64> =
                differences.into_iter().map(|(size, up)| f64::from(if up { size } else { -size })).collect();
            prop_assert!((signed_rank(&differences).p - brute(&differences)).abs() < 1e-12);
        }

        #[test]
        fn turning_all_signs_changes_nothing(differences in prop::collection::vec(-1e3..1e3_f64, 1..40)) {
            let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
            prop_assert!((signed_rank(&differences).p - signed_rank(&turned).p).abs() < 1e-12);
        }
    }
}
