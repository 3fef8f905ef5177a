//! The oracle knows everything: what each mutator made and stored, as a graph of plain values beside the heaps.
//!
//! It is told of every store when it is made, and never asks a heap what leads where. What is reachable is found by a naive walk from what mutators of members hold, over all
//! nodes. Then the heaps are looked at: whatever the walk reached must be there, under its own handle, with the references that were stored.

use std::collections::{BTreeMap, BTreeSet};

use gc_heap::{Heap, Local, Scope};
use gc_protocol::{Life, Reference};
use gc_remote::reference_of;

/// What mutators made.
#[derive(Default)]
pub(crate) struct Oracle {
    objects: BTreeMap<Reference, Vec<Option<Reference>>>,
    /// The last object that was made in a cell.
    latest: BTreeMap<(Life, u32), Reference>,
}

impl Oracle {
    /// An object was made. Answers which one had its cell before.
    pub(crate) fn made(&mut self, object: Reference, slots: Vec<Option<Reference>>) -> Option<Reference> {
        self.objects.insert(object, slots);
        self.latest.insert((object.home, object.object.cell), object)
    }

    pub(crate) fn stored(&mut self, object: Reference, slot: usize, value: Option<Reference>) {
        if let Some(slots) = self.objects.get_mut(&object) {
            slots[slot] = value;
        }
    }

    /// What an object refers to.
    pub(crate) fn slots(&self, object: Reference) -> &[Option<Reference>] {
        self.objects.get(&object).map_or(&[], Vec::as_slice)
    }

    /// All objects that were ever made.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Reference> + '_ {
        self.objects.keys().copied()
    }

    /// Everything that these lead to, by way of homes that are there.
    pub(crate) fn reachable(
        &self,
        roots: impl IntoIterator<Item = Reference>,
        is_there: impl Fn(Life) -> bool,
    ) -> BTreeSet<Reference> {
        let mut live = BTreeSet::new();
        let mut work: Vec<Reference> = roots.into_iter().collect();
        while let Some(reference) = work.pop() {
            if is_there(reference.home) && live.insert(reference) {
                work.extend(self.slots(reference).iter().flatten());
            }
        }
        live
    }

    /// Looks at an object that can be reached, as it lies in the columns of its heap: without a look-up, which would revive it.
    pub(crate) fn look(&self, heap: &Heap, object: Reference) -> Result<(), String> {
        let graph = heap.graph();
        let cell = object.object.cell;
        let has = |column: &[std::sync::atomic::AtomicU64], cell: u32| {
            let word = column[cell as usize / 64].load(std::sync::atomic::Ordering::Relaxed);
            word >> (cell % 64) & 1 != 0
        };
        if !has(graph.allocated(), cell) {
            return Err(format!("{object} can be reached and is condemned or free"));
        }
        // Slots 0 to 2 lie in the first cell of any object.
        for (at, &slot) in self.slots(object).iter().enumerate().take(3) {
            let found = graph.cells()[cell as usize * 4 + at].load(std::sync::atomic::Ordering::Relaxed);
            let fits = match slot {
                None => found == 0,
                Some(reference) if reference.home == object.home => found == reference.object.cell,
                Some(_) => found != 0 && has(graph.stub(), found) && has(graph.allocated(), found),
            };
            if !fits {
                return Err(format!("slot {at} of {object} leads to cell {found}, and {slot:?} was stored"));
            }
        }
        Ok(())
    }

    /// Walks from what a mutator holds, as a mutator does, and compares what it finds.
    pub(crate) fn walk<'s>(
        &self,
        me: Life,
        scope: &Scope<'s>,
        held: impl IntoIterator<Item = (Local<'s>, Reference)>,
    ) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let mut work: Vec<(Local<'s>, Reference)> = held.into_iter().collect();
        while let Some((local, wanted)) = work.pop() {
            let found = reference_of(scope.handle(local));
            if found != wanted {
                return Err(format!("a reference to {wanted} leads to {found}"));
            }
            if !seen.insert(wanted) {
                continue;
            }
            let slots = if wanted.home == me { self.slots(wanted) } else { &[] };
            for (at, &slot) in (0..).zip(slots) {
                let loaded =
                    scope.load(local, at).map_err(|error| format!("slot {at} of {wanted}: {error}"))?;
                match (loaded, slot) {
                    (None, None) => {}
                    (Some(loaded), Some(slot)) => work.push((loaded, slot)),
                    (loaded, slot) => {
                        return Err(format!("slot {at} of {wanted} has {loaded:?}, and {slot:?} was stored"));
                    }
                }
            }
        }
        Ok(())
    }
}
