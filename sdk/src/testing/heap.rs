//! A heap in miniature, with the barrier and the handshake of the real one reduced to what a strategy can see of them.
//!
//! Invariants:
//! 1. The first store to a cell in a log epoch records its old references; while a cycle runs they are shaded, too.
//! 2. A cell that is allocated while a cycle runs is young until the next one begins.
//! 3. A stub has no references. What is exported is a root of every cycle but those over nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::graph::{self, Bitmap, Cell, Columns, Graph, References};
use crate::raw::RawCells;

/// How a strategy reads the mock heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Plain loads, as through a graph window.
    Window,
    /// Batched calls, as through the host.
    Portable,
}

/// A heap of cells with roots, a change log, retired cells and an oracle.
#[derive(Debug)]
pub struct MockHeap {
    access: Access,
    cells: Vec<AtomicU32>,
    allocated: Vec<AtomicU64>,
    young: Vec<AtomicU64>,
    stub: Vec<AtomicU64>,
    free: Vec<Cell>,
    roots: BTreeMap<Cell, u32>,
    exports: BTreeSet<Cell>,
    retired: BTreeMap<Cell, u64>,
    grace_epoch: u64,
    log: BTreeMap<Cell, References>,
    pub(super) shades: Vec<Cell>,
    pub(super) running: bool,
}

impl MockHeap {
    /// An empty heap of `capacity` cells, rounded up to a multiple of 64.
    pub fn new(capacity: u32, access: Access) -> MockHeap {
        let capacity = capacity.next_multiple_of(64).max(64);
        let bitmap = || (0..capacity / 64).map(|_| AtomicU64::new(0)).collect();
        MockHeap {
            access,
            cells: (0..capacity as usize * 4).map(|_| AtomicU32::new(0)).collect(),
            allocated: bitmap(),
            young: bitmap(),
            stub: bitmap(),
            free: (1..capacity).rev().collect(),
            roots: BTreeMap::new(),
            exports: BTreeSet::new(),
            retired: BTreeMap::new(),
            grace_epoch: 1,
            log: BTreeMap::new(),
            shades: Vec::new(),
            running: false,
        }
    }

    /// Allocates a cell.
    ///
    /// # Panics
    /// When the heap is full: make it larger.
    pub fn alloc(&mut self, references: References) -> Cell {
        let cell = self.free.pop().expect("the mock heap is full: give it more cells");
        set(&self.allocated, cell, true);
        set(&self.young, cell, self.running);
        self.log.entry(cell).or_insert([0; 4]);
        self.write(cell, references);
        cell
    }

    /// Allocates a stub: a cell that stands for an object on another node.
    ///
    /// # Panics
    /// When the heap is full: make it larger.
    pub fn import(&mut self) -> Cell {
        let cell = self.alloc([0; 4]);
        set(&self.stub, cell, true);
        cell
    }

    /// Hands a reference to a cell to another node, which holds it from here on.
    pub fn export(&mut self, cell: Cell) {
        assert!(self.is_allocated(cell) && !self.is_stub(cell), "cell {cell} is no object of this node");
        if self.exports.insert(cell) && self.running {
            self.shades.push(cell);
        }
    }

    /// Takes back an [`MockHeap::export`]: no other node holds the cell any more.
    pub fn unexport(&mut self, cell: Cell) {
        self.exports.remove(&cell);
    }

    /// Stores a reference. Null is 0.
    ///
    /// # Panics
    /// When either cell is not allocated, or the first is a stub: the test itself uses a cell as it cannot be used.
    pub fn store(&mut self, cell: Cell, slot: usize, value: Cell) {
        assert!(self.is_allocated(cell), "cell {cell} was freed");
        assert!(!self.is_stub(cell), "cell {cell} is a stub: its references are on another node");
        assert!(value == 0 || self.is_allocated(value), "cell {value} was freed");
        let old = self.load_all(cell);
        if let std::collections::btree_map::Entry::Vacant(entry) = self.log.entry(cell) {
            entry.insert(old);
            if self.running {
                self.shades.extend(old);
            }
        }
        self.cells[cell as usize * 4 + slot].store(value, Relaxed);
    }

    /// Loads a reference.
    pub fn load(&self, cell: Cell, slot: usize) -> Cell {
        self.load_all(cell)[slot]
    }

    /// All four references of a cell.
    pub fn load_all(&self, cell: Cell) -> References {
        std::array::from_fn(|slot| self.cells[cell as usize * 4 + slot].load(Relaxed))
    }

    /// Makes a cell a root, once more. As if it was looked up by a handle when a cycle is running: it is shaded.
    pub fn root(&mut self, cell: Cell) {
        assert!(self.is_allocated(cell), "cell {cell} was freed");
        *self.roots.entry(cell).or_insert(0) += 1;
        if self.running {
            self.shades.push(cell);
        }
    }

    /// Makes a cell a root without a shade: what a scope does with a reference that it loaded or allocated. The cell must be reachable or young.
    pub fn hold(&mut self, cell: Cell) {
        assert!(self.is_allocated(cell), "cell {cell} was freed");
        *self.roots.entry(cell).or_insert(0) += 1;
    }

    /// Takes back one [`MockHeap::root`] or [`MockHeap::hold`].
    pub fn unroot(&mut self, cell: Cell) {
        let count = self.roots.get_mut(&cell).expect("only a root can stop being one");
        *count -= 1;
        if *count == 0 {
            self.roots.remove(&cell);
        }
    }

    /// Retires a cell in the current grace epoch.
    pub fn retire(&mut self, cell: Cell) {
        assert!(self.is_allocated(cell), "cell {cell} was freed");
        self.retired.entry(cell).or_insert(self.grace_epoch);
    }

    /// Ends the current grace epoch: what was retired in it may go.
    pub fn end_grace_epoch(&mut self) {
        self.grace_epoch += 1;
    }

    /// Retired cells with a grace epoch below this may go.
    pub fn safe_grace_epoch(&self) -> u64 {
        self.grace_epoch
    }

    /// The retired cells, each with its grace epoch.
    pub fn retired(&self) -> &BTreeMap<Cell, u64> {
        &self.retired
    }

    /// The roots.
    pub fn roots(&self) -> impl Iterator<Item = Cell> + '_ {
        self.roots.keys().copied()
    }

    /// What other nodes hold.
    pub fn exports(&self) -> impl Iterator<Item = Cell> + '_ {
        self.exports.iter().copied()
    }

    /// Number of cells, null included.
    pub fn capacity(&self) -> u32 {
        (self.cells.len() / 4) as u32
    }

    /// Cells that are not in use.
    pub fn free_cells(&self) -> usize {
        self.free.len()
    }

    /// Whether a cell is in use.
    pub fn is_allocated(&self, cell: Cell) -> bool {
        get(&self.allocated, cell)
    }

    /// Whether a cell was allocated since the running cycle began.
    pub fn is_young(&self, cell: Cell) -> bool {
        get(&self.young, cell)
    }

    /// Whether a cell stands for an object on another node.
    pub fn is_stub(&self, cell: Cell) -> bool {
        get(&self.stub, cell)
    }

    /// The cells in use, in order.
    pub fn allocated(&self) -> Vec<Cell> {
        (1..self.capacity()).filter(|&cell| self.is_allocated(cell)).collect()
    }

    /// The oracle: everything that a root reaches, or that another node holds or reaches through what it holds.
    pub fn reachable(&self) -> BTreeSet<Cell> {
        self.closure(self.roots().chain(self.exports()).collect())
    }

    /// The oracle: everything else.
    pub fn garbage(&self) -> BTreeSet<Cell> {
        let reachable = self.reachable();
        self.allocated().into_iter().filter(|cell| !reachable.contains(cell)).collect()
    }

    /// The oracle: garbage that is on no cycle and that no cycle keeps.
    pub fn acyclic_garbage(&self) -> BTreeSet<Cell> {
        let mut left = self.garbage();
        let mut gone = BTreeSet::new();
        loop {
            let held: BTreeSet<Cell> = left.iter().flat_map(|&cell| self.load_all(cell)).collect();
            let free: Vec<Cell> = left.iter().copied().filter(|cell| !held.contains(cell)).collect();
            if free.is_empty() {
                return gone;
            }
            left.retain(|cell| held.contains(cell));
            gone.extend(free);
        }
    }

    /// Everything that is reached from `work`, `work` included.
    pub fn closure(&self, mut work: Vec<Cell>) -> BTreeSet<Cell> {
        let mut seen = BTreeSet::new();
        while let Some(cell) = work.pop() {
            if cell != 0 && seen.insert(cell) {
                work.extend(self.load_all(cell));
            }
        }
        seen
    }

    /// What the host does in the handshake that begins a cycle: closes the log epoch and returns it, nine words a change.
    pub(super) fn begin_cycle(&mut self) -> Vec<u32> {
        self.running = true;
        self.shades.clear();
        self.young.iter().for_each(|word| word.store(0, Relaxed));
        let log = std::mem::take(&mut self.log);
        log.into_iter().flat_map(|(cell, old)| change(cell, old, self.load_all(cell))).collect()
    }

    /// The whole heap as changes from nothing: a cell without references is no change.
    pub(super) fn as_changes(&self) -> Vec<u32> {
        let cells = self.allocated().into_iter().filter(|&cell| self.load_all(cell) != [0; 4]);
        cells.flat_map(|cell| change(cell, [0; 4], self.load_all(cell))).collect()
    }

    /// What the host does with what was proved.
    pub(super) fn reclaim(&mut self, condemned: &[Cell]) {
        for &cell in condemned {
            self.write(cell, [0; 4]);
            set(&self.allocated, cell, false);
            set(&self.stub, cell, false);
            self.exports.remove(&cell);
            self.log.remove(&cell);
            self.retired.remove(&cell);
            self.free.push(cell);
        }
    }

    fn write(&mut self, cell: Cell, references: References) {
        for (slot, reference) in references.into_iter().enumerate() {
            self.cells[cell as usize * 4 + slot].store(reference, Relaxed);
        }
    }

    fn columns(&self) -> Columns<'_> {
        Columns { cells: &self.cells, allocated: &self.allocated, young: &self.young, stub: &self.stub }
    }
}

impl graph::sealed::Sealed for MockHeap {}

impl Graph for MockHeap {
    fn capacity(&self) -> u32 {
        MockHeap::capacity(self)
    }

    fn read_cells(&self, cells: &[Cell], out: &mut Vec<References>) {
        self.columns().read_cells(cells, out);
    }

    fn read_range(&self, first: Cell, count: u32, out: &mut Vec<References>) {
        self.columns().read_range(first, count, out);
    }

    fn read_bitmap(&self, which: Bitmap, first: u32, count: u32, out: &mut Vec<u64>) {
        self.columns().read_bitmap(which, first, count, out);
    }

    fn raw(&self) -> Option<RawCells<'_>> {
        (self.access == Access::Window).then(|| RawCells::new(&self.cells))
    }
}

fn change(cell: Cell, old: References, new: References) -> impl Iterator<Item = u32> {
    std::iter::once(cell).chain(old).chain(new)
}

fn get(bitmap: &[AtomicU64], cell: Cell) -> bool {
    bitmap[cell as usize / 64].load(Relaxed) >> (cell % 64) & 1 == 1
}

fn set(bitmap: &[AtomicU64], cell: Cell, value: bool) {
    let word = &bitmap[cell as usize / 64];
    let bit = 1 << (cell % 64);
    let old = word.load(Relaxed);
    word.store(if value { old | bit } else { old & !bit }, Relaxed);
}
