//! Measures the goals and prints the table; writes `target/goals.json`. A goal that is missed or could not be measured is a line of the table,
//! not a failure of the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use gc_benches::goals::{self, Line};
use gc_benches::machine::Machine;
use gc_benches::programs::{cluster, collect, graph, import, limit, mark, pauses, record, workload};
use gc_benches::rows::{ROWS, Settings};

#[derive(Parser)]
#[command(
    about = "Measures the goals, prints the table, writes target/goals.json",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    program: Option<Program>,
    /// Small inputs and few rounds: shows that everything runs
    #[arg(long)]
    quick: bool,
    /// Measure only this row; may be given several times
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(ROWS.iter().map(|row| row.name)))]
    only: Vec<String>,
    /// Print the list that is written to the file instead of the table
    #[arg(long)]
    json: bool,
    /// The command that collects the peer graph in our heap (see benches/peers/README.md)
    #[arg(long, value_name = "COMMAND")]
    ours: Option<String>,
    /// A `host` built with the feature `etcd` [default: it is built]
    #[arg(long, value_name = "FILE")]
    etcd_host: Option<PathBuf>,
    /// Where the list is written [default: goals.json in the target folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Parts of the table that run in a process of their own, for whoever wants one of them alone.
#[derive(Subcommand)]
enum Program {
    Cluster(cluster::Arguments),
    Collect(collect::Arguments),
    Graph(graph::Arguments),
    Import(import::Arguments),
    Limit(limit::Arguments),
    Mark(mark::Arguments),
    Pauses(pauses::Arguments),
    Record(record::Arguments),
    Workload(workload::Arguments),
}

impl Program {
    fn run(&self) -> ExitCode {
        let done = match self {
            Program::Cluster(arguments) => cluster::run(arguments),
            Program::Collect(arguments) => collect::run(arguments),
            Program::Graph(arguments) => graph::run(arguments),
            Program::Import(arguments) => import::run(arguments),
            Program::Limit(arguments) => limit::run(arguments),
            Program::Mark(arguments) => mark::run(arguments),
            Program::Pauses(arguments) => pauses::run(arguments),
            Program::Record(arguments) => record::run(arguments),
            Program::Workload(arguments) => workload::run(arguments),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(program) = &arguments.program {
        return program.run();
    }
    let settings = settings(&arguments);
    let machine = Machine::here();
    eprintln!("{machine}");

    let lines = measure(&arguments, &settings);
    if arguments.json {
        println!("{}", goals::json(&lines));
    } else {
        print!("{}", goals::markdown(&machine, &lines));
    }
    let out = arguments.out.unwrap_or_else(|| settings.target.join("goals.json"));
    match write(&out, &lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments, settings: &Settings) -> Vec<Line> {
    let chosen = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut lines = Vec::new();
    for row in ROWS.iter().filter(|row| chosen(row.name)) {
        eprintln!("measuring {}", row.name);
        lines.extend(row.lines(settings));
    }
    lines
}

fn settings(arguments: &Arguments) -> Settings {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = benches.parent().unwrap_or(benches).to_owned();
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let myself = std::env::current_exe().unwrap_or_else(|_| target.join("release/goals"));
    let etcd_host =
        arguments.etcd_host.as_ref().map(|host| std::path::absolute(host).unwrap_or_else(|_| host.clone()));
    Settings { quick: arguments.quick, root, target, myself, ours: arguments.ours.clone(), etcd_host }
}

fn write(out: &Path, lines: &[Line]) -> std::io::Result<()> {
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(out, goals::json(lines) + "\n")
}
