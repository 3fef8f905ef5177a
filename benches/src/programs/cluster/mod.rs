//! What several nodes cost on loopback. Each part prints JSON lines, one per round.

mod dropped;
mod echo;
mod nodes;
mod references;
mod ring;
mod scratch;
mod tables;

use std::error::Error;

use clap::{Args, Subcommand};

/// Measures links, remote references, their tables, and cycles over nodes.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    Echo(echo::Arguments),
    References(references::Arguments),
    Dropped(dropped::Arguments),
    Ring(ring::Arguments),
    Tables(tables::Arguments),
}

/// See the module.
///
/// # Errors
///
/// A node or a link that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    match &arguments.part {
        Part::Echo(arguments) => echo::run(arguments),
        Part::References(arguments) => references::run(arguments),
        Part::Dropped(arguments) => dropped::run(arguments),
        Part::Ring(arguments) => ring::run(arguments),
        Part::Tables(arguments) => tables::run(arguments),
    }
}
