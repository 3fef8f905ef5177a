//! Traces: what the mutators of a heap did, in a file.

mod error;
mod format;
mod recording;

pub use error::{Damage, TraceError};
pub use format::{Facts, VERSION};
pub use recording::{QUEUE_BLOCKS, Recording, RecordingReport, WAIT_MAX};
