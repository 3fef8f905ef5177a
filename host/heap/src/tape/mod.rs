//! The tape: what mutators do, written down while they do it.
//!
//! ```text
//!  mutator ──events──▶ its own buffer ──block, 64 KiB──▶ Sink (a bounded queue and a thread that writes a file)
//! ```
//!
//! A heap that was made with a [`Tape`] records every operation of every mutator as a few bytes. There is no lock, no shared line and no clock per
//! operation: a mutator encodes into a buffer of its own and hands it over when it is full. What the bytes mean is said in [`code`], which whoever reads
//! them shares.
//!
//! # What an event says
//!
//! Objects are named by their cells, as the mutator knows them. A cell has several objects one after the other; which one is meant follows from the
//! order of events, of which three things are recorded:
//!
//! 1. Within a stream (one mutator) events stand in the order in which they happened.
//! 2. Operations on named roots and pins carry the number of their turn at the table of roots.
//! 3. *Stamps* say the time: at the beginning of a block and of every outermost scope, every 4 KiB of events, and before the first event of a
//!    log epoch. Everything between two stamps of a stream happened between their times. The last kind is what tells two objects in one cell apart: the
//!    second is allocated only after a cycle has condemned the first, and each mutator that does anything after that cycle has a stamp before it.
//!
//! # When nobody takes the blocks
//!
//! [`Sink::take`] decides. It may wait, a bounded time, and may end the recording by answering nothing: then the mutator goes on unrecorded.

pub mod code;
mod pen;
mod recorder;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

pub(crate) use recorder::Recorder;

/// Bytes of events after which a block is handed over. A block may be longer by one event.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Longest block: one event more, which is an allocation with [`ALLOC_SLOTS_MAX`] references of eight bytes at most.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + 8 * ALLOC_SLOTS_MAX + 64;

/// References that are written with an allocation; those of further slots are written as stores.
pub const ALLOC_SLOTS_MAX: usize = 1024;

/// Length of a recorded name of a root; longer ones are cut.
pub const NAME_BYTES_MAX: usize = 1024;

/// Names of roots that one stream numbers. Further ones are written out each time.
pub const NAMES_MAX: usize = 4096;

/// Bytes of events between two looks at the clock.
pub const STAMP_BYTES: usize = 4096;

/// The stream of what belongs to no mutator: the end of pins.
pub const HEAP_STREAM: u32 = 0;

/// A run of events of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which mutator: numbered from 1 in the order in which they registered. [`HEAP_STREAM`] for the heap itself.
    pub stream: u32,
    /// Its number in the stream, from 0.
    pub number: u32,
    /// When its first event happened at the earliest, in nanoseconds since the tape was made.
    pub begun_ns: u64,
    /// When its last event happened at the latest.
    pub ended_ns: u64,
    /// Events in it, stamps and scopes included.
    pub events: u32,
    /// Operations among them.
    pub operations: u32,
    /// The events.
    pub bytes: Vec<u8>,
}

/// Who takes blocks away.
pub trait Sink: Send + Sync {
    /// Takes a block, and answers an empty buffer for the next one; nothing when the recording is over. Called by the mutator between two operations:
    /// how long this takes is how long it is held up.
    fn take(&self, block: Block) -> Option<Vec<u8>>;
}

/// Where the mutators of a heap write down what they do. Clones are the same tape. One tape records one heap.
#[derive(Clone)]
pub struct Tape {
    inner: Arc<Inner>,
}

struct Inner {
    sink: Box<dyn Sink>,
    started: Instant,
    next_stream: AtomicU32,
}

impl Tape {
    /// A tape whose blocks go to `sink`. Its clock starts here.
    pub fn new(sink: impl Sink + 'static) -> Tape {
        Tape {
            inner: Arc::new(Inner {
                sink: Box::new(sink),
                started: Instant::now(),
                next_stream: AtomicU32::new(HEAP_STREAM + 1),
            }),
        }
    }

    /// When its clock started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.inner.started
    }

    /// A recorder for one more mutator.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder::new(self.clone(), self.inner.next_stream.fetch_add(1, Ordering::Relaxed))
    }

    /// The recorder for what no mutator does.
    pub(crate) fn heap_recorder(&self) -> Recorder {
        Recorder::new(self.clone(), HEAP_STREAM)
    }

    fn now_ns(&self) -> u64 {
        self.inner.started.elapsed().as_nanos() as u64
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("started", &self.inner.started).finish_non_exhaustive()
    }
}
