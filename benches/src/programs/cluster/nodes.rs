//! Whole nodes in one process, in one cluster, each with a tree of live cells.

use std::error::Error;
use std::time::{Duration, Instant};

use gc_cluster::Decides;
use gc_heap::{HeapError, Mutator, Quarantine};
use gc_node::{Cluster, ClusterConfig, Node};

use super::scratch::{LOOPBACK, Scratch};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts nodes with `tracing`, connected, each with a tree of so many live cells. They do nothing by themselves.
pub(super) fn start(scratch: &mut Scratch, count: usize, cells: usize) -> Result<Vec<Node>, Box<dyn Error>> {
    let mut nodes: Vec<Node> = Vec::new();
    for number in 1..=count {
        let name = format!("n{number}");
        let certs = scratch.issue(&name)?;
        let join = nodes.first().and_then(Node::cluster).map(Cluster::address);
        let cluster = ClusterConfig {
            listen: LOOPBACK,
            advertise: None,
            join: join.into_iter().collect(),
            certs,
            name: Some(name.clone()),
            state: scratch.folder().join(format!("{name}-state")),
            decides: Decides::Seat,
        };
        let configure = |config: &mut gc_node::NodeConfig| {
            config.cluster = Some(cluster);
            config.idle = None;
            config.heap.quarantine = Quarantine::Off;
        };
        let node = Node::builder().strategy("tracing").heap_limit(256 << 20).configure(configure).start()?;
        grow(&mut node.mutator(), cells)?;
        nodes.push(node);
    }
    let there = |node: &Node| {
        let peers = node.cluster().map(Cluster::peers).unwrap_or_default();
        peers.iter().filter(|peer| peer.there).count() == count
    };
    wait("members", || Ok(nodes.iter().all(there)))?;
    Ok(nodes)
}

/// A tree in which every object has four references, under the root `tree`.
fn grow(mutator: &mut Mutator, cells: usize) -> Result<(), HeapError> {
    mutator.scope(|scope| {
        let objects: Vec<_> = (0..cells).map(|_| scope.alloc(&[None; 4], &[])).collect::<Result<_, _>>()?;
        for (at, &child) in objects.iter().enumerate().skip(1) {
            let slot = u32::try_from((at - 1) % 4).unwrap_or_default();
            scope.store(objects[(at - 1) / 4], slot, Some(child))?;
        }
        scope.set_root("tree", objects.first().copied());
        Ok(())
    })
}

pub(super) fn cluster(node: &Node) -> Result<&Cluster, Box<dyn Error>> {
    node.cluster().ok_or_else(|| "the node is in no cluster".into())
}

/// Waits until nothing is under way between the nodes.
pub(super) fn settle(nodes: &[Node]) -> Result<(), Box<dyn Error>> {
    wait("quiet", || {
        let unsettled = |node| Ok::<_, Box<dyn Error>>(cluster(node)?.ledger()?.unsettled);
        Ok(!nodes.iter().map(unsettled).collect::<Result<Vec<_>, _>>()?.contains(&true))
    })
}

/// Waits until something is so; looks five times per millisecond.
pub(super) fn wait(
    what: &str,
    mut until: impl FnMut() -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    while !until()? {
        if begun.elapsed() > PATIENCE {
            return Err(format!("it does not come to {what}").into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Ends them, the one that decides about the membership last.
pub(super) fn stop(mut nodes: Vec<Node>) {
    while let Some(node) = nodes.pop() {
        node.shutdown();
    }
}
