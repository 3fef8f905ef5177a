//! What a heap promises, one sentence at a time.

mod common;

use std::time::Duration;

use common::{Fixed, MarkSweep, cycle, identity};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleRequest, Heap, HeapConfig, HeapError, Pace, Quarantine, RootKind,
    Verdict, Wake, Why,
};

fn heap(quarantine: Quarantine) -> Heap {
    Heap::new(HeapConfig { quarantine, share_proofs: false, ..HeapConfig::with_limit(4 << 20) }).unwrap()
}

fn everything(heap: &Heap) -> Verdict {
    Verdict::Survivors(vec![0; heap.graph().capacity() as usize / 64])
}

#[test]
fn objects_of_any_number_of_slots_keep_what_is_stored_in_them() {
    let heap = Heap::new(HeapConfig::with_limit(64 << 20)).unwrap();
    heap.mutator().scope(|scope| {
        for count in [0, 1, 3, 4, 5, 7, 8, 19, 20, 67, 68, 1000, 5000] {
            let leaves: Vec<_> =
                (0..count).map(|at: u32| scope.alloc(&[], &at.to_le_bytes()).unwrap()).collect();
            let wide = scope.alloc(&vec![None; count as usize], b"wide").unwrap();
            let slots = scope.slot_count(wide);
            assert!(
                slots >= u64::from(count) && slots < u64::from(count) + 8,
                "{count} slots asked for, {slots} there"
            );
            for (slot, &leaf) in leaves.iter().enumerate() {
                scope.store(wide, slot as u32, Some(leaf)).unwrap();
            }
            let at_once = scope.alloc(&leaves.iter().copied().map(Some).collect::<Vec<_>>(), &[]).unwrap();
            for object in [wide, at_once] {
                for (slot, leaf) in leaves.iter().enumerate() {
                    assert_eq!(scope.load(object, slot as u32).unwrap().as_ref(), Some(leaf));
                }
            }
            let error = scope.load(wide, slots as u32).unwrap_err();
            assert!(
                matches!(error, HeapError::NoSuchSlot { slot_count, .. } if slot_count == slots),
                "{error}"
            );
            assert!(scope.store(wide, u32::MAX, None).is_err());
        }
    });
    heap.audit().unwrap();
}

#[test]
fn a_verdict_against_something_reachable_is_refused_whole_and_names_it() {
    let heap = heap(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let (kept, garbage) = heap.mutator().scope(|scope| {
        let leaf = scope.alloc(&[], b"leaf").unwrap();
        let root = scope.alloc(&[Some(leaf)], &[]).unwrap();
        scope.set_root("root", Some(root));
        (scope.handle(leaf), scope.handle(scope.alloc(&[], &[]).unwrap()))
    });
    let mut wrong = Fixed(identity("wrong"), everything(&heap));
    let report = cycle(&mut collector, &mut wrong);
    let CycleEnd::Refused(violation) = report.end else { panic!("{:?}", report.end) };
    assert_eq!(violation.condemned, kept);
    assert_eq!(heap.stats().live_objects, 3, "nothing went, the garbage neither");
    assert_eq!(heap.why(garbage), Why::Unreachable);
    let report = cycle(&mut collector, &mut MarkSweep::new(&heap));
    assert_eq!((report.condemned_objects, heap.stats().live_objects), (1, 2));
}

#[test]
fn without_the_proof_a_wrong_verdict_frees_what_is_reachable_but_never_a_root() {
    let heap = Heap::new(HeapConfig { proof: false, ..HeapConfig::with_limit(1 << 20) }).unwrap();
    let mut collector = Collector::new(&heap);
    let (root, leaf) = heap.mutator().scope(|scope| {
        let leaf = scope.alloc(&[], &[]).unwrap();
        let root = scope.alloc(&[Some(leaf)], &[]).unwrap();
        scope.set_root("root", Some(root));
        (scope.handle(root), scope.handle(leaf))
    });
    cycle(&mut collector, &mut Fixed(identity("wrong"), everything(&heap)));
    heap.mutator().scope(|scope| {
        assert!(scope.resolve(root).is_ok());
        assert!(scope.resolve(leaf).is_err());
    });
}

#[test]
fn nonsense_is_a_fault_and_changes_nothing() {
    let heap = heap(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        scope.alloc(&[], &[]).unwrap();
    });
    let capacity = heap.graph().capacity();
    for verdict in [
        Verdict::Survivors(vec![]),
        Verdict::Survivors(vec![0; capacity as usize / 64 + 1]),
        Verdict::Condemned(vec![capacity]),
        Verdict::Condemned(vec![u32::MAX]),
    ] {
        let report = cycle(&mut collector, &mut Fixed(identity("mad"), verdict));
        assert!(matches!(report.end, CycleEnd::Faulted(_)), "{:?}", report.end);
    }
    // Null, cells that are not allocated, and the same cell twice are not nonsense: they are left out.
    let report = cycle(
        &mut collector,
        &mut Fixed(identity("odd"), Verdict::Condemned(vec![0, 7, 7, capacity - 1, 1, 1])),
    );
    assert_eq!((report.end, report.condemned_cells), (CycleEnd::Settled, 1));
}

#[test]
fn a_stale_handle_answers_gone_with_the_decision_also_when_the_cell_is_used_again() {
    let heap = heap(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let mut mutator = heap.mutator();
    // Enough of them that their block is worth taking again.
    let old = mutator.scope(|scope| {
        let all: Vec<_> = (0..200).map(|_| scope.handle(scope.alloc(&[], b"old").unwrap())).collect();
        all[99]
    });
    // A mutator keeps its block until it is full, or until the mutator goes.
    drop(mutator);
    cycle(&mut collector, &mut MarkSweep::new(&heap));
    let mut mutator = heap.mutator();
    let new = mutator.scope(|scope| {
        let mut handles = (0..4096).map(|_| scope.handle(scope.alloc(&[], &[]).unwrap()));
        handles.find(|handle| handle.cell == old.cell).expect("the freed cell is used again")
    });
    assert_eq!(new.generation, old.generation + 1);
    mutator.scope(|scope| {
        let gone = scope.resolve(old).unwrap_err();
        let decision = gone.decision.expect("the decision is kept");
        assert_eq!(
            (decision.strategy.name.as_str(), decision.cycle, decision.objects),
            ("mark-sweep", 1, 200)
        );
    });
    for handle in [
        gc_heap::Handle { node: 9, ..old },
        gc_heap::Handle { incarnation: 9, ..old },
        gc_heap::Handle { cell: 0, ..old },
        gc_heap::Handle { cell: u32::MAX, ..old },
        gc_heap::Handle { generation: 77, ..old },
    ] {
        assert_eq!(heap.why(handle), Why::Gone(None), "{handle}");
    }
}

#[test]
fn quarantined_objects_do_not_resolve_and_can_be_restored_with_what_they_lead_to() {
    let heap = heap(Quarantine::UntilNextProof);
    let mut collector = Collector::new(&heap);
    let (top, leaf) = heap.mutator().scope(|scope| {
        let leaf = scope.alloc(&[], b"leaf").unwrap();
        let top = scope.alloc(&[Some(leaf)], b"top").unwrap();
        (scope.handle(top), scope.handle(leaf))
    });
    let mut strategy = MarkSweep::new(&heap);
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.condemned_objects, report.freed_objects), (2, 0));
    assert!(matches!(heap.why(top), Why::Quarantined(Some(_))));
    assert!(heap.mutator().scope(|scope| scope.resolve(leaf).is_err()));
    let (pin, restored) = collector.restore(top).unwrap();
    assert_eq!(restored.objects, 2);
    assert_eq!(cycle(&mut collector, &mut strategy).condemned_objects, 0);
    heap.mutator().scope(|scope| {
        let mut bytes = Vec::new();
        let top = scope.pinned(&pin);
        scope.read(scope.load(top, 0).unwrap().unwrap(), &mut bytes);
        assert_eq!(bytes, b"leaf");
    });
    drop(pin);
    cycle(&mut collector, &mut strategy);
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!(report.freed_objects, 2, "after the next proof they are freed");
    assert!(collector.restore(top).is_err());
}

#[test]
fn why_gives_the_path_from_a_root() {
    let heap = heap(Quarantine::Off);
    let mut mutator = heap.mutator();
    let (handles, pinned, pin) = mutator.scope(|scope| {
        let leaf = scope.alloc(&[], &[]).unwrap();
        let mut slots = vec![None; 50];
        slots[49] = Some(leaf);
        let wide = scope.alloc(&slots, &[]).unwrap();
        let root = scope.alloc(&[None, Some(wide)], &[]).unwrap();
        scope.set_root("accounts", Some(root));
        let pinned = scope.alloc(&[], &[]).unwrap();
        ([root, wide, leaf].map(|object| scope.handle(object)), scope.handle(pinned), scope.pin(pinned))
    });
    assert_eq!(
        heap.why(handles[2]),
        Why::Alive { root: RootKind::Named("accounts".into()), path: handles.to_vec() }
    );
    assert_eq!(heap.why(pinned), Why::Alive { root: RootKind::Pin, path: vec![pinned] });
    drop(pin);
    assert_eq!(heap.why(pinned), Why::Unreachable);
    mutator.scope(|scope| {
        let held = scope.alloc(&[], &[]).unwrap();
        let held = scope.handle(held);
        assert_eq!(heap.why(held), Why::Alive { root: RootKind::Scope, path: vec![held] });
    });
}

#[test]
fn a_dry_run_counts_and_frees_nothing() {
    let heap = heap(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let handle = heap.mutator().scope(|scope| scope.handle(scope.alloc(&[], &[]).unwrap()));
    let request = CycleRequest { execute: false, ..CycleRequest::new(Cause::Request) };
    let report = collector.run(&request, &mut MarkSweep::new(&heap), None, &mut |_| Pace::Go);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::DryRun, 1));
    assert_eq!(heap.why(handle), Why::Unreachable);
}

#[test]
fn what_was_retired_and_is_still_referenced_is_withheld_and_the_strategy_stays() {
    let heap = heap(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let cells = heap.mutator().scope(|scope| {
        let linked = scope.alloc(&[], &[]).unwrap();
        let root = scope.alloc(&[Some(linked)], &[]).unwrap();
        scope.set_root("root", Some(root));
        let unlinked = scope.alloc(&[None; 20], &[]).unwrap();
        scope.retire(linked);
        scope.retire(unlinked);
        scope.retire(unlinked);
        [scope.handle(linked).cell, scope.handle(unlinked).cell]
    });
    let mut strategy = Fixed(identity("epoch"), Verdict::Condemned(cells.to_vec()));
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!(report.end, CycleEnd::Settled);
    assert_eq!((report.condemned_objects, report.withheld_cells), (1, 1));
    assert!(report.retired_waiting >= 1, "it stays on the list until nothing refers to it");
}

#[test]
fn verdicts_of_a_few_cells_share_one_proof_and_what_was_looked_up_meanwhile_stays() {
    let heap =
        Heap::new(HeapConfig { quarantine: Quarantine::Off, ..HeapConfig::with_limit(8 << 20) }).unwrap();
    let mut collector = Collector::new(&heap);
    let mut mutator = heap.mutator();
    let (few, looked_up) = mutator.scope(|scope| {
        let live: Vec<_> = (0..5000).map(|_| Some(scope.alloc(&[], &[]).unwrap())).collect();
        scope.set_root("live", Some(scope.alloc(&live, &[]).unwrap()));
        let leaf = scope.alloc(&[], &[]).unwrap();
        let top = scope.alloc(&[Some(leaf)], &[]).unwrap();
        let other = scope.alloc(&[], &[]).unwrap();
        ([top, leaf, other].map(|object| scope.handle(object)), scope.handle(top))
    });
    let goal = CycleRequest::new(Cause::Goal);
    let mut some = Fixed(identity("few"), Verdict::Condemned(few.iter().map(|handle| handle.cell).collect()));
    let report = collector.run(&goal, &mut some, None, &mut |_| Pace::Go);
    assert_eq!(report.end, CycleEnd::Deferred);
    // Alive again, and stored where the proof will find it.
    mutator.scope(|scope| {
        let top = scope.resolve(looked_up).unwrap();
        scope.set_root("kept", scope.load(top, 0).unwrap());
    });
    some.1 = Verdict::Condemned(vec![]);
    let report = cycle(&mut collector, &mut some);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 2));
    assert!(matches!(heap.why(few[1]), Why::Alive { .. }));
    heap.audit().unwrap();
}

#[test]
fn a_full_heap_says_so_and_goes_on_when_there_is_room() {
    let config = HeapConfig { full_wait: Duration::from_secs(60), ..HeapConfig::with_limit(1 << 20) };
    let heap = Heap::new(config).unwrap();
    let mut mutator = heap.mutator();
    let error = mutator.scope(|scope| {
        loop {
            if let Err(error) = scope.alloc(&[], &[0; 200]) {
                break error;
            }
        }
    });
    assert!(matches!(error, HeapError::Full { used_bytes, .. } if used_bytes > 900 << 10), "{error}");
    // With a collector the same allocation waits, and gets what was dropped.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let served = heap.clone();
    let mut collector = Collector::new(&heap);
    let collector = std::thread::spawn(move || {
        let mut strategy = MarkSweep::new(&served);
        while stopped.try_recv().is_err() {
            if let Wake::Cycle(cause) = served.signal().wait(Duration::from_millis(10)) {
                collector.run(&CycleRequest::new(cause), &mut strategy, None, &mut |_| Pace::Go);
            }
        }
    });
    for _ in 0..20_000 {
        mutator.scope(|scope| scope.alloc(&[], &[0; 200]).map(|_| ())).unwrap();
    }
    stop.send(()).unwrap();
    collector.join().unwrap();
    assert!(heap.stats().holdups.count > 0);
}

#[test]
fn threads_that_share_objects_lose_none() {
    let heap =
        Heap::new(HeapConfig { quarantine: Quarantine::Off, ..HeapConfig::with_limit(32 << 20) }).unwrap();
    heap.mutator().scope(|scope| {
        let table = scope.alloc(&vec![None; 64], &[]).unwrap();
        scope.set_root("table", Some(table));
    });
    let done = std::sync::atomic::AtomicBool::new(false);
    let rounds: u64 = if cfg!(miri) { 20 } else { 60_000 };
    std::thread::scope(|threads| {
        let workers: Vec<_> = (0..2u64)
            .map(|seed| {
                let heap = heap.clone();
                threads.spawn(move || {
                    let mut mutator = heap.mutator();
                    let mut random = seed + 1;
                    for round in 0..rounds {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        let (from, to) = (random as u32 % 64, (random >> 8) as u32 % 64);
                        mutator.scope(|scope| {
                            let table = scope.root("table").unwrap();
                            let found = scope.load(table, from).unwrap();
                            scope.store(table, from, None).unwrap();
                            let moved = match found {
                                Some(found) if round % 3 != 0 => found,
                                found => scope.alloc(&[found], b"alive").unwrap(),
                            };
                            scope.store(table, to, Some(moved)).unwrap();
                            let mut bytes = Vec::new();
                            scope.read(moved, &mut bytes);
                            assert_eq!(bytes, b"alive");
                        });
                    }
                })
            })
            .collect();
        let done = &done;
        let heap = heap.clone();
        let collector = threads.spawn(move || {
            let mut collector = Collector::new(&heap);
            let mut strategy = MarkSweep::new(&heap);
            let mut condemned = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let report = cycle(&mut collector, &mut strategy);
                assert_eq!(report.end, CycleEnd::Settled);
                condemned += report.condemned_objects;
            }
            condemned
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(collector.join().unwrap() > 0 || cfg!(miri));
    });
    heap.audit().unwrap();
}

/// Resident memory of this process, as the kernel counts it, in bytes.
#[cfg(not(miri))]
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = statm.lines().find(|line| line.starts_with("Rss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[cfg(not(miri))]
#[test]
fn memory_of_cells_goes_back_to_the_system_and_the_cells_are_good_as_new() {
    let config = HeapConfig {
        quarantine: Quarantine::Off,
        cell_capacity: Some((4 << 20) - 4096),
        ..HeapConfig::with_limit(256 << 20)
    };
    let heap = Heap::new(config).unwrap();
    let mut collector = Collector::new(&heap);
    let first = heap.mutator().scope(|scope| {
        let first = scope.alloc(&[], &[]).unwrap();
        for _ in 0..2 << 20 {
            scope.scope(|inner| inner.alloc(&[Some(first)], &[]).map(|_| ())).unwrap();
        }
        scope.handle(first)
    });
    cycle(&mut collector, &mut MarkSweep::new(&heap));
    let before = resident_bytes();
    let released = heap.trim().unwrap();
    let after = resident_bytes();
    assert!(released >= 40 << 20, "{released} bytes released");
    assert!(before - after > released / 2, "resident memory fell from {before} to {after}");
    assert_eq!(heap.trim().unwrap(), 0, "there is nothing left to give back");
    heap.mutator().scope(|scope| {
        assert!(scope.resolve(first).is_err(), "generations are kept");
        let leaf = scope.alloc(&[], b"leaf").unwrap();
        let all: Vec<_> = (0..100_000).map(|_| Some(scope.alloc(&[Some(leaf)], b"x").unwrap())).collect();
        assert!(all.iter().flatten().all(|&object| scope.load(object, 0).unwrap() == Some(leaf)));
        assert!(all.iter().flatten().all(|&object| scope.load(object, 1).unwrap().is_none()));
    });
}
