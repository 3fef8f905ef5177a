//! What can keep a node out of its cluster, and what can go wrong in it.

use std::io;
use std::path::PathBuf;

use gc_cluster::{CredentialsError, LivesError, MembersError, TransportError};

/// A node that does not become a member, or something that its cluster did not do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Its certificates.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Its state.
    #[error(transparent)]
    Lives(#[from] LivesError),
    /// Its address.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Its membership.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The certificate is of another node.
    #[error("the certificate in {} is that of '{theirs}', and this node is to be '{ours}': give the right folder with --certs, or leave out --node", folder.display())]
    OtherName {
        /// Where the certificate is.
        folder: PathBuf,
        /// The name in it.
        theirs: String,
        /// The name that was asked for.
        ours: String,
    },
    /// The driver could not be started.
    #[error("cannot drive the cluster: {0}: raise the limits on threads and open files")]
    Runtime(io::Error),
    /// The node is no member of a cluster.
    #[error("this node is in no cluster: start it with --listen and --certs")]
    NoCluster,
    /// The node shuts down, or was exiled.
    #[error("this node is not a member any more: start it again")]
    Ended,
    /// Too much waits.
    #[error("too many requests wait for the cluster: ask again when some are answered")]
    Overloaded,
    /// A message was not sent.
    #[error("{0}")]
    NotSent(String),
    /// Somebody who is asked is not there.
    #[error("{node} is not there ({why}): ask again when `host cluster status` shows it as up")]
    Unreachable {
        /// Who.
        node: String,
        /// How that is known.
        why: String,
    },
    /// A cycle over all nodes needs all of them.
    #[error(
        "a cycle over all nodes needs all of them, and {0} is not there: wait for it, collect here with --local, or, if it is gone for good, `host cluster exile {0}`"
    )]
    Absent(String),
    /// The cluster refuses.
    #[error("{0}")]
    Refused(String),
}
