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
/// [`ExportError::NoReport`] if it is none, [`ExportError::OtherSchema`] if its fields mean something else.
pub fn from_json(text: &str) -> Result<Report, ExportError> {
    let Version { schema } = serde_json::from_str(text)?;
    if schema != u64::from(SCHEMA) {
        return Err(ExportError::OtherSchema { found: schema, known: SCHEMA });
    }
    Ok(serde_json::from_str(text)?)
}
