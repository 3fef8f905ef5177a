//! The flags that bring a node into a cluster, and the cluster as a workload sees it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use gc_cluster::Decides;
use gc_heap::Handle;
use gc_lab::{Ledger, Peers, PeersFailed, Received, Traffic};
use gc_node::{Cluster, ClusterConfig, ClusterError};

use crate::Usage;

/// What brings a node into a cluster.
#[derive(clap::Args)]
pub(crate) struct Flags {
    /// Be a node of a cluster: the UDP address that it listens on, such as 127.0.0.1:7001
    #[arg(long, value_name = "ADDR", requires_all = ["certs", "state"], help_heading = "Cluster")]
    listen: Option<SocketAddr>,
    /// Nodes to find the cluster through, as HOST:PORT. Without it this node founds a cluster
    #[arg(
        long,
        value_name = "ADDR[,ADDR]",
        value_delimiter = ',',
        requires = "listen",
        help_heading = "Cluster"
    )]
    join: Vec<String>,
    /// The folder with the node's certificate, or that of `host cert` with one folder per node
    #[arg(long, value_name = "DIR", requires = "listen", help_heading = "Cluster")]
    certs: Option<PathBuf>,
    /// The node's name, which its certificate must have [default: what the certificate says]
    #[arg(long, value_name = "NAME", requires = "listen", help_heading = "Cluster")]
    node: Option<String>,
    /// The folder that outlives the process: the number of the node's life, and the membership
    #[arg(long, value_name = "DIR", requires = "listen", help_heading = "Cluster")]
    state: Option<PathBuf>,
    /// Where others reach the node, if that is another address than --listen
    #[arg(long, value_name = "ADDR", requires = "listen", help_heading = "Cluster")]
    advertise: Option<SocketAddr>,
    /// Let etcd at these addresses decide about the membership [default: the node that founded the cluster decides]
    #[arg(
        long,
        value_name = "URL[,URL]",
        value_delimiter = ',',
        requires = "listen",
        help_heading = "Cluster"
    )]
    etcd: Vec<String>,
}

impl Flags {
    pub(crate) fn config(self) -> anyhow::Result<Option<ClusterConfig>> {
        let Flags { listen, join, certs, node, state, advertise, etcd } = self;
        let (Some(listen), Some(certs), Some(state)) = (listen, certs, state) else { return Ok(None) };
        let mut found = Vec::new();
        for address in join {
            found.extend(resolve(&address)?);
        }
        // `host cert issue` makes a folder per node: both it and the folder of all are what a person may mean.
        let own = node.as_ref().map(|name| certs.join(name)).filter(|own| own.join("node.pem").exists());
        Ok(Some(ClusterConfig {
            listen,
            advertise,
            join: found,
            certs: own.unwrap_or(certs),
            name: node,
            state,
            decides: if etcd.is_empty() { Decides::Seat } else { Decides::Etcd(etcd) },
        }))
    }
}

fn resolve(text: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let wrong = |why: String| {
        Usage(format!("'{text}' after --join is no address ({why}): write HOST:PORT, such as 10.0.0.1:7001"))
    };
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(wrong("no such host".into()).into());
    }
    if found.iter().any(|address| address.port() == 0 || address.ip().is_unspecified()) {
        return Err(wrong("nobody can be reached there".into()).into());
    }
    Ok(found)
}

/// The cluster, for a workload.
pub(crate) struct Others<'n>(pub(crate) &'n Cluster);

fn failed(error: ClusterError) -> PeersFailed {
    PeersFailed(error.to_string())
}

impl Peers for Others<'_> {
    fn me(&self) -> u32 {
        self.0.me().number
    }

    fn members(&self) -> Vec<u32> {
        self.0.peers().iter().map(|peer| peer.number).collect()
    }

    fn send(&self, to: u32, references: &[Handle], message: &[u8]) -> Result<(), PeersFailed> {
        self.0.send(to, references, message).map_err(failed)
    }

    fn receive(&self, patience: Duration) -> Result<Option<Received>, PeersFailed> {
        let delivery = self.0.receive(patience).map_err(failed)?;
        Ok(delivery.map(|delivery| Received {
            from: delivery.from,
            references: delivery.references,
            no_room: delivery.no_room,
            message: delivery.message,
        }))
    }

    fn collect(&self) -> Result<bool, PeersFailed> {
        match self.0.collect() {
            Ok(over) => Ok(over.ending == "swept"),
            Err(ClusterError::Ended) => Err(failed(ClusterError::Ended)),
            // Nobody can begin one at this moment: it is asked for again.
            Err(_) => Ok(false),
        }
    }

    fn ledger(&self) -> Ledger {
        // A driver that has ended has nothing that could change any more.
        let ledger = self.0.ledger().unwrap_or_default();
        Ledger { stubs: ledger.stubs, scions: ledger.scions, unsettled: ledger.unsettled }
    }

    fn traffic(&self) -> Traffic {
        // What a driver that has ended sent last.
        let counters = self.0.status().unwrap_or_else(|_| self.0.seen()).counters;
        Traffic { messages: counters.messages_sent, frames: counters.frames_sent, bytes: counters.bytes_sent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_resolved_and_others_are_named() {
        assert_eq!(resolve("127.0.0.1:7001").unwrap(), ["127.0.0.1:7001".parse().unwrap()]);
        for text in ["here", "127.0.0.1", "127.0.0.1:99999", "", "0.0.0.0:7001", "127.0.0.1:0"] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains("--join") && error.contains("HOST:PORT"), "{error}");
        }
    }
}
