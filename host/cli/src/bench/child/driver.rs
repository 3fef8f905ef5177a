//! The node, seen from a workload that is measured: marks the moments between which figures are taken.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gc_heap::HeapStats;
use gc_lab::bench::meter::{Counted, Meter, Spent, sums_of};
use gc_lab::{CollectFailed, Driver, Peers, Phase, Progress};

use crate::bench::child::clocks::{self, Thread};
use crate::bench::child::nodes::Nodes;
use crate::run::Others;

/// Longest wait for the collector's thread to have its name.
const NAMING: Duration = Duration::from_secs(1);

/// What had been used and counted at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) at: Instant,
    pub(crate) process_ns: u64,
    pub(crate) collector_ns: Option<u64>,
    pub(crate) other_ns: u64,
    pub(crate) spent: Spent,
    pub(crate) counted: Counted,
    pub(crate) allocated_objects: u64,
    pub(crate) allocated_bytes: u64,
}

/// The marks of one iteration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// The first sign of building.
    pub(crate) build: Option<Mark>,
    /// The first sign of the measured part, for workloads that build something first.
    pub(crate) mutate: Option<Mark>,
    /// The first sign of the cycles at the end.
    pub(crate) collect: Option<Mark>,
    /// How far the measured part is: done, of how many.
    pub(crate) progress: Option<Progress>,
}

/// See the module.
pub(crate) struct Watch<'n> {
    nodes: &'n Nodes,
    /// One for each node.
    meters: Vec<Meter>,
    collectors: Vec<Thread>,
    peers: Option<Others<'n>>,
    /// Threads that neither collect nor mutate: in a cluster also those that drive it.
    others: Vec<Thread>,
    marks: Mutex<Marks>,
}

impl<'n> Watch<'n> {
    /// Before any mutator thread was started: all threads that there are by now are counted apart from mutators.
    pub(crate) fn new(nodes: &'n Nodes, meters: Vec<Meter>) -> Watch<'n> {
        let (collectors, others) = threads(nodes.all().count());
        let peers = nodes.first.cluster().map(Others);
        Watch { nodes, meters, collectors, peers, others, marks: Mutex::new(Marks::default()) }
    }

    /// An iteration begins.
    pub(crate) fn begin(&self) {
        self.nodes.all().for_each(|node| node.heap().list_holdups());
        *self.lock() = Marks::default();
    }

    /// What was marked so far.
    pub(crate) fn marks(&self) -> Marks {
        self.lock().clone()
    }

    pub(crate) fn mark(&self) -> Mark {
        let (spent, counted) = sums_of(&self.meters);
        let stats: Vec<HeapStats> = self.nodes.all().map(|node| node.heap().stats()).collect();
        let collectors = || self.collectors.iter().map(Thread::cpu_ns).sum::<Option<u64>>();
        Mark {
            collector_ns: if self.collectors.is_empty() { None } else { collectors() },
            other_ns: self.others.iter().filter_map(Thread::cpu_ns).sum(),
            spent,
            counted,
            allocated_objects: stats.iter().map(|stats| stats.allocated_objects_total).sum(),
            allocated_bytes: stats.iter().map(|stats| stats.allocated_bytes_total).sum(),
            process_ns: clocks::process_ns(),
            at: Instant::now(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads of so many collectors, and all others. A thread names itself, so one that was just started may not have its name yet.
fn threads(collecting: usize) -> (Vec<Thread>, Vec<Thread>) {
    let until = Instant::now() + NAMING;
    loop {
        // Whoever sleeps has been accounted for: the kernel brings figures up to date when a thread is taken off its processor.
        std::thread::sleep(Duration::from_millis(1));
        let (collectors, others): (Vec<_>, Vec<_>) =
            Thread::all().into_iter().partition(|(name, _)| name == "gc-collector");
        if collectors.len() >= collecting || Instant::now() >= until {
            let bare = |named: Vec<(String, Thread)>| named.into_iter().map(|(_, thread)| thread).collect();
            return (bare(collectors), bare(others));
        }
    }
}

impl Driver for Watch<'_> {
    fn collect(&self) -> Result<u64, CollectFailed> {
        let cycle = self.nodes.first.collect().map_err(|error| CollectFailed(error.to_string()))?;
        Ok(cycle.condemned_objects)
    }

    fn stop_requested(&self) -> bool {
        // Whoever wants an early end kills the process.
        false
    }

    fn progress(&self, progress: Progress) {
        let mut marks = self.lock();
        let place = match progress.phase {
            Phase::Meet | Phase::Read | Phase::Link => return,
            Phase::Build => &mut marks.build,
            Phase::Mutate => &mut marks.mutate,
            Phase::Collect => &mut marks.collect,
        };
        if place.is_none() {
            if !matches!(progress.phase, Phase::Collect) {
                // Hold-ups from here on are those of the part that begins.
                self.nodes.all().for_each(|node| drop(node.heap().take_holdup_list()));
            }
            *place = Some(self.mark());
        }
        if matches!(progress.phase, Phase::Build | Phase::Mutate) {
            marks.progress = Some(progress);
        }
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.peers.as_ref().map(|peers| peers as &dyn Peers)
    }
}
