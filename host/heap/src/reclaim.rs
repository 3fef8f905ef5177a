//! Quarantine and reclaim: the only place where memory of objects is freed.
//!
//! ```text
//!            proved                 next proof, or a time             taken by a mutator
//! allocated ────────▶ quarantined ───────────────────────▶ free ─────────────────────▶ allocated
//!                         │  restore                      generation + 1
//!                         ▼
//!                     allocated
//! ```
//!
//! 1. A cell comes here only out of the *condemned* bitmap, after the decision.
//! 2. Batches are freed in the order in which they were condemned. So whatever a quarantined cell refers to is allocated or quarantined, and
//!    restoring it with everything quarantined that it leads to leaves no reference to a free cell.
//! 3. An index whose generation would wrap is never freed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gc_memory::{Block, Cache};

use crate::columns::flag;
use crate::graph::{bit, cells_of, has};
use crate::heap::{Inner, Quarantine};
use crate::limits::{BLOCK_CELLS, CELL_BYTES, CELL_SLOTS};
use crate::pacer::Amount;
use crate::sync::{lock, point};

/// What a step of reclaim did.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Freed {
    /// Objects.
    pub objects: u64,
    /// Cells, extension cells included.
    pub cells: u64,
    /// Bytes, cells and payload blocks together.
    pub bytes: u64,
}

impl Freed {
    pub(crate) fn amount(self) -> Amount {
        Amount { cells: self.cells, bytes: self.bytes }
    }
}

impl std::ops::AddAssign for Freed {
    fn add_assign(&mut self, other: Freed) {
        self.objects += other.objects;
        self.cells += other.cells;
        self.bytes += other.bytes;
    }
}

/// Condemned in one cycle, as words of a bitmap that are not 0.
struct Batch {
    words: Vec<(u32, u64)>,
    condemned: Instant,
}

pub(crate) struct Reclaimer {
    heap: Arc<Inner>,
    cache: Cache,
    batches: VecDeque<Batch>,
}

impl Reclaimer {
    pub(crate) fn new(heap: &Arc<Inner>) -> Reclaimer {
        Reclaimer { cache: heap.slabs.cache(), heap: Arc::clone(heap), batches: VecDeque::new() }
    }

    /// Moves everything condemned into quarantine.
    pub(crate) fn condemn(&mut self, decision: u16, words: usize) -> Freed {
        let heap = &*self.heap;
        let columns = &heap.columns;
        let mut batch = Batch { words: Vec::new(), condemned: Instant::now() };
        let mut sum = Freed::default();
        for index in 0..words {
            let condemned = columns.condemned[index].load(Ordering::Relaxed);
            if condemned == 0 {
                continue;
            }
            for cell in cells_of(index, condemned) {
                columns.decision[cell as usize].store(decision, Ordering::Relaxed);
            }
            // In this order: see `cells`, invariant 2, and `Scope::resolve`.
            columns.quarantine[index].fetch_or(condemned, Ordering::AcqRel);
            point();
            heap.graph.allocated()[index].fetch_and(!condemned, Ordering::AcqRel);
            point();
            columns.condemned[index].store(0, Ordering::Release);
            point();
            for cell in cells_of(index, condemned) {
                sum.objects += u64::from(!columns.is_extension(cell));
                sum.bytes += heap.block_bytes(cell);
            }
            sum.cells += u64::from(condemned.count_ones());
            batch.words.push((index as u32, condemned));
        }
        sum.bytes += sum.cells * CELL_BYTES;
        if sum.cells > 0 {
            self.batches.push_back(batch);
        }
        heap.totals.condemned_objects.fetch_add(sum.objects, Ordering::Relaxed);
        heap.totals.condemned_cells.fetch_add(sum.cells, Ordering::Relaxed);
        heap.totals.condemned_bytes.fetch_add(sum.bytes, Ordering::Relaxed);
        heap.totals.quarantined_cells.fetch_add(sum.cells, Ordering::Relaxed);
        sum
    }

    /// A verdict was proved: frees what has waited long enough, `fresh` batches (condemned just now) excepted where the quarantine says so.
    pub(crate) fn after_proof(&mut self, fresh: usize, urgent: bool) -> Freed {
        let due = match self.heap.config.quarantine {
            _ if urgent => self.batches.len(),
            Quarantine::Off => self.batches.len(),
            Quarantine::UntilNextProof => self.batches.len() - fresh.min(self.batches.len()),
            Quarantine::For(wait) => {
                self.batches.iter().take_while(|batch| batch.condemned.elapsed() >= wait).count()
            }
        };
        self.free(due)
    }

    /// Frees everything in quarantine.
    pub(crate) fn free_all(&mut self) -> Freed {
        self.free(self.batches.len())
    }

    fn free(&mut self, batches: usize) -> Freed {
        let mut sum = Freed::default();
        for _ in 0..batches {
            let Some(batch) = self.batches.pop_front() else { break };
            let freed = self.free_batch(&batch);
            sum += freed;
        }
        if sum.cells > 0 {
            // For others to take: this thread allocates nothing.
            self.cache.flush();
            let heap = &*self.heap;
            heap.usage.subtract(sum.cells, sum.bytes);
            heap.totals.freed_objects.fetch_add(sum.objects, Ordering::Relaxed);
            heap.totals.freed_cells.fetch_add(sum.cells, Ordering::Relaxed);
            heap.totals.freed_bytes.fetch_add(sum.bytes, Ordering::Relaxed);
            heap.totals.quarantined_cells.fetch_sub(sum.cells, Ordering::Relaxed);
        }
        sum
    }

    fn free_batch(&mut self, batch: &Batch) -> Freed {
        let heap = Arc::clone(&self.heap);
        let columns = &heap.columns;
        let mut sum = Freed::default();
        let mut counts: Vec<(u32, u32)> = Vec::new();
        for &(index, mask) in &batch.words {
            let mut freed = mask;
            let stubs = mask & heap.graph.stub()[index as usize].load(Ordering::Relaxed);
            if stubs != 0 {
                heap.free_stubs(index as usize, stubs);
            }
            for cell in cells_of(index as usize, freed) {
                let at = cell as usize;
                let generation = columns.generation[at].load(Ordering::Relaxed);
                if generation == u32::MAX {
                    freed &= !bit(cell);
                    continue;
                }
                columns.generation[at].store(generation + 1, Ordering::Release);
                sum.objects += u64::from(!columns.is_extension(cell));
                if let Some(block) = Block::from_index(columns.locator[at].load(Ordering::Relaxed)) {
                    sum.bytes += heap.slabs.block_bytes(block);
                    columns.locator[at].store(0, Ordering::Relaxed);
                    self.cache.free(block);
                }
            }
            // Release: whoever takes the cell sees its new generation.
            columns.quarantine[index as usize].fetch_and(!freed, Ordering::Release);
            let count = freed.count_ones();
            sum.cells += u64::from(count);
            let block = index / (BLOCK_CELLS / 64);
            match counts.last_mut() {
                Some(last) if last.0 == block => last.1 += count,
                _ => counts.push((block, count)),
            }
        }
        heap.space.freed(&counts);
        sum.bytes += sum.cells * CELL_BYTES;
        sum
    }

    /// Takes a quarantined cell, with everything quarantined that it leads to, back among the living. Answers how many objects and cells.
    pub(crate) fn restore(&mut self, cell: u32) -> Freed {
        let heap = Arc::clone(&self.heap);
        let columns = &heap.columns;
        // All of it is found before any of it can be reached, and changed, by a mutator.
        let mut found = BTreeSet::new();
        let mut work = vec![cell];
        while let Some(cell) = work.pop() {
            if cell != 0 && has(&columns.quarantine, cell) && found.insert(cell) {
                work.extend(heap.graph.references(cell));
            }
        }
        self.renew_stubs(&mut found);
        let mut sum = Freed::default();
        for &cell in &found {
            sum.objects += u64::from(!columns.is_extension(cell));
            sum.cells += 1;
            sum.bytes += CELL_BYTES + heap.block_bytes(cell);
            columns.flags[cell as usize].fetch_and(!flag::RETIRED, Ordering::Relaxed);
            self.leave_batch(cell);
        }
        // The reverse of condemning: allocated first, so that no mutator takes the cell for a free one.
        for &cell in &found {
            heap.graph.allocated()[cell as usize / 64].fetch_or(bit(cell), Ordering::AcqRel);
            point();
        }
        for &cell in &found {
            columns.quarantine[cell as usize / 64].fetch_and(!bit(cell), Ordering::AcqRel);
            point();
        }
        heap.totals.condemned_objects.fetch_sub(sum.objects, Ordering::Relaxed);
        heap.totals.condemned_cells.fetch_sub(sum.cells, Ordering::Relaxed);
        heap.totals.condemned_bytes.fetch_sub(sum.bytes, Ordering::Relaxed);
        heap.totals.quarantined_cells.fetch_sub(sum.cells, Ordering::Relaxed);
        sum
    }

    /// Stubs among what is restored may have been replaced since they were condemned. There shall be one for each object: the one that is there takes the
    /// place of the other, in references that nobody can see yet, and is restored too if it must be.
    fn renew_stubs(&self, found: &mut BTreeSet<u32>) {
        let heap = &*self.heap;
        let newest: BTreeMap<u32, u32> = {
            let remote = lock(&heap.remote);
            let newest =
                |cell| remote.stubs.newest(heap.columns.stamp[cell as usize].load(Ordering::Relaxed));
            let stubs = found.iter().copied().filter(|&cell| heap.columns.is_stub(cell));
            stubs.map(|cell| (cell, newest(cell))).filter(|(cell, newest)| cell != newest).collect()
        };
        if newest.is_empty() {
            return;
        }
        found.retain(|cell| !newest.contains_key(cell));
        for slot in
            found.iter().flat_map(|&cell| (0..CELL_SLOTS as u32).map(move |slot| heap.graph.slot(cell, slot)))
        {
            if let Some(&stub) = newest.get(&slot.load(Ordering::Relaxed)) {
                slot.store(stub, Ordering::Release);
            }
        }
        found.extend(newest.into_values().filter(|&stub| has(&heap.columns.quarantine, stub)));
    }

    /// A restored cell may be condemned again, in a later batch; the earlier one must not free it then.
    fn leave_batch(&mut self, cell: u32) {
        let word = cell / 64;
        for batch in &mut self.batches {
            if let Ok(at) = batch.words.binary_search_by_key(&word, |&(word, _)| word) {
                batch.words[at].1 &= !bit(cell);
            }
        }
    }
}
