//! Figures as people read them: three digits that count, and a unit that fits.

use crate::bench::metric::Unit;

/// A value with its unit, such as `412 ms` or `3.2 MiB`.
#[must_use]
pub fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds => scaled(value, TIMES),
        Unit::Bytes => scaled(value, SIZES),
        Unit::ByteSeconds => scaled_with(value, SIZES, " s"),
        Unit::PerSecond => scaled_with(value, COUNTS, "/s"),
        Unit::Share => format!("{} %", digits(100.0 * value)),
        Unit::Count => scaled(value, COUNTS),
    }
}

/// Steps of a unit, ascending: how much one is, and what it is called.
type Steps = &'static [(f64, &'static str)];

/// From nanoseconds.
pub const TIMES: Steps = &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")];
/// From bytes.
pub const SIZES: Steps = &[
    (1.0, "B"),
    (1024.0, "KiB"),
    (1_048_576.0, "MiB"),
    (1_073_741_824.0, "GiB"),
    (1_099_511_627_776.0, "TiB"),
];
/// From ones.
pub const COUNTS: Steps = &[(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];

/// A value in the largest of these steps that it fills.
#[must_use]
pub fn scaled(value: f64, steps: Steps) -> String {
    scaled_with(value, steps, "")
}

fn scaled_with(value: f64, steps: Steps, behind: &str) -> String {
    // 999.7 is told as 1000, so it goes up a step.
    let step = steps.iter().rev().find(|(size, _)| value.abs() >= size * 0.9995);
    let &(size, name) = step.unwrap_or(&steps[0]);
    let space = if name.is_empty() { "" } else { " " };
    format!("{}{space}{name}{behind}", digits(value / size))
}

/// Three digits that count, without zeros behind the point.
#[must_use]
pub fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let places = (2 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.places$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A change as percent with as many places as its interval deserves: none from ten percent on, else one.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent.abs() >= 9.95 { format!("{percent:.0}") } else { short(format!("{percent:.1}")) }
}

/// A ratio such as `1.8`.
#[must_use]
pub fn times(ratio: f64) -> String {
    if ratio >= 9.95 { format!("{ratio:.0}") } else { short(format!("{ratio:.2}")) }
}

fn short(text: String) -> String {
    let cut = text.trim_end_matches('0').trim_end_matches('.');
    if cut.is_empty() || cut == "-" || cut == "-0" { "0".to_owned() } else { cut.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (value, unit, text) in [
            (412_345_678.0, Unit::Nanoseconds, "412 ms"),
            (999_700.0, Unit::Nanoseconds, "1 ms"),
            (50.0, Unit::Nanoseconds, "50 ns"),
            (0.0, Unit::Nanoseconds, "0 ns"),
            (3.2 * 1_048_576.0, Unit::Bytes, "3.2 MiB"),
            (1.5e9, Unit::ByteSeconds, "1.4 GiB s"),
            (1_234_567.0, Unit::PerSecond, "1.23 M/s"),
            (0.951, Unit::Share, "95.1 %"),
            (17.0, Unit::Count, "17"),
            (-2.5e6, Unit::Nanoseconds, "-2.5 ms"),
        ] {
            assert_eq!(show(value, unit), text);
        }
    }

    #[test]
    fn changes_are_as_exact_as_they_are_sure() {
        assert_eq!(
            (percent(0.1234).as_str(), percent(0.0123).as_str(), percent(-0.0001).as_str()),
            ("12", "1.2", "0")
        );
        assert_eq!((times(1.8).as_str(), times(12.3).as_str()), ("1.8", "12"));
    }
}
