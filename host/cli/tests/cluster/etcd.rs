//! Nodes whose memberships are in etcd: one that dies is exiled without people.
//!
//! Skipped where there is no `etcd`, unless the environment says `ETCD=required`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::dying::unreachable_without;
use crate::nodes::Cluster;

/// A server of its own on loopback; killed when it goes.
struct Server {
    url: String,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// None, with a message, where there is none to start.
    fn start() -> Option<Server> {
        let folder = tempfile::tempdir().unwrap();
        let ports = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [clients, peers] =
            ports.map(|port| format!("http://127.0.0.1:{}", port.local_addr().unwrap().port()));
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let spawned = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--name", "one", "--initial-cluster", &format!("one={peers}")])
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match spawned {
            Ok(child) => Some(Server { url: clients, child, _folder: folder }),
            Err(error) => {
                let required = std::env::var("ETCD").is_ok_and(|value| value == "required");
                assert!(!required, "ETCD=required, and etcd ({error}): apt-get install etcd-server");
                eprintln!("skipped: etcd ({error})");
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn who_is_killed_is_exiled_by_the_others_and_what_only_it_held_goes() {
    let Some(server) = Server::start() else { return };
    let cluster = Cluster::new(&["n1", "n2", "n3"]);
    let repo = cluster.repository(20);
    // What is staged is a root.
    std::fs::remove_file(repo.path().join(".git/index")).unwrap();
    let expected = unreachable_without(&repo, 2, 3);
    assert!(expected.len() > repo.unreachable().len() / 2);
    let load = format!("git:{}?place=hash", repo.path().display());
    // Without marks over nodes garbage goes in many rounds: they are at it when one dies.
    let mut nodes = cluster.three(&["--etcd", &server.url, "--strategy", "refcount", "--load", &load]);
    let status =
        cluster.await_status("n1", "a first round", |status| status["last_cycle"]["ending"] == "swept");
    assert_eq!(status["decided_by"], "etcd");
    nodes[2].signal("-KILL");
    let killed = Instant::now();
    for name in ["n1", "n2"] {
        cluster.await_members(name, 2);
    }
    eprintln!("{:.1} s from kill -9 to the exile", killed.elapsed().as_secs_f64());
    nodes[2].ended();
    for node in &mut nodes[..2] {
        let status = node.ended();
        assert!(status.success(), "{} {:?}", node.name, node.said());
    }
    assert_eq!(cluster.reclaimed(&["n1", "n2"]), expected);
}
