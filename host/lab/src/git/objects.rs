//! The objects of a repository, numbered, and what they refer to.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gix::objs::{CommitRefIter, Kind, TagRefIter, TreeRefIter};
use gix::odb::store::iter::Ordering;
use gix::{ObjectId, oid};
use hashbrown::HashTable;

use super::reader::{Reader, one_line};
use crate::driver::Driver;
use crate::error::GitError;
use crate::limits::{OBJECTS_MAX, STEPS_PER_LOOK};

/// Numbers for object ids.
#[derive(Default)]
pub(crate) struct ObjectTable {
    ids: Vec<ObjectId>,
    /// Ids are in the table once more: a look-up then costs one cache miss less, and trees ask for hundreds
    /// of millions.
    table: HashTable<(ObjectId, u32)>,
}

/// Ids are hashes already.
fn hash(id: &oid) -> u64 {
    let bytes = id.as_bytes();
    u64::from_le_bytes(bytes[..8].try_into().expect("object ids have 20 bytes or more"))
}

impl ObjectTable {
    pub(crate) fn find(&self, id: &oid) -> Option<u32> {
        self.table.find(hash(id), |(other, _)| **other == *id).map(|&(_, number)| number)
    }

    /// The number of an id, and whether it is a new one.
    pub(crate) fn number(&mut self, id: ObjectId) -> (u32, bool) {
        if let Some(number) = self.find(&id) {
            return (number, false);
        }
        let number = self.ids.len() as u32;
        self.ids.push(id);
        self.table.insert_unique(hash(&id), (id, number), |(id, _)| hash(id));
        (number, true)
    }

    pub(crate) fn id(&self, number: u32) -> ObjectId {
        self.ids[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn into_ids(self) -> Vec<ObjectId> {
        self.ids
    }
}

/// All objects of a repository, those in packs first.
pub(crate) struct Objects {
    table: ObjectTable,
    /// Numbers below this are in packs.
    packed: u32,
    /// Objects that a tree names as a blob: they need not be looked at.
    blobs: Vec<AtomicBool>,
}

impl Objects {
    /// None when the driver asked to stop.
    pub(crate) fn list(reader: &Reader, driver: &dyn Driver) -> Result<Option<Objects>, GitError> {
        // In the order of the pack, so that the base of a delta is at hand when it is needed.
        let all = reader
            .repository()
            .objects
            .iter()
            .map_err(|error| reader.damaged(format!("the objects cannot be listed ({})", one_line(&error))))?
            .with_ordering(Ordering::PackAscendingOffsetThenLooseLexicographical);
        let in_packs = all.size_hint().0;
        let mut table = ObjectTable::default();
        let mut packed = 0;
        for (at, id) in all.enumerate() {
            let id =
                id.map_err(|error| reader.damaged(format!("the loose objects cannot be listed ({error})")))?;
            table.number(id);
            if at < in_packs {
                packed = table.len();
            }
            if (at as u64).is_multiple_of(STEPS_PER_LOOK) && driver.stop_requested() {
                return Ok(None);
            }
            if table.len() > OBJECTS_MAX {
                return Err(GitError::TooManyObjects { path: reader.path().to_owned(), max: OBJECTS_MAX });
            }
        }
        let blobs = std::iter::repeat_with(|| AtomicBool::new(false)).take(table.len()).collect();
        Ok(Some(Objects { table, packed: packed as u32, blobs }))
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn table(&self) -> &ObjectTable {
        &self.table
    }

    pub(crate) fn into_table(self) -> ObjectTable {
        self.table
    }
}

/// What objects refer to, with the parents of a commit as git sees them: cut at the edge of a shallow clone,
/// replaced by grafts.
pub(crate) struct References<'p> {
    parents: &'p HashMap<ObjectId, Vec<ObjectId>>,
    buffer: Vec<u8>,
    missing: u64,
}

impl<'p> References<'p> {
    pub(crate) fn new(parents: &'p HashMap<ObjectId, Vec<ObjectId>>) -> References<'p> {
        References { parents, buffer: Vec::new(), missing: 0 }
    }

    /// References to objects that are not there, so far.
    pub(crate) fn missing(&self) -> u64 {
        self.missing
    }

    /// Appends what an object refers to.
    pub(crate) fn of(
        &mut self,
        reader: &Reader,
        objects: &Objects,
        object: u32,
        targets: &mut Vec<u32>,
    ) -> Result<(), GitError> {
        let id = objects.table.id(object);
        let loose = object >= objects.packed;
        if !loose && (objects.blobs[object as usize].load(Relaxed) || is_blob(reader, &id)?) {
            return Ok(());
        }
        let data = reader.find(&id, &mut self.buffer)?.ok_or_else(|| reader.vanished(&id))?;
        if loose {
            // Packs have a checksum of their own; this is the one of a loose object.
            data.verify_checksum(&id).map_err(|error| reader.unreadable(&id, &error))?;
        }
        let (table, blobs, missing) = (&objects.table, &objects.blobs, &mut self.missing);
        let mut refer_to = |target: &oid, is_blob: bool| match table.find(target) {
            Some(number) => {
                // Relaxed: whoever does not see it yet asks the pack.
                if is_blob && !blobs[number as usize].load(Relaxed) {
                    blobs[number as usize].store(true, Relaxed);
                }
                targets.push(number);
            }
            None => *missing += 1,
        };
        let read = match data.kind {
            Kind::Blob => Ok(()),
            Kind::Commit => commit(data.data, &id, self.parents, |target| refer_to(target, false)),
            Kind::Tree => tree(data.data, &id, &mut refer_to),
            Kind::Tag => TagRefIter::from_bytes(data.data, id.kind())
                .target_id()
                .map(|target| refer_to(&target, false)),
        };
        read.map_err(|error| reader.unreadable(&id, &error))
    }
}

fn is_blob(reader: &Reader, id: &oid) -> Result<bool, GitError> {
    let header = reader.repository().find_header(id).map_err(|error| reader.unreadable(id, &error))?;
    Ok(header.kind() == Kind::Blob)
}

/// Calls back for the tree and the parents of a commit.
pub(crate) fn commit(
    data: &[u8],
    id: &oid,
    parents_in_place: &HashMap<ObjectId, Vec<ObjectId>>,
    mut refer_to: impl FnMut(&oid),
) -> gix::Result<()> {
    use gix::objs::commit::ref_iter::Token;
    let in_place = parents_in_place.get(id);
    for token in CommitRefIter::from_bytes(data, id.kind()) {
        match token? {
            Token::Tree { id } => refer_to(&id),
            Token::Parent { id } if in_place.is_none() => refer_to(&id),
            Token::Parent { .. } => {}
            _ => break,
        }
    }
    in_place.into_iter().flatten().for_each(|parent| refer_to(parent));
    Ok(())
}

/// Calls back for the entries of a tree, with whether they are blobs. Submodules are left out: their commits
/// are elsewhere.
pub(crate) fn tree(data: &[u8], id: &oid, refer_to: &mut dyn FnMut(&oid, bool)) -> gix::Result<()> {
    for entry in TreeRefIter::from_bytes(data, id.kind()) {
        let entry = entry?;
        if !entry.mode.is_commit() {
            refer_to(entry.oid, !entry.mode.is_tree());
        }
    }
    Ok(())
}

/// Commits whose parents are not those that they name: none at the edge of a shallow clone, others in
/// `info/grafts`.
pub(crate) fn parents_in_place(reader: &Reader) -> Result<HashMap<ObjectId, Vec<ObjectId>>, GitError> {
    let mut parents = HashMap::new();
    let path = reader.repository().common_dir().join("info/grafts");
    let grafts = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        grafts => {
            grafts.map_err(|error| reader.damaged(format!("{} cannot be read ({error})", path.display())))?
        }
    };
    for line in grafts.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let ids: Result<Vec<ObjectId>, _> =
            line.split(|&byte| byte == b' ').map(ObjectId::from_hex).collect();
        // git ignores lines that are no grafts, comments among them.
        if let Some((commit, others)) = ids.ok().as_deref().and_then(<[ObjectId]>::split_first) {
            parents.insert(*commit, others.to_vec());
        }
    }
    let shallow = reader.repository().shallow_commits().map_err(|error| {
        reader.damaged(format!("the list of shallow commits cannot be read ({})", one_line(&error)))
    })?;
    for commit in shallow.iter().flat_map(|commits| commits.iter()) {
        parents.insert(*commit, Vec::new());
    }
    Ok(parents)
}
