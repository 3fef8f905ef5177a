//! The unsafe code of the SDK, all of it: loads from columns that somebody else writes, and the inner loop of the marker without bounds checks.
//!
//! Who writes to the columns: the host, from other threads, only as aligned 32-bit and 64-bit atomics. Who reads: a strategy, here, with relaxed
//! atomic loads, which on Wasm are plain loads. Order comes from host calls alone.
//!
//! Invariants:
//! 1. `cells` points to `4 * capacity` aligned words that stay mapped for the lifetime of the value.
//! 2. Every reference in the column is below the capacity (the heap's own invariant; a graph that cannot promise it is not a
//!    [`Graph`](crate::Graph)). Outside Wasm, where a broken promise would be undefined behaviour of the process rather than of a sandbox,
//!    every batch is checked.

use std::marker::PhantomData;
#[cfg(any(target_arch = "wasm32", test))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(target_arch = "wasm32")]
use crate::graph::Bitmap;
use crate::graph::{Cell, References};

/// Most cells that [`RawCells::visit`] takes at a time: large enough that misses overlap, small enough that their references stay in the
/// first-level cache.
pub(crate) const GATHER: usize = 512;

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

    /// Visits the last `count` cells of `worklist`: takes them off, marks what they refer to, and appends what was not marked before.
    ///
    /// Two loops, so that the cache misses of the first overlap: it only loads, and the second only works on the first-level cache and the
    /// marks. The second has no branch that depends on data: every reference is appended, and the end moves on if it was fresh.
    ///
    /// # Panics
    /// When the worklist is shorter than `count`, `count` is over [`GATHER`], or there are fewer marks than cells. Outside Wasm also when a
    /// cell or a reference is not below the capacity.
    #[inline(never)]
    pub(crate) fn visit(&self, marks: &mut [u64], worklist: &mut Vec<Cell>, count: usize) {
        assert!(count <= GATHER && count <= worklist.len(), "a batch is at most the worklist");
        assert!(marks.len() as u64 * 64 >= u64::from(self.capacity), "every cell has a mark");
        let base = worklist.len() - count;
        let mut references = [[0u32; 4]; GATHER];
        self.check(&worklist[base..]);
        self.gather(&worklist[base..], &mut references);
        self.check(references[..count].as_flattened());
        worklist.truncate(base);
        worklist.reserve(GATHER * 4);
        // Of the whole buffer, not of the cells in it: what is written lies behind those.
        let mut end = worklist.as_mut_ptr().wrapping_add(base);
        let (groups, rest) = references[..count].as_chunks::<4>();
        for group in groups {
            for &reference in group.as_flattened() {
                // SAFETY: room for four references per gathered cell was reserved, and the cell count bounds them.
                end = unsafe { self.append_if_fresh(marks, end, reference) };
            }
        }
        for &reference in rest.as_flattened() {
            // SAFETY: as above.
            end = unsafe { self.append_if_fresh(marks, end, reference) };
        }
        // SAFETY: both point into the worklist's buffer.
        let length = unsafe { end.offset_from(worklist.as_ptr()) };
        // SAFETY: everything below `end` was written, and it is within the reserved capacity.
        unsafe { worklist.set_len(length as usize) };
    }

    /// Loads the references of `cells`, which all come from a worklist.
    #[inline(always)]
    fn gather(&self, cells: &[Cell], out: &mut [References; GATHER]) {
        let (groups, rest) = cells.as_chunks::<8>();
        let (out_groups, out_rest) = out.as_chunks_mut::<8>();
        for (group, out) in groups.iter().zip(out_groups.iter_mut()) {
            for (&cell, out) in group.iter().zip(out) {
                // SAFETY: invariant 2, checked by the caller outside Wasm: what is in a worklist is below the capacity.
                *out = unsafe { self.load_pairs(cell) };
            }
        }
        for (&cell, out) in
            rest.iter().zip(out_groups[groups.len()..].as_flattened_mut().iter_mut().chain(out_rest))
        {
            // SAFETY: as above.
            *out = unsafe { self.load_pairs(cell) };
        }
    }

    /// Marks `reference`, writes it to `end`, and returns the end behind it if its mark is fresh.
    ///
    /// # Safety
    /// `end` is valid for a write, `reference` is below the capacity, and `marks` has a bit for every cell.
    #[inline(always)]
    unsafe fn append_if_fresh(&self, marks: &mut [u64], end: *mut Cell, reference: Cell) -> *mut Cell {
        // SAFETY: invariant 2, checked by the caller outside Wasm, and `marks` covers the capacity.
        let word = unsafe { marks.get_unchecked_mut(reference as usize / 64) };
        let fresh = !(*word >> (reference % 64)) & 1;
        *word |= 1 << (reference % 64);
        // SAFETY: the caller's promise.
        unsafe { end.write(reference) };
        end.wrapping_add(fresh as usize)
    }

    /// Invariant 2, checked where a broken one would reach further than a sandbox. A whole batch at once: vector instructions do it in passing.
    #[inline(always)]
    fn check(&self, cells: &[Cell]) {
        if cfg!(not(target_arch = "wasm32")) {
            let largest = cells.iter().fold(0, |largest, &cell| largest.max(cell));
            assert!(largest < self.capacity, "cell {largest} is not below the capacity {}", self.capacity);
        }
    }

    /// The references of `cell`, loaded one by one.
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

    /// The references of `cell`, loaded two at a time where that is known to be the same to the machine: half the loads.
    ///
    /// # Safety
    /// `cell` is below the capacity.
    #[inline(always)]
    unsafe fn load_pairs(&self, cell: Cell) -> References {
        #[cfg(target_arch = "wasm32")]
        // SAFETY: the caller's promise; the host maps the column aligned to cells, and on Wasm loads of another width than the stores are defined.
        unsafe {
            self.load_by_twos(cell)
        }
        #[cfg(not(target_arch = "wasm32"))]
        // SAFETY: the caller's promise.
        unsafe {
            self.load_unchecked(cell)
        }
    }

    /// The references of `cell` as two loads.
    ///
    /// # Safety
    /// `cell` is below the capacity, and the column is aligned to cells. Outside Wasm nobody else writes to it meanwhile.
    #[cfg(any(target_arch = "wasm32", test))]
    #[inline(always)]
    unsafe fn load_by_twos(&self, cell: Cell) -> References {
        // SAFETY: invariant 1, and the cell is below the capacity.
        let pairs = unsafe { self.cells.add(cell as usize * 4) }.cast::<[AtomicU64; 2]>();
        // SAFETY: the pairs are in the column, which is aligned to cells, and only ever written atomically.
        let pairs = unsafe { &*pairs };
        let [low, high] = [&pairs[0], &pairs[1]].map(|pair| pair.load(Ordering::Relaxed));
        [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32]
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

    /// The words of a bitmap.
    pub fn bitmap(&self, which: Bitmap) -> &[AtomicU64] {
        let bitmap = match which {
            Bitmap::Allocated => self.bitmaps[0],
            Bitmap::Young => self.bitmaps[1],
            Bitmap::Stub => self.bitmaps[2],
        };
        // SAFETY: the host mapped `capacity / 64` words here, keeps them mapped for as long as the instance lives, and writes them atomically.
        unsafe { std::slice::from_raw_parts(bitmap, self.capacity as usize / 64) }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a batch, and a few that make no group.
    const CELLS: u32 = if cfg!(miri) { 560 } else { 20_000 };

    struct Draws(u64);

    impl Draws {
        fn below(&mut self, bound: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 32) % u64::from(bound)) as u32
        }

        /// Null every fourth time.
        fn reference(&mut self) -> u32 {
            if self.below(4) == 0 { 0 } else { self.below(CELLS) }
        }
    }

    fn column(draws: &mut Draws) -> Vec<AtomicU32> {
        (0..4 * CELLS).map(|_| AtomicU32::new(draws.reference())).collect()
    }

    fn none_marked() -> Vec<u64> {
        let mut marks = vec![0; CELLS.div_ceil(64) as usize];
        marks[0] = 1;
        marks
    }

    fn is_marked(marks: &[u64], cell: u32) -> bool {
        marks[cell as usize / 64] >> (cell % 64) & 1 == 1
    }

    /// Visits everything, in batches of any size.
    fn mark(cells: RawCells<'_>, root: u32, draws: &mut Draws) -> Vec<u64> {
        let (mut marks, mut worklist) = (none_marked(), vec![root]);
        marks[root as usize / 64] |= 1 << (root % 64);
        while !worklist.is_empty() {
            let count = worklist.len().min(1 + draws.below(GATHER as u32) as usize);
            cells.visit(&mut marks, &mut worklist, count);
        }
        marks
    }

    #[test]
    fn visiting_marks_what_a_naive_walk_reaches() {
        for seed in 1..if cfg!(miri) { 2 } else { 20 } {
            let mut draws = Draws(seed);
            let column = column(&mut draws);
            let cells = RawCells::new(&column);
            let (mut reached, mut pending) = (none_marked(), vec![1]);
            while let Some(cell) = pending.pop() {
                if !is_marked(&reached, cell) {
                    reached[cell as usize / 64] |= 1 << (cell % 64);
                    pending.extend(cells.load(cell));
                }
            }
            assert!(reached.iter().map(|word| word.count_ones()).sum::<u32>() > CELLS / 2);
            assert_eq!(mark(cells, 1, &mut draws), reached, "seed {seed}");
        }
    }

    #[test]
    fn cells_may_be_visited_while_others_write_to_them() {
        let mut draws = Draws(7);
        let column = column(&mut draws);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut draws = Draws(8);
                for _ in 0..if cfg!(miri) { 200 } else { 200_000 } {
                    let slot = draws.below(4 * CELLS) as usize;
                    column[slot].store(draws.reference(), Ordering::Relaxed);
                }
            });
            for _ in 0..if cfg!(miri) { 1 } else { 20 } {
                let marks = mark(RawCells::new(&column), 1, &mut draws);
                assert!(is_marked(&marks, 1) && marks.iter().any(|&word| word > 3));
            }
        });
    }

    #[test]
    fn two_loads_say_what_four_say() {
        let draws = &mut Draws(9);
        let pairs: Vec<[AtomicU64; 2]> = (0..100)
            .map(|_| {
                [(); 2].map(|()| {
                    AtomicU64::new(u64::from(draws.below(CELLS)) << 32 | u64::from(draws.below(CELLS)))
                })
            })
            .collect();
        let cells = RawCells { cells: pairs.as_ptr().cast(), capacity: 100, column: PhantomData };
        for cell in 0..100 {
            // SAFETY: the column has so many cells, is aligned to pairs, and nobody writes to it.
            let by_twos = unsafe { cells.load_by_twos(cell) };
            assert_eq!(by_twos, cells.load(cell));
            assert_eq!(
                u64::from(by_twos[1]) << 32 | u64::from(by_twos[0]),
                pairs[cell as usize][0].load(Ordering::Relaxed)
            );
        }
    }

    #[test]
    #[should_panic(expected = "is not below the capacity")]
    fn a_reference_that_leads_out_of_the_column_is_not_followed() {
        let column: Vec<AtomicU32> = [0, 0, 0, 0, 0, 2, 0, 0].map(AtomicU32::new).into();
        RawCells::new(&column).visit(&mut [1], &mut vec![1], 1);
    }
}
