//! A node's certificates: three files in a folder, read again when they change.
//!
//! | file | what |
//! |---|---|
//! | `authority.pem` | certificates of the authorities that are believed, newest first: two while one replaces the other |
//! | `node.pem` | the node's certificate |
//! | `node.key` | its private key, for its owner's eyes only |

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::CredentialsError;
use crate::identity::Identity;
use crate::tls::{self, Material};
use crate::x509::{identity_of, parse};

/// Names of the files.
pub(crate) const AUTHORITY_PEM: &str = "authority.pem";
pub(crate) const NODE_PEM: &str = "node.pem";
pub(crate) const NODE_KEY: &str = "node.key";

/// What a node shows to others, and whom it believes.
#[derive(Debug)]
pub struct Credentials {
    /// Who the node is.
    pub identity: Identity,
    /// When its certificate ends, in seconds since 1970.
    pub expires_unix_seconds: i64,
    pub(crate) material: Material,
}

impl Credentials {
    /// Reads the folder and checks that its files go together.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`], with the file and what to do.
    pub fn load(folder: &Path) -> Result<Credentials, CredentialsError> {
        let authorities = certificates(&folder.join(AUTHORITY_PEM))?;
        let path = folder.join(NODE_PEM);
        let chain = certificates(&path)?;
        let key = private_key(&folder.join(NODE_KEY))?;
        let leaf = parse(&chain[0]).map_err(|what| CredentialsError::Damaged { path: path.clone(), what })?;
        let identity = identity_of(&leaf).map_err(|what| CredentialsError::NoIdentity { path, what })?;
        let expires_unix_seconds = leaf.validity().not_after.timestamp();
        let material = Material { authorities, chain, key };
        tls::check(&material).map_err(|what| CredentialsError::Unfit { path: folder.to_owned(), what })?;
        Ok(Credentials { identity, expires_unix_seconds, material })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let bytes = read(path)?;
    let damaged = |what: String| CredentialsError::Damaged { path: path.to_owned(), what };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| damaged(error.to_string()))?;
    if found.is_empty() {
        return Err(damaged("there is no certificate in it".into()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let bytes = read(path)?;
    let metadata = std::fs::metadata(path)
        .map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CredentialsError::OpenKey { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| CredentialsError::Damaged { path: path.to_owned(), what: error.to_string() })
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    std::fs::read(path).map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })
}

/// Notices that the files of a folder were replaced.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    seen: Vec<Option<Stamp>>,
}

type Stamp = (u64, u64, i64, i64);

impl Watch {
    /// Watches a folder that [`Credentials::load`] has just read.
    #[must_use]
    pub fn new(folder: &Path) -> Watch {
        Watch { seen: stamps(folder), folder: folder.to_owned() }
    }

    /// What the folder holds, if it changed since this was last asked. Call it every few seconds: three look-ups of a file's metadata.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] when what is there now cannot be used: go on with what you have. Files are written one after the other, so a change that
    /// is seen half done fails once and is right the next time.
    pub fn changed(&mut self) -> Option<Result<Arc<Credentials>, CredentialsError>> {
        let present = stamps(&self.folder);
        if present == self.seen {
            return None;
        }
        // Before the files are read: what is replaced while we read is seen the next time.
        self.seen = present;
        Some(Credentials::load(&self.folder).map(Arc::new))
    }
}

fn stamps(folder: &Path) -> Vec<Option<Stamp>> {
    let stamp = |m: Metadata| (m.ino(), m.size(), m.mtime(), m.mtime_nsec());
    [AUTHORITY_PEM, NODE_PEM, NODE_KEY]
        .map(|name| std::fs::metadata(folder.join(name)).ok().map(stamp))
        .into()
}
