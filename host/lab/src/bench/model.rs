//! The result of a comparison: everything that was measured, and nothing that follows from it.
//!
//! Written by whoever runs a comparison, one [`Run`] after the other; read by the statistics, the report page and the exports. What can be computed
//! from it (overhead, intervals, verdicts) is not in it, so that no figure can contradict the raw data. `report.json` is this, serialised.
//!
//! 1. Base units everywhere: nanoseconds, bytes, counts; the unit is the end of the name. Times inside a run count from the begin of its timed part.
//! 2. A figure that was not measured is absent (`None`), never 0.
//! 3. A run that failed stays in the list, marked; what it measured before it failed is not used.
//! 4. Fields are only ever added, and [`SCHEMA`] rises when the meaning of one changes.

use serde::{Deserialize, Serialize};

use crate::bench::histogram::Counts;

/// Version of the meaning of these fields.
pub const SCHEMA: u32 = 1;

/// A comparison from begin to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`] of whoever wrote it.
    pub schema: u32,
    /// When it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// How long it took.
    pub took_ns: u64,
    /// The words that it was asked for with, as a shell reads them; empty where nobody knows.
    #[serde(default)]
    pub command: String,
    /// Where it ran.
    pub environment: Environment,
    /// What was to be run.
    pub plan: Plan,
    /// The strategies, in the order in which they were given: `--a` is 0. The last one is the baseline `none` where [`Subject::baseline`] says so.
    pub subjects: Vec<Subject>,
    /// The workloads, in the order in which they were given.
    pub workloads: Vec<Workload>,
    /// All runs, in the order in which they ran.
    pub runs: Vec<Run>,
    /// What a reader must know to judge the figures, one sentence each: a noisy machine, an early end, a baseline that did not fit.
    pub remarks: Vec<String>,
    /// It was ended early; the rounds that are here are whole or marked.
    pub interrupted: bool,
}

impl Report {
    /// A result without anything in it.
    #[must_use]
    pub fn empty() -> Report {
        Report {
            schema: SCHEMA,
            began_unix_ms: 0,
            took_ns: 0,
            command: String::new(),
            environment: Environment::default(),
            plan: Plan::default(),
            subjects: Vec::new(),
            workloads: Vec::new(),
            runs: Vec::new(),
            remarks: Vec::new(),
            interrupted: false,
        }
    }
}

/// The machine and the programs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of `host`.
    pub host_version: String,
    /// SHA-256 of the running `host` binary, in hexadecimal.
    pub host_digest: String,
    /// `release` or `debug`.
    pub build: String,
    /// Version of wasmtime.
    pub wasmtime_version: String,
    /// How strategies are compiled and called.
    pub engine_flags: Vec<String>,
    /// Name and release of the kernel.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Processors that this process may use.
    pub cpus: u32,
    /// Memory of the machine, or of its control group where that is less.
    pub memory_bytes: u64,
    /// The frequency governor, where the system says it.
    pub governor: Option<String>,
    /// Whether the processor may exceed its base frequency, where the system says it.
    pub turbo: Option<bool>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// Load averages over 1, 5 and 15 minutes when the comparison began.
    pub load_at_begin: [f64; 3],
    /// The same at its end.
    pub load_at_end: [f64; 3],
    /// Why the figures are stamped noisy; empty if they are not.
    pub noisy: Vec<String>,
}

/// What was to be run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Multiples of the minimum heap, ascending.
    pub heap_multiples: Vec<f64>,
    /// Rounds per workload and heap: each has every strategy once.
    pub rounds: u32,
    /// Rounds of the first strategy against itself.
    pub noise_rounds: u32,
    /// Untimed iterations of the workload in the process of each run, before the timed one.
    pub warmup_iterations: u32,
    /// Seed of the order of runs and, plus the number of the round, of the workloads.
    pub seed: u64,
    /// Nodes that the workload with the most of them ran on.
    pub nodes: u32,
    /// A run that takes longer has failed.
    pub timeout_ns: u64,
    /// Share of the timed part after which a strategy is swapped for the next one, from 0 to 1.
    pub swap_at: Option<f64>,
    /// Fewer rounds, heaps and probes than usual.
    pub quick: bool,
}

/// A strategy under comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// What to call it: unique, short.
    pub label: String,
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of its bytes, or `native`.
    pub digest: String,
    /// The options it was given.
    pub options: Vec<(String, String)>,
    /// It is only here as the baseline of overhead.
    pub baseline: bool,
}

/// A workload and the heap that it needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// What to call it: unique, short.
    pub label: String,
    /// As it was given, such as `churn?live=100k`.
    pub text: String,
    /// What it stresses, in a sentence.
    pub stresses: String,
    /// Whether the timed part holds the cycles at the end too: that is so for workloads that only build a graph and have it collected.
    pub times_final_cycles: bool,
    /// The smallest heap in which the thriftiest strategy gets through, in bytes: the unit of [`Run::heap_multiple`]. Absent if none was found.
    pub minimum_heap_bytes: Option<u64>,
    /// How far the minimum can be off, as a share of it: the search stopped there.
    pub minimum_heap_error: f64,
    /// The search.
    pub probes: Vec<Probe>,
}

/// One attempt to get through in a heap of some size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Index into [`Report::subjects`].
    pub subject: usize,
    /// The limit.
    pub heap_bytes: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took_ns: u64,
}

/// What a run is for. Only runs of the same kind may be compared.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The comparison itself.
    Timed,
    /// `none` in a heap that it cannot fill: the baseline of overhead.
    Baseline,
    /// The first strategy against itself, as side 0 and side 1 ([`Run::side`]).
    Same,
    /// Fuel is counted, which costs time: only [`Measures::fuel`] and counts are to be used.
    Fuel,
    /// Reachability is computed beside it, which costs time: only [`Measures::quality`] is to be used.
    Oracle,
    /// The strategy is swapped for another one on the way: only [`Measures::swap`] is to be used.
    Swap,
}

/// One run, in a process of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it is for.
    pub kind: Kind,
    /// Index into [`Report::subjects`].
    pub subject: usize,
    /// Index into [`Report::workloads`].
    pub workload: usize,
    /// Which side of an A/A pair this is: 0 or 1. 0 for every other kind.
    pub side: u32,
    /// The heap as a multiple of the minimum. Absent for the baseline.
    pub heap_multiple: Option<f64>,
    /// The heap's limit.
    pub heap_bytes: u64,
    /// Number of the round, from 0. Runs of one round are paired: same workload, heap and seed.
    pub round: u32,
    /// Place within its round, from 0.
    pub position: u32,
    /// Seed of the workload.
    pub seed: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Share of all processors that other processes used meanwhile, from 0 to 1.
    pub others_cpu_share: Option<f64>,
    /// What was measured; absent if it failed.
    pub measures: Option<Box<Measures>>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// It came to its end.
    Ok,
    /// It did not, and its figures are not used.
    Failed {
        /// In which way.
        how: Failure,
        /// In words.
        why: String,
    },
}

impl Outcome {
    /// Whether it came to its end.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Outcome::Ok)
    }
}

/// In which way a run failed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The workload did not get the memory that it asked for.
    HeapFull,
    /// The strategy trapped, missed a deadline, or had a verdict refused.
    Strategy,
    /// It took longer than [`Plan::timeout_ns`].
    Timeout,
    /// The process died.
    Crashed,
    /// The workload could not be run: a wrong path, a damaged file.
    Workload,
    /// The comparison was ended by its user.
    Interrupted,
}

/// What one run measured. Of its timed part, unless it says otherwise: from the workload's first operation to its last one, where
/// [`Workload::times_final_cycles`] with the cycles after that. Over several nodes, which all run in the one process: of all of them together; only
/// the cycles, their count and the start are those of the first node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Length of the timed part.
    pub wall_ns: u64,
    /// CPU time of the whole process.
    pub cpu_ns: u64,
    /// The same, by who used it.
    pub cpu: CpuParts,
    /// Work done, in the workload's own unit.
    pub operations: u64,
    /// That unit: `request`, `tree`, `operation`.
    pub operation_unit: String,
    /// Objects allocated.
    pub allocated_objects: u64,
    /// Bytes allocated, cells and payloads.
    pub allocated_bytes: u64,
    /// Mutator threads.
    pub mutators: u32,
    /// Lengths of the hold-ups: how long single operations of mutators had to wait for the collector. Nanoseconds.
    pub pauses: Counts,
    /// All hold-ups together.
    pub paused_ns: u64,
    /// The longest hold-ups, longest first, at most 64.
    pub longest_pauses: Vec<Pause>,
    /// Latency of the workload's requests; absent for workloads without requests.
    pub latency: Option<Latency>,
    /// Minimum mutator utilisation: for each window the least share of it that any mutator had. Ascending windows.
    pub mmu: Vec<Utilisation>,
    /// The heap over time, at most 256 samples. Like the cycles and the longest pauses kept of each strategy's first run per workload and heap, and
    /// empty for the others.
    pub heap: Vec<HeapSample>,
    /// The cycles, at most 512: the first ones if there were more.
    pub cycles: Vec<Cycle>,
    /// How many cycles there were.
    pub cycle_count: u64,
    /// Time until the heap was settled after the last operation.
    pub settle_ns: u64,
    /// Cycles that took.
    pub settle_cycles: u64,
    /// Objects that were left over at the end and that the workload does not know any more; over several nodes those of them that it counts, its workers.
    pub left_over_objects: Option<u64>,
    /// Memory.
    pub footprint: Footprint,
    /// Calls between host and strategy, both directions.
    pub crossings: Option<u64>,
    /// Fuel that the strategy burned, in the engine's units: exact, and the same on every machine. Only in runs of [`Kind::Fuel`].
    pub fuel: Option<u64>,
    /// What the start cost.
    pub start: StartCost,
    /// Floating garbage and the time to reclaim. Only in runs of [`Kind::Oracle`].
    pub quality: Option<Quality>,
    /// What the swap cost. Only in runs of [`Kind::Swap`].
    pub swap: Option<SwapCost>,
    /// Bytes of the frames that messages between nodes went in: the workload's own, and all that keeps references and the cluster going, up to the end of
    /// the cycles after the timed part. Absent where there is one node.
    pub message_bytes: Option<u64>,
    /// These messages, counted as if there were no batches.
    pub messages: Option<u64>,
    /// What each node had of that, where there are several, by their numbers.
    #[serde(default)]
    pub nodes: Vec<NodeShare>,
}

/// What one of several nodes sent, and what it had left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeShare {
    /// Its number.
    pub node: u32,
    /// Messages that it sent in the timed part, counted as if there were no batches.
    pub messages: u64,
    /// Bytes of the frames that they went in, those that were sent again included.
    pub message_bytes: u64,
    /// Messages that it sent after that, until nothing changed any more.
    pub settle_messages: u64,
    /// Bytes of the frames that they went in.
    pub settle_message_bytes: u64,
    /// Objects of its own that were left over at the end.
    pub left_over_objects: u64,
    /// From when all nodes had forgotten all objects to when none of its own was left: the lag from death to reclaim of garbage that spans nodes. Absent if
    /// some were left.
    pub lag_ns: Option<u64>,
}

/// Who used how much CPU time, in nanoseconds. The parts add up to [`Measures::cpu_ns`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuParts {
    /// Mutators: the workload itself, allocation and barrier with it.
    pub mutator_ns: u64,
    /// Mutators in the collector's service: what of their hold-ups they were running, answering handshakes and in slow paths of the barrier.
    pub barrier_ns: u64,
    /// Inside the strategy.
    pub strategy_ns: u64,
    /// Getting into the strategy and out of it: crossings times what an empty one costs here.
    pub crossing_ns: u64,
    /// Handshakes and handing over logs and roots.
    pub handshake_ns: u64,
    /// The proof of verdicts.
    pub proof_ns: u64,
    /// Condemning and freeing.
    pub reclaim_ns: u64,
    /// Measuring, progress and everything else in the process.
    pub other_ns: u64,
}

impl CpuParts {
    /// What the collector used, as far as it can be told from the mutators' work: all but mutators and measuring.
    #[must_use]
    pub fn collector_ns(&self) -> u64 {
        self.barrier_ns
            + self.strategy_ns
            + self.crossing_ns
            + self.handshake_ns
            + self.proof_ns
            + self.reclaim_ns
    }
}

/// One hold-up of one mutator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    pub at_ns: u64,
    /// How long it was.
    pub length_ns: u64,
    /// Which mutator.
    pub mutator: u32,
}

/// How long requests took, in nanoseconds. *Simple*: from the request's own begin. *Metered*: from when it would have begun if requests came evenly
/// spread over a window, so that one behind a pause pays for it (Blackburn et al., DaCapo Chopin).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// What a request is: `request`, `tree`, `item`.
    pub of: String,
    /// Simple latency.
    pub simple: Counts,
    /// Metered, smoothed over windows of 100 ms.
    pub metered_100ms: Counts,
    /// Metered, smoothed over the whole run.
    pub metered_whole: Counts,
    /// From when it was to begin, for workloads whose requests come by a clock.
    pub from_intended: Option<Counts>,
}

/// A point of the curve of minimum mutator utilisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Utilisation {
    /// Length of the window.
    pub window_ns: u64,
    /// The least share of any such window that a mutator had for itself, from 0 to 1.
    pub share: f64,
}

/// The heap at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapSample {
    /// When.
    pub at_ns: u64,
    /// Bytes in use, as the limit counts them: live objects, garbage and quarantine.
    pub used_bytes: u64,
    /// Bytes taken from the system.
    pub committed_bytes: u64,
    /// Bytes that are unreachable and not condemned yet. Only in runs of [`Kind::Oracle`].
    pub garbage_bytes: Option<u64>,
}

/// One cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// When it began.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Who decided: index into [`Report::subjects`].
    pub subject: usize,
    /// Why it was begun: `goal`, `full`, `request`, `idle`, `rehearsal`.
    pub cause: String,
    /// How it ended: `settled`, `dry-run`, `deferred`, `abandoned`, `faulted`, `refused`.
    pub outcome: String,
    /// Its phases, in order. Between two of them the collector rests.
    pub phases: Vec<Phase>,
    /// Bytes in use when it ended.
    pub used_bytes: u64,
    /// Bytes that live on, as far as the strategy knows.
    pub live_bytes: u64,
    /// Bytes that it condemned.
    pub condemned_bytes: u64,
    /// Bytes that it gave back, mostly condemned by earlier ones.
    pub freed_bytes: u64,
}

/// A part of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which.
    pub part: Part,
    /// When it began.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// For how much of that the collector worked; the rest it slept or waited for a processor. Absent where that is not known.
    pub busy_ns: Option<u64>,
}

/// The parts of a cycle, in order.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Mutators are told, by handshakes, that a cycle begins.
    Open,
    /// The strategy is told roots, changes and what was retired.
    Tell,
    /// The strategy works.
    Mark,
    /// The strategy's verdict.
    Verdict,
    /// The proof.
    Proof,
    /// Condemning and freeing.
    Reclaim,
}

/// Memory over the timed part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// Most bytes in use.
    pub used_bytes_max: u64,
    /// Bytes in use, averaged over time.
    pub used_bytes_mean: f64,
    /// Most bytes taken from the system for the heap.
    pub committed_bytes_max: u64,
    /// The integral of the bytes in use over time.
    pub byte_seconds: f64,
    /// Most bytes of the strategy's own memory.
    pub strategy_bytes_max: u64,
    /// Most physical memory of the process, its start included.
    pub resident_bytes_max: u64,
}

/// What it cost to get a strategy to work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartCost {
    /// Checking and compiling, or taking it from the cache.
    pub load_ns: u64,
    /// Whether it came from the cache.
    pub cached: bool,
    /// Instantiating it and mapping the heap into it.
    pub attach_ns: u64,
}

/// What an oracle found, in a run of its own. Of one heap it computes reachability every now and then; over several nodes each writes down whom it holds and
/// what is gone, and from that every death is known to the moment. Its lags are then of what died in the timed part, reclaimed in it or later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// How often it looked.
    pub looks: u32,
    /// Its share of the run's wall time: how much it disturbed.
    pub cost_share: f64,
    /// The time between two looks; a lag is known no better than that.
    pub period_ns: u64,
    /// Garbage that was there, averaged over looks: bytes.
    pub floating_bytes_mean: f64,
    /// The most.
    pub floating_bytes_max: u64,
    /// From death to condemnation, per cell: nanoseconds. In one heap death is taken to be in the middle between two looks.
    pub lag: Counts,
    /// The same in bytes that mutators allocated meanwhile, which the oracle's own cost does not change.
    pub lag_allocated_bytes: Counts,
    /// Cells that died and were not condemned by the end.
    pub never_condemned_cells: u64,
}

/// What it cost to exchange the strategy under load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwapCost {
    /// Who came: index into [`Report::subjects`].
    pub to: usize,
    /// When it was asked for.
    pub asked_at_ns: u64,
    /// Loading and compiling, beside the serving one.
    pub load_ns: u64,
    /// The rehearsal.
    pub rehearse_ns: u64,
    /// From the request to the first cycle of the other one.
    pub total_ns: u64,
    /// The longest hold-up of a mutator while that went on.
    pub pause_ns_max: u64,
    /// Operations per second while that went on, as a share of those before; absent where it was too short to tell.
    pub throughput_share: Option<f64>,
}
