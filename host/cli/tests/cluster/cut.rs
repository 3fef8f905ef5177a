//! Nodes whose network is cut, one way or both, or loses packets: nothing that is reachable goes, and in the end everything else has gone.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::nodes::{Cluster, Node, PATIENCE, member};

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// Longer than a lease is good for a home, with drift and guard: 5.5 s.
const CUT: Duration = Duration::from_secs(8);

fn load(cluster: &Cluster) -> String {
    format!("git:{}?place=hash", cluster.place.path("repository").display())
}

/// Three nodes under a strategy that does not mark over nodes, once they drop references. A chain of commits over nodes goes link by link, in as many
/// rounds: they are at it for a while.
fn dropping(cluster: &Cluster) -> [Node; 3] {
    let nodes = cluster.three(&["--strategy", "refcount", "--load", &load(cluster), "--json"]);
    cluster.await_status("n1", "a first round", |status| status["last_cycle"]["ending"] == "swept");
    nodes
}

/// Waits until a node is held for lost by two others, and knows it.
fn is_lost(cluster: &Cluster, lost: &str) {
    for name in NAMES {
        cluster.await_status(name, "a lapsed lease", |status| match name == lost {
            true => status["fenced"] == true,
            false => member(status, lost)["lease_given"] == "lapsed",
        });
    }
}

/// A cycle on each: what they hold of others goes on being dropped. Answers how much they have reclaimed so far.
fn collected_alone(cluster: &Cluster, nodes: &mut [Node; 3]) -> [u64; 3] {
    for node in nodes.iter_mut() {
        assert!(node.is_running(), "{} does not wait for the others: {:?}", node.name, node.said());
        assert_eq!(cluster.ask(&node.name, &["collect", "--local"]).code, Some(0));
    }
    NAMES.map(|name| cluster.ask_json(name, &["status"])["heap"]["condemned_objects"].as_u64().unwrap())
}

fn all_end(nodes: &mut [Node; 3]) {
    for node in nodes {
        let status = node.ended();
        assert!(status.success(), "{} {:?}", node.name, node.said());
    }
}

fn reclaimed_since(cluster: &Cluster, before: [u64; 3]) -> u64 {
    let all = NAMES.map(|name| {
        let printed = cluster.printed(name);
        let summary: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
        summary["heap_reclaimed_objects"].as_u64().unwrap()
    });
    all.iter().sum::<u64>() - before.iter().sum::<u64>()
}

#[test]
fn a_node_is_cut_off_while_references_are_dropped() {
    let Some(cluster) = Cluster::apart(&NAMES) else { return };
    let unreachable = cluster.repository(40).unreachable();
    let mut nodes = dropping(&cluster);
    cluster.network().cable("n3", "down");
    let until = Instant::now() + CUT;
    is_lost(&cluster, "n3");
    let before = collected_alone(&cluster, &mut nodes);
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    cluster.network().cable("n3", "up");
    all_end(&mut nodes);
    assert_eq!(cluster.reclaimed(&NAMES), unreachable);
    assert!(reclaimed_since(&cluster, before) > 0, "everything had gone before the cut was over");
}

#[test]
fn the_node_that_begins_cycles_is_cut_off_while_they_are_asked_for() {
    let Some(cluster) = Cluster::apart(&NAMES) else { return };
    let unreachable = cluster.repository(40).unreachable();
    let load = format!("{}&stay=true", load(&cluster));
    let mut nodes = cluster.three(&["--strategy", "tracing", "--load", &load]);
    cluster.await_status("n1", "references", |status| status["stubs"].as_u64() > Some(0));
    let under_way = NAMES.map(|name| ask_for_a_cycle(&cluster, name));
    let network = cluster.network();
    // The one that begins cycles, and decides who is a member; it loses its routes as well.
    network.interface("n1", "down");
    let refused = cluster.ask("n2", &["collect"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        ["came to nothing", "n1 is not there"].iter().any(|word| refused.err.contains(word)),
        "{refused:?}"
    );
    is_lost(&cluster, "n1");
    collected_alone(&cluster, &mut nodes);
    network.interface("n1", "up");
    for mut child in under_way {
        child.wait().unwrap();
    }
    for name in NAMES {
        cluster.await_members(name, 3);
    }
    settled(&cluster);
    // Nobody hears that another has left, and lets go what that one held.
    for name in NAMES {
        network.cable(name, "down");
    }
    nodes.iter().for_each(|node| node.signal("-INT"));
    all_end(&mut nodes);
    assert_eq!(cluster.reclaimed(&NAMES), unreachable);
}

fn ask_for_a_cycle(cluster: &Cluster, name: &str) -> Child {
    let mut command = cluster.place.command(&["collect", "--socket", &cluster.socket(name)]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until cycles over all nodes find nothing any more.
fn settled(cluster: &Cluster) {
    let until = Instant::now() + PATIENCE;
    let mut quiet = 0;
    while quiet < 3 {
        assert!(Instant::now() < until, "they find no end: {}", cluster.status("n1"));
        let swept = cluster.ask("n1", &["collect"]).code == Some(0);
        let found =
            NAMES.map(|name| cluster.ask_json(name, &["collect", "--local"])["condemned_objects"].as_u64());
        quiet = if swept && found == [Some(0); 3] { quiet + 1 } else { 0 };
    }
}

#[test]
fn a_node_hears_nothing_for_a_while_and_then_is_not_heard() {
    let Some(cluster) = Cluster::apart(&NAMES) else { return };
    let unreachable = cluster.repository(40).unreachable();
    let mut nodes = dropping(&cluster);
    let network = cluster.network();
    network.deafen("n3", &["n1", "n2"]);
    is_lost(&cluster, "n3");
    let before = collected_alone(&cluster, &mut nodes);
    for name in ["n1", "n2"] {
        network.deafen(name, &["n3"]);
    }
    assert!(network.undo("n3") > 0, "packets were on their way to it");
    std::thread::sleep(CUT);
    is_lost(&cluster, "n3");
    collected_alone(&cluster, &mut nodes);
    for name in ["n1", "n2"] {
        assert!(network.undo(name) > 0, "packets were on their way to {name}");
    }
    all_end(&mut nodes);
    assert_eq!(cluster.reclaimed(&NAMES), unreachable);
    assert!(reclaimed_since(&cluster, before) > 0, "everything had gone before the cut was over");
}

#[test]
fn a_fifth_of_all_packets_is_lost() {
    let Some(cluster) = Cluster::apart(&NAMES) else { return };
    for name in NAMES {
        cluster.network().lose(name, 20);
    }
    let unreachable = cluster.repository(40).unreachable();
    let mut nodes = cluster.three(&["--strategy", "tracing", "--load", &load(&cluster)]);
    all_end(&mut nodes);
    for name in NAMES {
        assert!(cluster.network().undo(name) > 0, "{name} has missed nothing");
    }
    assert_eq!(cluster.reclaimed(&NAMES), unreachable);
}

#[test]
fn a_narrow_cable_carries_everything_in_its_time() {
    let Some(cluster) = Cluster::apart(&NAMES) else { return };
    let network = cluster.network();
    if !network.narrow("n3", "64kbit") {
        return;
    }
    let unreachable = cluster.repository(40).unreachable();
    let mut nodes = cluster.three(&["--strategy", "tracing", "--load", &load(&cluster)]);
    all_end(&mut nodes);
    assert!(network.held_up("n3") > 0, "it was wide enough");
    assert_eq!(cluster.reclaimed(&NAMES), unreachable);
}
