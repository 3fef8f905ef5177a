//! What a verdict is forgiven, and what not: a look-up, a mutator that retired too early, and nothing else.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::cycle;
use common::scripted::{Scripted, one_block, rooted};
use gc_heap::{Collector, CycleEnd, Heap, HeapConfig, Quarantine, Verdict, Why};

/// The only reference to an object is overwritten after the verdict and before the proof has read it. The scan finds nothing; the log does.
#[test]
fn a_reference_that_was_overwritten_before_the_scan_came_by_refutes_a_verdict() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [_, child] = heap.mutator().scope(|scope| rooted(scope));
    let mut strategy = Scripted::new(Verdict::Condemned(vec![child.cell]));
    let pin = Rc::new(RefCell::new(None));
    let (at_work, kept) = (heap.clone(), Rc::clone(&pin));
    strategy.at_finish = Box::new(move || {
        at_work.mutator().scope(|scope| {
            let root = scope.root("root").unwrap();
            *kept.borrow_mut() = Some(scope.pin(scope.load(root, 0).unwrap().unwrap()));
            scope.store(root, 0, None).unwrap();
        });
    });
    let report = cycle(&mut collector, &mut strategy);
    let CycleEnd::Refused(violation) = report.end else { panic!("{:?}", report.end) };
    assert_eq!(violation.condemned, child);
    heap.audit().unwrap();
    assert!(matches!(heap.why(child), Why::Alive { .. }));
}

/// The scan keeps a bounded number of violations. A verdict with more is refused even if all of those have an excuse: what was not kept may have none.
#[test]
fn a_verdict_with_too_many_violations_is_refused_whatever_their_excuse() {
    const HOLDERS: usize = (64 << 10) / 4 + 1;
    let heap =
        Heap::new(HeapConfig { quarantine: Quarantine::Off, ..HeapConfig::with_limit(8 << 20) }).unwrap();
    let mut collector = Collector::new(&heap);
    let [retired, child] = heap.mutator().scope(|scope| {
        let retired = scope.alloc(&[], &[]).unwrap();
        let holders: Vec<_> =
            (0..HOLDERS).map(|_| Some(scope.alloc(&[Some(retired); 4], &[]).unwrap())).collect();
        scope.set_root("holders", Some(scope.alloc(&holders, &[]).unwrap()));
        scope.retire(retired);
        // Behind all of those, so that the scan comes to it last.
        [scope.handle(retired), rooted(scope)[1]]
    });
    let mut strategy = Scripted::new(Verdict::Condemned(vec![retired.cell, child.cell]));
    let report = cycle(&mut collector, &mut strategy);
    assert!(matches!(report.end, CycleEnd::Refused(_)), "{:?}", report.end);
    heap.audit().unwrap();
    // One holder less, and the retired object alone: all that was kept has an excuse.
    heap.mutator().scope(|scope| {
        let holders = scope.root("holders").unwrap();
        let holder = scope.load(holders, 0).unwrap().unwrap();
        (0..4).for_each(|slot| scope.store(holder, slot, None).unwrap());
    });
    strategy.verdict = Verdict::Condemned(vec![retired.cell]);
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.end, report.withheld_cells), (CycleEnd::Settled, 1));
}
