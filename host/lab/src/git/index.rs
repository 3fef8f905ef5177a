//! What the index of each worktree holds: staged blobs, the trees that it remembers, and both sides of
//! conflicts that were resolved.

use gix::ObjectId;
use gix::index::entry::Mode;

use super::reader::{Reader, one_line};
use super::roots::worktrees;
use crate::error::GitError;

/// Ids of objects that `git fsck` takes for reachable because an index names them. Some may not be there: an
/// entry that `git add -N` made names the empty blob, whether it exists or not.
pub(super) fn held_by_indexes(reader: &Reader) -> Result<Vec<ObjectId>, GitError> {
    let mut held = Vec::new();
    for (_, worktree) in worktrees(reader)? {
        let path = worktree.index_path();
        let broken = |why: String| reader.damaged(format!("{} cannot be read ({why})", path.display()));
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(broken(error.to_string())),
            Ok(_) => {}
        }
        let index =
            gix::index::File::at(&path, reader.hash_kind(), false, gix::index::decode::Options::default())
                .map_err(|error| broken(one_line(&error)))?;
        held.extend(index.entries().iter().filter(|entry| entry.mode != Mode::COMMIT).map(|entry| entry.id));
        let mut trees: Vec<_> = index.tree().into_iter().collect();
        while let Some(tree) = trees.pop() {
            if tree.num_entries.is_some() {
                held.push(tree.id);
            }
            trees.extend(&tree.children);
        }
        let bytes = std::fs::read(&path).map_err(|error| broken(error.to_string()))?;
        let hash_len = reader.hash_kind().len_in_bytes();
        // The library has read the whole index just now, so this stops early only when somebody writes it meanwhile.
        held.extend(resolved_conflicts(&bytes, hash_len).unwrap_or_default());
    }
    Ok(held)
}

/// The sides of conflicts that were resolved: the extension REUC, which the library reads but does not show.
/// (Documentation/gitformat-index.adoc of git.)
fn resolved_conflicts(index: &[u8], hash_len: usize) -> Option<Vec<ObjectId>> {
    let mut extensions = behind_entries(index, hash_len)?;
    extensions = &extensions[..extensions.len().checked_sub(hash_len)?];
    while let Some((head, rest)) = extensions.split_at_checked(8) {
        let (body, rest) = rest.split_at_checked(number(&head[4..])? as usize)?;
        if head.starts_with(b"REUC") {
            return sides(body, hash_len);
        }
        extensions = rest;
    }
    Some(Vec::new())
}

/// Per conflict: the path, three octal modes, then an id for each mode that is not 0. All texts end with a
/// zero byte.
fn sides(mut body: &[u8], hash_len: usize) -> Option<Vec<ObjectId>> {
    let mut ids = Vec::new();
    let text = |body: &mut &[u8]| {
        let (text, rest) = body.split_at_checked(memchr::memchr(0, body)?)?;
        *body = &rest[1..];
        Some(text.to_vec())
    };
    while !body.is_empty() {
        text(&mut body)?;
        let mut present = 0;
        for _ in 0..3 {
            present += usize::from(text(&mut body)?.iter().any(|&digit| digit != b'0'));
        }
        for _ in 0..present {
            let (id, rest) = body.split_at_checked(hash_len)?;
            ids.push(ObjectId::try_from(id).ok()?);
            body = rest;
        }
    }
    Some(ids)
}

/// What stands behind the entries of an index.
fn behind_entries(index: &[u8], hash_len: usize) -> Option<&[u8]> {
    let (header, mut rest) = index.split_at_checked(12)?;
    let (version, entries) = (number(&header[4..])?, number(&header[8..])?);
    for _ in 0..entries {
        // Times, device, inode, mode, owner, size, id; then flags, and more flags when their second bit says so.
        let flags_at = 40 + hash_len;
        let flags = *rest.get(flags_at)?;
        let path_at = flags_at + if flags & 0x40 == 0 { 2 } else { 4 };
        let len = if version == 4 {
            // How much of the path before is taken away, seven bits a byte, then the rest of the path.
            let suffix_at = path_at + rest.get(path_at..)?.iter().position(|byte| byte & 0x80 == 0)? + 1;
            suffix_at + memchr::memchr(0, rest.get(suffix_at..)?)? + 1
        } else {
            // One to eight zero bytes, up to a multiple of eight.
            (path_at + memchr::memchr(0, rest.get(path_at..)?)? + 8) & !7
        };
        rest = rest.get(len..)?;
    }
    Some(rest)
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Repo;

    /// An index with a resolved conflict, and the three sides of that.
    fn resolved(version: &str) -> (Vec<u8>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let repo = Repo::init(folder.path(), &[]);
        repo.commit("some/longer/path", "base");
        repo.commit("some/longer/path to go", "another");
        repo.git(&["checkout", "-q", "-b", "side"]);
        repo.commit("some/longer/path", "theirs");
        repo.git(&["checkout", "-q", "main"]);
        repo.commit("some/longer/path", "ours");
        repo.git(&["update-index", "--index-version", version]);
        assert!(!repo.try_git(&["merge", "-q", "side"]).status.success());
        repo.write("some/longer/path", "resolved");
        repo.git(&["add", "-A"]);
        let sides = ["side~1", "main", "side"]
            .map(|side| repo.git(&["rev-parse", &format!("{side}:some/longer/path")]));
        (std::fs::read(folder.path().join(".git/index")).unwrap(), sides.to_vec())
    }

    #[test]
    fn the_sides_of_a_resolved_conflict_are_found_in_every_version_of_the_index() {
        for version in ["2", "3", "4"] {
            let (index, sides) = resolved(version);
            let found = resolved_conflicts(&index, 20).unwrap();
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), sides, "version {version}");
        }
    }

    #[test]
    fn an_index_that_ends_anywhere_is_no_reason_to_panic() {
        for version in ["2", "4"] {
            let (mut index, _) = resolved(version);
            for len in 0..index.len() {
                let _ = resolved_conflicts(&index[..len], 20);
            }
            for at in 0..index.len() {
                index[at] ^= 0xff;
                let _ = resolved_conflicts(&index, 20);
                index[at] ^= 0xff;
            }
        }
    }
}
