//! Bounds of this crate.

use std::time::Duration;

/// Objects of an input: their numbers are 32-bit, and a heap holds at most 2^32 cells.
pub const OBJECTS_MAX: usize = u32::MAX as usize - 1;

/// Longest line of a graph file in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes that are read from a graph file at a time.
pub const READ_BYTES: usize = 1 << 20;

/// Largest payload that a graph file may ask for, in bytes: what it takes is filled from one buffer of that
/// size.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

/// References that a scope holds at most while a graph is built. A handshake copies them: four bytes each, so
/// one to two microseconds.
pub const SCOPE_LOCALS_MAX: usize = 4096;

/// Objects kept by one holder while a graph is built. With its link to the one before it, a holder has one
/// slot more.
pub const HOLDER_OBJECTS: usize = 1023;

/// Roots that get a name of their own in the heap. Roots beyond that are kept by holders, [`HOLDER_OBJECTS`]
/// each.
pub const NAMED_ROOTS_MAX: usize = 4096;

/// Cycles that a workload waits for at its end. A strategy may need more than one: a counting one finds
/// cyclic garbage later than the rest.
pub const FINAL_CYCLES_MAX: u32 = 32;

/// A workload at its end takes the heap for settled when this many cycles in a row reclaimed nothing.
pub const QUIET_CYCLES: u32 = 2;

/// Time between two reports of progress.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Steps between two looks at the clock and at the driver's wish to stop.
pub const STEPS_PER_LOOK: u64 = 256;

/// Memory that decoded git objects may take as bases of others, in bytes.
pub const DELTA_BASES_BYTES: usize = 96 << 20;

/// Nodes that share the objects of a repository where nothing else is said, and most that can.
pub const PLACED_NODES: u32 = 3;
/// See [`PLACED_NODES`].
pub const PLACED_NODES_MAX: u64 = 1024;

/// References in one message between nodes. With four bytes for the number of each this is far below what the protocol carries.
pub const SPREAD_REFERENCES: usize = 1024;

/// Rounds of cycles that nodes do together at their end. A chain of garbage that goes back and forth between nodes is one round and a
/// half per crossing under strategies that do not mark over nodes.
pub const ROUNDS_MAX: u32 = 100_000;

/// Rounds in a row in which nothing may change before the nodes are done: one to condemn, one to free what was condemned, one for what
/// other nodes hear of that.
pub const QUIET_ROUNDS: u32 = 4;

/// How long a node waits for a message of another before it looks whether it is to stop.
pub const RECEIVE_PATIENCE: Duration = Duration::from_millis(50);

/// How long a node waits before it tries again to send to one that takes nothing.
pub const SEND_AGAIN: Duration = Duration::from_millis(5);

/// Between two rounds: what nodes say to each other about references is sent in batches of a few milliseconds.
pub const ROUND_REST: Duration = Duration::from_millis(10);

/// How long a node waits at most, in a round, for others to acknowledge what it has to say: some batches.
pub const ROUND_PATIENCE: Duration = Duration::from_millis(500);

/// Between two rounds, when nothing changes any more and the nodes were asked to stay.
pub const STAY_REST: Duration = Duration::from_millis(200);

/// How long the first node waits at the end for the others to hear of it.
pub const FAREWELL: Duration = Duration::from_secs(5);

/// Nodes of the random workers: fewer have nobody to speak to, more are more threads than a process should have.
pub const WORKER_NODES_MIN: u32 = 2;
/// See [`WORKER_NODES_MIN`].
pub const WORKER_NODES_MAX: u32 = 64;

/// Pings per second and node of the random workers.
pub const WORKERS_RATE_MAX: u64 = 1_000_000;

/// Letters to one node that it has not said to have taken. A node keeps 8192 messages for its program; from 63 others come at most 63 times these, and
/// a few more about progress.
pub const LETTERS_OPEN: u32 = 64;

/// Letters of a node after which it is told that they were taken.
pub const LETTERS_TOLD: u32 = 32;

const _: () = assert!(LETTERS_TOLD < LETTERS_OPEN && (WORKER_NODES_MAX - 1) * (LETTERS_OPEN + 16) < 8192);

/// How long a node tries to send something to one that takes nothing, without any sign that it is gone: more than a lease.
pub const SEND_PATIENCE: Duration = Duration::from_secs(60);

/// Objects of a node whose lives are written down: 72 bytes each.
pub const LIVES_MAX: usize = 1 << 22;

/// How long a node that writes down lives waits for a message before it looks what has been reclaimed.
pub const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Threads that read a repository.
pub const READ_THREADS_MAX: usize = 8;

/// Objects of a repository that a thread reads at a time.
pub const READ_OBJECTS: usize = 2048;

/// Symbolic references that are followed one after the other.
pub const SYMBOLIC_DEPTH_MAX: usize = 5;

/// Mutator threads of a workload.
pub const THREADS_MAX: u32 = 256;

/// Objects that the churn workload keeps alive at most.
pub const CHURN_LIVE_MAX: u64 = 1 << 31;

/// Objects in one group of the churn workload.
pub const CHURN_GROUP_MAX: u64 = 64;

/// Longest payload that a synthetic workload gives an object, in bytes.
pub const PAYLOAD_DRAWN_MAX: u64 = 64 * 1024 * 1024;

/// Places through which threads of the churn workload share objects.
pub const CHURN_BOARD: usize = 64;

/// Records of the service workload.
pub const SERVICE_KEYS_MAX: u64 = 16_000_000;

/// Sessions of the service workload.
pub const SERVICE_SESSIONS_MAX: u64 = 1_000_000;

/// Keys of the cache workload.
pub const CACHE_KEYS_MAX: u64 = 1_000_000_000;

/// Entries of the cache workload, and operations that one may live.
pub const CACHE_ENTRIES_MAX: u64 = 64_000_000;

/// Nodes of a document of the editor workload.
pub const EDITOR_NODES_MAX: u64 = 1 << 28;

/// Versions that the editor workload keeps.
pub const EDITOR_VERSIONS_MAX: u64 = 1_000_000;

/// Longest time for which a thread of a workload sleeps before it looks whether it is to end.
pub const NAP_MAX: Duration = Duration::from_millis(50);

/// Requests of a run that are kept one by one, all threads together: 32 bytes each, 8 MiB. With so many the
/// 99.99th percentile of metered latency still has more than twenty samples beyond it.
pub const REQUESTS_MAX: usize = 1 << 18;

/// Longest latency that is told from longer ones: an hour.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Decimal digits to which a latency is exact.
pub const LATENCY_DIGITS: u8 = 3;
