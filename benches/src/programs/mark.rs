//! Marking through the window, in Wasm, against the very same algorithm (the SDK's marker, from the same source) compiled natively into this process: on
//! one heap, in turn, in steps of the same size. And against the fastest native marking that we know of (`limit`), on the same graph in a column of its own.
//! Prints a JSON line per round.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use crate::graph::Graph;
use crate::on_heap;
use crate::programs::limit;
use clap::Args;
use gc_heap::{Cause, CycleInfo, Heap, Progress, Strategy};
use gc_plugin::Access;
use gc_sdk::graph::Columns;
use gc_sdk::{Marker, Shape};

/// Marks the peer graph through the window and natively, in turn.
#[derive(Args)]
pub struct Arguments {
    /// Number of objects
    #[arg(default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    objects: u32,
    /// Number of rounds
    #[arg(default_value_t = 9)]
    rounds: u32,
    /// Cells per step
    #[arg(long, default_value_t = 50_000)]
    budget: u32,
}

/// See the module.
///
/// # Errors
///
/// A heap, a strategy or a node that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let graph = Graph::new(arguments.objects);
    let heap = Heap::new(on_heap::heap_config(graph, 0))?;
    on_heap::build(graph, &heap)?;
    let roots = holder_of_roots(&heap)?;
    let (_loader, mut strategy) = on_heap::attach("mark-sweep", &heap, Access::Window)?;
    let cells = limit::Cells::build(graph)?;
    let mut marker = Marker::new(Shape { capacity: heap.graph().capacity() });
    for round in 0..=arguments.rounds {
        let (native, marked) = natively(&heap, &mut marker, roots, arguments.budget);
        let window = through_window(&heap, &mut strategy, roots, arguments.budget)?;
        let limit = at_the_limit(&cells);
        if round > 0 {
            // The first round touches memory for the others.
            println!(
                "{{\"native_ns\":{native},\"window_ns\":{window},\"limit_ns\":{limit},\"marked\":{marked},\"pages\":\"{:?}\"}}",
                strategy.pages()
            );
        }
    }
    Ok(())
}

fn holder_of_roots(heap: &Heap) -> Result<u32, Box<dyn Error>> {
    let named = heap.named_roots();
    let (_, handle) = named.first().ok_or("the graph has no root")?;
    Ok(handle.cell)
}

fn natively(heap: &Heap, marker: &mut Marker, root: u32, budget: u32) -> (u128, u32) {
    let graph = heap.graph();
    let columns = Columns {
        cells: graph.cells(),
        allocated: graph.allocated(),
        young: graph.young(),
        stub: graph.stub(),
    };
    marker.clear();
    let begun = Instant::now();
    marker.add(&[root]);
    while marker.run(&columns, budget) == gc_sdk::Progress::More {}
    let took = begun.elapsed().as_nanos();
    let marked = black_box(marker.survivors()).iter().map(|word| word.count_ones()).sum();
    (took, marked)
}

fn at_the_limit(cells: &limit::Cells) -> u128 {
    let begun = Instant::now();
    black_box(cells.mark(limit::BATCH.into()));
    begun.elapsed().as_nanos()
}

fn through_window(
    heap: &Heap,
    strategy: &mut dyn Strategy,
    root: u32,
    budget: u32,
) -> Result<u128, Box<dyn Error>> {
    let capacity = heap.graph().capacity();
    strategy.begin(&CycleInfo {
        number: 1,
        cause: Cause::Request,
        rebuild: true,
        allocated_cells: capacity,
        goal_cells: capacity,
        safe_grace_epoch: 0,
    })?;
    let begun = Instant::now();
    strategy.roots(&[root])?;
    while strategy.step(budget)? == Progress::More {}
    let took = begun.elapsed().as_nanos();
    black_box(strategy.finish()?);
    Ok(took)
}
