//! What surrounds simulated nodes: numbers from a seed, time, clocks, a bad network, a coordinator. No heap, and no node.
//!
//! Two simulators stand on it: that of the protocol alone, with heaps of sets (`host/protocol/tests/simulation`), and `gc-sim`, with real heaps and strategies.

#![forbid(unsafe_code)]

mod clock;
mod config;
mod coordinator;
mod network;
mod random;
mod schedule;

pub use clock::Clock;
pub use config::hasty;
pub use coordinator::Coordinator;
pub use network::{Network, Weather};
pub use random::Random;
pub use schedule::{MS, Schedule};

use gc_protocol::NodeId;

/// The node that runs at a place. Places count from 0, nodes from 1.
#[must_use]
pub fn node_at(place: usize) -> NodeId {
    NodeId(place as u32 + 1)
}

/// The place of a node.
#[must_use]
pub fn place_of(node: NodeId) -> usize {
    node.0 as usize - 1
}
