//! What would go if other nodes let go of what they hold here: what each of several groups of held objects alone keeps alive.
//!
//! The bytes of a held object say little: it may keep half the heap, or nothing that something else does not keep too. What a person wants to know before a node is
//! declared dead is what would go then, and that takes a walk over the graph: first from every root outside the groups, then from each group over what is not
//! reached yet. What two groups reach is kept by neither alone. So each cell is visited twice at most, however many groups there are.
//!
//! Mutators run meanwhile, and nobody is stopped: what they move during the walk may be counted wrongly. It is an answer to a person, never a verdict.

use std::sync::atomic::Ordering;

use crate::columns::flag;
use crate::graph::{bit, has};
use crate::handle::Handle;
use crate::heap::{Heap, Inner};
use crate::limits::CELL_BYTES;
use crate::why::RootKind;

/// What a group alone keeps alive.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// Objects of this heap, those of the group included.
    pub objects: u64,
    /// Bytes of their cells and payloads, and of the stubs that go with them.
    pub bytes: u64,
}

/// Reached by no group so far.
const UNREACHED: u16 = 0;
/// Reached by a root outside the groups, or by two groups. Else the number of the group that has reached it, from 1.
const SHARED: u16 = u16::MAX;

impl Heap {
    /// Says of each group of objects that are held for other nodes what would go if these were [released](Heap::release), and nothing else. What is held and in no
    /// group keeps what it leads to, like any root; handles that lead nowhere, or to what is not held, are passed over. Takes 2 bytes per cell in use, and about as long as
    /// marking twice. Exact while nobody works on the heap, apart from garbage that no cycle has found: that is in no group.
    ///
    /// # Panics
    ///
    /// With more than 65,534 groups.
    #[must_use]
    pub fn retained(&self, groups: &[Vec<Handle>]) -> Vec<Retained> {
        assert!(groups.len() < usize::from(SHARED), "{} groups are too many to tell apart", groups.len());
        let inner = &*self.inner;
        let held = |&handle: &Handle| {
            let cell = inner.is_home_of(handle).then(|| inner.locate(handle)).flatten()?;
            has(&inner.columns.held, cell).then_some(cell)
        };
        let groups: Vec<Vec<u32>> =
            groups.iter().map(|group| group.iter().filter_map(held).collect()).collect();
        let mut walk = Walk { inner, reached: vec![UNREACHED; inner.space.words_in_use() * 64] };
        walk.go(walk.outside(&groups), SHARED);
        for (number, group) in (1..).zip(&groups) {
            walk.go(group.clone(), number);
        }
        walk.sums(groups.len())
    }
}

struct Walk<'h> {
    inner: &'h Inner,
    /// Who has reached each cell.
    reached: Vec<u16>,
}

impl Walk<'_> {
    /// All roots but for what is in the groups and nothing else.
    fn outside(&self, groups: &[Vec<u32>]) -> Vec<u32> {
        let mut grouped = vec![0u64; self.reached.len() / 64];
        for &cell in groups.iter().flatten() {
            // What was taken since the walk began lies behind the end.
            if let Some(word) = grouped.get_mut(cell as usize / 64) {
                *word |= bit(cell);
            }
        }
        let is_grouped =
            |cell: u32| grouped.get(cell as usize / 64).is_some_and(|word| word & bit(cell) != 0);
        let roots = self.inner.present_roots().into_iter();
        roots
            .filter(|(kind, cell)| *kind != RootKind::Held || !is_grouped(*cell))
            .map(|(_, cell)| cell)
            .collect()
    }

    /// Reaches everything that these lead to and that is not shared already.
    fn go(&mut self, mut work: Vec<u32>, by: u16) {
        let mut shared = Vec::new();
        while let Some(cell) = work.pop() {
            match self.reached.get_mut(cell as usize) {
                Some(before) if cell != 0 && *before == UNREACHED => {
                    *before = by;
                    work.extend(self.inner.graph.references(cell));
                }
                Some(&mut before) if before != by && before != SHARED => shared.push(cell),
                Some(_) | None => {}
            }
        }
        while let Some(cell) = shared.pop() {
            match self.reached.get_mut(cell as usize) {
                Some(before) if cell != 0 && *before != SHARED => {
                    *before = SHARED;
                    shared.extend(self.inner.graph.references(cell));
                }
                Some(_) | None => {}
            }
        }
    }

    fn sums(&self, groups: usize) -> Vec<Retained> {
        let (inner, mut sums) = (self.inner, vec![Retained::default(); groups]);
        for (cell, &by) in (0..).zip(&self.reached) {
            if by == UNREACHED || by == SHARED || !has(inner.graph.allocated(), cell) {
                continue;
            }
            let flags = inner.columns.flags[cell as usize].load(Ordering::Relaxed);
            let sum = &mut sums[usize::from(by) - 1];
            sum.objects += u64::from(flags & (flag::EXTENSION | flag::STUB) == 0);
            sum.bytes += CELL_BYTES + inner.block_bytes(cell);
        }
        sums
    }
}
