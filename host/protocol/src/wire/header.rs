//! The fixed header of a frame.
//!
//! ```text
//!  0  4  "gcp\0"                      what this is
//!  4  1  version                      of everything below
//!  5  1  class                        0 sequenced, 1 unsequenced
//!  6  2  zero
//!  8  4  length of the body in bytes
//! 12  4  CRC32C of the header, with zero here, and the body
//! 16 12  from: node, incarnation
//! 28 12  to: node, incarnation        (incarnation 0 while it is not known)
//! 40  8  membership epoch of the sender when the frame was first sent
//! 48  8  marking cycle that the sender was in when the frame was first sent
//! 56  8  sequence number              0 in unsequenced frames
//! 64  8  sequence number up to which the sender has admitted everything from the receiver
//! 72  8  mention number up to which everything that the sender mentioned to the receiver is answered
//! 80     body: records
//! ```
//!
//! The first eight bytes stay as they are in every version. Checks come in this order: what it is, version, length, checksum, contents.

use crate::ids::{CycleId, Life, MembershipEpoch};
use crate::limits::FRAME_BODY_BYTES_MAX;

use super::WireError;
use super::codec::{Field, fields};
use super::crc::crc32c;

/// The version of the wire format that this crate speaks.
pub const WIRE_VERSION: u8 = 1;

/// Bytes of the header of a frame.
pub const HEADER_BYTES: usize = 80;

const MAGIC: [u8; 4] = *b"gcp\0";
const ADDRESS_AT: usize = 16;

/// What stands in the header, beside what is needed to take the frame apart.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who sent it.
    pub from: Life,
    /// Whom it is for. Incarnation 0 while the sender does not know the receiver's life.
    pub to: Life,
    /// The sender's membership when the frame was first sent.
    pub epoch: MembershipEpoch,
    /// The marking cycle that the sender was in then.
    pub cycle: CycleId,
    /// Its number among the frames from `from` to `to`; 0 for an unsequenced frame, which may be lost, repeated and overtaken.
    pub sequence: u64,
    /// The sender has admitted all frames of the receiver up to this number.
    pub acknowledged: u64,
    /// All mentions of the sender to the receiver up to this number are answered.
    pub settled: u64,
}

fields!(Header {
    from: Life,
    to: Life,
    epoch: MembershipEpoch,
    cycle: CycleId,
    sequence: u64,
    acknowledged: u64,
    settled: u64,
});

const _: () = assert!(ADDRESS_AT + <Header as Field>::BYTES_MIN == HEADER_BYTES);

/// A whole frame.
pub(crate) fn encode(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&[WIRE_VERSION, u8::from(header.sequence == 0), 0, 0]);
    (body.len() as u32).put(&mut frame);
    0u32.put(&mut frame);
    header.put(&mut frame);
    let checksum = crc32c(&[&frame, body]);
    frame[12..16].copy_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// How many bytes the frame takes whose first bytes these are. For a shell that cuts frames out of a stream.
///
/// # Errors
///
/// [`WireError::Truncated`] with fewer than 12 bytes, and everything that can be wrong with these 12.
pub fn frame_bytes(start: &[u8]) -> Result<usize, WireError> {
    let mut rest = start;
    if <[u8; 4]>::take(&mut rest)? != MAGIC {
        return Err(WireError::Magic);
    }
    let version = u8::take(&mut rest)?;
    if version != WIRE_VERSION {
        return Err(WireError::Version { theirs: version, ours: WIRE_VERSION });
    }
    let [class, zero, nought] = <[u8; 3]>::take(&mut rest)?;
    if class > 1 || zero != 0 || nought != 0 {
        return Err(WireError::Value);
    }
    let length = u32::take(&mut rest)? as usize;
    if length > FRAME_BODY_BYTES_MAX {
        return Err(WireError::TooLong { bytes: length });
    }
    Ok(HEADER_BYTES + length)
}

/// Header and body of a frame.
pub(crate) fn decode(frame: &[u8]) -> Result<(Header, &[u8]), WireError> {
    let bytes = frame_bytes(frame)?;
    if frame.len() < bytes {
        return Err(WireError::Truncated);
    }
    if frame.len() > bytes {
        return Err(WireError::Trailing);
    }
    let (head, body) = frame.split_at(HEADER_BYTES);
    let mut checksum = &head[12..];
    let expected = u32::take(&mut checksum)?;
    if crc32c(&[&head[..12], &[0; 4], &head[ADDRESS_AT..], body]) != expected {
        return Err(WireError::Checksum);
    }
    let header = Header::take(&mut &head[ADDRESS_AT..])?;
    if (header.sequence == 0) != (head[5] == 1) {
        return Err(WireError::Value);
    }
    Ok((header, body))
}
