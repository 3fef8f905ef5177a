//! References between nodes, as state machines without clock and IO.
//!
//! ```text
//! events ──▶ step(now, event, effects) ──▶ effects
//! ```
//!
//! Modules in reading order; each imports only what stands above it. Start with [`references`] for the algorithm and with [`node`] for how to use it.
//!
//! Architecture invariant: this crate knows nothing of sockets, threads, clocks, random numbers, of the heap's memory and of WebAssembly. It contains no
//! unsafe code and builds for wasm32, which proves most of that.

#![forbid(unsafe_code)]

pub mod ids;
pub mod limits;
mod rules;
pub mod wire;

pub mod digest;
pub mod references;

pub mod exile;
pub mod lease;
pub mod phi;

pub mod session;

pub mod mark;
pub mod swap;

pub mod node;

pub use exile::MembershipRefused;
pub use ids::{CycleId, Incarnation, Life, MembershipEpoch, Nanos, NodeId, Object, Reference};
pub use lease::{HomeMode, LeaseConfig};
pub use mark::CycleEnding;
pub use node::{Config, Counters, Effect, Event, Node, PeerStatus, Refusal};
pub use references::{Delivered, StubLoss};
pub use rules::{Faults, Rule};
pub use session::LinkConfig;
pub use swap::{Present, SwapEnding};
