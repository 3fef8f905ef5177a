//! What a mutator and the collector both see: the state word, the mode, the locals, the log.
//!
//! A mutator writes here with plain stores; the collector reads and takes things away in a handshake (see [`crate::handshake`], which says why
//! that is enough). Nothing here is unsafe: all shared words are atomics, and everything rare is behind `gate`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::limits::{LOG_BATCH_RECORDS, LOG_RECORDS};
use crate::sync::{Mutex, lock, point};

/// Bits of the mode word. 0 is the common case: no cycle runs and nobody wants a log.
pub(crate) mod mode {
    /// A handshake waits for this mutator.
    pub(crate) const PENDING: u32 = 1;
    /// References stored are remembered too: some mutator may not have switched yet.
    pub(crate) const SNOOP: u32 = 2;
    /// The first store to a cell in a log epoch logs the cell.
    pub(crate) const LOG: u32 = 4;
    /// New cells are young; handles looked up are remembered.
    pub(crate) const CYCLE: u32 = 8;
    /// New cells are logged, with old references that are null.
    pub(crate) const LOG_NEW: u32 = 16;
    /// The verdict is about to fall: whoever looks up a condemned handle waits for it.
    pub(crate) const DECIDING: u32 = 32;
}

/// The mutator is between two operations.
pub(crate) const IDLE: u32 = 0;
/// The mutator is inside an operation.
pub(crate) const BUSY: u32 = 1;

/// What a cell's references were when its log epoch began.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) cell: u32,
    pub(crate) old: [u32; 4],
}

const RECORD_WORDS: usize = 5;

/// What a mutator does at a handshake.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) mode: u32,
    pub(crate) epoch: u32,
    /// The locals are copied out.
    pub(crate) publish: bool,
}

/// Records that a mutator moved out of its full log, with the number of the first.
struct Spill {
    first: usize,
    records: Vec<Record>,
}

/// What handshakes and rare events put down, and the collector takes away. Guarded by `gate`.
pub(crate) struct Gate {
    pub(crate) request: Option<Handshake>,
    spilled: Vec<Spill>,
    /// Records with a lower number belong to the log epoch before the one that this mutator is in.
    boundary: usize,
    /// References stored while others had not switched yet, and locals published.
    pub(crate) roots: Vec<u32>,
    /// Objects looked up by handle while a cycle runs.
    pub(crate) acquired: Vec<u32>,
    /// Cells retired, with the grace epoch.
    pub(crate) retired: Vec<(u32, u64)>,
    /// Grace epoch of the oldest scope at the last publication; `u64::MAX` without one.
    pub(crate) grace: u64,
    locals: Arc<[AtomicU32]>,
    /// How long operations were held up, in nanoseconds.
    pub(crate) holdups: Histogram<u64>,
}

/// On two cache lines of its own, so that mutators do not disturb each other.
#[repr(align(128))]
pub(crate) struct Shared {
    pub(crate) state: AtomicU32,
    pub(crate) mode: AtomicU32,
    pub(crate) epoch: AtomicU32,
    pub(crate) locals_len: AtomicUsize,
    /// Number of the next record. Written by the mutator alone.
    log_head: AtomicUsize,
    /// Number of the oldest record that is still in the ring. Written under `gate`.
    log_tail: AtomicUsize,
    /// Grace epoch in which the outermost scope began.
    pub(crate) scope_grace: AtomicU64,
    pub(crate) allocated_cells: AtomicU64,
    pub(crate) allocated_objects: AtomicU64,
    pub(crate) allocated_bytes: AtomicU64,
    /// A ring of records, five words each.
    log: Box<[AtomicU32]>,
    pub(crate) gate: Mutex<Gate>,
}

pub(crate) fn new_holdups() -> Histogram<u64> {
    // 1 ns to 100 s at two significant digits: 20 KiB.
    Histogram::new_with_bounds(1, 100_000_000_000, 2).expect("the bounds are constants and in order")
}

fn zeroes(len: usize) -> Box<[AtomicU32]> {
    std::iter::repeat_with(|| AtomicU32::new(0)).take(len).collect()
}

impl Shared {
    pub(crate) fn new(start: Handshake) -> Shared {
        Shared {
            state: AtomicU32::new(IDLE),
            mode: AtomicU32::new(start.mode),
            epoch: AtomicU32::new(start.epoch),
            locals_len: AtomicUsize::new(0),
            log_head: AtomicUsize::new(0),
            log_tail: AtomicUsize::new(0),
            scope_grace: AtomicU64::new(u64::MAX),
            allocated_cells: AtomicU64::new(0),
            allocated_objects: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            log: zeroes(LOG_RECORDS * RECORD_WORDS),
            gate: Mutex::new(Gate {
                request: None,
                spilled: Vec::new(),
                boundary: 0,
                roots: Vec::new(),
                acquired: Vec::new(),
                retired: Vec::new(),
                grace: u64::MAX,
                locals: zeroes(64).into(),
                holdups: new_holdups(),
            }),
        }
    }

    /// Adds a record to the log. Only the mutator itself, inside an operation.
    #[inline]
    pub(crate) fn log(&self, record: Record) {
        let head = self.log_head.load(Ordering::Relaxed);
        // Acquire: pairs with the Release store of whoever read the records that are overwritten here.
        if head - self.log_tail.load(Ordering::Acquire) == LOG_RECORDS {
            self.spill();
        }
        let words = self.words(head);
        words[0].store(record.cell, Ordering::Relaxed);
        for (word, old) in words[1..].iter().zip(record.old) {
            word.store(old, Ordering::Relaxed);
        }
        // Release: the collector reads records up to here without a handshake.
        self.log_head.store(head + 1, Ordering::Release);
        point();
    }

    fn words(&self, number: usize) -> &[AtomicU32] {
        let at = number % LOG_RECORDS * RECORD_WORDS;
        &self.log[at..at + RECORD_WORDS]
    }

    /// The log is full: the oldest batch is put aside, no more, so that the operation is not held up for long.
    #[cold]
    fn spill(&self) {
        let begun = Instant::now();
        let mut gate = lock(&self.gate);
        let first = self.log_tail.load(Ordering::Relaxed);
        // The collector may have made room meanwhile.
        if self.log_head.load(Ordering::Relaxed) - first == LOG_RECORDS {
            let mut records = Vec::with_capacity(LOG_BATCH_RECORDS);
            self.drain(|_, record| records.push(record));
            gate.spilled.push(Spill { first, records });
        }
        gate.holdups.saturating_record(begun.elapsed().as_nanos() as u64);
    }

    /// Takes the oldest batch of records out of the ring. Under `gate`. Answers whether there are more.
    fn drain(&self, mut take: impl FnMut(usize, Record)) -> bool {
        let tail = self.log_tail.load(Ordering::Relaxed);
        // Acquire: pairs with the Release store in `log`.
        let head = self.log_head.load(Ordering::Acquire);
        let end = head.min(tail + LOG_BATCH_RECORDS);
        for number in tail..end {
            let words = self.words(number);
            let word = |at: usize| words[at].load(Ordering::Relaxed);
            take(number, Record { cell: word(0), old: [word(1), word(2), word(3), word(4)] });
        }
        // Release: pairs with the Acquire load in `log`; the records have been read.
        self.log_tail.store(end, Ordering::Release);
        end < head
    }

    /// Takes a batch of the log away: what was spilled, and the oldest records of the ring. Answers whether there are more.
    pub(crate) fn take_log(&self, gate: &mut Gate, open: &mut Vec<Record>, closed: &mut Vec<Record>) -> bool {
        let boundary = gate.boundary;
        let mut sort = |number: usize, record: Record| {
            if number < boundary { closed.push(record) } else { open.push(record) }
        };
        for Spill { first, records } in std::mem::take(&mut gate.spilled) {
            records.into_iter().enumerate().for_each(|(at, record)| sort(first + at, record));
        }
        self.drain(sort)
    }

    /// Carries a requested handshake out. By the mutator at the beginning of an operation, or on its behalf while it is idle.
    pub(crate) fn carry_out(&self, gate: &mut Gate) {
        let Some(handshake) = gate.request.take() else { return };
        if handshake.epoch != self.epoch.load(Ordering::Relaxed) {
            gate.boundary = self.log_head.load(Ordering::Relaxed);
            self.epoch.store(handshake.epoch, Ordering::Relaxed);
        }
        if handshake.publish {
            let len = self.locals_len.load(Ordering::Relaxed);
            let held: Vec<u32> = gate.locals[..len].iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
            gate.roots.extend(held);
            gate.grace = self.scope_grace.load(Ordering::Relaxed);
        }
        // Overwrites PENDING, which only the collector sets, and never while a request stands. Release: whoever sees the mode sees the epoch, and what
        // was read above was read before.
        self.mode.store(handshake.mode, Ordering::Release);
    }

    /// Makes room for more locals: at least twice as much. The mutator itself.
    pub(crate) fn grow_locals(&self, len: usize) -> Arc<[AtomicU32]> {
        let mut gate = lock(&self.gate);
        let grown: Arc<[AtomicU32]> = zeroes((len * 2).max(64)).into();
        for (new, old) in grown.iter().zip(gate.locals.iter()) {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        gate.locals = Arc::clone(&grown);
        grown
    }

    pub(crate) fn locals(&self) -> Arc<[AtomicU32]> {
        Arc::clone(&lock(&self.gate).locals)
    }
}
