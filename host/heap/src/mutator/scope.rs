//! Scopes: what a program does with the heap.
//!
//! # Objects of more than four references
//!
//! An object of up to four slots is one cell. A larger one has its slots 0 to 2 in its first cell; the fourth reference leads to a tree of
//! extension cells, four wide and of equal depth, whose leaves hold the slots from 3 on:
//!
//! ```text
//! first cell   [ 0 | 1 | 2 | ─┼──▶ [ ─ | ─ | · | · ]        height 2: up to 3 + 16 slots
//!                                    │   └─▶ [ 7 | 8 | 9 | 10 ]
//!                                    └─▶ [ 3 | 4 | 5 | 6 ]
//! ```
//!
//! So the first slots of any object are reached without looking at anything else, any slot in a number of steps that is the logarithm of their
//! count, and a collector needs no special case. The references inside the tree never change.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gc_memory::Block;

use super::core::{Core, NoRoom, Operation};
use super::shared::mode;
use super::{Local, Pin};
use crate::columns::flag;
use crate::error::HeapError;
use crate::handle::Handle;
use crate::limits::{ALLOC_ATTEMPTS, CELL_BYTES, PAYLOAD_MAX};
use crate::payload;

/// Slots that are in the first cell of an object that has a tree.
const DIRECT: u32 = 3;

/// Holds objects while a program works with them. Made by [`Mutator::scope`](super::Mutator::scope).
pub struct Scope<'s> {
    pub(super) core: &'s Core,
    base: usize,
}

impl<'s> Scope<'s> {
    #[inline]
    pub(crate) fn open(core: &'s Core) -> Scope<'s> {
        let base = core.locals_len();
        if base == 0 {
            let grace = core.heap.grace.load(Ordering::Relaxed);
            core.shared.scope_grace.store(grace, Ordering::Relaxed);
        }
        core.record(|tape, epoch| tape.scope_opened(epoch, true));
        Scope { core, base }
    }

    /// Opens a scope inside this one. What it holds is let go when `work` ends, which keeps a long loop from holding all that it has seen.
    pub fn scope<R>(&mut self, work: impl for<'i> FnOnce(&mut Scope<'i>) -> R) -> R {
        self.core.record(|tape, epoch| tape.scope_opened(epoch, false));
        work(&mut Scope { core: self.core, base: self.core.locals_len() })
    }

    /// Allocates an object with these references and a payload of these bytes. A payload does not change after that.
    ///
    /// When the heap is nearly full this stands still for a quarter of a millisecond now and then ([`crate::pacer`]); when it is full it waits for the collector, see
    /// [`HeapConfig::full_wait`](crate::HeapConfig::full_wait).
    ///
    /// # Errors
    ///
    /// [`HeapError::Full`] when there is no room, [`HeapError::PayloadTooLong`] and [`HeapError::TooManySlots`] for what no heap or not this
    /// one can hold.
    pub fn alloc(&self, slots: &[Option<Local<'_>>], payload: &[u8]) -> Result<Local<'s>, HeapError> {
        if payload.len() > PAYLOAD_MAX {
            return Err(HeapError::PayloadTooLong { bytes: payload.len(), max_bytes: PAYLOAD_MAX });
        }
        if slots.len() / 4 >= self.core.heap.capacity() as usize {
            let capacity_cells = u64::from(self.core.heap.capacity());
            return Err(HeapError::TooManySlots { slots: slots.len(), capacity_cells });
        }
        let bytes = CELL_BYTES * (slots.len() as u64 / 3 + 1) + payload::block_bytes(payload.len());
        if bytes > self.core.heap.config.limit_bytes {
            return Err(self.core.heap.full(0));
        }
        for _ in 0..ALLOC_ATTEMPTS {
            if self.core.room_for(bytes)
                && let Ok(local) = self.try_alloc(slots, payload)
            {
                self.core.record(|tape, epoch| {
                    let cell_of = |slot: &Option<Local<'_>>| slot.map_or(0, |local| local.cell.get());
                    tape.allocated(epoch, local.cell.get(), (slots, cell_of), payload.len());
                });
                self.core.brake();
                return Ok(local);
            }
            self.core.wait_for_room(bytes)?;
        }
        // There was room each time, in pieces too small or taken by others at once.
        Err(self.core.full(u64::from(ALLOC_ATTEMPTS)))
    }

    fn try_alloc(&self, slots: &[Option<Local<'_>>], bytes: &[u8]) -> Result<Local<'s>, NoRoom> {
        let core = self.core;
        // Before the cell, which can be found by its handle as soon as it is there; and before the operation, so that no handshake waits until a long payload is copied.
        let block = if bytes.is_empty() { None } else { Some(core.new_block(bytes)?) };
        let operation = core.operation();
        let made = self.try_alloc_cells(&operation, slots, block).map(|cell| {
            core.count(1, 0, block.map_or(0, |block| core.heap.slabs.block_bytes(block)));
            core.hold(cell)
        });
        drop(operation);
        if let (Err(NoRoom), Some(block)) = (&made, block) {
            core.free_block(block);
        }
        made
    }

    fn try_alloc_cells(
        &self,
        operation: &Operation<'_>,
        slots: &[Option<Local<'_>>],
        block: Option<Block>,
    ) -> Result<NonZeroU32, NoRoom> {
        let locator = block.map_or(0, |block| block.index());
        let cell_of = |slot: &Option<Local<'_>>| slot.map_or(0, |local| self.core.cell_of(local));
        let new = |refs: [u32; 4], flags, locator| -> Result<u32, NoRoom> {
            let cell = self.core.new_cell(operation, refs, flags, locator)?;
            self.core.count(0, 1, 0);
            Ok(cell)
        };
        let mut refs = [0; 4];
        let mut height = 0;
        if slots.len() <= 4 {
            for (reference, slot) in refs.iter_mut().zip(slots) {
                *reference = cell_of(slot);
            }
        } else {
            for (reference, slot) in refs.iter_mut().zip(&slots[..DIRECT as usize]) {
                *reference = cell_of(slot);
            }
            // Cells made before room ran out are garbage like any other.
            let mut level = Vec::with_capacity(slots.len() / 4 + 1);
            for four in slots[DIRECT as usize..].chunks(4) {
                let mut leaf = [0; 4];
                four.iter().zip(&mut leaf).for_each(|(slot, reference)| *reference = cell_of(slot));
                level.push(new(leaf, flag::EXTENSION, 0)?);
            }
            height = 1;
            while level.len() > 1 {
                height += 1;
                for at in 0..level.len().div_ceil(4) {
                    let four = &level[at * 4..level.len().min(at * 4 + 4)];
                    let mut inner = [0; 4];
                    inner[..four.len()].copy_from_slice(four);
                    level[at] = new(inner, flag::EXTENSION, 0)?;
                }
                level.truncate(level.len().div_ceil(4));
            }
            refs[DIRECT as usize] = level[0];
        }
        let cell = new(refs, height, locator)?;
        Ok(NonZeroU32::new(cell).expect("cell 0 is never free"))
    }

    /// What a slot refers to.
    ///
    /// # Errors
    ///
    /// [`HeapError::NoSuchSlot`]; [`HeapError::Remote`] for a stub.
    #[inline]
    pub fn load(&self, object: Local<'_>, slot: u32) -> Result<Option<Local<'s>>, HeapError> {
        let operation = self.core.operation();
        let (cell, at) = self.find_slot(self.core.cell_of(object), slot)?;
        // Acquire: pairs with the Release store of whoever put the reference there; the object behind it is complete.
        let value = self.core.heap.graph.slot(cell, at).load(Ordering::Acquire);
        let local = NonZeroU32::new(value).map(|cell| self.core.hold(cell));
        // A stub has no references: only where none is found need anybody look what this is.
        if local.is_none() && operation.mode & mode::STUBS != 0 && self.core.heap.columns.is_stub(cell) {
            return Err(self.remote(cell));
        }
        drop(operation);
        self.core.record(|tape, epoch| tape.loaded(epoch, object.cell.get(), slot, value));
        Ok(local)
    }

    /// Makes a slot refer to `value`.
    ///
    /// # Errors
    ///
    /// [`HeapError::NoSuchSlot`]; [`HeapError::Remote`] for a stub.
    #[inline]
    pub fn store(&self, object: Local<'_>, slot: u32, value: Option<Local<'_>>) -> Result<(), HeapError> {
        let operation = self.core.operation();
        let (cell, at) = self.find_slot(self.core.cell_of(object), slot)?;
        let value = value.map_or(0, |local| self.core.cell_of(local));
        if !self.core.write(&operation, cell, at, value) {
            return Err(self.remote(cell));
        }
        drop(operation);
        self.core.record(|tape, epoch| tape.stored(epoch, object.cell.get(), slot, value));
        Ok(())
    }

    /// How many slots an object has: what was asked for, rounded up to a whole cell. A stub has none.
    #[must_use]
    pub fn slot_count(&self, object: Local<'_>) -> u64 {
        self.slots_below(self.core.cell_of(object))
    }

    fn slots_below(&self, object: u32) -> u64 {
        let height = self.core.height(object);
        if height == 0 {
            return if self.core.heap.columns.is_stub(object) { 0 } else { 4 };
        }
        let graph = &self.core.heap.graph;
        let mut cell = graph.references(object)[DIRECT as usize];
        let mut last_leaf = 0;
        for _ in 1..height {
            let inner = graph.references(cell);
            let last = inner.iter().rposition(|&child| child != 0).expect("an inner cell has a child");
            last_leaf = last_leaf * 4 + last as u64;
            cell = inner[last];
        }
        u64::from(DIRECT) + (last_leaf + 1) * 4
    }

    #[inline]
    fn find_slot(&self, object: u32, slot: u32) -> Result<(u32, u32), HeapError> {
        if slot < DIRECT {
            return Ok((object, slot));
        }
        self.find_far_slot(object, slot).ok_or_else(|| match self.core.heap.columns.is_stub(object) {
            true => self.remote(object),
            false => HeapError::NoSuchSlot { slot, slot_count: self.slots_below(object) },
        })
    }

    fn find_far_slot(&self, object: u32, slot: u32) -> Option<(u32, u32)> {
        let height = self.core.height(object);
        if height == 0 {
            return (slot == DIRECT).then_some((object, slot));
        }
        let graph = &self.core.heap.graph;
        let at = slot - DIRECT;
        if u64::from(at) >> (2 * height) != 0 {
            return None;
        }
        let mut cell = graph.slot(object, DIRECT).load(Ordering::Acquire);
        for level in (1..height).rev() {
            cell = graph.slot(cell, (at >> (2 * level)) & 3).load(Ordering::Acquire);
            if cell == 0 {
                return None;
            }
        }
        Some((cell, at & 3))
    }

    /// Length of an object's payload in bytes. 0 for a stub: its payload is at its home.
    #[must_use]
    pub fn payload_len(&self, object: Local<'_>) -> usize {
        self.block_of(object).map_or(0, |block| payload::len(self.core.heap.slabs.words(block)))
    }

    /// Appends an object's payload to `out`. Nothing for a stub: its payload is at its home.
    pub fn read(&self, object: Local<'_>, out: &mut Vec<u8>) {
        if let Some(block) = self.block_of(object) {
            payload::read(self.core.heap.slabs.words(block), out);
        }
    }

    #[inline]
    fn block_of(&self, object: Local<'_>) -> Option<Block> {
        let cell = self.core.cell_of(object) as usize;
        Block::from_index(self.core.heap.columns.locator[cell].load(Ordering::Relaxed))
    }

    /// Says that nothing refers to the object any more, so that a strategy need not find that out: it goes when no scope can hold it. An object
    /// that something does refer to stays, and is counted as withheld. Retiring twice is retiring once.
    pub fn retire(&self, object: Local<'_>) {
        let operation = self.core.operation();
        let cell = self.core.cell_of(object);
        let flags = &self.core.heap.columns.flags[cell as usize];
        if flags.fetch_or(flag::RETIRED, Ordering::Relaxed) & flag::RETIRED == 0 {
            let grace = self.core.heap.grace.load(Ordering::Relaxed);
            self.core.retire(cell, grace);
            if self.core.height(cell) > 0 {
                let top = self.core.heap.graph.references(cell)[DIRECT as usize];
                retire_tree(self.core, top, self.core.height(cell), grace);
            }
        }
        drop(operation);
        self.core.record(|tape, epoch| tape.retired(epoch, cell));
    }

    /// Sets or removes a named root.
    pub fn set_root(&self, name: &str, value: Option<Local<'_>>) {
        let operation = self.core.operation();
        let cell = value.map_or(0, |local| self.core.cell_of(local));
        self.snoop(&operation, cell);
        let turn = self.core.heap.roots.set(name, cell, &self.core.heap.holdups);
        drop(operation);
        self.core.record(|tape, epoch| tape.root_set(epoch, turn, name, cell));
    }

    /// What a named root holds.
    #[must_use]
    pub fn root(&self, name: &str) -> Option<Local<'s>> {
        let operation = self.core.operation();
        let (cell, turn) = self.core.heap.roots.named(name, &self.core.heap.holdups);
        let local = NonZeroU32::new(cell).map(|cell| self.core.hold(cell));
        drop(operation);
        self.core.record(|tape, epoch| tape.root_read(epoch, turn, name, cell));
        local
    }

    /// A root that outlives the scope.
    #[must_use]
    pub fn pin(&self, object: Local<'_>) -> Pin {
        let operation = self.core.operation();
        let cell = self.core.cell_of(object);
        self.snoop(&operation, cell);
        let (place, turn) = self.core.heap.roots.pin(cell, &self.core.heap.holdups);
        drop(operation);
        self.core.record(|tape, epoch| tape.pinned(epoch, turn, place, cell));
        Pin { heap: Arc::clone(&self.core.heap), place, cell: object.cell }
    }

    /// The object that a pin keeps.
    #[must_use]
    pub fn pinned(&self, pin: &Pin) -> Local<'s> {
        assert!(pin.heap.tag == self.core.heap.tag, "a pin of another heap was used");
        let operation = self.core.operation();
        let local = self.core.hold(pin.cell);
        drop(operation);
        self.core.record(|tape, epoch| tape.pin_read(epoch, pin.place, pin.cell.get()));
        local
    }

    #[inline]
    fn snoop(&self, operation: &Operation<'_>, cell: u32) {
        if operation.mode & mode::SNOOP != 0 && cell != 0 {
            self.core.remember(cell);
        }
    }

    /// The name of an object that outlives the scope and keeps nothing alive. For a stub this is the name that its home gave to what it stands for.
    #[must_use]
    pub fn handle(&self, object: Local<'_>) -> Handle {
        self.core.heap.handle(self.core.cell_of(object))
    }
}

fn retire_tree(core: &Core, cell: u32, height: u32, grace: u64) {
    if cell == 0 {
        return;
    }
    core.heap.columns.flags[cell as usize].fetch_or(flag::RETIRED, Ordering::Relaxed);
    core.retire(cell, grace);
    if height > 1 {
        for child in core.heap.graph.references(cell) {
            retire_tree(core, child, height - 1, grace);
        }
    }
}

impl Drop for Scope<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.record(|tape, epoch| tape.scope_closed(epoch));
        self.core.truncate_locals(self.base);
        if self.base == 0 {
            self.core.shared.scope_grace.store(u64::MAX, Ordering::Relaxed);
            self.core.rest();
        }
    }
}
