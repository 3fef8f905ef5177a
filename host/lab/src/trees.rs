//! Binary trees in the heap: what GCBench and binary-trees are made of.
//!
//! A node is an object with two references and a payload of a fixed length. Nodes are written bottom up, as
//! the expression `Node(make(), make())` of the sources does, or top down, which stores into older nodes.
//!
//! A scope holds what it has allocated, and a handshake copies what scopes hold. So a tree that is built
//! bottom up is put together from trees of at most [`FLAT_DEPTH`], each built in a scope of its own and handed
//! over through a slot of the *hand*, an object that its scope keeps: a store and a load for every 2047 nodes.
//! Top down no more than two nodes per level are held.

use gc_heap::{HeapError, Local, Mutator, Scope};

use crate::cost::Effort;
use crate::crew::Post;
use crate::error::WorkloadError;

/// Deepest tree that one scope holds as a whole: 2047 nodes.
const FLAT_DEPTH: u32 = 10;

/// Deepest tree that can be asked for: 2^28 nodes and 8 GiB of cells.
pub(crate) const DEPTH_MAX: u32 = 27;

/// Nodes of a full tree.
pub(crate) fn nodes(depth: u32) -> u64 {
    (2 << depth) - 1
}

/// Why a tree was not finished.
pub(crate) enum Halt {
    /// The thread is to end.
    Over,
    /// Something failed.
    Failed(WorkloadError),
}

impl<E: Into<WorkloadError>> From<E> for Halt {
    fn from(error: E) -> Halt {
        Halt::Failed(error.into())
    }
}

/// Makes an early end an empty result.
pub(crate) fn unless_over<T>(result: Result<T, Halt>) -> Result<Option<T>, WorkloadError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Halt::Over) => Ok(None),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Builds, counts and retires trees for one thread.
pub(crate) struct Trees<'c> {
    post: Post<'c>,
    payload: Vec<u8>,
    effort: Effort,
    /// Nodes that the post was told of.
    told: u64,
}

impl<'c> Trees<'c> {
    /// For nodes with a payload of `payload` bytes.
    pub(crate) fn new(payload: usize, post: Post<'c>) -> Trees<'c> {
        Trees { post, payload: vec![0; payload], effort: Effort::default(), told: 0 }
    }

    /// What was done so far.
    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    /// Number of the thread, and how many there are.
    pub(crate) fn place(&self) -> (u64, usize) {
        (self.post.thread.into(), self.post.threads as usize)
    }

    /// Works in a scope that holds a hand, and retires it after that.
    pub(crate) fn with_hand<R>(
        &mut self,
        mutator: &mut Mutator,
        work: impl FnOnce(&mut Trees<'c>, &mut Scope<'_>, Local<'_>) -> Result<R, Halt>,
    ) -> Result<R, Halt> {
        mutator.scope(|scope| {
            let hand = scope.alloc(&[None; 2 * (DEPTH_MAX + 2) as usize], &[])?;
            let result = work(self, scope, hand);
            scope.retire(hand);
            self.effort.operations += 2;
            result
        })
    }

    /// A full tree, children before their parents. The scope then holds up to 2047 of its nodes.
    pub(crate) fn bottom_up<'s>(
        &mut self,
        scope: &mut Scope<'s>,
        hand: Local<'_>,
        depth: u32,
    ) -> Result<Local<'s>, Halt> {
        if depth <= FLAT_DEPTH {
            self.look(nodes(depth))?;
            return Ok(self.flat(scope, depth)?);
        }
        let places = [2 * depth, 2 * depth + 1];
        for place in places {
            scope.scope(|inner| {
                let child = self.bottom_up(inner, hand, depth - 1)?;
                Ok::<_, Halt>(inner.store(hand, place, Some(child))?)
            })?;
        }
        let children = [scope.load(hand, places[0])?, scope.load(hand, places[1])?];
        let node = self.node(scope, children)?;
        for place in places {
            scope.store(hand, place, None)?;
        }
        self.effort.operations += 6;
        Ok(node)
    }

    fn flat<'s>(&mut self, scope: &Scope<'s>, depth: u32) -> Result<Local<'s>, HeapError> {
        let mut children = [None; 2];
        if depth > 0 {
            children = [Some(self.flat(scope, depth - 1)?), Some(self.flat(scope, depth - 1)?)];
        }
        self.node(scope, children)
    }

    /// A full tree, parents before their children: every reference is stored into an older node.
    pub(crate) fn top_down<'s>(&mut self, scope: &mut Scope<'s>, depth: u32) -> Result<Local<'s>, Halt> {
        if depth < FLAT_DEPTH {
            self.look(nodes(depth))?;
        }
        let root = self.node(scope, [None; 2])?;
        self.populate(scope, root, depth)?;
        Ok(root)
    }

    fn populate(&mut self, scope: &mut Scope<'_>, node: Local<'_>, depth: u32) -> Result<(), Halt> {
        if depth == 0 {
            return Ok(());
        }
        if depth == FLAT_DEPTH {
            self.look(nodes(depth))?;
        }
        scope.scope(|inner| {
            let children = [self.node(inner, [None; 2])?, self.node(inner, [None; 2])?];
            for (slot, child) in (0..).zip(children) {
                inner.store(node, slot, Some(child))?;
            }
            self.effort.references += 2;
            self.effort.operations += 2;
            children.into_iter().try_for_each(|child| self.populate(inner, child, depth - 1))
        })
    }

    fn node<'s>(
        &mut self,
        scope: &Scope<'s>,
        children: [Option<Local<'_>>; 2],
    ) -> Result<Local<'s>, HeapError> {
        self.effort.objects += 1;
        self.effort.references += children.iter().flatten().count() as u64;
        self.effort.operations += 1;
        self.effort.payload_bytes += self.payload.len() as u64;
        scope.alloc(&children, &self.payload)
    }

    /// Walks a tree and counts its nodes. `depth` is a guess by which it looks whether it is to end.
    pub(crate) fn count(&mut self, scope: &mut Scope<'_>, node: Local<'_>, depth: u32) -> Result<u64, Halt> {
        if depth == FLAT_DEPTH {
            self.look(0)?;
        }
        scope.scope(|inner| {
            let mut count = 1;
            for slot in 0..2 {
                if let Some(child) = inner.load(node, slot)? {
                    count += self.count(inner, child, depth.saturating_sub(1))?;
                }
            }
            self.effort.operations += 2;
            Ok(count)
        })
    }

    /// Retires every node of a tree that nothing refers to.
    pub(crate) fn retire(&mut self, scope: &mut Scope<'_>, node: Local<'_>) -> Result<(), HeapError> {
        scope.scope(|inner| {
            for slot in 0..2 {
                if let Some(child) = inner.load(node, slot)? {
                    self.retire(inner, child)?;
                }
            }
            inner.retire(node);
            self.effort.operations += 3;
            Ok(())
        })
    }

    fn look(&mut self, steps: u64) -> Result<(), Halt> {
        self.told += steps;
        self.post.tell(self.told);
        if self.post.is_over() { Err(Halt::Over) } else { Ok(()) }
    }
}
