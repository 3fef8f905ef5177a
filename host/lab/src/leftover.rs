//! What an earlier run of the same workload left in the heap.
//!
//! A workload leaves what it keeps under its named roots, so that what is live at its end can be looked at. When
//! it runs again in the same heap, to warm up, it lets go of that first. A strategy that frees only what was
//! retired has to be told of each object.

use rustc_hash::FxHashSet;

use gc_heap::{Handle, Mutator};

use crate::error::WorkloadError;

/// Lets go of what a named root holds, and with `retire` retires everything that it leads to. Nothing else may
/// refer to that.
pub(crate) fn retire_leftover(mutator: &mut Mutator, root: &str, retire: bool) -> Result<(), WorkloadError> {
    let mut pending: Vec<Handle> = mutator.scope(|scope| {
        let kept = scope.root(root).filter(|_| retire);
        kept.map(|object| scope.handle(object)).into_iter().collect()
    });
    let mut seen: FxHashSet<Handle> = pending.iter().copied().collect();
    while let Some(handle) = pending.pop() {
        mutator.scope(|scope| {
            // The root still holds it all.
            let object = scope.resolve(handle)?;
            for slot in 0..scope.slot_count(object) {
                if let Some(next) = scope.load(object, slot as u32)?.map(|next| scope.handle(next))
                    && seen.insert(next)
                {
                    pending.push(next);
                }
            }
            scope.retire(object);
            Ok::<_, WorkloadError>(())
        })?;
    }
    mutator.scope(|scope| scope.set_root(root, None));
    Ok(())
}

#[cfg(test)]
mod tests {
    use gc_heap::{Heap, HeapConfig};

    use super::*;

    #[test]
    fn a_cycle_below_the_root_is_walked_once() {
        let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
        let mut mutator = heap.mutator();
        mutator.scope(|scope| {
            let shared = scope.alloc(&[None], &[]).unwrap();
            let wide = scope.alloc(&vec![Some(shared); 100], b"x").unwrap();
            scope.store(shared, 0, Some(wide)).unwrap();
            scope.set_root("old", Some(wide));
        });
        retire_leftover(&mut mutator, "old", true).unwrap();
        assert_eq!(heap.named_roots(), []);
    }
}
