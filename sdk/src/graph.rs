//! The live graph as a strategy reads it.
//!
//! Three implementations, one trait: the window (plain loads from mapped columns), the portable path (batched host calls), and
//! [`testing::MockHeap`](crate::testing::MockHeap). The SDK picks; a strategy is written once, over `&impl Graph`.
//!
//! All reads are of the live heap while mutators run: a reference that is read is one that the slot held at some moment. What a mutator overwrites
//! during a cycle arrives through [`Strategy::shade`](crate::Strategy::shade), so nothing is missed.

use crate::raw::RawCells;

/// Index of a cell. 0 is null. A cell is four references; an object with more is a tree of cells, and needs no special case.
pub type Cell = u32;

/// The four references of a cell.
pub type References = [Cell; 4];

/// A bitmap over cells: bit `i % 64` of word `i / 64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitmap {
    /// Cells in use.
    Allocated,
    /// Cells allocated since the running cycle began. Never condemned in it.
    Young,
    /// Cells that stand for an object on another node.
    Stub,
}

/// Most cells, or bitmap words, that one host call on the portable path reads.
pub const BATCH: usize = 65_536;

/// The live graph. Sealed: the marker relies on every reference being below the capacity, which the SDK's own implementations see to.
pub trait Graph: sealed::Sealed {
    /// Number of cells, null included.
    fn capacity(&self) -> u32;

    /// Replaces `out` by the references of each of `cells`, in order.
    ///
    /// # Panics
    /// When a cell is not below the capacity.
    fn read_cells(&self, cells: &[Cell], out: &mut Vec<References>);

    /// Replaces `out` by the references of `count` cells from `first` on, cut at the capacity.
    fn read_range(&self, first: Cell, count: u32, out: &mut Vec<References>);

    /// Replaces `out` by `count` words of a bitmap from word `first` on, cut at its end.
    fn read_bitmap(&self, which: Bitmap, first: u32, count: u32, out: &mut Vec<u64>);

    /// The cells column itself, where loads reach it.
    #[doc(hidden)]
    fn raw(&self) -> Option<RawCells<'_>> {
        None
    }

    /// Calls `visit` with each of `cells` and its references. Reads in batches underneath.
    fn for_each(&self, cells: &[Cell], mut visit: impl FnMut(Cell, References))
    where
        Self: Sized,
    {
        let mut references = Vec::new();
        for batch in cells.chunks(4096) {
            self.read_cells(batch, &mut references);
            batch.iter().zip(&references).for_each(|(&cell, &references)| visit(cell, references));
        }
    }

    /// The references of one cell. On the portable path this is a host call for a single cell: prefer the batched reads.
    fn references(&self, cell: Cell) -> References
    where
        Self: Sized,
    {
        let mut out = Vec::with_capacity(1);
        self.read_cells(&[cell], &mut out);
        out[0]
    }
}

pub(crate) mod sealed {
    /// Implemented by the SDK's graphs only.
    pub trait Sealed {}
}

/// A graph over borrowed columns, in this process: what the window is inside a strategy. For measuring a strategy natively, and for tests.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Four references per cell.
    pub cells: &'a [std::sync::atomic::AtomicU32],
    /// One bit per cell, as are the next two.
    pub allocated: &'a [std::sync::atomic::AtomicU64],
    /// See [`Bitmap::Young`].
    pub young: &'a [std::sync::atomic::AtomicU64],
    /// See [`Bitmap::Stub`].
    pub stub: &'a [std::sync::atomic::AtomicU64],
}

#[cfg(not(target_arch = "wasm32"))]
impl sealed::Sealed for Columns<'_> {}

#[cfg(not(target_arch = "wasm32"))]
impl Graph for Columns<'_> {
    fn capacity(&self) -> u32 {
        RawCells::new(self.cells).capacity()
    }

    fn read_cells(&self, cells: &[Cell], out: &mut Vec<References>) {
        let column = RawCells::new(self.cells);
        out.clear();
        out.extend(cells.iter().map(|&cell| column.load(cell)));
    }

    fn read_range(&self, first: Cell, count: u32, out: &mut Vec<References>) {
        let column = RawCells::new(self.cells);
        let end = first.saturating_add(count).min(column.capacity());
        out.clear();
        out.extend((first..end).map(|cell| column.load(cell)));
    }

    fn read_bitmap(&self, which: Bitmap, first: u32, count: u32, out: &mut Vec<u64>) {
        let bitmap = match which {
            Bitmap::Allocated => self.allocated,
            Bitmap::Young => self.young,
            Bitmap::Stub => self.stub,
        };
        let words = bitmap.iter().skip(first as usize).take(count as usize);
        out.clear();
        out.extend(words.map(|word| word.load(std::sync::atomic::Ordering::Relaxed)));
    }

    fn raw(&self) -> Option<RawCells<'_>> {
        Some(RawCells::new(self.cells))
    }
}
