//! Messages of the application that wait: for their references to be registered here, or for room.
//!
//! Order per peer is kept, so one message that waits holds up those behind it. Its references are pinned from the moment it is taken, so waiting costs no safety.

use std::collections::VecDeque;

use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX};
use crate::wire::Copy;

#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(u64, Copy)>,
    bytes: usize,
}

fn bytes(copy: &Copy) -> usize {
    copy.payload.0.len() + 20 * copy.references.len() + 32
}

impl Outbox {
    pub(super) fn has_room(&self, payload_bytes: usize) -> bool {
        self.waiting.len() < OUTBOX_MESSAGES_MAX && self.bytes + payload_bytes <= OUTBOX_BYTES_MAX
    }

    pub(super) fn push(&mut self, token: u64, copy: Copy) {
        self.bytes += bytes(&copy);
        self.waiting.push_back((token, copy));
    }

    /// The first message, if it may go.
    pub(super) fn take(&mut self, may_go: impl Fn(&Copy) -> bool) -> Option<Copy> {
        let (_, first) = self.waiting.front()?;
        if !may_go(first) {
            return None;
        }
        let (_, copy) = self.waiting.pop_front()?;
        self.bytes -= bytes(&copy);
        Some(copy)
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = u64> + '_ {
        self.waiting.iter().map(|&(token, _)| token)
    }
}
