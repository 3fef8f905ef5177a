//! `host collect`: a cycle at once, over all nodes where the node is in a cluster.

use anyhow::bail;
use gc_node::{Answer, CycleRecord, OverRecord, Request, WithoutRecord};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units::{bytes, count, nanoseconds};

/// Run a cycle on the running node and wait for its end. In a cluster it is a cycle over all nodes, which also finds garbage that spans them if the
/// strategy marks over nodes, as `tracing` does.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only say what would go, with the handles of some of it
    #[arg(long)]
    dry_run: bool,
    /// In a cluster: a cycle of this node alone
    #[arg(long)]
    local: bool,
    /// With --dry-run: say what would go on each of the other nodes if this one were gone
    #[arg(long, value_name = "NAME", requires = "dry_run", conflicts_with = "local")]
    without: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  host collect
  host collect --dry-run --json
  host collect --dry-run --without n3";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let request =
        Request::Collect { dry_run: args.dry_run, local: args.local, without: args.without.clone() };
    match args.connection.ask(&request)? {
        Answer::Collect(cycle) if args.connection.json => output::json(&cycle),
        Answer::Collect(cycle) => tell(&cycle),
        Answer::Over(over) if args.connection.json => output::json(&over),
        Answer::Over(over) => tell_over(&over),
        Answer::Without(record) if args.connection.json => output::json(&record),
        Answer::Without(record) => tell_without(&record),
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
    ))?;
    for handle in &cycle.would_condemn {
        output::line(format!("  {handle}"))?;
    }
    match cycle.condemned_objects.saturating_sub(cycle.would_condemn.len() as u64) {
        more if more > 0 && !cycle.would_condemn.is_empty() => {
            output::line(format!("  … {} more", count(more)))
        }
        _ => Ok(()),
    }
}

fn tell_over(over: &OverRecord) -> anyhow::Result<()> {
    if over.ending != "swept" {
        bail!(
            "cycle {} over all nodes came to nothing ({}): nothing was freed that other nodes hold; look at `host cluster status`, and ask again",
            over.cycle,
            over.ending
        );
    }
    output::line(format!("cycle {} over all nodes: swept", over.cycle))?;
    over.here.as_deref().map_or(Ok(()), tell)
}

fn tell_without(record: &WithoutRecord) -> anyhow::Result<()> {
    for node in &record.nodes {
        output::line(match &node.unknown {
            Some(why) => format!("{}: unknown: {why}", node.node),
            None => format!(
                "{}: {} objects ({}) would go, which nothing but {} keeps; it alone holds {} there",
                node.node,
                count(node.objects),
                bytes(node.bytes),
                record.without,
                count(node.held)
            ),
        })?;
    }
    output::line("on other nodes, what only those objects lead to would go after them")?;
    output::line(format!("nothing was changed; `host cluster exile {}` does it", record.without))
}
