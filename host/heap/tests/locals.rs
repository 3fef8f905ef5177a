//! A local is a root of its own mutator alone: no other mutator takes it, and refusing it leaves everything as it was.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{MarkSweep, cycle};
use gc_heap::{Collector, CycleEnd, Heap, HeapConfig, Local, Mutator, Scope};

/// What a mutator can do with a local, here one that is not its own.
type Misuse = for<'s> fn(&Scope<'s>, Local<'_>, Local<'s>);

/// Runs something with two scopes on one thread, and gives it an object of each.
fn with_both(ours: &mut Mutator, theirs: &mut Mutator, misuse: Misuse) -> Result<(), String> {
    ours.scope(|own| {
        theirs.scope(|other| {
            let mine = own.alloc(&[], b"mine").unwrap();
            let foreign = other.alloc(&[], b"theirs").unwrap();
            let panic = catch_unwind(AssertUnwindSafe(|| misuse(own, foreign, mine)));
            assert_eq!(own.load(mine, 0).unwrap(), None, "nothing was stored");
            panic.map_err(|panic| panic.downcast_ref::<&str>().expect("a message").to_string())
        })
    })
}

const MISUSES: [(&str, Misuse); 13] = [
    ("load", |scope, foreign, _| drop(scope.load(foreign, 0))),
    ("load of a far slot", |scope, foreign, _| drop(scope.load(foreign, 7))),
    ("store into", |scope, foreign, own| scope.store(foreign, 0, Some(own)).unwrap()),
    ("store null into", |scope, foreign, _| scope.store(foreign, 0, None).unwrap()),
    ("store of", |scope, foreign, own| scope.store(own, 0, Some(foreign)).unwrap()),
    ("alloc with", |scope, foreign, _| drop(scope.alloc(&[Some(foreign)], &[]))),
    ("alloc of a large object with", |scope, foreign, _| {
        drop(scope.alloc(&[None, None, None, None, None, Some(foreign)], &[]))
    }),
    ("retire", |scope, foreign, _| scope.retire(foreign)),
    ("set_root", |scope, foreign, _| scope.set_root("stolen", Some(foreign))),
    ("pin", |scope, foreign, _| drop(scope.pin(foreign))),
    ("handle", |scope, foreign, _| drop(scope.handle(foreign).to_string())),
    ("read", |scope, foreign, _| scope.read(foreign, &mut Vec::new())),
    ("payload_len", |scope, foreign, _| assert_eq!(scope.payload_len(foreign), 6)),
];

#[test]
fn a_local_of_another_mutator_is_refused_by_every_operation() {
    let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    let elsewhere = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    let mut collector = Collector::new(&heap);
    for (name, misuse) in MISUSES {
        for mut theirs in [heap.mutator(), elsewhere.mutator()] {
            let mut ours = heap.mutator();
            let message = with_both(&mut ours, &mut theirs, misuse).expect_err(name);
            assert!(message.contains("a local of another mutator was used"), "{name}: {message}");
            // The operation that was refused has ended: a handshake does not wait for it.
            let report = cycle(&mut collector, &mut MarkSweep::new(&heap));
            assert_eq!(report.end, CycleEnd::Settled, "{name}");
            assert_eq!((heap.stats().live_objects, report.retired_waiting), (0, 0), "{name}");
            assert_eq!((heap.stats().roots, heap.named_roots()), (0, vec![]), "{name}");
        }
    }
}

#[test]
fn a_mutator_takes_locals_of_its_own_outer_scopes() {
    let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    heap.mutator().scope(|outer| {
        let object = outer.alloc(&[], b"mine").unwrap();
        outer.scope(|inner| inner.store(object, 0, Some(object))).unwrap();
        assert_eq!(outer.load(object, 0).unwrap(), Some(object));
    });
}

#[test]
fn a_pin_of_another_heap_is_refused() {
    let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    let elsewhere = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    let pin = elsewhere.mutator().scope(|scope| scope.pin(scope.alloc(&[], &[]).unwrap()));
    let mut mutator = heap.mutator();
    let panic =
        catch_unwind(AssertUnwindSafe(|| mutator.scope(|scope| scope.pinned(&pin) == scope.pinned(&pin))));
    let message = panic.expect_err("a pin of another heap").downcast_ref::<&str>().unwrap().to_string();
    assert!(message.contains("a pin of another heap was used"), "{message}");
}

#[test]
fn everything_that_a_scope_holds_is_a_root_however_much_it_is() {
    let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        let objects: Vec<_> = (0..1000u32).map(|at| scope.alloc(&[], &at.to_le_bytes()).unwrap()).collect();
        let report = cycle(&mut collector, &mut MarkSweep::new(&heap));
        assert_eq!((report.condemned_objects, report.roots), (0, 1000));
        for (at, &object) in (0..1000u32).zip(&objects) {
            let mut bytes = Vec::new();
            scope.read(object, &mut bytes);
            assert_eq!(bytes, at.to_le_bytes());
        }
    });
    assert_eq!(cycle(&mut collector, &mut MarkSweep::new(&heap)).condemned_objects, 1000);
}
