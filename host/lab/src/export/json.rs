//! `report.json`: the report as it is.

use serde::Deserialize;

use crate::bench::model::{Report, SCHEMA};
use crate::export::ExportError;

/// Only the version.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The report as JSON text.
///
/// # Errors
///
/// None that a report of this program can have; the library's error otherwise.
pub fn to_json(report: &Report) -> Result<String, ExportError> {
    Ok(serde_json::to_string(report)?)
}

/// A report from its JSON text. Fields that are not known here are passed over.
///
/// # Errors
///
/// [`ExportError::NoReport`] if it is none, [`ExportError::OtherSchema`] if its fields mean something else, [`ExportError::Missing`] if a part of it refers
/// to one that is not there.
pub fn from_json(text: &str) -> Result<Report, ExportError> {
    let Version { schema } = serde_json::from_str(text)?;
    if schema != u64::from(SCHEMA) {
        return Err(ExportError::OtherSchema { found: schema, known: SCHEMA });
    }
    let report: Report = serde_json::from_str(text)?;
    match missing(&report) {
        Some((what, number, count)) => Err(ExportError::Missing { what, number, count }),
        None => Ok(report),
    }
}

/// A strategy or workload that something in the report refers to and that is not in its list, and how many are.
fn missing(report: &Report) -> Option<(&'static str, usize, usize)> {
    let measures = || report.runs.iter().filter_map(|run| run.measures.as_deref());
    let cycles = measures().flat_map(|measures| &measures.cycles).map(|cycle| cycle.subject);
    let swaps = measures().filter_map(|measures| measures.swap.as_ref()).map(|swap| swap.to);
    let probes = report.workloads.iter().flat_map(|workload| &workload.probes).map(|probe| probe.subject);
    let mut subjects = report.runs.iter().map(|run| run.subject).chain(cycles).chain(swaps).chain(probes);
    let mut workloads = report.runs.iter().map(|run| run.workload);
    let (subject_count, workload_count) = (report.subjects.len(), report.workloads.len());
    let subject = subjects.find(|&subject| subject >= subject_count);
    let workload = workloads.find(|&workload| workload >= workload_count);
    let strategy = subject.map(|subject| ("strategy", subject, subject_count));
    strategy.or(workload.map(|workload| ("workload", workload, workload_count)))
}
