//! `host collect`: a cycle at once.

use anyhow::bail;
use gc_node::{Answer, CycleRecord, Request};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units::{bytes, count, nanoseconds};

/// Run a cycle on the running node and wait for its end.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  host collect\n  host collect --dry-run --json")]
pub(crate) struct Args {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.connection.ask(&Request::Collect { dry_run: args.dry_run })? {
        Answer::Collect(cycle) if args.connection.json => output::json(&cycle),
        Answer::Collect(cycle) => tell(&cycle),
        other => unexpected(&other),
    }
}

fn tell(cycle: &CycleRecord) -> anyhow::Result<()> {
    if let Some(reason) = &cycle.reason {
        bail!(
            "cycle {} of {} {}: {reason}: nothing was freed; `host status` shows who serves now",
            cycle.cycle,
            cycle.strategy,
            cycle.outcome
        );
    }
    let verb = if cycle.outcome == "dry-run" { "would condemn" } else { "condemned" };
    output::line(format!(
        "cycle {}: {} {verb} {} objects ({}), {} live on, in {}",
        cycle.cycle,
        cycle.strategy,
        count(cycle.condemned_objects),
        bytes(cycle.condemned_bytes),
        count(cycle.live_objects),
        nanoseconds(cycle.total_ns)
    ))
}
