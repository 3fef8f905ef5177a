//! A heap without memory: objects are sets of references. Enough to collect it, and to mark it in steps while it changes.

use std::collections::{BTreeMap, BTreeSet};

use gc_protocol::{CycleId, Life, Object, Reference};

pub(crate) struct Marking {
    pub(crate) cycle: CycleId,
    pub(crate) marked: BTreeSet<Reference>,
    pub(crate) queue: Vec<Reference>,
    pub(crate) handed: u64,
    pub(crate) condemned: BTreeSet<Reference>,
    pub(crate) proved: bool,
    pub(crate) rested: bool,
}

pub(crate) struct Heap {
    pub(crate) life: Life,
    /// What each object refers to: objects of this heap and stubs.
    pub(crate) objects: BTreeMap<Object, Vec<Reference>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    pub(crate) roots: Vec<Reference>,
    /// What other nodes may hold.
    pub(crate) external: BTreeSet<Object>,
    /// Stubs and their imports.
    pub(crate) stubs: BTreeMap<Reference, u32>,
    pub(crate) marking: Option<Marking>,
}

impl Heap {
    pub(crate) fn new(life: Life) -> Heap {
        Heap {
            life,
            objects: BTreeMap::new(),
            generations: vec![0],
            free: Vec::new(),
            roots: Vec::new(),
            external: BTreeSet::new(),
            stubs: BTreeMap::new(),
            marking: None,
        }
    }

    pub(crate) fn own(&self, object: Object) -> Reference {
        Reference { home: self.life, object }
    }

    pub(crate) fn alloc(&mut self, references: Vec<Reference>) -> Reference {
        let cell = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.generations.len() as u32 - 1
        });
        let object = Object { cell, generation: self.generations[cell as usize] };
        self.objects.insert(object, references);
        let reference = self.own(object);
        if let Some(marking) = &mut self.marking {
            marking.marked.insert(reference);
        }
        reference
    }

    pub(crate) fn free(&mut self, object: Object) -> bool {
        let freed = self.objects.remove(&object).is_some();
        if freed {
            self.generations[object.cell as usize] += 1;
            self.free.push(object.cell);
            self.external.remove(&object);
        }
        freed
    }

    /// Takes a reference out of an object; the barrier shades it.
    pub(crate) fn unlink(&mut self, holder: Object, at: usize) {
        let Some(references) = self.objects.get_mut(&holder) else { return };
        if at < references.len() {
            let old = references.swap_remove(at);
            self.shade(old);
        }
    }

    pub(crate) fn shade(&mut self, reference: Reference) {
        if let Some(marking) = self.marking.as_mut().filter(|marking| !marking.proved) {
            marking.queue.push(reference);
        }
    }

    /// Everything that can be reached from these, inside this heap: objects and stubs.
    pub(crate) fn closure(&self, from: impl IntoIterator<Item = Reference>) -> BTreeSet<Reference> {
        let mut seen = BTreeSet::new();
        let mut work: Vec<Reference> = from.into_iter().collect();
        while let Some(reference) = work.pop() {
            if seen.insert(reference)
                && reference.home == self.life
                && let Some(references) = self.objects.get(&reference.object)
            {
                work.extend(references);
            }
        }
        seen
    }

    /// What a local collection frees: objects and stubs.
    pub(crate) fn garbage(&self) -> (Vec<Object>, Vec<(Reference, u32)>) {
        let roots = self.roots.iter().copied();
        let external = self.external.iter().map(|&object| self.own(object));
        let live = self.closure(roots.chain(external));
        let dead = |reference: &Reference| !live.contains(reference);
        (
            self.objects.keys().copied().filter(|&object| dead(&self.own(object))).collect(),
            self.stubs.iter().filter(|(stub, _)| dead(stub)).map(|(&stub, &import)| (stub, import)).collect(),
        )
    }

    pub(crate) fn begin(&mut self, cycle: CycleId, cycle_roots: &BTreeSet<Object>) {
        let own = cycle_roots.iter().map(|&object| self.own(object));
        self.marking = Some(Marking {
            cycle,
            marked: BTreeSet::new(),
            queue: self.roots.iter().copied().chain(own).collect(),
            handed: 0,
            condemned: BTreeSet::new(),
            proved: false,
            rested: false,
        });
    }

    /// Marks up to `budget` references. Answers the stubs that were reached.
    pub(crate) fn mark(&mut self, budget: usize) -> Vec<Reference> {
        let mut reached = Vec::new();
        let Some(marking) = &mut self.marking else { return reached };
        for _ in 0..budget {
            let Some(reference) = marking.queue.pop() else { break };
            if !marking.marked.insert(reference) {
                continue;
            }
            if reference.home != self.life {
                reached.push(reference);
            } else if let Some(references) = self.objects.get(&reference.object) {
                marking.queue.extend(references);
            }
        }
        reached
    }

    /// The verdict, and whether the local proof holds: nothing that survives refers to what is condemned.
    pub(crate) fn verdict(&mut self, cycle_roots: &BTreeSet<Object>) -> Option<BTreeSet<Reference>> {
        let marking = self.marking.as_ref()?;
        let all = self.objects.keys().map(|&object| self.own(object)).chain(self.stubs.keys().copied());
        let condemned: BTreeSet<Reference> =
            all.filter(|reference| !marking.marked.contains(reference)).collect();
        let roots = self.roots.iter().copied();
        let cycle_roots = cycle_roots.iter().map(|&object| self.own(object));
        let survivors = self.objects.keys().map(|&object| self.own(object));
        let survivors = survivors.filter(|reference| !condemned.contains(reference));
        let live = self.closure(roots.chain(cycle_roots).chain(survivors));
        let holds = live.is_disjoint(&condemned);
        let marking = self.marking.as_mut()?;
        marking.proved = true;
        marking.condemned.clone_from(&condemned);
        holds.then_some(condemned)
    }
}
