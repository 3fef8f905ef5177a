//! Phases as trace events (Chrome's JSON format), to be opened in Perfetto or chrome://tracing.
//!
//! One process per strategy, workload and heap whose cycles were kept; in it one thread for the collector, with phases nested in cycles, one per mutator with its longest
//! pauses, and counters of the heap. Times are microseconds since the begin of the run's timed part.

use serde_json::{Value, json};

use crate::bench::model::{Cycle, Kind, Measures, Part, Report, Run};
use crate::export::place;

/// The thread of the collector; mutators follow.
const COLLECTOR: u32 = 1;

/// The events, as text.
#[must_use]
pub fn trace_events(report: &Report) -> String {
    let mut events: Vec<Value> = Vec::new();
    let runs = report.runs.iter().filter(|run| run.outcome.is_ok() && run.kind != Kind::Baseline);
    let kept = runs.filter_map(|run| Some((run, run.measures.as_deref()?)));
    let kept = kept.filter(|(_, measures)| !measures.cycles.is_empty() || !measures.heap.is_empty());
    for (number, (run, measures)) in kept.enumerate() {
        of_run(&mut events, report, number + 1, run, measures);
    }
    json!({ "displayTimeUnit": "ns", "traceEvents": events }).to_string()
}

fn of_run(events: &mut Vec<Value>, report: &Report, process: usize, run: &Run, measures: &Measures) {
    let (subject, workload, heap) = place(report, run);
    let kind = if run.kind == Kind::Oracle { ", with the oracle" } else { "" };
    let name = format!("{subject}: {workload}, {heap} heap{kind}");
    events.push(json!({ "ph": "M", "name": "process_name", "pid": process, "args": { "name": name } }));
    events.push(
        json!({ "ph": "M", "name": "process_sort_index", "pid": process, "args": { "sort_index": process } }),
    );
    thread(events, process, COLLECTOR, "collector");
    for (number, cycle) in measures.cycles.iter().enumerate() {
        of_cycle(events, report, process, number, cycle);
    }
    for mutator in 0..measures.mutators {
        thread(events, process, COLLECTOR + 1 + mutator, &format!("mutator {mutator}"));
    }
    for pause in &measures.longest_pauses {
        events.push(json!({
            "ph": "X", "name": "pause", "cat": "pause", "pid": process, "tid": COLLECTOR + 1 + pause.mutator,
            "ts": micros(pause.at_ns), "dur": micros(pause.length_ns),
        }));
    }
    for sample in &measures.heap {
        let mut bytes = json!({ "used": sample.used_bytes, "committed": sample.committed_bytes });
        if let Some(garbage) = sample.garbage_bytes {
            bytes["garbage"] = json!(garbage);
        }
        events.push(json!({ "ph": "C", "name": "heap bytes", "pid": process, "ts": micros(sample.at_ns), "args": bytes }));
    }
}

fn thread(events: &mut Vec<Value>, process: usize, thread: u32, name: &str) {
    events.push(
        json!({ "ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": { "name": name } }),
    );
}

fn of_cycle(events: &mut Vec<Value>, report: &Report, process: usize, number: usize, cycle: &Cycle) {
    let strategy = report.subjects.get(cycle.subject);
    events.push(json!({
        "ph": "X", "name": "cycle", "cat": "cycle", "pid": process, "tid": COLLECTOR,
        "ts": micros(cycle.begin_ns), "dur": micros(cycle.end_ns.saturating_sub(cycle.begin_ns)),
        "args": {
            "number": number,
            "strategy": strategy.map(|subject| subject.label.as_str()),
            "digest": strategy.map(|subject| subject.digest.as_str()),
            "cause": cycle.cause,
            "outcome": cycle.outcome,
            "used_bytes": cycle.used_bytes,
            "live_bytes": cycle.live_bytes,
            "condemned_bytes": cycle.condemned_bytes,
            "freed_bytes": cycle.freed_bytes,
        },
    }));
    for phase in &cycle.phases {
        events.push(json!({
            "ph": "X", "name": part(phase.part), "cat": "phase", "pid": process, "tid": COLLECTOR,
            "ts": micros(phase.begin_ns), "dur": micros(phase.end_ns.saturating_sub(phase.begin_ns)),
            "args": { "busy_ns": phase.busy_ns },
        }));
    }
}

fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn part(part: Part) -> &'static str {
    match part {
        Part::Open => "open",
        Part::Tell => "tell",
        Part::Mark => "mark",
        Part::Verdict => "verdict",
        Part::Proof => "proof",
        Part::Reclaim => "reclaim",
    }
}
