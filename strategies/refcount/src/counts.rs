//! The counts, and per cell what this cycle and the one before have to remember of it.

use gc_sdk::{Cell, Change};

use crate::doom::Doomed;
use crate::per_cell::PerCell;

/// Count or references changed in the log epoch that this cycle closed, or this cycle's cascade changed the count.
const TOUCHED: u8 = 1;
/// A root of this cycle, or shaded in it.
const HELD: u8 = 1 << 1;
/// In the list of cells to look at for count zero.
const QUEUED: u8 = 1 << 2;
/// In this cycle's verdict.
const DOOMED: u8 = 1 << 3;
/// In the verdict of the last cycle: its free-record says what is known.
const FREED: u8 = 1 << 4;

/// Counts as of the end of the log epoch, minus what doomed cells contributed.
///
/// Changes come in any order, so a count may pass below zero while they come in: counts wrap, and are read only afterwards.
#[derive(Default)]
pub(crate) struct Counts {
    counts: PerCell<u32>,
    flags: PerCell<u8>,
    /// Cells with `HELD`: candidates of the next cycle.
    held: Vec<Cell>,
    /// Cells with `TOUCHED`: candidates of this cycle.
    touched: Vec<Cell>,
    /// Cells with `QUEUED`.
    queue: Vec<Cell>,
    freed: Vec<Cell>,
}

impl Counts {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
        self.flags.clear();
        [&mut self.held, &mut self.touched, &mut self.queue, &mut self.freed]
            .into_iter()
            .for_each(Vec::clear);
    }

    /// Former roots become candidates, and what went is remembered for one cycle.
    pub(crate) fn begin_cycle(&mut self, doomed: &Doomed) {
        for cell in std::mem::take(&mut self.freed) {
            self.set(cell, FREED, false);
        }
        for cell in std::mem::take(&mut self.touched) {
            self.set(cell, TOUCHED, false);
        }
        for cell in doomed.cells() {
            self.set(cell, DOOMED, false);
            self.set(cell, FREED, true);
            self.freed.push(cell);
        }
        for cell in std::mem::take(&mut self.held) {
            self.set(cell, HELD, false);
            self.touch(cell);
        }
    }

    /// A root, or a shaded cell.
    pub(crate) fn hold(&mut self, cell: Cell) {
        if !self.is(cell, HELD) {
            self.set(cell, HELD, true);
            self.held.push(cell);
        }
    }

    /// One change of the closed log epoch.
    pub(crate) fn apply(&mut self, change: &Change) {
        if self.is(change.cell, FREED) && change.old != [0; 4] && change.new == [0; 4] {
            return;
        }
        self.touch(change.cell);
        change.old.into_iter().filter(|&cell| cell != 0).for_each(|cell| self.decrement(cell));
        change.new.into_iter().filter(|&cell| cell != 0).for_each(|cell| self.increment(cell));
    }

    pub(crate) fn increment(&mut self, cell: Cell) {
        let count = self.counts.at(cell);
        *count = count.wrapping_add(1);
        self.touch(cell);
    }

    pub(crate) fn decrement(&mut self, cell: Cell) {
        let count = self.counts.at(cell);
        *count = count.wrapping_sub(1);
        self.touch(cell);
    }

    pub(crate) fn count(&self, cell: Cell) -> u32 {
        self.counts.get(cell)
    }

    pub(crate) fn is_held(&self, cell: Cell) -> bool {
        self.is(cell, HELD)
    }

    pub(crate) fn is_touched(&self, cell: Cell) -> bool {
        self.is(cell, TOUCHED)
    }

    pub(crate) fn is_doomed(&self, cell: Cell) -> bool {
        self.is(cell, DOOMED)
    }

    pub(crate) fn set_doomed(&mut self, cell: Cell, doomed: bool) {
        self.set(cell, DOOMED, doomed);
    }

    /// The next cell to look at for count zero.
    pub(crate) fn next_queued(&mut self) -> Option<Cell> {
        let cell = self.queue.pop()?;
        self.set(cell, QUEUED, false);
        Some(cell)
    }

    /// The candidates of this cycle.
    pub(crate) fn touched(&self) -> &[Cell] {
        &self.touched
    }

    pub(crate) fn touch(&mut self, cell: Cell) {
        if !self.is(cell, TOUCHED) {
            self.set(cell, TOUCHED, true);
            self.touched.push(cell);
        }
        if !self.is(cell, QUEUED) {
            self.set(cell, QUEUED, true);
            self.queue.push(cell);
        }
    }

    fn is(&self, cell: Cell, flag: u8) -> bool {
        self.flags.get(cell) & flag != 0
    }

    fn set(&mut self, cell: Cell, flag: u8, value: bool) {
        let flags = self.flags.at(cell);
        *flags = if value { *flags | flag } else { *flags & !flag };
    }
}
