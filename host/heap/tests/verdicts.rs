//! Whatever a strategy answers, the heap stays whole: random graphs, random verdicts, valid and invalid.

mod common;

use std::collections::BTreeSet;

use common::{Fixed, cycle, identity};
use gc_heap::{Collector, CycleEnd, Handle, Heap, HeapConfig, Quarantine, Verdict};
use proptest::prelude::*;

const OBJECTS: usize = 40;

/// A graph: what each object refers to, and which are roots.
fn graphs() -> impl Strategy<Value = (Vec<[Option<usize>; 3]>, BTreeSet<usize>)> {
    let slot = prop::option::weighted(0.4, 0..OBJECTS);
    let slots = prop::collection::vec([slot.clone(), slot.clone(), slot], OBJECTS);
    (slots, prop::collection::btree_set(0..OBJECTS, 0..4))
}

/// What a strategy may come up with, by object where it makes sense and by number of a cell where it does not.
#[derive(Debug, Clone)]
enum Answer {
    KeepAll,
    Condemn(BTreeSet<usize>),
    CondemnCells(Vec<u32>),
    Survive(BTreeSet<usize>),
    Words(usize, u64),
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::KeepAll),
        prop::collection::btree_set(0..OBJECTS, 0..OBJECTS).prop_map(Answer::Condemn),
        prop::collection::vec(any::<u32>(), 0..4).prop_map(Answer::CondemnCells),
        prop::collection::btree_set(0..OBJECTS, 0..OBJECTS).prop_map(Answer::Survive),
        (0usize..200, any::<u64>()).prop_map(|(len, word)| Answer::Words(len, word)),
    ]
}

fn reachable(slots: &[[Option<usize>; 3]], roots: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut work: Vec<usize> = roots.iter().copied().collect();
    while let Some(object) = work.pop() {
        if seen.insert(object) {
            work.extend(slots[object].iter().flatten());
        }
    }
    seen
}

fn verdict(answer: &Answer, handles: &[Handle], capacity: u32) -> Verdict {
    match answer {
        Answer::KeepAll => Verdict::KeepAll,
        Answer::Condemn(objects) => {
            Verdict::Condemned(objects.iter().map(|&object| handles[object].cell).collect())
        }
        Answer::CondemnCells(cells) => Verdict::Condemned(cells.clone()),
        Answer::Survive(objects) => {
            let mut words = vec![0; capacity as usize / 64];
            objects.iter().for_each(|&object| {
                words[handles[object].cell as usize / 64] |= 1 << (handles[object].cell % 64)
            });
            Verdict::Survivors(words)
        }
        Answer::Words(len, word) => Verdict::Survivors(vec![*word; *len]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 400 }, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_of_a_strategy_breaks_the_heap((slots, roots) in graphs(), answers in prop::collection::vec(answers(), 1..5)) {
        let config = HeapConfig { quarantine: Quarantine::Off, share_proofs: false, ..HeapConfig::with_limit(256 << 10) };
        let heap = Heap::new(config).unwrap();
        let handles: Vec<Handle> = heap.mutator().scope(|scope| {
            let objects: Vec<_> = (0..OBJECTS).map(|number| scope.alloc(&[], &[number as u8]).unwrap()).collect();
            for (object, slots) in objects.iter().zip(&slots) {
                for (slot, target) in (0..).zip(slots) {
                    scope.store(*object, slot, target.map(|target| objects[target])).unwrap();
                }
            }
            roots.iter().for_each(|&root| scope.set_root(&root.to_string(), Some(objects[root])));
            objects.iter().map(|&object| scope.handle(object)).collect()
        });
        let alive = reachable(&slots, &roots);
        let mut collector = Collector::new(&heap);
        for answer in &answers {
            let before = heap.stats().live_objects;
            let verdict = verdict(answer, &handles, heap.graph().capacity());
            let report = cycle(&mut collector, &mut Fixed(identity("any"), verdict));
            if report.end != CycleEnd::Settled {
                prop_assert_eq!(heap.stats().live_objects, before, "a verdict that was not carried out changed something");
            }
            heap.audit().unwrap();
            heap.mutator().scope(|scope| {
                for &object in &alive {
                    let local = scope.resolve(handles[object]).expect("what is reachable is there");
                    let mut bytes = Vec::new();
                    scope.read(local, &mut bytes);
                    assert_eq!(bytes, [object as u8]);
                }
            });
        }
    }
}
