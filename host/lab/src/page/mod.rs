//! The report page: one HTML file with everything in it, to be opened from disk, sent by mail, put beside a change.
//!
//! ```text
//!  Report ─▶ Answer ─▶ figures (SVG, drawn here) ─┐
//!      └────────────▶ tables, the answer in words ─┴─▶ document ─▶ one HTML text with style.css and script.js inside
//! ```
//!
//! 1. The page asks for nothing: no script, style, font or picture from elsewhere. A content policy in its head forbids it, too.
//! 2. Everything is there without the script; the script adds sorting, tips, saving and the choice of light or dark.
//! 3. Every text from a report is escaped: names of strategies, workloads and machines come from outside.
//! 4. It stays below [`PAGE_BYTES_MAX`]: what does not fit is left out of the table of all measures first, then whole workloads lose their plots, and the
//!    page says so.

mod document;
mod figures;
mod plot;
mod tables;

pub use figures::Figure;
pub(crate) use figures::row;

use crate::answer::Answer;
use crate::bench::model::Report;

/// The most that a page holds.
pub const PAGE_BYTES_MAX: usize = 2_000_000;

/// The page of a report.
#[must_use]
pub fn html(report: &Report, answer: &Answer) -> String {
    document::html(report, answer)
}

/// All plots of a report, each to be saved as a file of its own ([`Figure::file`]).
#[must_use]
pub fn figures(report: &Report, answer: &Answer) -> Vec<Figure> {
    let source = figures::Source { report, answer };
    let mut all = figures::over_workloads(&source);
    all.extend((0..report.workloads.len()).flat_map(|workload| figures::of_workload(&source, workload)));
    all
}
