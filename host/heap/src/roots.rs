//! Roots that outlive scopes: named roots and pins.
//!
//! A name behaves like a slot of the heap that everybody can see: setting it is a store, and the handshakes treat it so. The collector copies
//! the whole table between the second and the third handshake of a cycle; [`crate::handshake`] says why just there. As with the scan of cells, each slot
//! is read at its own moment, so the copy is made in pieces: nobody who needs the table waits for all of it.
//!
//! Looking a name up and giving it another object exclude nobody; a new name, and one that goes, exclude others for a few instructions. What is
//! recorded on a tape needs an order, so while there is one, operations on roots come one after the other.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::holdup::HoldupCounts;
use crate::limits::ROOTS_PIECE;
use crate::sync::{Mutex, RwLock, lock, point, read};
use crate::tape::{Recorder, Tape};

/// The table.
pub(crate) struct Roots {
    named: RwLock<BTreeMap<String, AtomicU32>>,
    pins: Mutex<Pins>,
    /// Only where a tape was there from the beginning.
    order: Option<Mutex<Order>>,
}

#[derive(Default)]
struct Pins {
    /// Cells that pins hold; 0 where a place is free.
    cells: Vec<u32>,
    free: Vec<u32>,
}

struct Order {
    /// Operations so far.
    turn: u64,
    /// Where the end of pins is recorded, for it may come from any thread.
    tape: Option<Recorder>,
}

/// Operations that a mutator waits for note what they wait in `waits`.
impl Roots {
    pub(crate) fn new(tape: Option<&Tape>) -> Roots {
        let order = tape.map(|tape| Mutex::new(Order { turn: 0, tape: Some(tape.heap_recorder()) }));
        Roots { named: RwLock::default(), pins: Mutex::default(), order }
    }

    pub(crate) fn end_recording(&self) {
        if let Some(order) = &self.order {
            lock(order).tape = None;
        }
    }

    /// Does something at the table. Answers the number of its turn, 0 where nothing is recorded.
    fn in_turn<R>(&self, waits: &HoldupCounts, operation: impl FnOnce() -> R) -> (R, u64) {
        match &self.order {
            None => (operation(), 0),
            Some(order) => {
                let mut order = waits.lock(order);
                order.turn += 1;
                (operation(), order.turn)
            }
        }
    }

    /// Sets a name, or removes it when `cell` is 0. Answers the turn.
    pub(crate) fn set(&self, name: &str, cell: u32, waits: &HoldupCounts) -> u64 {
        let set = || {
            if cell != 0
                && let Some(held) = waits.read(&self.named).get(name)
            {
                // Release: whoever finds the object by its name sees it complete.
                held.store(cell, Ordering::Release);
                return;
            }
            let mut named = waits.write(&self.named);
            if cell == 0 {
                named.remove(name);
            } else {
                named.insert(name.to_owned(), AtomicU32::new(cell));
            }
        };
        let turn = self.in_turn(waits, set).1;
        point();
        turn
    }

    /// What a name holds, 0 for nothing, and the turn.
    pub(crate) fn named(&self, name: &str, waits: &HoldupCounts) -> (u32, u64) {
        self.in_turn(waits, || {
            waits.read(&self.named).get(name).map_or(0, |cell| cell.load(Ordering::Acquire))
        })
    }

    /// Takes a place for a pin; answers it and the turn.
    pub(crate) fn pin(&self, cell: u32, waits: &HoldupCounts) -> (u32, u64) {
        self.in_turn(waits, || {
            let mut pins = waits.lock(&self.pins);
            if let Some(place) = pins.free.pop() {
                pins.cells[place as usize] = cell;
                return place;
            }
            pins.cells.push(cell);
            pins.cells.len() as u32 - 1
        })
    }

    pub(crate) fn unpin(&self, place: u32, waits: &HoldupCounts) {
        let unpin = || {
            let mut pins = waits.lock(&self.pins);
            pins.cells[place as usize] = 0;
            pins.free.push(place);
        };
        match &self.order {
            None => unpin(),
            Some(order) => {
                let mut order = waits.lock(order);
                unpin();
                order.turn += 1;
                let turn = order.turn;
                order.tape.iter_mut().for_each(|tape| tape.unpinned(turn, place));
            }
        }
    }

    /// Names with what they hold.
    pub(crate) fn names(&self) -> Vec<(String, u32)> {
        let mut found: Vec<(String, u32)> = Vec::new();
        loop {
            let after = found.last().map_or(Bound::Unbounded, |(name, _)| Bound::Excluded(name.as_str()));
            let named = read(&self.named);
            let piece = named.range::<str, _>((after, Bound::Unbounded)).take(ROOTS_PIECE);
            let piece: Vec<_> =
                piece.map(|(name, cell)| (name.clone(), cell.load(Ordering::Acquire))).collect();
            drop(named);
            if piece.is_empty() {
                return found;
            }
            found.extend(piece);
        }
    }

    /// The first names in their order with what they hold, at most [`ROOTS_PIECE`] of them, and how many names there are.
    pub(crate) fn first_names(&self, most: usize) -> (Vec<(String, u32)>, usize) {
        let named = read(&self.named);
        let first = named.iter().take(most.min(ROOTS_PIECE));
        let first = first.map(|(name, cell)| (name.clone(), cell.load(Ordering::Acquire))).collect();
        (first, named.len())
    }

    /// What pins hold.
    pub(crate) fn pinned(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for from in (0..).step_by(ROOTS_PIECE) {
            let piece = {
                let pins = lock(&self.pins);
                let rest = pins.cells.get(from..).unwrap_or_default();
                rest[..rest.len().min(ROOTS_PIECE)].to_vec()
            };
            if piece.is_empty() {
                break;
            }
            found.extend(piece.into_iter().filter(|&cell| cell != 0));
        }
        found
    }

    /// Every cell that the table holds, duplicates included.
    pub(crate) fn cells(&self) -> Vec<u32> {
        let mut cells = self.pinned();
        cells.extend(self.names().into_iter().map(|(_, cell)| cell));
        cells
    }

    /// How many names and pins there are.
    pub(crate) fn count(&self) -> usize {
        let pins = lock(&self.pins);
        read(&self.named).len() + pins.cells.len() - pins.free.len()
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_many_pieces_is_copied_whole() {
        let (roots, waits) = (Roots::new(None), HoldupCounts::default());
        let count = 3 * ROOTS_PIECE as u32 + 7;
        for cell in 1..=count {
            roots.set(&format!("name {cell}"), cell, &waits);
            assert_eq!(roots.pin(count + cell, &waits).0, cell - 1);
        }
        (0..5).for_each(|place| roots.unpin(place, &waits));
        roots.set("name 1", 0, &waits);
        roots.set("name 2", 3, &waits);
        let mut cells = roots.cells();
        cells.sort_unstable();
        let wanted = (3..=3).chain(3..=count).chain(count + 6..=2 * count);
        assert_eq!(cells, wanted.collect::<Vec<_>>());
        assert_eq!(roots.count(), cells.len());
        assert_eq!((roots.named("name 1", &waits).0, roots.named("name 2", &waits).0), (0, 3));
        assert!(roots.pin(9, &waits).0 < 5, "a place that is free is taken again");
        let named = count as usize - 1;
        assert_eq!(roots.first_names(2), (vec![("name 10".into(), 10), ("name 100".into(), 100)], named));
        assert_eq!((roots.first_names(usize::MAX).0.len(), roots.first_names(0).0.len()), (ROOTS_PIECE, 0));
    }
}
