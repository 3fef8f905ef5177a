//! Random heaps and random mutators, from a seed.

use super::heap::{Access, MockHeap};
use crate::graph::Cell;

/// A small generator (SplitMix64): the same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number: 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// One of `choices`, which is not empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A heap of `objects` objects with random references, some of them roots: trees, shared parts, cycles and garbage of every kind.
pub fn random_heap(seed: u64, objects: usize, access: Access) -> MockHeap {
    let mut random = Random::new(seed);
    let mut heap = MockHeap::new(objects as u32 * 2 + 64, access);
    let cells: Vec<Cell> = (0..objects).map(|_| heap.alloc([0; 4])).collect();
    for &cell in &cells {
        for slot in 0..4 {
            if random.below(8) < 3 {
                heap.store(cell, slot, random.pick(&cells));
            }
        }
    }
    for _ in 0..objects.div_ceil(16) {
        heap.root(random.pick(&cells));
    }
    heap
}

/// A random heap of one node among others: an eighth of the objects refers to stubs, and other nodes hold an eighth.
pub fn random_member(seed: u64, objects: usize, access: Access) -> MockHeap {
    let mut random = Random::new(!seed);
    let mut heap = random_heap(seed, objects, access);
    let cells = heap.allocated();
    for _ in 0..objects.div_ceil(8) {
        let stub = heap.import();
        heap.store(random.pick(&cells), random.below(4), stub);
        heap.export(random.pick(&cells));
    }
    heap
}

/// A mutator: allocates, links, unlinks and lets go at random. It touches only what it can reach, as a real one does.
#[derive(Debug)]
pub struct Mutator {
    random: Random,
    held: Vec<Cell>,
}

impl Mutator {
    /// A mutator that takes over the roots of `heap`.
    pub fn new(seed: u64, heap: &MockHeap) -> Mutator {
        Mutator { random: Random::new(seed), held: heap.roots().collect() }
    }

    /// Does `count` random things.
    pub fn run(&mut self, heap: &mut MockHeap, count: usize) {
        (0..count).for_each(|_| self.step(heap));
    }

    fn step(&mut self, heap: &mut MockHeap) {
        let full = heap.free_cells() < 8;
        match self.random.below(8) {
            0 | 1 if !full => {
                let references = std::array::from_fn(|_| self.maybe_held());
                let cell = heap.alloc(references);
                self.hold(heap, cell);
            }
            2..=4 if !self.held.is_empty() => {
                let (cell, value) = (self.random.pick(&self.held), self.maybe_held());
                let slot = self.random.below(4);
                if !heap.is_stub(cell) {
                    heap.store(cell, slot, value);
                }
            }
            5 if !self.held.is_empty() => {
                let cell = heap.load(self.random.pick(&self.held), self.random.below(4));
                if cell != 0 {
                    self.hold(heap, cell);
                }
            }
            6 if !self.held.is_empty() => self.move_one(heap),
            _ if !self.held.is_empty() => {
                let index = self.random.below(self.held.len());
                heap.unroot(self.held.swap_remove(index));
            }
            _ => {}
        }
    }

    /// Moves a reference from one object to another: what a collector loses that forgets shades, if the other object was visited before.
    fn move_one(&mut self, heap: &mut MockHeap) {
        let (from, slot, to) =
            (self.random.pick(&self.held), self.random.below(4), self.random.pick(&self.held));
        if heap.is_stub(from) || heap.is_stub(to) {
            return;
        }
        let moved = heap.load(from, slot);
        heap.store(from, slot, 0);
        if moved != 0 {
            heap.store(to, self.random.below(4), moved);
        }
    }

    fn hold(&mut self, heap: &mut MockHeap, cell: Cell) {
        heap.hold(cell);
        self.held.push(cell);
    }

    fn maybe_held(&mut self) -> Cell {
        if self.held.is_empty() || self.random.below(3) == 0 { 0 } else { self.random.pick(&self.held) }
    }
}
