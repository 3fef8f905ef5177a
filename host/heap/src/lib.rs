//! Cells, mutators, barrier, handshakes, proof and reclaim: a heap whose collector is somebody else.
//!
//! ```text
//! mutator ──▶ heap ──▶ barrier log ──▶ strategy ──▶ verdict ──▶ proof ──▶ quarantine ──▶ reclaim
//! ```
//!
//! Modules in reading order; each imports only what stands above it.
//!
//! Architecture invariant: this crate knows nothing of WebAssembly, of async runtimes and of networks, and contains no unsafe code.

#![forbid(unsafe_code)]

pub mod limits;
mod sync;

mod holdup;

pub mod tape;

mod handle;
pub mod strategy;

mod columns;
mod graph;
mod payload;

mod cells;
mod decision;
mod error;
mod roots;
mod signal;
mod stubs;

mod remote;

mod handshake;
mod heap;
mod held;
mod mutator;

mod proof;
mod reclaim;
mod recount;
mod report;

mod cycle;
pub mod pacer;
mod why;

mod retained;

pub use cycle::{Collector, CycleRequest, Heard, Others, Pace, Slice};
pub use decision::{DecisionRecord, Rule};
pub use error::{Gone, HeapError};
pub use gc_memory::{MemoryError, SlabConfig, machine_bytes};
pub use graph::{Graph, PlaneLayout};
pub use handle::{Handle, HandleSyntax};
pub use heap::{Heap, HeapConfig, Quarantine};
pub use held::RoomWanted;
pub use holdup::{HeldUp, Holdup, Holdups, HoldupsBy};
pub use mutator::{Local, Mutator, Pin, Scope};
pub use proof::Violation;
pub use reclaim::Freed;
pub use recount::Recount;
pub use report::{CycleEnd, CycleReport, HeapStats, ShadowReport, cell_bytes, column_bytes};
pub use retained::Retained;
pub use signal::{Signal, Wake};
pub use strategy::{
    Cause, Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};
pub use stubs::FreedStub;
pub use why::{RootKind, Why};
