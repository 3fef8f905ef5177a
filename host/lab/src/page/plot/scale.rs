//! Scales: from a value to a place between 0 and 1, and where the ticks stand.

use crate::answer::units::{SIZES, digits, show};
use crate::bench::metric::Unit;

/// An axis: what is on it, from where to where.
#[derive(Debug, Clone)]
pub(in crate::page) struct Axis {
    /// With the unit.
    pub(in crate::page) name: String,
    pub(in crate::page) scale: Scale,
    /// How ticks are told.
    pub(in crate::page) unit: Option<Unit>,
    /// Behind the number of a tick where `unit` is none.
    pub(in crate::page) suffix: &'static str,
    /// Whether ticks have lines across the plot.
    pub(in crate::page) lines: bool,
}

/// From a value to a place.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::page) enum Scale {
    /// Even.
    Linear { low: f64, high: f64 },
    /// Each decade as long as any other.
    Log { low: f64, high: f64 },
    /// Shares close to 1: 0, 90 %, 99 %, 99.9 % ... stand at even distances, up to so many nines.
    Nines { nines: f64 },
    /// Names, one per row, the first on top.
    Names(Vec<String>),
}

impl Axis {
    /// An axis whose ticks are told in a unit.
    pub(in crate::page) fn of(name: &str, scale: Scale, unit: Unit) -> Axis {
        Axis { name: name.to_owned(), scale, unit: Some(unit), suffix: "", lines: true }
    }

    /// An axis of plain numbers with something behind them.
    pub(in crate::page) fn plain(name: &str, scale: Scale, suffix: &'static str) -> Axis {
        Axis { name: name.to_owned(), scale, unit: None, suffix, lines: true }
    }

    /// Rows with names.
    pub(in crate::page) fn rows(names: Vec<String>) -> Axis {
        Axis { name: String::new(), scale: Scale::Names(names), unit: None, suffix: "", lines: false }
    }

    fn text(&self, value: f64) -> String {
        self.unit.map_or_else(|| format!("{}{}", digits(value), self.suffix), |unit| show(value, unit))
    }
}

impl Scale {
    /// An even scale over these values and `always`, with some air.
    pub(in crate::page) fn linear(values: impl IntoIterator<Item = f64>, always: &[f64]) -> Scale {
        let (low, high) = range(values.into_iter().chain(always.iter().copied()));
        let air = if high > low { 0.05 * (high - low) } else { 0.5 * high.abs().max(1.0) };
        let keep = |end: f64, moved: f64| if always.contains(&end) { end } else { moved };
        Scale::Linear { low: keep(low, low - air), high: keep(high, high + air) }
    }

    /// A logarithmic scale over the positive ones of these values.
    pub(in crate::page) fn log(values: impl IntoIterator<Item = f64>) -> Scale {
        let (low, high) = range(values.into_iter().filter(|&value| value > 0.0));
        let low = low.max(f64::MIN_POSITIVE);
        Scale::Log { low: low / 1.15, high: high.max(low * 1.5) * 1.15 }
    }

    pub(in crate::page) fn low(&self) -> f64 {
        match self {
            Scale::Linear { low, .. } | Scale::Log { low, .. } => *low,
            Scale::Nines { .. } | Scale::Names(_) => 0.0,
        }
    }

    /// Where a value stands; none if that is nowhere. Values outside of the scale stand outside.
    pub(in crate::page) fn place(&self, value: f64) -> Option<f64> {
        let place = match self {
            Scale::Linear { low, high } => (value - low) / (high - low),
            Scale::Log { low, high } => (value / low).ln() / (high / low).ln(),
            Scale::Nines { nines } => -(1.0 - value.min(1.0)).max(10_f64.powf(-nines)).log10() / nines,
            Scale::Names(names) => 1.0 - (value + 0.5) / names.len().max(1) as f64,
        };
        place.is_finite().then_some(place.clamp(-1.0, 2.0))
    }

    /// About `wanted` ticks with their texts.
    pub(in crate::page) fn ticks(&self, axis: &Axis, wanted: usize) -> Vec<(f64, String)> {
        match self {
            Scale::Linear { low, high } => {
                let unit = step_of(axis.unit, low.abs().max(high.abs()));
                let values = even_ticks(low / unit, high / unit, wanted);
                values.into_iter().map(|value| (value * unit, axis.text(value * unit))).collect()
            }
            Scale::Log { low, high } => log_ticks(*low, *high, wanted, axis),
            Scale::Nines { nines } => nines_ticks(*nines),
            Scale::Names(names) => {
                names.iter().enumerate().map(|(row, name)| (row as f64, name.clone())).collect()
            }
        }
    }
}

fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) = finite
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// Bytes are told in powers of 1024, so their ticks are round in those.
fn step_of(unit: Option<Unit>, highest: f64) -> f64 {
    let steps = match unit {
        Some(Unit::Bytes | Unit::ByteSeconds) => SIZES,
        _ => &[],
    };
    steps.iter().rev().map(|&(size, _)| size).find(|&size| size <= highest).unwrap_or(1.0)
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn even_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(3) as f64;
    if !rough.is_finite() || rough <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * power).find(|&step| step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last.min(first + 50)).map(|count| count as f64 * step).collect()
}

/// The powers of ten, with 2 and 5 times between them where there is room; only as many texts as fit.
fn log_ticks(low: f64, high: f64, wanted: usize, axis: &Axis) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (last - first).max(1) as usize;
    let between: &[f64] = if decades * 3 <= wanted + 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = decades.div_ceil(wanted.max(1)).max(1) as i32;
    let mut ticks = Vec::new();
    for decade in first..=last {
        for &times in between {
            let value = times * 10_f64.powi(decade);
            if value >= low && value <= high {
                let text = if (decade - first) % every == 0 { axis.text(value) } else { String::new() };
                ticks.push((value, text));
            }
        }
    }
    ticks
}

fn nines_ticks(nines: f64) -> Vec<(f64, String)> {
    let half = (0.5, "50".to_owned());
    // With many nines the first stands too close to the second for a text.
    let zero = (0.0, if nines > 3.5 { String::new() } else { "0".to_owned() });
    let rest = (1..=nines.floor() as i32).map(|count| {
        let share = 1.0 - 10_f64.powi(-count);
        let places = usize::try_from(count - 2).unwrap_or(0);
        (share, format!("{:.places$}", 100.0 * share))
    });
    [zero, half].into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_evenly_spread() {
        let scale = Scale::Nines { nines: 4.0 };
        let places: Vec<f64> =
            [0.0, 0.9, 0.99, 0.999, 0.9999, 1.0].iter().map(|&share| scale.place(share).unwrap()).collect();
        for (place, expected) in places.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0, 1.0]) {
            assert!((place - expected).abs() < 1e-9, "{places:?}");
        }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(even_ticks(0.97, 1.53, 6), [1.0, 1.1, 1.2000000000000002, 1.3, 1.4000000000000001, 1.5]);
        assert!(even_ticks(f64::NAN, 1.0, 5).is_empty() && even_ticks(1.0, 1.0, 5).is_empty());
        let axis = Axis::of("", Scale::log([2e4, 9e8]), Unit::Nanoseconds);
        let texts: Vec<String> = axis.scale.ticks(&axis, 7).into_iter().map(|(_, text)| text).collect();
        assert!(texts.iter().any(|text| text == "1 ms"));
    }

    #[test]
    fn values_that_are_none_have_no_place() {
        let log = Scale::log([1.0, 100.0]);
        assert_eq!((log.place(0.0), log.place(-1.0), log.place(f64::NAN)), (None, None, None));
        assert_eq!(Scale::linear([f64::NAN], &[]).place(0.5), Some(0.5));
    }
}
