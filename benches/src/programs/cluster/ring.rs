//! A garbage cycle over three nodes in one process: from the request for a cycle over nodes until it is condemned everywhere. Prints a JSON line per
//! round.
//!
//! Every round makes a ring that passes so many times through each node, while the tree of live cells stays.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use gc_heap::HeapError;
use gc_node::Node;

use super::nodes::{cluster, settle, start, stop, wait};
use super::scratch::Scratch;

const NODES: usize = 3;
/// Requests for a cycle in one round. One is enough unless a vote went against it.
const TRIES: u32 = 10;

/// A garbage cycle over three nodes until it is condemned.
#[derive(Args)]
pub(super) struct Arguments {
    /// Number of rounds
    #[arg(default_value_t = 9)]
    rounds: u32,
    /// Live cells of each node
    #[arg(default_value_t = 100_000)]
    cells: usize,
    /// How often the ring passes through each node
    #[arg(default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=4000))]
    passes: u16,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut scratch = Scratch::new()?;
    let nodes = start(&mut scratch, NODES, arguments.cells)?;
    for round in 0..=arguments.rounds {
        let line = once(&nodes, usize::from(arguments.passes))?;
        if round > 0 {
            println!("{line}");
        }
    }
    stop(nodes);
    Ok(())
}

fn once(nodes: &[Node], passes: usize) -> Result<String, Box<dyn Error>> {
    nodes.iter().try_for_each(|node| node.collect().map(drop))?;
    let before = live(nodes);
    link(nodes, passes)?;
    settle(nodes)?;
    // Alone each keeps its part: the others hold it.
    nodes.iter().try_for_each(|node| node.collect().map(drop))?;
    let least = |(with, without): (u64, &u64)| with >= without + passes as u64;
    if !live(nodes).into_iter().zip(&before).all(least) {
        return Err("the ring is not there".into());
    }

    let begun = Instant::now();
    let mut tries = 0;
    let record = loop {
        tries += 1;
        let record = cluster(&nodes[0])?.collect()?;
        match record.ending.as_str() {
            "swept" => break record,
            ending if tries == TRIES => return Err(format!("no cycle was swept: {ending}").into()),
            _ => {}
        }
    };
    wait("a ring that is condemned everywhere", || Ok(live(nodes) == before))?;
    let took = begun.elapsed();
    let here = record.here.map(|here| here.total_ns).unwrap_or_default();
    Ok(format!(
        "{{\"took_ns\":{},\"tries\":{tries},\"cycle_ns\":{:.0},\"here_ns\":{here}}}",
        took.as_nanos(),
        record.duration_s * 1e9
    ))
}

fn live(nodes: &[Node]) -> Vec<u64> {
    nodes.iter().map(|node| node.status(0).heap.live_objects).collect()
}

/// Makes the ring, and lets go of it: the parts of a node refer to those of the next, and the last node's each to the one after it on the first.
fn link(nodes: &[Node], passes: usize) -> Result<(), Box<dyn Error>> {
    for (at, node) in nodes.iter().enumerate() {
        let before = cluster(&nodes[(at + NODES - 1) % NODES])?.me().number;
        node.mutator().scope(|scope| {
            let parts: Vec<_> = (0..passes)
                .map(|_| scope.alloc(&[None], b"part").map(Some))
                .collect::<Result<_, HeapError>>()?;
            scope.set_root("parts", Some(scope.alloc(&parts, b"")?));
            let handles: Vec<_> = parts.iter().flatten().map(|&part| scope.handle(part)).collect();
            cluster(node)?.send(before, &handles, b"refer to these")?;
            Ok::<_, Box<dyn Error>>(())
        })?;
    }
    for (at, node) in nodes.iter().enumerate() {
        let came = cluster(node)?.receive(Duration::from_secs(60))?.ok_or("nothing came")?;
        let skip = usize::from(at + 1 == NODES);
        node.mutator().scope(|scope| {
            let parts = scope.root("parts").ok_or("the parts are gone")?;
            for (part, pin) in (0..).zip(came.references.iter().cycle().skip(skip).take(passes)) {
                let next = scope.pinned(pin.as_ref().ok_or("a part is gone")?);
                let part = scope.load(parts, part)?.ok_or("a part is missing")?;
                scope.store(part, 0, Some(next))?;
            }
            scope.set_root("parts", None);
            Ok::<_, Box<dyn Error>>(())
        })?;
    }
    Ok(())
}
