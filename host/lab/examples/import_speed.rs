//! How fast inputs are read and built, without a collector beside it.
//!
//! ```text
//! cargo run --release -p gc-lab --example import_speed                 # graphs that it makes itself
//! cargo run --release -p gc-lab --example import_speed -- git:PATH     # any workload
//! ```

use std::io::{BufWriter, Write};

use gc_heap::{Heap, HeapConfig};
use gc_lab::{CollectFailed, Driver, Progress, WorkloadReport, WorkloadSpec};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Nothing is collected: only the import is measured.
struct NoCollector;

impl Driver for NoCollector {
    fn collect(&self) -> Result<u64, CollectFailed> {
        Ok(0)
    }
    fn stop_requested(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
}

fn run(workload: &str, heap_bytes: u64) -> Result<WorkloadReport, Box<dyn std::error::Error>> {
    let spec: WorkloadSpec = workload.parse()?;
    let heap = Heap::new(HeapConfig::with_limit(heap_bytes))?;
    Ok(spec.run(&heap, &NoCollector)?)
}

fn print(what: &str, report: &WorkloadReport, lines: u64) {
    let (read, build) = (report.read_time.as_secs_f64(), report.mutate_time.as_secs_f64());
    println!(
        "{what}: {} objects, {} references, {} payload bytes; read {read:.2} s, built {build:.2} s",
        report.objects, report.references, report.payload_bytes
    );
    if lines > 0 {
        let million = lines as f64 / 1e6;
        println!(
            "  {:.2} M lines/s read, {:.2} M lines/s read and built",
            million / read,
            million / (read + build)
        );
    }
    let million = report.objects as f64 / 1e6;
    println!("  {:.2} M objects/s read, {:.2} M objects/s built", million / read, million / build);
}

/// A million objects and four million references between them, in random order.
fn graph_file(path: &std::path::Path, local: bool) -> std::io::Result<u64> {
    let (objects, edges) = (1_000_000_u64, 4_000_000_u64);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    writeln!(out, "root 0")?;
    for _ in 0..edges {
        let from = random.random_range(0..objects);
        let to = if local {
            (from + random.random_range(0..64)) % objects
        } else {
            random.random_range(0..objects)
        };
        writeln!(out, "edge {from} {to}")?;
    }
    out.flush()?;
    Ok(edges + 1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(workload) = std::env::args().nth(1) {
        print(&workload, &run(&workload, 8 << 30)?, 0);
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    for (what, local) in [("random graph", false), ("local graph", true)] {
        let path = folder.path().join("graph.txt");
        let lines = graph_file(&path, local)?;
        print(what, &run(&format!("graph:{}", path.display()), 2 << 30)?, lines);
    }
    Ok(())
}
