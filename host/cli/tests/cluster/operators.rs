//! What a person sees of a cluster, and does to it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::nodes::{Cluster, member, metrics};

fn load(cluster: &Cluster) -> String {
    format!("git:{}?place=hash&stay=true", cluster.place.path("repository").display())
}

#[test]
fn a_cluster_is_looked_at_and_swapped_as_one() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    cluster.repository(15);
    let nodes =
        cluster.three(&["--strategy", "mark-sweep", "--load", &load(&cluster), "--metrics", "127.0.0.1:0"]);
    for name in ["n1", "n2", "n3"] {
        let status = cluster.await_members(name, 3);
        assert_eq!((&status["cluster"], &status["decided_by"]), (&"shop".into(), &"n1".into()));
    }
    metrics_are_sound(&nodes[0]);
    // Every node holds something of each of the others.
    let status = cluster.await_status("n1", "references", |status| {
        let linked = |name| {
            let member = member(status, name);
            member["stubs"].as_u64() > Some(0) && member["scions"].as_u64() > Some(0)
        };
        linked("n2") && linked("n3") && status["last_cycle"]["ending"] == "swept"
    });
    for name in ["n2", "n3"] {
        let member = member(&status, name);
        assert_eq!((&member["lease"], &member["lease_given"]), (&"good".into(), &"good".into()), "{member}");
        assert!(member["scion_bytes"].as_u64() >= member["only_bytes"].as_u64(), "{member}");
    }
    let text = cluster.ask("n2", &["cluster", "status"]).out;
    for word in ["shop", "decided by n1", "n3 n3.1", "lease good", "held for other nodes"] {
        assert!(text.contains(word), "{word}: {text}");
    }

    let without = cluster.ask_json("n1", &["collect", "--dry-run", "--without", "n3"]);
    let parts = without["nodes"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["node"].as_str().unwrap()).collect::<Vec<_>>(), ["n1", "n2"]);
    assert!(
        parts.iter().all(|part| part["objects"].as_u64() > Some(0) && part["unknown"].is_null()),
        "{without}"
    );

    let over = cluster.ask_json("n3", &["collect"]);
    assert_eq!(over["ending"], "swept", "{over}");
    assert_eq!(over["here"]["cause"], "cluster", "{over}");
    let local = cluster.ask_json("n3", &["collect", "--local"]);
    assert_eq!(local["cause"], "request", "{local}");

    let status = cluster.ask_json("n1", &["cluster", "status", "--retained"]);
    let n3 = member(&status, "n3");
    assert!(n3["retained_bytes"].as_u64() > Some(0), "{n3}");
    let held = |reason: &str| {
        let held = status["held"].as_array().unwrap().iter().find(|held| held["reason"] == reason);
        held.unwrap()["retained_bytes"].as_u64()
    };
    assert!(held("scion") >= n3["retained_bytes"].as_u64() && held("absent") == Some(0), "{status}");

    let unknown = cluster.ask("n2", &["swap", "tracing", "--cluster", "--set", "slices=7"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("could not load and rehearse it"), "{unknown:?}");
    let swapped = cluster.ask_json("n2", &["swap", "tracing", "--cluster", "--set", "slice-percent=17"]);
    assert_eq!(swapped["generation"], 2, "{swapped}");
    for name in ["n1", "n2", "n3"] {
        serves(&cluster, name, "tracing");
        let status = cluster.ask_json(name, &["status"]);
        assert_eq!(status["options"]["slice-percent"], "17", "{name}: {status}");
        assert_eq!(cluster.status(name)["strategy_generation"], 2);
    }
    drop(nodes);
}

/// What is served is what `promtool` accepts, and says who is there.
fn metrics_are_sound(node: &crate::nodes::Node) {
    let line = node.hear("metrics on http://");
    let address = line.split('/').nth(2).unwrap();
    let until = std::time::Instant::now() + crate::nodes::PATIENCE;
    let text = loop {
        let text = metrics(address);
        if text.contains("gc_member_up{member=\"n3\"} 1") {
            break text;
        }
        assert!(std::time::Instant::now() < until, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    for name in
        ["gc_stubs ", "gc_scions ", "gc_held_bytes{reason=\"scion\"}", "gc_member_lease_held{member=\"n2\"}"]
    {
        assert!(text.contains(name), "{name}: {text}");
    }
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        let required = std::env::var_os("PROMTOOL").is_some_and(|wanted| wanted == "required");
        assert!(!required, "promtool is not installed: install prometheus");
        eprintln!("promtool is not installed: its check is left out");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// The handle of the object of n2 in a cell, if a path from another node leads to it.
fn held_from_elsewhere(cluster: &Cluster, cell: u32) -> Option<String> {
    let why = cluster.ask_json("n1", &["why", &format!("n2.1:{cell}.0")]);
    let path = why["path"].as_array().cloned().unwrap_or_default();
    let homes: std::collections::BTreeSet<&str> =
        path.iter().filter_map(|handle| handle.as_str()?.split('.').next()).collect();
    if why["alive"] == false || homes.len() < 2 {
        return None;
    }
    assert_eq!(path.last().unwrap(), &why["handle"], "{why}");
    assert!(why["text"].as_str().unwrap().contains("on node n"), "{why}");
    Some(why["handle"].as_str().unwrap().to_owned())
}

#[test]
fn why_goes_from_node_to_node() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    cluster.repository(10);
    let mut nodes = cluster.three(&["--strategy", "tracing", "--load", &load(&cluster)]);
    cluster.await_status("n1", "references", |status| status["last_cycle"]["ending"] == "swept");
    // Among the objects of n2 some are held for other nodes alone, once the load has set its roots; n1 is asked about all of them.
    let until = std::time::Instant::now() + crate::nodes::PATIENCE;
    let crossing = loop {
        // A mutator has blocks of cells of its own, and the driver, which makes stubs, is one too.
        let cells = (0..3).flat_map(|block| block * 4096 + 1..block * 4096 + 200);
        let crossing = cells.into_iter().find_map(|cell| held_from_elsewhere(&cluster, cell));
        if let Some(crossing) = crossing {
            break crossing;
        }
        assert!(std::time::Instant::now() < until, "no object is held from another node");
    };
    // Its home does not answer any more.
    nodes[1].signal("-STOP");
    cluster.await_status("n1", "a lapsed lease", |status| member(status, "n2")["lease"] == "lapsed");
    let why = cluster.ask_json("n1", &["why", &crossing]);
    let text = why["text"].as_str().unwrap();
    assert!(text.contains("belongs to n2: unknown since"), "{why}");
    assert!(why["unknown_since_s"].as_f64() > Some(0.0), "{why}");
    nodes[1].signal("-CONT");
    assert!(nodes[1].is_running());
}

fn serves(cluster: &Cluster, name: &str, strategy: &str) {
    let until = std::time::Instant::now() + crate::nodes::PATIENCE;
    while cluster.ask_json(name, &["status"])["strategy"]["name"] != strategy {
        assert!(std::time::Instant::now() < until, "{name} does not take {strategy}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn who_joins_takes_the_strategy_of_the_cluster_and_who_leaves_holds_nothing() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let n1 = cluster.start("n1", &[], &["--strategy", "refcount"]);
    let mut n2 = cluster.start("n2", &[&n1], &["--strategy", "tracing"]);
    cluster.await_members("n1", 2);
    serves(&cluster, "n2", "refcount");
    // All of them can load it, or none takes it.
    let nonsense = cluster.place.path("nonsense.wasm");
    std::fs::write(&nonsense, b"\0asm\x0d\0\x01\0").unwrap();
    let refused = cluster.ask("n2", &["swap", &nonsense.display().to_string(), "--cluster"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("could not load") && refused.err.contains("go on with"), "{refused:?}");
    for name in ["n1", "n2"] {
        serves(&cluster, name, "refcount");
        assert_eq!(cluster.status(name)["strategy_generation"], 1);
    }
    // Nobody needs to be told that it is gone.
    n2.signal("-INT");
    assert!(n2.ended().success(), "{:?}", n2.said());
    cluster.await_members("n1", 1);
}
