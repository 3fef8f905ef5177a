//! The wire format: frames with a fixed header and a checksum, records in them.
//!
//! ```text
//! frame = header (80 bytes, see `header.rs`) | record*
//! record = kind u16 | length u32 | content
//! ```
//!
//! 1. What is malformed is refused whole, before any of it has an effect: a frame is decoded completely, then carried out.
//! 2. No length that a peer names is believed before the bytes for it are there.
//! 3. A version is its golden bytes (`wire/tests.rs`): records never change, kinds are never used again, growth is new kinds.
//!
//! Hand-laid and not derived by a serialisation crate: the bytes are the contract between versions, so they stand where one can read them.

mod codec;
mod crc;
mod header;
mod message;
#[cfg(test)]
mod tests;

pub use codec::Payload;
pub(crate) use header::encode;
pub use header::{HEADER_BYTES, Header, WIRE_VERSION, frame_bytes};
pub use message::{
    BucketSet, CondemnedStubs, Copy, DigestRoot, ExileAck, Grant, Hello, MarkRequest, Mention, Message,
    ModuleChunk, ModuleDigest, ModuleWanted, Renew, StrategyBytes, SubtreeAgrees, SubtreeProved,
    SubtreeTotals, SwapOffer, SwapPrepared, SwapPresent, Wave,
};

/// Why bytes are no frame. The connection that they came from is closed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum WireError {
    /// Bytes are missing.
    #[error("a frame ends early: the stream was cut or its length is wrong")]
    Truncated,
    /// It does not begin as a frame does.
    #[error("bytes that are no frame: is this port one of a node of this project")]
    Magic,
    /// Another version.
    #[error("wire version {theirs} is not ours ({ours}): upgrade the older node")]
    Version {
        /// The version in the frame.
        theirs: u8,
        /// The version that is understood here.
        ours: u8,
    },
    /// Longer than a frame may be.
    #[error("a frame of {bytes} bytes is too long: the limit is 1 MiB")]
    TooLong {
        /// The length that it names.
        bytes: usize,
    },
    /// The checksum does not fit.
    #[error("the checksum of a frame does not fit: look at cables, drivers and proxies")]
    Checksum,
    /// A message that must not be skipped and is not known.
    #[error("message kind {0:#06x} is not known: upgrade this node")]
    UnknownKind(u16),
    /// Bytes that belong to nothing.
    #[error("bytes are left over in a frame: its sender is broken")]
    Trailing,
    /// A value that its field does not have.
    #[error("a field has a value that it cannot have: its sender is broken")]
    Value,
}

/// Takes a frame apart: all of it, or an error.
///
/// # Errors
///
/// See [`WireError`].
pub fn decode(frame: &[u8]) -> Result<(Header, Vec<Message>), WireError> {
    let (header, mut body) = header::decode(frame)?;
    let mut messages = Vec::new();
    while !body.is_empty() {
        messages.extend(Message::take(&mut body)?);
    }
    Ok((header, messages))
}

/// A frame with these messages.
#[must_use]
pub fn frame(header: &Header, messages: &[Message]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        message.put(&mut body);
    }
    encode(header, &body)
}
