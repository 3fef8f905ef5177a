//! `git-history:PATH?keep=N`: a history as mutator work, commit by commit, of which the last N commits are
//! kept.
//!
//! **Order.** The commits that HEAD reaches, parents before children, and by committer date where that leaves
//! a choice: `git rev-list --date-order --reverse HEAD`.
//!
//! **Step.** The commit's new trees and blobs are allocated, those that are already there are shared, and the
//! commit is allocated with references to its tree and to its parents as far as they are kept. What is
//! already there is found through weak handles: a tree that an old commit had may be garbage that is not yet
//! collected, and is then used again, or be gone, and is then allocated again. A *tip* is a commit without a
//! child so far; it has a named root, which moves to its first child; a merge gives the roots of its other
//! parents up.
//!
//! **Window.** The kept commits are the newest N in the order of the replay. When a commit falls out, the
//! references of its children to it are removed, and its root if it still is a tip. Every commit but the last
//! one has a child that comes later, so all kept commits stay reachable from the last one through kept ones,
//! merges or not; and nothing else is: at the end what is live is `git rev-list --objects --no-walk` of the
//! kept commits.
//!
//! What it stresses: a window that slides over a graph with much sharing, as in a store of versions: most new
//! objects are small, most garbage is old, and little of an old version dies with it. Weak look-ups race with
//! the collector in every step.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use gc_heap::{Heap, Local, Scope};
use gix::objs::{CommitRefIter, Kind};
use gix::{ObjectId, oid};

use crate::driver::{Driver, Phase, Ticker};
use crate::error::{GitError, WorkloadError};
use crate::git::reader::Reader;
use crate::git::{ObjectTable, commit_references, head_commit, parents_in_place, tree_references};
use crate::ids::{Ids, Names};
use crate::import::{Handles, sort_out};
use crate::report::WorkloadReport;
use crate::settle::settle;
use crate::spec::HistorySpec;

pub(crate) fn run(
    spec: &HistorySpec,
    heap: &Heap,
    driver: &dyn Driver,
    begun: Instant,
) -> Result<WorkloadReport, WorkloadError> {
    let reader = Reader::open(&spec.path)?;
    let stopped = || Ok(WorkloadReport { stopped: true, ..WorkloadReport::default() });
    if reader.check_packs(driver)? {
        return stopped();
    }
    let Some(history) = History::read(&reader, driver)? else { return stopped() };
    let read_time = begun.elapsed();
    let begun = Instant::now();
    let mut replay = Replay::new(spec, &reader, &history, heap);
    let mut mutator = heap.mutator();
    let mut ticker = Ticker::new(driver, Phase::Mutate, Some(history.commits.len() as u64));
    let mut stopped = false;
    for at in 0..history.commits.len() {
        if let Err(error) = mutator.scope(|scope| replay.step(scope, at)) {
            mutator.scope(|scope| (0..replay.tips.len()).for_each(|tip| replay.set_root(scope, tip, None)));
            return Err(error);
        }
        if ticker.tick(at as u64) {
            stopped = true;
            break;
        }
    }
    let Replay { table, handles, mut report, .. } = replay;
    report.read_time = read_time;
    report.mutate_time = begun.elapsed();
    report.stopped = stopped || settle(driver)?;
    if !stopped {
        let kept = history.commits.iter().rev().take(spec.keep);
        let kept: Vec<u32> = kept.filter_map(|commit| table.find(&commit.id)).collect();
        let names = Arc::new(Names::Git(table.into_ids()));
        let (gone, live) = sort_out(&mut mutator, &handles);
        report.reclaimed = Ids::new(&names, gone);
        report.live = Ids::new(&names, live);
        report.kept_commits = Ids::new(&names, kept);
    }
    Ok(report)
}

struct Commit {
    id: ObjectId,
    tree: ObjectId,
    /// Places of the parents in the order of the replay.
    parents: Vec<u32>,
}

/// The commits of a repository in the order of the replay.
struct History {
    commits: Vec<Commit>,
    /// For each commit the places of its children.
    children: Vec<Vec<u32>>,
}

/// A commit as it was found, its parents by number.
struct Found {
    tree: ObjectId,
    parents: Vec<u32>,
    time: i64,
}

impl History {
    /// None when the driver asked to stop.
    fn read(reader: &Reader, driver: &dyn Driver) -> Result<Option<History>, GitError> {
        let in_place = parents_in_place(reader)?;
        let mut table = ObjectTable::default();
        let mut found: Vec<Found> = Vec::new();
        let mut buffer = Vec::new();
        let mut ticker = Ticker::new(driver, Phase::Read, None);
        table.number(head_commit(reader)?);
        while found.len() < table.len() {
            let id = table.id(found.len() as u32);
            let data = reader.find(&id, &mut buffer)?.ok_or_else(|| reader.vanished(&id))?;
            found.push(read_commit(reader, &id, data.data, &in_place, &mut table)?);
            if ticker.tick(found.len() as u64) {
                return Ok(None);
            }
        }
        Ok(Some(History::in_order(&table, found)))
    }

    fn in_order(table: &ObjectTable, mut found: Vec<Found>) -> History {
        let newest_first = date_order(&found);
        let mut place = vec![0; found.len()];
        for (at, &number) in newest_first.iter().rev().enumerate() {
            place[number as usize] = at as u32;
        }
        let mut children = vec![Vec::new(); found.len()];
        let commits: Vec<Commit> = newest_first
            .iter()
            .rev()
            .map(|&number| {
                let Found { tree, parents, .. } = &mut found[number as usize];
                let parents = parents.iter().map(|&parent| place[parent as usize]).collect();
                Commit { id: table.id(number), tree: *tree, parents }
            })
            .collect();
        for (at, commit) in (0..).zip(&commits) {
            commit.parents.iter().for_each(|&parent| children[parent as usize].push(at));
        }
        History { commits, children }
    }
}

fn read_commit(
    reader: &Reader,
    id: &ObjectId,
    data: &[u8],
    in_place: &HashMap<ObjectId, Vec<ObjectId>>,
    table: &mut ObjectTable,
) -> Result<Found, GitError> {
    let mut tree = None;
    let mut parents = Vec::new();
    let mut refer_to = |target: &oid| match tree {
        None => tree = Some(target.to_owned()),
        // A history may name the same parent twice.
        Some(_) => parents.push(target.to_owned()),
    };
    commit_references(data, id, in_place, &mut refer_to).map_err(|error| reader.unreadable(id, &error))?;
    let tree = tree.ok_or_else(|| reader.damaged(format!("commit {id} has no tree")))?;
    let mut present = Vec::new();
    for parent in parents {
        if !reader.repository().has_object(parent) {
            return Err(reader.damaged(format!("commit {parent}, a parent of {id}, is missing")));
        }
        present.push(table.number(parent).0);
    }
    // git takes a date that it cannot read for 1970.
    let committer = CommitRefIter::from_bytes(data, id.kind()).committer();
    let time = committer.and_then(|committer| committer.time()).map_or(0, |time| time.seconds);
    Ok(Found { tree, parents: present, time })
}

/// The order of `git rev-list --date-order`: newest first, no parent before all of its children, the one that
/// was found first where dates are equal. Number 0 is the commit to begin with.
fn date_order(found: &[Found]) -> Vec<u32> {
    let mut children = vec![0_u32; found.len()];
    for parent in found.iter().flat_map(|commit| &commit.parents) {
        children[*parent as usize] += 1;
    }
    let mut order = Vec::with_capacity(found.len());
    let mut ready = BinaryHeap::new();
    let mut entered = 0_u64;
    ready.push((found[0].time, u64::MAX, 0_u32));
    while let Some((_, _, number)) = ready.pop() {
        order.push(number);
        for &parent in &found[number as usize].parents {
            children[parent as usize] -= 1;
            if children[parent as usize] == 0 {
                entered += 1;
                ready.push((found[parent as usize].time, u64::MAX - entered, parent));
            }
        }
    }
    order
}

struct Replay<'r> {
    spec: &'r HistorySpec,
    reader: &'r Reader,
    history: &'r History,
    table: ObjectTable,
    /// Handles of the objects of `table`, of the latest allocation each.
    handles: Handles,
    /// Commits without a child so far, by the number of the root that keeps them.
    tips: Vec<Option<u32>>,
    report: WorkloadReport,
    buffer: Vec<u8>,
}

/// A tree of which some entries are still to come.
struct Open<'s> {
    id: ObjectId,
    entries: Vec<(ObjectId, bool)>,
    slots: Vec<Option<Local<'s>>>,
}

impl<'r> Replay<'r> {
    fn new(spec: &'r HistorySpec, reader: &'r Reader, history: &'r History, heap: &Heap) -> Replay<'r> {
        Replay {
            spec,
            reader,
            history,
            table: ObjectTable::default(),
            handles: Handles::new(heap, 0),
            tips: Vec::new(),
            report: WorkloadReport { threads: 1, ..WorkloadReport::default() },
            buffer: Vec::new(),
        }
    }

    fn step(&mut self, scope: &mut Scope<'_>, at: usize) -> Result<(), WorkloadError> {
        if let Some(old) = at.checked_sub(self.spec.keep) {
            self.cut_off(scope, old, at)?;
        }
        let history = self.history;
        let commit = &history.commits[at];
        let mut slots = vec![self.tree(scope, commit.tree)?];
        for &parent in &commit.parents {
            let kept = parent as usize + self.spec.keep > at;
            let parent = if kept { Some(self.commit_local(scope, parent as usize)?) } else { None };
            slots.push(parent);
        }
        let local = self.allocate(scope, commit.id, &slots, self.spec.payload)?;
        self.move_root(scope, at, local);
        Ok(())
    }

    /// Unlinks a commit that falls out of the window from its children, which come before `end`.
    fn cut_off(&mut self, scope: &Scope<'_>, old: usize, end: usize) -> Result<(), WorkloadError> {
        let history = self.history;
        for &child in history.children[old].iter().filter(|&&child| (child as usize) < end) {
            let local = self.commit_local(scope, child as usize)?;
            let parents = &history.commits[child as usize].parents;
            // Slot 0 is the tree.
            for (slot, _) in (1..).zip(parents).filter(|&(_, &parent)| parent as usize == old) {
                scope.store(local, slot, None)?;
                self.report.operations += 1;
            }
        }
        if let Some(root) = self.tips.iter().position(|&tip| tip == Some(old as u32)) {
            self.tips[root] = None;
            self.set_root(scope, root, None);
        }
        Ok(())
    }

    /// The roots of the parents go to the new commit: that of the first that has one moves, the others end.
    fn move_root(&mut self, scope: &Scope<'_>, at: usize, commit: Local<'_>) {
        let mut taken = None;
        for &parent in &self.history.commits[at].parents {
            let Some(root) = self.tips.iter().position(|&tip| tip == Some(parent)) else { continue };
            if taken.is_none() {
                taken = Some(root);
            } else {
                self.tips[root] = None;
                self.set_root(scope, root, None);
            }
        }
        let free = || self.tips.iter().position(Option::is_none);
        let root = taken.or_else(free).unwrap_or(self.tips.len());
        if root == self.tips.len() {
            self.tips.push(None);
        }
        self.tips[root] = Some(at as u32);
        self.set_root(scope, root, Some(commit));
    }

    fn set_root(&mut self, scope: &Scope<'_>, root: usize, commit: Option<Local<'_>>) {
        scope.set_root(&format!("tip {root}"), commit);
        self.report.operations += 1;
    }

    /// A commit of the window.
    fn commit_local<'s>(&mut self, scope: &Scope<'s>, at: usize) -> Result<Local<'s>, WorkloadError> {
        let id = self.history.commits[at].id;
        let handle = self.table.find(&id).and_then(|number| self.handles.of(number));
        self.report.operations += 1;
        Ok(scope.resolve(handle.ok_or_else(|| self.reader.vanished(&id))?)?)
    }

    /// An object that is there already.
    fn known<'s>(&mut self, scope: &Scope<'s>, id: &oid) -> Option<Local<'s>> {
        let handle = self.handles.of(self.table.find(id)?)?;
        self.report.operations += 1;
        scope.resolve(handle).ok()
    }

    /// A tree with all that is in it, allocated as far as it is not there yet. None when the repository does
    /// not have it.
    fn tree<'s>(&mut self, scope: &Scope<'s>, id: ObjectId) -> Result<Option<Local<'s>>, WorkloadError> {
        if let Some(known) = self.known(scope, &id) {
            return Ok(Some(known));
        }
        let Some(first) = self.open(id)? else { return Ok(None) };
        let mut open = vec![first];
        loop {
            let tree = open.last_mut().expect("the loop ends with the last tree");
            let done = match tree.entries.pop() {
                None => {
                    let Open { id, slots, .. } = open.pop().expect("it was there just now");
                    let local = self.allocate(scope, id, &slots, self.spec.payload)?;
                    match open.last_mut() {
                        None => return Ok(Some(local)),
                        Some(parent) => {
                            parent.slots.push(Some(local));
                            continue;
                        }
                    }
                }
                Some((id, is_tree)) => match self.known(scope, &id) {
                    Some(known) => Some(known),
                    None if is_tree => {
                        if let Some(next) = self.open(id)? {
                            open.push(next);
                        }
                        continue;
                    }
                    None => self.blob(scope, id)?,
                },
            };
            if let (Some(local), Some(tree)) = (done, open.last_mut()) {
                tree.slots.push(Some(local));
            }
        }
    }

    fn open<'s>(&mut self, id: ObjectId) -> Result<Option<Open<'s>>, WorkloadError> {
        let Some(data) = self.reader.find(&id, &mut self.buffer)? else {
            self.report.missing_references += 1;
            return Ok(None);
        };
        if data.kind != Kind::Tree {
            return Err(self.reader.damaged(format!("object {id} is a {}, not a tree", data.kind)).into());
        }
        let mut entries = Vec::new();
        tree_references(data.data, &id, &mut |entry, is_blob| entries.push((entry.to_owned(), !is_blob)))
            .map_err(|error| self.reader.unreadable(&id, &error))?;
        // Taken from the end.
        entries.reverse();
        let slots = Vec::with_capacity(entries.len());
        Ok(Some(Open { id, entries, slots }))
    }

    fn blob<'s>(&mut self, scope: &Scope<'s>, id: ObjectId) -> Result<Option<Local<'s>>, WorkloadError> {
        if self.reader.repository().has_object(id) {
            return self.allocate(scope, id, &[], self.spec.payload).map(Some);
        }
        self.report.missing_references += 1;
        Ok(None)
    }

    fn allocate<'s>(
        &mut self,
        scope: &Scope<'s>,
        id: ObjectId,
        slots: &[Option<Local<'s>>],
        with_payload: bool,
    ) -> Result<Local<'s>, WorkloadError> {
        let payload = if with_payload {
            let found = self.reader.find(&id, &mut self.buffer)?;
            found.ok_or_else(|| self.reader.vanished(&id))?.data
        } else {
            &[]
        };
        let local = scope.alloc(slots, payload)?;
        self.report.objects += 1;
        self.report.references += slots.iter().flatten().count() as u64;
        self.report.payload_bytes += payload.len() as u64;
        self.report.operations += 1;
        let (number, new) = self.table.number(id);
        if new {
            self.handles.push();
        }
        self.handles.set(number, scope.handle(local));
        Ok(local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(commits: &[(&[u32], i64)]) -> Vec<Found> {
        let tree = ObjectId::null(gix::hash::Kind::Sha1);
        commits.iter().map(|&(parents, time)| Found { tree, parents: parents.to_vec(), time }).collect()
    }

    #[test]
    fn no_parent_comes_before_its_children_however_its_clock_went() {
        // 0 merges 1 and 2; both come from 3, whose clock is far ahead.
        let order = date_order(&found(&[(&[1, 2], 10), (&[3], 5), (&[3], 7), (&[], 100)]));
        assert_eq!(order, [0, 2, 1, 3]);
    }

    #[test]
    fn equal_dates_keep_the_order_in_which_commits_were_found() {
        let order = date_order(&found(&[(&[1, 2, 3], 5), (&[4], 5), (&[4], 5), (&[4], 5), (&[], 5)]));
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }
}
