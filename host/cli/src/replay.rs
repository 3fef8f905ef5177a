//! `host replay`: a recorded trace under any strategy.
//!
//! ```text
//!  trace ──▶ plan ──▶ mutators of a fresh node ──▶ report
//!                       │        ▲
//!     --deterministic:  └ cycle ─┘  between two operations, nothing beside
//! ```

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use gc_heap::Cause;
use gc_lab::trace::{Clockwork, Due, Pace, Replay, ReplayReport, Ticked};
use gc_lab::{CollectFailed, Driver, WorkloadError};
use gc_node::{CycleRecord, Node, NodeConfig, Status, StrategySource};
use serde::Serialize;

use crate::output;
use crate::run::{Load, Show, Stop, check_heap, default_cache};
use crate::units::{Size, bytes, count, nanoseconds};

/// Do the work of a trace again, under any strategy.
///
/// The mutators of the recording come back one at a time, in an order that is the same in each replay. Cycles are begun as on any node; with
/// --deterministic they are begun at the same places each time, so that cycles, verdicts and fuel are the same, and one line of digits says so.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The trace
    file: PathBuf,
    /// A built-in strategy (see `host strategy list`), or the path of a component
    #[arg(long, short, value_name = "NAME|PATH", default_value = "tracing")]
    strategy: String,
    /// Most memory that objects may take, such as 64MiB [default: as in the recording]
    #[arg(long, value_name = "SIZE")]
    heap: Option<Size>,
    /// Set an option of the strategy (see `host strategy inspect`)
    #[arg(long, value_name = "OPTION=VALUE", value_parser = crate::config::setting)]
    set: Vec<(String, String)>,
    /// Cycles at the same places each time, fuel counted, one line of digits that two replays can be compared by
    #[arg(long, conflicts_with = "pace")]
    deterministic: bool,
    /// As fast as it goes, or no faster than it was recorded
    #[arg(long, value_enum, default_value_t = Speed::Free)]
    pace: Speed,
    /// Where compiled code is kept between runs [default: gc-host in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Print events and the summary as JSON lines on standard output; the last line has "event": "summary"
    #[arg(long)]
    json: bool,
    /// Print no line per cycle
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  host run --load churn --for 10s --record churn.trace
  host replay churn.trace --strategy refcount
  host replay churn.trace --strategy ./epoch.wasm --deterministic
  host replay service.trace --pace recorded --heap 256MiB";

#[derive(Debug, Copy, Clone, PartialEq, Eq, clap::ValueEnum)]
enum Speed {
    /// As fast as it goes
    Free,
    /// Not before the time at which it was recorded
    Recorded,
}

/// The summary. Scripts rely on the names of its fields: none goes, none changes its meaning.
#[derive(Debug, Serialize)]
struct Summary {
    event: &'static str,
    strategy: String,
    version: String,
    digest: String,
    tenure: String,
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    operations: u64,
    objects: u64,
    references: u64,
    payload_bytes: u64,
    threads: u32,
    taken: u64,
    left_over: u64,
    stopped: bool,
    cycles: u64,
    refused_verdicts: u64,
    heap_live_objects: u64,
    heap_reclaimed_objects: u64,
    heap_used_bytes: u64,
    pause_ns_p50: u64,
    pause_ns_p999: u64,
    pause_ns_max: u64,
    late_ns_max: u64,
    plan_ns: u64,
    replay_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy_fuel: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_digest: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let stop = Stop::on_signals(None)?;
    let planned = Instant::now();
    let replay = Replay::open(&args.file)?;
    let plan_ns = ns(planned.elapsed());
    let node = Node::start(config(&args, &replay)?)?;
    let began = Instant::now();
    let mut show = Show::new(args.json, args.quiet, &node, None, began);
    let load = Load::new(&node, &stop);
    let works = Works { node: &node };
    let pace = match (args.deterministic, args.pace) {
        (true, _) => Pace::Deterministic(&works),
        (false, Speed::Free) => Pace::Free,
        (false, Speed::Recorded) => Pace::Recorded,
    };
    let done = std::thread::scope(|threads| {
        let work = || {
            let report = replay.run(node.heap(), &pace, &load)?;
            // A deterministic replay has run its last cycles itself.
            if !args.deterministic && !report.stopped {
                load.collect()?;
            }
            Ok::<_, WorkloadError>(report)
        };
        let replaying = std::thread::Builder::new().name("host-replay".into()).spawn_scoped(threads, work);
        let replaying =
            replaying.context("cannot start a thread: raise the limit on processes and threads")?;
        while !replaying.is_finished() {
            show.turn(&node, load.progress());
        }
        match replaying.join() {
            Ok(report) => Ok(report?),
            Err(_) => bail!("the replay panicked: this is a bug of `host`, please report it with the trace"),
        }
    });
    show.end(&node);
    let report = done?;
    let summary = Summary::new(&replay, &report, &node.status(0), plan_ns);
    node.shutdown();
    summary.print(args.json)?;
    if let Some(damage) = &report.damage {
        bail!("{} is damaged at {damage}: what stands before that was replayed", args.file.display());
    }
    Ok(())
}

fn config(args: &Args, replay: &Replay) -> anyhow::Result<NodeConfig> {
    let mut node = NodeConfig {
        strategy: StrategySource::from(args.strategy.as_str()),
        options: args.set.iter().cloned().collect(),
        cache_dir: args.cache.clone().or_else(default_cache),
        deterministic: args.deterministic,
        ..NodeConfig::default()
    };
    let recorded = replay.file().facts().number("heap_bytes");
    node.heap.limit_bytes = args.heap.map(|size| size.0).or(recorded).unwrap_or(node.heap.limit_bytes);
    check_heap(node.heap.limit_bytes)?;
    Ok(node)
}

/// The node, as a deterministic replay asks it for cycles.
struct Works<'n> {
    node: &'n Node,
}

impl Clockwork for Works<'_> {
    fn cycle(&self, cause: Due) -> Result<Ticked, CollectFailed> {
        let cause = match cause {
            Due::Goal => Cause::Goal,
            Due::Full => Cause::Full,
            Due::End => Cause::Request,
        };
        let cycle = self.node.collect_for(cause).map_err(|error| CollectFailed(error.to_string()))?;
        Ok(Ticked {
            goal_bytes: cycle.goal_bytes,
            condemned_objects: cycle.condemned_objects,
            facts: facts(&cycle),
        })
    }
}

/// Everything about a cycle that does not depend on time.
fn facts(cycle: &CycleRecord) -> String {
    let CycleRecord { cycle: number, strategy, digest, cause, outcome, reason, .. } = cycle;
    format!(
        "{number} {strategy} {digest} {cause} {outcome} {reason:?} live {} {} {} condemned {} {} freed {} {} withheld {} steps {} \
         shaded {} changes {} used {} fuel {}",
        cycle.live_objects,
        cycle.live_cells,
        cycle.live_bytes,
        cycle.condemned_objects,
        cycle.condemned_bytes,
        cycle.freed_objects,
        cycle.freed_bytes,
        cycle.withheld_cells,
        cycle.steps,
        cycle.shaded,
        cycle.changes,
        cycle.used_bytes,
        cycle.strategy_fuel
    )
}

fn ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Summary {
    fn new(replay: &Replay, report: &ReplayReport, status: &Status, plan_ns: u64) -> Summary {
        let heap = &status.heap;
        let fuel = status.last_cycle.as_ref().map(|cycle| cycle.strategy_fuel).filter(|&fuel| fuel > 0);
        Summary {
            event: "summary",
            strategy: status.strategy.name.clone(),
            version: status.strategy.version.clone(),
            digest: status.strategy.digest.clone(),
            tenure: status.tenure.clone(),
            complete: replay.file().is_complete() && report.damage.is_none(),
            damage: report.damage.as_ref().map(ToString::to_string),
            problem: replay.file().problem().map(str::to_owned),
            operations: report.operations,
            objects: report.objects,
            references: report.references,
            payload_bytes: report.payload_bytes,
            threads: report.threads,
            taken: report.taken,
            left_over: report.left_over,
            stopped: report.stopped,
            cycles: status.cycles,
            refused_verdicts: status.refused,
            heap_live_objects: heap.live_objects,
            heap_reclaimed_objects: heap.condemned_objects,
            heap_used_bytes: heap.used_bytes,
            pause_ns_p50: heap.pause_ns_p50,
            pause_ns_p999: heap.pause_ns_p999,
            pause_ns_max: heap.pause_ns_max,
            late_ns_max: ns(report.late),
            plan_ns,
            replay_ns: ns(report.took),
            strategy_fuel: fuel,
            replay_digest: report.digest.clone(),
        }
    }

    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        if let Some(problem) = &self.problem {
            output::line(format!("recorded   not to the end: {problem}"))?;
        }
        if self.stopped {
            output::line("the replay was stopped")?;
        }
        if self.left_over > 0 {
            output::line(format!(
                "left over  {} events, for what they build on is missing",
                count(self.left_over)
            ))?;
        }
        output::line(format!(
            "replayed   {} operations of {} mutators in {}, planned in {}",
            count(self.operations),
            self.threads,
            nanoseconds(self.replay_ns),
            nanoseconds(self.plan_ns)
        ))?;
        output::line(format!(
            "objects    {} live, {} reclaimed in {} cycles, {} in use",
            count(self.heap_live_objects),
            count(self.heap_reclaimed_objects),
            count(self.cycles),
            bytes(self.heap_used_bytes)
        ))?;
        output::line(format!(
            "pauses     p50 {}, p99.9 {}, longest {}",
            nanoseconds(self.pause_ns_p50),
            nanoseconds(self.pause_ns_p999),
            nanoseconds(self.pause_ns_max)
        ))?;
        if let Some(fuel) = self.strategy_fuel {
            output::line(format!("fuel       {}", count(fuel)))?;
        }
        self.replay_digest.as_ref().map_or(Ok(()), |digest| output::line(format!("digest     {digest}")))
    }
}
