//! What a workload has to say when it has ended.

use std::time::{Duration, Instant};

use crate::ids::Ids;
use crate::latency::LatencyLog;
use crate::lives::Lives;
use crate::peers::Traffic;

/// The result of a workload.
#[derive(Debug, Clone, Default)]
pub struct WorkloadReport {
    /// Objects that the workload put into the heap. Holders that it used to keep them meanwhile are not
    /// counted.
    pub objects: u64,
    /// References between them.
    pub references: u64,
    /// Bytes of payload.
    pub payload_bytes: u64,
    /// Operations on the heap: allocations, loads, stores, look-ups, retirements.
    pub operations: u64,
    /// Mutator threads.
    pub threads: u32,
    /// References to objects that the input does not have, for example beyond the edge of a shallow clone.
    pub missing_references: u64,
    /// Time spent reading the input.
    pub read_time: Duration,
    /// Time spent building what the measured part works on. Not part of `mutate_time`.
    pub set_up_time: Duration,
    /// When the measured part began.
    pub mutate_begun: Option<Instant>,
    /// Time spent as a mutator: building, replaying or churning. What [`requests`](Self::requests) per second
    /// refers to.
    pub mutate_time: Duration,
    /// Time spent waiting for cycles at the end.
    pub settle_time: Duration,
    /// Units of work done in `mutate_time`, as [`request_unit`](Self::request_unit) says; 0 for workloads that
    /// have no such unit. What throughput, and CPU time per unit, refer to: for the same parameters two runs
    /// do the same, except where the end was given as a time.
    pub requests: u64,
    /// What one of `requests` is: "request", "tree", "item", "edit", "step". Empty where there is none.
    pub request_unit: &'static str,
    /// How long requests took, for workloads that have them.
    pub latency: Option<LatencyLog>,
    /// What the workload found out about its own result, one line each, as its source prints it where it does.
    /// A result that is wrong is no line but an error, [`WorkloadError::Wrong`](crate::WorkloadError).
    pub checks: Vec<String>,
    /// The driver asked for an early end; what follows is then empty.
    pub stopped: bool,
    /// What was reclaimed, for workloads whose objects have ids.
    pub reclaimed: Ids,
    /// What is still there, for workloads whose objects have ids.
    pub live: Ids,
    /// How many objects of the workload must be live at its end, by its own books: more than that is floating
    /// garbage, less is a broken heap. None where only the graph says it.
    pub expected_live: Option<u64>,
    /// What each node did, for a workload that runs on several nodes at once: of one node, or of all that run in one process.
    pub nodes: Vec<NodeWork>,
    /// For `git-history`: the commits that were kept, newest first.
    pub kept_commits: Ids,
}

/// What one node did of a workload that runs on several nodes at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeWork {
    /// Its number.
    pub node: u32,
    /// Turns of its manager.
    pub turns: u64,
    /// Workers that it made.
    pub workers: u64,
    /// Messages of the workload with references that it sent to others.
    pub letters: u64,
    /// Workers that it looked at and found to be what they should be, each as often as it did.
    pub verified: u64,
    /// Workers of its own that it reached from those its manager knew before it forgot them.
    pub known: u64,
    /// What it sent in the measured part.
    pub working: Traffic,
    /// What it sent from when everybody was forgotten to the end.
    pub settling: Traffic,
    /// From when everybody was forgotten to when none of its workers was left; none if some are.
    pub lag: Option<Duration>,
    /// Workers of its own that are still there.
    pub left_workers: u64,
    /// The lives of its objects, if they were to be [written down](crate::WorkloadSpec::write_down_lives).
    pub lives: Option<Box<Lives>>,
}
