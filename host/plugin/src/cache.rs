//! Compiled code on disk, so that a strategy serves within milliseconds.
//!
//! A file is named after the digest of the component and the compatibility hash of the engine; it holds a magic number, the digest of the code, the
//! code. It is written under a temporary name and renamed, and never changed: whoever has it open keeps what was there.
//!
//! Native code from a file is as powerful as this program, so a file is believed only when it is ours, only we could have written it, and its digest is
//! right. The first two are permissions (the folder is 0700 and ours), and keep others out; the digest finds torn writes and rot. A file that fails any of
//! that is compiled anew and replaced. Other processes of the same user are trusted, as they could replace this program.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::error::PluginError;
use crate::limits;

const MAGIC: [u8; 8] = *b"gc-code1";
const DIGEST_BYTES: usize = 32;
const SUFFIX: &str = ".code";

/// Of a file that is being written.
const TEMPORARY: &str = ".tmp";

/// Code that this program compiled, now or earlier.
pub(crate) struct Artefact(Vec<u8>);

impl Artefact {
    /// What [`crate::window::load_compiled`] believes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[MAGIC.len() + DIGEST_BYTES..]
    }
}

/// Where the code of a strategy came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeOrigin {
    /// From the cache.
    Cached,
    /// Compiled, and kept in the cache if there is one.
    Compiled,
    /// Compiled, and could not be kept: why.
    NotKept(String),
}

/// A folder of compiled code.
pub(crate) struct Cache {
    folder: PathBuf,
    engine: u64,
}

/// Whether compiled code can be kept in a folder, which is made if it is missing.
///
/// # Errors
///
/// [`PluginError::Cache`] if the folder cannot be made, or could be written to by others.
pub fn check_cache(folder: &Path) -> Result<(), PluginError> {
    let refused = |reason: String| PluginError::Cache { path: folder.to_owned(), reason };
    let unusable = |error: io::Error| refused(format!("{error}: choose another folder"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    let metadata = fs::metadata(folder).map_err(unusable)?;
    if !metadata.is_dir() {
        return Err(refused("this is no folder: choose another".to_owned()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("it belongs to another user, who could plant code: choose another".to_owned()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(refused("others may write to it and could plant code: type chmod 700".to_owned()));
    }
    Ok(())
}

impl Cache {
    /// Opens the folder, and makes it if it is missing.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> Result<Cache, PluginError> {
        check_cache(folder)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Cache { folder: folder.to_owned(), engine: hasher.finish() })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}-{:016x}{SUFFIX}", self.engine))
    }

    /// The code of the component with this digest, if it is here and can be believed.
    pub(crate) fn load(&self, digest: &str) -> Option<Artefact> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.path(digest))
            .ok()?;
        let metadata = file.metadata().ok()?;
        let ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
        if !metadata.is_file() || !ours {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
        file.read_to_end(&mut bytes).ok()?;
        let code = bytes.strip_prefix(&MAGIC)?;
        let (digest, code) = code.split_at_checked(DIGEST_BYTES)?;
        (*Sha256::digest(code) == *digest).then_some(Artefact(bytes))
    }

    /// Keeps code. What another process has kept meanwhile is replaced by the same.
    pub(crate) fn keep(&self, digest: &str, code: &[u8]) -> io::Result<()> {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{}-{unique}{TEMPORARY}", std::process::id()));
        let written = write_whole(&temporary, code).and_then(|()| fs::rename(&temporary, self.path(digest)));
        if written.is_err() {
            // What is half written under a temporary name is never read; the folder may be full.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.prune()
    }

    /// Forgets the oldest files beyond the bound, and what processes that were killed have left half written.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(SUFFIX) {
                files.push((entry.metadata()?.modified()?, entry.path()));
            } else if name.starts_with('.') && name.ends_with(TEMPORARY) {
                // Another process may have moved it to its place meanwhile.
                let written = entry.metadata().and_then(|metadata| metadata.modified());
                if written.is_ok_and(|then| then.elapsed().is_ok_and(|age| age > limits::ABANDONED)) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        files.sort();
        let surplus = files.len().saturating_sub(limits::CACHED_FILES);
        for (_, path) in &files[..surplus] {
            match fs::remove_file(path) {
                // Another process prunes too.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn write_whole(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&MAGIC)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn cache(folder: &Path) -> Cache {
        Cache::open(&folder.join("code"), &Engine::default()).unwrap()
    }

    #[test]
    fn what_was_kept_is_loaded_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.keep("aa", b"code").unwrap();
        assert_eq!(cache.load("aa").unwrap().bytes(), b"code");
        assert!(cache.load("bb").is_none());
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_changed_in_any_byte_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.keep("aa", b"some code").unwrap();
        let whole = fs::read(cache.path("aa")).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(cache.path("aa"), &changed).unwrap();
            assert!(cache.load("aa").is_none(), "byte {at}");
            fs::write(cache.path("aa"), &whole[..at]).unwrap();
            assert!(cache.load("aa").is_none(), "cut at {at}");
        }
    }

    #[test]
    fn what_others_could_have_written_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.keep("aa", b"code").unwrap();
        fs::set_permissions(cache.path("aa"), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(cache.load("aa").is_none());
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o770)).unwrap();
        let refused = Cache::open(&cache.folder, &Engine::default()).err().unwrap().to_string();
        assert!(refused.contains("chmod 700"), "{refused}");
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.keep("aa", b"code").unwrap();
        std::os::unix::fs::symlink(cache.path("aa"), cache.path("bb")).unwrap();
        assert!(cache.load("bb").is_none());
    }

    #[test]
    fn the_cache_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        for number in 0..limits::CACHED_FILES + 5 {
            cache.keep(&format!("{number}"), b"code").unwrap();
        }
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), limits::CACHED_FILES);
    }

    #[test]
    fn what_killed_processes_left_half_written_goes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let (old, new) = (cache.folder.join(".1-0.tmp"), cache.folder.join(".2-0.tmp"));
        fs::write(&new, "").unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * limits::ABANDONED;
        File::create(&old).unwrap().set_modified(long_ago).unwrap();
        cache.keep("aa", b"code").unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn a_digest_is_that_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(b""), empty);
    }
}
