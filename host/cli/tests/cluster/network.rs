//! A network between nodes: a namespace for each, and one with the switch that joins them. Cables are pulled or narrow, packets are lost.
//!
//! ```text
//!  n1  eth0 10.77.0.1 ── n1 ┐
//!  n2  eth0 10.77.0.2 ── n2 ┤ bridge
//!  n3  eth0 10.77.0.3 ── n3 ┘
//! ```
//!
//! Needs root, and the Debian packages iproute2 and nftables. Skipped where that is missing, unless the environment says `NETNS=required`. The
//! control sockets are in the file system: they are reached from anywhere.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Removed when it goes, also when only some of it was made.
pub(crate) struct Network {
    prefix: String,
    nodes: Vec<String>,
    made: Vec<String>,
}

impl Network {
    /// A network for these nodes. None, with a message, where there can be none.
    pub(crate) fn of(nodes: &[&str]) -> Option<Network> {
        match Network::new(nodes) {
            Ok(network) => Some(network),
            Err(why) => {
                missing(&why);
                None
            }
        }
    }

    fn new(nodes: &[&str]) -> Result<Network, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut network = Network {
            prefix: format!("gc-{}-{count}", std::process::id()),
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            made: Vec::new(),
        };
        network.lay()?;
        Ok(network)
    }

    fn lay(&mut self) -> Result<(), String> {
        let switch = self.add("switch")?;
        ip(&["-n", &switch, "link", "add", "bridge", "up", "type", "bridge"])?;
        for node in self.nodes.clone() {
            let own = self.add(&node)?;
            let cable = ["link", "add", &node, "type", "veth", "peer", "name", "eth0", "netns", &own];
            ip(&[&["-n", &switch][..], &cable].concat())?;
            ip(&["-n", &switch, "link", "set", "dev", &node, "master", "bridge", "up"])?;
            ip(&["-n", &own, "address", "add", &format!("{}/24", self.host(&node)), "dev", "eth0"])?;
            ip(&["-n", &own, "link", "set", "dev", "eth0", "up"])?;
            ip(&["-n", &own, "link", "set", "dev", "lo", "up"])?;
            self.set_rules(&node, "")?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str) -> Result<String, String> {
        // The first namespace of a system makes the folder of all of them.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock();
        let space = self.space(name);
        ip(&["netns", "add", &space])?;
        self.made.push(space.clone());
        Ok(space)
    }

    fn space(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    fn host(&self, node: &str) -> String {
        format!("10.77.0.{}", 1 + self.nodes.iter().position(|name| name == node).unwrap())
    }

    /// Where a node listens, at any port.
    pub(crate) fn address(&self, node: &str) -> String {
        format!("{}:0", self.host(node))
    }

    /// What starts a command at a node.
    pub(crate) fn inside(&self, node: &str) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(node)].map(str::to_owned).into()
    }

    /// Pulls the cable of a node at the switch, or plugs it in: `up` or `down`.
    pub(crate) fn cable(&self, node: &str, state: &str) {
        ip(&["-n", &self.space("switch"), "link", "set", "dev", node, state]).unwrap();
    }

    /// Takes the interface of a node `down`, and with it its routes, or brings it `up`.
    pub(crate) fn interface(&self, node: &str, state: &str) {
        ip(&["-n", &self.space(node), "link", "set", "dev", "eth0", state]).unwrap();
    }

    /// Of what others send to this node, so many of a hundred packets get lost.
    pub(crate) fn lose(&self, node: &str, percent: u32) {
        self.set_rules(node, &format!("numgen random mod 100 < {percent} counter drop")).unwrap();
    }

    /// This node gets nothing any more from these.
    pub(crate) fn deafen(&self, node: &str, from: &[&str]) {
        let from: Vec<String> = from.iter().map(|node| self.host(node)).collect();
        self.set_rules(node, &format!("ip saddr {{ {} }} counter drop", from.join(", "))).unwrap();
    }

    /// So much goes to this node a second, and from it, as `tc` writes it; what would wait longer than a fifth of a second is dropped. False, with a message,
    /// where there are no token buckets.
    pub(crate) fn narrow(&self, node: &str, rate: &str) -> bool {
        let bucket = ["root", "tbf", "rate", rate, "burst", "8kb", "latency", "200ms"];
        self.ends(node).into_iter().all(|(space, device)| {
            let args = ["-n", &space, "qdisc", "replace", "dev", &device];
            run("tc", &[&args, &bucket[..]].concat(), "").map_err(|why| missing(&why)).is_ok()
        })
    }

    /// How often a packet had to wait, to this node or from it.
    pub(crate) fn held_up(&self, node: &str) -> u64 {
        let count = |(space, device): (String, String)| -> u64 {
            let told = run("tc", &["-n", &space, "-s", "qdisc", "show", "dev", &device], "").unwrap();
            let times = told.split_once("overlimits ").unwrap().1.split(' ').next().unwrap();
            times.parse().unwrap()
        };
        self.ends(node).map(count).iter().sum()
    }

    /// The interfaces at both ends of a node's cable: what goes to it leaves by the first, what it says by the second.
    fn ends(&self, node: &str) -> [(String, String); 2] {
        [(self.space("switch"), node.to_owned()), (self.space(node), "eth0".to_owned())]
    }

    /// This node gets everything again. Answers how many packets it did not get.
    pub(crate) fn undo(&self, node: &str) -> u64 {
        let space = self.space(node);
        let listed = run("ip", &["netns", "exec", &space, "nft", "list", "ruleset"], "").unwrap();
        let counted = listed.split_once("counter packets ").unwrap().1.split(' ').next().unwrap();
        let counted = counted.parse().unwrap();
        self.set_rules(node, "").unwrap();
        counted
    }

    fn set_rules(&self, node: &str, rule: &str) -> Result<(), String> {
        let chain = format!("chain heard {{\ntype filter hook input priority 0\n{rule}\n}}\n");
        let ruleset = format!("flush ruleset\ntable ip weather {{\n{chain}}}\n");
        run("ip", &["netns", "exec", &self.space(node), "nft", "-f", "-"], &ruleset).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for space in &self.made {
            let _ = ip(&["netns", "delete", space]);
        }
    }
}

/// Says what a test cannot do here. Where it must be able to, that is a failure.
pub(crate) fn missing(why: &str) {
    let required = std::env::var("NETNS").is_ok_and(|value| value == "required");
    assert!(!required, "NETNS=required, and {why}: be root, and apt-get install iproute2 nftables");
    eprintln!("skipped: {why}");
}

fn ip(args: &[&str]) -> Result<(), String> {
    run("ip", args, "").map(drop)
}

pub(crate) fn run(program: &str, args: &[&str], input: &str) -> Result<String, String> {
    let what = || format!("`{program} {}`", args.join(" "));
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|error| format!("{} cannot be run: {error}", what()))?;
    // Who reads nothing has ended before it was written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().map_err(|error| format!("{}: {error}", what()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{} fails: {}", what(), said.trim()))
    }
}
