//! `host status`: what the running node is doing, and by which handles its objects can be asked for.

use std::collections::BTreeMap;

use gc_node::{Answer, CycleRecord, Request, Status};

use crate::connect::{Connection, unexpected};
use crate::output;
use crate::units::{bytes, count, nanoseconds};

/// Show what the running node is doing: strategy, heap, cycles, pauses, named roots with their handles, and the last steps of swaps.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many named roots to show, at most 256
    #[arg(long, value_name = "N", default_value_t = 8)]
    roots: usize,
    /// How many journal records to show
    #[arg(long, value_name = "N", default_value_t = 8)]
    journal: usize,
    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Examples:
  host status
  host status --journal 50
  host status --roots 100
  host status --json | jq .heap.live_objects
  host why $(host status --json | jq -r '.roots[0].handle')";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.connection.ask(&Request::Status { journal: args.journal, roots: args.roots })? {
        Answer::Status(status) if args.connection.json => output::json(&status),
        Answer::Status(status) => output::line(text(&status)),
        other => unexpected(&other),
    }
}

fn text(status: &Status) -> String {
    let heap = &status.heap;
    let mut lines = vec![
        format!("strategy   {}{}, {}", status.strategy, with(&status.options), standing(status)),
        format!("node       process {}, up {:.1} s, {} mutators", status.pid, status.uptime_s, heap.mutators),
        format!(
            "heap       {} of {} in use, {} of it in quarantine, next cycle at {}, {} committed",
            bytes(heap.used_bytes),
            bytes(heap.limit_bytes),
            bytes(heap.quarantined_bytes),
            bytes(heap.goal_bytes),
            bytes(heap.committed_bytes)
        ),
        format!(
            "payloads   {} in blocks of {} committed, {} fragmented, {} of blocks lost to rounding",
            bytes(heap.payload_bytes),
            bytes(heap.payload_committed_bytes),
            percent(heap.payload_fragmentation),
            percent(heap.payload_rounding)
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
    lines.extend(roots(status));
    lines.extend(status.journal.iter().map(ToString::to_string));
    lines.join("\n")
}

/// Options that were set, for a sentence.
pub(crate) fn with(options: &BTreeMap<String, String>) -> String {
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if options.is_empty() { String::new() } else { format!(" with {}", options.join(", ")) }
}

/// The handles with which a person can go on to `host why`.
fn roots(status: &Status) -> Vec<String> {
    let named = status.roots.len() as u64 + status.roots_left_out;
    let pins = status.heap.roots.saturating_sub(named);
    let mut lines = vec![format!("roots      {} named, {} pins", count(named), count(pins))];
    lines.extend(status.roots.iter().map(|root| format!("  {:<18} {}", root.handle, printable(&root.name))));
    if status.roots_left_out > 0 {
        lines.push(format!("  … {} more, see --roots", count(status.roots_left_out)));
    }
    lines
}

/// A share from 0 to 1.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A name as it may be shown at a terminal: programs name roots as they like.
fn printable(name: &str) -> String {
    let letter = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    name.chars().map(letter).collect()
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

#[cfg(test)]
mod tests {
    use gc_node::RootRecord;

    use super::*;

    #[test]
    fn roots_are_shown_with_their_handles_and_without_what_moves_a_cursor() {
        let root = |name: &str, handle: &str| RootRecord { name: name.into(), handle: handle.into() };
        let mut status = Status {
            roots: vec![root("a tree", "n0.1:4711.0"), root("\u{1b}[2Jé\n", "n0.1:7.3")],
            roots_left_out: 1234,
            ..Status::default()
        };
        status.heap.roots = 1239;
        let shown = roots(&status);
        assert_eq!(
            shown,
            [
                "roots      1,236 named, 3 pins",
                "  n0.1:4711.0        a tree",
                "  n0.1:7.3           \\u{1b}[2Jé\\n",
                "  … 1,234 more, see --roots"
            ]
        );
        assert_eq!(roots(&Status::default()), ["roots      0 named, 0 pins"]);
    }

    #[test]
    fn what_payload_memory_loses_is_shown() {
        let mut status = Status::default();
        (status.heap.payload_bytes, status.heap.payload_committed_bytes) = (3 << 20, 8 << 20);
        (status.heap.payload_fragmentation, status.heap.payload_rounding) = (0.6249, 0.0201);
        let wanted = "payloads   3.0 MiB in blocks of 8.0 MiB committed, 62.5 % fragmented, 2.0 % of blocks lost to rounding";
        assert!(text(&status).lines().any(|line| line == wanted), "{}", text(&status));
    }
}
