//! A repository, opened for reading objects as they are: without replacements, without configuration from
//! elsewhere.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::objs::Find;
use gix::odb::store::structure::Record;

use crate::driver::Driver;
use crate::error::GitError;
use crate::limits::{DELTA_BASES_BYTES, READ_BYTES};

pub(crate) struct Reader {
    repository: gix::Repository,
    path: PathBuf,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Reader, GitError> {
        let no_repository = |why: String| GitError::NoRepository { path: path.to_owned(), why };
        if let Err(error) = std::fs::metadata(path) {
            return Err(no_repository(error.to_string()));
        }
        // git fsck ignores replacements too.
        let options = gix::open::Options::isolated().config_overrides(["core.useReplaceRefs=false"]);
        let mut repository =
            options.open(path).map_err(|error| no_repository(one_line(&error)))?.to_thread_local();
        let storage = repository.config_snapshot().string("extensions.refStorage");
        if let Some(storage) = storage.filter(|storage| &***storage != b"files") {
            return Err(GitError::Unsupported {
                path: path.to_owned(),
                what: format!("the ref storage '{storage}'"),
                remedy: "convert it with 'git refs migrate --ref-format=files'",
            });
        }
        repository.objects.refresh_never();
        repository.objects.set_pack_cache(|| {
            Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(DELTA_BASES_BYTES))
        });
        Ok(Reader { repository, path: path.to_owned() })
    }

    /// The same repository for another thread, with caches of its own.
    pub(crate) fn another(&self) -> Reader {
        Reader { repository: self.repository.clone(), path: self.path.clone() }
    }

    pub(crate) fn repository(&self) -> &gix::Repository {
        &self.repository
    }

    pub(crate) fn hash_kind(&self) -> gix::hash::Kind {
        self.repository.object_hash()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An object with its contents; none when it is not there.
    pub(crate) fn find<'b>(
        &self,
        id: &gix::oid,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Option<gix::objs::Data<'b>>, GitError> {
        self.repository.objects.try_find(id, buffer).map_err(|error| self.unreadable(id, &error))
    }

    pub(crate) fn unreadable(&self, id: &gix::oid, error: &gix::Error) -> GitError {
        self.damaged(format!("object {id} cannot be read ({})", one_line(error)))
    }

    pub(crate) fn vanished(&self, id: &gix::oid) -> GitError {
        self.damaged(format!("object {id} was there and is not any more"))
    }

    pub(crate) fn damaged(&self, what: String) -> GitError {
        GitError::Damaged { path: self.path.clone(), what }
    }

    /// Compares every pack and every index of packs with the checksum at its end, before anything in them is
    /// believed. Says whether the driver asked to stop.
    pub(crate) fn check_packs(&self, driver: &dyn Driver) -> Result<bool, GitError> {
        let store = self.repository.objects.store_ref();
        let records = store.structure().map_err(|error| self.damaged(one_line(&error)))?;
        for record in records {
            match record {
                Record::Index { path, .. } => {
                    self.check_file(&path, driver)?;
                    self.check_file(&path.with_extension("pack"), driver)?;
                }
                Record::MultiIndex { path, .. } => self.check_multi_index(&path, driver)?,
                Record::LooseObjectDatabase { .. } | Record::Empty => {}
            }
        }
        Ok(driver.stop_requested())
    }

    fn check_multi_index(&self, path: &Path, driver: &dyn Driver) -> Result<(), GitError> {
        self.check_file(path, driver)?;
        let index = gix::odb::pack::multi_index::File::at(path, None).map_err(|error| {
            self.damaged(format!("{} cannot be read ({})", path.display(), one_line(&error)))
        })?;
        index
            .index_names()
            .iter()
            .try_for_each(|name| self.check_file(&path.with_file_name(name).with_extension("pack"), driver))
    }

    /// Of so many bytes; none when the driver asked to stop.
    fn checksum(&self, file: &mut File, bytes: u64, driver: &dyn Driver) -> io::Result<Option<ObjectId>> {
        let mut hasher = gix::hash::hasher(self.hash_kind());
        let mut buffer = vec![0; READ_BYTES];
        let mut left = bytes;
        while left > 0 {
            if driver.stop_requested() {
                return Ok(None);
            }
            let some = left.min(READ_BYTES as u64) as usize;
            file.read_exact(&mut buffer[..some])?;
            hasher.update(&buffer[..some]);
            left -= some as u64;
        }
        hasher.try_finalize().map(Some).map_err(|error| io::Error::other(one_line(&error)))
    }

    /// Packs, their indexes and the index of several packs all end with the checksum of what stands before
    /// it. Where the driver asks to stop, the rest of the file is not looked at.
    fn check_file(&self, path: &Path, driver: &dyn Driver) -> Result<(), GitError> {
        let failed =
            |why: &dyn std::fmt::Display| self.damaged(format!("{} cannot be read ({why})", path.display()));
        let checksum_len = self.hash_kind().len_in_bytes() as u64;
        let mut file = File::open(path).map_err(|error| failed(&error))?;
        let len = file.metadata().map_err(|error| failed(&error))?.len();
        let Some(hashed) = len.checked_sub(checksum_len) else {
            return Err(failed(&"it is too short"));
        };
        let Some(found) = self.checksum(&mut file, hashed, driver).map_err(|error| failed(&error))? else {
            return Ok(());
        };
        let mut stated = vec![0; checksum_len as usize];
        file.seek(SeekFrom::Start(hashed)).map_err(|error| failed(&error))?;
        file.read_exact(&mut stated).map_err(|error| failed(&error))?;
        if found.as_bytes() == stated {
            Ok(())
        } else {
            let stated = ObjectId::from_bytes_or_panic(&stated);
            Err(self.damaged(format!(
                "{} is corrupt: its checksum says {stated}, its contents {found}",
                path.display()
            )))
        }
    }
}

/// An error with its causes on one line.
pub(crate) fn one_line(error: &gix::Error) -> String {
    let mut line = String::new();
    for cause in error.iter_errors() {
        let text = cause.to_string();
        if text.is_empty() || line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.extend(text.split_whitespace().flat_map(|word| [word, " "]));
        line.truncate(line.trim_end().len());
    }
    line
}
