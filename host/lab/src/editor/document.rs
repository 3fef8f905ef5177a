//! One document: its versions, and what an edit does to them.

use std::collections::VecDeque;

use gc_heap::{Handle, Local, Mutator, Scope};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::spec::{EditorSpec, SLOTS};
use crate::cost::Effort;
use crate::crew::Post;
use crate::distributions::stream;
use crate::error::WorkloadError;
use crate::latency::Recorder;
use crate::leftover::retire_leftover;
use crate::limits::STEPS_PER_LOOK;

/// Slots of a node: its text, then its children.
const TEXT: u32 = 0;
const CHILDREN: std::ops::RangeInclusive<u32> = 1..=3;

/// Nodes of the largest subtree that one edit deletes.
const DELETED_MAX: u64 = 4;

/// Versions that one undo goes back at most.
const UNDONE_MAX: usize = 8;

/// Name of the root that keeps the ring of a thread.
pub(super) fn root(thread: u32) -> String {
    format!("editor {thread}")
}

/// What an editor knows of a version.
#[derive(Debug, Default)]
struct Version {
    /// Its nodes, each of which has a text.
    nodes: u64,
    /// Objects that no version before it has.
    made: u64,
    /// Its place in the ring.
    place: u32,
    /// For `retire`: what it made.
    fresh: Vec<Handle>,
    /// For `retire`: what the version before has and this one has not.
    replaced: Vec<Handle>,
}

/// One document.
pub(super) struct Editor<'w> {
    spec: &'w EditorSpec,
    thread: u32,
    random: ChaCha8Rng,
    versions: VecDeque<Version>,
    /// Versions that were undone: the next edit gives them up.
    undone: Vec<Version>,
    pub(super) effort: Effort,
    pub(super) undos: u64,
    buffer: Vec<u8>,
}

/// A node on the way down, with its slots and the one in which the way goes on.
struct Step<'s> {
    node: Local<'s>,
    slots: [Option<Local<'s>>; SLOTS],
    slot: u32,
}

/// What becomes of the last node of the way.
enum Edit {
    Change,
    Insert,
    Delete,
}

impl<'w> Editor<'w> {
    pub(super) fn new(spec: &'w EditorSpec, thread: u32) -> Editor<'w> {
        Editor {
            spec,
            thread,
            random: stream(spec.seed, thread.into()),
            versions: VecDeque::new(),
            undone: Vec::new(),
            effort: Effort::default(),
            undos: 0,
            buffer: Vec::new(),
        }
    }

    /// Objects that must be alive.
    pub(super) fn live(&self) -> u64 {
        let first = self.versions.front().map_or(0, |first| 2 * first.nodes);
        1 + first + self.versions.iter().skip(1).map(|version| version.made).sum::<u64>()
    }

    /// How many versions there are, the present one included, and the nodes of that one.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.versions.len(), self.versions.back().map_or(0, |last| last.nodes))
    }

    /// The ring, with the first version in it.
    pub(super) fn open(&mut self, post: Post<'_>, mutator: &mut Mutator) -> Result<(), WorkloadError> {
        retire_leftover(mutator, &root(self.thread), self.spec.retire)?;
        mutator.scope(|scope| {
            let ring = self.effort.alloc(scope, &vec![None; self.spec.versions as usize], &[])?;
            scope.set_root(&root(self.thread), Some(ring));
            let top = self.node(scope, [None; SLOTS])?;
            self.effort.store(scope, ring, 0, Some(top))?;
            let mut told = 1;
            self.grow(scope, top, self.spec.nodes - 1, post, &mut told)?;
            self.versions.push_back(Version { nodes: self.spec.nodes, ..Version::default() });
            Ok(())
        })
    }

    /// Gives a node descendants, evenly.
    fn grow(
        &mut self,
        scope: &mut Scope<'_>,
        node: Local<'_>,
        mut left: u64,
        post: Post<'_>,
        told: &mut u64,
    ) -> Result<(), WorkloadError> {
        for slot in CHILDREN {
            let share = left.div_ceil(u64::from(CHILDREN.end() + 1 - slot));
            left -= share;
            // The driver's wish is granted with a smaller document: nobody looks at it then.
            if share == 0 || post.is_over() {
                continue;
            }
            *told += 1;
            post.tell(*told);
            scope.scope(|inner| {
                let child = self.node(inner, [None; SLOTS])?;
                self.effort.store(inner, node, slot, Some(child))?;
                self.grow(inner, child, share - 1, post, told)
            })?;
        }
        Ok(())
    }

    pub(super) fn work(&mut self, post: Post<'_>, mutator: &mut Mutator) -> Result<Recorder, WorkloadError> {
        let mut recorder = post.recorder();
        let share = post.share(self.spec.edits);
        let mut done = 0;
        while done < share && !post.is_over() {
            let until = share.min(done + STEPS_PER_LOOK);
            recorder.restart();
            mutator.scope(|scope| {
                let ring = self.ring(scope)?;
                while done < until {
                    scope.scope(|inner| self.step(inner, ring))?;
                    recorder.lap();
                    done += 1;
                }
                Ok::<_, WorkloadError>(())
            })?;
            post.tell(done);
        }
        Ok(recorder)
    }

    fn ring<'s>(&mut self, scope: &Scope<'s>) -> Result<Local<'s>, WorkloadError> {
        self.effort.operations += 1;
        scope.root(&root(self.thread)).ok_or_else(|| WorkloadError::lost("the ring of versions"))
    }

    fn step(&mut self, scope: &mut Scope<'_>, ring: Local<'_>) -> Result<(), WorkloadError> {
        let undoes = self.random.random_bool(self.spec.undos);
        let back = self.random.random_range(1..=UNDONE_MAX);
        if undoes {
            self.undos += 1;
            for _ in 0..back.min(self.versions.len() - 1) {
                self.undone.extend(self.versions.pop_back());
            }
            return Ok(());
        }
        self.give_up(scope, ring)?;
        let last = self.versions.back().ok_or_else(|| WorkloadError::lost("the last version"))?;
        let (nodes, place) = (last.nodes, last.place);
        let top = self.effort.load(scope, ring, place, "a version")?;
        let edit = self.choose(nodes);
        let way = self.go_down(scope, top, &edit)?;
        let mut version = Version { nodes, ..Version::default() };
        let top = self.copy_path(scope, way, &edit, &mut version)?;
        self.keep(scope, ring, top, version)
    }

    /// Half of the edits change a text; the others insert or delete so that the size stays about the same.
    fn choose(&mut self, nodes: u64) -> Edit {
        if self.random.random_bool(0.5) {
            return Edit::Change;
        }
        // A deletion takes about three nodes.
        let delete = match nodes {
            small if small <= self.spec.nodes * 9 / 10 => 0.0,
            large if large >= self.spec.nodes * 11 / 10 => 1.0,
            _ => 0.25,
        };
        if self.random.random_bool(delete) { Edit::Delete } else { Edit::Insert }
    }

    /// From the root to where the edit is to be: the last step is the node whose text changes, or whose slot is
    /// filled or emptied. Where a deletion finds no subtree small enough, it only makes a copy.
    fn go_down<'s>(
        &mut self,
        scope: &mut Scope<'s>,
        top: Local<'s>,
        edit: &Edit,
    ) -> Result<Vec<Step<'s>>, WorkloadError> {
        let mut way: Vec<Step<'s>> = Vec::new();
        let mut node = top;
        loop {
            let slots = self.slots(scope, node)?;
            let slot = self.random.random_range(CHILDREN);
            way.push(Step { node, slots, slot });
            let Some(next) = slots[slot as usize] else { break };
            if matches!(edit, Edit::Delete) && self.count(scope, next, DELETED_MAX)? <= DELETED_MAX {
                break;
            }
            node = next;
        }
        Ok(way)
    }

    /// The version after the edit: copies of the nodes on the way, from below, and the root of it.
    fn copy_path<'s>(
        &mut self,
        scope: &mut Scope<'s>,
        mut way: Vec<Step<'s>>,
        edit: &Edit,
        version: &mut Version,
    ) -> Result<Local<'s>, WorkloadError> {
        let mut last = way.pop().ok_or_else(|| WorkloadError::lost("a document"))?;
        match edit {
            Edit::Change => {
                self.replaced(scope, last.slots[TEXT as usize], version);
                last.slots[TEXT as usize] = Some(self.text(scope, version)?);
            }
            Edit::Insert => {
                // Nobody can have filled the slot meanwhile: the document belongs to this thread.
                let text = self.text(scope, version)?;
                let child = self.copy(scope, &[Some(text), None, None, None], version)?;
                last.slots[last.slot as usize] = Some(child);
                version.nodes += 1;
            }
            Edit::Delete => {
                if let Some(dead) = last.slots[last.slot as usize].take() {
                    version.nodes -= self.bury(scope, dead, version)?;
                }
            }
        }
        self.replaced(scope, Some(last.node), version);
        let mut child = self.copy(scope, &last.slots, version)?;
        while let Some(mut step) = way.pop() {
            step.slots[step.slot as usize] = Some(child);
            self.replaced(scope, Some(step.node), version);
            child = self.copy(scope, &step.slots, version)?;
        }
        Ok(child)
    }

    /// Puts a version into the ring; the oldest falls out when there are too many.
    fn keep(
        &mut self,
        scope: &Scope<'_>,
        ring: Local<'_>,
        top: Local<'_>,
        mut version: Version,
    ) -> Result<(), WorkloadError> {
        let last = self.versions.back().map_or(0, |last| last.place);
        version.place = (last + 1) % self.spec.versions as u32;
        if self.versions.len() as u64 == self.spec.versions {
            self.versions.pop_front();
            let next = self.versions.front_mut().unwrap_or(&mut version);
            // Only the version that falls out had what its successor replaced.
            let dead = std::mem::take(&mut next.replaced);
            next.fresh = Vec::new();
            let place = version.place;
            self.let_go(scope, ring, place, Some(top), &dead)?;
        } else {
            self.effort.store(scope, ring, version.place, Some(top))?;
        }
        self.versions.push_back(version);
        Ok(())
    }

    /// Gives up what was undone: its versions leave the ring, and what they made is in no other.
    fn give_up(&mut self, scope: &Scope<'_>, ring: Local<'_>) -> Result<(), WorkloadError> {
        for version in std::mem::take(&mut self.undone) {
            self.let_go(scope, ring, version.place, None, &version.fresh)?;
        }
        Ok(())
    }

    /// Writes a place of the ring, and retires what died by that.
    fn let_go(
        &mut self,
        scope: &Scope<'_>,
        ring: Local<'_>,
        place: u32,
        value: Option<Local<'_>>,
        dead: &[Handle],
    ) -> Result<(), WorkloadError> {
        // Resolved while the ring still holds them: later they may be gone.
        let dead: Vec<Local<'_>> =
            dead.iter().map(|&handle| scope.resolve(handle)).collect::<Result<_, _>>()?;
        self.effort.store(scope, ring, place, value)?;
        self.effort.operations += 2 * dead.len() as u64;
        dead.into_iter().for_each(|object| scope.retire(object));
        Ok(())
    }

    // Nodes and texts.

    /// A node with a text, for the first version.
    fn node<'s>(
        &mut self,
        scope: &Scope<'s>,
        mut slots: [Option<Local<'s>>; SLOTS],
    ) -> Result<Local<'s>, WorkloadError> {
        let mut first = Version::default();
        slots[TEXT as usize] = Some(self.text(scope, &mut first)?);
        self.copy(scope, &slots, &mut first)
    }

    fn text<'s>(&mut self, scope: &Scope<'s>, version: &mut Version) -> Result<Local<'s>, WorkloadError> {
        let len = self.spec.size.sample(&mut self.random);
        let letter = self.random.random_range(b'a'..=b'z');
        self.buffer.clear();
        self.buffer.resize(len, letter);
        let buffer = std::mem::take(&mut self.buffer);
        let text = self.effort.alloc(scope, &[], &buffer);
        self.buffer = buffer;
        self.made(scope, text?, version)
    }

    fn copy<'s>(
        &mut self,
        scope: &Scope<'s>,
        slots: &[Option<Local<'s>>; SLOTS],
        version: &mut Version,
    ) -> Result<Local<'s>, WorkloadError> {
        let node = self.effort.alloc(scope, slots, &[])?;
        self.made(scope, node, version)
    }

    fn made<'s>(
        &mut self,
        scope: &Scope<'s>,
        object: Local<'s>,
        version: &mut Version,
    ) -> Result<Local<'s>, WorkloadError> {
        version.made += 1;
        if self.spec.retire {
            version.fresh.push(scope.handle(object));
        }
        Ok(object)
    }

    fn replaced(&self, scope: &Scope<'_>, object: Option<Local<'_>>, version: &mut Version) {
        if self.spec.retire {
            version.replaced.extend(object.map(|object| scope.handle(object)));
        }
    }

    /// Notes that a subtree is not in a version any more; gives its nodes.
    fn bury(
        &mut self,
        scope: &mut Scope<'_>,
        node: Local<'_>,
        version: &mut Version,
    ) -> Result<u64, WorkloadError> {
        scope.scope(|inner| {
            let slots = self.slots(inner, node)?;
            self.replaced(inner, Some(node), version);
            self.replaced(inner, slots[TEXT as usize], version);
            let children = slots.into_iter().skip(1).flatten();
            children.map(|child| self.bury(inner, child, version)).try_fold(1, |sum, nodes| Ok(sum + nodes?))
        })
    }

    /// Nodes of a subtree, or some number above `limit` when there are more.
    fn count(&mut self, scope: &mut Scope<'_>, node: Local<'_>, limit: u64) -> Result<u64, WorkloadError> {
        scope.scope(|inner| {
            let mut nodes = 1;
            for slot in CHILDREN {
                if nodes > limit {
                    break;
                }
                self.effort.operations += 1;
                if let Some(child) = inner.load(node, slot)? {
                    nodes += self.count(inner, child, limit - nodes)?;
                }
            }
            Ok(nodes)
        })
    }

    fn slots<'s>(
        &mut self,
        scope: &Scope<'s>,
        node: Local<'_>,
    ) -> Result<[Option<Local<'s>>; SLOTS], WorkloadError> {
        let mut slots = [None; SLOTS];
        for (at, slot) in (0..).zip(&mut slots) {
            *slot = scope.load(node, at)?;
        }
        self.effort.operations += SLOTS as u64;
        Ok(slots)
    }

    // The end.

    /// Gives up what was undone, and reads the oldest and the last version: they must have as many nodes as the
    /// books say, and every text one letter. False when it ended early.
    pub(super) fn read_all(&mut self, post: Post<'_>, mutator: &mut Mutator) -> Result<bool, WorkloadError> {
        mutator.scope(|scope| {
            let ring = self.ring(scope)?;
            self.give_up(scope, ring)?;
            let ends = [self.versions.front(), self.versions.back()];
            let ends = ends.map(|version| version.map_or((0, 0), |version| (version.place, version.nodes)));
            for (place, nodes) in ends {
                let top = self.effort.load(scope, ring, place, "a version")?;
                let Some(found) = self.read(scope, top, post)? else { return Ok(false) };
                if found != nodes {
                    let what = format!("a version has {found} nodes, not {nodes}");
                    return Err(WorkloadError::Wrong { what });
                }
            }
            Ok(true)
        })
    }

    fn read(
        &mut self,
        scope: &mut Scope<'_>,
        node: Local<'_>,
        post: Post<'_>,
    ) -> Result<Option<u64>, WorkloadError> {
        if post.is_over() {
            return Ok(None);
        }
        scope.scope(|inner| {
            let slots = self.slots(inner, node)?;
            let text = slots[TEXT as usize].ok_or_else(|| WorkloadError::lost("a text"))?;
            self.buffer.clear();
            inner.read(text, &mut self.buffer);
            if self.buffer.windows(2).any(|pair| pair[0] != pair[1]) {
                let what = "a text of two letters was found".to_owned();
                return Err(WorkloadError::Corrupted { what, object: inner.handle(text).to_string() });
            }
            let mut nodes = 1;
            for child in slots.into_iter().skip(1).flatten() {
                let Some(below) = self.read(inner, child, post)? else { return Ok(None) };
                nodes += below;
            }
            Ok(Some(nodes))
        })
    }
}
