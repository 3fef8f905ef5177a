//! `host status`: what the running node is doing.

use gc_node::{Answer, CycleRecord, Request, Status};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units::{bytes, count, nanoseconds};

/// Show what the running node is doing: strategy, heap, cycles, pauses, and the last steps of swaps.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host status\n  host status --journal 50\n  host status --json | jq .heap.live_objects"
)]
pub(crate) struct Args {
    /// How many journal records to show
    #[arg(long, value_name = "N", default_value_t = 8)]
    journal: usize,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.connection.ask(&Request::Status { journal: args.journal })? {
        Answer::Status(status) if args.connection.json => output::json(&status),
        Answer::Status(status) => output::line(text(&status)),
        other => unexpected(&other),
    }
}

fn text(status: &Status) -> String {
    let heap = &status.heap;
    let mut lines = vec![
        format!("strategy   {}, {}", status.strategy, standing(status)),
        format!("node       process {}, up {:.1} s, {} mutators", status.pid, status.uptime_s, heap.mutators),
        format!(
            "heap       {} of {} in use, next cycle at {}, {} committed",
            bytes(heap.used_bytes),
            bytes(heap.limit_bytes),
            bytes(heap.goal_bytes),
            bytes(heap.committed_bytes)
        ),
        format!(
            "objects    {} live, {} allocated and {} freed since the start",
            count(heap.live_objects),
            count(heap.allocated_objects),
            count(heap.freed_objects)
        ),
        format!(
            "pauses     {}, p50 {}, p99.9 {}, longest {}",
            count(heap.pauses),
            nanoseconds(heap.pause_ns_p50),
            nanoseconds(heap.pause_ns_p999),
            nanoseconds(heap.pause_ns_max)
        ),
        format!(
            "cycles     {}, {} refused, {} faults, {} swaps",
            count(status.cycles),
            status.refused,
            status.faults,
            status.swaps
        ),
    ];
    lines.extend(status.last_cycle.as_ref().map(|cycle| format!("last       {}", last(cycle))));
    lines.extend(status.journal.iter().map(ToString::to_string));
    lines.join("\n")
}

fn standing(status: &Status) -> String {
    let mut text = match status.tenure.as_str() {
        "probation" => format!("on probation for {} more cycles", status.probation_cycles_left),
        "held" => "because no sound strategy is left: see the journal".into(),
        sound => sound.to_owned(),
    };
    if let Some(candidate) = &status.candidate {
        text += &format!(", {} {}", candidate.phase, candidate.strategy);
    }
    text
}

fn last(cycle: &CycleRecord) -> String {
    format!(
        "cycle {} ({}) {}: {} objects condemned in {}",
        cycle.cycle,
        cycle.cause,
        cycle.outcome,
        count(cycle.condemned_objects),
        nanoseconds(cycle.total_ns)
    )
}
