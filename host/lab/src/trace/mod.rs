//! Traces: what the mutators of a heap did, in a file, and the same work done again.
//!
//! ```text
//!  heap ──tape──▶ Recording ──▶ file ──▶ TraceFile ──▶ plan ──▶ Replay ──▶ mutators of another heap
//!                (queue, thread)        (checked)    (order)   (steps)
//! ```
//!
//! Modules in reading order: how a file is written (`recording`) and what stands in it (`format`, [`gc_heap::tape::code`]); how it is read (`events`,
//! `file`); in which order several mutators come and what must be kept alive meanwhile (`plan`); how that is carried out (`stage`, `replay`).
//!
//! A trace says what the mutators did, not what the collector did. So it can be replayed under any strategy; the work is the same in each.

mod error;
mod format;
mod recording;

mod events;
mod file;
mod lane;
mod locals;
mod shadow;

mod plan;
mod stage;

mod replay;

mod cut;
mod info;

#[cfg(test)]
mod fuzz;

use std::path::Path;
use std::time::Instant;

use gc_heap::Heap;

use crate::driver::{Driver, Phase, Progress};
pub use crate::error::TraceError;
use crate::error::WorkloadError;
use crate::report::WorkloadReport;
use crate::settle::settle;
pub use cut::{Cut, cut};
pub use error::Damage;
pub use file::TraceFile;
pub use format::{Facts, VERSION};
pub use info::{Counts, Line, TraceInfo, head};
pub use recording::{QUEUE_BLOCKS, Recording, RecordingReport, WAIT_MAX};
pub use replay::{Replay, ReplayReport};
pub use stage::{Clockwork, Due, Pace, Ticked};

/// `trace:FILE` as a workload: replayed as fast as it goes.
pub(crate) fn run(path: &Path, heap: &Heap, driver: &dyn Driver) -> Result<WorkloadReport, WorkloadError> {
    let begun = Instant::now();
    driver.progress(Progress { phase: Phase::Read, done: 0, total: None });
    let replay = Replay::open(path)?;
    let read_time = begun.elapsed();
    let report = replay.run(heap, &Pace::Free, driver)?;
    Ok(WorkloadReport {
        objects: report.objects,
        references: report.references,
        payload_bytes: report.payload_bytes,
        operations: report.operations,
        threads: report.threads,
        read_time,
        mutate_time: report.took,
        stopped: report.stopped || settle(driver)?,
        ..WorkloadReport::default()
    })
}
