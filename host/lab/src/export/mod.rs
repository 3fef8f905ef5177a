//! A report as files that other tools read.
//!
//! | file | for | format |
//! |---|---|---|
//! | `report.html` | people | one page, see [`crate::page`] |
//! | `report.json` | programs, and every other file here | [`Report`] as it is; `docs/report.schema.json` |
//! | `verdicts.csv` | spreadsheets | one line per measure, workload, heap and strategy |
//! | `samples.csv` | R, pandas | one line per run and measure |
//! | `pauses.hlog`, `latency.hlog` | HdrHistogram's tools | interval log, V2, one tagged histogram per run |
//! | `trace.json` | Perfetto, chrome://tracing | trace events: cycles, phases, pauses, heap counters |
//! | `bench-*.txt` | benchstat | Go benchmark format, one file per strategy |
//! | `plots/*.svg` | documents | the plots of the page, each with its own style |

mod go_bench;
mod hlog;
mod json;
mod table;
mod trace_events;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use go_bench::go_bench;
pub use hlog::{latency_hlog, pauses_hlog};
pub use json::{from_json, to_json};
pub use table::{samples_csv, verdicts_csv};
pub use trace_events::trace_events;

use crate::answer::Answer;
use crate::bench::model::Report;
use crate::page;

/// A file that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The system says no.
    #[error("{} cannot be written ({source}): check the path, its permissions and the space on the disk", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a report.
    #[error("this is no report ({0}): give a report.json that 'host bench' wrote")]
    NoReport(#[from] serde_json::Error),
    /// A report of a program that means other things by its fields.
    #[error(
        "this report has schema {found}, known here is {known}: read it with the version of 'host' that wrote it"
    )]
    OtherSchema {
        /// What the report says.
        found: u64,
        /// What is known here.
        known: u32,
    },
    /// A report that was changed by hand.
    #[error(
        "this report speaks of {what} {number}, counted from 0, and has {count}: take it as 'host bench' wrote it"
    )]
    Missing {
        /// What is not there.
        what: &'static str,
        /// Which one.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// A histogram that the log cannot hold.
    #[error("a histogram cannot be written to the log ({0}): please report this with the report.json")]
    Histogram(String),
}

/// Writes every file into a folder, which is made if it is not there, and returns their paths, `report.html` first. What stands there under the same
/// names is replaced.
///
/// # Errors
///
/// The first file that cannot be written. `report.json`, from which all others can be had again, is written before them, and what stood there under
/// that name is there until then.
pub fn write_all(report: &Report, answer: &Answer, folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let plots = folder.join("plots");
    fs::create_dir_all(&plots).map_err(|source| ExportError::Unwritable { path: plots.clone(), source })?;
    let raw = folder.join("report.json");
    write(&raw, to_json(report)?.as_bytes())?;
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![
        (folder.join("report.html"), page::html(report, answer).into_bytes()),
        (folder.join("verdicts.csv"), verdicts_csv(report, answer).into_bytes()),
        (folder.join("samples.csv"), samples_csv(report).into_bytes()),
        (folder.join("pauses.hlog"), pauses_hlog(report)?),
        (folder.join("latency.hlog"), latency_hlog(report)?),
        (folder.join("trace.json"), trace_events(report).into_bytes()),
    ];
    for (index, subject) in report.subjects.iter().enumerate() {
        let name = format!("bench-{}-{}.txt", index, plain(&subject.label));
        files.push((folder.join(name), go_bench(report, index).into_bytes()));
    }
    for figure in page::figures(report, answer) {
        files.push((plots.join(format!("{}.svg", figure.id)), figure.file().into_bytes()));
    }
    for (path, bytes) in &files {
        write(path, bytes)?;
    }
    let mut paths: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
    paths.insert(1, raw);
    Ok(paths)
}

/// The whole file or none of it: what stands there under this name is there until then.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(|source| {
        // What is left of it only takes room.
        let _ = fs::remove_file(&partial);
        ExportError::Unwritable { path: path.to_owned(), source }
    })
}

/// A text with letters, digits, dots and hyphens only, for names of files, tags and benchmarks; never empty, and never a way out of a folder.
fn plain(text: &str) -> String {
    let kept = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let text: String = text.chars().take(60).map(|letter| if kept(letter) { letter } else { '-' }).collect();
    let trimmed = text.trim_matches(['.', '-']);
    if trimmed.is_empty() { "unnamed".to_owned() } else { trimmed.to_owned() }
}

/// What a run is called in files: strategy, workload, heap.
fn place(report: &Report, run: &crate::bench::model::Run) -> (String, String, String) {
    let subject = report.subjects.get(run.subject).map_or("?", |subject| subject.label.as_str());
    let workload = report.workloads.get(run.workload).map_or("?", |workload| workload.label.as_str());
    let heap = run.heap_multiple.map_or("unlimited".to_owned(), |multiple| format!("{multiple}x"));
    (subject.to_owned(), workload.to_owned(), heap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_in_the_folder() {
        assert_eq!(plain("../../etc/passwd"), "etc-passwd");
        assert_eq!(plain("churn?live=100k"), "churn-live-100k");
        assert_eq!(
            (plain("..").as_str(), plain("").as_str(), plain("ä").as_str()),
            ("unnamed", "unnamed", "unnamed")
        );
    }
}
