//! Comparing strategies: what a result is, and the parts of measuring that need no running node.
//!
//! ```text
//!  plan ─▶ search ─▶ schedule ─▶ one process per run ─▶ model::Report ─▶ statistics, page, exports
//!                                   │
//!                                   └─ meter, oracle (around the strategy), fates (of several nodes), latency, mmu (from what was recorded)
//! ```

pub mod histogram;
pub mod model;

pub mod environment;
pub mod fates;
pub mod latency;
pub mod meter;
pub mod metric;
pub mod mmu;
pub mod oracle;
pub mod overhead;
pub mod protocol;
pub mod schedule;
pub mod search;
