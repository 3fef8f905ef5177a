//! Rows that are measured on a whole node: hold-ups of mutators, a swap, an empty node.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::heap::program;
use super::{Goal, Row, RowError, Settings, command};
use crate::goals::Reading;
use crate::stats::summary;

pub(super) const PAUSES: Row = Row {
    name: "pauses",
    goals: &[
        Goal {
            name: "99.9th percentile of how long any operation of a mutator is held up (tracing, 2 mutators, swap included)",
            unit: "us",
            at_most: 10.0,
        },
        Goal { name: "longest that any operation of a mutator is held up", unit: "us", at_most: 1000.0 },
        Goal { name: "longest that any operation is held up during a swap", unit: "us", at_most: 100.0 },
        Goal { name: "from cached code to serving, attached to 10 M cells", unit: "ms", at_most: 50.0 },
    ],
    measure: pauses,
};

pub(super) const EMPTY: Row = Row {
    name: "empty",
    goals: &[
        Goal { name: "empty node with cached code: resident memory", unit: "MiB", at_most: 40.0 },
        Goal { name: "empty node with cached code: start to first operation", unit: "ms", at_most: 150.0 },
    ],
    measure: empty,
};

#[derive(Deserialize)]
struct Held {
    what: String,
    operations: u64,
    held_up: u64,
    p50_ns: f64,
    p999_ns: f64,
    max_ns: f64,
    cycles: Option<u64>,
    swap_ns: Option<f64>,
    attach_ns: Option<f64>,
}

fn pauses(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let (objects, seconds) = if settings.quick { ("1000000", "3") } else { ("10000000", "10") };
    let spans: Vec<Held> = command::json_lines(program(settings, "pauses").arg(objects).arg(seconds))?;
    if spans.iter().any(|span| span.cycles == Some(0)) {
        return Err(RowError::Nothing("no cycle ran while the mutators worked".to_owned()));
    }
    let cycles: u64 = spans.iter().filter_map(|span| span.cycles).sum();
    let longest = spans.iter().map(|span| span.max_ns).fold(0.0, f64::max) / 1e3;
    let operations: u64 = spans.iter().map(|span| span.operations).sum();
    let held: u64 = spans.iter().map(|span| span.held_up).sum();
    // Operations that were not held up count as held up for no time.
    let of_all = if held * 1000 < operations {
        0.0
    } else {
        spans.iter().map(|span| span.p999_ns).fold(0.0, f64::max) / 1e3
    };
    let among_held = spans.iter().map(|span| span.p999_ns).fold(0.0, f64::max) / 1e3;
    let note = format!(
        "{held} of {operations} operations were held up at all, by {cycles} cycles and a swap; among those: p50 {:.1} us, p99.9 {among_held:.1} us",
        spans[0].p50_ns / 1e3
    );
    let swap = spans.iter().find(|span| span.what == "swap");
    let missing = || RowError::Nothing("the program measured no swap".to_owned());
    let swap = swap.ok_or_else(missing)?;
    let plain = |value: f64, note: String| Reading { value, range: None, note };
    Ok(vec![
        plain(of_all, note.clone()),
        plain(longest, note),
        plain(
            swap.max_ns / 1e3,
            format!(
                "the whole swap, rehearsal included, took {:.0} ms",
                swap.swap_ns.unwrap_or(f64::NAN) / 1e6
            ),
        ),
        plain(
            swap.attach_ns.ok_or_else(missing)? / 1e6,
            "load from cache, instantiate, configure, map".to_owned(),
        ),
    ])
}

fn empty(settings: &Settings) -> Result<Vec<Reading>, RowError> {
    let host = settings.target.join("release/host");
    let mut build = Command::new(env!("CARGO"));
    command::output(build.current_dir(&settings.root).args([
        "build",
        "--release",
        "--quiet",
        "--bin",
        "host",
    ]))?;
    let scratch = std::env::temp_dir().join(format!("host-empty-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)
        .map_err(|source| RowError::Start { command: scratch.display().to_string(), source })?;
    let (mut resident, mut started) = (Vec::new(), Vec::new());
    for round in 0..if settings.quick { 2 } else { 8 } {
        let (memory, start) = start_empty(&host, &scratch)?;
        if round > 0 {
            resident.push(memory);
            started.push(start);
        }
    }
    let _ = std::fs::remove_dir_all(&scratch);
    let nothing = || RowError::Nothing("no rounds".to_owned());
    Ok(vec![
        Reading::of(
            summary(&resident).ok_or_else(nothing)?,
            "VmRSS once the control socket answers".to_owned(),
        ),
        Reading::of(
            summary(&started).ok_or_else(nothing)?,
            "from exec to the first answer on the control socket".to_owned(),
        ),
    ])
}

/// Starts a node, waits until it answers, and ends it. Answers its resident memory in MiB and the time in ms.
fn start_empty(host: &std::path::Path, scratch: &std::path::Path) -> Result<(f64, f64), RowError> {
    let failed = |message: String| RowError::Failed { command: host.display().to_string(), message };
    let socket = scratch.join("socket");
    let begun = Instant::now();
    let mut node = Command::new(host)
        .args(["run", "--strategy", "tracing", "--socket"])
        .arg(&socket)
        .env("XDG_CACHE_HOME", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| RowError::Start { command: host.display().to_string(), source })?;
    let mut answer = Err(failed("it did not answer within ten seconds".to_owned()));
    while begun.elapsed() < Duration::from_secs(10) {
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            let took = begun.elapsed().as_secs_f64() * 1e3;
            answer = resident_mib(node.id()).map(|memory| (memory, took)).map_err(failed);
            break;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    if let Some(pid) = rustix::process::Pid::from_raw(node.id() as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _ = node.wait();
    answer
}

fn resident_mib(pid: u32) -> Result<f64, String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).ok_or("no VmRSS")?;
    Ok(kib / 1024.0)
}
