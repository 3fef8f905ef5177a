//! What becomes of condemned objects: they are freed once, come back whole, and do not outlast their collector.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::scripted::Scripted;
use common::{MarkSweep, cycle};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleRequest, Handle, Heap, HeapConfig, HeapError, Pace, Quarantine, Verdict,
    Wake, Why,
};

/// Longer than anything here takes on the slowest machine, and shorter than a patient person waits.
const PATIENCE: Duration = Duration::from_secs(60);

fn heap() -> Heap {
    Heap::new(HeapConfig { share_proofs: false, ..HeapConfig::with_limit(4 << 20) }).unwrap()
}

/// A heap in which a cell that was freed is the next to be used.
fn one_block() -> Heap {
    let config =
        HeapConfig { share_proofs: false, cell_capacity: Some(4096), ..HeapConfig::with_limit(1 << 20) };
    Heap::new(config).unwrap()
}

fn payload(heap: &Heap, handle: Handle) -> Option<Vec<u8>> {
    heap.mutator().scope(|scope| {
        let object = scope.resolve(handle).ok()?;
        let mut bytes = Vec::new();
        scope.read(object, &mut bytes);
        Some(bytes)
    })
}

/// An object that leads to another, and a third: all of them garbage, side by side in one word of the bitmaps.
fn garbage(heap: &Heap) -> [Handle; 3] {
    heap.mutator().scope(|scope| {
        let leaf = scope.alloc(&[], b"leaf").unwrap();
        let top = scope.alloc(&[Some(leaf)], b"top").unwrap();
        let other = scope.alloc(&[], b"other").unwrap();
        [top, leaf, other].map(|object| scope.handle(object))
    })
}

#[test]
fn what_was_restored_is_not_freed_with_the_rest_of_its_batch() {
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let [top, leaf, other] = garbage(&heap);
    let mut strategy = MarkSweep::new(&heap);
    assert_eq!(cycle(&mut collector, &mut strategy).condemned_objects, 3);
    let (pin, restored) = collector.restore(top).unwrap();
    assert_eq!((restored.objects, restored.cells), (2, 2));
    let stats = heap.stats();
    assert_eq!((stats.live_objects, stats.live_cells, stats.quarantined_cells), (2, 2, 1));
    assert_eq!((stats.condemned_objects_total, stats.freed_objects_total), (1, 0));
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.condemned_objects, report.freed_objects), (0, 1), "the rest of the batch goes");
    assert_eq!(payload(&heap, top).as_deref(), Some(&b"top"[..]));
    assert_eq!(payload(&heap, leaf).as_deref(), Some(&b"leaf"[..]));
    assert!(matches!(heap.why(other), Why::Gone(Some(_))));
    drop(pin);
}

#[test]
fn what_was_restored_and_condemned_again_is_freed_once_with_its_later_batch() {
    let heap = one_block();
    let mut collector = Collector::new(&heap);
    let [top, ..] = garbage(&heap);
    let mut strategy = MarkSweep::new(&heap);
    cycle(&mut collector, &mut strategy);
    drop(collector.restore(top).unwrap());
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.condemned_objects, report.freed_objects), (2, 1));
    assert!(matches!(heap.why(top), Why::Quarantined(Some(record)) if record.cycle == 2));
    let (_, restored) = collector.restore(top).expect("it can be restored a second time");
    assert_eq!(restored.objects, 2);
    assert_eq!(cycle(&mut collector, &mut strategy).condemned_objects, 2);
    assert_eq!(cycle(&mut collector, &mut strategy).freed_objects, 2);
    let stats = heap.stats();
    assert_eq!((stats.live_objects, stats.quarantined_cells), (0, 0));
    assert_eq!((stats.condemned_objects_total, stats.freed_objects_total), (3, 3));
    let again: [Handle; 3] = garbage(&heap);
    assert!(again.iter().all(|handle| handle.generation == 1), "cells that were freed twice: {again:?}");
}

#[test]
fn what_was_restored_is_not_retired_any_more() {
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let linked = heap.mutator().scope(|scope| {
        let linked = scope.alloc(&[], &[]).unwrap();
        scope.retire(linked);
        scope.handle(linked)
    });
    let mut strategy = Scripted::with_retired(Verdict::Condemned(vec![linked.cell]));
    assert_eq!(cycle(&mut collector, &mut strategy).condemned_objects, 1);
    let (pin, _) = collector.restore(linked).unwrap();
    heap.mutator().scope(|scope| {
        let linked = scope.pinned(&pin);
        let root = scope.alloc(&[Some(linked)], &[]).unwrap();
        scope.set_root("root", Some(root));
    });
    drop(pin);
    // Whoever proposes it is wrong: that it was retired in an earlier life is no excuse.
    let report = cycle(&mut collector, &mut strategy);
    assert!(matches!(report.end, CycleEnd::Refused(_)), "{:?}", report.end);
    assert_eq!(strategy.last().retired, []);
    // And it can be retired again.
    heap.mutator().scope(|scope| scope.retire(scope.resolve(linked).unwrap()));
    strategy.verdict = Verdict::KeepAll;
    cycle(&mut collector, &mut strategy);
    assert_eq!(strategy.last().retired.len(), 1);
}

#[test]
fn only_what_names_an_object_in_quarantine_is_restored() {
    let heap = one_block();
    let mut collector = Collector::new(&heap);
    let large = heap.mutator().scope(|scope| scope.handle(scope.alloc(&[None; 20], &[]).unwrap()));
    let cells = heap.stats().live_cells as u32;
    let parts = || (1..=cells).map(|cell| Handle { cell, ..large }).filter(|&handle| handle != large);
    // An extension cell is no object, whatever becomes of the object.
    assert!(parts().all(|part| payload(&heap, part).is_none() && heap.why(part) == Why::Gone(None)));
    assert_eq!(cycle(&mut collector, &mut MarkSweep::new(&heap)).condemned_cells, u64::from(cells));
    assert!(parts().all(|part| collector.restore(part).is_err()));
    for stranger in [
        Handle { generation: large.generation + 1, ..large },
        Handle { node: large.node + 1, ..large },
        Handle { incarnation: large.incarnation + 1, ..large },
        Handle { cell: 0, ..large },
        Handle { cell: u32::MAX, ..large },
        Handle { cell: cells + 1, ..large },
    ] {
        assert!(collector.restore(stranger).is_err(), "{stranger}");
    }
    let (_, restored) = collector.restore(large).unwrap();
    assert_eq!((restored.objects, restored.cells), (1, u64::from(cells)));
    assert!(collector.restore(large).is_err(), "it is not in quarantine any more");
}

#[test]
fn quarantine_lasts_as_long_as_it_was_told_to_and_a_full_heap_ends_it() {
    let run = |quarantine: Quarantine, cause: Cause| {
        let config = HeapConfig { quarantine, share_proofs: false, ..HeapConfig::with_limit(1 << 20) };
        let heap = Heap::new(config).unwrap();
        let mut collector = Collector::new(&heap);
        garbage(&heap);
        let mut strategy = MarkSweep::new(&heap);
        let mut freed = [cause, Cause::Request, Cause::Request].map(|cause| {
            let request = CycleRequest::new(cause);
            collector.run(&request, &mut strategy, None, &mut |_| Pace::Go).freed_objects
        });
        freed.reverse();
        (freed, collector.release_quarantine().objects)
    };
    let hour = Quarantine::For(Duration::from_secs(3600));
    // Freed in the third cycle, the second, the first; and what was left.
    assert_eq!(run(Quarantine::Off, Cause::Request), ([0, 0, 3], 0));
    assert_eq!(run(Quarantine::UntilNextProof, Cause::Request), ([0, 3, 0], 0));
    assert_eq!(run(Quarantine::For(Duration::ZERO), Cause::Request), ([0, 0, 3], 0));
    assert_eq!(run(hour, Cause::Request), ([0, 0, 0], 3));
    assert_eq!(run(Quarantine::UntilNextProof, Cause::Full), ([0, 0, 3], 0));
    assert_eq!(run(hour, Cause::Full), ([0, 0, 3], 0));
}

#[test]
fn a_collector_that_goes_frees_what_is_in_quarantine() {
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let [top, ..] = garbage(&heap);
    assert_eq!(cycle(&mut collector, &mut MarkSweep::new(&heap)).condemned_objects, 3);
    assert_eq!(heap.stats().quarantined_cells, 3);
    drop(collector);
    let stats = heap.stats();
    assert_eq!((stats.quarantined_cells, stats.freed_objects_total, stats.payload_bytes), (0, 3, 0));
    assert!(matches!(heap.why(top), Why::Gone(Some(_))));
}

#[test]
fn a_collector_that_goes_switches_the_log_off() {
    const STORES: usize = 24 * gc_heap::limits::CHUNK_ITEMS;
    let heap = heap();
    let mut collector = Collector::new(&heap);
    let mut mutator = heap.mutator();
    mutator.scope(|scope| {
        let objects: Vec<_> = (0..STORES).map(|_| scope.alloc(&[], &[]).unwrap()).collect();
        cycle(&mut collector, &mut Scripted::with_changes(Verdict::KeepAll));
        let store_all = || objects.iter().for_each(|&object| scope.store(object, 0, None).unwrap());
        // A log that nobody empties runs over, which holds its mutator up.
        store_all();
        assert!(heap.take_holdups().count > 0, "between cycles the log is on");
        drop(collector);
        let _ = heap.take_holdups();
        // New objects, because those that are in the log already are not logged again.
        (0..STORES).for_each(|_| scope.scope(|inner| inner.alloc(&[], &[]).map(|_| ())).unwrap());
        assert_eq!(heap.take_holdups().count, 0);
    });
}

/// Fills a heap on a thread of its own, until an allocation fails. Tells with what.
fn fill(heap: &Heap) -> mpsc::Receiver<HeapError> {
    let (tell, told) = mpsc::channel();
    let heap = heap.clone();
    thread::spawn(move || {
        let error = heap.mutator().scope(|scope| {
            loop {
                if let Err(error) = scope.alloc(&[], &[0; 200]) {
                    break error;
                }
            }
        });
        tell.send(error)
    });
    told
}

#[test]
fn whoever_waits_for_room_is_told_when_the_collector_goes() {
    let config = HeapConfig { full_wait: Duration::from_secs(86_400), ..HeapConfig::with_limit(1 << 20) };
    let heap = Heap::new(config).unwrap();
    let collector = Collector::new(&heap);
    let told = fill(&heap);
    assert_eq!(heap.signal().wait(PATIENCE), Wake::Cycle(Cause::Full));
    assert!(heap.signal().is_full(), "the wish was taken, and the mutator waits still");
    drop(collector);
    let error = told.recv_timeout(PATIENCE).expect("the mutator does not wait for ever");
    assert!(matches!(error, HeapError::Full { cycles: 0, .. }), "{error}");
    assert!(!heap.signal().is_full());
}

#[test]
fn whoever_waits_for_room_in_a_heap_of_live_objects_is_told_after_some_cycles() {
    let config = HeapConfig { full_wait: Duration::from_secs(86_400), ..HeapConfig::with_limit(1 << 20) };
    let heap = Heap::new(config).unwrap();
    let mut collector = Collector::new(&heap);
    let told = fill(&heap);
    let begun = Instant::now();
    let error = loop {
        assert!(begun.elapsed() < PATIENCE, "the mutator waits for ever");
        if heap.signal().wait(Duration::from_millis(1)) == Wake::Cycle(Cause::Full) {
            cycle(&mut collector, &mut Scripted::new(Verdict::KeepAll));
        }
        if let Ok(error) = told.try_recv() {
            break error;
        }
    };
    assert!(matches!(error, HeapError::Full { cycles: 4, .. }), "{error}");
}

#[test]
fn what_can_never_fit_is_refused_without_waiting() {
    let config = HeapConfig { full_wait: Duration::from_secs(86_400), ..HeapConfig::with_limit(1 << 20) };
    let heap = Heap::new(config).unwrap();
    let _collector = Collector::new(&heap);
    let (tell, told) = mpsc::channel();
    let asked = heap.clone();
    thread::spawn(move || {
        let payload = vec![0; 2 << 20];
        asked.mutator().scope(|scope| {
            tell.send(scope.alloc(&[], &payload).is_err()).unwrap();
            tell.send(scope.alloc(&vec![None; 100_000], &[]).is_err()).unwrap();
        });
    });
    for what in ["payload", "slots"] {
        assert!(told.recv_timeout(PATIENCE).expect("nobody waits"), "too large a {what}");
    }
}

#[test]
fn patience_without_end_is_patience() {
    let heap = heap();
    let begun = Instant::now();
    heap.signal().ring();
    assert_eq!(heap.signal().wait(Duration::MAX), Wake::Bell);
    assert!(begun.elapsed() < PATIENCE);
}
