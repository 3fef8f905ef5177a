//! A heap that is small enough to know everything about: every object, every reference, every root.

use std::collections::{BTreeMap, BTreeSet};

use gc_heap::{Handle, Heap, HeapError, Local, Scope};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Names of roots that the model uses.
const ROOTS: usize = 12;

/// The node that stubs stand for objects of.
const ELSEWHERE: u32 = 4711;

/// An object, as the model knows it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) handle: Handle,
    slots: Vec<Option<usize>>,
    pub(crate) retired: bool,
    /// It lives on another node.
    pub(crate) stub: bool,
}

/// See the module. Objects are numbered in the order of their allocation.
pub(crate) struct Model {
    pub(crate) objects: Vec<Object>,
    roots: BTreeMap<String, usize>,
    /// Objects that other nodes hold.
    pub(crate) exports: BTreeSet<usize>,
    random: ChaCha8Rng,
    /// Whether objects are retired when the last reference to them goes.
    retires: bool,
}

impl Model {
    pub(crate) fn new(seed: u64, retires: bool) -> Model {
        Model {
            objects: Vec::new(),
            roots: BTreeMap::new(),
            exports: BTreeSet::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            retires,
        }
    }

    /// Does `steps` random things, to the heap and to itself.
    pub(crate) fn mutate(&mut self, heap: &Heap, steps: u32) -> Result<(), String> {
        let mut mutator = heap.mutator();
        // Some scopes are short and some are long, so that strategies see roots of both kinds.
        let mut left = steps;
        while left > 0 {
            let these = self.random.random_range(1..=left.min(50));
            left -= these;
            mutator.scope(|scope| (0..these).try_for_each(|_| self.step(scope)))?;
        }
        Ok(())
    }

    /// `count` references to objects of other nodes arrive, and other nodes get `count` references to objects of this one.
    pub(crate) fn trade(&mut self, heap: &Heap, count: u32) -> Result<(), String> {
        for _ in 0..count {
            let reachable: Vec<usize> = self.reachable().into_iter().collect();
            let number = self.objects.len();
            let handle = Handle { node: ELSEWHERE, incarnation: 1, cell: number as u32 + 1, generation: 0 };
            heap.mutator().scope(|scope| {
                scope.import(handle, number as u32).map_err(sentence)?;
                self.objects.push(Object { handle, slots: Vec::new(), retired: false, stub: true });
                let holder = self.pick(&reachable).filter(|&holder| !self.objects[holder].slots.is_empty());
                match holder {
                    Some(holder) => {
                        let slot = self.random.random_range(0..self.objects[holder].slots.len());
                        self.put(scope, holder, slot, Some(number))
                    }
                    None => Ok(()),
                }
            })?;
            let ours = self.pick(&reachable).filter(|&at| !self.objects[at].stub);
            if let Some(at) = ours.filter(|&at| self.exports.insert(at)) {
                heap.hold(self.objects[at].handle).map_err(|gone| gone.to_string())?;
            }
        }
        Ok(())
    }

    /// Some of what other nodes hold, about a `share`-th.
    pub(crate) fn some_exports(&mut self, share: u32) -> BTreeSet<usize> {
        let random = &mut self.random;
        self.exports.iter().copied().filter(|_| random.random_ratio(1, share)).collect()
    }

    fn step(&mut self, scope: &Scope<'_>) -> Result<(), String> {
        let reachable: Vec<usize> = self.reachable().into_iter().collect();
        match self.random.random_range(0..10u32) {
            0..4 => self.allocate(scope, &reachable),
            4..8 => self.store(scope, &reachable),
            _ => {
                let name = self.root_name();
                let target = self.pick(&reachable).filter(|_| self.random.random_bool(0.6));
                self.set_root(scope, &name, target)
            }
        }
    }

    fn root_name(&mut self) -> String {
        format!("root-{}", self.random.random_range(0..ROOTS))
    }

    fn pick(&mut self, from: &[usize]) -> Option<usize> {
        (!from.is_empty()).then(|| from[self.random.random_range(0..from.len())])
    }

    fn allocate(&mut self, scope: &Scope<'_>, reachable: &[usize]) -> Result<(), String> {
        // Mostly objects of one cell, some of a tree of cells.
        let slots = if self.random.random_bool(0.9) {
            self.random.random_range(0..5)
        } else {
            self.random.random_range(5..40)
        };
        let slots: Vec<Option<usize>> =
            (0..slots).map(|_| self.pick(reachable).filter(|_| self.random.random_bool(0.5))).collect();
        let held = slots.iter().map(|slot| slot.map(|at| self.resolve(scope, at)).transpose());
        let held = held.collect::<Result<Vec<Option<Local<'_>>>, String>>()?;
        let payload = vec![7; self.random.random_range(0..40)];
        let object = scope.alloc(&held, &payload).map_err(sentence)?;
        let number = self.objects.len();
        self.objects.push(Object { handle: scope.handle(object), slots, retired: false, stub: false });
        let holder = self.pick(reachable).filter(|&holder| !self.objects[holder].slots.is_empty());
        match holder.filter(|_| self.random.random_bool(0.8)) {
            Some(holder) => {
                let slot = self.random.random_range(0..self.objects[holder].slots.len());
                self.put(scope, holder, slot, Some(number))
            }
            None => {
                let name = self.root_name();
                self.set_root(scope, &name, Some(number))
            }
        }
    }

    fn store(&mut self, scope: &Scope<'_>, reachable: &[usize]) -> Result<(), String> {
        let Some(holder) = self.pick(reachable) else { return Ok(()) };
        if self.objects[holder].slots.is_empty() {
            return Ok(());
        }
        let slot = self.random.random_range(0..self.objects[holder].slots.len());
        let target = self.pick(reachable).filter(|_| self.random.random_bool(0.5));
        self.put(scope, holder, slot, target)
    }

    fn put(
        &mut self,
        scope: &Scope<'_>,
        holder: usize,
        slot: usize,
        target: Option<usize>,
    ) -> Result<(), String> {
        let held = self.resolve(scope, holder)?;
        let value = target.map(|at| self.resolve(scope, at)).transpose()?;
        scope.store(held, slot as u32, value).map_err(sentence)?;
        self.objects[holder].slots[slot] = target;
        self.retire_lost(scope)
    }

    fn set_root(&mut self, scope: &Scope<'_>, name: &str, target: Option<usize>) -> Result<(), String> {
        let value = target.map(|at| self.resolve(scope, at)).transpose()?;
        scope.set_root(name, value);
        match target {
            Some(target) => self.roots.insert(name.to_owned(), target),
            None => self.roots.remove(name),
        };
        self.retire_lost(scope)
    }

    /// Retires half of what has become unreachable, as a program does that knows what it has unlinked. Handles find it until it is condemned.
    fn retire_lost(&mut self, scope: &Scope<'_>) -> Result<(), String> {
        if !self.retires {
            return Ok(());
        }
        let reachable = self.reachable();
        for at in 0..self.objects.len() {
            if !reachable.contains(&at) && !self.objects[at].retired && self.random.random_bool(0.5) {
                if let Ok(object) = scope.resolve(self.objects[at].handle) {
                    scope.retire(object);
                }
                self.objects[at].retired = true;
            }
        }
        Ok(())
    }

    /// A reachable object must be there: that is what safety means.
    fn resolve<'s>(&self, scope: &Scope<'s>, at: usize) -> Result<Local<'s>, String> {
        scope
            .resolve(self.objects[at].handle)
            .map_err(|gone| format!("object {at} is reachable and gone: {gone}"))
    }

    pub(crate) fn reachable(&self) -> BTreeSet<usize> {
        self.closure(self.roots.values().chain(&self.exports).copied())
    }

    /// What this node itself needs, and what it has by the grace of `these`.
    pub(crate) fn reachable_here(&self, these: &BTreeSet<usize>) -> BTreeSet<usize> {
        self.closure(self.roots.values().chain(these).copied())
    }

    fn closure(&self, from: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut work: Vec<usize> = from.into_iter().collect();
        while let Some(at) = work.pop() {
            if seen.insert(at) {
                work.extend(self.objects[at].slots.iter().flatten());
            }
        }
        seen
    }

    /// Garbage that is on no cycle, and that no cycle keeps.
    pub(crate) fn acyclic_garbage(&self) -> BTreeSet<usize> {
        let reachable = self.reachable();
        let garbage: Vec<usize> = (0..self.objects.len()).filter(|at| !reachable.contains(at)).collect();
        let on_cycle = garbage.iter().copied().filter(|&at| {
            let next = self.objects[at].slots.iter().flatten().copied();
            self.closure(next).contains(&at)
        });
        let kept = self.closure(on_cycle.collect::<Vec<_>>());
        garbage.into_iter().filter(|at| !kept.contains(at)).collect()
    }

    /// Every reachable object is there and refers to what it should.
    pub(crate) fn verify(&self, heap: &Heap) -> Result<(), String> {
        heap.mutator().scope(|scope| {
            for at in self.reachable() {
                let object = self.resolve(scope, at)?;
                for (slot, wanted) in self.objects[at].slots.iter().enumerate() {
                    let found =
                        scope.load(object, slot as u32).map_err(sentence)?.map(|found| scope.handle(found));
                    if found != wanted.map(|wanted| self.objects[wanted].handle) {
                        return Err(format!("slot {slot} of object {at} has changed to {found:?}"));
                    }
                }
            }
            Ok(())
        })
    }

    /// Whether one object has a reference to another.
    pub(crate) fn refers(&self, holder: usize, target: usize) -> bool {
        self.objects[holder].slots.contains(&Some(target))
    }

    /// Those of `these` that are still there.
    pub(crate) fn present(&self, heap: &Heap, these: impl IntoIterator<Item = usize>) -> Vec<usize> {
        heap.mutator().scope(|scope| {
            these.into_iter().filter(|&at| scope.resolve(self.objects[at].handle).is_ok()).collect()
        })
    }
}

pub(crate) fn sentence(error: HeapError) -> String {
    error.to_string()
}

/// A seed for the `n`-th of something.
pub(crate) fn seed(seed: u64, n: u64) -> u64 {
    ChaCha8Rng::seed_from_u64(seed ^ n.rotate_left(32)).next_u64()
}
