//! Several nodes in one process, for work that needs several: each with a heap, a collector thread and a strategy of its own, in a cluster over the
//! loopback address, with certificates that are gone at the end.
//!
//! ```text
//!  n1: heap, strategy, driver ◀── QUIC, 127.0.0.1 ──▶ n2 ◀──▶ n3 ...
//!   ▲                                                 ▲
//!   └── the workload's thread, seen by whoever watches └── a thread for each
//! ```
//!
//! n1 is the one that `host` shows, records and answers for; it founds the cluster and ends last.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use gc_cluster::Decides;
use gc_cluster::authority::Authority;
use gc_heap::Heap;
use gc_lab::{CollectFailed, Driver, Peers, Progress, WorkloadError, WorkloadReport, WorkloadSpec};
use gc_node::{Cluster, ClusterConfig, Node, NodeConfig};

use crate::run::cluster::Others;
use crate::run::place::Place;

/// Any free port of this machine.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Days for which certificates are good that are gone when the process ends.
const DAYS: i64 = 1;

/// The nodes beside the first one.
pub(crate) struct Company {
    others: Vec<Node>,
    place: Place,
    authority: Authority,
}

impl Company {
    /// Before any node is there.
    pub(crate) fn prepare() -> anyhow::Result<Company> {
        let place = Place::new()?;
        let authority = Authority::init(place.path(), "company")?;
        Ok(Company { others: Vec::new(), place, authority })
    }

    /// What makes a node that of a number. The first one needs nobody to join.
    pub(crate) fn seat(&mut self, number: usize, first: Option<&Node>) -> anyhow::Result<ClusterConfig> {
        let name = format!("n{number}");
        let certs = self.place.path().join(&name);
        self.authority.issue(&name, &certs, DAYS)?;
        Ok(ClusterConfig {
            listen: LOOPBACK,
            advertise: None,
            join: first.and_then(Node::cluster).map(Cluster::address).into_iter().collect(),
            certs,
            name: Some(name.clone()),
            state: self.place.path().join(format!("{name}-state")),
            decides: Decides::Seat,
        })
    }

    /// Starts the others, with what `config` says for each.
    pub(crate) fn start<E: From<anyhow::Error> + From<gc_node::NodeError>>(
        &mut self,
        first: &Node,
        nodes: u32,
        config: impl Fn(usize) -> Result<NodeConfig, E>,
    ) -> Result<(), E> {
        for number in 2..=nodes as usize {
            let cluster = Some(self.seat(number, Some(first))?);
            let config =
                NodeConfig { cluster, control: None, metrics: None, journal: None, ..config(number)? };
            self.others.push(Node::start(config)?);
        }
        Ok(())
    }

    pub(crate) fn others(&self) -> &[Node] {
        &self.others
    }

    /// Runs the workload on all nodes at once, on the first one in this thread, and puts together what they report. What fails on one ends it on all.
    pub(crate) fn run(
        &self,
        spec: &WorkloadSpec,
        heap: &Heap,
        driver: &dyn Driver,
    ) -> Result<WorkloadReport, WorkloadError> {
        let over = &AtomicBool::new(false);
        std::thread::scope(|threads| {
            let beside = |node: &'_ Node| {
                let beside = Beside { node, peers: node.cluster().map(Others), first: driver, over };
                watched(over, || spec.run(node.heap(), &beside))
            };
            let others: Vec<_> = self.others.iter().map(|node| threads.spawn(move || beside(node))).collect();
            let first = watched(over, || spec.run(heap, &First { inner: driver, over }));
            let others =
                others.into_iter().map(|thread| thread.join().unwrap_or(Err(WorkloadError::Panicked)));
            // Whoever failed says why; the rest was only told to end.
            let others: Result<Vec<WorkloadReport>, WorkloadError> = others.collect();
            Ok(first?.together(others?))
        })
    }

    /// Why the strategy of one of the others is not to be believed any more, if it is not.
    pub(crate) fn failure(&self) -> Option<String> {
        let failed = |(at, node): (usize, &Node)| {
            let status = node.status(0);
            let wrong = status.tenure == "held" || status.faults + status.refused > 0;
            let what = format!(
                "on n{} the strategy failed {} times, and {} of its verdicts were refused",
                at + 2,
                status.faults,
                status.refused
            );
            wrong.then_some(what)
        };
        self.others.iter().enumerate().find_map(failed)
    }

    /// Ends them; the first node, whom the membership hangs on, is to end after this.
    pub(crate) fn shutdown(&mut self) {
        while let Some(node) = self.others.pop() {
            node.shutdown();
        }
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Does a node's part, and tells the others if it comes to no good end.
fn watched<T, E>(over: &AtomicBool, part: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    struct Unless<'o>(Option<&'o AtomicBool>);
    impl Drop for Unless<'_> {
        fn drop(&mut self) {
            if let Some(over) = self.0 {
                over.store(true, Ordering::Relaxed);
            }
        }
    }
    let mut tell = Unless(Some(over));
    let done = part();
    if done.is_ok() {
        tell.0 = None;
    }
    done
}

/// The first node's driver, which ends the work also when another node has failed.
struct First<'n> {
    inner: &'n dyn Driver,
    over: &'n AtomicBool,
}

impl Driver for First<'_> {
    fn collect(&self) -> Result<u64, CollectFailed> {
        self.inner.collect()
    }

    fn stop_requested(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.inner.stop_requested()
    }

    fn progress(&self, progress: Progress) {
        self.inner.progress(progress);
    }

    fn peers(&self) -> Option<&dyn Peers> {
        self.inner.peers()
    }
}

/// Another node's driver: what it does nobody watches, and it ends when the first one does.
struct Beside<'n> {
    node: &'n Node,
    peers: Option<Others<'n>>,
    first: &'n dyn Driver,
    over: &'n AtomicBool,
}

impl Driver for Beside<'_> {
    fn collect(&self) -> Result<u64, CollectFailed> {
        let cycle = self.node.collect().map_err(|error| CollectFailed(error.to_string()))?;
        Ok(cycle.condemned_objects)
    }

    fn stop_requested(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.first.stop_requested()
    }

    fn progress(&self, _: Progress) {}

    fn peers(&self) -> Option<&dyn Peers> {
        self.peers.as_ref().map(|peers| peers as &dyn Peers)
    }
}
