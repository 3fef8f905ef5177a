//! What a mutator and the collector both see: the state, the word, the locals, what was put down.
//!
//! A mutator writes here with plain stores. Nothing here is a lock that both of them take, so neither is ever kept waiting because the kernel has put
//! the other aside; [`crate::handshake`] says why that is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::lane::{Lane, Writer, lane};
use super::locals::{Locals, Piece};
use crate::sync::point;

/// Bits of the mode. 0 is the common case: no cycle runs and nobody wants a log.
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
    /// There have been stubs in this heap: whoever stores looks whether it is to one. Set once and for ever, beside the handshakes.
    pub(crate) const STUBS: u32 = 64;
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

/// What a mutator does at a handshake.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) mode: u32,
    pub(crate) epoch: u32,
    /// The locals are copied out.
    pub(crate) publish: bool,
}

/// The mode and the log epoch of a mutator in one word, so that both change at once and whoever answers a handshake does it with one exchange:
/// epoch in the upper half, mode in the lower.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// Turns over with every handshake: the word before a handshake is never the word before the next one, so an answer that comes too late is
    /// refused by the exchange, see `handshake`.
    const TURN: u64 = 1 << 31;
    /// In a request: the locals are copied out.
    const PUBLISH: u64 = 1 << 30;

    fn of(handshake: Handshake) -> Word {
        let publish = if handshake.publish { Word::PUBLISH } else { 0 };
        Word(u64::from(handshake.epoch) << 32 | publish | u64::from(handshake.mode))
    }

    #[inline]
    pub(crate) fn mode(self) -> u32 {
        self.0 as u32 & (Word::PUBLISH - 1) as u32
    }

    #[inline]
    pub(crate) fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(crate) fn is_pending(self) -> bool {
        self.0 as u32 & mode::PENDING != 0
    }

    /// The word after this one, when this one asks and `request` was answered.
    fn after(self, request: Word) -> Word {
        Word(request.0 & !Word::PUBLISH | !self.0 & Word::TURN | self.0 & u64::from(mode::STUBS))
    }
}

/// On cache lines of its own, so that mutators do not disturb each other, and in this order: what every operation needs is on the first.
#[repr(C, align(128))]
pub(crate) struct Shared {
    pub(crate) state: AtomicU32,
    word: AtomicU64,
    /// What is to be answered while the word says *pending*. Written by the collector before.
    request: AtomicU64,
    pub(crate) locals_len: AtomicUsize,
    /// Grace epoch in which the outermost scope began; `u64::MAX` without one.
    pub(crate) scope_grace: AtomicU64,
    /// The same at the last publication.
    grace: AtomicU64,
    /// Records with a lower number belong to the log epoch before the one that this mutator is in.
    boundary: AtomicUsize,
    /// The mutator is no more, and has put everything down that it ever will.
    left: AtomicBool,
    pub(crate) allocated_cells: AtomicU64,
    pub(crate) allocated_objects: AtomicU64,
    pub(crate) allocated_bytes: AtomicU64,
    locals: Arc<Piece>,
    pub(crate) log: Lane<5>,
    /// References stored while others had not switched yet, and locals published.
    pub(crate) roots: Lane<1>,
    /// Objects looked up by handle while a cycle runs.
    pub(crate) acquired: Lane<1>,
    /// Cells retired, with both halves of the grace epoch.
    pub(crate) retired: Lane<3>,
}

/// The mutator's ends.
pub(crate) struct Ends {
    pub(crate) locals: Locals,
    pub(crate) log: Writer<5>,
    pub(crate) roots: Writer<1>,
    pub(crate) acquired: Writer<1>,
    pub(crate) retired: Writer<3>,
}

/// What mutators have put down since it was last taken.
#[derive(Default)]
pub(crate) struct Taken {
    /// Records of the running log epoch.
    pub(crate) open: Vec<Record>,
    /// Records of the one before.
    pub(crate) closed: Vec<Record>,
    /// Locals published and references snooped.
    pub(crate) roots: Vec<u32>,
    /// Looked up by handle.
    pub(crate) acquired: Vec<u32>,
    /// Retired cells with their grace epochs.
    pub(crate) retired: Vec<(u32, u64)>,
}

impl Shared {
    pub(crate) fn new(start: Handshake) -> (Shared, Ends) {
        let locals = Locals::new();
        let ((log, log_lane), (roots, roots_lane)) = (lane(), lane());
        let ((acquired, acquired_lane), (retired, retired_lane)) = (lane(), lane());
        let shared = Shared {
            state: AtomicU32::new(IDLE),
            word: AtomicU64::new(Word::of(start).0),
            request: AtomicU64::new(0),
            locals_len: AtomicUsize::new(0),
            scope_grace: AtomicU64::new(u64::MAX),
            grace: AtomicU64::new(u64::MAX),
            boundary: AtomicUsize::new(0),
            left: AtomicBool::new(false),
            allocated_cells: AtomicU64::new(0),
            allocated_objects: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            locals: Arc::clone(locals.first()),
            log: log_lane,
            roots: roots_lane,
            acquired: acquired_lane,
            retired: retired_lane,
        };
        (shared, Ends { locals, log, roots, acquired, retired })
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        // Acquire: pairs with the exchange of whoever answered on the mutator's behalf, and in the collector with the mutator's own.
        Word(self.word.load(Ordering::Acquire))
    }

    /// Asks for a handshake. The collector alone, while no other is pending.
    pub(crate) fn post(&self, wanted: Handshake) {
        self.request.store(Word::of(wanted).0, Ordering::Relaxed);
        // Release: whoever sees PENDING sees the request.
        self.word.fetch_or(u64::from(mode::PENDING), Ordering::Release);
    }

    /// There are stubs from here on. An answer that is under way finds the word changed, and is given again.
    pub(crate) fn expect_stubs(&self) {
        // Release: pairs with the Acquire load of the word; who has a stub has it from whoever came by here first.
        self.word.fetch_or(u64::from(mode::STUBS), Ordering::Release);
    }

    /// Answers whatever is pending. The mutator itself, at the beginning of an operation. Waits for nobody: when the collector answers first, that is as good.
    pub(crate) fn answer(&self, ends: &mut Ends) -> Word {
        loop {
            let seen = self.word();
            if !seen.is_pending() {
                return seen;
            }
            let request = Word(self.request.load(Ordering::Relaxed));
            point();
            if request.epoch() != seen.epoch() {
                self.boundary.store(ends.log.count(), Ordering::Relaxed);
                ends.log.shrink();
            }
            if request.0 & Word::PUBLISH != 0 {
                self.locals.read(self.locals_len.load(Ordering::Relaxed), |cell| {
                    ends.roots.push(&self.roots, [cell]);
                });
                self.grace.store(self.scope_grace.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            point();
            if self.exchange(seen, request) {
                return seen.after(request);
            }
        }
    }

    /// Answers what is pending on behalf of a mutator that was seen idle after the handshake was posted. The collector alone.
    pub(crate) fn answer_for(&self, roots: &mut Vec<u32>) {
        let seen = self.word();
        if !seen.is_pending() {
            return;
        }
        let request = Word(self.request.load(Ordering::Relaxed));
        let before = roots.len();
        if request.0 & Word::PUBLISH != 0 {
            self.locals.read(self.locals_len.load(Ordering::Relaxed), |cell| roots.push(cell));
        }
        let grace = self.scope_grace.load(Ordering::Relaxed);
        let boundary = self.log.pushed();
        point();
        if !self.exchange(seen, request) {
            // It began an operation and has answered by itself: what was read here may have changed meanwhile.
            roots.truncate(before);
            return;
        }
        if request.epoch() != seen.epoch() {
            self.boundary.store(boundary, Ordering::Relaxed);
        }
        if request.0 & Word::PUBLISH != 0 {
            self.grace.store(grace, Ordering::Relaxed);
        }
    }

    fn exchange(&self, seen: Word, request: Word) -> bool {
        // AcqRel: what was read for the answer was read before it, and what the mutator does afterwards comes after it.
        let next = seen.after(request).0;
        self.word.compare_exchange(seen.0, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Grace epoch of the oldest scope when locals were last published.
    pub(crate) fn published_grace(&self) -> u64 {
        self.grace.load(Ordering::Relaxed)
    }

    /// Takes what was put down. The collector alone, between handshakes.
    pub(crate) fn take(&self, taken: &mut Taken) {
        let boundary = self.boundary.load(Ordering::Relaxed);
        self.log.take(|number, [cell, a, b, c, d]| {
            let records = if number < boundary { &mut taken.closed } else { &mut taken.open };
            records.push(Record { cell, old: [a, b, c, d] });
        });
        self.roots.take(|_, [cell]| taken.roots.push(cell));
        self.acquired.take(|_, [cell]| taken.acquired.push(cell));
        self.retired.take(|_, [cell, low, high]| {
            taken.retired.push((cell, u64::from(high) << 32 | u64::from(low)));
        });
    }

    /// The mutator goes.
    pub(crate) fn leave(&self) {
        // Release: whoever sees it sees everything that was put down.
        self.left.store(true, Ordering::Release);
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Whether nothing that was put down is left to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.log.is_empty() && self.roots.is_empty() && self.acquired.is_empty() && self.retired.is_empty()
    }

    /// What its scopes hold, each local at its moment.
    pub(crate) fn present_locals(&self) -> Vec<u32> {
        let mut held = Vec::new();
        self.locals.read(self.locals_len.load(Ordering::Relaxed), |cell| held.push(cell));
        held
    }
}

impl Ends {
    /// Puts the retirement of a cell down.
    pub(crate) fn retire(&mut self, shared: &Shared, cell: u32, grace: u64) {
        self.retired.push(&shared.retired, [cell, grace as u32, (grace >> 32) as u32]);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    const START: Handshake = Handshake { mode: 0, epoch: 7, publish: false };

    fn pending() -> (Shared, Ends) {
        let (shared, mut ends) = Shared::new(START);
        ends.locals.put(0, 41);
        ends.locals.put(1, 42);
        shared.locals_len.store(2, Ordering::Relaxed);
        shared.post(Handshake { publish: true, ..START });
        (shared, ends)
    }

    #[test]
    fn an_answer_that_comes_too_late_answers_nothing_else() {
        let (shared, mut ends) = pending();
        // The mutator has read what is asked, and is put aside.
        let (seen, request) = (shared.word(), Word(shared.request.load(Ordering::Relaxed)));
        let mut roots = Vec::new();
        shared.answer_for(&mut roots);
        assert_eq!(roots, [41, 42]);
        let next = Handshake { mode: mode::CYCLE, ..START };
        shared.post(next);
        assert!(!shared.exchange(seen, request), "the next request was answered by the answer to this one");
        assert!(shared.word().is_pending());
        assert_eq!((shared.answer(&mut ends).mode(), shared.word().is_pending()), (mode::CYCLE, false));
    }

    #[test]
    fn what_was_copied_for_a_mutator_that_answered_itself_is_thrown_away() {
        let (shared, mut ends) = pending();
        shared.answer(&mut ends);
        let mut roots = vec![1];
        shared.answer_for(&mut roots);
        assert_eq!(roots, [1]);
        let mut taken = Taken::default();
        shared.take(&mut taken);
        assert_eq!(taken.roots, [41, 42]);
    }

    #[test]
    fn that_there_are_stubs_is_never_forgotten() {
        let (shared, mut ends) = pending();
        // The mutator has read what is asked, and is put aside.
        let (seen, request) = (shared.word(), Word(shared.request.load(Ordering::Relaxed)));
        shared.expect_stubs();
        assert!(!shared.exchange(seen, request), "an answer has overwritten it");
        assert_eq!(shared.answer(&mut ends).mode(), mode::STUBS);
        shared.post(START);
        shared.answer_for(&mut Vec::new());
        assert_eq!(shared.word().mode(), mode::STUBS);
    }

    #[test]
    fn records_are_told_apart_by_the_log_epoch_that_they_were_made_in() {
        let (shared, mut ends) = Shared::new(START);
        let mut log = |cell| ends.log.push(&shared.log, [cell, 0, 0, 0, 0]);
        (1..=700).for_each(&mut log);
        shared.post(Handshake { epoch: 8, ..START });
        shared.answer_for(&mut Vec::new());
        (701..=900).for_each(&mut log);
        let mut taken = Taken::default();
        shared.take(&mut taken);
        assert_eq!((taken.closed.len(), taken.open.len()), (700, 200));
        shared.post(Handshake { epoch: 9, ..START });
        shared.answer(&mut ends);
        let mut taken = Taken::default();
        ends.log.push(&shared.log, [901, 0, 0, 0, 0]);
        shared.take(&mut taken);
        assert_eq!((taken.closed.len(), taken.open[0].cell), (0, 901));
        assert_eq!((shared.word().epoch(), shared.is_empty()), (9, true));
    }
}
