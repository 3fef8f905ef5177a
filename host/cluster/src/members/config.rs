//! What a node's membership is started with, and why it cannot be.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// The state is damaged.
    #[error("{} is damaged ({what}): restore it from a copy; only if this node is not the seat, remove it and start with --join", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The state is of another node or cluster.
    #[error("{} belongs to {theirs}, this node is {ours}: give it its own folder with --state", path.display())]
    OtherState {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        theirs: String,
        /// Who this node is.
        ours: String,
    },
    /// The file system refuses.
    #[error("cannot {what} {}: {source}; the node does not start, and nothing was changed", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The binary was built without etcd.
    #[error("this binary was built without etcd: build it with `--features etcd`")]
    NoEtcd,
    /// An address of etcd is none.
    #[error("'{0}' is no address of etcd: it is http://HOST:PORT")]
    EtcdAddress(String),
}
