//! Every bound of this crate, with the arithmetic that ties them.

use std::time::Duration;

/// Strategies that have served soundly and whose code is kept, so that one can return: the present one and two before it.
pub const SOUND_MAX: usize = 3;

/// Cycles that a strategy serves before its predecessor is let go.
pub const PROBATION_CYCLES: u32 = 3;

/// Cycles that one shadow run may last.
pub const SHADOW_CYCLES_MAX: u32 = 10_000;

/// Cycles that a canary runs beside the serving strategy unless it is told otherwise.
pub const CANARY_SHADOW_CYCLES: u32 = 5;

/// Cycles that a canary serves on probation unless it is told otherwise.
pub const CANARY_PROBATION_CYCLES: u32 = 20;

/// Shortest deadline for a call of a strategy: time is told in ticks of a millisecond at best.
pub const DEADLINE_MIN: Duration = Duration::from_millis(1);

/// Journal records that are kept in memory: a swap writes about six.
pub const JOURNAL_RECORDS: usize = 1024;

/// Events that a subscriber may lag behind before some are skipped, which it is told.
pub const EVENTS_PENDING: usize = 4096;

/// Messages that are kept for the first subscriber while there is none.
pub const UNHEARD_MAX: usize = 16;

/// Requests that may wait for the collector thread.
pub const REQUESTS_PENDING: usize = 64;

/// Longest strategy file that is read. The plugin host has a bound of its own on what it compiles.
pub const STRATEGY_BYTES_MAX: u64 = 256 << 20;

/// Cycles within which a strategy must have kept its promise, whatever it says itself: the conformance kit runs so many, many times over.
pub const PROMISE_CYCLES_MAX: u32 = 100;

/// Objects of a path that are told at each of its ends. What lies between is counted.
pub const WHY_PATH_END: usize = 500;

/// Longest line of the control protocol in bytes: a request is a name, a path and a few options.
pub const CONTROL_LINE_BYTES: usize = 64 * 1024;

/// Bytes of the name of a root that a status shows. As JSON they may be six times as many.
pub const ROOT_NAME_BYTES: usize = 200;

/// Longest name of a strategy in a journal record, in bytes of JSON; its version and its digest may have a sixth each.
pub const JOURNAL_NAME_BYTES: usize = 1024;

/// Longest reason in a journal record, in bytes of JSON. With the name and what else is in a record that is less than 4 KiB.
pub const JOURNAL_REASON_BYTES: usize = 2048;

/// Longest answer of the control protocol in bytes: 1024 journal records of at most 4 KiB, and 256 named roots
/// ([`gc_heap::limits::ROOTS_PIECE`]) of at most 2 KiB. A path over [`WHY_HOPS_MAX`] nodes of twice
/// [`WHY_PATH_END`] handles of at most 50 bytes each is shorter.
pub const CONTROL_ANSWER_BYTES: usize = (4 << 20) + gc_heap::limits::ROOTS_PIECE * (2 << 10);

/// Connections to the control socket at once.
pub const CONTROL_CONNECTIONS: usize = 16;

/// How long the control socket waits until it accepts again after it could not.
pub const CONTROL_ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long a connection to the control socket may take to send its request.
pub const CONTROL_REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Connections to the metrics address at once.
pub const METRICS_CONNECTIONS: usize = 16;

/// Scheduling nice value of the collector thread. A thread of nice 5 has weight 335 against 1024: where it shares a processor with one
/// mutator it gets a quarter of it, which is the default share.
pub const COLLECTOR_NICE: i32 = 5;

/// How long a swap in probation or a shadow run waits for a cycle to happen by itself before it begins one.
pub const WAITING_IDLE: Duration = Duration::from_secs(1);

/// Orders that may wait for the thread that drives the cluster.
pub const ORDERS_PENDING: usize = 256;

/// Messages of other nodes that may wait for the program. One more is dropped, with what it carries, and counted.
pub const DELIVERIES_PENDING: usize = 8192;

/// Questions of other nodes that are answered at a time. One more is refused, and asked again by whoever wants to know.
pub const ANSWERS_PENDING: usize = 16;

/// How long a question to another node waits for its answer.
pub const QUESTION_WAIT: Duration = Duration::from_secs(30);

/// Nodes that `why` asks one after the other before it gives up: a path may go back and forth between two of them.
pub const WHY_HOPS_MAX: usize = 64;

/// How long somebody who asked for a cycle over all nodes waits for it: as long as one may take, twice, because another one may run.
pub const OVER_PATIENCE: Duration = Duration::from_secs(90);

/// How long a cluster-wide swap may take: what the protocol gives it, and a little.
pub const CLUSTER_SWAP_WAIT: Duration = Duration::from_secs(150);

/// Bytes of the options that a strategy for all nodes may come with.
pub const BUNDLE_OPTIONS_BYTES_MAX: usize = 64 * 1024;

/// Scions that must have come since the last cycle over all nodes before another one is begun because of them.
pub const SCIONS_GROWN: u64 = 4096;

/// How long a cycle over all nodes that nobody asked for waits after one that came to nothing; twice as long after each, up to the second.
pub const OVER_WAIT_FIRST: Duration = Duration::from_secs(1);
/// See [`OVER_WAIT_FIRST`].
pub const OVER_WAIT_MAX: Duration = Duration::from_secs(300);

/// How long somebody who asked for a cycle over all nodes waits for a member that is away. More than a lease, so that one that stood still is back.
pub const OVER_ABSENT_WAIT: Duration = Duration::from_secs(10);

/// How often a node looks whether a cycle over all nodes is due, and whether its certificates have changed.
pub const CLUSTER_TICK: Duration = Duration::from_secs(1);

/// How long a node that ends waits for the others to know, and how often it looks.
pub const LEAVE_WAIT: Duration = Duration::from_secs(1);
/// See [`LEAVE_WAIT`].
pub const LEAVE_LOOK: Duration = Duration::from_millis(5);

/// Figures of a cluster are looked at again after so many times as long as it took.
pub const FIGURES_REST: u32 = 50;
