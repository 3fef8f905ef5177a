//! What the index of each worktree holds: staged blobs, the trees that it remembers, and both sides of conflicts that were resolved.

use gix::ObjectId;
use gix::index::entry::Mode;

use super::reader::{Reader, one_line};
use super::roots::worktrees;
use crate::error::GitError;

/// Ids of objects that `git fsck` takes for reachable because an index names them. Some may not be there: an entry that `git add -N` made names the empty
/// blob, whether it exists or not.
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
        let index = gix::index::File::at(&path, reader.hash_kind(), false, gix::index::decode::Options::default())
            .map_err(|error| broken(one_line(&error)))?;
        held.extend(index.entries().iter().filter(|entry| entry.mode != Mode::COMMIT).map(|entry| entry.id));
        let mut trees: Vec<_> = index.tree().into_iter().collect();
        while let Some(tree) = trees.pop() {
            if tree.num_entries.is_some() {
                held.push(tree.id);
            }
            trees.extend(&tree.children);
        }
    }
    Ok(held)
}
