//! The inside of a mutator: operations, the barrier, allocation.
//!
//! Every operation is bracketed by an [`Operation`]: the state word says *busy* from its beginning to its end, and its first act is to answer a
//! waiting handshake. [`crate::handshake`] builds on just that.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use gc_memory::Column;
use gc_memory::fence::Light;
use gc_memory::{Block, Cache, MemoryError};

use super::Local;
use super::lane::Writer;
use super::shared::{BUSY, Ends, IDLE, Record, Shared, Word, mode};
use crate::cells::CellCache;
use crate::columns::flag;
use crate::error::HeapError;
use crate::graph::bit;
use crate::heap::Inner;
use crate::holdup::{Begun, Holdup};
use crate::limits::{ACCOUNT_BYTES, BRAKE_STEP, CELL_BYTES, CELL_SLOTS};
use crate::pacer::Amount;
use crate::payload;
use crate::sync::{lock, point};
use crate::tape::{Recorder, Tape};

/// In this order: what every operation needs lies side by side.
#[repr(C)]
pub(crate) struct Core {
    pub(crate) heap: Arc<Inner>,
    pub(crate) shared: Arc<Shared>,
    /// This mutator's tag and fence, the references and their stamps: what every store needs, one step away.
    tag: u32,
    light: Light,
    references: Column<AtomicU32>,
    stamps: Column<AtomicU32>,
    /// Where this mutator writes down what it does.
    tape: Option<Box<RefCell<Recorder>>>,
    /// Cells and bytes taken that the heap's counts do not hold yet.
    uncounted: Cell<(u64, u64)>,
    /// Bytes at which they are counted.
    account_bytes: Cell<u64>,
    /// This mutator is to stand still for what it has allocated.
    is_braked: Cell<bool>,
    cells: RefCell<CellCache>,
    ends: RefCell<Ends>,
    blocks: RefCell<Cache>,
    /// Why there was no block when one was last asked for, and how many objects this mutator had allocated by then.
    refused: RefCell<Option<(u64, MemoryError)>>,
}

/// There was no cell or no block, or the limit is reached.
pub(crate) struct NoRoom;

/// An operation in progress. While it lives no handshake is carried out on this mutator's behalf.
pub(crate) struct Operation<'a> {
    shared: &'a Shared,
    pub(crate) mode: u32,
    /// The log epoch.
    epoch: u32,
}

impl Drop for Operation<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire load of the collector that finds the mutator idle and reads its log and locals.
        self.shared.state.store(IDLE, Ordering::Release);
        point();
    }
}

impl Core {
    pub(crate) fn register(heap: &Arc<Inner>) -> Core {
        static NEXT_TAG: AtomicU32 = AtomicU32::new(1);
        let (shared, ends) = lock(&heap.registry).register();
        Core {
            tag: NEXT_TAG.fetch_add(1, Ordering::Relaxed),
            light: Light::new(),
            references: heap.graph.cells_column(),
            stamps: heap.columns.stamp.clone(),
            ends: RefCell::new(ends),
            cells: RefCell::default(),
            blocks: RefCell::new(heap.slabs.cache()),
            refused: RefCell::default(),
            uncounted: Cell::default(),
            account_bytes: Cell::new(ACCOUNT_BYTES),
            is_braked: Cell::default(),
            tape: heap.config.tape.as_ref().map(Tape::recorder).map(RefCell::new).map(Box::new),
            heap: Arc::clone(heap),
            shared,
        }
    }

    /// Begins an operation and answers a waiting handshake.
    #[inline]
    pub(crate) fn operation(&self) -> Operation<'_> {
        let shared = &*self.shared;
        shared.state.store(BUSY, Ordering::Relaxed);
        point();
        // Pairs with the heavy fence in `handshake`: either the collector sees BUSY, or this load sees PENDING.
        self.light.fence();
        let mut word = shared.word();
        // In two tests, so that the common case is one, here and in the barrier together.
        if word.mode() != 0 && word.is_pending() {
            word = self.answer();
        }
        point();
        Operation { shared, mode: word.mode(), epoch: word.epoch() }
    }

    #[cold]
    fn answer(&self) -> Word {
        let begun = Begun::now();
        let word = self.shared.answer(&mut self.ends.borrow_mut());
        self.held_up(Holdup::Handshake, &begun);
        word
    }

    /// Notes that an operation was held up from then until here.
    pub(crate) fn held_up(&self, cause: Holdup, begun: &Begun) {
        self.heap.holdups.note(cause, begun);
    }

    /// Writes down what was done. Between operations: handing a block over may take a while, and no handshake is to wait for that.
    #[inline]
    pub(crate) fn record(&self, write: impl FnOnce(&mut Recorder, u32)) {
        if let Some(tape) = &self.tape {
            write(&mut tape.borrow_mut(), self.shared.word().epoch());
        }
    }

    // Locals.

    #[inline]
    pub(crate) fn locals_len(&self) -> usize {
        self.shared.locals_len.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn truncate_locals(&self, len: usize) {
        self.shared.locals_len.store(len, Ordering::Relaxed);
    }

    /// Holds a cell. Inside an operation, so that a handshake sees it or comes before it.
    #[inline]
    pub(crate) fn hold<'s>(&self, cell: NonZeroU32) -> Local<'s> {
        let len = self.locals_len();
        self.ends.borrow_mut().locals.put(len, cell.get());
        self.shared.locals_len.store(len + 1, Ordering::Relaxed);
        point();
        Local { cell, mutator: self.tag, scope: PhantomData }
    }

    /// The cell of a local of this mutator. A local of another would be a root of that one alone, and what is stored here must be a root here: the
    /// proof in `handshake` rests on it.
    #[inline]
    pub(crate) fn cell_of(&self, local: Local<'_>) -> u32 {
        assert!(
            local.mutator == self.tag,
            "a local of another mutator was used: hand objects over by a root, a pin or a handle"
        );
        local.cell.get()
    }

    // The barrier.

    /// Stores a reference into a cell, behind the barrier. `value` is 0 for null. Answers false, and does nothing, where the cell is a stub.
    #[inline]
    pub(crate) fn write(&self, operation: &Operation<'_>, cell: u32, slot: u32, value: u32) -> bool {
        if operation.mode != 0 && !self.barrier(operation, cell, value) {
            return false;
        }
        // Release: whoever loads the reference sees the object that it leads to, and whoever loads it sees the stamp before it.
        self.references[cell as usize * CELL_SLOTS + slot as usize].store(value, Ordering::Release);
        point();
        true
    }

    #[inline]
    fn barrier(&self, operation: &Operation<'_>, cell: u32, value: u32) -> bool {
        let &Operation { mode, epoch, .. } = operation;
        if mode & mode::LOG != 0 {
            // Acquire: pairs with the AcqRel exchange in `log_cell`; who finds the cell stamped may store after its old references were read.
            let stamp = self.stamps[cell as usize].load(Ordering::Acquire);
            point();
            // The next epoch's stamp counts as well: another mutator has switched already, and its record is the later one.
            if stamp != epoch && stamp != epoch.wrapping_add(1) {
                // What stands there in a stub is no epoch, and must stay.
                if self.is_stub(mode, cell) {
                    return false;
                }
                self.log_cell(cell, stamp, epoch);
            }
        }
        // In one test, because seldom is either so.
        if mode & (mode::SNOOP | mode::STUBS) != 0 {
            if self.is_stub(mode, cell) {
                return false;
            }
            if mode & mode::SNOOP != 0 && value != 0 {
                self.remember(value);
            }
        }
        true
    }

    #[inline]
    fn is_stub(&self, mode: u32, cell: u32) -> bool {
        mode & mode::STUBS != 0 && self.heap.columns.is_stub(cell)
    }

    #[inline(never)]
    fn log_cell(&self, cell: u32, stamp: u32, epoch: u32) {
        let old = self.heap.graph.references(cell);
        point();
        // One record per cell and epoch. Whoever loses the exchange may store at once: the winner read the old references before it.
        let column = &self.heap.columns.stamp[cell as usize];
        if column.compare_exchange(stamp, epoch, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            point();
            self.log(Record { cell, old });
        }
    }

    #[inline]
    fn log(&self, Record { cell, old: [a, b, c, d] }: Record) {
        let log = &mut self.ends.borrow_mut().log;
        if log.is_full() {
            self.lengthen(log);
        }
        log.push(&self.shared.log, [cell, a, b, c, d]);
    }

    #[cold]
    fn lengthen(&self, log: &mut Writer<5>) {
        // Only what needs memory takes long enough to be worth the clock.
        let begun = (!log.can_fill_again()).then(Begun::now);
        log.turn();
        begun.inspect(|begun| self.held_up(Holdup::Log, begun));
    }

    /// Makes a reference a root of the running cycle.
    #[cold]
    pub(crate) fn remember(&self, cell: u32) {
        self.ends.borrow_mut().roots.push(&self.shared.roots, [cell]);
    }

    /// Puts down that an object was looked up while a cycle runs.
    #[cold]
    pub(crate) fn acquire(&self, cell: u32) {
        self.ends.borrow_mut().acquired.push(&self.shared.acquired, [cell]);
    }

    /// Puts down that a cell was retired.
    pub(crate) fn retire(&self, cell: u32, grace: u64) {
        self.ends.borrow_mut().retire(&self.shared, cell, grace);
    }

    // Allocation.

    /// Takes a free cell and makes it an allocated one with these references.
    #[inline]
    pub(crate) fn new_cell(
        &self,
        operation: &Operation<'_>,
        refs: [u32; 4],
        flags: u8,
        locator: u32,
    ) -> Result<u32, NoRoom> {
        let cell = self.take_cell()?;
        self.fill_cell(operation, cell, refs, flags, locator);
        Ok(cell)
    }

    /// Takes a free cell and makes it a stub. The caller enters it in the table.
    pub(crate) fn new_stub(&self, operation: &Operation<'_>) -> Result<u32, NoRoom> {
        let cell = self.take_cell()?;
        // Before the cell is allocated: no strategy takes it for an object without references.
        self.heap.graph.stub()[cell as usize / 64].fetch_or(bit(cell), Ordering::Relaxed);
        self.fill_cell(operation, cell, [0; 4], flag::STUB, 0);
        Ok(cell)
    }

    #[inline]
    fn take_cell(&self) -> Result<u32, NoRoom> {
        let heap = &*self.heap;
        self.cells.borrow_mut().take(&heap.space, &heap.graph, &heap.columns).ok_or(NoRoom)
    }

    #[inline]
    fn fill_cell(&self, operation: &Operation<'_>, cell: u32, refs: [u32; 4], flags: u8, locator: u32) {
        let heap = &*self.heap;
        for (slot, value) in refs.into_iter().enumerate() {
            heap.graph.slot(cell, slot as u32).store(value, Ordering::Relaxed);
        }
        let index = cell as usize;
        heap.columns.flags[index].store(flags, Ordering::Relaxed);
        heap.columns.locator[index].store(locator, Ordering::Relaxed);
        if operation.mode != 0 {
            self.new_cell_in_cycle(operation, cell, refs);
        }
        // Release: the columns above are seen by whoever sees the cell allocated.
        heap.graph.allocated()[index / 64].fetch_or(bit(cell), Ordering::Release);
        point();
    }

    fn new_cell_in_cycle(&self, operation: &Operation<'_>, cell: u32, refs: [u32; 4]) {
        let heap = &*self.heap;
        let &Operation { mode, epoch, .. } = operation;
        if mode & mode::LOG != 0 {
            heap.columns.stamp[cell as usize].store(epoch, Ordering::Release);
            if mode & mode::LOG_NEW != 0 {
                self.log(Record { cell, old: [0; 4] });
            }
        }
        if mode & mode::CYCLE != 0 {
            heap.graph.young()[cell as usize / 64].fetch_or(bit(cell), Ordering::Release);
        }
        if mode & mode::SNOOP != 0 {
            refs.into_iter().filter(|&value| value != 0).for_each(|value| self.remember(value));
        }
    }

    /// Takes a block for a payload and writes it.
    #[inline]
    pub(crate) fn new_block(&self, bytes: &[u8]) -> Result<Block, NoRoom> {
        let mut blocks = self.blocks.borrow_mut();
        let taken = blocks.allocate_words(payload::block_bytes(bytes.len()));
        let (block, words) = taken.map_err(|error| self.refuse(error))?;
        payload::write(words, bytes);
        Ok(block)
    }

    #[cold]
    fn refuse(&self, error: MemoryError) -> NoRoom {
        *self.refused.borrow_mut() = Some((self.shared.allocated_objects.load(Ordering::Relaxed), error));
        NoRoom
    }

    /// The heap is full, for this mutator: with what the memory of payloads said, unless an allocation has succeeded since.
    #[cold]
    pub(crate) fn full(&self, cycles: u64) -> HeapError {
        let mut error = self.heap.full(cycles);
        let allocated = self.shared.allocated_objects.load(Ordering::Relaxed);
        if let (HeapError::Full { payloads, .. }, Some((when, refused))) = (&mut error, self.refused.take())
            && when == allocated
        {
            *payloads = Some(Box::new(refused));
        }
        error
    }

    #[inline]
    pub(crate) fn free_block(&self, block: Block) {
        self.blocks.borrow_mut().free(block);
    }

    /// Counts `objects` new objects, `cells` new cells, and `block_bytes` of payload memory.
    #[inline]
    pub(crate) fn count(&self, objects: u64, cells: u64, block_bytes: u64) {
        let add = |counter: &AtomicU64, by: u64| {
            // Only this mutator writes its counters.
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        };
        add(&self.shared.allocated_cells, cells);
        add(&self.shared.allocated_objects, objects);
        add(&self.shared.allocated_bytes, cells * CELL_BYTES + block_bytes);
        let (old_cells, old_bytes) = self.uncounted.get();
        let sum = (old_cells + cells, old_bytes + cells * CELL_BYTES + block_bytes);
        self.uncounted.set(sum);
        if sum.1 >= self.account_bytes.get() {
            self.settle_count();
        }
    }

    #[cold]
    fn settle_count(&self) {
        let (cells, bytes) = self.uncounted.take();
        let usage = &self.heap.usage;
        usage.add(cells, bytes);
        let used = usage.amount();
        if used.reaches(usage.trigger()) {
            self.heap.signal.goal();
        }
        let brake = usage.brake();
        let is_braked = used.reaches(brake.from);
        self.is_braked.set(is_braked);
        self.account_bytes.set(if is_braked { self.braked_account(used, brake.span) } else { ACCOUNT_BYTES });
    }

    /// What may be allocated from one step of standing still to the next, so that what is left lasts for that long.
    fn braked_account(&self, used: Amount, span: Duration) -> u64 {
        let limit = self.heap.limit();
        let cells = limit.cells.saturating_sub(used.cells) * CELL_BYTES;
        let left = cells.min(limit.bytes.saturating_sub(used.bytes));
        let account = u128::from(left) * BRAKE_STEP.as_nanos() / span.as_nanos().max(1);
        u64::try_from(account).map_or(ACCOUNT_BYTES, |account| account.clamp(1, ACCOUNT_BYTES))
    }

    /// Stands still where the heap is nearly full: [`crate::pacer`]. Between operations.
    #[inline]
    pub(crate) fn brake(&self) {
        if self.is_braked.get() {
            self.stand_still();
        }
    }

    #[cold]
    fn stand_still(&self) {
        self.is_braked.set(false);
        let begun = Begun::now();
        std::thread::sleep(BRAKE_STEP);
        self.held_up(Holdup::Brake, &begun);
    }

    /// Whether the limit leaves room for `bytes` more.
    #[inline]
    pub(crate) fn room_for(&self, bytes: u64) -> bool {
        let used = self.heap.usage.bytes() + self.uncounted.get().1;
        used + bytes <= self.heap.config.limit_bytes
    }

    /// Settles the count, and gives back cells in the cache, which may be few and scattered: what was freed is elsewhere.
    #[cold]
    pub(super) fn look_for_room(&self) {
        self.settle_count();
        self.cells.borrow_mut().give_back(&self.heap.space, &self.heap.graph, &self.heap.columns);
    }

    /// Waits for the collector to make room. Between operations.
    #[cold]
    pub(crate) fn wait_for_room(&self, bytes: u64) -> Result<(), HeapError> {
        let begun = Begun::now();
        self.look_for_room();
        let room = || {
            let usage = &self.heap.usage;
            usage.bytes() + bytes <= self.heap.config.limit_bytes
                && usage.cells() + 1 < u64::from(self.heap.capacity())
        };
        let waited = self.heap.signal.wait_for_room(self.heap.config.full_wait, room);
        self.held_up(Holdup::Room, &begun);
        waited.map_err(|cycles| self.full(cycles))
    }

    /// The outermost scope has ended: in a heap of few blocks of cells, a mutator that does nothing must not keep one for itself.
    #[inline]
    pub(crate) fn rest(&self) {
        if self.heap.space.is_small() {
            self.cells.borrow_mut().give_back(&self.heap.space, &self.heap.graph, &self.heap.columns);
        }
    }

    /// Height of the tree below the object whose first cell this is; 0 for an object of one cell.
    #[inline]
    pub(crate) fn height(&self, cell: u32) -> u32 {
        u32::from(self.heap.columns.flags[cell as usize].load(Ordering::Relaxed) & flag::HEIGHT)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.settle_count();
        self.cells.borrow_mut().give_back(&self.heap.space, &self.heap.graph, &self.heap.columns);
        lock(&self.heap.registry).leave(&self.shared);
    }
}
