//! Sizes and durations as people write and read them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A number of bytes.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A length of time.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

const SPANS: &[(&str, f64)] = &[
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// A number and the word behind it.
fn split(text: &str) -> (&str, String) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim().to_lowercase())
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("'{text}' is no size: write a number with a unit, such as 64MiB or 1.5GiB");
        let (number, unit) = split(text);
        let &(_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number = number.replace('_', "");
        if let Ok(whole) = number.parse::<u64>() {
            let too_large = || format!("'{text}' is more than any machine has: write a smaller size");
            return whole.checked_mul(factor).map(Size).ok_or_else(too_large);
        }
        let number: f64 = number.parse().map_err(|_| wrong())?;
        Ok(Size((number * factor as f64) as u64))
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let wrong =
            || format!("'{text}' is no length of time: write a number with a unit, such as 500ms, 10s or 5m");
        let (number, unit) = split(text);
        let &(_, factor) = SPANS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: f64 = number.replace('_', "").parse().map_err(|_| wrong())?;
        Duration::try_from_secs_f64(number * factor).map(Span).map_err(|_| wrong())
    }
}

fn from_text<'de, D: Deserializer<'de>, T: std::str::FromStr<Err = String>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        from_text(from)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        from_text(from)
    }
}

/// `312 MiB`, in at most eight characters.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 9.95 => format!("{value:.1} {}", units[unit]),
        _ => format!("{value:.0} {}", units[unit]),
    }
}

/// `1.2 ms`, in at most seven characters.
pub(crate) fn nanoseconds(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.2 M`, in at most seven characters.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        value if value < 1e3 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.1} k", value / 1e3),
        value if value < 1e9 => format!("{:.1} M", value / 1e6),
        value => format!("{:.1} G", value / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("64M", 64 << 20),
            ("1GiB", 1 << 30),
            ("1GB", 1_000_000_000),
            ("1.5GiB", 3 << 29),
            ("1_000k", 1_024_000),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_how_one_looks() {
        for text in ["", "MiB", "-1", "1XiB", "1 2", "1.2.3M", "much"] {
            assert!(text.parse::<Size>().unwrap_err().contains("64MiB"), "{text}");
        }
        assert!("99999999TiB".parse::<Size>().unwrap_err().contains("machine"));
    }

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!("1.5s".parse(), Ok(Span(Duration::from_millis(1500))));
        assert_eq!("250us".parse(), Ok(Span(Duration::from_micros(250))));
        assert_eq!("2m".parse(), Ok(Span(Duration::from_secs(120))));
        for text in ["", "10", "s", "-1s", "1 parsec", "1e400s", "9999999999999999999999d"] {
            assert!(text.parse::<Span>().unwrap_err().contains("500ms"), "{text}");
        }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1 << 20), bytes(u64::MAX)],
            ["0 B", "1.0 KiB", "1.0 MiB", "16384 PiB"]
        );
        assert_eq!(
            [nanoseconds(7), nanoseconds(1_250), nanoseconds(82_000_000)],
            ["7 ns", "1.2 us", "82 ms"]
        );
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([rate(12.0), rate(1_500.0), rate(2.25e6)], ["12", "1.5 k", "2.2 M"]);
    }
}
