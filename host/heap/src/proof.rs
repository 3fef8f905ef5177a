//! The proof: what survives holds every root, and nothing that survives refers to what is condemned.
//!
//! It is one sequential scan of the cells, with a look into a bitmap for each reference, whatever algorithm proposed the verdict. The bitmap of ten
//! million cells is 1.2 MiB, so the looks stay in the cache while the cells stream by; that is why the proof costs a fraction of the marking
//! that it checks. [`crate::handshake`] says why a scan while mutators run proves anything.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::graph::{Graph, bit, cells_of, has};
use crate::handle::Handle;
use crate::limits::CELL_SLOTS;

/// Most violations that are kept: a verdict with more is refused without looking for excuses.
const VIOLATIONS_MAX: usize = 64 * 1024;

/// Why a verdict was refused: something that survives refers to something condemned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "its verdict was refused: {survivor} survives and refers to {condemned}, which it would have freed ({count} such references)"
)]
pub struct Violation {
    /// A survivor, or a root of the cycle.
    pub survivor: Handle,
    /// What the verdict would have freed. An extension cell is named by its own cell.
    pub condemned: Handle,
    /// How many such references were found before the scan stopped looking.
    pub count: u64,
}

/// References that lead from survivors to condemned cells: pairs of holder and target.
#[derive(Default)]
pub(crate) struct Violations {
    pub(crate) found: Vec<(u32, u32)>,
    pub(crate) too_many: bool,
}

/// Scans the cells of some words of the bitmaps.
pub(crate) fn scan(graph: &Graph, condemned: &[AtomicU64], words: Range<usize>, violations: &mut Violations) {
    let cells = graph.cells();
    let allocated = graph.allocated();
    for index in words {
        let survivors = allocated[index].load(Ordering::Acquire) & !condemned[index].load(Ordering::Relaxed);
        if survivors == 0 {
            continue;
        }
        let slots = &cells[index * 64 * CELL_SLOTS..(index + 1) * 64 * CELL_SLOTS];
        let mut any = 0;
        let mut rest = survivors;
        while rest != 0 {
            let at = rest.trailing_zeros() as usize * CELL_SLOTS;
            rest &= rest - 1;
            for slot in &slots[at..at + CELL_SLOTS] {
                // Acquire is a plain load on this machine; it pairs with the Release store of the mutator that put the reference there.
                let reference = slot.load(Ordering::Acquire);
                any |= condemned[reference as usize / 64].load(Ordering::Relaxed) >> (reference % 64);
            }
        }
        if any & 1 != 0 {
            blame(graph, condemned, index, survivors, violations);
        }
    }
}

#[cold]
fn blame(graph: &Graph, condemned: &[AtomicU64], index: usize, survivors: u64, violations: &mut Violations) {
    for holder in cells_of(index, survivors) {
        for target in graph.references(holder) {
            if target != 0 && has(condemned, target) {
                if violations.found.len() == VIOLATIONS_MAX {
                    violations.too_many = true;
                    return;
                }
                violations.found.push((holder, target));
            }
        }
    }
}

/// Takes `seeds` and everything condemned that they lead to out of a bitmap of condemned cells. Answers how many cells that were.
pub(crate) fn withhold(graph: &Graph, condemned: &[AtomicU64], seeds: impl IntoIterator<Item = u32>) -> u64 {
    let mut count = 0;
    let mut work: Vec<u32> = seeds.into_iter().collect();
    while let Some(cell) = work.pop() {
        if cell != 0 && has(condemned, cell) {
            condemned[cell as usize / 64].fetch_and(!bit(cell), Ordering::Relaxed);
            count += 1;
            work.extend(graph.references(cell));
        }
    }
    count
}
