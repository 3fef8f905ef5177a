//! Clusters whose memberships are in etcd. Debian's etcd-server is started, killed, and loses its leader.
//!
//! Skipped where there is no `etcd`, unless the environment says `ETCD=required`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gc_protocol::{Life, MembershipEpoch};

use super::world::{Node, World, agreed, until};
use crate::members::{Decides, Notice};
use crate::refused::ChangeRefused;

/// Some etcd servers that make one cluster.
struct Servers {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// Addresses for clients and for each other.
    ports: Vec<(u16, u16)>,
    running: Vec<Option<Child>>,
}

fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|path| path.is_file());
    let required = std::env::var("ETCD").is_ok_and(|value| value == "required");
    assert!(found.is_some() || !required, "ETCD=required, and there is no etcd: apt-get install etcd-server");
    if found.is_none() {
        eprintln!("skipped: there is no etcd");
    }
    found
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl Servers {
    fn start(count: usize) -> Option<Servers> {
        let binary = binary()?;
        let ports = free_ports(2 * count);
        let mut servers = Servers {
            folder: tempfile::tempdir().unwrap(),
            binary,
            ports: (0..count).map(|at| (ports[2 * at], ports[2 * at + 1])).collect(),
            running: (0..count).map(|_| None).collect(),
        };
        (0..count).for_each(|at| servers.run(at));
        Some(servers)
    }

    fn run(&mut self, at: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let members = self.ports.iter().enumerate().map(|(at, &(_, peers))| format!("e{at}={}", url(peers)));
        let members: Vec<String> = members.collect();
        let (clients, peers) = self.ports[at];
        let log = |name: &str| std::fs::File::create(self.folder.path().join(name)).unwrap();
        let child = Command::new(&self.binary)
            .args(["--name", &format!("e{at}")])
            .arg("--data-dir")
            .arg(self.folder.path().join(format!("e{at}")))
            .args(["--listen-client-urls", &url(clients), "--advertise-client-urls", &url(clients)])
            .args(["--listen-peer-urls", &url(peers), "--initial-advertise-peer-urls", &url(peers)])
            .args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .stdin(Stdio::null())
            .stdout(log(&format!("e{at}.out")))
            .stderr(log(&format!("e{at}.log")))
            .spawn();
        self.running[at] = Some(child.unwrap());
    }

    fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.running[at].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn world(&self) -> World {
        let mut world = World::new();
        let endpoints = self.ports.iter().map(|(clients, _)| format!("http://127.0.0.1:{clients}"));
        world.decides = Decides::Etcd(endpoints.collect());
        world
    }

    /// The server that leads the others, as their own answers say.
    async fn leader(&self) -> usize {
        let late = Instant::now() + Duration::from_secs(60);
        loop {
            for (at, &(clients, _)) in self.ports.iter().enumerate() {
                let asked = async {
                    let endpoint = format!("http://127.0.0.1:{clients}");
                    let mut client = etcd_client::Client::connect([endpoint], None).await.ok()?;
                    let status = client.status().await.ok()?;
                    let leads = status.header()?.member_id() == status.leader() && status.leader() != 0;
                    leads.then_some(())
                };
                let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
                if self.running[at].is_some() && answer == Ok(Some(())) {
                    return at;
                }
            }
            assert!(Instant::now() < late, "nobody leads: {:?}", logs(self.folder.path()));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn logs(folder: &Path) -> Vec<String> {
    let read = |at| std::fs::read_to_string(folder.join(format!("e{at}.log"))).unwrap_or_default();
    let last = |text: String| text.lines().rev().take(3).collect::<Vec<_>>().join(" | ");
    (0..3).map(|at| last(read(at))).collect()
}

impl Drop for Servers {
    fn drop(&mut self) {
        (0..self.running.len()).for_each(|at| self.kill(at));
    }
}

async fn propose(by: &Node, client: Life) {
    let epoch = MembershipEpoch(by.epoch());
    by.ask(move |members| members.propose_exile(client, epoch)).await;
}

fn declined(node: &Node, life: Life) -> bool {
    let too_few = |notice: &Notice| matches!(notice, Notice::ExileDeclined { client, why: ChangeRefused::TooFew { .. } } if *client == life);
    node.notices.lock().unwrap().iter().any(too_few)
}

async fn four(world: &mut World) -> Vec<Node> {
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3", "n4"] {
        nodes.push(world.start(name, &[]).await);
    }
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1), (4, 1)]).await;
    nodes
}

#[tokio::test]
async fn half_of_the_members_exile_and_fewer_do_not() {
    let Some(servers) = Servers::start(1) else { return };
    let mut world = servers.world();
    let mut nodes = four(&mut world).await;
    let dead = nodes.pop().unwrap();
    let client = dead.life;
    // All of them have taken the membership that they are in: etcd is told with the next call of `next`.
    tokio::time::sleep(Duration::from_millis(500)).await;

    propose(&nodes[0], client).await;
    until("one of four is too few", async || declined(&nodes[0], client)).await;
    let epoch = nodes[0].epoch();
    // A proposal that was declined does not count any more.
    propose(&nodes[1], client).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(nodes[2].epoch(), epoch);
    propose(&nodes[2], client).await;
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1)]).await;
    until("it knows", async || dead.last().is_some_and(|(_, members)| !members.contains_key(&client))).await;

    // An operator, a node that comes back, and one that leaves.
    let answer = nodes[1].ask(|members| members.exile("n3")).await;
    assert_eq!(answer.await.unwrap(), Ok(MembershipEpoch(epoch + 2)));
    nodes.pop().unwrap().stop().await;
    dead.stop().await;
    nodes.push(world.start("n4", &[]).await);
    agreed(&nodes, &[(1, 1), (2, 1), (4, 2)]).await;
    nodes[2].ask(|members| members.leave()).await.await.unwrap().unwrap();
    nodes.pop();
    agreed(&nodes, &[(1, 1), (2, 1)]).await;
    let twin = world.start_elsewhere("n2", &[]).await;
    until("of two in one life one is told", async || {
        let notices = twin.notices.lock().unwrap();
        notices.contains(&Notice::NotAdmitted(ChangeRefused::Twin("n2".into())))
    })
    .await;
}

#[tokio::test]
async fn while_etcd_is_away_nothing_is_decided_and_afterwards_all_goes_on() {
    let Some(mut servers) = Servers::start(1) else { return };
    let mut world = servers.world();
    let mut nodes = four(&mut world).await;
    let client = nodes[3].life;
    tokio::time::sleep(Duration::from_millis(500)).await;
    servers.kill(0);
    let epoch = nodes[0].epoch();
    for node in &nodes[..2] {
        propose(node, client).await;
    }
    let exile = nodes[2].ask(|members| members.exile("n4")).await;
    until("it is seen that etcd is away", async || {
        let status = nodes[0].ask(|members| members.status()).await;
        status.trouble.is_some_and(|trouble| trouble.contains("etcd does not answer"))
    })
    .await;
    let answer = exile.await.unwrap();
    assert_eq!(answer, Err(ChangeRefused::NoAnswer("etcd".into())));
    // Longer than a proposal stands: what cannot be withdrawn is not declined.
    assert!(!declined(&nodes[0], client) && !declined(&nodes[1], client));
    assert!(nodes.iter().all(|node| node.epoch() == epoch));

    servers.run(0);
    nodes.pop();
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1)]).await;
    until("the trouble is over", async || nodes[0].ask(|members| members.status()).await.trouble.is_none())
        .await;
}

#[tokio::test]
async fn of_three_servers_one_may_die_also_the_leader() {
    let Some(mut servers) = Servers::start(3) else { return };
    let mut world = servers.world();
    let mut nodes = four(&mut world).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let leader = servers.leader().await;
    servers.kill(leader);
    let client = nodes[3].life;
    propose(&nodes[0], client).await;
    propose(&nodes[1], client).await;
    nodes.pop();
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1)]).await;
    servers.run(leader);
    let next = servers.leader().await;
    servers.kill(next);
    nodes.push(world.start("n5", &[]).await);
    agreed(&nodes, &[(1, 1), (2, 1), (3, 1), (5, 1)]).await;
}
