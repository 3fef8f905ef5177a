//! A node in a cluster: one thread that drives links, membership and references, and the collector's part in cycles over nodes.
//!
//! ```text
//!  program, control socket ──orders──▶ driver ──▶ Transport, Members (gc-cluster)
//!                                        │  ▲
//!                                        │  └──── bell, freed stubs ◀──┐
//!                                        ▼                             │
//!                          Member (gc-remote): protocol and heap ◀─ desk ─▶ collector thread
//! ```
//!
//! Start with [`driver`]; [`start`] says in which order a node comes up, [`pace`] when a cycle over nodes is due.

mod clock;
mod config;
mod error;
mod record;

mod bundle;
mod post;

mod handle;
mod why;

mod over;
mod pace;

mod answers;
mod works;

mod driver;
mod figures;

mod start;

pub(crate) use bundle::{pack, unpack};
pub use config::ClusterConfig;
pub use error::ClusterError;
pub use handle::{Cluster, Delivery, Ledger, Peer};
pub(crate) use handle::{Seat, digest_of, hex};
pub use record::{
    ClusterCounters, ClusterStatus, ClusterSwapReport, ExileReport, HeldRecord, MemberRecord, OverRecord,
    WithoutNode, WithoutRecord,
};
pub(crate) use start::{Begun, Running};
pub(crate) use works::Works;
