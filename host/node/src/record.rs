//! What a node tells: one record per cycle, per swap step, per message, and its status.
//!
//! These are the shapes of `--json`, of the control protocol and of [`crate::Subscription`]. Field names carry their units. Fields are only ever
//! added: scripts may rely on the names.

use std::collections::BTreeMap;

use gc_heap::{CycleEnd, CycleReport, HeapStats, ShadowReport};
use serde::{Deserialize, Serialize};

use crate::canary::Measured;
use crate::journal::{JournalRecord, short};
use crate::limits::ROOT_NAME_BYTES;

/// What happened on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A cycle ended.
    Cycle(Box<CycleRecord>),
    /// A swap went a step further.
    Swap(JournalRecord),
    /// Something a person should read.
    Message(Message),
    /// The subscriber was too slow.
    Missed {
        /// Events that it did not get.
        count: u64,
    },
}

/// Something a person should read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `info`, `warn` or `error`.
    pub level: String,
    /// One line.
    pub text: String,
}

/// One cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleRecord {
    /// Its number.
    pub cycle: u64,
    /// Seconds since the node started, at its end.
    pub at_s: f64,
    /// Name of the strategy.
    pub strategy: String,
    /// Its version.
    pub version: String,
    /// Digest of its bytes.
    pub digest: String,
    /// Why it was begun: `goal`, `full`, `request`, `idle`, `rehearsal`.
    pub cause: String,
    /// How it ended: `settled`, `dry-run`, `deferred`, `abandoned`, `faulted`, `refused`.
    pub outcome: String,
    /// What went wrong, if something did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Objects that live on: what survived, and what was made since it began.
    pub live_objects: u64,
    /// Cells that live on.
    pub live_cells: u64,
    /// Bytes of cells and payloads that live on: in use, less quarantine.
    pub live_bytes: u64,
    /// Objects condemned in this cycle; in a dry run, those that would be.
    pub condemned_objects: u64,
    /// Bytes of cells and payloads condemned in this cycle; in a dry run, those that would be.
    pub condemned_bytes: u64,
    /// In a dry run: handles of the first objects that would go, for `host why`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub would_condemn: Vec<String>,
    /// Objects whose memory was given back in this cycle.
    pub freed_objects: u64,
    /// Bytes given back in this cycle.
    pub freed_bytes: u64,
    /// Cells that the strategy proposed and that are kept.
    pub withheld_cells: u64,
    /// Time for handshakes.
    pub handshake_ns: u64,
    /// Time in the strategy.
    pub mark_ns: u64,
    /// Time for the proof.
    pub proof_ns: u64,
    /// Time for condemning and freeing.
    pub reclaim_ns: u64,
    /// From begin to end, sleeping included.
    pub total_ns: u64,
    /// Steps of the strategy.
    pub steps: u32,
    /// References shaded while it ran.
    pub shaded: u64,
    /// Changes told to the strategy.
    pub changes: u64,
    /// Longest time that one operation of a mutator was held up, since the start.
    pub pause_ns_max: u64,
    /// Bytes of cells and payloads in use after it.
    pub used_bytes: u64,
    /// Where the next cycle is due, in used bytes.
    pub goal_bytes: u64,
    /// Bytes taken from the system.
    pub committed_bytes: u64,
    /// Bytes of the strategy's own memory.
    pub strategy_memory_bytes: u64,
    /// Fuel that the strategy has used since it was attached; 0 where it is not counted.
    #[serde(default)]
    pub strategy_fuel: u64,
    /// What a shadow would have done, where one ran along.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shadow: Option<ShadowRecord>,
}

/// What a shadow would have done in one cycle, against what was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowRecord {
    /// Name of the shadow.
    pub strategy: String,
    /// Digest of its bytes.
    pub digest: String,
    /// Whether its verdict would have passed the proof.
    pub sound: bool,
    /// What went wrong, if something did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Cells that it proposed, as far as they are neither roots nor young.
    pub proposed_cells: u64,
    /// Cells that it and the serving strategy both propose.
    pub both_cells: u64,
    /// Cells that only it proposes.
    pub only_shadow_cells: u64,
    /// Cells that only the serving strategy proposes.
    pub only_serving_cells: u64,
    /// Time in the shadow.
    pub mark_ns: u64,
}

/// A shadow run from beginning to end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowSummary {
    /// Cycles compared.
    pub cycles: u32,
    /// Cells that the shadow proposed. Like the next three a sum over cycles: what is proposed twice counts twice.
    pub proposed_cells: u64,
    /// Proposed by both.
    pub both_cells: u64,
    /// Proposed by the shadow alone.
    pub only_shadow_cells: u64,
    /// Proposed by the serving strategy alone.
    pub only_serving_cells: u64,
    /// Time in the shadow.
    pub shadow_mark_ns: u64,
    /// Time in the serving strategy.
    pub serving_mark_ns: u64,
    /// What the serving strategy found, and when.
    #[serde(default)]
    pub serving: ShadowSide,
    /// What the shadow would have freed, and when.
    #[serde(default)]
    pub shadow: ShadowSide,
    /// Cells, each counted once, that the serving strategy freed before the shadow had proposed them.
    #[serde(default)]
    pub missed_cells: u64,
}

/// One side of a shadow run. Garbage that neither side has found is in none of the figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShadowSide {
    /// Cells that it proposed, each counted once.
    pub cells: u64,
    /// Of these, those that it proposed in an earlier cycle than the other side, or that the other side never did.
    pub earlier_cells: u64,
    /// Median of the time from the death of a cell to when it was proposed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag_ns_p50: Option<u64>,
    /// 99th percentile of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag_ns_p99: Option<u64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lag_ns_max: Option<u64>,
    /// Garbage that it has not proposed, over time; of the shadow at most so much, for what it missed counts to the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub floating_bytes_mean: Option<u64>,
    /// The most of it when a cycle began.
    pub floating_bytes_max: u64,
    /// Most bytes of its own memory.
    pub memory_bytes: u64,
    /// Calls between host and strategy; 0 for a native one.
    pub crossings: u64,
    /// Fuel, where it is counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fuel: Option<u64>,
}

/// How a canary was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanaryRecord {
    /// Whether it stays.
    pub promoted: bool,
    /// Why.
    pub reason: String,
    /// What was seen of it and of the strategy before it.
    pub measures: Vec<Measured>,
}

impl ShadowSummary {
    pub(crate) fn add(&mut self, shadow: &ShadowRecord, serving_mark_ns: u64) {
        self.cycles += 1;
        self.proposed_cells += shadow.proposed_cells;
        self.both_cells += shadow.both_cells;
        self.only_shadow_cells += shadow.only_shadow_cells;
        self.only_serving_cells += shadow.only_serving_cells;
        self.shadow_mark_ns += shadow.mark_ns;
        self.serving_mark_ns += serving_mark_ns;
    }
}

/// A strategy, as far as others need to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digest of its bytes, or `native`.
    pub digest: String,
}

impl std::fmt::Display for StrategyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.digest.is_empty() {
            true => f.write_str(&self.name),
            false => write!(f, "{}@{}#{}", self.name, self.version, short(&self.digest)),
        }
    }
}

impl From<&gc_heap::StrategyIdentity> for StrategyRecord {
    fn from(identity: &gc_heap::StrategyIdentity) -> StrategyRecord {
        StrategyRecord {
            name: identity.name.clone(),
            version: identity.version.clone(),
            digest: identity.digest.clone(),
        }
    }
}

/// How a request for a swap ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwapReport {
    /// Who was asked for.
    pub candidate: StrategyRecord,
    /// Who serves.
    pub serving: StrategyRecord,
    /// Cycles of probation before it is kept for good; 0 for a shadow run.
    pub probation_cycles: u32,
    /// The comparison, for a shadow run and for a canary that ran as one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shadow: Option<Box<ShadowSummary>>,
    /// The decision, for a canary.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub canary: Option<CanaryRecord>,
}

/// What a node is doing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// Who serves.
    pub strategy: StrategyRecord,
    /// Its options, as far as they were set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub options: BTreeMap<String, String>,
    /// `loading` before the first strategy serves, then `sound`, `probation` or `held`; `ended` when there is no collector any more.
    pub tenure: String,
    /// Why there is no collector any more, if it has ended before it was told to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// Cycles of probation to go.
    pub probation_cycles_left: u32,
    /// Who is kept warm for the way back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub warm: Option<StrategyRecord>,
    /// Who is being tried: `loading`, `rehearsing` or `shadowing`, and what.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub candidate: Option<Candidate>,
    /// The heap.
    pub heap: HeapRecord,
    /// Cycles carried out.
    pub cycles: u64,
    /// Verdicts that failed the proof.
    pub refused: u64,
    /// Strategies that faulted.
    pub faults: u64,
    /// Swaps that came to serve.
    pub swaps: u64,
    /// Time in the strategy in the last cycle.
    pub mark_ns_last: u64,
    /// Time for the last proof: a cycle that condemns nothing has none.
    pub proof_ns_last: u64,
    /// The last cycle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_cycle: Option<CycleRecord>,
    /// The newest journal records, oldest first.
    #[serde(default)]
    pub journal: Vec<JournalRecord>,
    /// The first named roots in the order of their names, where they were asked for.
    #[serde(default)]
    pub roots: Vec<RootRecord>,
    /// Named roots that are left out behind them.
    #[serde(default)]
    pub roots_left_out: u64,
}

/// A named root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRecord {
    /// Its name; of a long one the beginning, and `…`.
    pub name: String,
    /// The handle of the object that it holds.
    pub handle: String,
}

impl RootRecord {
    pub(crate) fn new(mut name: String, handle: gc_heap::Handle) -> RootRecord {
        if name.len() > ROOT_NAME_BYTES {
            name.truncate(name.floor_char_boundary(ROOT_NAME_BYTES));
            name.push('…');
        }
        RootRecord { name, handle: handle.to_string() }
    }
}

/// A strategy that is being tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub strategy: StrategyRecord,
    /// `loading`, `rehearsing` or `shadowing`.
    pub phase: String,
}

/// A heap in figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapRecord {
    /// Most bytes it may use.
    pub limit_bytes: u64,
    /// Bytes of cells and payloads in use: live and in quarantine.
    pub used_bytes: u64,
    /// Bytes of cells and payloads that are neither condemned nor free.
    #[serde(default)]
    pub live_bytes: u64,
    /// Bytes of cells and payloads condemned and not freed yet.
    #[serde(default)]
    pub quarantined_bytes: u64,
    /// Where the next cycle is due.
    pub goal_bytes: u64,
    /// Bytes taken from the system.
    pub committed_bytes: u64,
    /// Bytes in payload blocks.
    #[serde(default)]
    pub payload_bytes: u64,
    /// Bytes in slabs for payload blocks, used and free.
    #[serde(default)]
    pub payload_committed_bytes: u64,
    /// The share of those that is free and cannot be given back, because something lives beside it, from 0 to 1.
    #[serde(default)]
    pub payload_fragmentation: f64,
    /// The share of payload blocks that rounding up to block sizes wastes, estimated, from 0 to 1.
    #[serde(default)]
    pub payload_rounding: f64,
    /// Cells it can hold.
    pub capacity_cells: u64,
    /// Cells that are neither condemned nor free, garbage that was not found yet included.
    pub live_cells: u64,
    /// Cells condemned and not freed yet.
    pub quarantined_cells: u64,
    /// Objects that are neither condemned nor free, garbage that was not found yet and stubs included.
    pub live_objects: u64,
    /// Objects ever allocated.
    pub allocated_objects: u64,
    /// Bytes ever allocated.
    pub allocated_bytes: u64,
    /// Objects ever condemned, less what was restored.
    pub condemned_objects: u64,
    /// Objects ever freed.
    pub freed_objects: u64,
    /// Bytes ever freed.
    pub freed_bytes: u64,
    /// Mutators at this moment.
    pub mutators: u64,
    /// Named roots and pins.
    pub roots: u64,
    /// Cells that stand for objects of other nodes, those in quarantine included.
    #[serde(default)]
    pub stubs: u64,
    /// Objects that are held for other nodes.
    #[serde(default)]
    pub held_objects: u64,
    /// Operations of mutators that were held up.
    pub pauses: u64,
    /// Median of how long.
    pub pause_ns_p50: u64,
    /// 99.9th percentile.
    pub pause_ns_p999: u64,
    /// The longest.
    pub pause_ns_max: u64,
}

/// What a cycle record has beside the report of the heap.
pub(crate) struct Surroundings {
    pub(crate) at_s: f64,
    pub(crate) stats: HeapStats,
    pub(crate) goal_bytes: u64,
    pub(crate) strategy_memory_bytes: u64,
    pub(crate) strategy_fuel: u64,
}

impl CycleRecord {
    pub(crate) fn new(report: &CycleReport, around: &Surroundings) -> CycleRecord {
        CycleRecord {
            cycle: report.number,
            at_s: around.at_s,
            strategy: report.strategy.name.clone(),
            version: report.strategy.version.clone(),
            digest: report.strategy.digest.clone(),
            cause: report.cause.word().into(),
            outcome: report.end.word().into(),
            reason: reason(&report.end),
            live_objects: report.live_objects,
            live_cells: report.live_cells,
            live_bytes: report.live_bytes,
            condemned_objects: report.condemned_objects,
            condemned_bytes: report.condemned_bytes,
            would_condemn: report.would_condemn.iter().map(ToString::to_string).collect(),
            freed_objects: report.freed_objects,
            freed_bytes: report.freed_bytes,
            withheld_cells: report.withheld_cells,
            handshake_ns: report.handshake_ns,
            mark_ns: report.mark_ns,
            proof_ns: report.proof_ns,
            reclaim_ns: report.reclaim_ns,
            total_ns: report.total_ns,
            steps: report.steps,
            shaded: report.shaded,
            changes: report.changes,
            pause_ns_max: around.stats.holdups.max_ns,
            used_bytes: around.stats.used_bytes,
            goal_bytes: around.goal_bytes,
            committed_bytes: around.stats.committed_bytes,
            strategy_memory_bytes: around.strategy_memory_bytes,
            strategy_fuel: around.strategy_fuel,
            shadow: report.shadow.as_ref().map(ShadowRecord::from),
        }
    }
}

impl From<&ShadowReport> for ShadowRecord {
    fn from(report: &ShadowReport) -> ShadowRecord {
        ShadowRecord {
            strategy: report.strategy.name.clone(),
            digest: report.strategy.digest.clone(),
            sound: report.sound,
            reason: report.fault.as_ref().map(ToString::to_string),
            proposed_cells: report.proposed_cells,
            both_cells: report.agreed_cells,
            only_shadow_cells: report.proposed_cells.saturating_sub(report.agreed_cells),
            only_serving_cells: report.only_incumbent_cells,
            mark_ns: report.mark_ns,
        }
    }
}

/// What went wrong in a cycle, if something did.
pub(crate) fn reason(end: &CycleEnd) -> Option<String> {
    match end {
        CycleEnd::Settled | CycleEnd::DryRun | CycleEnd::Deferred | CycleEnd::Abandoned => None,
        CycleEnd::Faulted(fault) => Some(fault.to_string()),
        CycleEnd::Refused(violation) => Some(violation.to_string()),
    }
}
