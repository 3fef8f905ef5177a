//! Where the control socket is, and who holds it.
//!
//! A node holds a lock on a file beside its socket for as long as it runs; the kernel lets go of it when the process dies, however it dies. So a
//! socket file without a locked lock file is stale and may be replaced, and there is no moment in which two nodes think so.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Another node has it.
    #[error(
        "a node is already running on {}{}: talk to it with `host status`, stop it, or give this one another socket with --socket PATH",
        path.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Occupied {
        /// The socket.
        path: PathBuf,
        /// Who has it, if that is known.
        pid: Option<u32>,
    },
    /// Something else is there.
    #[error("{} exists and is no socket: remove it, or give another path with --socket PATH", path.display())]
    NoSocket {
        /// Where.
        path: PathBuf,
    },
    /// The folder is not ours alone.
    #[error(
        "{} is not a folder that only user {uid} can use: remove it, set XDG_RUNTIME_DIR, or give a path with --socket PATH",
        path.display()
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// The user.
        uid: u32,
    },
    /// The system said no.
    #[error("cannot use {} for the control socket: {source}: give another path with --socket PATH", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a node listens and where clients look when nothing else is said: `$XDG_RUNTIME_DIR/gc-host/control.sock`, or
/// `/tmp/host-UID/control.sock`. The folder is made, for its owner alone, if it is not there.
///
/// # Errors
///
/// When the folder cannot be made, or others could get at it.
pub fn default_socket() -> Result<PathBuf, PlaceError> {
    let uid = rustix::process::getuid().as_raw();
    let folder = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if Path::new(&runtime).is_absolute() => PathBuf::from(runtime).join("gc-host"),
        _ => PathBuf::from(format!("/tmp/host-{uid}")),
    };
    private_folder(&folder, uid)?;
    Ok(folder.join("control.sock"))
}

fn private_folder(folder: &Path, uid: u32) -> Result<(), PlaceError> {
    let failed = |source| PlaceError::Io { path: folder.to_owned(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    // Not through a link: in /tmp somebody else could have put one there.
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    let private = found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0;
    private.then_some(()).ok_or_else(|| PlaceError::Unsafe { path: folder.to_owned(), uid })
}

/// A socket that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Place {
    pub(crate) fn take(path: &Path) -> Result<Place, PlaceError> {
        let failed = |source| PlaceError::Io { path: path.to_owned(), source };
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let lock = take_lock(path, &lock_path)?;
        let listener = clear(path).and_then(|()| UnixListener::bind(path).map_err(failed));
        let listener = listener.inspect_err(|_| {
            // While it is held, so that it is nobody else's.
            let _ = std::fs::remove_file(&lock_path);
        })?;
        let place = Place { listener, path: path.to_owned(), lock_path, _lock: lock };
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // While the lock is held, so that only our own files can go. What is left behind is replaced by the next node.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

fn take_lock(path: &Path, lock_path: &Path) -> Result<File, PlaceError> {
    let failed = |source| PlaceError::Io { path: lock_path.to_owned(), source };
    loop {
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = (&lock).take(32).read_to_string(&mut pid);
                return Err(PlaceError::Occupied { path: path.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The one before us may have removed the file between our opening and our locking it: then we hold a lock that nobody else looks at.
        let ours = lock.metadata().map_err(failed)?;
        let there = std::fs::metadata(lock_path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if there {
            lock.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
            lock.set_len(0).map_err(failed)?;
            lock.rewind().map_err(failed)?;
            writeln!(lock, "{}", std::process::id()).map_err(failed)?;
            return Ok(lock);
        }
    }
}

/// Makes way at `path`: a socket on which nobody listens is left over from a node that died.
fn clear(path: &Path) -> Result<(), PlaceError> {
    let failed = |source| PlaceError::Io { path: path.to_owned(), source };
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    if !found.file_type().is_socket() {
        return Err(PlaceError::NoSocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        // Somebody listens who does not hold our lock: another program.
        Ok(_) => Err(PlaceError::Occupied { path: path.to_owned(), pid: None }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_and_its_folder_are_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let place = Place::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(place);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_second_one_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = Place::take(&path).unwrap();
        let refused = Place::take(&path).unwrap_err();
        let PlaceError::Occupied { pid, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*pid, Some(std::process::id()));
        drop(first);
        Place::take(&path).unwrap();
    }

    #[test]
    fn a_socket_of_a_dead_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        Place::take(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        std::fs::write(&path, "precious").unwrap();
        let refused = Place::take(&path).unwrap_err();
        assert!(matches!(refused, PlaceError::NoSocket { .. }), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is put beside it");
    }

    #[test]
    fn a_socket_of_another_program_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _theirs = UnixListener::bind(&path).unwrap();
        assert!(matches!(Place::take(&path), Err(PlaceError::Occupied { pid: None, .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing is put beside it");
    }

    #[test]
    fn a_folder_that_others_can_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(private_folder(&open, uid), Err(PlaceError::Unsafe { .. })));
        let link = folder.path().join("link");
        let private = folder.path().join("private");
        private_folder(&private, uid).unwrap();
        std::os::unix::fs::symlink(&private, &link).unwrap();
        assert!(matches!(private_folder(&link, uid), Err(PlaceError::Unsafe { .. })));
    }
}
