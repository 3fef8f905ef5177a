//! Roots that outlive scopes: named roots and pins.
//!
//! A name behaves like a slot of the heap that everybody can see: setting it is a store, and the handshakes treat it so. The collector copies
//! the whole table between the second and the third handshake of a cycle; [`crate::handshake`] says why just there.

use std::collections::BTreeMap;

use crate::tape::{Recorder, Tape};

/// The table. Behind one lock; a look-up copies one word out.
#[derive(Default)]
pub(crate) struct Roots {
    named: BTreeMap<String, u32>,
    /// Cells that pins hold; 0 where a place is free.
    pins: Vec<u32>,
    free: Vec<u32>,
    /// Operations so far: their order, for the tape.
    turn: u64,
    /// Where the end of pins is recorded, for it may come from any thread.
    tape: Option<Recorder>,
}

impl Roots {
    pub(crate) fn new(tape: Option<&Tape>) -> Roots {
        Roots { tape: tape.map(Tape::heap_recorder), ..Roots::default() }
    }

    /// The number of the operation that is being carried out.
    pub(crate) fn take_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    pub(crate) fn end_recording(&mut self) {
        self.tape = None;
    }

    pub(crate) fn set(&mut self, name: &str, cell: u32) {
        if cell == 0 {
            self.named.remove(name);
        } else if let Some(held) = self.named.get_mut(name) {
            *held = cell;
        } else {
            self.named.insert(name.to_owned(), cell);
        }
    }

    pub(crate) fn named(&self, name: &str) -> u32 {
        self.named.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, u32)> {
        self.named.iter().map(|(name, &cell)| (name.as_str(), cell))
    }

    pub(crate) fn pin(&mut self, cell: u32) -> u32 {
        if let Some(place) = self.free.pop() {
            self.pins[place as usize] = cell;
            return place;
        }
        self.pins.push(cell);
        self.pins.len() as u32 - 1
    }

    pub(crate) fn unpin(&mut self, place: u32) {
        self.pins[place as usize] = 0;
        self.free.push(place);
        let turn = self.take_turn();
        if let Some(tape) = &mut self.tape {
            tape.unpinned(turn, place);
        }
    }

    pub(crate) fn pinned(&self) -> impl Iterator<Item = u32> {
        self.pins.iter().copied().filter(|&cell| cell != 0)
    }

    /// Every cell that the table holds, duplicates included.
    pub(crate) fn cells(&self) -> Vec<u32> {
        self.named.values().copied().chain(self.pinned()).collect()
    }
}
