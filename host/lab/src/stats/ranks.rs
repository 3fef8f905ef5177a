//! Two samples without pairing: Mann-Whitney's U, its p, and Cliff's delta.
//!
//! Mann and Whitney 1947; Cliff 1993. The p is exact where no value occurs twice and the samples are small, else the normal approximation with the
//! corrections for ties and continuity, as SciPy has them.

use crate::stats::normal;

/// Product of the sample sizes up to which p is counted out.
const EXACT_PRODUCT_MAX: usize = 2500;

/// What Mann and Whitney say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitney {
    /// How many pairs there are in which the first sample has the larger value; ties count half.
    pub u: f64,
    /// How likely at least as uneven a U is, in either direction, if both samples come from one distribution.
    pub p: f64,
    /// Whether `p` was counted out and not approximated.
    pub exact: bool,
}

/// Compares two samples. None if one is empty. Quadratic in the sizes where it is exact, else `n log n`.
#[must_use]
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<MannWhitney> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let both: Vec<f64> = first.iter().chain(second).copied().collect();
    let (ranks, ties) = midranks(&both);
    let (m, n) = (first.len(), second.len());
    let rank_sum: f64 = ranks[..m].iter().sum();
    let u = rank_sum - (m * (m + 1)) as f64 / 2.0;
    let exact = ties == 0.0 && m * n <= EXACT_PRODUCT_MAX;
    let larger = u.max((m * n) as f64 - u);
    let p = if exact { exact_p(m, n, larger as usize) } else { approximate_p(m, n, larger, ties) };
    Some(MannWhitney { u, p, exact })
}

/// How often the first sample has the larger value less how often it has the smaller one, as a share of all pairs: from -1 to 1. None if one is empty.
#[must_use]
pub fn cliffs_delta(first: &[f64], second: &[f64]) -> Option<f64> {
    let u = mann_whitney(first, second)?.u;
    Some(2.0 * u / (first.len() * second.len()) as f64 - 1.0)
}

/// The rank of each value from 1, equal ones sharing the mean of theirs; and the sum of `t^3 - t` over groups of `t` equal ones.
pub(super) fn midranks(values: &[f64]) -> (Vec<f64>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    let mut ties = 0.0;
    let mut begin = 0;
    while begin < order.len() {
        let value = values[order[begin]];
        let group = order[begin..].iter().take_while(|&&place| values[place] == value).count();
        let group = group.max(1);
        for &place in &order[begin..begin + group] {
            ranks[place] = begin as f64 + (group as f64 + 1.0) / 2.0;
        }
        ties += (group as f64).powi(3) - group as f64;
        begin += group;
    }
    (ranks, ties)
}

/// Among all ways to deal `m + n` different values to two samples, twice the share in which U is at least `larger`.
fn exact_p(m: usize, n: usize, larger: usize) -> f64 {
    let ways = ways_by_u(m, n);
    let all: f64 = ways.iter().sum();
    let beyond: f64 = ways[larger..].iter().sum();
    (2.0 * beyond / all).min(1.0)
}

/// How many ways lead to each U. By the recurrence `w(i, j, u) = w(i-1, j, u-j) + w(i, j-1, u)`: whether the largest value falls to the first sample,
/// where it beats all `j` of the second, or to the second.
fn ways_by_u(m: usize, n: usize) -> Vec<f64> {
    let mut row: Vec<Vec<f64>> = (0..=n).map(|_| vec![1.0]).collect();
    for i in 1..=m {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for j in 1..=n {
            let mut ways = vec![0.0; i * j + 1];
            for (u, count) in row[j].iter().enumerate() {
                ways[u + j] += count;
            }
            for (u, count) in next[j - 1].iter().enumerate() {
                ways[u] += count;
            }
            next.push(ways);
        }
        row = next;
    }
    row.swap_remove(n)
}

fn approximate_p(m: usize, n: usize, larger: f64, ties: f64) -> f64 {
    let (product, total) = ((m * n) as f64, (m + n) as f64);
    let variance = product / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = (larger - product / 2.0 - 0.5) / variance.sqrt();
    (2.0 * normal::above(z)).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_against_three_has_twenty_ways() {
        let ways = ways_by_u(3, 3);
        assert_eq!(ways, [1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 2.0, 1.0, 1.0]);
        assert_eq!(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap().p, 0.1);
    }

    #[test]
    fn samples_without_any_difference_are_the_same() {
        let found = mann_whitney(&[5.0; 8], &[5.0; 9]).unwrap();
        assert_eq!((found.p, found.u, found.exact), (1.0, 36.0, false));
        assert_eq!(cliffs_delta(&[5.0; 8], &[5.0; 9]), Some(0.0));
    }

    fn sample() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((-40_i32..40).prop_map(f64::from), 1..25)
    }

    proptest! {
        #[test]
        fn u_counts_pairs(first in sample(), second in sample()) {
            let wins = |left: f64, right: f64| if left > right { 1.0 } else if left == right { 0.5 } else { 0.0 };
            let counted: f64 = first.iter().map(|&x| second.iter().map(|&y| wins(x, y)).sum::<f64>()).sum();
            prop_assert_eq!(mann_whitney(&first, &second).unwrap().u, counted);
        }

        #[test]
        fn exchanging_the_samples_turns_delta_and_keeps_p(first in sample(), second in sample()) {
            let (there, back) = (mann_whitney(&first, &second).unwrap(), mann_whitney(&second, &first).unwrap());
            prop_assert!((there.p - back.p).abs() < 1e-12);
            prop_assert_eq!(there.u + back.u, (first.len() * second.len()) as f64);
            let turned = -cliffs_delta(&second, &first).unwrap();
            prop_assert!((cliffs_delta(&first, &second).unwrap() - turned).abs() < 1e-12);
        }

        #[test]
        fn only_the_order_counts(first in sample(), second in sample()) {
            let bend = |sample: &[f64]| sample.iter().map(|value| (value / 10.0).exp()).collect::<Vec<_>>();
            prop_assert_eq!(mann_whitney(&first, &second), mann_whitney(&bend(&first), &bend(&second)));
        }
    }
}
