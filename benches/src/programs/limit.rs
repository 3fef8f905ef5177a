//! The limit for a marking collector on this machine: the peer graph in one column of 32-bit references on huge pages, marked natively by one
//! thread, with nothing around it: no handshake, no mutators, no proof. Prints the lines that `peers/run --ours` reads.
//!
//! A batch of cells is read before the first of their targets is marked, so that their cache misses overlap; `--batch 1` is plain depth first.

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::spent;
use crate::collection::Collection;
use crate::graph::{Graph, SLOTS};
use clap::Args;
use gc_memory::{Column, Region};

/// Cells in flight with which it is fastest.
pub(crate) const BATCH: u16 = 64;

/// Marks the peer graph as fast as one native thread can.
#[derive(Args)]
pub struct Arguments {
    /// Cells read ahead of marking their targets
    #[arg(long, default_value_t = BATCH, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Number of objects
    #[arg(default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    objects: u32,
    /// Number of timed markings
    #[arg(default_value_t = 1)]
    collections: u32,
}

/// The graph as strategies see it: four references each, 0 for an empty slot, otherwise the object's number plus one.
pub(super) struct Cells {
    graph: Graph,
    cells: Column<AtomicU32>,
}

impl Cells {
    pub(super) fn build(graph: Graph) -> Result<Self, Box<dyn Error>> {
        let slots = graph.objects() as usize * SLOTS;
        let cells = Region::private(slots as u64 * 4)?.column::<AtomicU32>(0, slots)?;
        for object in 0..graph.objects() {
            let row = &cells[object as usize * SLOTS..][..SLOTS];
            for (cell, target) in row.iter().zip(graph.references(object)) {
                cell.store(target.map_or(0, |target| target + 1), Ordering::Relaxed);
            }
        }
        Ok(Self { graph, cells })
    }

    fn row(&self, cell: u32) -> [u32; SLOTS] {
        let row: &[AtomicU32; SLOTS] =
            self.cells[(cell as usize - 1) * SLOTS..][..SLOTS].try_into().expect("a row of four");
        std::array::from_fn(|slot| row[slot].load(Ordering::Relaxed))
    }

    /// Marks what the roots reach; a bit for each cell number.
    pub(super) fn mark(&self, batch: usize) -> Vec<u64> {
        let mut marks = vec![0_u64; self.graph.objects() as usize / 64 + 1];
        marks[0] = 1; // the number of an empty slot counts as marked, which saves the test for it
        let mut pending: Vec<u32> = Vec::with_capacity(1 << 20);
        for root in self.graph.roots() {
            visit(&mut marks, &mut pending, root + 1);
        }
        let mut rows: Vec<[u32; SLOTS]> = Vec::with_capacity(batch);
        while !pending.is_empty() {
            let taken = pending.split_off(pending.len().saturating_sub(batch));
            rows.clear();
            rows.extend(taken.iter().map(|cell| self.row(*cell)));
            for target in rows.iter().flatten() {
                visit(&mut marks, &mut pending, *target);
            }
        }
        marks
    }
}

fn visit(marks: &mut [u64], pending: &mut Vec<u32>, cell: u32) {
    let (word, bit) = (cell as usize / 64, 1 << (cell % 64));
    if marks[word] & bit == 0 {
        marks[word] |= bit;
        pending.push(cell);
    }
}

/// See the module.
///
/// # Errors
///
/// A heap, a strategy or a node that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let graph = Graph::new(arguments.objects);
    let facts = graph.facts();
    let cells = Cells::build(graph)?;
    for _ in 0..arguments.collections {
        let (marks, spent) = spent(|| black_box(cells.mark(usize::from(arguments.batch))));
        let survivors = marks.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() - 1;
        println!("{}", Collection::new("limit", graph, facts, Some(survivors), spent).to_line());
    }
    Ok(())
}
