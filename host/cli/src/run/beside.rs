//! A file that is written when all that goes into it is known: whoever asked for something that cannot be finds what was there.
//!
//! It is written beside its place and then put there, so that nobody finds half of it. Links are followed: what is replaced is the file that they lead to.
//! What has no other name is written directly: a device, a pipe, and what a process has open already, such as `/dev/stdout`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Links that are followed, as many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// See the module.
#[derive(Debug)]
pub(crate) enum Beside {
    /// Where it will be.
    Place(PathBuf),
    /// What is written to directly.
    Open(File),
}

impl Beside {
    /// Looks whether it can be written, and leaves everything as it is.
    pub(crate) fn new(path: &Path) -> io::Result<Beside> {
        match behind_links(path)? {
            End::Place(place) => {
                drop(Partial::new(&place)?);
                Ok(Beside::Place(place))
            }
            End::Descriptor(1) => Ok(Beside::Open(io::stdout().as_fd().try_clone_to_owned()?.into())),
            End::Descriptor(2) => Ok(Beside::Open(io::stderr().as_fd().try_clone_to_owned()?.into())),
            End::Descriptor(_) | End::Device => File::options().append(true).open(path).map(Beside::Open),
        }
    }

    pub(crate) fn write(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let through = |file: &File| {
            let mut out = BufWriter::new(file);
            write(&mut out).and_then(|()| out.flush())
        };
        match self {
            Beside::Open(file) => through(&file),
            Beside::Place(place) => {
                let partial = Partial::new(&place)?;
                through(&partial.file)?;
                partial.settle(&place)
            }
        }
    }
}

/// What stands beside its place; removed if it does not get there.
struct Partial {
    path: Option<PathBuf>,
    file: File,
}

impl Partial {
    fn new(place: &Path) -> io::Result<Partial> {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = place.with_file_name(name);
        let file = File::create(&path)?;
        Ok(Partial { path: Some(path), file })
    }

    fn settle(mut self, place: &Path) -> io::Result<()> {
        if let Ok(found) = std::fs::metadata(place) {
            self.file.set_permissions(found.permissions())?;
        }
        if let Some(path) = &self.path {
            std::fs::rename(path, place)?;
            self.path = None;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where a path leads.
enum End {
    /// A plain file, which may not be there.
    Place(PathBuf),
    /// What this process has open.
    Descriptor(u32),
    Device,
}

/// One link after the other, since the last one may be of `/proc`, which names a file that is open and is none itself.
fn behind_links(path: &Path) -> io::Result<End> {
    let descriptors = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
    let mut path = std::path::absolute(path)?;
    for _ in 0..LINKS_MAX {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && let Ok(folder) = std::fs::canonicalize(folder)
        {
            path = folder.join(name);
        }
        if let Ok(number) = path.strip_prefix(&descriptors) {
            let number = number.to_str().and_then(|number| number.parse().ok());
            return Ok(number.map_or(End::Device, End::Descriptor));
        }
        let Ok(target) = std::fs::read_link(&path) else {
            let kernels = path.starts_with("/proc") || path.starts_with("/sys");
            let plain = !kernels && std::fs::metadata(&path).map_or(true, |found| found.is_file());
            return Ok(if plain { End::Place(path) } else { End::Device });
        };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(rustix::io::Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn write(path: &Path) -> io::Result<()> {
        Beside::new(path)?.write(|out| out.write_all(b"text"))
    }

    fn names(folder: &Path) -> Vec<String> {
        let found = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_changes_before_it_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        drop(Beside::new(&path).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
        std::fs::write(&path, "precious").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let failed = Beside::new(&path).unwrap().write(|out| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(
            (std::fs::read_to_string(&path).unwrap(), names(folder.path())),
            ("precious".into(), vec!["file".into()])
        );
        write(&path).unwrap();
        assert_eq!(
            (std::fs::read_to_string(&path).unwrap(), names(folder.path())),
            ("text".into(), vec!["file".into()])
        );
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(write(&folder.path().join("no/file")).is_err() && write(folder.path()).is_err());
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("deep")).unwrap();
        symlink("deep", at("folder")).unwrap();
        symlink("folder/second", at("first")).unwrap();
        symlink("../real", at("deep/second")).unwrap();
        symlink("self", at("self")).unwrap();
        // What the links lead to is not there, and then it is.
        for _ in 0..2 {
            write(&at("first")).unwrap();
            assert_eq!(std::fs::read_to_string(at("real")).unwrap(), "text");
            assert!(at("first").is_symlink() && at("deep/second").is_symlink() && !at("real").is_symlink());
            std::fs::write(at("real"), "old").unwrap();
        }
        assert!(write(&at("self")).is_err());
        assert_eq!(names(folder.path()), ["deep", "first", "folder", "real", "self"]);
    }

    #[test]
    fn devices_and_what_is_open_are_written_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        let open = File::create(&file).unwrap();
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link).unwrap();
        let before = open.metadata().unwrap().ino();
        write(&link).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
        assert_eq!(
            std::fs::metadata(&file).unwrap().ino(),
            before,
            "whoever has it open sees what is written"
        );
        assert!(link.is_symlink());
        assert!(matches!(behind_links(Path::new("/dev/stdout")).unwrap(), End::Descriptor(1)));
        assert!(Path::new("/dev/stdout").is_symlink());

        write(Path::new("/dev/null")).unwrap();
        let full = write(Path::new("/dev/full")).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        for device in ["/dev/null", "/dev/full"] {
            assert!(std::fs::symlink_metadata(device).unwrap().file_type().is_char_device(), "{device}");
        }
        assert_eq!(names(folder.path()), ["file", "link"]);
    }
}
