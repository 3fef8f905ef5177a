//! From a reference that is dropped to the object on another node that only it held: two nodes in one process. Prints a JSON line per round.
//!
//! ```text
//!  holder:  pin dropped ─ cycle ─▶ stub freed ─┐ batch interval
//!  home:                                       └──▶ not held any more ─ cycle ─▶ reclaimed
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use gc_heap::{Handle, Pin, Why};
use gc_node::Node;
use gc_protocol::{Config, Life};

use super::nodes::{cluster, settle, start, stop, wait};
use super::scratch::Scratch;

/// From a dropped remote reference to its object reclaimed.
#[derive(Args)]
pub(super) struct Arguments {
    /// Number of rounds
    #[arg(default_value_t = 25)]
    rounds: u32,
    /// Live cells of each node
    #[arg(default_value_t = 100_000)]
    cells: usize,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut scratch = Scratch::new()?;
    let nodes = start(&mut scratch, 2, arguments.cells)?;
    let batch = Duration::from_nanos(Config::new(Life::new(1, 1), 0, 0).link.flush_after);
    for round in 0..=arguments.rounds {
        let line = once(&nodes, batch)?;
        if round > 0 {
            println!("{line}");
        }
    }
    stop(nodes);
    Ok(())
}

fn once(nodes: &[Node], batch: Duration) -> Result<String, Box<dyn Error>> {
    let [home, holder] = nodes else { return Err("it takes two nodes".into()) };
    let (handle, held) = hand_over(home, holder)?;
    settle(nodes)?;
    // What a cycle of the home costs when there is nothing to hear of.
    let begun = Instant::now();
    home.collect()?;
    let alone = begun.elapsed();
    let round_trip = round_trip(home)?;
    if !matches!(home.why(handle), Why::Alive { .. }) {
        return Err("the object is not held for the other node".into());
    }

    drop(held);
    let dropped = Instant::now();
    holder.collect()?;
    let freed = Instant::now();
    let home_cluster = cluster(home)?;
    let listed = || Ok(home_cluster.status()?.members.iter().any(|member| member.scions > 0));
    wait("an object that nobody holds", || listed().map(|listed: bool| !listed))?;
    let told = freed.elapsed();
    home.collect()?;
    let reclaimed = freed.elapsed();
    if matches!(home.why(handle), Why::Alive { .. }) {
        return Err("the object was not reclaimed".into());
    }
    Ok(format!(
        "{{\"whole_ns\":{},\"told_ns\":{},\"reclaimed_ns\":{},\"batch_ns\":{},\"round_trip_ns\":{},\"cycle_ns\":{}}}",
        dropped.elapsed().as_nanos(),
        told.as_nanos(),
        reclaimed.as_nanos(),
        batch.as_nanos(),
        round_trip.as_nanos(),
        alone.as_nanos()
    ))
}

/// An object of one node that only the other holds.
fn hand_over(home: &Node, holder: &Node) -> Result<(Handle, Pin), Box<dyn Error>> {
    let to = cluster(holder)?.me().number;
    let handle = home.mutator().scope(|scope| {
        let object = scope.alloc(&[], b"held elsewhere")?;
        cluster(home)?.send(to, &[scope.handle(object)], b"")?;
        Ok::<_, Box<dyn Error>>(scope.handle(object))
    })?;
    let came = cluster(holder)?.receive(Duration::from_secs(60))?.ok_or("nothing came")?;
    let pin = came.references.into_iter().next().flatten().ok_or("what came is gone")?;
    Ok((handle, pin))
}

fn round_trip(node: &Node) -> Result<Duration, Box<dyn Error>> {
    let members = cluster(node)?.status()?.members;
    let seconds = members.iter().find_map(|member| member.round_trip_s).ok_or("there is no connection")?;
    Ok(Duration::from_secs_f64(seconds))
}
