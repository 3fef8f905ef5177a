//! A running node: heap, strategy, collector thread, control socket and metrics, wired together.
//!
//! ```text
//!  mutators ──▶ heap ◀── collector thread ──▶ strategy (wasm or native)
//!                              │  ▲
//!                      board ◀─┘  └─ requests ◀── Node, control socket
//!          status, metrics, journal, events
//! ```
//!
//! Architecture invariant: this crate performs effects and decides nothing. What is garbage, strategies say; whether that is true, the heap proves;
//! who serves, [`swap`] decides, a pure state machine; when a cycle begins, the heap's pacer says; when memory of free cells goes back, `spare`. In a cluster, what a message means the protocol says,
//! and who is a member whoever coordinates.
//!
//! Modules in reading order; each imports only what stands above it.

#![forbid(unsafe_code)]

pub mod limits;
mod sync;

pub mod canary;
pub mod swap;

mod control;
mod error;

mod journal;
mod record;

mod guard;
mod hold;
mod options;
mod source;

mod config;
mod metrics;
mod scrape;

mod shadow;
mod spare;

mod board;
mod crew;
mod trial;

mod ask;
mod cluster;
mod worker;

mod node;

pub mod conformance;

pub use board::Subscription;
pub use cluster::{
    Cluster, ClusterConfig, ClusterCounters, ClusterError, ClusterStatus, ClusterSwapReport, Delivery,
    ExileReport, HeldRecord, Ledger, MemberRecord, OverRecord, Peer, WithoutNode, WithoutRecord,
};
pub use config::NodeConfig;
pub use control::{
    Answer, Client, ControlError, Failure, PROTOCOL_VERSION, PlaceError, Request, WhyRecord, default_socket,
};
pub use error::NodeError;
pub use hold::Hold;
pub use journal::{JournalRecord, short};
pub use node::{Builder, Node};
pub use options::typed;
pub use record::{
    CanaryRecord, Candidate, CycleRecord, Event, HeapRecord, Message, RootRecord, ShadowRecord, ShadowSide,
    ShadowSummary, Status, StrategyRecord, SwapReport,
};
pub use source::{NativeMaker, StrategySource, names, read};
pub use trial::{CanaryOrder, PendingSwap};
