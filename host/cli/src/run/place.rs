//! A folder for the certificates of nodes in one process: only this user can look into it, and it is gone at the end.
//!
//! Who is killed cannot remove its folder; whoever makes the next one does. Who is alive is told by a lock on a file in the folder, which the kernel gives up with
//! the process: a number of a process would soon be that of another one.

use std::fs::{DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

/// What the folders begin with.
const PREFIX: &str = "host-nodes-";

/// The file that is locked.
const LOCK: &str = "lock";

/// A folder without a lock is about to get one. After this time nobody is.
const UNLOCKED: Duration = Duration::from_mins(10);

/// Names that are tried.
const ATTEMPTS: u32 = 100;

/// See the module.
pub(crate) struct Place {
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl Place {
    /// Makes it in the folder for temporary files, and removes those that nobody lives in any more.
    pub(crate) fn new() -> anyhow::Result<Place> {
        let base = std::env::temp_dir();
        let place = Place::within(&base).with_context(|| {
            format!(
                "cannot make a folder for certificates in {}: set TMPDIR to one that can be written",
                base.display()
            )
        })?;
        sweep(&base);
        Ok(place)
    }

    fn within(base: &Path) -> io::Result<Place> {
        let mut last = io::Error::other("no name is free");
        for attempt in 0..ATTEMPTS {
            let path = base.join(format!("{PREFIX}{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path).and_then(|()| occupy(&path)) {
                Ok(lock) => return Ok(Place { path, _lock: lock }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Locks a folder that was just made. Who sweeps may have come between.
fn occupy(path: &Path) -> io::Result<File> {
    let name = path.join(LOCK);
    let lock = File::create_new(&name)?;
    lock.try_lock()?;
    let (held, there) = (lock.metadata()?, std::fs::metadata(&name)?);
    match (held.dev(), held.ino()) == (there.dev(), there.ino()) {
        true => Ok(lock),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Removes the folders of processes that are gone. What cannot be removed stays: it is in nobody's way.
pub(crate) fn sweep(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else { return };
    for entry in
        entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()))
    {
        let path = entry.path();
        // A link is not followed, what belongs to others is left to them.
        let Ok(folder) = std::fs::symlink_metadata(&path) else { continue };
        if folder.is_dir() && folder.uid() == rustix::process::geteuid().as_raw() && is_left(&path, &folder) {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

fn is_left(path: &Path, folder: &Metadata) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let age = folder.modified().ok().and_then(|made| made.elapsed().ok());
            age.is_some_and(|age| age > UNLOCKED)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_left_is_removed_and_what_the_living_have_stays() {
        let base = tempfile::tempdir().unwrap();
        let living = Place::within(base.path()).unwrap();
        let folder = |name: &str| {
            let path = base.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (dead, fresh, other) = (folder("host-nodes-1-0"), folder("host-nodes-2-0"), folder("host-nodes"));
        std::fs::write(dead.join(LOCK), "").unwrap();
        std::fs::write(dead.join("key.pem"), "secret").unwrap();
        std::os::unix::fs::symlink(&other, base.path().join("host-nodes-3-0")).unwrap();
        sweep(base.path());
        assert!(!dead.exists());
        assert!(living.path().exists() && fresh.exists() && other.exists());
        let old = File::open(&fresh).unwrap();
        old.set_modified(std::time::SystemTime::now() - 2 * UNLOCKED).unwrap();
        sweep(base.path());
        assert!(!fresh.exists() && living.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }
}
