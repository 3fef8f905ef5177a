//! The `host` binary. One subcommand, one file; this one reads the command line and turns errors into exit codes.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no node is running (the codes of init scripts), 4 `host bench` found what --fail-if names, 130 interrupted twice.

#![forbid(unsafe_code)]
// They panic where nobody reads what they write: `output` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod config;
mod connect;
mod output;
mod units;

mod bench;
mod cert;
mod cluster;
mod collect;
mod status;
mod swap;
mod why;

mod replay;
mod run;
mod strategy;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gc_node::ControlError;

/// A garbage-collected node whose collector is a WebAssembly plugin that can be swapped while it runs.
#[derive(Parser)]
#[command(name = "host", version, propagate_version = true, disable_help_subcommand = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  host run --strategy tracing --load git:.       collect the objects of this repository
  host run --load churn                          a node under a synthetic load, with a live view
  host swap refcount                             replace the collector of the running node
  host bench --a tracing --b refcount --workload churn --quick    which one is better for this work
  host strategy new my-collector                 a crate with a collector of your own

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no node is running.";

#[derive(Subcommand)]
enum Command {
    /// Start a node, with or without a load.
    Run(Box<run::Args>),
    /// Do the work of a recorded trace again, under any strategy.
    Replay(Box<replay::Args>),
    /// Look into recorded traces: info, head, cut.
    #[command(subcommand)]
    Trace(trace::Command),
    /// Replace the strategy of the running node, or try another one beside it.
    Swap(swap::Args),
    /// Show what the running node is doing.
    Status(status::Args),
    /// Say why an object is alive, or which decision freed it.
    Why(why::Args),
    /// Run a cycle on the running node.
    Collect(collect::Args),
    /// Compare strategies on the same work: overhead, pauses, latency, memory.
    Bench(Box<bench::Args>),
    /// One run of a comparison.
    #[command(hide = true)]
    BenchRun(bench::child::Args),
    /// Work with strategies: list, inspect, extract, new, check.
    #[command(subcommand)]
    Strategy(strategy::Command),
    /// Certificates for the nodes of a cluster: init, issue, rotate.
    #[command(subcommand)]
    Cert(cert::Command),
    /// The cluster of the running node: status, exile.
    #[command(subcommand)]
    Cluster(cluster::Command),
}

/// Something that the caller has to write differently.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(*args),
        Command::Replay(args) => replay::run(*args),
        Command::Trace(command) => trace::run(command),
        Command::Swap(args) => swap::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Collect(args) => collect::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::BenchRun(args) => bench::child::run(&args),
        Command::Strategy(command) => strategy::run(command),
        Command::Cert(command) => cert::run(command),
        Command::Cluster(command) => cluster::run(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format!("error: {}", message(&error)));
            ExitCode::from(code(&error))
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Usage>().is_some() {
        return 2;
    }
    if error.downcast_ref::<bench::Found>().is_some() {
        return 4;
    }
    if error.downcast_ref::<bench::Interrupted>().is_some() {
        return 130;
    }
    match error.downcast_ref::<ControlError>() {
        Some(ControlError::NobodyRunning { .. }) => 3,
        Some(_) | None => 1,
    }
}

/// An error with its causes, each said once: many a message quotes its cause already.
fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_that_the_message_quotes_is_not_said_again() {
        let error = anyhow::anyhow!("disk full").context("cannot write x (disk full): make room");
        assert_eq!(super::message(&error), "cannot write x (disk full): make room");
        let error = anyhow::anyhow!("disk full").context("cannot write x");
        assert_eq!(super::message(&error), "cannot write x: disk full");
    }
}
