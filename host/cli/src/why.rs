//! `host why`: why an object is alive, or which decision freed it.

use gc_node::{Answer, Request, WhyRecord};

use crate::Usage;
use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units::count;

/// Say why an object is alive (a path from a root to it), or which decision freed it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The object's handle, as `host status` and `host collect --dry-run` show it
    #[arg(value_name = "HANDLE")]
    handle: String,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  host status                   the named roots, with the handles of what they hold
  host collect --dry-run        what would go, with some handles of it
  host why n0.1:4711.0

A program that embeds a node has the handle of every object it holds: Scope::handle, Heap::named_roots.";

/// References of a path that are shown at each end.
const SHOWN: usize = 10;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    args.handle.parse::<gc_heap::Handle>().map_err(|error| Usage(error.to_string()))?;
    match args.connection.ask(&Request::Why { handle: args.handle.clone() })? {
        Answer::Why(why) if args.connection.json => output::json(&why),
        Answer::Why(why) => tell(&why),
        other => unexpected(&other),
    }
}

fn tell(why: &WhyRecord) -> anyhow::Result<()> {
    output::line(&why.text)?;
    let hidden = why.path.len().saturating_sub(2 * SHOWN);
    for (at, object) in why.path.iter().enumerate() {
        if at < SHOWN || at >= SHOWN + hidden {
            output::line(format!("  {} {object}", if at == 0 { "root" } else { "  ->" }))?;
        } else if at == SHOWN {
            output::line(format!("     … {} more", count(hidden as u64 + why.left_out)))?;
        }
    }
    Ok(())
}
