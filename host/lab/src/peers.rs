//! What a workload that runs on several nodes at once asks of the cluster.

use std::time::Duration;

use gc_heap::{Handle, Pin};

/// The cluster, seen from a workload on one of its nodes.
pub trait Peers: Sync {
    /// The number of this node, as handles carry it.
    fn me(&self) -> u32;

    /// The numbers of all members, this node included, in rising order.
    fn members(&self) -> Vec<u32>;

    /// Sends a message with references. The caller holds what they name until this returns; the message is on its way or waits for
    /// the receiver by then.
    ///
    /// # Errors
    ///
    /// [`PeersFailed`]; nothing of it was sent.
    fn send(&self, to: u32, references: &[Handle], message: &[u8]) -> Result<(), PeersFailed>;

    /// The next message that came for the workload, if one comes within `patience`.
    ///
    /// # Errors
    ///
    /// [`PeersFailed`] when none will come any more.
    fn receive(&self, patience: Duration) -> Result<Option<Received>, PeersFailed>;

    /// Runs a cycle over all nodes and waits for its end, however it ends. Answers whether it was swept.
    ///
    /// # Errors
    ///
    /// [`PeersFailed`] when there will be no such cycle.
    fn collect(&self) -> Result<bool, PeersFailed>;

    /// What this node holds of others, and others of it.
    fn ledger(&self) -> Ledger;

    /// What this node has sent to others since it started: the workload's own messages, and all that keeps references and the cluster going.
    fn traffic(&self) -> Traffic;
}

/// A message that came.
pub struct Received {
    /// Who sent it.
    pub from: u32,
    /// What it carried, in the order in which it was sent; each is held until its pin goes. None for what was gone already, and for
    /// what this heap had no room for.
    pub references: Vec<Option<Pin>>,
    /// There was no room for some of that.
    pub no_room: bool,
    /// The message.
    pub message: Vec<u8>,
}

/// What a node holds of others, and others of it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Objects of others that this node holds.
    pub stubs: u64,
    /// Objects of this node that others hold.
    pub scions: u64,
    /// Something was said to other nodes, or is to be said, that they have not answered yet.
    pub unsettled: bool,
}

/// What a node has sent to other nodes.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages, counted as if there were no batches.
    pub messages: u64,
    /// Frames that they went in, those that were sent again included.
    pub frames: u64,
    /// Bytes of the frames.
    pub bytes: u64,
}

impl Traffic {
    /// What has come since.
    #[must_use]
    pub fn since(self, earlier: Traffic) -> Traffic {
        Traffic {
            messages: self.messages.saturating_sub(earlier.messages),
            frames: self.frames.saturating_sub(earlier.frames),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Traffic) -> Traffic {
        Traffic {
            messages: self.messages + other.messages,
            frames: self.frames + other.frames,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What a workload asked of the cluster was not done: a sentence for the person who reads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeersFailed(pub String);
