//! Small verdicts that wait to share one proof: none is lost, none is carried out twice, and none is believed longer than it is true.

mod common;

use common::scripted::Scripted;
use common::{Fixed, cycle, identity};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Handle, Heap, HeapConfig, Outcome, Pace,
    Quarantine, Verdict, Why,
};

/// A heap with enough live objects for a verdict of a few cells to wait.
fn heap() -> Heap {
    let heap =
        Heap::new(HeapConfig { quarantine: Quarantine::Off, ..HeapConfig::with_limit(8 << 20) }).unwrap();
    heap.mutator().scope(|scope| {
        let live: Vec<_> = (0..5000).map(|_| Some(scope.alloc(&[], &[]).unwrap())).collect();
        scope.set_root("live", Some(scope.alloc(&live, &[]).unwrap()));
    });
    heap
}

/// Garbage, side by side: in one word of the bitmaps, or in two neighbours.
fn garbage<const COUNT: usize>(heap: &Heap) -> [Handle; COUNT] {
    heap.mutator().scope(|scope| [(); COUNT].map(|()| scope.handle(scope.alloc(&[], &[]).unwrap())))
}

fn list(handles: &[Handle]) -> Verdict {
    Verdict::Condemned(handles.iter().map(|handle| handle.cell).collect())
}

/// A cycle that may put its verdict off.
fn propose(collector: &mut Collector, strategy: &mut Scripted, handles: &[Handle]) -> CycleReport {
    strategy.verdict = list(handles);
    collector.run(&CycleRequest::new(Cause::Goal), strategy, None, &mut |_| Pace::Go)
}

#[test]
fn verdicts_that_share_a_proof_are_carried_out_all_and_once() {
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let all: [Handle; 12] = garbage(&heap);
    let mut strategy = Scripted::with_changes(Verdict::KeepAll);
    cycle(&mut collector, &mut strategy);
    // Piece by piece, with some of it twice.
    for piece in [&all[..1], &all[1..4], &all[2..7], &all[6..11]] {
        let report = propose(&mut collector, &mut strategy, piece);
        assert_eq!((report.end, report.condemned_cells, report.freed_objects), (CycleEnd::Deferred, 0, 0));
        let waits = Outcome { accepted: true, condemned_cells: 0, withheld_cells: 0 };
        assert_eq!(strategy.last().outcome, Some(waits));
        assert!(!strategy.last().info.rebuild, "a verdict that waits was not refused");
    }
    assert_eq!(heap.stats().live_objects, 5001 + 12);
    strategy.verdict = list(&all[11..]);
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!(report.end, CycleEnd::Settled);
    assert_eq!((report.condemned_objects, report.freed_objects), (12, 12));
    for handle in all {
        assert!(matches!(heap.why(handle), Why::Gone(Some(record)) if record.objects == 12), "{handle}");
    }
    // What was carried out does not wait any longer.
    strategy.verdict = Verdict::KeepAll;
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 0));
    let stats = heap.stats();
    assert_eq!((stats.live_objects, stats.freed_objects_total), (5001, 12));
}

#[test]
fn each_of_the_verdicts_that_wait_is_excused_when_its_object_is_alive_again() {
    for revived in 0..3 {
        let heap = heap();
        let mut collector = Collector::new(&heap);
        let all: [Handle; 3] = garbage(&heap);
        let mut strategy = Scripted::new(Verdict::KeepAll);
        for handle in all {
            assert_eq!(propose(&mut collector, &mut strategy, &[handle]).end, CycleEnd::Deferred);
        }
        // Looked up between two cycles, and stored where the scan finds it.
        heap.mutator().scope(|scope| {
            let object = scope.resolve(all[revived]).expect("what waits is there");
            scope.store(scope.root("live").unwrap(), 0, Some(object)).unwrap();
        });
        strategy.verdict = Verdict::KeepAll;
        let report = cycle(&mut collector, &mut strategy);
        assert_eq!((report.end, report.condemned_objects, report.withheld_cells), (CycleEnd::Settled, 2, 1));
        for (at, handle) in all.into_iter().enumerate() {
            assert_eq!(matches!(heap.why(handle), Why::Alive { .. }), at == revived);
        }
        heap.audit().unwrap();
    }
}

#[test]
fn verdicts_do_not_wait_for_ever() {
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let all: [Handle; 9] = garbage(&heap);
    let mut strategy = Scripted::new(Verdict::KeepAll);
    for handle in &all[..8] {
        let report = propose(&mut collector, &mut strategy, std::slice::from_ref(handle));
        assert_eq!(report.end, CycleEnd::Deferred);
    }
    let report = propose(&mut collector, &mut strategy, &all[8..]);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 9));
}

#[test]
fn another_strategy_does_not_answer_for_what_waits() {
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let all: [Handle; 2] = garbage(&heap);
    let mut strategy = Scripted::new(Verdict::KeepAll);
    assert_eq!(propose(&mut collector, &mut strategy, &all).end, CycleEnd::Deferred);
    collector.forget();
    let report = cycle(&mut collector, &mut Fixed(identity("next"), Verdict::KeepAll));
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 0));
    assert!(all.iter().all(|&handle| heap.why(handle) == Why::Unreachable));
}
