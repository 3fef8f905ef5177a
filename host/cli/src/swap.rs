//! `host swap`: another strategy for the running node.

use std::path::PathBuf;

use anyhow::Context;
use gc_node::{Answer, Request, StrategySource, SwapReport};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units;

/// Replace the strategy of the running node while its mutators run. The new one is loaded and compiled aside, rehearsed (a cycle whose verdict must
/// pass the proof), and takes over between two cycles. If it fails within its probation, the old one comes back.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A built-in strategy (see `host strategy list`), or the path of a component
    #[arg(value_name = "NAME|PATH")]
    strategy: String,
    /// Do not replace: run it beside the present one for N cycles and compare
    #[arg(long, value_name = "N")]
    shadow: Option<u32>,
    /// Set an option of the new strategy
    #[arg(long, value_name = "OPTION=VALUE", value_parser = crate::config::setting)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  host swap refcount
  host swap ./my-collector.wasm --set depth=3
  host swap epoch --shadow 10";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (name, path) = match StrategySource::from(args.strategy.as_str()) {
        StrategySource::File(path) => (None, Some(absolute(path)?)),
        _ => (Some(args.strategy.clone()), None),
    };
    let options = args.set.iter().cloned().collect();
    match args.connection.ask(&Request::Swap { name, path, options, shadow: args.shadow })? {
        Answer::Swap(report) if args.connection.json => output::json(&report),
        Answer::Swap(report) => tell(&report),
        other => unexpected(&other),
    }
}

/// The node has a folder of its own.
fn absolute(path: PathBuf) -> anyhow::Result<PathBuf> {
    std::path::absolute(&path)
        .with_context(|| format!("cannot make {} absolute: give a full path", path.display()))
}

fn tell(report: &SwapReport) -> anyhow::Result<()> {
    let Some(shadow) = &report.shadow else {
        return output::line(format!(
            "{} serves, on probation for {} cycles",
            report.serving, report.probation_cycles
        ));
    };
    output::line(format!("{} ran beside {} for {} cycles", report.candidate, report.serving, shadow.cycles))?;
    for (what, cells) in [
        ("both would free", shadow.both_cells),
        ("only the shadow would free", shadow.only_shadow_cells),
        ("only the serving one frees", shadow.only_serving_cells),
    ] {
        output::line(format!("  {what:<27} {:>14} cells", units::count(cells)))?;
    }
    let each = |ns: u64| units::nanoseconds(ns / u64::from(shadow.cycles.max(1)));
    output::line(format!(
        "  time in the strategy, per cycle: shadow {}, serving {}",
        each(shadow.shadow_mark_ns),
        each(shadow.serving_mark_ns)
    ))
}
