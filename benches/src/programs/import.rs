//! Loading a graph from plain text: the peer graph written as `graph:FILE` wants it, read and built in the heap of a node with a built-in strategy, as
//! `host run --load graph:FILE` does it. Prints a JSON line per round.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use gc_lab::WorkloadSpec;
use gc_node::Node;

use crate::graph::Graph;
use crate::programs::workload::NoEnd;

/// Loads the peer graph from a text of one line per reference.
#[derive(Args)]
pub struct Arguments {
    /// Number of objects
    #[arg(default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    objects: u32,
    /// Number of rounds
    #[arg(default_value_t = 7)]
    rounds: u32,
    /// Built-in strategy, or a .wasm file
    #[arg(long, default_value = "tracing")]
    strategy: String,
    /// Keep the text in this file
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
}

/// Gone at the end, unless somebody wants it.
struct Text {
    path: PathBuf,
    kept: bool,
}

impl Drop for Text {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// See the module.
///
/// # Errors
///
/// A file that cannot be written; a heap, a strategy or a node that does not do what it should.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let path = arguments
        .keep
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("goals-import-{}.txt", std::process::id())));
    let text = Text { path, kept: arguments.keep.is_some() };
    let graph = Graph::new(arguments.objects);
    let lines = write(graph, &text.path)?;
    let bytes = std::fs::metadata(&text.path)?.len();
    let workload: WorkloadSpec = format!("graph:{}", text.path.display()).parse()?;
    for round in 0..=arguments.rounds {
        let limit = u64::from(arguments.objects) * 128 + (256 << 20);
        let node = Node::builder().strategy(arguments.strategy.as_str()).heap_limit(limit).start()?;
        let report = workload.run(node.heap(), &NoEnd)?;
        node.shutdown();
        // The first round has the text read into memory.
        if round > 0 {
            println!(
                "{{\"lines\":{lines},\"bytes\":{bytes},\"objects\":{},\"references\":{},\"read_ns\":{},\"build_ns\":{}}}",
                report.objects,
                report.references,
                report.read_time.as_nanos(),
                report.mutate_time.as_nanos()
            );
        }
    }
    Ok(())
}

/// One line per root and reference. Answers how many.
fn write(graph: Graph, path: &Path) -> Result<u64, Box<dyn Error>> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut text = BufWriter::new(File::create(path).map_err(failed)?);
    let mut lines = 0;
    for root in graph.roots() {
        writeln!(text, "root {root}").map_err(failed)?;
        lines += 1;
    }
    for from in 0..graph.objects() {
        for target in graph.references(from).into_iter().flatten() {
            writeln!(text, "edge {from} {target}").map_err(failed)?;
            lines += 1;
        }
    }
    text.flush().map_err(failed)?;
    Ok(lines)
}
