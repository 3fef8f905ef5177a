//! How long mutators are held up: two of them on the peer graph, a node that collects with `tracing`, and a swap in the middle. Prints JSON lines.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::graph::{Graph, ROOTS, SLOTS};
use crate::on_heap;
use clap::Args;
use gc_heap::{Heap, HoldupsBy, Mutator};
use gc_node::Node;

/// Measures how long mutators are held up.
#[derive(Args)]
pub struct Arguments {
    /// Number of objects
    #[arg(default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    objects: u32,
    /// Seconds before the swap, and again after it
    #[arg(default_value_t = 10)]
    seconds: u64,
}

/// Objects that a walk goes through before it allocates.
const DEPTH: u32 = 6;
/// Slots that walks follow. They stay as they were built, so walks end at the same objects all the time.
const FOLLOWED: u64 = SLOTS as u64 - 1;

/// One walk from a root, at whose end a new object that refers back takes the place of the last reference.
///
/// An object where walks end keeps at most one of the new ones, and nothing else refers to it: the live part does not grow for ever, and what is
/// replaced is garbage at once.
fn walk(mutator: &mut Mutator, random: &mut u64) -> Result<u64, gc_heap::HeapError> {
    mutator.scope(|scope| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let Some(roots) = scope.root("roots") else { return Ok(0) };
        let Some(mut object) = scope.load(roots, (*random % u64::from(ROOTS)) as u32)? else { return Ok(1) };
        for step in 0..DEPTH {
            let slot = (*random >> (10 + 8 * step) & 0xff) % FOLLOWED;
            object = scope.load(object, slot as u32)?.unwrap_or(object);
        }
        let fresh = scope.alloc(&[Some(object)], b"payload")?;
        scope.store(object, FOLLOWED as u32, Some(fresh))?;
        Ok(u64::from(DEPTH) + 4)
    })
}

fn mutate(
    heap: &Heap,
    seed: u64,
    stop: &AtomicBool,
    operations: &AtomicU64,
) -> Result<(), gc_heap::HeapError> {
    let mut mutator = heap.mutator();
    let mut random = seed;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            operations.fetch_add(walk(&mut mutator, &mut random)?, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn report(what: &str, heap: &Heap, operations: u64, more: &str) {
    let held = heap.take_holdups();
    let causes: Vec<String> = held.causes.iter().filter(|by| by.count > 0).map(cause).collect();
    println!(
        "{{\"what\":\"{what}\",\"operations\":{operations},\"held_up\":{},\"p50_ns\":{},\"p99_ns\":{},\"p999_ns\":{},\"max_ns\":{},\"causes\":[{}]{more}}}",
        held.count,
        held.p50_ns,
        held.p99_ns,
        held.p999_ns,
        held.max_ns,
        causes.join(",")
    );
}

/// Where the time on the wall is much longer than that in which the thread was running, and the cause waits for nobody, the kernel had put the mutator
/// aside.
fn cause(by: &HoldupsBy) -> String {
    format!(
        "{{\"cause\":\"{}\",\"count\":{},\"sum_ns\":{},\"max_ns\":{},\"max_running_ns\":{}}}",
        by.cause.word(),
        by.count,
        by.sum_ns,
        by.max_ns,
        by.max_running_ns
    )
}

/// See the module.
///
/// # Errors
///
/// A heap, a strategy or a node that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let graph = Graph::new(arguments.objects);
    let heap = on_heap::heap_config(graph, arguments.objects);
    let node = Node::builder().strategy("tracing").heap(heap).start()?;
    let heap = node.heap().clone();
    on_heap::build(graph, &heap)?;
    let (stop, operations) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| -> Result<(), Box<dyn Error>> {
        let workers: Vec<_> = (1..3)
            .map(|seed| {
                threads.spawn({
                    let (heap, stop, operations) = (&heap, &stop, &operations);
                    move || mutate(heap, seed * 77, stop, operations)
                })
            })
            .collect();
        let driven = drive(&node, &heap, &operations, Duration::from_secs(arguments.seconds));
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().map_err(|_| "a mutator panicked")??;
        }
        driven
    })?;
    node.shutdown();
    Ok(())
}

fn drive(node: &Node, heap: &Heap, operations: &AtomicU64, span: Duration) -> Result<(), Box<dyn Error>> {
    let _ = heap.take_holdups();
    work_for(span, "tracing", heap, operations);
    let begun = Instant::now();
    node.swap("mark-sweep")?;
    let took = begun.elapsed();
    let attach = attach(heap)?;
    let more = format!(",\"swap_ns\":{},\"attach_ns\":{}", took.as_nanos(), attach.as_nanos());
    report("swap", heap, operations.swap(0, Ordering::Relaxed), &more);
    node.swap("tracing")?;
    work_for(span, "after", heap, operations);
    Ok(())
}

/// Lets the mutators work. Cycles begin as in any node: by the pacer.
fn work_for(span: Duration, what: &str, heap: &Heap, operations: &AtomicU64) {
    let before = heap.stats().cycles_total;
    std::thread::sleep(span);
    let cycles = heap.stats().cycles_total - before;
    report(what, heap, operations.swap(0, Ordering::Relaxed), &format!(",\"cycles\":{cycles}"));
}

/// How long it takes from compiled code in the cache to an instance that is attached to the heap.
fn attach(heap: &Heap) -> Result<Duration, Box<dyn Error>> {
    let cache = std::env::temp_dir().join(format!("host-pauses-{}", std::process::id()));
    let builtin = gc_builtin::find("tracing").ok_or("no built-in strategy is called tracing")?;
    let mut took = Duration::ZERO;
    // The first time fills the cache.
    for _ in 0..2 {
        let config =
            gc_plugin::LoaderConfig { cache_dir: Some(cache.clone()), ..gc_plugin::LoaderConfig::default() };
        let loader = gc_plugin::Loader::new(config)?;
        let begun = Instant::now();
        let loaded = loader.load(builtin.bytes.to_vec(), "tracing")?;
        let strategy = loaded.attach(heap.graph(), &BTreeMap::new(), gc_plugin::Access::Window)?;
        took = begun.elapsed();
        drop(strategy);
    }
    std::fs::remove_dir_all(&cache)?;
    Ok(took)
}
