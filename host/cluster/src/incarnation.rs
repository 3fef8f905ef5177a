//! The number of a node's life, on disk before anybody hears of it.
//!
//! 1. Each start takes a number that is higher than all before it, and it is durable before [`Lives::begin`] returns.
//! 2. One process at a time: the folder is locked as long as [`Lives`] lives.
//! 3. A file that cannot be read is never taken for "no life yet": a number used twice would let messages to the dead reach the living.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::files;

/// The lives of a node could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LivesError {
    /// Another process has the folder.
    #[error("{} is in use by another node: stop that one, or give this one a folder of its own with --state", .0.display())]
    InUse(PathBuf),
    /// The file is not what was written.
    #[error("{} is damaged: write into it, by hand and alone, a number higher than the incarnation that `host cluster status` shows for this node on any other", .0.display())]
    Damaged(PathBuf),
    /// There are no more numbers.
    #[error("{} has come to its last number: give the node another name", .0.display())]
    Exhausted(PathBuf),
    /// The file system refuses.
    #[error("cannot {what} {}: {source}; the node does not start, and nothing was changed", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder with a node's lives, locked for this process.
#[derive(Debug)]
pub struct Lives {
    path: PathBuf,
    last: u64,
    _lock: File,
}

const FILE: &str = "incarnation";
const LOCK: &str = "lock";

impl Lives {
    /// Opens a node's folder; makes it where there is none.
    ///
    /// # Errors
    ///
    /// [`LivesError`]; nothing is changed.
    pub fn open(folder: &Path) -> Result<Lives, LivesError> {
        let path = folder.join(FILE);
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| LivesError::File { what, path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let lock_path = folder.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LivesError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => {
                return Err(LivesError::File { what: "lock", path: lock_path, source });
            }
        }
        let last = match std::fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| LivesError::Damaged(path.clone()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(LivesError::Damaged(path));
            }
            Err(source) => return Err(LivesError::File { what: "read", path, source }),
        };
        Ok(Lives { path, last, _lock: lock })
    }

    /// Begins a life: a number higher than all before it and than `seen`, which is what others say they have seen of this node (0 for nothing).
    ///
    /// # Errors
    ///
    /// [`LivesError::File`] when it cannot be made durable: the number is not used then.
    pub fn begin(&mut self, seen: u64) -> Result<u64, LivesError> {
        let next =
            self.last.max(seen).checked_add(1).ok_or_else(|| LivesError::Exhausted(self.path.clone()))?;
        files::replace(&self.path, format!("{next}\n").as_bytes(), 0o644)
            .map_err(|source| LivesError::File { what: "write", path: self.path.clone(), source })?;
        self.last = next;
        Ok(next)
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_has_a_higher_number() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("n1");
        assert_eq!(Lives::open(&state).unwrap().begin(0).unwrap(), 1);
        let mut lives = Lives::open(&state).unwrap();
        assert_eq!(lives.begin(0).unwrap(), 2);
        assert_eq!(lives.begin(40).unwrap(), 41);
        drop(lives);
        assert_eq!(Lives::open(&state).unwrap().begin(5).unwrap(), 42);
    }

    #[test]
    fn a_folder_serves_one_node_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let lives = Lives::open(folder.path()).unwrap();
        assert!(matches!(Lives::open(folder.path()), Err(LivesError::InUse(_))));
        drop(lives);
        Lives::open(folder.path()).unwrap();
    }

    #[test]
    fn a_damaged_file_is_not_the_first_life() {
        let folder = tempfile::tempdir().unwrap();
        for text in [&b""[..], b"\n", b"-1\n", b"+1", b"1 2\n", b"x", b"18446744073709551616\n", b"\xff\xff"]
        {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let error = Lives::open(folder.path()).unwrap_err();
            assert!(matches!(error, LivesError::Damaged(_)), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_number_that_is_not_on_disk_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut lives = Lives::open(folder.path()).unwrap();
        assert_eq!(lives.begin(0).unwrap(), 1);
        // Where the next contents would be written stands a folder.
        std::fs::create_dir(folder.path().join("incarnation.new")).unwrap();
        let error = lives.begin(0).unwrap_err();
        assert!(matches!(error, LivesError::File { what: "write", .. }), "{error}");
        std::fs::remove_dir(folder.path().join("incarnation.new")).unwrap();
        assert_eq!(lives.begin(0).unwrap(), 2);
        std::fs::write(folder.path().join(FILE), u64::MAX.to_string()).unwrap();
        drop(lives);
        assert!(matches!(Lives::open(folder.path()).unwrap().begin(0), Err(LivesError::Exhausted(_))));
    }
}
