//! What a node's membership is started with, and why it cannot be.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::kept::StateError;
use crate::refused::ChangeRefused;

/// What a node's membership is started with. Who the node is, and in which life, is the transport's.
#[derive(Debug, Clone)]
pub struct MembersConfig {
    /// Where others reach this node. Not an unspecified address, although the node may listen on one.
    pub address: SocketAddr,
    /// Nodes to find the cluster through. Empty on the node that founds it.
    pub join: Vec<SocketAddr>,
    /// The folder that outlives the process, the same as for [`Lives`](crate::Lives). The membership is kept beside the incarnation.
    pub state: PathBuf,
    /// Who decides.
    pub decides: Decides,
}

/// Who decides about the membership.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Decides {
    /// The node that founded the cluster, its *seat*: the one that was started first, without `--join`. It stays the seat when it restarts with its state.
    #[default]
    Seat,
    /// An etcd cluster at these addresses (`http://HOST:PORT`). Needs the feature `etcd`.
    Etcd(Vec<String>),
}

/// A node's membership cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// Nobody can dial such an address.
    #[error("{0} is no address that others can reach: say with --advertise where this node is")]
    Unreachable(SocketAddr),
    /// All addresses to join are this node's.
    #[error("--join names this node itself ({0}): name another node, or leave --join out to found a cluster")]
    JoinsItself(SocketAddr),
    /// What is on disk cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A life that cannot go on as the seat, or nothing can be written down.
    #[error("the cluster cannot be founded or gone on with: {0}")]
    Refused(#[from] ChangeRefused),
    /// The binary was built without etcd.
    #[error("this binary was built without etcd: build it with `--features etcd`")]
    NoEtcd,
    /// An address of etcd is none.
    #[error("'{0}' is no address of etcd: it is http://HOST:PORT")]
    EtcdAddress(String),
}
