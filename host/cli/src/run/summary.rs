//! What is printed at the end of a run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gc_lab::{NodeWork, WorkloadReport};
use gc_node::{Status, short};
use serde::Serialize;

use crate::output;
use crate::run::beside::Beside;
use crate::run::canary::Decision;
use crate::run::record::Recorded;
use crate::units::{bytes, count, nanoseconds};

/// Ids that are shown where nobody asked for a file.
const SHOWN: usize = 10;

/// The summary. Scripts rely on the names of its fields: none goes, none changes its meaning.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    event: &'static str,
    strategy: String,
    version: String,
    digest: String,
    tenure: String,
    live_objects: u64,
    reclaimed_objects: u64,
    heap_live_objects: u64,
    heap_reclaimed_objects: u64,
    cycles: u64,
    refused_verdicts: u64,
    strategy_faults: u64,
    swaps: u64,
    pause_ns_p50: u64,
    pause_ns_p999: u64,
    pause_ns_max: u64,
    mark_ns_last: u64,
    proof_ns_last: u64,
    heap_used_bytes: u64,
    heap_committed_bytes: u64,
    allocated_objects: u64,
    allocated_bytes: u64,
    duration_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<LoadSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Recorded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<Decision>,
}

/// What the workload says of itself.
#[derive(Debug, Serialize)]
struct LoadSummary {
    objects: u64,
    references: u64,
    missing_references: u64,
    payload_bytes: u64,
    operations: u64,
    threads: u32,
    stopped: bool,
    reclaimed_ids: u64,
    live_ids: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_live: Option<u64>,
    read_ns: u64,
    mutate_ns: u64,
    /// What each node did, for a load that runs on several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeSummary>,
    /// What the workload found out about its own result, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<String>,
}

/// What one of several nodes did. Messages and bytes are those that it sent to others: at work, and from when all was forgotten to the end.
#[derive(Debug, Serialize)]
struct NodeSummary {
    node: u32,
    turns: u64,
    workers: u64,
    left_workers: u64,
    verified: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ns: Option<u64>,
    messages: u64,
    bytes: u64,
    settle_messages: u64,
    settle_bytes: u64,
}

impl From<&NodeWork> for NodeSummary {
    fn from(work: &NodeWork) -> NodeSummary {
        NodeSummary {
            node: work.node,
            turns: work.turns,
            workers: work.workers,
            left_workers: work.left_workers,
            verified: work.verified,
            lag_ns: work.lag.map(ns),
            messages: work.working.messages,
            bytes: work.working.bytes,
            settle_messages: work.settling.messages,
            settle_bytes: work.settling.bytes,
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Summary {
    pub(crate) fn new(
        status: &Status,
        report: Option<&WorkloadReport>,
        record: Option<Recorded>,
        canary: Option<Decision>,
        took: Duration,
    ) -> Summary {
        let heap = &status.heap;
        // A load whose objects have ids knows better than the heap, which also counts what the load used to hold them.
        let named = report.filter(|report| !report.live.is_empty() || !report.reclaimed.is_empty());
        Summary {
            event: "summary",
            strategy: status.strategy.name.clone(),
            version: status.strategy.version.clone(),
            digest: status.strategy.digest.clone(),
            tenure: status.tenure.clone(),
            live_objects: named.map_or(heap.live_objects, |report| report.live.len() as u64),
            reclaimed_objects: named.map_or(heap.condemned_objects, |report| report.reclaimed.len() as u64),
            heap_live_objects: heap.live_objects,
            heap_reclaimed_objects: heap.condemned_objects,
            cycles: status.cycles,
            refused_verdicts: status.refused,
            strategy_faults: status.faults,
            swaps: status.swaps,
            pause_ns_p50: heap.pause_ns_p50,
            pause_ns_p999: heap.pause_ns_p999,
            pause_ns_max: heap.pause_ns_max,
            mark_ns_last: status.mark_ns_last,
            proof_ns_last: status.proof_ns_last,
            heap_used_bytes: heap.used_bytes,
            heap_committed_bytes: heap.committed_bytes,
            allocated_objects: heap.allocated_objects,
            allocated_bytes: heap.allocated_bytes,
            duration_ns: ns(took),
            load: report.map(|report| LoadSummary {
                objects: report.objects,
                references: report.references,
                missing_references: report.missing_references,
                payload_bytes: report.payload_bytes,
                operations: report.operations,
                threads: report.threads,
                stopped: report.stopped,
                reclaimed_ids: report.reclaimed.len() as u64,
                live_ids: report.live.len() as u64,
                expected_live: report.expected_live,
                read_ns: ns(report.read_time),
                mutate_ns: ns(report.mutate_time),
                nodes: report.nodes.iter().map(NodeSummary::from).collect(),
                checks: report.checks.clone(),
            }),
            record,
            canary,
        }
    }

    pub(crate) fn print(
        &self,
        json: bool,
        report: Option<&WorkloadReport>,
        reclaimed: Option<&Path>,
    ) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        if let Some(report) = report {
            load_lines(report, reclaimed)?;
        }
        if report.is_some_and(|report| report.nodes.len() > 1) {
            output::line("what follows is of the first node")?;
        }
        output::line(format!(
            "strategy   {}@{}#{}, {}",
            self.strategy,
            self.version,
            short(&self.digest),
            self.tenure
        ))?;
        output::line(format!(
            "objects    {} live, {} reclaimed in {} cycles",
            count(self.live_objects),
            count(self.reclaimed_objects),
            count(self.cycles)
        ))?;
        output::line(format!(
            "pauses     p50 {}, p99.9 {}, longest {}",
            nanoseconds(self.pause_ns_p50),
            nanoseconds(self.pause_ns_p999),
            nanoseconds(self.pause_ns_max)
        ))?;
        output::line(format!(
            "last cycle {} in the strategy; {} for the last proof",
            nanoseconds(self.mark_ns_last),
            nanoseconds(self.proof_ns_last)
        ))?;
        output::line(format!(
            "heap       {} in use, {} committed, {} allocated in {}",
            bytes(self.heap_used_bytes),
            bytes(self.heap_committed_bytes),
            bytes(self.allocated_bytes),
            nanoseconds(self.duration_ns)
        ))?;
        self.canary.as_ref().map_or(Ok(()), Decision::print)?;
        self.record.as_ref().map_or(Ok(()), output::line)
    }
}

fn load_lines(report: &WorkloadReport, reclaimed: Option<&Path>) -> anyhow::Result<()> {
    if report.stopped {
        output::line("the load was stopped")?;
    }
    report.checks.iter().try_for_each(output::line)?;
    if report.missing_references > 0 {
        output::line(format!("{} references lead out of the input", count(report.missing_references)))?;
    }
    if report.reclaimed.is_empty() && report.live.is_empty() {
        return Ok(());
    }
    output::line(format!(
        "reclaimed  {} of {} objects",
        count(report.reclaimed.len() as u64),
        count(report.objects)
    ))?;
    match reclaimed {
        Some(path) => output::line(format!("           their ids are in {}", path.display())),
        None => {
            for id in report.reclaimed.iter().take(SHOWN) {
                output::line(format!("           {id}"))?;
            }
            let more = report.reclaimed.len().saturating_sub(SHOWN);
            if more > 0 {
                output::line(format!(
                    "           and {} more: --reclaimed FILE writes them all",
                    count(more as u64)
                ))?;
            }
            Ok(())
        }
    }
}

/// A file of ids that is not there before it is whole: a run that fails leaves what was there.
pub(crate) struct Pending {
    place: Beside,
    path: PathBuf,
}

impl Pending {
    /// Before anything is done, so that a wrong path costs no time.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Pending> {
        let place = Beside::new(path).with_context(|| {
            format!("cannot write {}: give another path with --reclaimed", path.display())
        })?;
        Ok(Pending { place, path: path.to_owned() })
    }

    /// Says whether it is there: of a load that was stopped not all ids are known.
    pub(crate) fn write(self, report: &WorkloadReport) -> anyhow::Result<bool> {
        let path = self.path.display();
        if report.stopped {
            output::note(format!("{path} is left as it was: the load was stopped before all was reclaimed"));
            return Ok(false);
        }
        let written = self.place.write(|out| report.reclaimed.write_to(out));
        written.with_context(|| format!("cannot write {path}: is the disk full?"))?;
        Ok(true)
    }
}
