//! `host strategy list`: the built-in strategies.

use gc_node::{Hold, StrategySource, short};
use serde::Serialize;

use crate::output;
use crate::strategy::{load, loader};
use crate::units;

/// List the built-in strategies.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  host strategy list\n  host strategy list --json | jq -r .name")]
pub(crate) struct Args {
    /// Print one JSON object per strategy
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    name: String,
    version: String,
    digest: String,
    size_bytes: usize,
    summary: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let loader = loader()?;
    for builtin in gc_builtin::all() {
        let loaded = load(&loader, &StrategySource::Named(builtin.name.into()))?;
        let description = loaded.description();
        show(
            args,
            &Line {
                name: builtin.name.into(),
                version: description.version.clone(),
                digest: loaded.digest().into(),
                size_bytes: builtin.bytes.len(),
                summary: description.summary.clone(),
            },
        )?;
    }
    show(
        args,
        &Line {
            name: Hold::NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            digest: "native".into(),
            size_bytes: 0,
            summary: "Frees nothing: part of the host, for when no sound strategy is left.".into(),
        },
    )
}

fn show(args: &Args, line: &Line) -> anyhow::Result<()> {
    if args.json {
        return output::json(line);
    }
    let size = if line.size_bytes == 0 { "-".into() } else { units::bytes(line.size_bytes as u64) };
    output::line(format!(
        "{:<11} {:<7} {:<8}  {size:>8}  {}",
        line.name,
        line.version,
        short(&line.digest),
        line.summary
    ))
}
