//! How an operation on the heap can fail. The heap is as it was before the operation in every case.

use gc_memory::MemoryError;

use crate::decision::DecisionRecord;
use crate::handle::Handle;

/// An operation that was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeapError {
    /// There was no room, and collecting did not make any.
    #[error(
        "heap full: {used_bytes} of {limit_bytes} bytes and {used_cells} of {capacity_cells} cells are in use after {cycles} cycles that were \
         waited for{}, drop references, or choose a strategy that frees more",
        reached(payloads.as_deref())
    )]
    Full {
        /// Bytes in use, cells and payloads together.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// Cells in use.
        used_cells: u64,
        /// Cells that the heap can hold.
        capacity_cells: u64,
        /// Cycles that ended while the operation waited.
        cycles: u64,
        /// What the memory of payloads said, where it was a block that there was no room for.
        payloads: Option<Box<MemoryError>>,
    },
    /// The object has no such slot.
    #[error(
        "slot {slot} is out of range: the object has {slot_count}; ask for them all when it is allocated"
    )]
    NoSuchSlot {
        /// The slot that was asked for.
        slot: u32,
        /// How many the object has.
        slot_count: u64,
    },
    /// A payload longer than the heap can describe.
    #[error("a payload of {bytes} bytes is too long: at most {max_bytes}; split it")]
    PayloadTooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max_bytes: usize,
    },
    /// More slots than the heap has cells.
    #[error("an object of {slots} slots is too large: this heap has {capacity_cells} cells; raise --heap")]
    TooManySlots {
        /// Slots asked for.
        slots: usize,
        /// Cells that the heap can hold.
        capacity_cells: u64,
    },
    /// A configuration that no heap can have.
    #[error("{what}: {remedy}")]
    Config {
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The object lives on another node; here is only a stub of it.
    #[error("{home} lives on another node: only its home can read and change it; send the home a message")]
    Remote {
        /// The object, as its home calls it.
        home: Handle,
    },
    /// What was imported is an object of this heap, and it is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The system did not give the memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Which limit was reached, if it is not that of the heap, and what to do about it.
fn reached(payloads: Option<&MemoryError>) -> String {
    match payloads {
        None => ": raise --heap".into(),
        Some(MemoryError::Full { asked, used, limit, which, .. }) => format!(
            ", and there is no room for a payload of {asked} bytes: {used} of {limit} bytes of {which} are in use: raise that limit or --heap"
        ),
        Some(error) => format!(", and there is no memory for a payload: {error}"),
    }
}

/// The object is not there any more, or never was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// What was looked up.
    pub handle: Handle,
    /// The decision that freed it, while that is kept.
    pub decision: Option<Box<DecisionRecord>>,
}

impl std::error::Error for Gone {}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.decision {
            Some(decision) => write!(f, "{} is gone: {decision}", self.handle),
            None => write!(f, "{} is gone: no decision about it is kept", self.handle),
        }
    }
}
