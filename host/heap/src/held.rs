//! Stubs and scions as the thread that drives the protocol uses them, beside the mutators: objects that are held for other nodes, and stubs that were freed.
//!
//! Nothing here is written on a tape: what other nodes hold is not the work of this heap's mutators.

use std::sync::atomic::Ordering;

use crate::error::Gone;
use crate::graph::{bit, cells_of, has};
use crate::handle::Handle;
use crate::heap::{Heap, Inner};
use crate::limits::CELL_BYTES;
use crate::remote::Remote;
use crate::signal::Wish;
use crate::stubs::FreedStub;
use crate::sync::{lock, point};

/// What an allocation does when it waits for room, for a thread that must not wait. For as long as this is there the heap [is full](crate::Signal::is_full).
///
/// Try; where there is no room [ask](RoomWanted::ask); try again when there [is news](RoomWanted::has_news). Give up when asking is in vain: by the same measure as
/// for an allocation, see [`HeapConfig::full_wait`](crate::HeapConfig::full_wait).
pub struct RoomWanted {
    heap: Heap,
    wish: Wish,
}

impl RoomWanted {
    /// Asks for a cycle. False when that is in vain.
    #[must_use]
    pub fn ask(&mut self) -> bool {
        let inner = &*self.heap.inner;
        inner.signal.ask(&mut self.wish, inner.config.full_wait)
    }

    /// Whether a cycle has ended since that was asked, or asking again would be in vain.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let inner = &*self.heap.inner;
        inner.signal.has_news(&self.wish, inner.config.full_wait)
    }
}

impl Drop for RoomWanted {
    fn drop(&mut self) {
        self.heap.inner.signal.unwish(&self.wish);
    }
}

impl Heap {
    /// Keeps an object for other nodes until [`Heap::release`]: it is a root of every cycle, those over nodes excepted. Holding twice is holding once. Never waits
    /// for a verdict: what is looked up before that has fallen is kept.
    ///
    /// # Errors
    ///
    /// [`Gone`] when there is no such object in this heap, or its end is decided.
    pub fn hold(&self, handle: Handle) -> Result<(), Gone> {
        let inner = &*self.inner;
        let mut remote = inner.holdups.lock(&inner.remote);
        if !inner.is_home_of(handle) {
            return Err(inner.gone(handle));
        }
        let cell = inner.look_up_at_once(handle, &mut remote)?;
        // Release: pairs with the copy of this table between the second and the third handshake.
        let before = inner.columns.held[cell as usize / 64].fetch_or(bit(cell), Ordering::Release);
        remote.held += u64::from(before & bit(cell) == 0);
        Ok(())
    }

    /// Other nodes do not hold this object any more. Does nothing where it is not held.
    pub fn release(&self, handle: Handle) {
        let inner = &*self.inner;
        let mut remote = inner.holdups.lock(&inner.remote);
        // Only what is there is held: a later object in the same cell has another generation.
        if inner.is_home_of(handle)
            && let Some(cell) = inner.locate(handle)
        {
            let before = inner.columns.held[cell as usize / 64].fetch_and(!bit(cell), Ordering::AcqRel);
            remote.held -= u64::from(before & bit(cell) != 0);
        }
    }

    /// Bytes of an object's first cell and of its payload. None where there is no such object. No look-up: it keeps nothing.
    #[must_use]
    pub fn bytes_of(&self, handle: Handle) -> Option<u64> {
        let inner = &*self.inner;
        let cell = inner.is_home_of(handle).then(|| inner.locate(handle)).flatten()?;
        Some(CELL_BYTES + inner.block_bytes(cell))
    }

    /// There is no room for something, as [`Scope::import`](crate::Scope::import) has said, and whoever needs it goes on with other things until there is.
    #[must_use]
    pub fn want_room(&self) -> RoomWanted {
        RoomWanted { wish: self.inner.signal.wish(), heap: self.clone() }
    }

    /// The stubs whose cells were freed since this was asked last, each once. Worth asking after each cycle.
    #[must_use]
    pub fn take_freed_stubs(&self) -> Vec<FreedStub> {
        self.inner.holdups.lock(&self.inner.remote).stubs.take_freed()
    }
}

impl Inner {
    /// Looks an object of this heap up without waiting for a verdict, and puts that down for the collector. Not if the verdict has fallen on it.
    pub(crate) fn look_up_at_once(&self, handle: Handle, remote: &mut Remote) -> Result<u32, Gone> {
        if handle.cell < self.capacity() && self.is_going(handle.cell, remote) {
            return Err(self.going(handle));
        }
        point();
        let cell = self.locate(handle).ok_or_else(|| self.gone(handle))?;
        remote.looked_up(cell, has(&self.columns.condemned, cell));
        Ok(cell)
    }

    /// Whether a cell goes by a verdict that has fallen. To be asked before whether it is allocated: condemning clears that first.
    pub(crate) fn is_going(&self, cell: u32, remote: &Remote) -> bool {
        remote.has_fallen() && has(&self.columns.condemned, cell)
    }

    /// Adds what is held for other nodes.
    pub(crate) fn held_cells(&self, cells: &mut Vec<u32>) {
        if lock(&self.remote).held == 0 {
            return;
        }
        for (index, word) in self.columns.held[..self.space.words_in_use()].iter().enumerate() {
            cells.extend(cells_of(index, word.load(Ordering::Acquire)));
        }
    }

    /// The condemned among what is held for other nodes is held no longer: its holders have condemned it too.
    pub(crate) fn release_condemned(&self, words: usize) {
        let mut remote = lock(&self.remote);
        if remote.held == 0 {
            return;
        }
        for (held, condemned) in self.columns.held.iter().zip(&self.columns.condemned[..words]) {
            let condemned = condemned.load(Ordering::Relaxed);
            if condemned != 0 {
                let before = held.fetch_and(!condemned, Ordering::AcqRel);
                remote.held -= u64::from((before & condemned).count_ones());
            }
        }
    }

    /// Stubs are about to come: from here on every mutator looks before it stores.
    pub(crate) fn expect_stubs(&self) {
        // Acquire: who sees it sees what it stands for.
        if !self.stubs.load(Ordering::Acquire) {
            lock(&self.registry).expect_stubs();
            self.stubs.store(true, Ordering::Release);
        }
    }

    /// The cells of freed stubs are free cells again after this: takes them out of the table, which reports them. Before anybody can take them.
    pub(crate) fn free_stubs(&self, index: usize, stubs: u64) {
        let mut remote = lock(&self.remote);
        for cell in cells_of(index, stubs) {
            remote.stubs.free(self.columns.stamp[cell as usize].load(Ordering::Relaxed));
            // A cell whose generations are used up stays where it is, and stands for nothing there.
            self.columns.flags[cell as usize].store(0, Ordering::Relaxed);
        }
        self.graph.stub()[index].fetch_and(!stubs, Ordering::Release);
    }
}
