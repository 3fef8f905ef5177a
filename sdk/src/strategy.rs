//! The trait that a collector implements, and the values that go in and out of it.
//!
//! Order of calls: [`Strategy::new`] once, then per cycle
//!
//! ```text
//! begin ─▶ roots* ─▶ changed* ─▶ retired* ─▶ ( step | shade )* ─▶ finish ─▶ settled
//! ```
//!
//! In a cycle over nodes ([`Cause::Cluster`]) each `step` and `shade` is followed by [`Strategy::take_reached`].
//!
//! A cycle may be abandoned between any two calls; the next call is then `begin` with `rebuild` set. A strategy has no clock, no files and no
//! randomness: the same calls give the same answers. (`std::collections::HashMap` seeds itself from the system: use `BTreeMap`.)

use crate::graph::{Cell, Graph};
use crate::info::{Info, Options};

/// A collector. [`Strategy::INFO`] and [`Strategy::new`] are required; the rest has a default that does nothing and keeps everything.
pub trait Strategy: Sized + 'static {
    /// What this strategy is and needs.
    const INFO: Info;

    /// An instance for a heap of that shape.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] when an option has a value of the right type that makes no sense.
    fn new(options: &Options, shape: Shape) -> Result<Self, Error>;

    /// Begins a cycle.
    ///
    /// # Errors
    /// A strategy that returns an error, here or below, is replaced.
    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Error> {
        let _ = cycle;
        Ok(())
    }

    /// A batch of roots. Duplicates occur, null does not.
    fn roots(&mut self, cells: &[Cell]) {
        let _ = cells;
    }

    /// A batch of the changes of the log epoch that this cycle closed. Only with [`Need::ChangeLog`](crate::Need::ChangeLog).
    fn changed(&mut self, changes: Changes<'_>) {
        let _ = changes;
    }

    /// A batch of retired cells. Every cycle lists all that have not gone yet anew. Only with [`Need::Retired`](crate::Need::Retired).
    fn retired(&mut self, retired: RetiredCells<'_>) {
        let _ = retired;
    }

    /// References that mutators overwrote, or looked up by handle, since the cycle began. They must be treated like roots of this cycle.
    /// Null occurs and is to be ignored. Answers whether any of them brought new work, that is references that the strategy has yet to read
    /// ([`Marker::add`](crate::Marker::add) answers just that): the host asks for more of them until one whole round brought none. In a cycle
    /// over nodes also what other nodes have reached.
    fn shade(&mut self, cells: &[Cell]) -> bool {
        let _ = cells;
        false
    }

    /// Works for about as long as it takes to visit `budget` cells, then returns.
    ///
    /// # Errors
    /// As [`Strategy::begin`].
    fn step(&mut self, graph: &impl Graph, budget: u32) -> Result<Progress, Error> {
        let _ = (graph, budget);
        Ok(Progress::Idle)
    }

    /// In a cycle over nodes: the stubs that were reached since the last call. Only with [`Need::ClusterMark`](crate::Need::ClusterMark), and only
    /// with [`Cause::Cluster`]. Every stub that the verdict will keep must have been among them, except young ones, when `step` has said
    /// [`Progress::Idle`] and `shade` brings no more work. [`Marker::take_reached`](crate::Marker::take_reached) answers just that.
    fn take_reached(&mut self) -> Vec<Cell> {
        Vec::new()
    }

    /// The verdict. Called once, after `step` said [`Progress::Idle`] and a round of `shade` brought no new work.
    ///
    /// # Errors
    /// As [`Strategy::begin`].
    fn finish(&mut self, graph: &impl Graph) -> Result<Verdict, Error> {
        let _ = graph;
        Ok(Verdict::KeepAll)
    }

    /// What became of the verdict.
    fn settled(&mut self, outcome: &Outcome) {
        let _ = outcome;
    }
}

/// The shape of the heap that an instance is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of cells, null included. Every cell index is below it. A multiple of 64.
    pub capacity: u32,
}

/// Why a cycle was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The heap reached the pacer's goal.
    Goal,
    /// The heap is full: mutators may be waiting.
    Full,
    /// Somebody asked.
    Request,
    /// Nothing happened for a while.
    Idle,
    /// A rehearsal, a shadow run or a dry run: the verdict is checked and compared, not executed.
    Rehearsal,
    /// All nodes mark together, to find garbage cycles that span them. Roots are what this node itself needs, and not what only other nodes
    /// refer to. Only with [`Need::ClusterMark`](crate::Need::ClusterMark).
    Cluster,
    /// A cause of a later host.
    Other(String),
}

/// What is known when a cycle begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleInfo {
    /// Rises by at least one from cycle to cycle.
    pub number: u64,
    /// Why the cycle was begun.
    pub cause: Cause,
    /// Forget everything that earlier cycles taught. With the need for a change log the whole heap follows through `changed`.
    pub rebuild: bool,
    /// Cells that are allocated, extension cells included.
    pub allocated_cells: u32,
    /// The pacer's goal for allocated cells at the end of the next cycle.
    pub goal_cells: u32,
    /// Retired cells with a grace epoch below this may be proposed.
    pub safe_grace_epoch: u64,
}

/// One change of one cell: its references at the beginning of the log epoch and at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The cell.
    pub cell: Cell,
    /// Its references when the log epoch began; all null for a cell that was allocated in it.
    pub old: [Cell; 4],
    /// Its references when the log epoch ended; all null for a cell that was freed in it.
    pub new: [Cell; 4],
}

/// A batch of changes. At most one per cell and log epoch; between epochs they chain.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    words: &'a [u32],
}

impl<'a> Changes<'a> {
    /// Words of one change: the cell, four old references, four new ones.
    pub const WORDS: usize = 9;

    /// A batch from the words of the contract.
    ///
    /// # Panics
    /// When the length is not a multiple of [`Changes::WORDS`].
    pub fn new(words: &'a [u32]) -> Changes<'a> {
        assert!(
            words.len().is_multiple_of(Changes::WORDS),
            "changes come nine words at a time, not {}",
            words.len()
        );
        Changes { words }
    }

    /// The changes in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Change> + use<'a> {
        self.words.chunks_exact(Changes::WORDS).map(|w| Change {
            cell: w[0],
            old: [w[1], w[2], w[3], w[4]],
            new: [w[5], w[6], w[7], w[8]],
        })
    }
}

/// A batch of retired cells, each with the grace epoch in which it was retired.
#[derive(Debug, Clone, Copy)]
pub struct RetiredCells<'a> {
    cells: &'a [Cell],
    grace_epochs: &'a [u64],
}

impl<'a> RetiredCells<'a> {
    /// A batch from the two lists of the contract.
    ///
    /// # Panics
    /// When they differ in length.
    pub fn new(cells: &'a [Cell], grace_epochs: &'a [u64]) -> RetiredCells<'a> {
        assert_eq!(cells.len(), grace_epochs.len(), "every retired cell has one grace epoch");
        RetiredCells { cells, grace_epochs }
    }

    /// Cell and grace epoch, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Cell, u64)> + use<'a> {
        self.cells.iter().copied().zip(self.grace_epochs.iter().copied())
    }
}

/// What a step achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is work left.
    More,
    /// All that the strategy knows of is done.
    Idle,
}

/// What a cycle decided. The host takes it as a proposal and proves it before anything goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to go.
    KeepAll,
    /// Everything but these is to go: bit `i % 64` of word `i / 64` for each cell `i`.
    Survivors(Vec<u64>),
    /// These are to go.
    Condemned(Vec<Cell>),
}

/// What became of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// False: the proof failed, nothing was touched, and this strategy is about to be replaced.
    pub accepted: bool,
    /// Cells that were condemned.
    pub condemned_cells: u32,
    /// Cells that were proposed and are kept, because they were acquired, rooted or still referenced.
    pub withheld_cells: u32,
}

/// Why a strategy could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An option has a value that the strategy cannot work with.
    #[error("{0}")]
    InvalidOption(String),
    /// The strategy ran out of the memory that it may use.
    #[error("out of memory: give the strategy a higher memory limit")]
    OutOfMemory,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
