//! What a heap holds, in a form in which equal graphs are equal values.

use std::collections::HashMap;

use gc_heap::{Handle, Heap};

/// One object: how many slots it has, how long its payload is, and whom it refers to, by slot and number.
pub(crate) type Shape = (u64, usize, Vec<(u32, usize)>);

/// Everything that named roots reach, numbered in the order of a search that begins with the roots by name and follows slots in their order. Two graphs
/// whose roots have the same names are isomorphic if and only if these are equal.
pub(crate) fn shape(heap: &Heap) -> (Vec<(String, usize)>, Vec<Shape>) {
    let mut roots = heap.named_roots();
    roots.sort();
    let mut found = Numbers::default();
    let names = roots.into_iter().map(|(name, handle)| (name, found.number(handle))).collect();
    let mut mutator = heap.mutator();
    let mut shapes = Vec::new();
    while shapes.len() < found.order.len() {
        let handle = found.order[shapes.len()];
        let shape = mutator.scope(|scope| {
            let object = scope.resolve(handle).unwrap();
            let slots = scope.slot_count(object);
            let refers = (0..slots as u32).filter_map(|slot| {
                let target = scope.load(object, slot).ok().flatten()?;
                Some((slot, found.number(scope.handle(target))))
            });
            (slots, scope.payload_len(object), refers.collect())
        });
        shapes.push(shape);
    }
    (names, shapes)
}

#[derive(Default)]
struct Numbers {
    order: Vec<Handle>,
    numbers: HashMap<Handle, usize>,
}

impl Numbers {
    fn number(&mut self, handle: Handle) -> usize {
        *self.numbers.entry(handle).or_insert_with(|| {
            self.order.push(handle);
            self.order.len() - 1
        })
    }
}
