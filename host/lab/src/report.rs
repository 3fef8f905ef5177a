//! What a workload has to say when it has ended.

use std::time::Duration;

use crate::ids::Ids;

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
    /// Time spent as a mutator: building, replaying or churning.
    pub mutate_time: Duration,
    /// The driver asked for an early end; what follows is then empty.
    pub stopped: bool,
    /// What was reclaimed, for workloads whose objects have ids.
    pub reclaimed: Ids,
    /// What is still there, for workloads whose objects have ids.
    pub live: Ids,
    /// How many objects of the workload must be live at its end, by its own books: more than that is floating
    /// garbage, less is a broken heap. None where only the graph says it.
    pub expected_live: Option<u64>,
    /// For `git-history`: the commits that were kept, newest first.
    pub kept_commits: Ids,
}
