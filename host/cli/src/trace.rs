//! `host trace`: what is in a trace.

use std::path::PathBuf;

use clap::Subcommand;
use gc_lab::trace::{Cut, TraceFile, TraceInfo, cut, head};

use crate::Usage;
use crate::output;
use crate::run::is_same;
use crate::units::{Span, bytes, count, nanoseconds};

/// Look into traces.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say what is in a trace: threads, time, operations by kind, bytes for each, the heap that it needs.
    Info(Info),
    /// Show the first events, in the order in which a replay carries them out.
    Head(Head),
    /// Write the beginning of a trace to another file.
    Cut(CutArgs),
}

/// Say what is in a trace.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host trace info churn.trace\n  host trace info churn.trace --json | jq .counts"
)]
pub(crate) struct Info {
    /// The trace
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Show the first events.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host trace head churn.trace\n  host trace head churn.trace --events 1000 --json"
)]
pub(crate) struct Head {
    /// The trace
    file: PathBuf,
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    events: u64,
    /// Print one JSON object per event
    #[arg(long)]
    json: bool,
}

/// Write the beginning of a trace to another file.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  host trace cut churn.trace short.trace --ops 100000\n  host trace cut churn.trace short.trace --until 2s"
)]
pub(crate) struct CutArgs {
    /// The trace
    file: PathBuf,
    /// The file to write
    to: PathBuf,
    /// Keep so many operations
    #[arg(long, value_name = "N")]
    ops: Option<u64>,
    /// Keep what happened in this time from the begin of the recording, such as 10s
    #[arg(long, value_name = "DURATION")]
    until: Option<Span>,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Info(args) => info(&args),
        Command::Head(args) => show(&args),
        Command::Cut(args) => shorten(&args),
    }
}

fn info(args: &Info) -> anyhow::Result<()> {
    let info = TraceInfo::of(&TraceFile::open(&args.file)?)?;
    if args.json { output::json(&info) } else { output::line(text(&info)) }
}

fn text(info: &TraceInfo) -> String {
    let seconds = info.duration_ns as f64 / 1e9;
    let state = match (&info.damage, &info.problem) {
        (Some(damage), _) => format!("good up to the damage at {damage}"),
        (None, Some(problem)) => format!("recorded up to a problem: {problem}"),
        (None, None) => "complete".into(),
    };
    let mut lines = vec![
        format!("version    {}, {}, {state}", info.version, bytes(info.file_bytes)),
        format!(
            "recorded   {} mutators in {}, {} operations per second",
            info.threads,
            nanoseconds(info.duration_ns),
            crate::units::rate(info.operations as f64 / seconds.max(1e-9))
        ),
        format!(
            "operations {}, {:.2} bytes of the file for each",
            count(info.operations),
            info.bytes_per_operation
        ),
    ];
    let kinds = &info.counts;
    for (name, kind) in [
        ("alloc", kinds.alloc),
        ("load", kinds.load),
        ("store", kinds.store),
        ("read", kinds.read),
        ("retire", kinds.retire),
        ("find", kinds.found),
        ("find none", kinds.gone),
        ("root set", kinds.root_set),
        ("root read", kinds.root_get),
        ("pin", kinds.pin),
        ("pin read", kinds.pin_read),
        ("unpin", kinds.unpin),
        ("(scope)", kinds.scope),
    ] {
        if kind > 0 {
            lines.push(format!("  {name:<9} {:>15}", count(kind)));
        }
    }
    let bound = if info.cyclic { "at most " } else { "" };
    lines.push(format!(
        "heap       {bound}{} alive at once, {} of payload and {} references in all",
        bytes(info.live_bytes_max),
        bytes(info.payload_bytes),
        count(info.references)
    ));
    if info.left_over > 0 {
        lines.push(format!("left over  {} events, for what they build on is missing", count(info.left_over)));
    }
    lines.extend(info.facts.iter().map(|(key, value)| format!("{key:<10} {value}")));
    lines.join("\n")
}

fn show(args: &Head) -> anyhow::Result<()> {
    let file = TraceFile::open(&args.file)?;
    let mut left = args.events;
    let mut printed = Ok(());
    head(&file, &mut |line| {
        if left > 0 {
            left -= 1;
            printed = if args.json {
                output::json(&line)
            } else {
                output::line(format!("{:>12} us  {:>4}  {}", line.at_us, line.thread, line.event))
            };
        }
        left > 0 && printed.is_ok()
    })?;
    printed
}

fn shorten(args: &CutArgs) -> anyhow::Result<()> {
    if args.ops.is_none() && args.until.is_none() {
        return Err(Usage("nothing says where to cut: give --ops N, --until DURATION, or both".into()).into());
    }
    let file = TraceFile::open(&args.file)?;
    if is_same(&args.file, &args.to) {
        return Err(
            Usage(format!("{} cannot be cut onto itself: give another file", args.to.display())).into()
        );
    }
    let until_us = args.until.map(|span| u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX));
    let kept = cut(&file, Cut { operations: args.ops, until_us }, &args.to)?;
    output::line(format!("{}: {} of {} operations", args.to.display(), count(kept), count(file.operations())))
}
