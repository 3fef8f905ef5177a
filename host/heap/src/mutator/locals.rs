//! The locals of one mutator: what its scopes hold, as the mutator writes it and the collector reads it.
//!
//! A chain of pieces that is only ever made longer, so that nothing moves under the eyes of the collector and growing never copies. The
//! collector reads while the mutator is between operations, or reads in vain: see [`crate::handshake`].

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::limits::{LOCALS_MAX, LOCALS_PIECE};

/// A piece of the chain. The first begins at 0; the collector begins there.
pub(crate) struct Piece {
    /// Number of its first local.
    base: usize,
    cells: Box<[AtomicU32]>,
    next: OnceLock<Arc<Piece>>,
}

impl Piece {
    fn new(base: usize) -> Arc<Piece> {
        let len = base.clamp(64, LOCALS_PIECE);
        let cells = std::iter::repeat_with(|| AtomicU32::new(0)).take(len).collect();
        Arc::new(Piece { base, cells, next: OnceLock::new() })
    }

    /// The first `len` locals, as far as they can be seen.
    pub(crate) fn read(&self, len: usize, mut each: impl FnMut(u32)) {
        let mut piece = self;
        loop {
            let here = len.saturating_sub(piece.base).min(piece.cells.len());
            piece.cells[..here].iter().for_each(|cell| each(cell.load(Ordering::Relaxed)));
            match piece.next.get() {
                Some(next) if next.base < len => piece = next,
                _ => return,
            }
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // One after the other, not in nested calls.
        let mut next = self.next.take();
        while let Some(mut piece) = next.and_then(Arc::into_inner) {
            next = piece.next.take();
        }
    }
}

/// The mutator's end.
pub(crate) struct Locals {
    pieces: Vec<Arc<Piece>>,
    current: Arc<Piece>,
}

impl Locals {
    pub(crate) fn new() -> Locals {
        let first = Piece::new(0);
        Locals { pieces: vec![Arc::clone(&first)], current: first }
    }

    pub(crate) fn first(&self) -> &Arc<Piece> {
        &self.pieces[0]
    }

    /// Writes the local of this number. Numbers below it were written before.
    #[inline]
    pub(crate) fn put(&mut self, number: usize, cell: u32) {
        // A number below the base wraps round to a large one.
        if let Some(place) = self.current.cells.get(number.wrapping_sub(self.current.base)) {
            place.store(cell, Ordering::Relaxed);
        } else {
            self.put_elsewhere(number, cell);
        }
    }

    #[cold]
    fn put_elsewhere(&mut self, number: usize, cell: u32) {
        assert!(
            number < LOCALS_MAX,
            "a scope holds {number} objects: open an inner scope in the loop that loads them"
        );
        let last = &self.pieces[self.pieces.len() - 1];
        if number == last.base + last.cells.len() {
            let grown = Piece::new(number);
            let linked = last.next.set(Arc::clone(&grown));
            assert!(linked.is_ok(), "the last piece has no next");
            self.pieces.push(grown);
        }
        let at = self.pieces.partition_point(|piece| piece.base <= number) - 1;
        self.current = Arc::clone(&self.pieces[at]);
        self.current.cells[number - self.current.base].store(cell, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locals_are_read_as_they_were_written_also_after_scopes_have_ended() {
        let mut locals = Locals::new();
        let mut written = Vec::new();
        // Up, down into an earlier piece, and up again.
        for (from, to) in [(0, 40_000), (70, 300), (64, 65), (63, 50_000), (0, 10)] {
            written.truncate(from);
            for number in from..to {
                let cell = (number * 7 + to) as u32;
                locals.put(number, cell);
                written.push(cell);
            }
            let mut read = Vec::new();
            locals.first().read(written.len(), |cell| read.push(cell));
            assert!(read == written, "{from} to {to}");
        }
        let mut count = 0;
        locals.first().read(usize::MAX, |_| count += 1);
        assert!((50_000..70_000).contains(&count), "what is not there is not read");
    }
}
