//! Workloads: git repositories, plain graphs and synthetic churn, driven through real mutators.
//!
//! A workload is asked for by a text, and does its work through the same [`Mutator`](gc_heap::Mutator)s as
//! any program:
//!
//! | text | what it does | what it stresses |
//! |---|---|---|
//! | `git:PATH[?payload=true][&place=hash]` | imports every object of a repository, roots its refs, collects; over all nodes of a cluster if asked | one big acyclic graph, shared subtrees, exact result known from `git fsck` |
//! | `git-history:PATH?keep=N` | replays a history commit by commit, cuts off what is older than the last N | a sliding window: sharing between generations, weak look-ups, unlinking |
//! | `graph:FILE` | imports any graph from a text file, collects | any shape: cycles, hubs, long chains |
//! | `churn[?key=value&...]` | allocates, links, reads, unlinks and drops for as long as asked | steady state: allocation rate, barrier, small cycles, several threads |
//! | `gcbench[?...]` | GCBench of Ellis, Kovac and Boehm | allocation of which next to all dies at once, above a live tree |
//! | `binary-trees[?...]` | binary-trees of the Benchmarks Game | the same, and every node is read before it dies |
//! | `service[?...]` | requests about records, for sessions, by a clock if asked | three lifetimes at once, young objects stored into old ones, who waits |
//! | `queue[?...]` | producers and consumers over a linked queue | long chains, live and dead; dropped by another thread |
//! | `cache[?...]` | a cache whose entries expire | retire; an old structure that is rewired all the time |
//! | `trace:FILE` | replays what `host run --record` has written | what was recorded |
//! | `random-workers[?...]` | workers on several nodes come to know each other, work, and are forgotten | references between nodes, cycles over nodes |
//! | `editor[?...]` | an editor of trees that remembers versions | sharing between versions, garbage of middle age |
//!
//! ```text
//!  text ──▶ WorkloadSpec ──run(heap, driver)──▶ mutators of the heap ──▶ WorkloadReport
//!                               │
//!                               └── Driver: "collect now", "shall I stop", "this far"
//! ```
//!
//! Architecture invariants: a workload knows the heap's public interface and its [`Driver`], nothing of
//! strategies, Wasm or the node; it holds what it needs by roots, as a program does, and everything else it
//! remembers are weak handles. `docs/workloads.md` says where they come from, what their options are and what must
//! be alive at their ends.

#![forbid(unsafe_code)]

pub mod limits;

mod peers;

mod driver;
mod error;
mod ids;
mod latency;
mod lives;
mod options;
mod report;

mod cost;
mod crew;
mod distributions;
mod import;
mod leftover;
mod settle;

mod graph;

mod git;
mod history;

mod churn;

mod trees;

mod binary_trees;
mod gcbench;

mod cache;
mod editor;
mod queue;
mod service;

mod random_workers;

pub mod trace;

mod spec;

pub mod stats;

pub mod bench;

pub mod answer;

pub mod page;

pub mod export;

#[doc(hidden)]
pub mod testing;

pub use binary_trees::BinaryTreesSpec;
pub use cache::{CacheSpec, Policy};
pub use churn::{ChurnSpec, Lifetime};
pub use distributions::Size;
pub use driver::{CollectFailed, Driver, Phase, Progress};
pub use editor::EditorSpec;
pub use error::{GitError, GraphError, GraphProblem, WorkloadError};
pub use gcbench::GcBenchSpec;
pub use ids::Ids;
pub use latency::{LatencyLog, Request};
pub use lives::Lives;
pub use options::SpecError;
pub use peers::{Ledger, Peers, PeersFailed, Received, Traffic};
pub use queue::QueueSpec;
pub use random_workers::{Mode, RandomWorkersSpec};
pub use report::{NodeWork, WorkloadReport};
pub use service::{Arrivals, ServiceSpec};
pub use spec::{GitSpec, GraphSpec, HistorySpec, Place, TraceSpec, WorkloadSpec};
