//! A file that is written beside its place, and put there once it is known that it shall be: whoever asked for something that cannot be finds what was there.

use std::io;
use std::path::{Path, PathBuf};

/// See the module. What is still beside its place when this is dropped is removed.
#[derive(Debug)]
pub(crate) struct Beside {
    place: PathBuf,
    /// None for a device or a pipe, which is written to directly, and when it is in its place.
    beside: Option<PathBuf>,
}

impl Beside {
    pub(crate) fn new(place: &Path) -> Beside {
        let plain = std::fs::metadata(place).map_or(true, |found| found.is_file());
        let beside = plain.then(|| {
            let mut name = place.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}.partial", std::process::id()));
            place.with_file_name(name)
        });
        Beside { place: place.to_owned(), beside }
    }

    /// What is to be opened.
    pub(crate) fn path(&self) -> &Path {
        self.beside.as_ref().unwrap_or(&self.place)
    }

    /// Puts it into its place. Whoever has it open goes on writing there.
    pub(crate) fn settle(&mut self) -> io::Result<()> {
        if let Some(beside) = &self.beside {
            std::fs::rename(beside, &self.place)?;
            self.beside = None;
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = std::fs::remove_file(beside);
        }
    }
}
