//! What can go wrong with memory. Each message says what happened and what to do; after any error the state is what it was before the call.

use std::io;

/// An operating error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The kernel refused.
    #[error(
        "the kernel refused to {action} {bytes} bytes ({source}): ask for less, or raise the limit of the process or container"
    )]
    Kernel {
        /// What was attempted, as a verb.
        action: &'static str,
        /// How many bytes it concerned.
        bytes: u64,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A region of no bytes, or of more than an address can reach.
    #[error("a region of {bytes} bytes cannot be mapped: ask for at least one byte and at most {most}")]
    RegionSize {
        /// The size asked for.
        bytes: u64,
        /// The largest size that can be asked for.
        most: u64,
    },
    /// A descriptor was asked of a region that has none.
    #[error("a private region has no descriptor: create it with Region::shared")]
    NotShared,
    /// A range reaches past the end of its region.
    #[error("bytes {start}..{end} are outside the region of {region} bytes: check offset and length")]
    OutOfRange {
        /// First byte asked for.
        start: u64,
        /// The byte after the last one.
        end: u64,
        /// Bytes in the region.
        region: u64,
    },
    /// An offset is not a multiple of what it must be.
    #[error("byte offset {offset} is not a multiple of {align}: round it")]
    Misaligned {
        /// The offset asked for.
        offset: u64,
        /// What it must be a multiple of.
        align: u64,
    },
    /// Two columns of different element sizes would share bytes.
    #[error(
        "bytes {start}..{end} already belong to a column of another element size: lay the columns out side by side"
    )]
    Overlap {
        /// First byte asked for.
        start: u64,
        /// The byte after the last one.
        end: u64,
    },
}
