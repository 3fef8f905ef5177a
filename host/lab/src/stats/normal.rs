//! The tail of the normal distribution.
//!
//! From the complementary error function: its power series near zero, its continued fraction (Abramowitz and Stegun 7.1.6 and 7.1.14) further out. Relative
//! error below 1e-13 down to the smallest numbers, so that tiny p values are right too.

/// The share of a standard normal variable that lies above `z`.
#[must_use]
pub fn above(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        2.0 - erfc(-x)
    } else if x < 2.0 {
        1.0 - erf_series(x)
    } else {
        erfc_fraction(x)
    }
}

/// `erf x = 2/sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (1*3*...*(2n+1))`; all terms are positive, so nothing cancels.
fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `erfc x = exp(-x^2)/sqrt(pi) * 1/(x + (1/2)/(x + 1/(x + (3/2)/(x + ...))))`, from the inside out.
fn erfc_fraction(x: f64) -> f64 {
    let mut denominator = x;
    for n in (1..=120).rev() {
        denominator = x + f64::from(n) / 2.0 / denominator;
    }
    (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI / 2.0 / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_halves_meet() {
        for z in [0.0, 0.3, 1.0, 2.5, 2.828_427, 2.828_428, 6.0, 20.0] {
            assert!((above(z) + above(-z) - 1.0).abs() < 1e-15, "{z}");
        }
        assert!((erf_series(2.0) + erfc_fraction(2.0) - 1.0).abs() < 1e-14);
    }
}
