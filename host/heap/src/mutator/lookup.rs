//! Looking objects up by handle, and making stubs for what arrives from other nodes.
//!
//! A handle is weak: looking it up while a cycle runs can revive what the cycle is about to condemn; [`crate::handshake`] says what follows from that. A
//! mutator that comes between a verdict and its decision waits. Whoever drives the protocol between the nodes cannot, because in a cycle over nodes the
//! decision waits for that; its look-ups are [`Scope::import`] and [`Heap::hold`](crate::Heap::hold), see [`crate::remote`].

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use super::Local;
use super::core::{NoRoom, Operation};
use super::scope::Scope;
use super::shared::mode;
use crate::error::{Gone, HeapError};
use crate::graph::has;
use crate::handle::Handle;
use crate::holdup::{Begun, Holdup};
use crate::limits::CELL_BYTES;
use crate::remote::Remote;
use crate::sync::{back_off_long, lock, point};

/// What a look-up finds.
enum Found<'s> {
    Here(Local<'s>),
    /// Its fate is being decided.
    Undecided,
    /// It goes by the verdict that has just fallen.
    Going,
    Gone,
}

impl<'s> Scope<'s> {
    /// The object that a handle names, or the stub that stands for it if it lives on another node. Where a verdict on it is about to fall this waits
    /// for that; in a cycle over nodes that depends on the other nodes.
    ///
    /// # Errors
    ///
    /// [`Gone`] with the decision that freed the object, while that is kept; for an object of another node, when there is no stub of it.
    pub fn resolve(&self, handle: Handle) -> Result<Local<'s>, Gone> {
        let mut waiting: Option<(Begun, u32)> = None;
        let found = loop {
            match self.look_up(handle) {
                Found::Here(local) => break Ok(local),
                // No handshake waits for us meanwhile.
                Found::Undecided => back_off_long(&mut waiting.get_or_insert_with(|| (Begun::now(), 0)).1),
                Found::Going => break Err(self.core.heap.going(handle)),
                Found::Gone => break Err(self.core.heap.gone(handle)),
            }
        };
        waiting.as_ref().inspect(|(begun, _)| self.core.held_up(Holdup::Lookup, begun));
        let cell = found.as_ref().map_or(0, |local| local.cell.get());
        self.core.record(|tape, epoch| tape.looked_up(epoch, cell));
        found
    }

    /// The same without waiting: nothing while a verdict on it is about to fall. Ask again then. For threads that must not wait, such as one that drives
    /// the protocol between nodes and serves an application beside.
    ///
    /// # Errors
    ///
    /// As [`Scope::resolve`].
    pub fn try_resolve(&self, handle: Handle) -> Result<Option<Local<'s>>, Gone> {
        let found = match self.look_up(handle) {
            Found::Here(local) => Ok(Some(local)),
            Found::Undecided => return Ok(None),
            Found::Going => Err(self.core.heap.going(handle)),
            Found::Gone => Err(self.core.heap.gone(handle)),
        };
        let cell = found.as_ref().map_or(0, |local| local.map_or(0, |local| local.cell.get()));
        self.core.record(|tape, epoch| tape.looked_up(epoch, cell));
        found
    }

    #[inline]
    fn look_up(&self, handle: Handle) -> Found<'s> {
        let heap = &*self.core.heap;
        if !heap.is_home_of(handle) {
            return self.look_up_stub(handle);
        }
        let operation = self.core.operation();
        let (condemned, decided) = self.fate(&operation, handle.cell);
        self.found(&operation, condemned, decided, heap.locate(handle))
    }

    #[cold]
    fn look_up_stub(&self, handle: Handle) -> Found<'s> {
        let heap = &*self.core.heap;
        // Before the operation begins: no handshake waits for whoever waits for a lock.
        let remote = heap.holdups.lock(&heap.remote);
        let operation = self.core.operation();
        // While the lock is held, no stub is freed.
        let Some(number) = remote.stubs.find(handle) else { return Found::Gone };
        let stub = remote.stubs.stub(number);
        let (condemned, decided) = self.fate(&operation, stub);
        let located = has(heap.graph.allocated(), stub).then_some(stub);
        self.found(&operation, condemned, decided, located)
    }

    /// Whether a cell is condemned, and whether that is decided.
    ///
    /// First whether the decision has fallen, then whether the object is condemned: after the decision nothing is taken back. Then, by the caller, whether it is
    /// there: condemning clears that before the other, so a cell that is found there and not condemned was not about to go.
    #[inline]
    fn fate(&self, operation: &Operation<'_>, cell: u32) -> (bool, bool) {
        let heap = &*self.core.heap;
        let deciding = operation.mode & mode::DECIDING != 0 && cell < heap.capacity();
        // Acquire: pairs with the Release store of the decision; what was withheld before is not seen condemned.
        let decided = deciding && heap.decided.load(Ordering::Acquire);
        point();
        let condemned = deciding && has(&heap.columns.condemned, cell);
        point();
        (condemned, decided)
    }

    #[inline]
    fn found(
        &self,
        operation: &Operation<'_>,
        condemned: bool,
        decided: bool,
        located: Option<u32>,
    ) -> Found<'s> {
        match located {
            _ if condemned && decided => Found::Going,
            None => Found::Gone,
            Some(_) if condemned => Found::Undecided,
            Some(cell) => {
                // Once a verdict is about to fall, what is not condemned by it stays.
                if operation.mode & (mode::CYCLE | mode::DECIDING) == mode::CYCLE {
                    self.core.acquire(cell);
                }
                Found::Here(self.hold(cell))
            }
        }
    }

    fn hold(&self, cell: u32) -> Local<'s> {
        self.core.hold(NonZeroU32::new(cell).expect("no handle names cell 0"))
    }

    // What arrives from other nodes.

    /// What a reference that has arrived in a message is here: the object itself if it is one of this heap, else the stub for it, which is made if there is none.
    /// `import` is the number that the protocol gave to the delivery; it comes back with [`Heap::take_freed_stubs`](crate::Heap::take_freed_stubs).
    ///
    /// Never waits: not for a verdict, since what is looked up before that has fallen is kept, and not for room, see [`Heap::want_room`](crate::Heap::want_room). Whoever drives
    /// the protocol calls it, and leases end while that thread stands still. On a tape a fresh stub is an object without slots and without payload.
    ///
    /// # Errors
    ///
    /// [`HeapError::Gone`] for an object of this heap that is gone, [`HeapError::Full`] when there is no stub and no room for one.
    pub fn import(&self, handle: Handle, import: u32) -> Result<Local<'s>, HeapError> {
        let core = self.core;
        let heap = &*core.heap;
        if heap.is_home_of(handle) {
            return Ok(self.import_own(handle)?);
        }
        heap.expect_stubs();
        let imported = || {
            let mut remote = heap.holdups.lock(&heap.remote);
            let operation = core.operation();
            self.try_import(&operation, &mut remote, handle, import)
        };
        let imported = imported().or_else(|NoRoom| {
            // Room may be in blocks of cells that others have given back.
            core.look_for_room();
            imported()
        });
        let (local, is_fresh) = imported.map_err(|NoRoom| heap.full(0))?;
        let cell = local.cell.get();
        core.record(|tape, epoch| match is_fresh {
            true => tape.allocated(epoch, cell, (&[], |&cell: &u32| cell), 0),
            false => tape.looked_up(epoch, cell),
        });
        Ok(local)
    }

    fn import_own(&self, handle: Handle) -> Result<Local<'s>, Gone> {
        let heap = &*self.core.heap;
        let found = {
            let mut remote = heap.holdups.lock(&heap.remote);
            let _operation = self.core.operation();
            heap.look_up_at_once(handle, &mut remote).map(|cell| self.hold(cell))
        };
        let cell = found.as_ref().map_or(0, |local| local.cell.get());
        self.core.record(|tape, epoch| tape.looked_up(epoch, cell));
        found
    }

    /// Answers the stub, and whether it is a fresh one.
    fn try_import(
        &self,
        operation: &Operation<'_>,
        remote: &mut Remote,
        handle: Handle,
        import: u32,
    ) -> Result<(Local<'s>, bool), NoRoom> {
        let heap = &*self.core.heap;
        if let Some(number) = remote.stubs.find(handle) {
            let stub = remote.stubs.stub(number);
            let is_going = heap.is_going(stub, remote);
            point();
            if !is_going && has(heap.graph.allocated(), stub) {
                remote.stubs.imported(number, import);
                remote.looked_up(stub, has(&heap.columns.condemned, stub));
                return Ok((self.hold(stub), false));
            }
        }
        if !self.core.room_for(CELL_BYTES) {
            return Err(NoRoom);
        }
        let stub = self.core.new_stub(operation)?;
        let number = remote.stubs.insert(handle, stub, import);
        heap.columns.stamp[stub as usize].store(number, Ordering::Relaxed);
        self.core.count(1, 1, 0);
        Ok((self.hold(stub), true))
    }

    /// Whether this stands for an object of another node. A stub has no slots and no payload; [`Scope::handle`] answers what it stands for.
    #[must_use]
    pub fn is_stub(&self, object: Local<'_>) -> bool {
        self.core.heap.columns.is_stub(self.core.cell_of(object))
    }

    /// The error of an operation that only the home of an object can do.
    #[cold]
    pub(super) fn remote(&self, stub: u32) -> HeapError {
        let heap = &*self.core.heap;
        let home = heap.home_handle(stub, &lock(&heap.remote));
        HeapError::Remote { home: home.unwrap_or_else(|| heap.handle(stub)) }
    }
}
