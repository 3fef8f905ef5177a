//! `host run`: a node, with or without a load, until the load ends or somebody stops it.
//!
//! ```text
//!  flags + file ──▶ settings ──▶ Node ──events──▶ show (live view, lines or JSON)
//!                                  ▲
//!                  load thread ────┘ workload ──▶ report ──▶ summary
//! ```

mod beside;
mod budget;
mod canary;
mod cluster;
mod company;
mod load;
mod machine;
pub(crate) mod place;
mod record;
mod settings;
mod show;
pub(crate) mod stop;
mod summary;
mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use gc_lab::WorkloadSpec;
use gc_node::{Node, NodeConfig};

use crate::output::note;
use crate::units::{Size, Span};
use canary::Canary;
pub(crate) use cluster::Others;
pub(crate) use company::Company;
pub(crate) use load::Load;
pub(crate) use machine::check_heap;
use record::Record;
pub(crate) use record::is_same;
use settings::Settings;
pub(crate) use settings::default_cache;
pub(crate) use show::Show;
pub(crate) use stop::Stop;
use summary::{Pending, Summary};

/// Start a node: a heap, a strategy that collects it, a control socket for `host status`, `host swap` and the others, and, with --load, mutators that
/// drive it. Runs until the load ends, the time is over, or Ctrl-C.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A built-in strategy (see `host strategy list`), or the path of a component [default: tracing]
    #[arg(long, short, value_name = "NAME|PATH")]
    strategy: Option<String>,
    /// Drive the heap: churn[?key=value&...], gcbench, service, git:PATH, ... (all in docs/workloads.md)
    #[arg(long, short, value_name = "WORKLOAD", value_parser = workload)]
    load: Option<WorkloadSpec>,
    /// Most memory that objects may take, such as 64MiB or 2GiB [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    heap: Option<Size>,
    /// Read settings from a TOML file; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set an option of the strategy (see `host strategy inspect`)
    #[arg(long, value_name = "OPTION=VALUE", value_parser = crate::config::setting)]
    set: Vec<(String, String)>,
    /// Serve Prometheus metrics, such as on 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// The control socket [default: control.sock in $XDG_RUNTIME_DIR/gc-host or /tmp/host-UID]
    #[arg(long, value_name = "PATH", env = "HOST_SOCKET")]
    socket: Option<PathBuf>,
    /// Append every step of every swap to a file, as JSON lines
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Where compiled code is kept between runs [default: gc-host in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Write the ids of reclaimed objects, one per line (git:, git-history: and graph: only)
    #[arg(long, value_name = "FILE")]
    reclaimed: Option<PathBuf>,
    /// Record what the mutators do, for `host replay` and `host bench`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Prove every verdict before it is carried out. `off` is for measuring: a wrong strategy then loses objects
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    proof: Option<bool>,
    #[command(flatten)]
    canary: canary::CanaryFlags,
    #[command(flatten)]
    cluster: cluster::Flags,
    /// Stop after this time, such as 30s
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<Span>,
    /// Print events and the summary as JSON lines on standard output; the last line has "event": "summary"
    #[arg(long)]
    json: bool,
    /// Print no line per cycle
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  host run --strategy tracing --load git:.
  host run --strategy ./epoch.wasm --load 'git-history:.?keep=100' --heap 256MiB
  host run --load churn --for 30s --metrics 127.0.0.1:9464
  host run --load graph:heap.txt --reclaimed gone.txt --json
  host run --load churn --for 10s --record churn.trace
  host run --load service --canary refcount --budget 'p999 < 50us' --budget 'cpu < +3%'
  host run --listen 127.0.0.1:7001 --certs certs --node n1 --state s1        a node of a cluster; see `host cert`
  host run                                       serve until Ctrl-C; talk to it with `host status`";

fn workload(text: &str) -> Result<WorkloadSpec, String> {
    text.parse().map_err(|error: gc_lab::SpecError| error.to_string())
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("'{text}' is neither: write on or off")),
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let stop = Stop::on_signals(args.duration.map(|span| span.0))?;
    let mut settings = Settings::new(args)?;
    if !settings.node.heap.proof {
        note(
            "warning: the proof is off: a wrong strategy loses objects that are in use; this is for measuring only",
        );
    }
    let asked_for = settings.node.strategy.label();
    let reclaimed = settings.reclaimed.as_deref().map(Pending::open).transpose()?;
    let mut record = settings
        .record
        .as_deref()
        .map(|path| Record::start(path, &mut settings.node, settings.load.as_ref()));
    let mut record = record.take().transpose()?;
    let began = Instant::now();
    let (node, mut company) = nodes(settings.node, settings.company)?;
    let mut canary = settings.canary.map(|order| Canary::begin(&node, order)).transpose()?;
    let mut show = Show::new(settings.json, settings.quiet, &node, settings.load.as_ref(), began);
    let load = Load::new(&node, &stop);
    let done = std::thread::scope(|threads| {
        let loading = settings.load.as_ref().map(|spec| {
            let (heap, load, company) = (node.heap(), &load, company.as_ref());
            let work = move || match company {
                Some(company) => company.run(spec, heap, load),
                None => spec.run(heap, load),
            };
            std::thread::Builder::new().name("host-load".into()).spawn_scoped(threads, work)
        });
        let loading =
            loading.transpose().context("cannot start a thread: raise the limit on processes and threads")?;
        loop {
            show.turn(&node, load.progress());
            record.iter_mut().for_each(Record::watch);
            canary.iter_mut().for_each(Canary::watch);
            match &loading {
                Some(thread) if thread.is_finished() => break,
                Some(_) => {}
                None if stop.requested() => break,
                None => {}
            }
            let failed = || node.failure();
            if let Some(why) = node.cluster().and_then(gc_node::Cluster::ended).or_else(failed) {
                stop.request();
                if loading.is_none() {
                    bail!(why);
                }
            }
        }
        let Some(loading) = loading else { return Ok(None) };
        match loading.join() {
            Ok(report) => Ok::<_, anyhow::Error>(Some(report)),
            Err(_) => bail!("the workload panicked: this is a bug of `host`, please report it"),
        }
    });
    node.heap().end_recording();
    // A load that could not even begin leaves no trace: what is dropped before anything is recorded changes nothing.
    let recorded = record.filter(|_| matches!(done, Ok(None | Some(Ok(_))))).map(Record::finish);
    let decided = canary.map(Canary::finish);
    let report = finish(&node, &mut show, done)?;
    let status = node.status(0);
    let summary = Summary::new(&status, report.as_ref(), recorded, decided, began.elapsed());
    show.end(&node);
    let failed_beside = company.as_ref().and_then(Company::failure);
    company.iter_mut().for_each(Company::shutdown);
    node.shutdown();
    // A disk that is full is no reason not to say what happened.
    let kept = reclaimed.zip(report.as_ref()).map(|(pending, report)| pending.write(report));
    let ids = settings.reclaimed.as_deref().filter(|_| matches!(kept, Some(Ok(true))));
    summary.print(settings.json, report.as_ref(), ids)?;
    kept.transpose()?;
    if settings.load.is_some() && status.tenure == "held" {
        bail!(
            "the strategy {asked_for} failed and 'hold' took its place, which frees nothing: see the messages above"
        );
    }
    match failed_beside {
        Some(why) => bail!("{why}: see what `host run --json` says on a node of its own"),
        None => Ok(()),
    }
}

/// Starts the node, and with it the others that the load needs.
fn nodes(config: NodeConfig, company: Option<u32>) -> anyhow::Result<(Node, Option<Company>)> {
    let Some(nodes) = company else { return Ok((Node::start(config)?, None)) };
    let mut company = Company::prepare()?;
    let cluster = Some(company.seat(1, None)?);
    let first = Node::start(NodeConfig { cluster, ..config.clone() })?;
    company.start::<anyhow::Error>(&first, nodes, |_| Ok(config.clone()))?;
    Ok((first, Some(company)))
}

type Loaded = anyhow::Result<Option<Result<gc_lab::WorkloadReport, gc_lab::WorkloadError>>>;

/// Frees what the load has left in quarantine; an error of the load goes on after the screen is in order.
fn finish(node: &Node, show: &mut Show, done: Loaded) -> anyhow::Result<Option<gc_lab::WorkloadReport>> {
    match done {
        Ok(Some(Ok(report))) => {
            node.release_quarantine()?;
            Ok(Some(report))
        }
        Ok(None) => Ok(None),
        Ok(Some(Err(error))) => {
            show.end(node);
            Err(error.into())
        }
        Err(error) => {
            show.end(node);
            Err(error)
        }
    }
}
