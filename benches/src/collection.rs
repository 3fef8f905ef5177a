//! One timed collection of the peer graph: the line of JSON that every contestant prints, and the reading of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Spent;
use crate::graph::{Facts, Graph};

/// One forced collection as `peers/README.md` defines it. Lines of it are what `peers/run` reads from its own programs and from `--ours`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// Who collected.
    pub peer: String,
    /// Objects in the graph.
    pub objects: u32,
    /// References in the graph, as built.
    pub edges: u64,
    /// [`Facts::fingerprint`] in sixteen hexadecimal digits.
    pub fingerprint: String,
    /// Objects that the roots reach.
    pub live: u64,
    /// What the collector itself counts as surviving, where it counts.
    pub survivors: Option<u64>,
    /// Time on the wall, sweeping included.
    pub wall_ns: u64,
    /// CPU time of the process, all threads.
    pub cpu_ns: u64,
    /// `cpu_ns / live`.
    pub cpu_ns_per_live: f64,
}

impl Collection {
    /// The line for a collection of `graph`, whose facts are `facts`, by `peer`.
    pub fn new(peer: &str, graph: Graph, facts: Facts, survivors: Option<u64>, spent: Spent) -> Self {
        Self {
            peer: peer.to_owned(),
            objects: graph.objects(),
            edges: facts.edges,
            fingerprint: format!("{:016x}", facts.fingerprint),
            live: facts.live,
            survivors,
            wall_ns: nanoseconds(spent.wall),
            cpu_ns: nanoseconds(spent.cpu),
            cpu_ns_per_live: spent.cpu.as_secs_f64() * 1e9 / facts.live as f64,
        }
    }

    /// The line as it is printed.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a collection has only string keys and finite numbers")
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_read_back() {
        let graph = Graph::new(1000);
        let spent = Spent { wall: Duration::from_micros(7), cpu: Duration::from_micros(9) };
        let written = Collection::new("ours", graph, graph.facts(), None, spent);
        let read: Collection = serde_json::from_str(&written.to_line()).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.cpu_ns, 9000);
    }
}
