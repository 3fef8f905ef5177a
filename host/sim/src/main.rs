//! `gc-sim`: replays a run of the simulator, or runs many; `gc-sim scaling` counts what a marking cycle costs.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gc_sim::scaling::{self, Plan};
use gc_sim::{Settings, Stats, World};

/// Runs simulated clusters, each from one seed. A run that goes wrong is printed and made smaller.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Subcommand)]
enum Other {
    /// Counts what one marking cycle costs in clusters of several sizes, with the same work for each node.
    Scaling(Scaling),
}

#[derive(Args)]
struct Runs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs, with the seeds from there on.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// How many nodes [default: as the seed says]
    #[arg(long)]
    nodes: Option<usize>,
    /// Nothing bad happens.
    #[arg(long)]
    calm: bool,
    /// No cycles over nodes.
    #[arg(long)]
    acyclic: bool,
    /// Strategies keep to themselves some of the stubs that they reached; what is left over at the end is not asked for.
    #[arg(long)]
    forgetful: bool,
    /// Ends with the first run that goes wrong, and makes nothing smaller.
    #[arg(long)]
    stop: bool,
    /// Prints every effect.
    #[arg(long)]
    trace: bool,
}

#[derive(Args)]
struct Scaling {
    /// Where all that happens by chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sizes of clusters, at least 4 nodes each.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 64, 256])]
    nodes: Vec<usize>,
    /// A chain of references leads through every node, so that marking takes as many steps one after another.
    #[arg(long)]
    chain: bool,
    /// One JSON object for each size instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.other {
        None => simulate(&arguments.runs),
        Some(Other::Scaling(wanted)) => scale(wanted),
    }
}

fn simulate(wanted: &Runs) -> ExitCode {
    let settings = |seed| {
        let settings = if wanted.calm { Settings::calm(seed) } else { Settings::rough(seed) };
        let settings = if wanted.acyclic { settings } else { settings.cyclic() };
        let settings = if wanted.forgetful { settings.forgetful() } else { settings };
        let nodes = wanted.nodes.unwrap_or(settings.nodes).max(1);
        Settings { nodes, trace: wanted.trace, ..settings }
    };
    let (mut sum, mut failed) = (Stats::default(), 0);
    for seed in wanted.seed..wanted.seed.saturating_add(wanted.runs) {
        match World::new(settings(seed)).run() {
            Ok(stats) => sum += &stats,
            Err(wrong) => {
                failed += 1;
                println!("{wrong}");
                if wanted.stop {
                    break;
                }
                let quiet = Settings { trace: false, ..settings(seed) };
                if let Some((smallest, wrong)) = gc_sim::shrink::shrink(&quiet) {
                    println!("smaller: {wrong}\n{smallest:#?}");
                }
            }
        }
    }
    println!("{sum:#?}");
    if failed > 0 {
        eprintln!("{failed} of {} runs went wrong", wanted.runs);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn scale(wanted: &Scaling) -> ExitCode {
    let mut costs = Vec::new();
    for &nodes in &wanted.nodes {
        let measured = scaling::measure(Plan { seed: wanted.seed, nodes, chain: wanted.chain });
        let shown = measured.and_then(|cost| {
            let line = serde_json::to_string(&cost).map_err(|error| error.to_string())?;
            Ok((line, cost))
        });
        match shown {
            Ok((line, cost)) => {
                if wanted.json {
                    println!("{line}");
                }
                costs.push(cost);
            }
            Err(wrong) => {
                eprintln!("{nodes} nodes: {wrong}");
                return ExitCode::FAILURE;
            }
        }
    }
    if !wanted.json {
        print!("{}", scaling::table(&costs));
    }
    ExitCode::SUCCESS
}
