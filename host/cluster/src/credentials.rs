//! A node's certificates: three files in a folder, read again when they change.
//!
//! | file | what |
//! |---|---|
//! | `authority.pem` | certificates of the authorities that are believed, newest first: two while one replaces the other |
//! | `node.pem` | the node's certificate |
//! | `node.key` | its private key, for its owner's eyes only |

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::CredentialsError;
use crate::identity::Identity;
use crate::limits::CERTIFICATES_LOOK;
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

/// Notices that the files of a folder were replaced. A thread of its own looks at them and reads them: a disk that hangs, or a folder on a machine that does
/// not answer, holds nobody up.
#[derive(Debug)]
pub struct Watch {
    found: Receiver<Found>,
    /// Goes with this, and then the thread ends.
    _wanted: SyncSender<()>,
}

type Found = Result<Arc<Credentials>, CredentialsError>;

/// By which the files are told from what they were: none where there is none.
type Stamps = [Option<(u64, u64, i64, i64)>; 3];

/// What the thread is called, for people.
const THREAD: &str = "gc-certificates";

impl Watch {
    /// Watches a folder. To be called before [`Credentials::load`], so that nothing is replaced unseen between the two.
    #[must_use]
    pub fn new(folder: &Path) -> Watch {
        let (say, found) = sync_channel(1);
        let (_wanted, stop) = sync_channel(0);
        let (looks, watched) = (Looks { read: stamps(folder), last: stamps(folder) }, folder.to_owned());
        let say_so = say.clone();
        let thread = std::thread::Builder::new().name(THREAD.into());
        if let Err(source) = thread.spawn(move || watch(&watched, looks, &say, &stop)) {
            // There is room: nobody else has sent anything.
            let _ = say_so.try_send(Err(CredentialsError::Unwatched { path: folder.to_owned(), source }));
        }
        Watch { found, _wanted }
    }

    /// What the folder holds, if it was changed and has been read since this was last asked. Does not wait.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] when what is there cannot be used: go on with what you have.
    pub fn changed(&self) -> Option<Found> {
        self.found.try_recv().ok()
    }
}

/// Looks at the folder now and then, until nobody wants to know any more.
fn watch(folder: &Path, mut looks: Looks<Stamps>, say: &SyncSender<Found>, stop: &Receiver<()>) {
    while stop.recv_timeout(CERTIFICATES_LOOK) == Err(RecvTimeoutError::Timeout) {
        // Looked at before it is read: what is replaced meanwhile is seen the next time.
        if looks.find(stamps(folder)) && say.send(Credentials::load(folder).map(Arc::new)).is_err() {
            return;
        }
    }
}

/// What a folder looked like, so that a change is read once, and when it is whole: files are written one after the other.
struct Looks<S> {
    read: S,
    last: S,
}

impl<S: PartialEq> Looks<S> {
    /// Whether the folder is to be read: it is not as it was when it was read, and as it was at the last look.
    fn find(&mut self, present: S) -> bool {
        let is_due = present == self.last && present != self.read;
        if is_due {
            self.read = present;
        } else {
            self.last = present;
        }
        is_due
    }
}

fn stamps(folder: &Path) -> Stamps {
    let stamp = |m: Metadata| (m.ino(), m.size(), m.mtime(), m.mtime_nsec());
    [AUTHORITY_PEM, NODE_PEM, NODE_KEY].map(|name| std::fs::metadata(folder.join(name)).ok().map(stamp))
}

#[cfg(test)]
mod tests {
    use super::Looks;

    #[test]
    fn a_change_is_read_once_and_when_nothing_is_written_any_more() {
        let mut looks = Looks { read: 'a', last: 'a' };
        let found: String = "aabcddddaaaabaa".chars().filter(|&present| looks.find(present)).collect();
        // b and c were on the way to d; that a was another for one look makes it no other.
        assert_eq!(found, "da");
    }
}
