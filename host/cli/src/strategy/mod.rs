//! `host strategy`: everything about strategies that needs no running node.

mod check;
mod extract;
mod inspect;
mod list;
mod new;

use clap::Subcommand;
use gc_node::StrategySource;
use gc_plugin::{LoadedStrategy, Loader, LoaderConfig};
use std::sync::Arc;

/// Work with strategies.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the built-in strategies.
    List(list::Args),
    /// Show what a strategy is and needs: world, version, digest, needs, promise, options, size.
    Inspect(inspect::Args),
    /// Write a built-in strategy to a file.
    Extract(extract::Args),
    /// Write a crate with a strategy of your own.
    New(new::Args),
    /// Run the conformance kit on a strategy: safety, completeness, determinism, hostile graphs.
    Check(check::Args),
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(args) => list::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Extract(args) => extract::run(&args),
        Command::New(args) => new::run(&args),
        Command::Check(args) => check::run(&args),
    }
}

/// Loads strategies one after the other; compiled code is kept between runs where there is a place for it.
fn loader() -> anyhow::Result<Loader> {
    let config = LoaderConfig { cache_dir: crate::run::default_cache(), ..LoaderConfig::default() };
    // A cache that cannot be used is no reason to show nothing.
    Ok(Loader::new(config).or_else(|_| Loader::new(LoaderConfig::default()))?)
}

fn load(loader: &Loader, source: &StrategySource) -> anyhow::Result<Arc<LoadedStrategy>> {
    Ok(loader.load(gc_node::read(source)?, &source.label())?)
}
