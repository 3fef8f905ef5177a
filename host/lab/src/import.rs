//! Builds a graph that is known as a whole in the heap.
//!
//! Written by `git:` and `graph:`. What it needs at once in memory is the graph as numbers ([`InputGraph`])
//! and eight bytes per object for its handle.
//!
//! Objects are allocated in the order of a depth-first search that puts an object behind what it refers to.
//! So nearly all references are there when an object is allocated and are written with it, which costs no
//! barrier; only references that close a cycle are stored later. An object with very many references is
//! allocated empty and filled bit by bit.
//!
//! 1. Every object that was allocated is kept by a *holder* until the roots are set: an object with up to
//!    1023 references to such objects and one to the holder before it; the last one has a named root. A scope
//!    that held them all would be copied at each handshake.
//! 2. A scope holds at most some thousands of references at a time ([`SCOPE_LOCALS_MAX`]).
//! 3. When the import returns, its holder root is gone: the roots of the input are all that keeps the
//!    objects.
//! 4. A reference to [`ELSEWHERE`] is a slot that stays empty here. Whoever fills it does so before the holder root goes.

use gc_heap::{Handle, Heap, Local, Mutator, Scope};

use crate::driver::{Driver, Phase, Ticker};
use crate::error::WorkloadError;
use crate::limits::{HOLDER_OBJECTS, NAMED_ROOTS_MAX, SCOPE_LOCALS_MAX, STEPS_PER_LOOK};

/// Who refers to whom, by number.
#[derive(Debug, Default)]
pub(crate) struct InputGraph {
    /// Where the references of object `i` begin in `targets`; one more than there are objects.
    pub(crate) begins: Vec<u64>,
    pub(crate) targets: Vec<u32>,
    /// Objects that roots refer to, with a name where they have one.
    pub(crate) roots: Vec<(Option<String>, u32)>,
}

/// The target of a reference that the import leaves empty.
pub(crate) const ELSEWHERE: u32 = u32::MAX;

/// Where the payload of an object comes from.
pub(crate) trait Payloads {
    /// The payload of an object.
    fn payload(&mut self, object: u32) -> Result<&[u8], WorkloadError>;
}

/// What was built: the handles of all objects, by number.
pub(crate) struct Imported {
    handles: Handles,
    pub(crate) payload_bytes: u64,
    pub(crate) operations: u64,
    pub(crate) stopped: bool,
}

/// Handles of one heap: what they have in common is kept once.
#[derive(Debug)]
pub(crate) struct Handles {
    node: u32,
    incarnation: u64,
    /// Cell and generation.
    places: Vec<(u32, u32)>,
}

/// Name of the root that keeps what was built so far. No id and no git reference has a space in it.
const HOLDER: &str = "holder of the import";

/// The place of an object that is not there yet: no object is in cell 0.
const NOWHERE: (u32, u32) = (0, 0);

impl Handles {
    pub(crate) fn new(heap: &Heap, len: usize) -> Handles {
        let config = heap.config();
        Handles { node: config.node, incarnation: config.incarnation, places: vec![NOWHERE; len] }
    }

    pub(crate) fn set(&mut self, object: u32, handle: Handle) {
        self.places[object as usize] = (handle.cell, handle.generation);
    }

    pub(crate) fn push(&mut self) -> u32 {
        self.places.push(NOWHERE);
        self.places.len() as u32 - 1
    }

    pub(crate) fn of(&self, object: u32) -> Option<Handle> {
        let (cell, generation) = self.places[object as usize];
        (cell != 0).then_some(Handle { node: self.node, incarnation: self.incarnation, cell, generation })
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

impl InputGraph {
    pub(crate) fn len(&self) -> usize {
        self.begins.len().saturating_sub(1)
    }

    pub(crate) fn targets_of(&self, object: u32) -> &[u32] {
        let object = object as usize;
        &self.targets[self.begins[object] as usize..self.begins[object + 1] as usize]
    }

    /// Objects in an order that puts them behind what they refer to, as far as cycles allow; none when asked to stop.
    fn build_order(&self, stop: &dyn Fn() -> bool) -> Option<Vec<u32>> {
        let mut order = Vec::with_capacity(self.len());
        let mut seen = vec![false; self.len()];
        let mut path: Vec<(u32, u64)> = Vec::new();
        let mut steps: u64 = 0;
        for start in 0..self.len() as u32 {
            if std::mem::replace(&mut seen[start as usize], true) {
                continue;
            }
            path.push((start, self.begins[start as usize]));
            while let Some((object, next)) = path.last_mut() {
                steps += 1;
                if steps.is_multiple_of(STEPS_PER_LOOK) && stop() {
                    return None;
                }
                if *next == self.begins[*object as usize + 1] {
                    order.push(*object);
                    path.pop();
                    continue;
                }
                let target = self.targets[*next as usize];
                *next += 1;
                if target != ELSEWHERE && !std::mem::replace(&mut seen[target as usize], true) {
                    path.push((target, self.begins[target as usize]));
                }
            }
        }
        Some(order)
    }
}

/// Builds `graph` in the heap and roots it.
pub(crate) fn import(
    heap: &Heap,
    graph: &InputGraph,
    payloads: &mut dyn Payloads,
    driver: &dyn Driver,
) -> Result<Imported, WorkloadError> {
    import_and(heap, graph, payloads, driver, |_, _| Ok(false))
}

/// The same; what `complete` does with all objects at hand comes between building and rooting, and says whether the driver asked to stop.
pub(crate) fn import_and(
    heap: &Heap,
    graph: &InputGraph,
    payloads: &mut dyn Payloads,
    driver: &dyn Driver,
    complete: impl FnOnce(&mut Mutator, &Handles) -> Result<bool, WorkloadError>,
) -> Result<Imported, WorkloadError> {
    let mut builder = Builder {
        graph,
        handles: Handles::new(heap, graph.len()),
        late: Vec::new(),
        payload_bytes: 0,
        operations: 0,
    };
    let mut mutator = heap.mutator();
    let built = builder.build(&mut mutator, payloads, driver, complete);
    mutator.scope(|scope| scope.set_root(HOLDER, None));
    let stopped = built?;
    let Builder { handles, payload_bytes, operations, .. } = builder;
    Ok(Imported { handles, payload_bytes, operations, stopped })
}

impl Imported {
    pub(crate) fn handles(&self) -> &Handles {
        &self.handles
    }
}

struct Builder<'g> {
    graph: &'g InputGraph,
    handles: Handles,
    /// References that close a cycle: from, slot, to.
    late: Vec<(u32, u32, u32)>,
    payload_bytes: u64,
    operations: u64,
}

impl Builder<'_> {
    /// Says whether the driver asked to stop.
    fn build(
        &mut self,
        mutator: &mut Mutator,
        payloads: &mut dyn Payloads,
        driver: &dyn Driver,
        complete: impl FnOnce(&mut Mutator, &Handles) -> Result<bool, WorkloadError>,
    ) -> Result<bool, WorkloadError> {
        let Some(order) = self.graph.build_order(&|| driver.stop_requested()) else { return Ok(true) };
        let mut ticker = Ticker::new(driver, Phase::Build, Some(order.len() as u64));
        let mut next = 0;
        while next < order.len() {
            let taken = mutator.scope(|scope| self.build_some(scope, &order[next..], payloads))?;
            next += taken;
            if ticker.tick(next as u64) {
                return Ok(true);
            }
        }
        self.link_late(mutator)?;
        if complete(mutator, &self.handles)? {
            return Ok(true);
        }
        self.set_roots(mutator)?;
        Ok(false)
    }

    /// Builds as many objects as one holder keeps, or as few as the bound on locals allows.
    fn build_some(
        &mut self,
        scope: &mut Scope<'_>,
        order: &[u32],
        payloads: &mut dyn Payloads,
    ) -> Result<usize, WorkloadError> {
        let mut held: Vec<Option<Local<'_>>> = Vec::with_capacity(HOLDER_OBJECTS + 1);
        held.push(scope.root(HOLDER));
        let mut locals = 1;
        let mut slots = Vec::new();
        for &object in &order[..order.len().min(HOLDER_OBJECTS)] {
            let targets = self.graph.targets_of(object);
            if held.len() > 1 && locals + targets.len() > SCOPE_LOCALS_MAX {
                break;
            }
            let payload = payloads.payload(object)?;
            self.payload_bytes += payload.len() as u64;
            let large = targets.len() > SCOPE_LOCALS_MAX;
            slots.clear();
            if large {
                slots.resize(targets.len(), None);
            } else {
                self.resolve_targets(scope, object, &mut slots)?;
            }
            let local = scope.alloc(&slots, payload)?;
            self.operations += 1;
            self.handles.set(object, scope.handle(local));
            if large {
                self.fill(scope, object, local)?;
            }
            locals += 1 + if large { 0 } else { targets.len() };
            held.push(Some(local));
        }
        let holder = scope.alloc(&held, &[])?;
        scope.set_root(HOLDER, Some(holder));
        Ok(held.len() - 1)
    }

    /// The targets that are there; the others are noted for later.
    fn resolve_targets<'s>(
        &mut self,
        scope: &Scope<'s>,
        object: u32,
        slots: &mut Vec<Option<Local<'s>>>,
    ) -> Result<(), WorkloadError> {
        for (slot, &target) in self.graph.targets_of(object).iter().enumerate() {
            let there = if target == ELSEWHERE { None } else { self.handles.of(target) };
            slots.push(there.map(|handle| kept(scope, handle)).transpose()?);
            if there.is_none() && target != ELSEWHERE {
                self.late.push((object, slot as u32, target));
            }
        }
        self.operations += slots.len() as u64;
        Ok(())
    }

    /// Stores the references of an object that has too many to hold at once.
    fn fill(&mut self, scope: &mut Scope<'_>, object: u32, local: Local<'_>) -> Result<(), WorkloadError> {
        let targets = self.graph.targets_of(object);
        for (part, targets) in targets.chunks(SCOPE_LOCALS_MAX).enumerate() {
            scope.scope(|inner| {
                for (at, &target) in targets.iter().enumerate().filter(|&(_, &target)| target != ELSEWHERE) {
                    let slot = (part * SCOPE_LOCALS_MAX + at) as u32;
                    match self.handles.of(target) {
                        Some(handle) => inner.store(local, slot, Some(kept(inner, handle)?))?,
                        None => self.late.push((object, slot, target)),
                    }
                }
                Ok::<(), WorkloadError>(())
            })?;
        }
        self.operations += targets.len() as u64;
        Ok(())
    }

    fn link_late(&mut self, mutator: &mut Mutator) -> Result<(), WorkloadError> {
        for links in self.late.chunks(SCOPE_LOCALS_MAX / 2) {
            mutator.scope(|scope| {
                for &(from, slot, to) in links {
                    let target = kept(scope, self.handle_of_built(to))?;
                    scope.store(kept(scope, self.handle_of_built(from))?, slot, Some(target))?;
                }
                Ok::<(), WorkloadError>(())
            })?;
        }
        self.operations += self.late.len() as u64;
        Ok(())
    }

    fn handle_of_built(&self, object: u32) -> Handle {
        self.handles.of(object).expect("every object was built before the late references")
    }

    fn set_roots(&self, mutator: &mut Mutator) -> Result<(), WorkloadError> {
        let named = self.graph.roots.iter().filter_map(|(name, object)| Some((name.as_deref()?, *object)));
        for (name, object) in named.clone().take(NAMED_ROOTS_MAX) {
            mutator.scope(|scope| {
                scope.set_root(name, Some(kept(scope, self.handle_of_built(object))?));
                Ok::<(), WorkloadError>(())
            })?;
        }
        let unnamed = self.graph.roots.iter().filter(|(name, _)| name.is_none()).map(|&(_, object)| object);
        let rest: Vec<u32> = named.skip(NAMED_ROOTS_MAX).map(|(_, object)| object).chain(unnamed).collect();
        for (number, objects) in rest.chunks(HOLDER_OBJECTS).enumerate() {
            mutator.scope(|scope| {
                let held = objects.iter().map(|&object| kept(scope, self.handle_of_built(object)).map(Some));
                let slots: Vec<_> = held.collect::<Result<_, _>>()?;
                let holder = scope.alloc(&slots, &[])?;
                scope.set_root(&format!("holder of roots {number}"), Some(holder));
                Ok::<(), WorkloadError>(())
            })?;
        }
        Ok(())
    }
}

/// An object that a holder keeps.
///
/// # Errors
///
/// When it was reclaimed all the same, which takes a wrong strategy and a heap whose proof is off.
pub(crate) fn kept<'s>(scope: &Scope<'s>, handle: Handle) -> Result<Local<'s>, WorkloadError> {
    Ok(scope.resolve(handle)?)
}

/// Splits objects into those that are gone and those that are there.
pub(crate) fn sort_out(mutator: &mut Mutator, handles: &Handles) -> (Vec<u32>, Vec<u32>) {
    let (mut gone, mut live) = (Vec::new(), Vec::new());
    let len = handles.len() as u32;
    for begin in (0..len).step_by(STEPS_PER_LOOK as usize) {
        mutator.scope(|scope| {
            for object in begin..len.min(begin + STEPS_PER_LOOK as u32) {
                let Some(handle) = handles.of(object) else { continue };
                let list = if scope.resolve(handle).is_ok() { &mut live } else { &mut gone };
                list.push(object);
            }
        });
    }
    (gone, live)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[&[u32]]) -> InputGraph {
        let mut graph = InputGraph { begins: vec![0], ..InputGraph::default() };
        for targets in edges {
            graph.targets.extend_from_slice(targets);
            graph.begins.push(graph.targets.len() as u64);
        }
        graph
    }

    #[test]
    fn objects_come_behind_what_they_refer_to() {
        let order = |edges: &[&[u32]]| graph(edges).build_order(&|| false).unwrap();
        assert_eq!(order(&[&[1, 2], &[2], &[], &[0]]), [2, 1, 0, 3]);
        assert_eq!(order(&[&[1], &[0], &[2]]), [1, 0, 2]);
        assert_eq!(order(&[]), [0_u32; 0]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let links: Vec<[u32; 1]> = (1..200_000).map(|next| [next]).collect();
        let mut chain: Vec<&[u32]> = links.iter().map(|link| &link[..]).collect();
        chain.push(&[]);
        let chain = graph(&chain);
        let order = chain.build_order(&|| false).unwrap();
        assert!(chain.build_order(&|| true).is_none(), "it does not hear that it is to stop");
        assert_eq!((order[0], order[199_999]), (199_999, 0));
    }
}
