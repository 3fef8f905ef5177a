//! The unsafe code of the SDK, all of it: loads from columns that somebody else writes, and the inner loop of the marker without bounds checks.
//!
//! Who writes to the columns: the host, from other threads, only as aligned 32-bit and 64-bit atomics. Who reads: a strategy, here, with relaxed
//! atomic loads, which on Wasm are plain loads. Order comes from host calls alone.
//!
//! Invariants:
//! 1. `cells` points to `4 * capacity` aligned words that stay mapped for the lifetime of the value.
//! 2. Every reference in the column is below the capacity (the heap's own invariant; a graph that cannot promise it is not a [`Graph`](crate::Graph)).
//!    Outside Wasm, where a broken promise would be undefined behaviour of the process rather than of a sandbox, it is checked at every use.

use std::marker::PhantomData;
#[cfg(target_arch = "wasm32")]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(target_arch = "wasm32")]
use crate::graph::Bitmap;
use crate::graph::{Cell, References};

/// A borrowed cells column.
#[derive(Clone, Copy)]
pub struct RawCells<'a> {
    cells: *const AtomicU32,
    capacity: u32,
    column: PhantomData<&'a [AtomicU32]>,
}

impl<'a> RawCells<'a> {
    /// The column `cells`, four words each.
    ///
    /// # Panics
    /// When the length is not four times a 32-bit capacity.
    pub fn new(cells: &'a [AtomicU32]) -> RawCells<'a> {
        assert!(cells.len().is_multiple_of(4), "a cell is four words");
        let capacity = u32::try_from(cells.len() / 4).expect("a capacity has 32 bits");
        RawCells { cells: cells.as_ptr(), capacity, column: PhantomData }
    }

    /// Number of cells.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The references of `cell`.
    ///
    /// # Panics
    /// When the cell is not below the capacity.
    pub fn load(&self, cell: Cell) -> References {
        assert!(cell < self.capacity, "cell {cell} is not below the capacity {}", self.capacity);
        // SAFETY: the cell was checked.
        unsafe { self.load_unchecked(cell) }
    }

    /// The references of `cell`.
    ///
    /// # Safety
    /// `cell` is below the capacity.
    #[inline(always)]
    unsafe fn load_unchecked(&self, cell: Cell) -> References {
        let mut references = [0; 4];
        for (slot, reference) in references.iter_mut().enumerate() {
            // SAFETY: invariant 1, and the cell is below the capacity.
            let word = unsafe { self.cells.add(cell as usize * 4 + slot) };
            // SAFETY: the word is in the column, aligned, and only ever written atomically.
            *reference = unsafe { &*word }.load(Ordering::Relaxed);
        }
        references
    }
}

/// The columns that the host mapped into this instance's memory.
#[cfg(target_arch = "wasm32")]
pub struct Window {
    capacity: u32,
    cells: *const AtomicU32,
    bitmaps: [*const AtomicU64; 3],
}

#[cfg(target_arch = "wasm32")]
impl Window {
    /// The window whose columns (cells, allocated, young, stub) lie at these addresses.
    ///
    /// # Panics
    /// When an address is not aligned for its column.
    pub fn attach([cells, allocated, young, stub]: [u32; 4], capacity: u32) -> Window {
        assert!(cells.is_multiple_of(16), "the cells column is aligned to cells");
        let bitmaps = [allocated, young, stub];
        assert!(bitmaps.iter().all(|at| at.is_multiple_of(8)), "a bitmap is aligned to its words");
        let bitmaps = bitmaps.map(|at| std::ptr::with_exposed_provenance(at as usize));
        Window { capacity, cells: std::ptr::with_exposed_provenance(cells as usize), bitmaps }
    }

    /// The cells column.
    pub fn cells(&self) -> RawCells<'_> {
        RawCells { cells: self.cells, capacity: self.capacity, column: PhantomData }
    }

    /// One word of a bitmap.
    ///
    /// # Panics
    /// When the bitmap ends before `word`.
    pub fn bitmap_word(&self, which: Bitmap, word: u32) -> u64 {
        assert!(word < self.capacity / 64, "word {word} is past the end of the bitmap");
        let bitmap = match which {
            Bitmap::Allocated => self.bitmaps[0],
            Bitmap::Young => self.bitmaps[1],
            Bitmap::Stub => self.bitmaps[2],
        };
        // SAFETY: the host mapped `capacity / 64` words here and keeps them mapped; the index was checked.
        let word = unsafe { bitmap.add(word as usize) };
        // SAFETY: the word is mapped and aligned; the host writes it atomically.
        unsafe { &*word }.load(Ordering::Relaxed)
    }
}

/// Grows memory by at least `bytes` and returns where the new range begins, or 0 when there is no room. The range is aligned for huge pages.
#[cfg(target_arch = "wasm32")]
pub fn reserve(bytes: u32) -> u32 {
    const PAGE: usize = 65_536;
    const HUGE: usize = 2 * 1024 * 1024;
    let end = core::arch::wasm32::memory_size(0) * PAGE;
    let start = end.next_multiple_of(HUGE);
    let pages = (start - end + bytes as usize).div_ceil(PAGE);
    match core::arch::wasm32::memory_grow(0, pages) {
        previous if previous * PAGE == end => start as u32,
        _ => 0,
    }
}
