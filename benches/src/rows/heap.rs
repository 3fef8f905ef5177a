//! Rows that are measured on one heap in one process: marking, the proof, bytes per cell, the barrier, payload blocks.

use std::process::Command;

use serde::Deserialize;

use super::{Goal, Row, RowError, Settings, command};
use crate::goals::Reading;
use crate::stats::{paired_ratio, summary};

pub(super) const MARK: Row = Row {
    name: "mark",
    goals: &[
        Goal {
            name: "full mark of 10 M cells through the window, in Wasm: against the same marker native",
            unit: "x",
            at_most: 1.15,
        },
        Goal {
            name: "full mark of 10 M cells through the window, in Wasm: against the fastest native marking (`limit`)",
            unit: "x",
            at_most: 1.15,
        },
    ],
    measure: mark,
};

pub(super) const PROOF: Row = Row {
    name: "proof",
    goals: &[
        Goal {
            name: "proof of a whole-heap verdict: against the mark that it checks",
            unit: "x",
            at_most: 0.35,
        },
        Goal { name: "host memory per cell with four references, all columns", unit: "bytes", at_most: 32.0 },
    ],
    measure: proof,
};

pub(super) const BARRIER: Row = Row {
    name: "barrier",
    goals: &[
        Goal { name: "store, no cycle running: over a plain atomic store", unit: "ns", at_most: 1.5 },
        Goal { name: "store, first in a log epoch: over a plain atomic store", unit: "ns", at_most: 15.0 },
        Goal { name: "store, later in a log epoch: over a plain atomic store", unit: "ns", at_most: 2.5 },
    ],
    measure: barrier,
};

pub(super) const BLOCKS: Row = Row {
    name: "blocks",
    goals: &[
        Goal {
            name: "allocate + free of blocks, worst row without 1 M live: against the better of jemalloc and mimalloc",
            unit: "x",
            at_most: 1.0,
        },
        Goal {
            name: "allocate + free of blocks, worst row with 1 M live: against the better of the two",
            unit: "x",
            at_most: 0.5,
        },
    ],
    measure: blocks,
};

fn objects(settings: &Settings) -> &'static str {
    if settings.quick { "200000" } else { "10000000" }
}

/// A part of this binary, in a process of its own.
pub(super) fn program(settings: &Settings, name: &str) -> Command {
    let mut command = Command::new(&settings.myself);
    command.arg(name);
    command
}

fn bench(settings: &Settings, package: &str, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(&settings.root)
        .args(["bench", "--quiet", "-p", package, "--bench", name, "--", "--json"]);
    command
}

#[derive(Deserialize)]
struct Marked {
    native_ns: f64,
    window_ns: f64,
    limit_ns: f64,
    marked: u64,
    pages: String,
}

fn mark(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let rounds: Vec<Marked> =
        command::json_lines(program(settings, "mark").arg(objects(settings)).arg(if settings.quick {
            "3"
        } else {
            "15"
        }))?;
    let native: Vec<f64> = rounds.iter().map(|round| round.native_ns).collect();
    let window: Vec<f64> = rounds.iter().map(|round| round.window_ns).collect();
    let limit: Vec<f64> = rounds.iter().map(|round| round.limit_ns).collect();
    let nothing = || RowError::Nothing("no rounds".to_owned());
    let against = |base: &[f64]| paired_ratio(&window, base).ok_or_else(nothing);
    let ms = |samples: &[f64]| summary(samples).map_or(f64::NAN, |summary| summary.median / 1e6);
    let note = format!(
        "window {:.1} ms, native {:.1} ms, {} cells marked, pages {}",
        ms(&window),
        ms(&native),
        rounds[0].marked,
        rounds[0].pages
    );
    let beside = format!(
        "window {:.1} ms, limit {:.1} ms: 32-bit loads from a column of its own, {} cells in flight",
        ms(&window),
        ms(&limit),
        crate::programs::limit::BATCH
    );
    Ok(vec![Reading::of(against(&native)?, note), Reading::of(against(&limit)?, beside)])
}

#[derive(Deserialize)]
struct Parts {
    mark_ns: f64,
    proof_ns: f64,
    reclaim_ns: f64,
    handshake_ns: f64,
    committed_bytes: f64,
}

fn proof(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let rounds: Vec<Parts> = command::json_lines(
        program(settings, "collect").arg("--parts").arg(objects(settings)).arg(if settings.quick {
            "2"
        } else {
            "5"
        }),
    )?;
    let column = |part: fn(&Parts) -> f64| rounds.iter().map(part).collect::<Vec<f64>>();
    let (mark, proof) = (column(|parts| parts.mark_ns), column(|parts| parts.proof_ns));
    let ratio = paired_ratio(&proof, &mark).ok_or_else(|| RowError::Nothing("no rounds".to_owned()))?;
    let ms = |samples: &[f64]| summary(samples).map_or(f64::NAN, |summary| summary.median / 1e6);
    let note = format!(
        "mark {:.1} ms, proof {:.1} ms, reclaim {:.1} ms, handshakes {:.2} ms",
        ms(&mark),
        ms(&proof),
        ms(&column(|parts| parts.reclaim_ns)),
        ms(&column(|parts| parts.handshake_ns))
    );
    let cells: f64 = objects(settings).parse().unwrap_or(f64::NAN);
    let laid_out = 1 << 20;
    let bytes = Reading {
        value: gc_heap::column_bytes(laid_out) as f64 / f64::from(laid_out),
        range: None,
        note: format!(
            "as laid out; resident with {cells} cells and no payload: {:.1} per cell",
            rounds[0].committed_bytes / cells
        ),
    };
    Ok(vec![Reading::of(ratio, note), bytes])
}

#[derive(Deserialize)]
struct Store {
    name: String,
    value: f64,
}

fn barrier(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let stores: Vec<Store> = command::json_lines(&mut bench(settings, "gc-heap", "barrier"))?;
    Ok(stores
        .into_iter()
        .map(|store| Reading { value: store.value, range: None, note: store.name })
        .collect())
}

#[derive(Deserialize)]
struct Blocks {
    name: String,
    ours_ns: f64,
    jemalloc_ns: f64,
    mimalloc_ns: f64,
    value: f64,
    clock_ratio: f64,
}

fn blocks(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(&settings.root).args([
        "run",
        "--release",
        "--quiet",
        "--target-dir",
        "target/allocators",
    ]);
    command.args(["--manifest-path", "host/memory/allocators/Cargo.toml", "--", "--json"]);
    if settings.quick {
        // Fewer rounds of fewer rows, not less work to a round: a round of a hundredth is mostly the making of caches.
        command.args(["--rounds", "1", "pair", "remote", "live 64 B"]);
    }
    let rows: Vec<Blocks> = command::json_lines(&mut command)?;
    let worst = |live: bool| {
        let rows = rows.iter().filter(|row| row.name.contains("live") == live);
        let row = rows
            .max_by(|a, b| a.value.total_cmp(&b.value))
            .ok_or_else(|| RowError::Nothing("no rows".to_owned()))?;
        let note = format!(
            "{}: processor time ours {:.1} ns, jemalloc {:.1}, mimalloc {:.1}; ratio by the clock {:.2}",
            row.name, row.ours_ns, row.jemalloc_ns, row.mimalloc_ns, row.clock_ratio
        );
        Ok(Reading { value: row.value, range: None, note })
    };
    Ok(vec![worst(false)?, worst(true)?])
}
