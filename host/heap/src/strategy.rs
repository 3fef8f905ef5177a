//! What a collector is, seen from the heap: plain values, and one trait that a Wasm component or a native type implements.
//!
//! The trait mirrors the interface `strategy` of `wit/strategy.wit`, which says in which order the calls come and what each means. The
//! heap believes nothing that comes back: a verdict is a proposal, see [`crate::Collector`].

use std::fmt;
use std::time::Duration;

/// Who made a verdict. Stands in decision records and in every message about a strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyIdentity {
    /// Short name, such as `tracing`.
    pub name: String,
    /// The strategy's own version.
    pub version: String,
    /// SHA-256 of its bytes in hexadecimal, or `native`.
    pub digest: String,
}

impl fmt::Display for StrategyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.name, self.version, &self.digest[..self.digest.len().min(8)])
    }
}

/// What a strategy wants to be told beside roots and shaded references.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Every change of every cell: [`Strategy::changed`].
    pub change_log: bool,
    /// What mutators retired: [`Strategy::retired`].
    pub retired: bool,
    /// Part in marking over nodes: cycles with [`Cause::Cluster`], and [`Strategy::take_reached`].
    pub cluster_mark: bool,
}

/// Why a cycle was begun.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The heap reached the pacer's goal.
    Goal,
    /// The heap is full; mutators may be waiting.
    Full,
    /// Somebody asked.
    Request,
    /// Nothing happened for a while.
    Idle,
    /// The verdict is checked, not executed.
    Rehearsal,
    /// All nodes mark together: what is held for other nodes is no root.
    Cluster,
}

impl Cause {
    /// The word used in log lines and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Cause::Goal => "goal",
            Cause::Full => "full",
            Cause::Request => "request",
            Cause::Idle => "idle",
            Cause::Rehearsal => "rehearsal",
            Cause::Cluster => "cluster",
        }
    }
}

/// What is known when a cycle begins. See `cycle-info` in `wit/types.wit`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct CycleInfo {
    /// Rises from cycle to cycle.
    pub number: u64,
    /// Why it was begun.
    pub cause: Cause,
    /// Forget everything derived from earlier cycles.
    pub rebuild: bool,
    /// Cells in use, extension cells included.
    pub allocated_cells: u32,
    /// Where the pacer wants the heap to be at the end of the next cycle.
    pub goal_cells: u32,
    /// Cells retired in an earlier grace epoch than this are held by no scope.
    pub safe_grace_epoch: u64,
}

/// One change of one cell over a log epoch: the cell, its four references before, its four references after.
pub type Change = [u32; 9];

/// What a step achieved.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Progress {
    /// There is work left.
    More,
    /// Everything known is done.
    Idle,
}

/// What a cycle proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to go.
    KeepAll,
    /// All but these: bit `i % 64` of word `i / 64`, `capacity / 64` words.
    Survivors(Vec<u64>),
    /// These.
    Condemned(Vec<u32>),
}

/// What became of a verdict.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// False: the proof failed and nothing was touched.
    pub accepted: bool,
    /// Cells that were condemned.
    pub condemned_cells: u32,
    /// Cells that were proposed and are kept.
    pub withheld_cells: u32,
}

/// How a strategy failed. The heap is intact in every case, and the strategy is not called again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It trapped.
    #[error("trapped: {0}")]
    Trap(String),
    /// One call took longer than it may.
    #[error("was interrupted: one call took longer than {0:?}")]
    Deadline(Duration),
    /// It asked for more memory or tables than it may have.
    #[error("asked for more than its limit: {0}")]
    OutOfMemory(String),
    /// It answered something that cannot be.
    #[error("answered nonsense: {0}")]
    Nonsense(String),
    /// It said itself that it cannot go on.
    #[error("gave up: {0}")]
    Error(String),
    /// It wrote into its window on the graph.
    #[error("wrote into its window on the graph: {0} pages differ from the heap")]
    WindowWritten(u64),
}

/// A collector. Called from one thread, one call at a time, in the order that `wit/strategy.wit` gives.
///
/// # Errors
///
/// Every method may answer a [`Fault`]; the caller then drops the strategy.
pub trait Strategy {
    /// Who this is.
    fn identity(&self) -> &StrategyIdentity;
    /// What it wants to be told. Constant.
    fn needs(&self) -> Needs;
    /// Begins a cycle.
    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault>;
    /// A batch of roots.
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault>;
    /// A batch of changes of the log epoch that this cycle closed.
    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault>;
    /// A batch of retired cells with their grace epochs.
    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault>;
    /// References overwritten or looked up since the cycle began: roots of this cycle. Answers whether any brought new work.
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault>;
    /// Works for about as long as visiting `budget` cells takes.
    fn step(&mut self, budget: u32) -> Result<Progress, Fault>;
    /// Stubs that it has reached since this was last asked: asked in cycles with [`Cause::Cluster`], after each step and after each `shade`. What is said
    /// twice does no harm. What is not said may be condemned by its home, as far as this node's own proof lets it: a strategy that says too little finds no garbage that
    /// spans nodes, and loses nothing.
    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        Ok(Vec::new())
    }
    /// The verdict.
    fn finish(&mut self) -> Result<Verdict, Fault>;
    /// What became of it.
    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault>;
    /// Looks for misbehaviour that calls do not show; asked once per cycle, before the verdict is believed.
    fn inspect(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
