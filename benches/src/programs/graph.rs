//! Prints the facts of the peer graph of a given size, as one line of JSON: what every program that builds it must agree on.

use std::error::Error;

use crate::graph::Graph;
use clap::Args;

/// Prints objects, edges, fingerprint and live count of the peer graph.
#[derive(Args)]
pub struct Arguments {
    /// Number of objects
    #[arg(default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    objects: u32,
}

/// See the module.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let objects = arguments.objects;
    let facts = Graph::new(objects).facts();
    println!(
        "{{\"objects\":{objects},\"edges\":{},\"fingerprint\":\"{:016x}\",\"live\":{}}}",
        facts.edges, facts.fingerprint, facts.live
    );
    Ok(())
}
