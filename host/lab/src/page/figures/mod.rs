//! The plots, each from a report and its answer.

mod cost;
mod differences;
mod heap;
mod latency;
mod overhead;
mod pauses;
mod quality;
mod timeline;
mod traffic;

use crate::answer::Answer;
use crate::answer::units::times;
use crate::bench::model::{Kind, Measures, Report, Run};
use crate::page::plot;
use crate::stats::Estimate;

/// A plot with what belongs to it.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Unique on the page; letters, digits and hyphens.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// The `svg` element, to stand in a page that has the style.
    pub svg: String,
    /// The data, as text with commas and a line of names.
    pub csv: String,
    /// It wants the whole width.
    pub wide: bool,
}

impl Figure {
    /// As a file of its own.
    #[must_use]
    pub fn file(&self) -> String {
        let style = format!("><style>{}</style>", plot::style());
        let svg = self.svg.replacen('>', &style, 1);
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{svg}\n")
    }
}

/// What figures are drawn from.
pub(super) struct Source<'a> {
    pub(super) report: &'a Report,
    pub(super) answer: &'a Answer,
}

impl<'a> Source<'a> {
    /// Strategies that are shown: all but the baseline.
    pub(super) fn subjects(&self) -> Vec<usize> {
        (0..self.report.subjects.len()).filter(|&subject| !self.report.subjects[subject].baseline).collect()
    }

    pub(super) fn label(&self, subject: usize) -> &'a str {
        self.report.subjects.get(subject).map_or("?", |subject| subject.label.as_str())
    }

    pub(super) fn workload(&self, workload: usize) -> &'a str {
        self.report.workloads.get(workload).map_or("?", |workload| workload.label.as_str())
    }

    /// Runs of a kind that came to their end.
    pub(super) fn runs(
        &self,
        kind: Kind,
        workload: usize,
    ) -> impl Iterator<Item = (&'a Run, &'a Measures)> + 'a {
        let runs = self.report.runs.iter();
        runs.filter(move |run| run.kind == kind && run.workload == workload && run.outcome.is_ok())
            .filter_map(|run| Some((run, run.measures.as_deref()?)))
    }

    /// Timed runs of a strategy in a heap.
    pub(super) fn timed(
        &self,
        workload: usize,
        subject: usize,
        heap: f64,
    ) -> impl Iterator<Item = (&'a Run, &'a Measures)> + 'a {
        self.runs(Kind::Timed, workload)
            .filter(move |(run, _)| run.subject == subject && run.heap_multiple == Some(heap))
    }

    /// Heaps of the timed runs, ascending.
    pub(super) fn heaps(&self, workload: usize) -> Vec<f64> {
        let mut heaps: Vec<f64> =
            self.runs(Kind::Timed, workload).filter_map(|(run, _)| run.heap_multiple).collect();
        heaps.sort_by(f64::total_cmp);
        heaps.dedup();
        heaps
    }

    /// The heap at which distributions are shown: the one closest to twice the minimum.
    pub(super) fn usual_heap(&self, workload: usize) -> Option<f64> {
        self.heaps(workload).into_iter().min_by(|a, b| (a - 2.0).abs().total_cmp(&(b - 2.0).abs()))
    }

    pub(super) fn estimate(&self, values: &[f64]) -> Option<Estimate> {
        self.answer.rule.bootstrap.median(values)
    }
}

/// The class that gives a strategy its colour.
fn class(subject: usize) -> String {
    // The seventh gets the colour of the first, dashed.
    format!("s{}{}", subject % 6, if subject >= 6 { " dashed" } else { "" })
}

/// `1.34x [1.31, 1.36]`, for tips.
fn factor(estimate: Estimate) -> String {
    let interval = estimate
        .interval
        .map_or(String::new(), |found| format!(" [{}, {}]", times(found.low), times(found.high)));
    format!("{}x{interval}", times(estimate.value))
}

/// A cell of a CSV line, quoted where it must be (RFC 4180). What a spreadsheet would take for a formula is disarmed.
#[must_use]
pub(crate) fn cell(text: &str) -> String {
    let number = text.parse::<f64>().is_ok();
    let text = if !number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A CSV line.
#[must_use]
pub(crate) fn row(cells: &[&dyn std::fmt::Display]) -> String {
    let cells: Vec<String> = cells.iter().map(|value| cell(&value.to_string())).collect();
    cells.join(",") + "\n"
}

/// A number with as many digits as a plot can show: six.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    let plain = rounded.to_string();
    if plain.len() > 16 { format!("{rounded:e}") } else { plain }
}

/// A number, or nothing.
#[must_use]
pub(crate) fn or_empty(value: Option<f64>) -> String {
    value.map_or(String::new(), number)
}

/// The plots that show all workloads at once.
pub(super) fn over_workloads(source: &Source<'_>) -> Vec<Figure> {
    differences::over_workloads(source)
}

/// The plots of one workload, in the order in which they are shown.
pub(super) fn of_workload(source: &Source<'_>, workload: usize) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(overhead::figures(source, workload));
    figures.extend(cost::figure(source, workload));
    figures.extend(differences::figures(source, workload));
    figures.extend(pauses::figures(source, workload));
    figures.extend(latency::figures(source, workload));
    figures.extend(heap::figures(source, workload));
    figures.extend(quality::figures(source, workload));
    figures.extend(traffic::figures(source, workload));
    figures.extend(timeline::figure(source, workload));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_no_formula_gets_out() {
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(
            (cell("=1+1").as_str(), cell("-3.5").as_str(), cell("@x").as_str()),
            ("'=1+1", "-3.5", "'@x")
        );
    }
}
