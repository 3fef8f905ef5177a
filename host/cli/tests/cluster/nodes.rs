//! Nodes of a cluster as processes, with their certificates and folders.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gc_lab::testing::Repo;
use serde_json::Value;

use crate::common::{Ended, Place};
use crate::network::Network;
use crate::relay::{Relay, Weather};

/// How long anything may take. The machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster to be: its certificates.
pub(crate) struct Cluster {
    pub(crate) place: Place,
    /// Between the nodes. None: they are on loopback.
    network: Option<Network>,
    /// Between the nodes, on loopback.
    relay: Option<Relay>,
}

/// A node that runs; killed when it goes.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) life: u64,
    child: Child,
    /// What it says on standard error.
    lines: Receiver<String>,
}

impl Cluster {
    pub(crate) fn new(names: &[&str]) -> Cluster {
        let place = Place::new();
        assert_eq!(place.host(&["cert", "init", "shop"]).code, Some(0));
        let issued = place.host(&[&["cert", "issue"], names].concat());
        assert_eq!(issued.code, Some(0), "{issued:?}");
        Cluster { place, network: None, relay: None }
    }

    /// One whose nodes have a network between them. None where the system does not allow that.
    pub(crate) fn apart(names: &[&str]) -> Option<Cluster> {
        let network = Network::of(names)?;
        Some(Cluster { network: Some(network), ..Cluster::new(names) })
    }

    /// One between whose nodes everything goes through a relay.
    pub(crate) fn relayed(names: &[&str], weather: Weather, seed: u64) -> Cluster {
        Cluster { relay: Some(Relay::new(names, weather, seed)), ..Cluster::new(names) }
    }

    pub(crate) fn relay(&self) -> &Relay {
        self.relay.as_ref().unwrap()
    }

    pub(crate) fn network(&self) -> &Network {
        self.network.as_ref().unwrap()
    }

    /// Starts a node. The one without addresses to join founds the cluster.
    pub(crate) fn start(&self, name: &str, join: &[&Node], more: &[&str]) -> Node {
        let join: Vec<&str> = join.iter().map(|node| node.address.as_str()).collect();
        let listen = self.network.as_ref().map_or("127.0.0.1:0".into(), |network| network.address(name));
        let Some(relay) = &self.relay else { return self.start_on(name, &listen, &join.join(","), more) };
        let advertised = relay.address(name).to_string();
        let more = [&["--advertise", &advertised], more].concat();
        let mut node = self.start_on(name, &listen, &join.join(","), &more);
        relay.node_is_at(name, node.address.parse().unwrap());
        node.address = advertised;
        node
    }

    pub(crate) fn start_on(&self, name: &str, listen: &str, join: &str, more: &[&str]) -> Node {
        let starter = self.network.as_ref().map(|network| network.inside(name)).unwrap_or_default();
        self.start_under(&starter, (name, listen, join), more)
    }

    /// Starts a node by another command.
    pub(crate) fn start_under(
        &self,
        starter: &[String],
        (name, listen, join): (&str, &str, &str),
        more: &[&str],
    ) -> Node {
        let mut args = vec!["run", "--quiet", "--listen", listen, "--node", name];
        if !more.contains(&"--certs") {
            args.extend(["--certs", "certs"]);
        }
        let (state, socket) = (format!("state-{name}"), self.socket(name));
        args.extend(["--state", &state, "--socket", &socket]);
        if !join.is_empty() {
            args.extend(["--join", join]);
        }
        args.extend(more);
        let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
        let mut command = self.place.command_under(&starter, &args);
        let out = std::fs::File::create(self.place.path(&format!("{name}.out"))).unwrap();
        let mut child = command.stdout(Stdio::from(out)).spawn().unwrap();
        let lines = listen_to(child.stderr.take().unwrap());
        let line = next_line(&lines, "cluster on ");
        let address = line.split(' ').nth(2).unwrap().to_owned();
        let life = line.rsplit_once("life=").unwrap().1.parse().unwrap();
        Node { name: name.into(), address, life, child, lines }
    }

    /// Three nodes that run the same load; each writes what it has reclaimed to NAME.gone.
    pub(crate) fn three(&self, more: &[&str]) -> [Node; 3] {
        let reclaimed = ["n1.gone", "n2.gone", "n3.gone"];
        let with = |at: usize| [more, &["--reclaimed", reclaimed[at]][..]].concat();
        let more = if more.contains(&"--load") {
            [with(0), with(1), with(2)]
        } else {
            [0, 1, 2].map(|_| more.to_vec())
        };
        let n1 = self.start("n1", &[], &more[0]);
        let n2 = self.start("n2", &[&n1], &more[1]);
        let n3 = self.start("n3", &[&n1, &n2], &more[2]);
        [n1, n2, n3]
    }

    pub(crate) fn socket(&self, name: &str) -> String {
        self.place.path(&format!("{name}.sock")).display().to_string()
    }

    /// Asks a node.
    pub(crate) fn ask(&self, name: &str, args: &[&str]) -> Ended {
        self.place.host(&[args, &["--socket", &self.socket(name)]].concat())
    }

    pub(crate) fn ask_json(&self, name: &str, args: &[&str]) -> Value {
        let ended = self.ask(name, &[args, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.json()
    }

    pub(crate) fn status(&self, name: &str) -> Value {
        self.ask_json(name, &["cluster", "status"])
    }

    /// Waits until the status of a node is as it should be.
    pub(crate) fn await_status(&self, name: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = self.ask(name, &["cluster", "status", "--json"]);
            if ended.code == Some(0) && done(&ended.json()) {
                return ended.json();
            }
            assert!(Instant::now() < until, "{name} does not come to {what}: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until a node sees so many members, all of them up.
    pub(crate) fn await_members(&self, name: &str, count: usize) -> Value {
        self.await_status(name, "so many members", |status| {
            let members = status["members"].as_array().unwrap();
            members.len() == count && members.iter().all(|member| member["up"] == true)
        })
    }

    /// The ids in the lists of these nodes, none of them twice.
    pub(crate) fn reclaimed(&self, names: &[&str]) -> std::collections::BTreeSet<String> {
        let mut all = std::collections::BTreeSet::new();
        for name in names {
            let text = std::fs::read_to_string(self.place.path(&format!("{name}.gone"))).unwrap();
            for id in text.lines() {
                assert!(all.insert(id.to_owned()), "{id} was reclaimed by two nodes");
            }
        }
        all
    }

    /// The last line of what a node has printed, as JSON.
    pub(crate) fn printed(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.path(&format!("{name}.out"))).unwrap()
    }

    /// A repository with several branches of which some are deleted, and with what they alone had.
    pub(crate) fn repository(&self, commits: u32) -> Repo {
        let repo = Repo::init(&self.place.path("repository"), &[]);
        repo.commit("README", "a beginning");
        for branch in ["kept", "deleted", "gone"] {
            repo.git(&["checkout", "-q", "-b", branch, "main"]);
            for number in 0..commits {
                repo.commit(&format!("{branch}/{}/file", number % 7), &format!("{branch} {number}"));
            }
        }
        repo.git(&["checkout", "-q", "main"]);
        repo.git(&["branch", "-q", "-D", "deleted", "gone"]);
        repo
    }
}

impl Node {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent =
            std::process::Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() >= until {
                let said: Vec<String> = self.lines.try_iter().collect();
                panic!("{} does not end; it said {said:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Waits until it says something with this in it.
    pub(crate) fn hear(&self, word: &str) -> String {
        next_line(&self.lines, word)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a node serves under this address.
pub(crate) fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A member in the status of a node.
pub(crate) fn member<'s>(status: &'s Value, name: &str) -> &'s Value {
    status["members"].as_array().unwrap().iter().find(|member| member["name"] == name).unwrap()
}

fn listen_to(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

fn next_line(lines: &Receiver<String>, word: &str) -> String {
    let until = Instant::now() + PATIENCE;
    let mut before = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) if line.contains(word) => return line,
            Ok(line) => before.push(line),
            Err(_) => panic!("'{word}' was not said, but {before:?}"),
        }
    }
}
