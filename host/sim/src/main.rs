//! `gc-sim`: replays a run of the simulator, or runs many.

use clap::Parser;
use gc_sim::{Settings, Stats, World};

/// Runs simulated clusters, each from one seed. A run that goes wrong is printed and made smaller.
#[derive(Parser)]
struct Arguments {
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

fn main() {
    let arguments = Arguments::parse();
    let settings = |seed| {
        let settings = if arguments.calm { Settings::calm(seed) } else { Settings::rough(seed) };
        let settings = if arguments.acyclic { settings } else { settings.cyclic() };
        let settings = if arguments.forgetful { settings.forgetful() } else { settings };
        let nodes = arguments.nodes.unwrap_or(settings.nodes).max(1);
        Settings { nodes, trace: arguments.trace, ..settings }
    };
    let (mut sum, mut failed) = (Stats::default(), 0);
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.runs) {
        match World::new(settings(seed)).run() {
            Ok(stats) => sum += &stats,
            Err(wrong) => {
                failed += 1;
                println!("{wrong}");
                if arguments.stop {
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
        eprintln!("{failed} of {} runs went wrong", arguments.runs);
        std::process::exit(1);
    }
}
