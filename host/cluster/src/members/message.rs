//! What nodes say to each other about the membership, in datagrams of at most [`GOSSIP_BYTES_MAX`] bytes. Any of them may be lost, repeated or late.
//!
//! ```text
//! | 0 | what foca says |        | 1 | version | message, postcard |
//! ```
//!
//! Who says it is known from the link: its certificate and its preface. Nothing in a message says so again.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use gc_protocol::Life;
use serde::{Deserialize, Serialize};

use super::pages::Page;
use crate::limits::GOSSIP_BYTES_MAX;
use crate::refused::ChangeRefused;

const FOCA: u8 = 0;
const OURS: u8 = 1;

/// Most bytes of what foca says.
pub(super) const FOCA_BYTES_MAX: usize = GOSSIP_BYTES_MAX - 1;

/// A datagram as it came.
#[derive(Debug, PartialEq)]
pub(super) enum Datagram<'a> {
    Foca(&'a [u8]),
    Ours(Message),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Versioned {
    V1(Message),
}

/// What one node says to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Message {
    /// I am here, and have this membership. Said at each beat.
    Beacon { founding: u64, epoch: u64 },
    /// Tell me your membership, from this page on. `epoch` is the one that these pages are wanted of.
    Tell { epoch: u64, page: u16 },
    /// A part of a membership.
    Page(Page),
    /// Let me in. Said again and again until the membership has me.
    Join { address: SocketAddr, nonce: u64 },
    /// You are not let in.
    NotAdmitted(ChangeRefused),
    /// Exile this life. Said again until it is answered.
    Exile { token: u64, node: u32, incarnation: u64 },
    /// I leave. Said again until it is answered.
    Leave { token: u64 },
    /// What was asked with this token is done in this membership, or is not done.
    Answer { token: u64, outcome: Result<u64, ChangeRefused> },
}

impl Message {
    pub(super) fn exile(token: u64, life: Life) -> Message {
        Message::Exile { token, node: life.node.0, incarnation: life.incarnation.0 }
    }

    pub(super) fn encode(&self) -> Bytes {
        let start = vec![OURS];
        // All texts in it are bounded, so the only thing that could fail, memory, does not.
        let bytes = postcard::to_extend(&Versioned::V1(self.clone()), start).unwrap_or_default();
        Bytes::from(bytes)
    }
}

/// The datagram that carries what foca says.
pub(super) fn wrap(foca: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + foca.len());
    bytes.put_u8(FOCA);
    bytes.put_slice(foca);
    bytes.freeze()
}

/// Reads a datagram. None if it is none of ours.
pub(super) fn read(bytes: &[u8]) -> Option<Datagram<'_>> {
    let (&kind, rest) = bytes.split_first()?;
    match kind {
        FOCA => Some(Datagram::Foca(rest)),
        OURS => match postcard::take_from_bytes::<Versioned>(rest) {
            Ok((Versioned::V1(message), [])) => Some(Datagram::Ours(message)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
