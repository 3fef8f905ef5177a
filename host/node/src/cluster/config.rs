//! What a node needs to take part in a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use gc_cluster::Decides;

/// What a node needs to take part in a cluster. Who it is stands in its certificate.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The UDP address that it listens on.
    pub listen: SocketAddr,
    /// Where others reach it, if that is another address.
    pub advertise: Option<SocketAddr>,
    /// Nodes to find the cluster through; none for the one that founds it.
    pub join: Vec<SocketAddr>,
    /// The folder with its certificate, as `host cert issue` makes it.
    pub certs: PathBuf,
    /// The name that the certificate must have. None takes whatever it has.
    pub name: Option<String>,
    /// The folder that outlives the process: its lives, and the membership.
    pub state: PathBuf,
    /// Who decides about the membership.
    pub decides: Decides,
}
