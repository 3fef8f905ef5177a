//! How a trace can fail to be written, read or replayed.

use std::io;
use std::path::PathBuf;

use crate::trace::format::VERSION;

/// A trace that cannot be used at all. What is damaged in part is no error: see [`Damage`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The system refused to open, read or write the file.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another kind of file.
    #[error("{} is no trace: give a file that `host run --record` has written", path.display())]
    NoTrace {
        /// The file.
        path: PathBuf,
    },
    /// The header does not match its checksum.
    #[error("the header of {} is damaged ({what}): nothing behind it can be trusted, record anew", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A trace of another version.
    #[error(
        "{} is a trace of version {found}, and this program reads version {VERSION}: replay it with the program that recorded it, or record anew",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
    /// More than can be replayed.
    #[error("the trace {what}, and at most {max} can be: {remedy}")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// How much there can be.
        max: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The replay came upon something else than the plan of the trace says.
    #[error(
        "the replay differs from the trace at event {event}: {what}; the heap or the strategy lost or changed an object, or this is a bug of the replay"
    )]
    Diverged {
        /// The event, counted from 0 in the order of the replay.
        event: u64,
        /// What was found.
        what: String,
    },
}

/// Where a trace is damaged. Everything before that place is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Byte of the file at which the damaged block begins.
    pub offset: u64,
    /// Number of that block in the file, from 0.
    pub block: u64,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {} at byte {}: {}", self.block, self.offset, self.what)
    }
}
