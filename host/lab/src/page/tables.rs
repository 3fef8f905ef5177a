//! The tables of the page. Cells that are numbers carry the plain value for sorting.

use std::fmt::Write as _;

use crate::answer::units::{digits, percent, show, times};
use crate::answer::{Answer, Side, Verdict};
use crate::bench::metric::Unit;
use crate::bench::model::{Kind, Outcome, Report};
use crate::page::figures::number;
use crate::page::plot::escape;

/// A table in the making.
pub(super) struct Table {
    caption: String,
    columns: Vec<String>,
    /// Which columns hold numbers, by the first row.
    numbers: Vec<bool>,
    body: String,
}

/// A cell.
pub(super) enum Cell {
    /// Text, escaped here.
    Text(String),
    /// A number as it is shown, and its value for sorting.
    Number(String, f64),
    /// A verdict's sign, with a class of its own.
    Sign(Side),
}

impl Table {
    pub(super) fn new(caption: &str, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Table { caption: caption.to_owned(), columns, numbers: Vec::new(), body: String::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        if self.numbers.is_empty() {
            self.numbers = cells.iter().map(|cell| matches!(cell, Cell::Number(..))).collect();
        }
        self.body.push_str("<tr>");
        for cell in cells {
            let _ = match cell {
                // Only long texts may be broken into lines.
                Cell::Text(text) if text.chars().count() > 36 => {
                    write!(self.body, "<td class=\"long\">{}</td>", escape(&text))
                }
                Cell::Text(text) => write!(self.body, "<td>{}</td>", escape(&text)),
                Cell::Number(text, value) if value.is_finite() => {
                    write!(self.body, "<td class=\"n\" data-v=\"{}\">{}</td>", number(value), escape(&text))
                }
                Cell::Number(text, _) => write!(self.body, "<td class=\"n\">{}</td>", escape(&text)),
                Cell::Sign(side) => {
                    let (class, word) = side_words(side);
                    write!(self.body, "<td class=\"{class}\">{word}</td>")
                }
            };
        }
        self.body.push_str("</tr>\n");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    pub(super) fn html(&self) -> String {
        let caption = escape(&self.caption);
        let mut out = format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table><caption>{caption}</caption><thead><tr>"
        );
        for (column, number) in self.columns.iter().zip(self.numbers.iter().chain(std::iter::repeat(&false)))
        {
            let class = if *number { " class=\"n\"" } else { "" };
            let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", escape(column));
        }
        let _ = writeln!(out, "</tr></thead><tbody>\n{}</tbody></table></div>", self.body);
        out
    }
}

pub(super) fn side_words(side: Side) -> (&'static str, &'static str) {
    match side {
        Side::Better => ("better", "better"),
        Side::Worse => ("worse", "worse"),
        Side::Even => ("even", "~"),
        Side::Unsaid => ("even", "?"),
    }
}

fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

fn label(report: &Report, subject: usize) -> String {
    report.subjects.get(subject).map_or("?".to_owned(), |subject| subject.label.clone())
}

fn workload(report: &Report, index: usize) -> String {
    report.workloads.get(index).map_or("?".to_owned(), |workload| workload.label.clone())
}

fn heap(multiple: Option<f64>) -> Cell {
    multiple.map_or_else(|| text("-"), |multiple| Cell::Number(format!("{}x", times(multiple)), multiple))
}

/// Every measure that is to be shown, one row each.
pub(super) fn verdicts<'a>(report: &Report, shown: impl IntoIterator<Item = &'a Verdict>) -> Table {
    let columns = [
        "measure",
        "workload",
        "heap",
        "strategy",
        "",
        "change",
        "95 % interval",
        "A",
        "B",
        "p (Holm)",
        "p (M-W)",
        "Cliff's d",
        "rounds",
    ];
    let mut table = Table::new("Every measure, B against A", &columns);
    for verdict in shown {
        let comparison = &verdict.comparison;
        let unit = verdict.metric.unit;
        let change = comparison.ratio.map_or(f64::NAN, |ratio| ratio.value - 1.0);
        let shown = if change.is_nan() {
            show(comparison.difference.value, unit)
        } else {
            format!("{}{} %", if change > 0.0 { "+" } else { "" }, percent(change))
        };
        table.row(vec![
            text(verdict.metric.name),
            text(workload(report, verdict.workload)),
            heap(verdict.heap_multiple),
            text(label(report, verdict.b)),
            Cell::Sign(verdict.side()),
            Cell::Number(shown, change),
            text(interval(verdict)),
            Cell::Number(show(comparison.median_a, unit), comparison.median_a),
            Cell::Number(show(comparison.median_b, unit), comparison.median_b),
            Cell::Number(p_value(comparison.p_corrected), comparison.p_corrected),
            Cell::Number(p_value(comparison.mann_whitney.p), comparison.mann_whitney.p),
            Cell::Number(format!("{:.2}", comparison.cliffs_delta), comparison.cliffs_delta),
            Cell::Number(comparison.rounds.to_string(), comparison.rounds as f64),
        ]);
    }
    table
}

fn interval(verdict: &Verdict) -> String {
    let comparison = &verdict.comparison;
    match (comparison.ratio, comparison.difference.interval) {
        (Some(ratio), _) => ratio
            .interval
            .map_or("-".to_owned(), |i| format!("{} to {} %", percent(i.low - 1.0), percent(i.high - 1.0))),
        (None, Some(i)) => {
            format!("{} to {}", show(i.low, verdict.metric.unit), show(i.high, verdict.metric.unit))
        }
        (None, None) => "-".to_owned(),
    }
}

fn p_value(p: f64) -> String {
    if p < 1e-4 { format!("{p:.0e}") } else { digits(p) }
}

/// What was found of the first strategy against itself.
pub(super) fn noise(report: &Report, answer: &Answer) -> Table {
    let mut table = Table::new(
        "The first strategy against itself: what noise alone does",
        &["measure", "workload", "heap", "", "change", "95 % interval", "rounds"],
    );
    for verdict in &answer.noise {
        let change = verdict.comparison.ratio.map_or(f64::NAN, |ratio| ratio.value - 1.0);
        let shown = if change.is_nan() { "-".to_owned() } else { format!("{} %", percent(change)) };
        let different = matches!(verdict.side(), Side::Better | Side::Worse);
        table.row(vec![
            text(verdict.metric.name),
            text(workload(report, verdict.workload)),
            heap(verdict.heap_multiple),
            text(if different { "different" } else { side_words(verdict.side()).1 }),
            Cell::Number(shown, change),
            text(interval(verdict)),
            Cell::Number(verdict.comparison.rounds.to_string(), verdict.comparison.rounds as f64),
        ]);
    }
    table
}

/// Means over workloads.
pub(super) fn means(report: &Report, answer: &Answer) -> Table {
    let mut table = Table::new(
        "Geometric means over workloads, B over A",
        &["measure", "heap", "strategy", "mean ratio", "95 % interval", "workloads"],
    );
    for mean in &answer.means {
        let ends = mean.ratio.interval;
        table.row(vec![
            text(mean.metric.name),
            heap(mean.heap_multiple),
            text(label(report, mean.b)),
            Cell::Number(format!("{}x", times(mean.ratio.value)), mean.ratio.value),
            text(ends.map_or("-".to_owned(), |i| format!("{:.3} to {:.3}", i.low, i.high))),
            Cell::Number(mean.workloads.to_string(), mean.workloads as f64),
        ]);
    }
    table
}

/// The strategies.
pub(super) fn subjects(report: &Report) -> Table {
    let mut table = Table::new(
        "Strategies",
        &["strategy", "name and version", "digest", "options", "start", "own memory"],
    );
    for (index, subject) in report.subjects.iter().enumerate() {
        let measures: Vec<_> = report
            .runs
            .iter()
            .filter(|run| run.subject == index)
            .filter_map(|run| run.measures.as_deref())
            .collect();
        let start = measures.iter().map(|m| m.start.load_ns + m.start.attach_ns).max();
        let memory = measures.iter().map(|m| m.footprint.strategy_bytes_max).max();
        let options: Vec<String> =
            subject.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let role = match (index, subject.baseline) {
            (_, true) => " (baseline)",
            (0, false) => " (A)",
            _ => "",
        };
        table.row(vec![
            text(format!("{}{role}", subject.label)),
            text(format!("{} {}", subject.name, subject.version)),
            text(subject.digest.chars().take(12).collect::<String>()),
            text(if options.is_empty() { "-".to_owned() } else { options.join(" ") }),
            measured(start, Unit::Nanoseconds),
            measured(memory, Unit::Bytes),
        ]);
    }
    table
}

/// A number, or a dash where no run came to its end.
fn measured(value: Option<u64>, unit: Unit) -> Cell {
    let value = value.map_or(f64::NAN, |value| value as f64);
    Cell::Number(if value.is_nan() { "-".to_owned() } else { show(value, unit) }, value)
}

/// The workloads with the heap that they need.
pub(super) fn workloads(report: &Report) -> Table {
    let columns = ["workload", "as given", "what it stresses", "smallest heap", "runs", "failed"];
    let mut table = Table::new("Workloads", &columns);
    for (index, workload) in report.workloads.iter().enumerate() {
        let runs = report.runs.iter().filter(|run| run.workload == index).count();
        let failed = report.runs.iter().filter(|run| run.workload == index && !run.outcome.is_ok()).count();
        let least = workload.minimum_heap_bytes.map(|bytes| bytes as f64);
        let shown = least.map_or("not found".to_owned(), |bytes| {
            format!("{} (within {} %)", show(bytes, Unit::Bytes), percent(workload.minimum_heap_error))
        });
        table.row(vec![
            text(workload.label.clone()),
            text(workload.text.clone()),
            text(workload.stresses.clone()),
            Cell::Number(shown, least.unwrap_or(f64::NAN)),
            Cell::Number(runs.to_string(), runs as f64),
            Cell::Number(failed.to_string(), failed as f64),
        ]);
    }
    table
}

/// Runs that did not come to their end, at most 200.
pub(super) fn failures(report: &Report) -> Table {
    let columns = ["workload", "heap", "strategy", "round", "how", "why"];
    let mut table = Table::new("Runs that failed: their figures are not used", &columns);
    let failed = report.runs.iter().filter_map(|run| match &run.outcome {
        Outcome::Failed { how, why } => Some((run, how, why)),
        Outcome::Ok => None,
    });
    for (run, how, why) in failed.take(200) {
        table.row(vec![
            text(workload(report, run.workload)),
            heap(run.heap_multiple),
            text(label(report, run.subject)),
            Cell::Number(run.round.to_string(), f64::from(run.round)),
            text(format!("{how:?}")),
            text(why.clone()),
        ]);
    }
    table
}

/// What exchanging a strategy under load cost.
pub(super) fn swaps(report: &Report) -> Table {
    let columns = [
        "workload",
        "from",
        "to",
        "until it served",
        "loading",
        "rehearsal",
        "longest pause",
        "throughput meanwhile",
    ];
    let mut table = Table::new("Swaps under load", &columns);
    for run in report.runs.iter().filter(|run| run.kind == Kind::Swap && run.outcome.is_ok()) {
        let Some(swap) = run.measures.as_deref().and_then(|measures| measures.swap.as_ref()) else {
            continue;
        };
        let time = |ns: u64| Cell::Number(show(ns as f64, Unit::Nanoseconds), ns as f64);
        let share = swap.throughput_share;
        table.row(vec![
            text(workload(report, run.workload)),
            text(label(report, run.subject)),
            text(label(report, swap.to)),
            time(swap.total_ns),
            time(swap.load_ns),
            time(swap.rehearse_ns),
            time(swap.pause_ns_max),
            Cell::Number(share.map_or("-".to_owned(), |s| show(s, Unit::Share)), share.unwrap_or(f64::NAN)),
        ]);
    }
    table
}
