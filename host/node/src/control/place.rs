//! Where the control socket is, and who holds it.
//!
//! A node holds a lock on a file beside its socket for as long as it runs; the kernel lets go of it when the process dies, however it dies. So a
//! socket file without a locked lock file is stale and may be replaced, and there is no moment in which two nodes think so.
//!
//! A lock file says whose it is: a line with the number of the process and [`MARK`]. What else is under its name is not ours, and stays as it is.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What stands in a lock file behind the number of the process.
const MARK: &str = "holds the control socket of a node";

/// Longest line of a lock file.
const LINE_BYTES_MAX: u64 = 64;

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
    /// Something else is where the lock file would be.
    #[error("{} exists and is no lock of a node: remove it, or give another path with --socket PATH", path.display())]
    NoLock {
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
    let foreign = || PlaceError::NoLock { path: lock_path.to_owned() };
    loop {
        let mut lock =
            open_lock(lock_path).map_err(|error| match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::LOOP) => foreign(),
                _ => failed(error),
            })?;
        let found = lock.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(foreign());
        }
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_lock(&lock).ok().flatten().and_then(|line| holder(&line));
                return Err(PlaceError::Occupied { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The one before us may have removed the file between our opening and our locking it: then we hold a lock that nobody else looks at.
        let there = std::fs::symlink_metadata(lock_path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (found.dev(), found.ino()));
        if !there {
            continue;
        }
        let line = read_lock(&lock).map_err(failed)?;
        // A node that dies before it has written leaves an empty file, for its owner alone.
        let begun = line.as_deref() == Some("") && found.mode() & 0o077 == 0;
        if !begun && line.as_deref().and_then(holder).is_none() {
            return Err(foreign());
        }
        lock.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        lock.set_len(0).map_err(failed)?;
        lock.rewind().map_err(failed)?;
        writeln!(lock, "{} {MARK}", std::process::id()).map_err(failed)?;
        return Ok(lock);
    }
}

/// Neither through a link, nor waiting for the other end of a pipe.
fn open_lock(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits() as i32)
        .open(path)
}

/// What stands in a lock file; none if that is no text.
fn read_lock(lock: &File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    lock.take(LINE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok())
}

/// The process that a lock file names.
fn holder(line: &str) -> Option<u32> {
    let (pid, mark) = line.trim_end().split_once(' ')?;
    pid.parse().ok().filter(|_| mark == MARK)
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
    fn a_lock_file_that_is_not_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, lock) = (folder.path().join("s"), folder.path().join("s.lock"));
        let long = format!("4711 {MARK} and of much else");
        for theirs in [&b"[[package]]\nname = \"a\"\n"[..], b"4711\n", b"", b"\xff\xfe", long.as_bytes()] {
            std::fs::write(&lock, theirs).unwrap();
            std::fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
            let refused = Place::take(&path).unwrap_err();
            assert!(matches!(refused, PlaceError::NoLock { .. }), "{refused}");
            assert_eq!(std::fs::read(&lock).unwrap(), theirs);
            assert_eq!(std::fs::metadata(&lock).unwrap().mode() & 0o777, 0o644);
        }
        std::fs::rename(&lock, folder.path().join("file")).unwrap();
        // Not even one that looks like ours, if a link leads there.
        std::fs::write(folder.path().join("file"), format!("4711 {MARK}\n")).unwrap();
        std::os::unix::fs::symlink("file", &lock).unwrap();
        assert!(matches!(Place::take(&path), Err(PlaceError::NoLock { .. })));
        assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), format!("4711 {MARK}\n"));
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_of_a_dead_process_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (path, lock) = (folder.path().join("s"), folder.path().join("s.lock"));
        for left in [String::new(), format!("4711 {MARK}\n")] {
            std::fs::write(&lock, left).unwrap();
            std::fs::set_permissions(&lock, Permissions::from_mode(0o600)).unwrap();
            drop(Place::take(&path).unwrap());
            assert!(!lock.exists() && !path.exists());
        }
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
