//! What is looked up after a verdict and before the decision.

mod common;

use common::identity;
use common::scripted::Scripted;
use gc_heap::{Cause, Collector, CycleRequest, Handle, Heap, HeapConfig, Pace, Quarantine, Verdict};

/// A heap with a root, and garbage that refers to more garbage.
fn heap() -> (Heap, [Handle; 2]) {
    let config =
        HeapConfig { quarantine: Quarantine::Off, share_proofs: false, ..HeapConfig::with_limit(1 << 20) };
    let heap = Heap::new(config).unwrap();
    let handles = heap.mutator().scope(|scope| {
        scope.set_root("root", Some(scope.alloc(&[], &[]).unwrap()));
        let leaf = scope.alloc(&[], &[]).unwrap();
        let top = scope.alloc(&[Some(leaf)], &[]).unwrap();
        [scope.handle(top), scope.handle(leaf)]
    });
    (heap, handles)
}

fn all(handles: &[Handle]) -> Verdict {
    Verdict::Condemned(handles.iter().map(|handle| handle.cell).collect())
}

/// Runs a cycle in which `meanwhile` happens after the verdicts, and answers whether the shadow was found sound.
fn sound(heap: &Heap, main: Verdict, beside: Verdict, meanwhile: impl FnMut() + 'static) -> bool {
    let (mut strategy, mut shadow) = (Scripted::new(main), Scripted::new(beside));
    shadow.at_finish = Box::new(meanwhile);
    let request = CycleRequest::new(Cause::Request);
    let mut collector = Collector::new(heap);
    let report = collector.run(&request, &mut strategy, Some(&mut shadow), &mut |_| Pace::Go);
    assert_eq!(report.strategy, identity("scripted"));
    report.shadow.unwrap().sound
}

#[test]
fn a_shadow_is_not_blamed_for_what_was_looked_up_after_its_verdict() {
    let (heap, [top, leaf]) = heap();
    let mut mutator = heap.mutator();
    // The object is found dead by both, revived by a look-up, and what it leads to is stored where the scan sees it.
    let revive = move || {
        mutator.scope(|scope| {
            let leaf = scope.load(scope.resolve(top).unwrap(), 0).unwrap();
            scope.store(scope.root("root").unwrap(), 0, leaf).unwrap();
        });
    };
    assert!(sound(&heap, Verdict::KeepAll, all(&[top, leaf]), revive));
    heap.audit().unwrap();
}

#[test]
fn a_shadow_is_blamed_for_what_was_reachable_all_the_time() {
    let (heap, [top, leaf]) = heap();
    heap.mutator().scope(|scope| {
        let top = scope.resolve(top).unwrap();
        scope.store(scope.root("root").unwrap(), 0, Some(top)).unwrap();
    });
    let mut mutator = heap.mutator();
    // A look-up of something else is no excuse.
    let look = move || mutator.scope(|scope| assert!(scope.resolve(leaf).is_ok()));
    assert!(!sound(&heap, Verdict::KeepAll, all(&[top, leaf]), look));
}
