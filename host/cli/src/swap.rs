//! `host swap`: another strategy for the running node.

use std::path::PathBuf;

use anyhow::Context;
use gc_node::{Answer, Request, ShadowSide, ShadowSummary, StrategySource, SwapReport};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::status::with;
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
    /// Replace it on all nodes of the cluster: all rehearse it, then all take it, or none does
    #[arg(long, conflicts_with = "shadow")]
    cluster: bool,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  host swap refcount
  host swap tracing --cluster
  host swap ./my-collector.wasm --cluster --set depth=3
  host swap ./my-collector.wasm --set depth=3
  host swap epoch --shadow 10            what it would have freed, and when, against the present one";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let (name, path) = match StrategySource::from(args.strategy.as_str()) {
        StrategySource::File(path) => (None, Some(absolute(path)?)),
        _ => (Some(args.strategy.clone()), None),
    };
    let options = args.set.iter().cloned().collect();
    if args.cluster {
        return swap_all(&args.connection, &Request::SwapCluster { name, path, options });
    }
    match args.connection.ask(&Request::Swap { name, path, options, shadow: args.shadow })? {
        Answer::Swap(report) if args.connection.json => output::json(&report),
        Answer::Swap(report) => tell(&report),
        other => unexpected(&other),
    }
}

fn swap_all(connection: &Connection, request: &Request) -> anyhow::Result<()> {
    match connection.ask(request)? {
        Answer::SwapCluster(report) if connection.json => output::json(&report),
        Answer::SwapCluster(report) => output::line(format!(
            "all nodes take {}#{}{} at their next cycle boundary: swap {} of the cluster",
            report.strategy,
            gc_node::short(&report.digest),
            with(&report.options),
            report.generation
        )),
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
    for line in table(&report.serving.name, &report.candidate.name, shadow) {
        output::line(line)?;
    }
    Ok(())
}

/// Both sides of a shadow run, measure by measure.
fn table(serving: &str, candidate: &str, shadow: &ShadowSummary) -> Vec<String> {
    let cycles = u64::from(shadow.cycles.max(1));
    let per_cycle = |ns: u64| units::nanoseconds(ns / cycles);
    let sides = |of: &dyn Fn(&ShadowSide) -> String| (of(&shadow.serving), of(&shadow.shadow));
    let counts = |of: &dyn Fn(&ShadowSide) -> u64| sides(&|side| units::count(of(side)));
    let known = |value: Option<u64>, show: fn(u64) -> String| value.map_or("-".into(), show);
    let mark = (per_cycle(shadow.serving_mark_ns), per_cycle(shadow.shadow_mark_ns));
    let rows = [
        ("", (serving.to_owned(), candidate.to_owned())),
        ("found dead (cells)", counts(&|side| side.cells)),
        ("  before the other did", counts(&|side| side.earlier_cells)),
        ("lag from death, p50", sides(&|side| known(side.lag_ns_p50, units::nanoseconds))),
        ("lag from death, p99", sides(&|side| known(side.lag_ns_p99, units::nanoseconds))),
        ("floating garbage, mean", sides(&|side| known(side.floating_bytes_mean, units::bytes))),
        ("floating garbage, most", sides(&|side| units::bytes(side.floating_bytes_max))),
        ("time per cycle", mark),
        ("its own memory", sides(&|side| units::bytes(side.memory_bytes))),
        ("crossings per cycle", counts(&|side| side.crossings / cycles)),
        ("fuel per cycle", sides(&|side| known(side.fuel.map(|fuel| fuel / cycles), units::count))),
    ];
    let mut lines: Vec<String> =
        rows.iter().map(|(what, (a, b))| format!("  {what:<26}{a:>16}{b:>16}")).collect();
    if shadow.missed_cells > 0 {
        lines.push(format!(
            "  {serving} freed {} cells before {candidate} had found them; they count as garbage of {candidate} to the end: at most so much",
            units::count(shadow.missed_cells)
        ));
    }
    lines.push("  garbage that neither has found is in none of these figures".into());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_both_sides_and_says_what_is_not_known() {
        let side = |cells| ShadowSide { cells, lag_ns_p50: Some(2_500_000), ..ShadowSide::default() };
        let mut shadow = ShadowSummary { cycles: 2, serving_mark_ns: 4000, ..ShadowSummary::default() };
        (shadow.serving, shadow.shadow, shadow.missed_cells) = (side(1234), side(1000), 234);
        let lines = table("tracing", "refcount", &shadow);
        let row =
            |what: &str| lines.iter().find(|line| line.contains(what)).unwrap().split_whitespace().rev();
        let last = |what: &str, count| row(what).take(count).collect::<Vec<_>>();
        assert_eq!(last("found dead", 2), ["1,000", "1,234"]);
        assert_eq!(last("death, p50", 4), ["ms", "2.5", "ms", "2.5"]);
        assert_eq!(last("fuel", 2), ["-", "-"]);
        assert_eq!(last("time per cycle", 4), ["ns", "0", "us", "2.0"]);
        assert!(
            lines.iter().any(|line| line.contains("234 cells before refcount had found them")),
            "{lines:?}"
        );
    }
}
