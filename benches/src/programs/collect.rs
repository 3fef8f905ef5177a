//! Ours in the comparison with other collectors: a whole cycle (handshakes, mark in Wasm through the window, proof, condemning, freeing) on the peer
//! graph. Prints the lines that `peers/run --ours` reads; with `--parts` the parts of each cycle as JSON lines instead.

use std::error::Error;

use crate::clock::spent;
use crate::collection::Collection;
use crate::graph::Graph;
use crate::on_heap;
use clap::Args;
use gc_heap::{Cause, Collector, CycleEnd, CycleRequest, Heap, Pace};
use gc_plugin::Access;

/// Collects the peer graph in our heap.
#[derive(Args)]
pub struct Arguments {
    /// Built-in strategy
    #[arg(long, default_value = "mark-sweep")]
    strategy: String,
    /// Read the graph in batches instead of through the window
    #[arg(long)]
    portable: bool,
    /// Print what each part of the cycle took
    #[arg(long)]
    parts: bool,
    /// Number of objects
    #[arg(default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    objects: u32,
    /// Number of timed collections
    #[arg(default_value_t = 1)]
    collections: u32,
}

/// See the module.
///
/// # Errors
///
/// A heap, a strategy or a node that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let graph = Graph::new(arguments.objects);
    let facts = graph.facts();
    let heap = Heap::new(on_heap::heap_config(graph, 0))?;
    let access = if arguments.portable { Access::Portable } else { Access::Window };
    let (_loader, mut strategy) = on_heap::attach(&arguments.strategy, &heap, access)?;
    let mut collector = Collector::new(&heap);
    // Once for nothing: the memory of a heap that has been in use is there, as the peers' is (theirs is touched before the clock starts too).
    on_heap::build(graph, &heap)?;
    for _ in 0..arguments.collections {
        on_heap::drop_graph(&heap, &mut collector, &mut strategy)?;
        on_heap::build(graph, &heap)?;
        let request = CycleRequest::new(Cause::Request);
        let (report, spent) = spent(|| collector.run(&request, &mut strategy, None, &mut |_| Pace::Go));
        if report.end != CycleEnd::Settled {
            return Err(format!("the cycle ended otherwise than it should: {:?}", report.end).into());
        }
        // The holder of the roots is an object too, and the peers' is not counted.
        let survivors = report.live_objects - 1;
        if arguments.parts {
            let part = |name: &str, ns: u64| format!("\"{name}_ns\":{ns}");
            let parts = [
                part("mark", report.mark_ns),
                part("proof", report.proof_ns),
                part("reclaim", report.reclaim_ns),
                part("handshake", report.handshake_ns),
                part("total", report.total_ns),
            ];
            println!(
                "{{{},\"live\":{survivors},\"committed_bytes\":{}}}",
                parts.join(","),
                heap.stats().committed_bytes
            );
        } else {
            println!("{}", Collection::new("ours", graph, facts, Some(survivors), spent).to_line());
        }
    }
    Ok(())
}
