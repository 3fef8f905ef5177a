//! Which cells are free, and who may take them.
//!
//! A mutator owns a *block* of 4096 cells at a time and takes the free ones in it, 64 at a look, without a lock: a cell is free when it is
//! neither allocated nor in quarantine. Reclaim may free cells of an owned block meanwhile; the owner sees them if it has not passed them yet.
//!
//! 1. A block has at most one owner, and only its owner allocates in it. So a bit seen free stays free until the owner takes it.
//! 2. Condemning sets *quarantine* before it clears *allocated*; freeing clears *quarantine* last. Whoever reads *allocated* first and
//!    *quarantine* second never takes a condemned cell for a free one.
//! 3. `free[block]` counts the cells freed since the block was last taken: a block with none need not be looked at.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gc_memory::MemoryError;

use crate::columns::Columns;
use crate::graph::Graph;
use crate::holdup::HoldupCounts;
use crate::limits::{BLOCK_CELLS, FREED_BLOCKS, SMALL_BLOCKS};
use crate::sync::{Mutex, lock};

const BLOCK_WORDS: usize = BLOCK_CELLS as usize / 64;

/// A block with fewer free cells is not worth taking while there are others.
const WORTHWHILE: u32 = BLOCK_CELLS / 64;

pub(crate) struct CellSpace {
    small: bool,
    /// For a few instructions at a time: mutators need it too.
    blocks: Mutex<Blocks>,
    waits: Arc<HoldupCounts>,
}

struct Blocks {
    /// Blocks from here on were never taken.
    fresh: u32,
    count: u32,
    /// Blocks worth taking.
    listed: Vec<u32>,
    state: Vec<BlockState>,
}

#[derive(Copy, Clone, Default)]
struct BlockState {
    owned: bool,
    listed: bool,
    /// Its memory was given back and it was not taken since.
    released: bool,
    free: u32,
}

impl CellSpace {
    /// Free cells for as many as a heap can hold. Mutators note in `waits` how long they waited for a block.
    pub(crate) fn new(capacity: u32, waits: Arc<HoldupCounts>) -> CellSpace {
        let count = capacity / BLOCK_CELLS;
        CellSpace {
            small: count < SMALL_BLOCKS,
            blocks: Mutex::new(Blocks {
                fresh: 0,
                count,
                listed: Vec::new(),
                state: vec![BlockState::default(); count as usize],
            }),
            waits,
        }
    }

    /// Whether there are so few blocks that one more or less matters.
    #[inline]
    pub(crate) fn is_small(&self) -> bool {
        self.small
    }

    /// How many words of a bitmap hold cells that were ever taken.
    pub(crate) fn words_in_use(&self) -> usize {
        lock(&self.blocks).fresh as usize * BLOCK_WORDS
    }

    fn take_block(&self) -> Option<u32> {
        let mut blocks = self.waits.lock(&self.blocks);
        let block = blocks.take_listed().or_else(|| blocks.take_fresh()).or_else(|| blocks.find_any())?;
        blocks.state[block as usize] = BlockState { owned: true, ..BlockState::default() };
        Some(block)
    }

    /// Gives a block up, of which `left` cells were not taken.
    fn give_back(&self, block: u32, left: u32) {
        let mut blocks = self.waits.lock(&self.blocks);
        blocks.state[block as usize].owned = false;
        blocks.add_free(block, left);
    }

    /// Gives the memory of a block back to the system if no cell of it is in use, as far as nothing in it must be kept. Answers whether it did. The
    /// block is withdrawn meanwhile, so that nobody waits for the system.
    pub(crate) fn release_empty(
        &self,
        block: u32,
        graph: &Graph,
        columns: &Columns,
    ) -> Result<bool, MemoryError> {
        {
            let mut blocks = lock(&self.blocks);
            if !blocks.may_withdraw(block) {
                return Ok(false);
            }
            blocks.state[block as usize].owned = true;
        }
        let first = block as usize * BLOCK_WORDS;
        let empty = (first..first + BLOCK_WORDS).all(|word| free_in(word, graph, columns) == u64::MAX);
        let done = if empty { release(block, graph, columns) } else { Ok(()) };
        let mut blocks = lock(&self.blocks);
        let state = &mut blocks.state[block as usize];
        state.owned = false;
        state.released = empty && done.is_ok();
        blocks.add_free(block, 0);
        done.map(|()| empty)
    }

    pub(crate) fn blocks_in_use(&self) -> u32 {
        lock(&self.blocks).fresh
    }

    /// Cells of these blocks were freed: pairs of block and count.
    pub(crate) fn freed(&self, counts: &[(u32, u32)]) {
        for counts in counts.chunks(FREED_BLOCKS) {
            let mut blocks = lock(&self.blocks);
            counts.iter().for_each(|&(block, count)| blocks.add_free(block, count));
        }
    }
}

impl Blocks {
    fn take_listed(&mut self) -> Option<u32> {
        while let Some(block) = self.listed.pop() {
            let state = &mut self.state[block as usize];
            state.listed = false;
            // Otherwise its memory is being given back at this moment; it is listed again after that.
            if !state.owned {
                return Some(block);
            }
        }
        None
    }

    /// Whether a block may be withdrawn for a moment: nobody has it, nothing in it is in use as far as is counted, and whoever needs a block finds
    /// another.
    fn may_withdraw(&self, block: u32) -> bool {
        let state = &self.state[block as usize];
        let others = self.fresh < self.count || self.listed.len() > 1;
        !state.owned && !state.released && state.free >= BLOCK_CELLS - 1 && others
    }

    fn take_fresh(&mut self) -> Option<u32> {
        let block = self.fresh;
        (block < self.count).then(|| {
            self.fresh += 1;
            block
        })
    }

    fn find_any(&self) -> Option<u32> {
        (0..self.count).find(|&block| {
            let state = &self.state[block as usize];
            !state.owned && state.free > 0
        })
    }

    fn add_free(&mut self, block: u32, count: u32) {
        let state = &mut self.state[block as usize];
        state.free += count;
        if !state.owned && !state.listed && state.free >= WORTHWHILE {
            state.listed = true;
            self.listed.push(block);
        }
    }
}

/// The free cells that one mutator may take next.
#[derive(Default)]
pub(crate) struct CellCache {
    block: Option<u32>,
    /// Next word of the block to look at.
    next: usize,
    word: usize,
    mask: u64,
}

impl CellCache {
    /// A free cell, or none when every cell of the heap is taken. The caller sets its *allocated* bit in the same operation.
    #[inline]
    pub(crate) fn take(&mut self, space: &CellSpace, graph: &Graph, columns: &Columns) -> Option<u32> {
        if self.mask == 0 && !self.refill(space, graph, columns) {
            return None;
        }
        let cell = self.word as u32 * 64 + self.mask.trailing_zeros();
        self.mask &= self.mask - 1;
        Some(cell)
    }

    #[cold]
    fn refill(&mut self, space: &CellSpace, graph: &Graph, columns: &Columns) -> bool {
        loop {
            let Some(block) = self.block else {
                let Some(block) = space.take_block() else { return false };
                self.block = Some(block);
                self.next = 0;
                continue;
            };
            while self.next < BLOCK_WORDS {
                self.word = block as usize * BLOCK_WORDS + self.next;
                self.next += 1;
                self.mask = free_in(self.word, graph, columns);
                if self.mask != 0 {
                    return true;
                }
            }
            self.block = None;
            space.give_back(block, 0);
        }
    }

    /// Gives up what was not taken.
    pub(crate) fn give_back(&mut self, space: &CellSpace, graph: &Graph, columns: &Columns) {
        if let Some(block) = self.block.take() {
            let rest = (self.next..BLOCK_WORDS).map(|word| block as usize * BLOCK_WORDS + word);
            let left: u32 = rest.map(|word| free_in(word, graph, columns).count_ones()).sum();
            space.give_back(block, left + self.mask.count_ones());
            self.mask = 0;
        }
    }
}

fn release(block: u32, graph: &Graph, columns: &Columns) -> Result<(), MemoryError> {
    graph.release(block * BLOCK_CELLS, BLOCK_CELLS)?;
    columns.release(block * BLOCK_CELLS, BLOCK_CELLS)
}

fn free_in(word: usize, graph: &Graph, columns: &Columns) -> u64 {
    let allocated = graph.allocated()[word].load(Ordering::Acquire);
    let quarantine = columns.quarantine[word].load(Ordering::Acquire);
    let null = u64::from(word == 0);
    !(allocated | quarantine | null)
}
