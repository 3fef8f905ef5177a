//! The roots of a repository, as `git fsck --no-reflogs` sees them: every ref, the HEAD of every worktree,
//! and (see [`super::index`]) what is staged.
//!
//! Refs are taken as they are, so that a tag object is a root, not only what it points to. Pseudo refs such
//! as `ORIG_HEAD` or `FETCH_HEAD` are no roots, and neither are refs that belong to one worktree alone
//! (`refs/bisect/*`), unless PATH is that worktree.

use gix::ObjectId;
use gix::refs::Target;

use super::reader::{Reader, one_line};
use crate::error::GitError;
use crate::limits::SYMBOLIC_DEPTH_MAX;

/// Names and ids. A symbolic ref that leads nowhere is left out.
pub(super) fn refs_and_heads(reader: &Reader) -> Result<Vec<(String, ObjectId)>, GitError> {
    let repository = reader.repository();
    let broken = |error: gix::Error| reader.damaged(format!("a ref cannot be read ({})", one_line(&error)));
    let mut roots = Vec::new();
    for reference in repository.references().map_err(broken)?.all().map_err(broken)? {
        let reference = reference.map_err(broken)?.detach();
        let name = reference.name.as_bstr().to_string();
        if let Some(id) = follow(repository, reference.target).map_err(broken)? {
            roots.push((name, id));
        }
    }
    for (name, worktree) in worktrees(reader)? {
        let head = worktree.refs.try_find("HEAD").map_err(broken)?;
        if let Some(id) =
            head.map(|head| follow(&worktree, head.target)).transpose().map_err(broken)?.flatten()
        {
            roots.push((name, id));
        }
    }
    Ok(roots)
}

/// The main worktree, or the bare repository, and all linked ones, with the name of their HEAD.
pub(super) fn worktrees(reader: &Reader) -> Result<Vec<(String, gix::Repository)>, GitError> {
    let broken =
        |error: gix::Error| reader.damaged(format!("a worktree cannot be opened ({})", one_line(&error)));
    let main = reader.repository().main_repo().map_err(broken)?;
    let mut worktrees = vec![("HEAD".to_owned(), main)];
    for proxy in reader.repository().worktrees().map_err(broken)? {
        let name = format!("worktrees/{}/HEAD", proxy.id().map_err(broken)?);
        worktrees.push((name, proxy.into_repo_with_possibly_inaccessible_worktree().map_err(broken)?));
    }
    Ok(worktrees)
}

fn follow(repository: &gix::Repository, mut target: Target) -> gix::Result<Option<ObjectId>> {
    for _ in 0..SYMBOLIC_DEPTH_MAX {
        match target {
            Target::Object(id) => return Ok((!id.is_null()).then_some(id)),
            Target::Symbolic(name) => match repository.refs.try_find(name.as_ref())? {
                Some(reference) => target = reference.target,
                None => return Ok(None),
            },
        }
    }
    Ok(None)
}

/// The commit at HEAD, tags followed.
pub(crate) fn head_commit(reader: &Reader) -> Result<ObjectId, GitError> {
    let no_head = || GitError::NoHead { path: reader.path().to_owned() };
    let head = reader.repository().head().map_err(|_| no_head())?;
    let id = head.id().ok_or_else(no_head)?;
    let object = id.object().map_err(|error| reader.unreadable(&id, &error))?;
    Ok(object.peel_to_commit().map_err(|_| no_head())?.id)
}
