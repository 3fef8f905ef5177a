//! One repository over three nodes: what all of them reclaim together is what git calls unreachable.

use std::time::{Duration, Instant};

use crate::nodes::{Cluster, member};

fn load(cluster: &Cluster) -> String {
    format!("git:{}?place=hash", cluster.place.path("repository").display())
}

#[test]
fn what_three_nodes_reclaim_is_what_fsck_calls_unreachable() {
    // One that marks over nodes, and one that knows of no other node.
    for (strategy, commits) in [("tracing", 40), ("refcount", 12)] {
        let cluster = Cluster::new(&["n1", "n2", "n3"]);
        let unreachable = cluster.repository(commits).unreachable();
        let mut nodes = cluster.three(&["--strategy", strategy, "--load", &load(&cluster), "--json"]);
        for node in &mut nodes {
            let status = node.ended();
            assert!(status.success(), "{strategy}: {} {:?}", node.name, node.said());
        }
        assert_eq!(cluster.reclaimed(&["n1", "n2", "n3"]), unreachable, "{strategy}");
        let spread = ["n1", "n2", "n3"].map(|name| {
            let out = cluster.printed(name);
            let summary: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
            assert_eq!(summary["refused_verdicts"], 0, "{strategy}");
            summary["reclaimed_objects"].as_u64().unwrap()
        });
        assert!(spread.iter().all(|&part| part > 0), "{strategy}: {spread:?}");
    }
}

#[test]
fn a_node_that_stands_still_for_a_while_changes_nothing() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    let unreachable = cluster.repository(40).unreachable();
    let mut nodes = cluster.three(&["--strategy", "tracing", "--load", &load(&cluster)]);
    // Longer than a lease is good: the others suspect it, and nobody lets go of what it holds.
    cluster.await_members("n1", 3);
    nodes[2].signal("-STOP");
    let stopped = Instant::now();
    for name in ["n1", "n2"] {
        let status = cluster.await_status(name, "a lapsed lease", |status| {
            let lost = member(status, "n3");
            lost["lease"] == "lapsed" && lost["lease_given"] == "lapsed" && lost["suspected_s"].is_number()
        });
        assert_eq!(status["members"].as_array().unwrap().len(), 3, "{status}");
        let text = cluster.ask(name, &["cluster", "status"]).out;
        let line = text.lines().find(|line| line.contains("n3 n3.1")).unwrap();
        for word in ["suspected for", "lease lapsed, its lease lapsed"] {
            assert!(line.contains(word), "'{word}' is not said of it: {text}");
        }
    }
    std::thread::sleep(Duration::from_secs(8).saturating_sub(stopped.elapsed()));
    assert!(nodes[0].is_running() && nodes[1].is_running(), "the others wait for it");
    nodes[2].signal("-CONT");
    for node in &mut nodes {
        let status = node.ended();
        assert!(status.success(), "{} {:?}", node.name, node.said());
    }
    assert_eq!(cluster.reclaimed(&["n1", "n2", "n3"]), unreachable);
}

#[test]
fn nodes_that_read_different_repositories_say_so() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let repository = cluster.repository(3);
    let other = cluster.place.path("other").display().to_string();
    repository.git(&["clone", "-q", "--no-local", ".", &other]);
    let one = format!("git:{}?place=hash&nodes=2", repository.path().display());
    let two = format!("git:{other}?place=hash&nodes=2");
    let mut n1 = cluster.start("n1", &[], &["--load", &one]);
    let mut n2 = cluster.start("n2", &[&n1], &["--load", &two]);
    let line = n2.hear("error: ");
    assert!(line.contains("has read another repository") && line.contains("--load"), "{line}");
    assert_eq!((n2.ended().code(), n1.hear("error: ").contains("another repository")), (Some(1), true));
    assert_eq!(n1.ended().code(), Some(1));
}
