//! What can be wrong with certificates, and what to do about it.

use std::path::PathBuf;

/// The certificates of a node cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file is not there or cannot be read.
    #[error("cannot read {}: {source}; make it with `host cert issue`, or say where it is with --certs", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no PEM of the kind it should be.
    #[error("{} is damaged ({what}): write it again with `host cert issue`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no thread to look at the folder.
    #[error("cannot watch {}: {source}; what is replaced there is shown after the next start", path.display())]
    Unwatched {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The private key can be read by others.
    #[error("{} can be read by others (mode {mode:o}): chmod 600 it, and rotate it if others have read it", path.display())]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate says nothing, or too much, about who the node is.
    #[error("{} names no node of ours ({what}): make it with `host cert issue`", path.display())]
    NoIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Certificate, key and authority do not go together, or the time is not right.
    #[error("the certificate in {} cannot be used ({what}): make it again with `host cert rotate`", path.display())]
    Unfit {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A name that nothing can have.
    #[error("'{0}' cannot be a name: lower case letters, digits and hyphens, a letter first, at most 64")]
    BadName(String),
    /// There is an authority already.
    #[error("{} has an authority already: give another folder, or go on with `host cert issue`", .0.display())]
    Exists(PathBuf),
    /// There is no authority.
    #[error("there is no authority in {}: make one with `host cert init`", .0.display())]
    Missing(PathBuf),
    /// The folder holds certificates of another node.
    #[error("{} holds the certificate of {held}: give {wanted} a folder of its own", path.display())]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// Whose certificate is there.
        held: String,
        /// Whose was asked for.
        wanted: String,
    },
    /// A file of the authority is damaged.
    #[error("{} is damaged ({what}): restore it from a copy, or begin anew with `host cert init` and issue all certificates again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}; nothing was changed", path.display())]
    File {
        /// read or write.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was there cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Making(String),
}
