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
    /// A configuration contradicts itself.
    #[error("{reason}")]
    Config {
        /// What is wrong and what to do.
        reason: &'static str,
    },
    /// An arena of this size cannot be.
    #[error("an arena of {asked} bytes is more than the {most} bytes that {limit}: ask for less")]
    ArenaTooLarge {
        /// The size asked for.
        asked: u64,
        /// The largest size that can be asked for.
        most: u64,
        /// Whose limit that is, with its verb.
        limit: &'static str,
    },
    /// There is no room.
    #[error(
        "no room for {asked} bytes: {used} of {limit} bytes of {which} are in use ({committed} committed): free something or raise the limit"
    )]
    Full {
        /// The size asked for, rounded up to what would have been taken.
        asked: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes set apart for blocks, in use or not. What is neither in use nor uncommitted is fragmented.
        committed: u64,
        /// The limit that was reached.
        limit: u64,
        /// What the limit is of.
        which: &'static str,
    },
    /// The arena or pool was closed.
    #[error("the memory was closed: create a new one")]
    Closed,
}
