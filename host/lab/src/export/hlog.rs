//! HdrHistogram interval logs (V2, compressed), as HdrHistogram's own log processors and plotters read them.
//!
//! Each run that came to its end is one line, tagged `workload/heap/strategy` or `workload/heap/strategy/kind-of-latency`; lines stand one after the other on a
//! time axis that adds up the runs' lengths. Values are nanoseconds; the column of maxima is in milliseconds, as those tools expect.

use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::bench::histogram::Counts;
use crate::bench::model::{Kind, Measures, Report};
use crate::export::{ExportError, place, plain};

/// The pauses of every timed run.
///
/// # Errors
///
/// [`ExportError::Histogram`], which no recorded histogram causes.
pub fn pauses_hlog(report: &Report) -> Result<Vec<u8>, ExportError> {
    log(report, "pauses of mutators", |measures| vec![("", &measures.pauses)])
}

/// The latency of the requests of every timed run, simple and metered.
///
/// # Errors
///
/// [`ExportError::Histogram`], which no recorded histogram causes.
pub fn latency_hlog(report: &Report) -> Result<Vec<u8>, ExportError> {
    log(report, "latency of requests", |measures| {
        let Some(latency) = &measures.latency else { return Vec::new() };
        let mut ways = vec![
            ("/simple", &latency.simple),
            ("/metered-100ms", &latency.metered_100ms),
            ("/metered-whole", &latency.metered_whole),
        ];
        ways.extend(latency.from_intended.iter().map(|counts| ("/from-intended", counts)));
        ways
    })
}

fn log(
    report: &Report,
    what: &str,
    ways: impl for<'m> Fn(&'m Measures) -> Vec<(&'static str, &'m Counts)>,
) -> Result<Vec<u8>, ExportError> {
    let wrong = |error: &dyn std::fmt::Display| ExportError::Histogram(error.to_string());
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let begin = std::time::UNIX_EPOCH + Duration::from_millis(report.began_unix_ms);
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(&format!("[{what}, nanoseconds; tags: workload/heap/strategy]"))
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(begin)
        .with_base_time(begin)
        .with_max_value_divisor(1_000_000.0)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| wrong(&error))?;
    let mut at = Duration::ZERO;
    for run in report.runs.iter().filter(|run| run.kind == Kind::Timed && run.outcome.is_ok()) {
        let Some(measures) = run.measures.as_deref() else { continue };
        let length = Duration::from_nanos(measures.wall_ns);
        let (subject, workload, heap) = place(report, run);
        for (way, counts) in ways(measures).into_iter().filter(|(_, counts)| counts.count() > 0) {
            let tag = format!("{}/{heap}/{}{way}", plain(&workload), plain(&subject));
            writer
                .write_histogram(&counts.histogram(), at, length, Tag::new(&tag))
                .map_err(|error| wrong(&error))?;
        }
        at += length;
    }
    drop(writer);
    Ok(bytes)
}
