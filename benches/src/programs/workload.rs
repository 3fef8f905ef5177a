//! Ours in the comparison of whole programs: a workload of the lab on a node with a built-in strategy, as `peers/run` starts it. Prints one line of JSON
//! in the form of `peers/README.md`; the time covers the workload from its first allocation to its last look, without starting the node.

use std::error::Error;
use std::path::PathBuf;

use crate::clock::spent;
use crate::program::Program;
use clap::Args;
use gc_lab::{CollectFailed, Driver, Progress, WorkloadSpec};
use gc_node::Node;

/// Runs a workload of the lab once and prints what it cost.
#[derive(Args)]
pub struct Arguments {
    /// Built-in strategy, or a .wasm file
    #[arg(long, default_value = "mark-sweep")]
    strategy: String,
    /// Limit of the heap in MiB
    #[arg(long, default_value_t = 2048)]
    heap: u64,
    /// Where compiled strategies are kept between runs
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Such as gcbench or binary-trees?depth=16
    workload: String,
}

/// A workload that is measured ends with its work: the cycles that a workload asks for at its end, to count what is left, are no part of the peers'
/// programs.
pub(super) struct NoEnd;

impl Driver for NoEnd {
    fn collect(&self) -> Result<u64, CollectFailed> {
        Ok(0)
    }
    fn stop_requested(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
}

/// See the module.
///
/// # Errors
///
/// A heap, a strategy or a node that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let workload: WorkloadSpec = arguments.workload.parse()?;
    let mut node = Node::builder().strategy(arguments.strategy.as_str()).heap_limit(arguments.heap << 20);
    if let Some(cache) = &arguments.cache {
        node = node.cache_dir(cache);
    }
    let node = node.start()?;
    let (report, spent) = spent(|| workload.run(node.heap(), &NoEnd));
    let report = report?;
    println!("{}", Program::new(workload.name(), &report.checks, spent).to_line());
    node.shutdown();
    Ok(())
}
