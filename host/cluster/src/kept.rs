//! The membership on disk, beside the number of the node's life.
//!
//! On the seat this file *is* the membership: it is written before anybody hears of a change. On other nodes it says where the cluster is, so that a node finds
//! its way back, and does not found a second cluster when it is started without `--join`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::identity::Identity;
use crate::membership::Membership;

/// The membership on disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
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
}

const FILE: &str = "membership.json";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents<M> {
    version: u32,
    /// Whose folder it is.
    node: String,
    membership: M,
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    path: PathBuf,
    node: String,
}

impl Kept {
    /// The file of a node, and what is in it.
    ///
    /// # Errors
    ///
    /// It is damaged, or of another node; a file that cannot be read is never taken for none.
    pub(crate) fn open(folder: &Path, identity: &Identity) -> Result<(Kept, Option<Membership>), StateError> {
        let (path, node) = (folder.join(FILE), identity.to_string());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StateError::File { what: "read", path, source }),
        };
        let damaged = |what: String| StateError::Damaged { path: path.clone(), what };
        let mut membership = None;
        if let Some(bytes) = bytes {
            let contents: Contents<Membership> =
                serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            if contents.version != VERSION {
                return Err(damaged(format!("version {}, not {VERSION}", contents.version)));
            }
            if contents.node != node {
                return Err(StateError::OtherState { path, theirs: contents.node, ours: node });
            }
            let fault = contents.membership.fault();
            let elsewhere = contents.membership.cluster != identity.cluster;
            if let Some(what) = fault.or(elsewhere.then_some("it is of another cluster")) {
                return Err(damaged(what.to_owned()));
            }
            membership = Some(contents.membership);
        }
        Ok((Kept { path, node }, membership))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what is in it; durable when this returns.
    ///
    /// # Errors
    ///
    /// What the file system says. The old contents stand then.
    pub(crate) fn write(&self, membership: &Membership) -> io::Result<()> {
        let contents = Contents { version: VERSION, node: self.node.clone(), membership };
        let mut text = serde_json::to_vec_pretty(&contents).map_err(io::Error::other)?;
        text.push(b'\n');
        files::replace(&self.path, &text, 0o644)
    }
}
