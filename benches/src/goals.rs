//! The goals, what was measured for them, and the table and `goals.json` made of both.
//!
//! 1. Every goal of every row that ran stands in the table: one that could not be measured stands there with no value, unmet, with the reason.
//! 2. Every goal is an upper bound, so that `met` is `value <= goal` and nothing else.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;
use crate::stats::Summary;

/// A figure that must not be exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// What is measured, in the words of the table.
    pub name: &'static str,
    /// Unit of the value and of the bound; "x" for a ratio.
    pub unit: &'static str,
    /// The bound.
    pub at_most: f64,
}

/// What was measured for a goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The figure that is held against the goal.
    pub value: f64,
    /// The range it is believed within, where there were several samples.
    pub range: Option<(f64, f64)>,
    /// What a reader should know: against whom, with which absolute figures.
    pub note: String,
}

impl Reading {
    /// The median of several samples, with its range.
    pub fn of(summary: Summary, note: String) -> Self {
        Self { value: summary.median, range: Some((summary.low, summary.high)), note }
    }
}

/// One line of the table. Its JSON form is one entry of `goals.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// [`Goal::name`].
    pub name: &'static str,
    /// The figure; `null` where it could not be measured.
    pub value: Option<f64>,
    /// [`Goal::unit`].
    pub unit: &'static str,
    /// [`Goal::at_most`].
    pub goal: f64,
    /// Whether there is a value and it is at most the goal.
    pub met: bool,
    /// [`Reading::range`].
    pub range: Option<(f64, f64)>,
    /// [`Reading::note`], or why there is no value.
    pub note: String,
}

impl Line {
    /// Holds a reading against its goal; an `Err` says why there is none.
    pub fn new(goal: Goal, reading: Result<Reading, String>) -> Self {
        let Goal { name, unit, at_most } = goal;
        match reading {
            Ok(Reading { value, range, note }) if value.is_finite() => {
                Self { name, value: Some(value), unit, goal: at_most, met: value <= at_most, range, note }
            }
            Ok(Reading { note, .. }) => Self::unmeasured(goal, format!("the value is not a number; {note}")),
            Err(reason) => Self::unmeasured(goal, reason),
        }
    }

    fn unmeasured(goal: Goal, reason: String) -> Self {
        let note = format!("not measured: {reason}");
        Self {
            name: goal.name,
            value: None,
            unit: goal.unit,
            goal: goal.at_most,
            met: false,
            range: None,
            note,
        }
    }
}

/// `goals.json`: a list with one entry per goal.
pub fn json(lines: &[Line]) -> String {
    serde_json::to_string_pretty(lines).expect("lines have string keys and finite numbers")
}

/// The table as markdown, under the machine it was measured on.
pub fn markdown(machine: &Machine, lines: &[Line]) -> String {
    let mut text =
        format!("{machine}\n\n| what | value | range | goal | met | remarks |\n|---|---|---|---|---|---|\n");
    for line in lines {
        let value = line.value.map_or_else(|| "-".to_owned(), |value| quantity(value, line.unit));
        let range =
            line.range.map_or_else(String::new, |(low, high)| format!("{}-{}", rounded(low), rounded(high)));
        let (goal, met) = (quantity(line.goal, line.unit), if line.met { "yes" } else { "NO" });
        let note = line.note.replace('|', "\\|").replace('\n', " ");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {value} | {range} | at most {goal} | {met} | {note} |", line.name);
    }
    text
}

fn quantity(value: f64, unit: &str) -> String {
    if unit == "x" { format!("{}x", rounded(value)) } else { format!("{} {unit}", rounded(value)) }
}

/// Three significant digits, never fewer than those before the point.
fn rounded(value: f64) -> String {
    let digits_before = if value.abs() < 1.0 { 1.0 } else { value.abs().log10().floor() + 1.0 };
    let text = format!("{value:.*}", (3.0 - digits_before).max(0.0) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal { name: "mark", unit: "x", at_most: 1.15 };

    fn read(value: f64) -> Line {
        Line::new(GOAL, Ok(Reading { value, range: None, note: String::new() }))
    }

    #[test]
    fn a_goal_is_met_up_to_its_bound_and_not_beyond() {
        assert!(read(1.15).met);
        assert!(!read(1.16).met);
    }

    #[test]
    fn what_was_not_measured_is_unmet_and_says_why() {
        let line = Line::new(GOAL, Err("go is not installed".to_owned()));
        assert!(!line.met);
        assert_eq!((line.value, line.note.as_str()), (None, "not measured: go is not installed"));
        let line = read(f64::INFINITY);
        assert_eq!((line.value, line.met), (None, false));
    }

    #[test]
    fn entries_have_the_names_that_scripts_rely_on() {
        let entries: serde_json::Value = serde_json::from_str(&json(&[read(1.0)])).unwrap();
        for (key, value) in
            [("name", "\"mark\""), ("value", "1.0"), ("unit", "\"x\""), ("goal", "1.15"), ("met", "true")]
        {
            assert_eq!(entries[0][key].to_string(), value, "{key}");
        }
    }

    #[test]
    fn numbers_are_rounded_to_what_they_are_worth() {
        let shown = [0.2, 0.1834, 1.15, 36.666, 150.0, 4_601_871.0, 0.0].map(rounded);
        assert_eq!(shown, ["0.2", "0.18", "1.15", "36.7", "150", "4601871", "0"]);
    }
}
