//! Two nodes in one process, joined over loopback.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Wrong, marker};
use gc_cluster::Decides;
use gc_cluster::authority::Authority;
use gc_node::{Cluster, ClusterConfig, Node};

/// Longer than anything here takes on the slowest machine, and shorter than a patient person waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes that begin no cycle by themselves because nothing happens.
fn two(folder: &Path) -> Vec<Node> {
    let mut authority = Authority::init(folder, "two").unwrap();
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2"] {
        authority.issue(name, &folder.join(name), 1).unwrap();
        let cluster = ClusterConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            join: nodes.first().and_then(Node::cluster).map(Cluster::address).into_iter().collect(),
            certs: folder.join(name),
            name: Some(name.into()),
            state: folder.join(format!("{name}-state")),
            decides: Decides::Seat,
        };
        let builder = Node::builder().strategy(marker("marker", Wrong::Never)).heap_limit(8 << 20).idle(None);
        nodes.push(builder.configure(|config| config.cluster = Some(cluster)).start().unwrap());
    }
    await_that("both are there", || {
        nodes.iter().all(|node| node.cluster().unwrap().peers().iter().filter(|peer| peer.there).count() == 2)
    });
    nodes
}

fn await_that(what: &str, mut until: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_a_node_has_dropped_its_home_need_not_wait_for() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = two(folder.path());
    let (home, holder) = (&nodes[0], &nodes[1]);
    home.mutator().scope(|scope| {
        let object = scope.alloc(&[], b"object").unwrap();
        let to = holder.cluster().unwrap().me().number;
        home.cluster().unwrap().send(to, &[scope.handle(object)], b"").unwrap();
    });
    let came = holder.cluster().unwrap().receive(PATIENCE).unwrap().expect("it comes");
    let pin = came.references.into_iter().next().unwrap().expect("it is there");
    holder.mutator().scope(|scope| scope.set_root("mine", Some(scope.pinned(&pin))));
    drop(pin);
    // Its home does not need it, and keeps it.
    await_that("registered", || home.heap().stats().held_objects == 1);
    home.collect().unwrap();
    assert_eq!(home.status(0).heap.live_objects, 1);

    holder.mutator().scope(|scope| scope.set_root("mine", None));
    // The stub is condemned, and rests in quarantine. Nobody asks for another cycle here.
    holder.collect().unwrap();
    await_that("reclaimed", || {
        home.collect().unwrap();
        home.status(0).heap.live_objects == 0
    });
    assert_eq!(holder.heap().stats().stubs, 0);
    nodes.into_iter().rev().for_each(Node::shutdown);
}
