//! What recording costs: one run of a workload of the lab on a node with a built-in strategy, with a trace being written or without. Prints a line of JSON.
//! The time is that of the workload as a mutator; what is left to write at the end is in the processor time.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use gc_heap::HeapConfig;
use gc_lab::WorkloadSpec;
use gc_lab::trace::{Facts, Recording};
use gc_node::Node;
use serde::{Deserialize, Serialize};

use crate::clock::spent;
use crate::programs::workload::NoEnd;

/// Runs a workload of the lab once, recorded or not, and prints what it cost.
#[derive(Args)]
pub struct Arguments {
    /// Built-in strategy, or a .wasm file
    #[arg(long, default_value = "tracing")]
    strategy: String,
    /// Limit of the heap in MiB
    #[arg(long, default_value_t = 256)]
    heap: u64,
    /// Write a trace to this file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Such as churn?threads=2&operations=4M
    workload: String,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Operations of the workload.
    pub operations: u64,
    /// Time that they took.
    pub wall_ns: u64,
    /// Processor time of the process meanwhile, up to the end of the trace.
    pub cpu_ns: u64,
    /// Length of the trace; 0 without one.
    pub trace_bytes: u64,
    /// Operations in the trace.
    pub trace_operations: u64,
}

/// See the module.
///
/// # Errors
///
/// A heap, a strategy or a node that does not do what it should; a trace that ended early.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let workload: WorkloadSpec = arguments.workload.parse()?;
    let recording =
        arguments.to.as_deref().map(|path| Recording::start(path, &Facts::default())).transpose()?;
    let tape = recording.as_ref().map(Recording::tape);
    let heap = HeapConfig { tape, ..HeapConfig::with_limit(arguments.heap << 20) };
    let node = Node::builder().strategy(arguments.strategy.as_str()).heap(heap).start()?;
    let ((report, trace), spent) = spent(|| {
        let report = workload.run(node.heap(), &NoEnd);
        node.heap().end_recording();
        (report, recording.map(Recording::finish))
    });
    let report = report?;
    if let Some(problem) = trace.as_ref().and_then(|trace| trace.problem.as_ref()) {
        return Err(format!("the trace ended early: {problem}").into());
    }
    let run = Run {
        operations: report.operations,
        wall_ns: nanoseconds(report.mutate_time),
        cpu_ns: nanoseconds(spent.cpu),
        trace_bytes: trace.as_ref().map_or(0, |trace| trace.bytes),
        trace_operations: trace.as_ref().map_or(0, |trace| trace.operations),
    };
    println!("{}", serde_json::to_string(&run)?);
    node.shutdown();
    Ok(())
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
