//! Rows that are measured on several nodes on loopback: links, remote references, cycles over nodes.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::heap::program;
use super::{Goal, Row, RowError, Settings, command};
use crate::goals::Reading;
use crate::stats::{Summary, median, paired_ratio, summary};

pub(super) const LINK: Row = Row {
    name: "link",
    goals: &[
        Goal {
            name: "64 B there and back over a link: median against a bare quinn echo",
            unit: "x",
            at_most: 1.2,
        },
        Goal {
            name: "64 B there and back over a link: 99th percentile against a bare quinn echo",
            unit: "x",
            at_most: 1.5,
        },
    ],
    measure: link,
};

pub(super) const REFERENCES: Row = Row {
    name: "references",
    goals: &[
        // 200,000 per second and core.
        Goal {
            name: "register + release of a remote reference, batched: processor time of both nodes",
            unit: "us",
            at_most: 5.0,
        },
        Goal {
            name: "register + release of a remote reference: small messages before batching",
            unit: "messages",
            at_most: 5.0,
        },
        Goal {
            name: "register + release of a remote reference, batched: UDP packets, both ways",
            unit: "packets",
            at_most: 0.05,
        },
    ],
    measure: references,
};

pub(super) const TABLES: Row = Row {
    name: "tables",
    goals: &[
        Goal { name: "memory per stub, in the holder's table", unit: "bytes", at_most: 64.0 },
        Goal { name: "memory per scion entry, in the home's table", unit: "bytes", at_most: 48.0 },
    ],
    measure: tables,
};

pub(super) const DROPPED: Row = Row {
    name: "dropped",
    goals: &[Goal {
        name: "remote reference dropped to object reclaimed: against batch interval + round trip + local cycle",
        unit: "x",
        at_most: 1.0,
    }],
    measure: dropped,
};

pub(super) const RING: Row = Row {
    name: "ring",
    goals: &[Goal {
        name: "garbage cycle over 3 nodes of 100,000 cells: request to condemned on all",
        unit: "ms",
        at_most: 1000.0,
    }],
    measure: ring,
};

pub(super) const DECISION: Row = Row {
    name: "decision",
    goals: &[Goal {
        name: "kill -9 of one of 3 nodes to the decision of both others that it is gone, etcd on the same machine",
        unit: "s",
        at_most: 10.0,
    }],
    measure: decision,
};

pub(super) const SCALING: Row = Row {
    name: "scaling",
    goals: &[
        Goal {
            name: "global mark in the simulator, 4 to 256 nodes: marks for one (importing node, object), at most",
            unit: "marks",
            at_most: 1.0,
        },
        Goal {
            name: "global mark in the simulator, 4 to 256 nodes: bytes per node and cycle, dearest against cheapest cluster",
            unit: "x",
            at_most: 1.5,
        },
        Goal {
            name: "global mark in the simulator, 4 to 256 nodes: bytes of the busiest node, dearest against cheapest cluster",
            unit: "x",
            at_most: 1.5,
        },
    ],
    measure: scaling,
};

/// The program's part that is measured, with few rounds where that is wanted.
fn part<T: for<'de> Deserialize<'de>>(
    settings: &Settings,
    part: &str,
    quick: &[&str],
) -> Result<Vec<T>, RowError> {
    let mut program = program(settings, "cluster");
    program.arg(part);
    if settings.quick {
        program.args(quick);
    }
    command::json_lines(&mut program)
}

fn all<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}

fn middle<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(&all(rounds, figure)).unwrap_or(f64::NAN)
}

fn known(summary: Option<Summary>) -> Result<Summary, RowError> {
    summary.ok_or_else(|| RowError::Nothing("the rounds do not pair up".to_owned()))
}

#[derive(Deserialize)]
struct Echo {
    p50_ns: f64,
    p99_ns: f64,
    bare_p50_ns: f64,
    bare_p99_ns: f64,
}

fn link(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let rounds: Vec<Echo> = part(settings, "echo", &["3", "400"])?;
    let against = |ours: fn(&Echo) -> f64, bare: fn(&Echo) -> f64| {
        let ratio = known(paired_ratio(&all(&rounds, ours), &all(&rounds, bare)))?;
        let note = format!(
            "link {:.0} us, bare {:.0} us, one request at a time",
            middle(&rounds, ours) / 1e3,
            middle(&rounds, bare) / 1e3
        );
        Ok(Reading::of(ratio, note))
    };
    Ok(vec![
        against(|round| round.p50_ns, |round| round.bare_p50_ns)?,
        against(|round| round.p99_ns, |round| round.bare_p99_ns)?,
    ])
}

#[derive(Deserialize)]
struct Referred {
    references: f64,
    cpu_ns: f64,
    register_cpu_ns: f64,
    cycle_cpu_ns: f64,
    took_ns: f64,
    messages: f64,
    frames: f64,
    bytes: f64,
    packets: f64,
}

fn references(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let rounds: Vec<Referred> = part(settings, "references", &["3", "10000"])?;
    let each = |figure: fn(&Referred) -> f64| middle(&rounds, |round| figure(round) / round.references);
    let of = |figure: fn(&Referred) -> f64, note: String| {
        Ok(Reading::of(known(summary(&all(&rounds, |round| figure(round) / round.references)))?, note))
    };
    let cpu = each(|round| round.cpu_ns);
    let cost = format!(
        "{:.0} per second and core ({:.0} per second on the wall); of the time {:.2} us go to registering, {:.2} us to the cycle that finds what was dropped; 16 references to a message",
        1e9 / cpu,
        1e9 / each(|round| round.took_ns),
        each(|round| round.register_cpu_ns) / 1e3,
        each(|round| round.cycle_cpu_ns) / 1e3,
    );
    let sent = format!(
        "one packet per {:.0} references; {:.1} bytes in frames and {:.4} frames for each",
        1.0 / each(|round| round.packets),
        each(|round| round.bytes),
        each(|round| round.frames)
    );
    Ok(vec![
        of(|round| round.cpu_ns / 1e3, cost)?,
        of(
            // What concerns no reference (leases, digests) is counted too, and is less than that.
            |round| (round.messages * 1e3 / round.references).round() / 1e3 * round.references,
            "those of the program, which carry the references, are not counted".to_owned(),
        )?,
        of(|round| round.packets, sent)?,
    ])
}

#[derive(Deserialize)]
struct Weighed {
    cells: String,
    stub_bytes: f64,
    scion_bytes: f64,
}

/// The dearer order of cells counts.
fn tables(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let orders: Vec<Weighed> = part(settings, "tables", &["200000"])?;
    let reading = |figure: fn(&Weighed) -> f64| {
        let each: Vec<String> =
            orders.iter().map(|order| format!("cells {}: {:.1}", order.cells, figure(order))).collect();
        let value = all(&orders, figure).into_iter().fold(f64::MIN, f64::max);
        Reading { value, range: None, note: format!("{}; resident memory of the process", each.join(", ")) }
    };
    Ok(vec![reading(|order| order.stub_bytes), reading(|order| order.scion_bytes)])
}

#[derive(Deserialize)]
struct Dropped {
    whole_ns: f64,
    told_ns: f64,
    reclaimed_ns: f64,
    batch_ns: f64,
    round_trip_ns: f64,
    cycle_ns: f64,
}

fn dropped(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let rounds: Vec<Dropped> = part(settings, "dropped", &["3", "5000"])?;
    let bound = |round: &Dropped| round.batch_ns + round.round_trip_ns + round.cycle_ns;
    let ratio = known(paired_ratio(&all(&rounds, |round| round.reclaimed_ns), &all(&rounds, bound)))?;
    let ms = |figure: fn(&Dropped) -> f64| middle(&rounds, figure) / 1e6;
    let note = format!(
        "from the stub's end {:.2} ms, of which {:.2} ms until its home knows; bound {:.2} ms ({:.0} + {:.2} + {:.2}); from the last use, with the holder's own cycle, {:.2} ms",
        ms(|round| round.reclaimed_ns),
        ms(|round| round.told_ns),
        middle(&rounds, bound) / 1e6,
        ms(|round| round.batch_ns),
        ms(|round| round.round_trip_ns),
        ms(|round| round.cycle_ns),
        ms(|round| round.whole_ns)
    );
    Ok(vec![Reading::of(ratio, note)])
}

#[derive(Deserialize)]
struct Ring {
    took_ns: f64,
    tries: f64,
    cycle_ns: f64,
    here_ns: f64,
}

fn ring(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let rounds: Vec<Ring> = part(settings, "ring", &["3", "5000", "50"])?;
    let took = known(summary(&all(&rounds, |round| round.took_ns / 1e6)))?;
    let slowest = all(&rounds, |round| round.took_ns / 1e6).into_iter().fold(0.0, f64::max);
    let more = rounds.iter().map(|round| round.tries - 1.0).sum::<f64>();
    let note = format!(
        "slowest of {} rounds {slowest:.0} ms; the cycle between the nodes {:.0} ms, the first node's own work {:.0} ms; {more:.0} requests were repeated",
        rounds.len(),
        middle(&rounds, |round| round.cycle_ns) / 1e6,
        middle(&rounds, |round| round.here_ns) / 1e6
    );
    Ok(vec![Reading::of(took, note)])
}

#[derive(Deserialize)]
struct Decided {
    decision_s: f64,
}

fn decision(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    if command::output(Command::new("etcd").arg("--version")).is_err() {
        return Err(RowError::Nothing("etcd is not installed: apt-get install etcd-server".to_owned()));
    }
    let host = match &settings.etcd_host {
        Some(host) => host.clone(),
        None => host_with_etcd(settings)?,
    };
    let mut script = Command::new("python3");
    script.current_dir(&settings.root).args(["benches/exile.py", "--json"]).arg(&host);
    let times: Vec<Decided> =
        command::json_lines(script.args(["--times", if settings.quick { "1" } else { "10" }]))?;
    let took = all(&times, |decided| decided.decision_s);
    let worst = took.iter().copied().fold(0.0, f64::max);
    let note = format!("worst of {}: {worst:.2} s; a lease is good for 5.5 s", took.len());
    Ok(vec![Reading::of(known(summary(&took))?, note)])
}

fn host_with_etcd(settings: &Settings) -> Result<PathBuf, RowError> {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(&settings.root);
    command::output(build.args([
        "build",
        "--release",
        "--quiet",
        "-p",
        "gc-host",
        "--features",
        "gc-host/etcd",
    ]))?;
    Ok(settings.target.join("release/host"))
}

#[derive(Deserialize)]
struct Scaled {
    nodes: f64,
    pairs: f64,
    marks: f64,
    marks_per_pair_max: f64,
    waves: f64,
    node: Sent,
    busiest_bytes: f64,
}

#[derive(Deserialize)]
struct Sent {
    bytes: f64,
}

/// Counts, not times: the same on every machine.
fn scaling(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(&settings.root);
    command.args(["run", "--release", "--quiet", "-p", "gc-sim", "--", "scaling", "--json"]);
    if settings.quick {
        command.args(["--nodes", "4,16"]);
    }
    let clusters: Vec<Scaled> = command::json_lines(&mut command)?;
    let largest = |figure: fn(&Scaled) -> f64| all(&clusters, figure).into_iter().fold(f64::MIN, f64::max);
    let each = |figure: fn(&Scaled) -> f64| {
        let shown: Vec<String> = clusters.iter().map(|cluster| format!("{:.0}", figure(cluster))).collect();
        shown.join(", ")
    };
    let marks = format!("{:.3} on the average", largest(|cluster| cluster.marks / cluster.pairs));
    let sizes = each(|cluster| cluster.nodes);
    let bytes = |figure| format!("{} bytes with {sizes} nodes", each(figure));
    let ratio = |figure: fn(&Scaled) -> f64| {
        largest(figure) / all(&clusters, figure).into_iter().fold(f64::MAX, f64::min)
    };
    let average: fn(&Scaled) -> f64 = |cluster| cluster.node.bytes;
    let busiest: fn(&Scaled) -> f64 = |cluster| cluster.busiest_bytes;
    let waves = each(|cluster| cluster.waves);
    let exact = |value, note| Reading { value, range: None, note };
    Ok(vec![
        exact(largest(|cluster| cluster.marks_per_pair_max), marks),
        exact(ratio(average), format!("{}, sent; waves: {waves}", bytes(average))),
        exact(ratio(busiest), format!("{}, both ways", bytes(busiest))),
    ])
}
