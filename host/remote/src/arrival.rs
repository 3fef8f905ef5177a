//! Messages that arrive, and those among them that wait for room in the heap.
//!
//! A reference to an object of another node needs a cell for its stub. Where there is none, an allocation waits for the collector; a thread that drives the protocol must not,
//! since leases end while it stands still. So what has arrived is put here, a cycle is asked for, and everything else goes on.
//!
//! That is safe: the node has admitted the copy, so the home lists this node or is about to, and it does until this node says that the stub of *this import*
//! is dropped. The heap need not have it for that.
//!
//! 1. References to other nodes' objects are imported in the order of their arrival, whoever sent them. Else an import could be dropped for good while an earlier one of the
//!    same object waits here.
//! 2. References to objects of this node need no room, and are held from their arrival on: their sender may let them go in the next moment.
//! 3. What a sender has sent is delivered in the order in which it was sent.
//! 4. Nothing waits for ever: whatever can be said of an allocation that waits in vain holds here, and then everything that waits is delivered as it is.

use std::collections::VecDeque;

use gc_heap::{Pin, RoomWanted};
use gc_protocol::{Delivered, Life, Reference};

use crate::limits::{WAITING_BYTES_MAX, WAITING_MAX};

/// Why a reference that arrived is nothing that this heap holds.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The object is gone, or the life that it belonged to.
    Gone,
    /// This heap had no room for a stub, and waiting for it was in vain. The reference was let go again.
    NoRoom,
}

/// A reference that arrived, in its place in the message.
pub struct Arrival {
    /// What it refers to.
    pub reference: Reference,
    /// It as an object or a stub of this heap. Held until the pin is dropped.
    pub pin: Result<Pin, Lost>,
}

/// A message that arrived.
pub struct Delivery {
    /// Who sent it.
    pub from: Life,
    /// The references in it.
    pub references: Vec<Arrival>,
    /// The rest of it.
    pub payload: Vec<u8>,
}

/// A reference, and what it is here once that is known.
type Open = (Delivered, Option<Result<Pin, Lost>>);

/// A message on its way to the application.
pub(crate) struct Arriving {
    from: Life,
    references: Vec<Open>,
    payload: Vec<u8>,
    /// Where the first that is to be imported stands, or the end. It only goes forward: a look from the start for each of thousands would take the driver's time.
    open_from: usize,
}

impl Arriving {
    pub(crate) fn new(from: Life, references: Vec<Open>, payload: Vec<u8>) -> Arriving {
        let mut arriving = Arriving { from, references, payload, open_from: 0 };
        arriving.pass_known();
        arriving
    }

    /// The first that is to be imported.
    pub(crate) fn next(&self) -> Option<Delivered> {
        self.references.get(self.open_from).map(|&(delivered, _)| delivered)
    }

    fn open(&self) -> impl Iterator<Item = Delivered> + '_ {
        let rest = self.references[self.open_from..].iter();
        rest.filter(|(_, pin)| pin.is_none()).map(|&(delivered, _)| delivered)
    }

    /// What became of the first that is to be imported.
    fn arrived(&mut self, pin: Result<Pin, Lost>) {
        if let Some((_, open)) = self.references.get_mut(self.open_from) {
            *open = Some(pin);
        }
        self.pass_known();
    }

    fn pass_known(&mut self) {
        let known = self.references[self.open_from..].iter().take_while(|(_, pin)| pin.is_some());
        self.open_from += known.count();
    }

    /// All of it is something, or nothing for good.
    pub(crate) fn delivery(self) -> Delivery {
        let arrival = |(delivered, pin): Open| Arrival {
            reference: delivered.reference,
            pin: pin.unwrap_or(Err(Lost::NoRoom)),
        };
        Delivery {
            from: self.from,
            references: self.references.into_iter().map(arrival).collect(),
            payload: self.payload,
        }
    }

    fn bytes(&self) -> usize {
        self.payload.len() + self.references.len() * size_of::<Open>()
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Waiting {
    arriving: VecDeque<Arriving>,
    bytes: usize,
    /// As long as anything waits.
    pub(crate) room: Option<RoomWanted>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.arriving.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.arriving.len()
    }

    /// More than may wait.
    pub(crate) fn is_too_much(&self) -> bool {
        self.arriving.len() > WAITING_MAX || self.bytes > WAITING_BYTES_MAX
    }

    /// Whether this has to wait for what is here already (invariants 1 and 3).
    pub(crate) fn goes_before(&self, arriving: &Arriving) -> bool {
        !self.is_empty()
            && (arriving.next().is_some() || self.arriving.iter().any(|before| before.from == arriving.from))
    }

    pub(crate) fn push(&mut self, arriving: Arriving) {
        self.bytes += arriving.bytes();
        self.arriving.push_back(arriving);
    }

    pub(crate) fn first(&self) -> Option<&Arriving> {
        self.arriving.front()
    }

    /// What became of the first that is to be imported.
    pub(crate) fn arrived(&mut self, pin: Result<Pin, Lost>) {
        if let Some(first) = self.arriving.front_mut() {
            first.arrived(pin);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Arriving> {
        let first = self.arriving.pop_front()?;
        self.bytes -= first.bytes();
        if self.arriving.is_empty() {
            self.room = None;
        }
        Some(first)
    }

    /// What is to be imported.
    pub(crate) fn references(&self) -> impl Iterator<Item = Reference> + '_ {
        self.arriving.iter().flat_map(Arriving::open).map(|delivered| delivered.reference)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use gc_protocol::Object;

    use super::*;

    fn delivered(cell: u32) -> Delivered {
        let reference = Reference { home: Life::new(2, 1), object: Object { cell, generation: 0 } };
        Delivered { reference, import: 1 }
    }

    #[test]
    fn references_of_a_message_are_imported_in_order_and_in_one_pass() {
        const COUNT: u32 = 100_000;
        let from = Life::new(2, 1);
        // Some are known as they arrive.
        let known = |cell: u32| cell.is_multiple_of(3).then_some(Err(Lost::Gone));
        let references = (0..COUNT).map(|cell| (delivered(cell), known(cell))).collect();
        let mut waiting = Waiting::default();
        waiting.push(Arriving::new(from, references, Vec::new()));
        let to_import: Vec<Delivered> = (0..COUNT).filter(|cell| cell % 3 != 0).map(delivered).collect();
        let begun = Instant::now();
        for (at, &one) in to_import.iter().enumerate() {
            assert_eq!(waiting.first().and_then(Arriving::next), Some(one));
            if at == 10 {
                assert!(waiting.references().eq(to_import[10..].iter().map(|one| one.reference)));
            }
            waiting.arrived(Err(Lost::NoRoom));
        }
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(1), "{taken:?}");
        assert_eq!((waiting.first().and_then(Arriving::next), waiting.references().count()), (None, 0));
        let delivery = waiting.pop().unwrap().delivery();
        let as_it_came = (0..COUNT).zip(&delivery.references).all(|(cell, arrival)| {
            let why = if cell.is_multiple_of(3) { Lost::Gone } else { Lost::NoRoom };
            arrival.reference == delivered(cell).reference && matches!(arrival.pin, Err(lost) if lost == why)
        });
        assert!(as_it_came && waiting.is_empty());
    }
}
