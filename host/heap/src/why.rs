//! Why is this alive, and why was that freed.

use std::sync::atomic::Ordering;

use crate::decision::DecisionRecord;
use crate::graph::has;
use crate::handle::Handle;
use crate::heap::{Heap, Inner};
use crate::sync::lock;

/// What keeps an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootKind {
    /// A named root.
    Named(String),
    /// A pin.
    Pin,
    /// A scope of a mutator.
    Scope,
    /// Other nodes: somebody there has a stub of it. Whoever drives the protocol knows who.
    Held,
}

impl std::fmt::Display for RootKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RootKind::Named(name) => write!(f, "the root '{name}'"),
            RootKind::Pin => write!(f, "a pin"),
            RootKind::Scope => write!(f, "a scope of a running mutator"),
            RootKind::Held => write!(f, "other nodes, for which it is held"),
        }
    }
}

/// The answer to [`Heap::why`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The object is reachable: by this root, over these objects, of which the last is the object itself, or the stub of it if it lives on another node.
    Alive {
        /// Where the path begins.
        root: RootKind,
        /// The objects on it.
        path: Vec<Handle>,
    },
    /// Nothing leads to the object; it has not been condemned yet.
    Unreachable,
    /// The object waits in quarantine, and this condemned it.
    Quarantined(Option<DecisionRecord>),
    /// The object is gone, and this freed it, as far as that is kept.
    Gone(Option<DecisionRecord>),
}

impl Heap {
    /// Why an object is alive, or why it is not. For an object of another node: why the stub of it is alive here. Searches the graph breadth first while mutators run: the path is one that was there, each
    /// reference at its moment. Takes 4 bytes per cell in use while it works, and about as long as marking.
    #[must_use]
    pub fn why(&self, handle: Handle) -> Why {
        let inner = &*self.inner;
        let Some(target) = inner.find(handle) else {
            let decision = inner.gone(handle).decision.map(|decision| *decision);
            let quarantined = inner.is_home_of(handle)
                && handle.cell < inner.capacity()
                && has(&inner.columns.quarantine, handle.cell)
                && inner.columns.generation[handle.cell as usize].load(Ordering::Relaxed)
                    == handle.generation;
            return if quarantined { Why::Quarantined(decision) } else { Why::Gone(decision) };
        };
        let roots = inner.present_roots();
        match inner.path_to(target, &roots) {
            Some((root, path)) => {
                let objects = path.into_iter().filter(|&cell| !inner.columns.is_extension(cell));
                Why::Alive { root, path: objects.map(|cell| inner.handle(cell)).collect() }
            }
            None => Why::Unreachable,
        }
    }
}

impl Heap {
    /// Walks everything that roots lead to and checks that it is allocated: what a reader of the graph would stumble over. Answers the number of
    /// cells reached. Exact while no mutator is inside an operation and no verdict is carried out.
    ///
    /// # Errors
    ///
    /// The first reference that leads to a cell that is not allocated: the handle of its holder, and of what it refers to.
    pub fn audit(&self) -> Result<u64, (Handle, Handle)> {
        let inner = &*self.inner;
        let mut seen = vec![0u64; inner.capacity() as usize / 64];
        let mut work: Vec<(u32, u32)> =
            inner.present_roots().into_iter().map(|(_, cell)| (cell, cell)).collect();
        let mut count = 0;
        while let Some((holder, cell)) = work.pop() {
            let word = &mut seen[cell as usize / 64];
            if cell == 0 || *word >> (cell % 64) & 1 != 0 {
                continue;
            }
            if !has(inner.graph.allocated(), cell) {
                return Err((inner.handle(holder), inner.handle(cell)));
            }
            *word |= 1 << (cell % 64);
            count += 1;
            work.extend(inner.graph.references(cell).map(|next| (cell, next)));
        }
        Ok(count)
    }
}

impl Inner {
    /// Every root at this moment, with what it is.
    pub(crate) fn present_roots(&self) -> Vec<(RootKind, u32)> {
        let names = self.roots.names().into_iter();
        let mut found: Vec<_> = names.map(|(name, cell)| (RootKind::Named(name), cell)).collect();
        found.extend(self.roots.pinned().into_iter().map(|cell| (RootKind::Pin, cell)));
        let mut held = Vec::new();
        self.held_cells(&mut held);
        found.extend(held.into_iter().map(|cell| (RootKind::Held, cell)));
        let members = lock(&self.registry).members();
        for member in members.iter() {
            found.extend(member.present_locals().into_iter().map(|cell| (RootKind::Scope, cell)));
        }
        found
    }

    /// The shortest path from a root to a cell, extension cells included.
    fn path_to(&self, target: u32, roots: &[(RootKind, u32)]) -> Option<(RootKind, Vec<u32>)> {
        let in_use = self.space.words_in_use() * 64;
        // The cell from which each was reached; itself for a root; 0 for not reached.
        let mut from = vec![0u32; in_use];
        let mut queue = std::collections::VecDeque::new();
        for &(_, cell) in roots {
            if cell != 0 && (cell as usize) < in_use && from[cell as usize] == 0 {
                from[cell as usize] = cell;
                queue.push_back(cell);
            }
        }
        while from[target as usize] == 0 {
            let cell = queue.pop_front()?;
            for next in self.graph.references(cell) {
                // Cells taken since the search began lie behind the end: they were not on any path then.
                if next != 0 && (next as usize) < in_use && from[next as usize] == 0 {
                    from[next as usize] = cell;
                    queue.push_back(next);
                }
            }
        }
        let mut path = vec![target];
        let mut cell = target;
        while from[cell as usize] != cell {
            cell = from[cell as usize];
            path.push(cell);
        }
        path.reverse();
        let root = roots.iter().find(|&&(_, root)| root == cell).map(|(kind, _)| kind.clone())?;
        Some((root, path))
    }
}
