//! `host bench`: which collector is better for this work, with intervals and pictures.
//!
//! ```text
//!  flags ─▶ setup ─▶ comparison ─▶ report ─▶ answer: verdicts, files, exit code
//!                        │
//!                        └─ conduct ─▶ a process per run (`child`)
//! ```

pub(crate) mod child;

mod answer;
mod comparison;
mod conduct;
mod progress;
mod subjects;
mod versions;
mod works;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gc_lab::WorkloadSpec;
use gc_lab::answer::Answer;
use gc_lab::answer::limit::Limit;
use gc_lab::bench::model::{Environment, Plan, Workload};
use gc_lab::export::from_json;
use gc_lab::trace::TraceFile;

use crate::Usage;
use crate::bench::comparison::{Comparison, Setup};
use crate::bench::progress::Progress;
use crate::run::stop::Stop;
use crate::units::{Size, Span};

/// Compare strategies on the same work: overhead, pauses, latency, memory. Every run has a process of its own; the order is shuffled in each round.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The first strategy: a built-in one or the path of a component, with options behind a question mark. The others are compared with it
    #[arg(long, value_name = "NAME|PATH[?OPTION=VALUE&...]", required_unless_present = "report")]
    a: Option<String>,
    /// The second strategy
    #[arg(long, value_name = "NAME|PATH")]
    b: Option<String>,
    /// The third strategy
    #[arg(long, value_name = "NAME|PATH")]
    c: Option<String>,
    /// The fourth strategy
    #[arg(long, value_name = "NAME|PATH")]
    d: Option<String>,
    /// The fifth strategy
    #[arg(long, value_name = "NAME|PATH")]
    e: Option<String>,
    /// The work, several with commas between them: the texts of `host run --load`
    #[arg(long, short, value_name = "WORKLOAD", value_delimiter = ',')]
    workload: Vec<String>,
    /// Recorded work: a file that `host run --record` wrote
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// Heaps, in multiples of the smallest one in which a strategy gets through [default: 1x,1.5x,2x,3x,6x; with --quick 1.5x,3x]
    #[arg(long, value_name = "MULTIPLES", value_delimiter = ',', value_parser = multiple)]
    heap: Vec<f64>,
    /// Largest heap: of the baseline, and of the search for the smallest one [default: half of the memory that is free, at most 4GiB]
    #[arg(long, value_name = "SIZE")]
    heap_max: Option<Size>,
    /// Rounds: each has every strategy once per workload and heap [default: 10; with --quick as many as fit into two minutes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Untimed iterations of the workload before the timed one, in each run [default: 1; with --quick 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    warmup: Option<u32>,
    /// Nodes that random-workers runs on, all in one process for each run; each has the heap that is given [default: what the workload says]
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Measure what a swap to the next strategy costs, at this share of the work, such as 0.5
    #[arg(long, value_name = "SHARE", value_parser = share)]
    swap_at: Option<f64>,
    /// An answer in two minutes: less work, fewer heaps, as many rounds as fit
    #[arg(long)]
    quick: bool,
    /// As many rounds as fit into this time with everything else, but at least six, without which nothing can be said; --rounds are the most
    #[arg(long, value_name = "DURATION", conflicts_with = "quick")]
    within: Option<Span>,
    /// Of the order of runs and of the workloads: the same seed does the same work
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A run that takes longer has failed
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    timeout: Span,
    /// Run nothing: answer from the report.json of an earlier comparison, also of one that was killed, and write its page and tables again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["a", "b", "c", "d", "e", "workload", "trace", "heap", "heap_max", "rounds",
        "warmup", "nodes", "swap_at", "quick", "within", "seed", "timeout"])]
    report: Option<PathBuf>,
    /// Folder for the report [default: bench-DATE-TIME; with --report that of the file]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// End with exit code 4 when this is found, such as 'cpu > +3%', 'service/metered-p999@2x > 50us'; can be given several times
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<String>,
    /// Print one JSON object on standard output and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  host bench --a tracing --b mark-sweep --workload gcbench --quick
  host bench --a ./mine.wasm --b tracing --workload service,churn --rounds 20 --heap 1.5x,2x,4x
  host bench --a 'tracing' --b './mine.wasm?depth=3' --trace night.trace --swap-at 0.5
  host bench --a tracing --b refcount --workload gcbench,queue --within 10m
  host bench --a tracing --b refcount --nodes 3 --workload random-workers --fail-if 'messages > +10%'
  host bench --a ./old.wasm --b ./new.wasm --workload churn --fail-if 'cpu > +3%'
  host bench --report bench-20261121-104500/report.json

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 a --fail-if condition was found, 130 interrupted.";

/// Rounds of the first strategy against itself, at most.
const NOISE_ROUNDS_MAX: u32 = 20;

/// With `--within`: rounds at most where no number is given, and rounds of the first strategy against itself.
const WITHIN_ROUNDS_MAX: u32 = 40;
const WITHIN_NOISE_ROUNDS: u32 = 7;

/// A multiple of the smallest heap.
fn multiple(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches(['x', 'X']).parse::<f64>().ok();
    number
        .filter(|multiple| (1.0..=1000.0).contains(multiple))
        .ok_or_else(|| format!("'{text}' is no multiple of a heap: write a number from 1, such as 1.5x"))
}

fn share(text: &str) -> Result<f64, String> {
    let number = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse::<f64>(),
    };
    let number = number.ok().filter(|share| *share > 0.0 && *share < 1.0);
    number.ok_or_else(|| {
        format!("'{text}' is no share of the work: write a number between 0 and 1, such as 0.5")
    })
}

/// Conditions that were found to hold: the comparison itself is done.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) String);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Found {}

/// The comparison was ended by its user, and what there was is written.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted: what had been measured is in the report")
    }
}

impl std::error::Error for Interrupted {}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let limits = answer::limits(&args.fail_if)?;
    if let Some(file) = &args.report {
        return again(args, file, &limits);
    }
    let setup = setup(args)?;
    check(&limits, &setup.workloads, &setup.plan)?;
    let damaged = damaged_traces(&setup)?;
    let stop = Stop::on_signals(None)?;
    let out = answer::Out::open(args.out.as_deref())?;
    let mut environment = Environment::of_system();
    versions::fill_in(&mut environment);
    if !args.json {
        answer::greet(&setup, &environment);
    }
    let keep = |report: &_| out.keep(report);
    let report = Comparison::new(&setup, environment, &stop, Progress::new(args.json), &keep).run();
    let mut report = match report {
        Ok(report) => report,
        Err(error) => {
            out.abandon();
            return Err(error);
        }
    };
    report.remarks.extend(damaged);
    let answer = Answer::of(&report);
    // The words first: they are there even if the disk is full.
    let found = answer::tell(&report, &answer, &limits, &out, args.json)?;
    out.write(&report, &answer)?;
    if report.interrupted {
        bail!(Interrupted);
    }
    match found {
        Some(found) => bail!(Found(found)),
        None => Ok(()),
    }
}

/// The answer to what was measured before.
fn again(args: &Args, file: &Path, limits: &[Limit]) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", file.display());
    let text = std::fs::read_to_string(file).with_context(cannot)?;
    let report = from_json(&text).with_context(cannot)?;
    check(limits, &report.workloads, &report.plan)?;
    let folder = args.out.as_deref().or_else(|| file.parent().filter(|folder| *folder != Path::new("")));
    let out = answer::Out::open(Some(folder.unwrap_or(Path::new("."))))?;
    let answer = Answer::of(&report);
    let found = answer::tell(&report, &answer, limits, &out, args.json)?;
    out.write(&report, &answer)?;
    found.map_or(Ok(()), |found| bail!(Found(found)))
}

/// A limit on what is not compared would never be broken: it is a slip of the pen, and told before anything runs.
fn check(limits: &[Limit], workloads: &[Workload], plan: &Plan) -> Result<(), Usage> {
    let labels: Vec<&str> = workloads.iter().map(|workload| workload.label.as_str()).collect();
    for limit in limits {
        if let Some(other) = limit.workload.as_deref().filter(|name| !labels.contains(name)) {
            let there = labels.join(", ");
            return Err(Usage(format!(
                "--fail-if '{}': {other} is not compared here: take one of {there}",
                limit.text
            )));
        }
        let heaps = &plan.heap_multiples;
        if let Some(other) = limit.heap_multiple.filter(|heap| !heaps.contains(heap)) {
            let there: Vec<String> = heaps.iter().map(|heap| format!("{heap}x")).collect();
            let there = there.join(", ");
            return Err(Usage(format!(
                "--fail-if '{}': {other}x is not measured: take one of {there}",
                limit.text
            )));
        }
    }
    Ok(())
}

/// What a reader must know of traces that are not whole. One that cannot be used at all is an error.
fn damaged_traces(setup: &Setup) -> anyhow::Result<Vec<String>> {
    let mut damaged = Vec::new();
    for workload in setup.workloads.iter().filter(|workload| workload.text.starts_with("trace:")) {
        let spec: Option<WorkloadSpec> = workload.text.parse().ok();
        let Some(path) = spec.as_ref().and_then(WorkloadSpec::path) else { continue };
        if let Some(damage) = TraceFile::open(path)?.damage() {
            damaged.push(format!(
                "{} is damaged at {damage}: what stands before that was replayed",
                path.display()
            ));
        }
    }
    Ok(damaged)
}

fn setup(args: &Args) -> anyhow::Result<Setup> {
    let named = [&args.a, &args.b, &args.c, &args.d, &args.e];
    let texts: Vec<String> = named.into_iter().flatten().cloned().collect();
    if texts.len() < 2 {
        let what = "one strategy alone cannot be compared: give another one with --b";
        return Err(Usage(what.into()).into());
    }
    let mut works = args.workload.clone();
    works.extend(args.trace.iter().map(|path| format!("trace:{}", path.display())));
    if works.is_empty() {
        return Err(Usage("there is no work to compare on: give --workload or --trace".into()).into());
    }
    let workloads = works::read(&works, args.quick, args.nodes)?;
    let cache = crate::run::default_cache();
    let (entrants, baseline) = entrants(&texts, cache.as_deref())?;
    let within = args.within.map(|span| span.0);
    let rounds = args.rounds.unwrap_or(if within.is_some() { WITHIN_ROUNDS_MAX } else { 10 });
    let mut heap_multiples = match (args.heap.is_empty(), args.quick) {
        (false, _) => args.heap.clone(),
        (true, false) => vec![1.0, 1.5, 2.0, 3.0, 6.0],
        (true, true) => vec![1.5, 3.0],
    };
    heap_multiples.sort_unstable_by(f64::total_cmp);
    heap_multiples.dedup();
    let plan = Plan {
        heap_multiples,
        rounds,
        noise_rounds: rounds.min(if within.is_some() { WITHIN_NOISE_ROUNDS } else { NOISE_ROUNDS_MAX }),
        warmup_iterations: args.warmup.unwrap_or(u32::from(!args.quick)),
        seed: args.seed,
        nodes: workloads.iter().map(|workload| works::nodes(&workload.text)).max().unwrap_or(1),
        timeout_ns: args.timeout.0.as_nanos() as u64,
        swap_at: args.swap_at,
        quick: args.quick,
    };
    Ok(Setup {
        entrants,
        baseline,
        workloads,
        plan,
        may_choose_rounds: args.quick && args.rounds.is_none(),
        within,
        heap_max_bytes: comparison::heap_max_bytes(args.heap_max.map(|size| size.0)),
        cache,
        command: command(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())),
    })
}

/// Words for `host` as they are written in a shell.
fn command(words: impl Iterator<Item = String>) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:%+@".contains(letter);
    let quoted = |word: String| match !word.is_empty() && word.chars().all(plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    std::iter::once("host".to_owned()).chain(words.map(quoted)).collect::<Vec<_>>().join(" ")
}

/// The strategies, with `none` among them: as one that takes part, or as the baseline alone.
fn entrants(
    texts: &[String],
    cache: Option<&std::path::Path>,
) -> anyhow::Result<(Vec<subjects::Entrant>, usize)> {
    const BASELINE: &str = "none";
    let mut texts = texts.to_vec();
    let there = texts.iter().position(|text| text == BASELINE);
    if there.is_none() {
        texts.push(BASELINE.into());
    }
    let mut entrants = subjects::load(&texts, cache)?;
    let baseline = there.unwrap_or(entrants.len() - 1);
    entrants[baseline].subject.baseline = there.is_none();
    Ok((entrants, baseline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_given_to_a_shell_again() {
        let words = ["bench", "--a", "./x y.wasm", "--workload", "churn?live=1k", "it's", ""];
        assert_eq!(
            command(words.map(str::to_owned).into_iter()),
            r"host bench --a './x y.wasm' --workload 'churn?live=1k' 'it'\''s' ''"
        );
    }

    #[test]
    fn heaps_and_shares_are_read_as_people_write_them() {
        assert_eq!(
            (multiple("1.5x"), multiple("6"), share("50%"), share("0.25")),
            (Ok(1.5), Ok(6.0), Ok(0.5), Ok(0.25))
        );
        for text in ["0.5x", "x", "-1", "64MiB", ""] {
            assert!(multiple(text).unwrap_err().contains("1.5x"), "{text}");
        }
        for text in ["0", "1", "150%", "half"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
