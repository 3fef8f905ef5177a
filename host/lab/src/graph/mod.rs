//! `graph:FILE`: any object graph from plain text.
//!
//! ```text
//! # one fact per line, in any order
//! root main
//! edge main cache
//! edge cache main
//! size cache 4096
//! ```
//!
//! IDs are any words: bytes without white space. An object is there when any fact names it. Facts may repeat:
//! two equal edges are two references, a second root or size that says the same changes nothing, and two
//! different sizes of one object are an error.

mod intern;
mod parse;

use std::sync::Arc;
use std::time::Instant;

use gc_heap::Heap;

use crate::driver::Driver;
use crate::error::WorkloadError;
use crate::ids::{Ids, Names};
use crate::import::{self, Payloads};
use crate::report::WorkloadReport;
use crate::settle::settle;
use crate::spec::GraphSpec;

pub(crate) fn run(
    spec: &GraphSpec,
    heap: &Heap,
    driver: &dyn Driver,
    begun: Instant,
) -> Result<WorkloadReport, WorkloadError> {
    let parse::Facts { names, graph, sizes, stopped } = parse::read(&spec.path, driver)?;
    let mut report = WorkloadReport {
        objects: graph.len() as u64,
        references: graph.targets.len() as u64,
        threads: 1,
        read_time: begun.elapsed(),
        stopped,
        ..WorkloadReport::default()
    };
    if stopped {
        return Ok(report);
    }
    let begun = Instant::now();
    let imported = import::import(heap, &graph, &mut Zeroes::new(sizes), driver)?;
    report.payload_bytes = imported.payload_bytes;
    report.operations = imported.operations;
    report.mutate_time = begun.elapsed();
    drop(graph);
    report.stopped = imported.stopped || settle(driver)?;
    if !imported.stopped {
        let names = Arc::new(Names::Words(names));
        let (gone, live) = import::sort_out(&mut heap.mutator(), imported.handles());
        report.reclaimed = Ids::new(&names, gone);
        report.live = Ids::new(&names, live);
    }
    Ok(report)
}

/// Payloads of a given length, all zero.
struct Zeroes {
    sizes: Vec<u64>,
    zeroes: Vec<u8>,
}

impl Zeroes {
    fn new(sizes: Vec<u64>) -> Zeroes {
        Zeroes { sizes, zeroes: Vec::new() }
    }
}

impl Payloads for Zeroes {
    fn payload(&mut self, object: u32) -> Result<&[u8], WorkloadError> {
        // The parser has checked every size against limits::PAYLOAD_BYTES_MAX.
        let len = self.sizes.get(object as usize).map_or(0, |&size| size as usize);
        if len > self.zeroes.len() {
            self.zeroes.resize(len, 0);
        }
        Ok(&self.zeroes[..len])
    }
}
