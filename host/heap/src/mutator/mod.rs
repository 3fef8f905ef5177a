//! Mutators: the threads that change the graph.
//!
//! A [`Mutator`] belongs to one thread at a time. It works in [`Scope`]s, and holds objects as [`Local`]s of a scope; what a scope holds is a root
//! until the scope ends, and the borrow checker sees to it that no local outlives its scope.

mod core;
pub(crate) mod lane;
mod locals;
mod lookup;
mod scope;
pub(crate) mod shared;

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

pub(crate) use self::core::Core;
pub use self::scope::Scope;
use crate::handle::Handle;
use crate::heap::Inner;

/// An object, held by a scope. A copy of a local is the same hold.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Local<'s> {
    pub(crate) cell: NonZeroU32,
    pub(crate) mutator: u32,
    /// Not to be sent to another thread: it is a root of its own mutator only.
    pub(crate) scope: PhantomData<(&'s (), *const ())>,
}

impl std::fmt::Debug for Local<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Local({})", self.cell)
    }
}

/// Whoever changes the graph. One per thread; it may be sent to another thread between scopes.
pub struct Mutator {
    core: Core,
}

impl Mutator {
    pub(crate) fn register(heap: &Arc<Inner>) -> Mutator {
        Mutator { core: Core::register(heap) }
    }

    /// Opens a scope. What it holds is let go when `work` returns or panics.
    ///
    /// ```
    /// # use gc_heap::{Heap, HeapConfig};
    /// # let heap = Heap::new(HeapConfig::with_limit(1 << 20))?;
    /// heap.mutator().scope(|scope| {
    ///     let leaf = scope.alloc(&[], b"leaf")?;
    ///     let root = scope.alloc(&[Some(leaf)], &[])?;
    ///     scope.set_root("root", Some(root));
    ///     Ok::<_, gc_heap::HeapError>(())
    /// })?;
    /// # Ok::<_, gc_heap::HeapError>(())
    /// ```
    pub fn scope<R>(&mut self, work: impl for<'s> FnOnce(&mut Scope<'s>) -> R) -> R {
        work(&mut Scope::open(&self.core))
    }
}

/// A root that is not bound to a scope: it keeps its object until it is dropped, on any thread.
pub struct Pin {
    pub(crate) heap: Arc<Inner>,
    pub(crate) place: u32,
    pub(crate) cell: NonZeroU32,
}

impl Pin {
    /// The handle of the object.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.heap.handle(self.cell.get())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.heap.roots.unpin(self.place, &self.heap.holdups);
    }
}
