//! Nodes whose disk is full: it is said what is wrong and what to do, nothing is let go, and then they go on.
//!
//! A full disk is a small file system in a mount namespace of its own, which goes with its process. It needs root: see [`crate::network`].

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::dying::unreachable_without;
use crate::network::{missing, run};
use crate::nodes::{Cluster, Node, member};

/// Puts a folder with what is in it on a disk of its own, fills that up or does not, and goes on as something else.
const ON_A_DISK: &str = r#"
mkdir -p "$1" "$1.disk"
mount -t tmpfs -o size=64k none "$1.disk"
cp -a "$1/." "$1.disk"
[ "$2" = room ] || cat /dev/zero >"$1.disk/rest" 2>/dev/null || true
mount --bind "$1.disk" "$1"
shift 2
exec "$@"
"#;

/// What starts a command there. None, with a message, where nothing can be mounted.
fn on_a_disk(folder: &Path, room: &str) -> Option<Vec<String>> {
    let folder = folder.display().to_string();
    let starter = ["unshare", "--mount", "sh", "-euc", ON_A_DISK, "sh", &folder, room];
    let spare = format!("{folder}.tried");
    let tried = [&starter[1..6], &[&spare, room, "true"]].concat();
    run(starter[0], &tried, "").map_err(|why| missing(&why)).ok()?;
    Some(starter.map(str::to_owned).into())
}

/// Objects of this node that are held for nodes that are away.
fn held_for_the_absent(status: &Value) -> u64 {
    let held = status["held"].as_array().unwrap().iter().find(|held| held["reason"] == "absent").unwrap();
    held["objects"].as_u64().unwrap()
}

/// Waits until a node knows another in this life, and nothing of its earlier ones.
fn await_life(cluster: &Cluster, name: &str, other: &str, life: u64) {
    cluster.await_status(name, "the later life", |status| {
        let other = status["members"].as_array().unwrap().iter().find(|member| member["name"] == other);
        other.is_some_and(|other| other["incarnation"] == life && other["up"] == true && other["scions"] == 0)
    });
}

/// Two nodes that hold much of each other. The first writes down what it reclaims.
fn two(cluster: &Cluster) -> [Node; 2] {
    let load = format!("git:{}?place=hash&nodes=2&stay=true", cluster.place.path("repository").display());
    let load = ["--strategy", "tracing", "--load", &load];
    let n1 = cluster.start("n1", &[], &[&load[..], &["--reclaimed", "n1.gone"]].concat());
    let n2 = cluster.start("n2", &[&n1], &load);
    cluster.await_status("n1", "references", |status| {
        let other = status["members"].as_array().unwrap().iter().find(|member| member["name"] == "n2");
        let linked = other.is_some_and(|other| other["scions"].as_u64() > Some(0));
        linked && status["stubs"].as_u64() > Some(0) && status["last_cycle"]["ending"] == "swept"
    });
    [n1, n2]
}

#[test]
fn a_life_that_cannot_be_written_down_does_not_begin() {
    let cluster = Cluster::new(&["n1", "n2"]);
    let Some(full) = on_a_disk(&cluster.place.path("state-n2"), "full") else { return };
    let repo = cluster.repository(10);
    // What is staged is a root.
    fs::remove_file(repo.path().join(".git/index")).unwrap();
    let expected = unreachable_without(&repo, 1, 2);
    let [mut n1, mut n2] = two(&cluster);
    n2.signal("-KILL");
    n2.ended();
    let status = cluster.await_status("n1", "a lapsed lease", |status| {
        member(status, "n2")["lease_given"] == "lapsed" && held_for_the_absent(status) > 0
    });

    let full: Vec<&str> = full.iter().map(String::as_str).collect();
    let args = ["run", "--listen", "127.0.0.1:0", "--certs", "certs", "--node", "n2", "--state", "state-n2"];
    let args = [&args[..], &["--socket", "n2.sock", "--join", &n1.address]].concat();
    let refused = cluster.place.command_under(&full, &args).output().unwrap();
    let (code, said) = (refused.status.code(), String::from_utf8_lossy(&refused.stderr));
    assert_eq!(code, Some(1), "{said}");
    for word in ["state-n2/incarnation", "No space left on device", "does not start, and nothing was changed"]
    {
        assert!(said.contains(word), "'{word}' is not said: {said}");
    }
    assert!(!said.contains("cluster on") && !said.contains("panicked"), "{said}");
    // Nobody has heard of it, and what it held in its last life stays.
    cluster.ask_json("n1", &["collect", "--local"]);
    let after = cluster.status("n1");
    assert_eq!(held_for_the_absent(&after), held_for_the_absent(&status));
    assert_eq!((&after["epoch"], &member(&after, "n2")["incarnation"]), (&status["epoch"], &1.into()));

    // With room it comes back as somebody else: the life in which it could not be written down has never been.
    let again = cluster.start("n2", &[&n1], &[]);
    assert_eq!(again.life, 2);
    await_life(&cluster, "n1", "n2", 2);
    let collected = || cluster.ask_json("n1", &["collect", "--local"])["condemned_objects"].as_u64();
    while collected() != Some(0) {}
    n1.signal("-INT");
    assert!(n1.ended().success(), "{:?}", n1.said());
    assert_eq!(cluster.reclaimed(&["n1"]), expected);
}

/// A file on the disk of a node's folder, which only the node sees.
fn rest(cluster: &Cluster, node: &Node) -> PathBuf {
    let state = cluster.place.path(&format!("state-{}", node.name));
    PathBuf::from(format!("/proc/{}/root{}", node.id(), state.display())).join("rest")
}

/// Writes into a file until nothing more can be written.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[test]
fn a_seat_that_cannot_write_changes_nothing_until_it_can() {
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    let Some(small) = on_a_disk(&cluster.place.path("state-n1"), "room") else { return };
    let n1 = cluster.start_under(&small, ("n1", "127.0.0.1:0", ""), &[]);
    let small = on_a_disk(&cluster.place.path("state-n2"), "room").unwrap();
    let n2 = cluster.start_under(&small, ("n2", "127.0.0.1:0", &n1.address), &[]);
    let before = cluster.await_members("n1", 2);
    cluster.await_members("n2", 2);
    let full = [&n1, &n2].map(|node| rest(&cluster, node));
    full.iter().for_each(|rest| fill(rest));
    let n3 = cluster.start("n3", &[&n1], &[]);
    let said = n3.hear("this node is not let in: the seat could not write");
    n1.hear("warn: the seat could not write");
    let exile = cluster.ask("n2", &["cluster", "exile", "n2"]);
    assert_eq!(exile.code, Some(1), "{exile:?}");
    for (who, text) in [("n3", &said), ("exile", &exile.err)] {
        for word in ["membership.json", "No space left on device", "nothing was changed", "room on its disk"]
        {
            assert!(text.contains(word), "{who}: '{word}' is not said: {text}");
        }
    }
    for name in ["n1", "n2"] {
        let status = cluster.status(name);
        assert_eq!((&status["epoch"], &status["fenced"]), (&before["epoch"], &false.into()), "{status}");
        assert_eq!(status["members"].as_array().unwrap().len(), 2, "{status}");
    }
    assert_eq!(cluster.status("n3")["epoch"], 0);
    assert_eq!(cluster.ask_json("n2", &["collect"])["ending"], "swept");
    // The other one has no need of its disk.
    fs::remove_file(&full[0]).unwrap();
    cluster.await_members("n3", 3);
    let said = n2.hear("the membership is not kept");
    assert!(said.contains("No space left on device") && said.contains("--join"), "{said}");
}
