//! Many questions at once: p values corrected so that the chance of even one false alarm keeps its bound.
//!
//! Holm 1979, "A simple sequentially rejective multiple test procedure". It asks nothing of how the tests depend on each other.

/// The corrected p values, in the order of the given ones.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut highest = 0.0_f64;
    for (rank, &place) in order.iter().enumerate() {
        let tests_left = (p_values.len() - rank) as f64;
        highest = highest.max((p_values[place] * tests_left).min(1.0));
        corrected[place] = highest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn correcting_only_raises_keeps_the_order_and_stays_below_bonferroni(
            p_values in prop::collection::vec(0.0..=1.0_f64, 0..30),
        ) {
            let corrected = holm(&p_values);
            let count = p_values.len() as f64;
            for (i, (&p, &raised)) in p_values.iter().zip(&corrected).enumerate() {
                prop_assert!(raised >= p && raised <= (p * count).min(1.0) + 1e-15);
                for (j, &other) in p_values.iter().enumerate() {
                    prop_assert!(p > other || raised <= corrected[j], "{i} {j}");
                }
            }
        }
    }
}
