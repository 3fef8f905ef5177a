//! Stubs, scions and cycles over nodes, case by case: one heap, and other nodes that say what the test wants them to say.

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::MarkSweep;
use common::scripted::{Scripted, one_block};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, FreedStub, Handle, Heap, HeapConfig, HeapError,
    Heard, Others, Pace, Quarantine, RootKind, Rule, Verdict, Why,
};

/// An object of another node.
fn elsewhere(cell: u32) -> Handle {
    Handle { node: 7, incarnation: 3, cell, generation: 1 }
}

/// What the other nodes say, and what they were told.
#[derive(Default)]
struct Told {
    roots: Vec<Handle>,
    /// Answers to rests, the last one first. Then it is decided.
    heard: Vec<Heard>,
    reached: Vec<Handle>,
    /// Called while the verdict is out; answers whether it is carried out.
    at_prove: Option<Box<dyn FnMut() -> bool>>,
    proved: Option<(Vec<Handle>, Vec<Handle>)>,
}

impl Told {
    fn with(at_prove: impl FnMut() -> bool + 'static) -> Told {
        Told { at_prove: Some(Box::new(at_prove)), ..Told::default() }
    }

    fn proved(&mut self) -> (Vec<Handle>, Vec<Handle>) {
        self.proved.take().expect("the others were told of a verdict")
    }
}

impl Others for Told {
    fn roots(&mut self) -> Vec<Handle> {
        std::mem::take(&mut self.roots)
    }
    fn reached(&mut self, stubs: Vec<Handle>) {
        self.reached.extend(stubs);
    }
    fn rest(&mut self) -> Heard {
        self.heard.pop().unwrap_or(Heard::Decide)
    }
    fn prove(&mut self, objects: Vec<Handle>, stubs: Vec<Handle>) -> bool {
        assert_eq!(self.proved.replace((objects, stubs)), None, "a verdict is said once");
        self.at_prove.as_mut().is_none_or(|answer| answer())
    }
}

fn over_nodes(collector: &mut Collector, heap: &Heap, others: &mut Told) -> CycleReport {
    let mut strategy = MarkSweep::over_nodes(heap);
    collector.run_over_nodes(&CycleRequest::new(Cause::Cluster), &mut strategy, others, &mut |_| Pace::Go)
}

fn alone(collector: &mut Collector, heap: &Heap) -> CycleReport {
    common::cycle(collector, &mut MarkSweep::new(heap))
}

/// An object that other nodes hold and that leads to a child and, by that, to an object elsewhere: a part of a garbage cycle. Its handle and the child's.
fn part_of_a_cycle(heap: &Heap) -> [Handle; 2] {
    let handles = heap.mutator().scope(|scope| {
        let stub = scope.import(elsewhere(1), 1).unwrap();
        let child = scope.alloc(&[Some(stub)], &[]).unwrap();
        let top = scope.alloc(&[Some(child)], b"held").unwrap();
        [scope.handle(top), scope.handle(child)]
    });
    heap.hold(handles[0]).unwrap();
    handles
}

fn is_there(heap: &Heap, handle: Handle) -> bool {
    heap.mutator().scope(|scope| scope.resolve(handle).is_ok())
}

#[test]
fn a_stub_answers_its_home_and_refuses_what_only_that_can_do() {
    let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
    // This mutator was there before there were stubs.
    let mut early = heap.mutator();
    early.scope(|scope| {
        let own = scope.alloc(&[], &[]).unwrap();
        scope.set_root("own", Some(own));
        heap.mutator().scope(|scope| {
            let stub = scope.import(elsewhere(5), 1).unwrap();
            assert!(scope.is_stub(stub));
            scope.store(scope.root("own").unwrap(), 1, Some(stub)).unwrap();
        });
        let stub = scope.load(own, 1).unwrap().unwrap();
        assert_eq!((scope.is_stub(stub), scope.is_stub(own)), (true, false));
        assert_eq!((scope.handle(stub), scope.pin(stub).handle()), (elsewhere(5), elsewhere(5)));
        let is_refused =
            |error: HeapError| matches!(error, HeapError::Remote { home } if home == elsewhere(5));
        for slot in [0, 3, 4, u32::MAX] {
            assert!(is_refused(scope.load(stub, slot).unwrap_err()), "slot {slot}");
            assert!(is_refused(scope.store(stub, slot, Some(own)).unwrap_err()), "slot {slot}");
        }
        assert!(is_refused(scope.store(stub, 0, None).unwrap_err()));
        assert_eq!((scope.slot_count(stub), scope.payload_len(stub)), (0, 0));
        let mut bytes = Vec::new();
        scope.read(stub, &mut bytes);
        assert!(bytes.is_empty());
        assert_eq!(scope.load(own, 0).unwrap(), None);
        assert_eq!(scope.handle(scope.resolve(elsewhere(5)).unwrap()), elsewhere(5));
        assert!(scope.resolve(elsewhere(6)).is_err());
        assert!(scope.resolve(Handle { incarnation: 4, ..elsewhere(5) }).is_err());
    });
    assert_eq!(heap.stats().stubs, 1);
}

#[test]
fn a_freed_stub_is_reported_once_with_the_number_of_its_last_import() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        let [one, two] = [1, 2].map(|import| scope.import(elsewhere(5), import).unwrap());
        assert_eq!(one, two);
        scope.set_root("stub", Some(one));
    });
    alone(&mut collector, &heap);
    assert_eq!((heap.take_freed_stubs(), heap.stats().stubs), (vec![], 1));
    heap.mutator().scope(|scope| scope.set_root("stub", None));
    alone(&mut collector, &heap);
    assert_eq!(heap.take_freed_stubs(), [FreedStub { handle: elsewhere(5), import: 2 }]);
    alone(&mut collector, &heap);
    assert_eq!((heap.take_freed_stubs(), heap.stats().stubs), (vec![], 0));
    // The cell has no past.
    heap.mutator().scope(|scope| {
        let cells = (0..64).map(|_| scope.alloc(&[], &[]).unwrap());
        assert!(cells.into_iter().all(|object| !scope.is_stub(object) && scope.load(object, 0).is_ok()));
    });
}

#[test]
fn what_arrives_again_while_its_stub_is_in_quarantine_gets_a_fresh_one() {
    let heap = one_block(Quarantine::UntilNextProof);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        scope.import(elsewhere(5), 1).unwrap();
    });
    assert!(!heap.has_quarantined_stubs());
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 1);
    assert!(heap.has_quarantined_stubs());
    heap.mutator().scope(|scope| {
        assert!(scope.resolve(elsewhere(5)).is_err(), "what is condemned does not come back by a look-up");
        let fresh = scope.import(elsewhere(5), 2).unwrap();
        scope.set_root("stub", Some(fresh));
        assert_eq!(heap.stats().stubs, 2);
        assert_eq!(scope.resolve(elsewhere(5)).unwrap(), fresh);
    });
    collector.release_quarantine();
    assert!(!heap.has_quarantined_stubs());
    assert_eq!(heap.take_freed_stubs(), [FreedStub { handle: elsewhere(5), import: 1 }]);
    assert!(is_there(&heap, elsewhere(5)), "the table must lead to the fresh one");
    heap.mutator().scope(|scope| scope.set_root("stub", None));
    alone(&mut collector, &heap);
    collector.release_quarantine();
    assert_eq!(heap.take_freed_stubs(), [FreedStub { handle: elsewhere(5), import: 2 }]);
}

#[test]
fn what_is_restored_leads_to_the_stub_that_there_is_by_then() {
    for is_quarantined_too in [false, true] {
        let heap = one_block(Quarantine::For(Duration::from_secs(3600)));
        let mut collector = Collector::new(&heap);
        let holder = heap.mutator().scope(|scope| {
            let stub = scope.import(elsewhere(5), 1).unwrap();
            let holder = scope.alloc(&[None, Some(stub)], &[]).unwrap();
            scope.handle(holder)
        });
        assert_eq!(alone(&mut collector, &heap).condemned_objects, 2);
        heap.mutator().scope(|scope| {
            let fresh = scope.import(elsewhere(5), 2).unwrap();
            scope.set_root("stub", (!is_quarantined_too).then_some(fresh));
        });
        if is_quarantined_too {
            assert_eq!(alone(&mut collector, &heap).condemned_objects, 1);
        }
        let (pin, restored) = collector.restore(holder).unwrap();
        let wanted = if is_quarantined_too { 2 } else { 1 };
        assert_eq!(restored.objects, wanted, "the old stub stays where it is");
        heap.mutator().scope(|scope| {
            let stub = scope.load(scope.pinned(&pin), 1).unwrap().unwrap();
            assert_eq!(stub, scope.import(elsewhere(5), 3).unwrap(), "there is one stub for one object");
        });
        heap.audit().unwrap();
        collector.release_quarantine();
        assert_eq!(heap.take_freed_stubs(), [FreedStub { handle: elsewhere(5), import: 1 }]);
        heap.mutator().scope(|scope| {
            assert_eq!(scope.handle(scope.load(scope.pinned(&pin), 1).unwrap().unwrap()), elsewhere(5));
        });
    }
}

#[test]
fn what_is_held_for_others_stays_until_it_is_released() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, child] = part_of_a_cycle(&heap);
    heap.hold(top).unwrap();
    assert_eq!(heap.stats().held_objects, 1, "holding twice is holding once");
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 0);
    heap.release(Handle { generation: 9, ..top });
    heap.release(child);
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 0);
    assert_eq!(heap.why(child), Why::Alive { root: RootKind::Held, path: vec![top, child] });
    assert_eq!(
        heap.why(elsewhere(1)),
        Why::Alive { root: RootKind::Held, path: vec![top, child, elsewhere(1)] }
    );
    heap.audit().unwrap();
    heap.release(top);
    heap.release(top);
    assert_eq!(heap.stats().held_objects, 0);
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 3);
    assert_eq!(heap.hold(top).unwrap_err().handle, top);
    assert!(heap.hold(elsewhere(1)).is_err(), "only a home holds");
    assert_eq!(heap.take_freed_stubs().len(), 1);
}

#[test]
fn a_cycle_over_nodes_condemns_what_only_others_hold_when_all_agree() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, child] = part_of_a_cycle(&heap);
    let mut others = Told { heard: vec![Heard::Wait, Heard::Wait], ..Told::default() };
    let report = over_nodes(&mut collector, &heap, &mut others);
    assert_eq!((report.end, report.condemned_objects, report.agreed_cells), (CycleEnd::Settled, 3, 2));
    assert_eq!(others.proved(), (vec![top], vec![elsewhere(1)]));
    assert_eq!(others.reached, [], "nothing leads there");
    assert!(!is_there(&heap, top) && !is_there(&heap, child));
    assert_eq!(heap.decisions()[0].rule, Rule::Agreed);
    assert_eq!(heap.take_freed_stubs(), [FreedStub { handle: elsewhere(1), import: 1 }]);
    assert_eq!(heap.stats().held_objects, 0, "nobody is left to hold it for");
    // Another object in that cell is not taken for it, nor kept by what held it.
    heap.mutator().scope(|scope| {
        (0..3).for_each(|_| {
            scope.alloc(&[], &[]).unwrap();
        })
    });
    heap.release(top);
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 3);
}

#[test]
fn a_cycle_over_nodes_keeps_everything_when_the_others_do_not_agree() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, _] = part_of_a_cycle(&heap);
    let mut others = Told::with(|| false);
    let report = over_nodes(&mut collector, &heap, &mut others);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Abandoned, 0));
    assert!(others.proved.is_some() && is_there(&heap, top));
    // It is as if there had been no such cycle: what is held is a root again.
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 0);
    assert_eq!(over_nodes(&mut collector, &heap, &mut Told::default()).condemned_objects, 3);
}

#[test]
fn what_the_others_reach_or_name_as_roots_stays_and_what_it_leads_to_is_said() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, _] = part_of_a_cycle(&heap);
    let gone = Handle { generation: 5, ..top };
    for at_once in [true, false] {
        let mut others = Told::default();
        match at_once {
            true => others.roots = vec![gone, top],
            false => others.heard = vec![Heard::Wait, Heard::Shade(vec![gone, top]), Heard::Wait],
        }
        let report = over_nodes(&mut collector, &heap, &mut others);
        assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 0));
        assert_eq!((&others.reached[..], report.reached_stubs), (&[elsewhere(1)][..], 1));
        assert_eq!(others.proved(), (vec![], vec![]));
    }
}

#[test]
fn what_concerns_nobody_else_goes_whatever_the_others_say() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        scope.alloc(&[], &[]).unwrap();
    });
    let seen = heap.clone();
    let mut others = Told::with(move || {
        // Nobody waits for this any more.
        assert_eq!(seen.stats().live_objects, 0);
        false
    });
    let report = over_nodes(&mut collector, &heap, &mut others);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 1));
    assert_eq!(others.proved(), (vec![], vec![]));
    assert_eq!(heap.decisions()[0].rule, Rule::Proved);
}

/// The driver looks up something condemned while the verdict is out: it is kept with all that it leads to, also if the others have agreed.
#[test]
fn what_the_driver_looks_up_while_the_verdict_is_out_is_withheld() {
    let look: [fn(&Heap, Handle, Handle); 4] = [
        |heap, top, _| heap.hold(top).unwrap(),
        |heap, top, _| {
            heap.mutator().scope(|scope| {
                scope.import(top, 0).unwrap();
            })
        },
        |heap, _, child| heap.hold(child).unwrap(),
        |heap, _, _| {
            heap.mutator().scope(|scope| {
                scope.import(elsewhere(1), 2).unwrap();
            });
            assert_eq!(heap.stats().stubs, 1, "its stub is there, and no other is made");
        },
    ];
    for (case, kept) in [3, 3, 2, 1].into_iter().enumerate() {
        let heap = one_block(Quarantine::Off);
        let mut collector = Collector::new(&heap);
        let [top, child] = part_of_a_cycle(&heap);
        let seen = heap.clone();
        let mut others = Told::with(move || {
            look[case](&seen, top, child);
            true
        });
        let report = over_nodes(&mut collector, &heap, &mut others);
        assert_eq!((report.end, report.withheld_cells), (CycleEnd::Settled, kept), "case {case}");
        assert_eq!(report.condemned_objects, 3 - kept, "case {case}");
        heap.audit().unwrap();
        assert!(is_there(&heap, elsewhere(1)), "case {case}");
    }
}

/// References that the driver takes out of something condemned, and hides where the scan has been, are found by what it overwrote.
#[test]
fn what_is_taken_out_of_something_that_was_looked_up_late_is_withheld_too() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, child] = part_of_a_cycle(&heap);
    heap.mutator().scope(|scope| scope.set_root("own", Some(scope.alloc(&[], &[]).unwrap())));
    let seen = heap.clone();
    let mut others = Told::with(move || {
        seen.mutator().scope(|scope| {
            let top = scope.import(top, 0).unwrap();
            let child = scope.load(top, 0).unwrap();
            scope.store(top, 0, None).unwrap();
            scope.store(scope.root("own").unwrap(), 0, child).unwrap();
        });
        true
    });
    let report = over_nodes(&mut collector, &heap, &mut others);
    assert_eq!((report.end, report.withheld_cells), (CycleEnd::Settled, 3));
    heap.audit().unwrap();
    assert!(is_there(&heap, child) && is_there(&heap, elsewhere(1)));
}

#[test]
fn a_mutator_that_looks_up_what_is_condemned_waits_for_what_becomes_of_it() {
    for (granted, remote) in [(false, false), (true, false), (false, true), (true, true)] {
        let heap = one_block(Quarantine::Off);
        let mut collector = Collector::new(&heap);
        let [top, _] = part_of_a_cycle(&heap);
        let wanted = if remote { elsewhere(1) } else { top };
        let (answers, found) = mpsc::channel();
        let seen = heap.clone();
        let mut others = Told::with(move || {
            seen.mutator().scope(|scope| {
                assert_eq!(scope.try_resolve(wanted), Ok(None), "who must not wait does not");
            });
            let (heap, answers) = (seen.clone(), answers.clone());
            let waiting = thread::spawn(move || {
                heap.mutator().scope(|scope| answers.send(scope.resolve(wanted).is_ok()).unwrap());
            });
            thread::sleep(Duration::from_millis(30));
            assert!(!waiting.is_finished(), "it has an answer that may be taken back");
            granted
        });
        let report = over_nodes(&mut collector, &heap, &mut others);
        assert_eq!(found.recv_timeout(Duration::from_secs(20)), Ok(!granted));
        assert_eq!(report.condemned_objects, if granted { 3 } else { 0 });
    }
}

#[test]
fn a_full_heap_gives_a_cycle_over_nodes_up() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    part_of_a_cycle(&heap);
    let filling = {
        let heap = heap.clone();
        thread::spawn(move || {
            let mut mutator = heap.mutator();
            (0..6000).try_for_each(|_| mutator.scope(|scope| scope.alloc(&[], &[]).map(drop)))
        })
    };
    for asked in [true, false] {
        // The others have nothing to say, for longer than anybody waits.
        struct Silent(u32);
        impl Others for Silent {
            fn roots(&mut self) -> Vec<Handle> {
                Vec::new()
            }
            fn reached(&mut self, _: Vec<Handle>) {}
            fn rest(&mut self) -> Heard {
                thread::sleep(Duration::from_millis(1));
                self.0 += 1;
                assert!(self.0 < 5000, "a mutator waits for room, and this cycle goes on");
                Heard::Wait
            }
            fn prove(&mut self, _: Vec<Handle>, _: Vec<Handle>) -> bool {
                panic!("a cycle that was given up has no verdict")
            }
        }
        while !heap.signal().is_full() {
            thread::sleep(Duration::from_millis(1));
        }
        let mut strategy = MarkSweep::over_nodes(&heap);
        strategy.over_nodes = asked;
        let request = CycleRequest::new(Cause::Cluster);
        let report = collector.run_over_nodes(&request, &mut strategy, &mut Silent(0), &mut |_| Pace::Go);
        assert_eq!(report.end, CycleEnd::Abandoned);
    }
    let request = CycleRequest::new(Cause::Full);
    let report = collector.run(&request, &mut MarkSweep::new(&heap), None, &mut |_| Pace::Go);
    assert!(report.freed_cells > 4000);
    filling.join().unwrap().unwrap();
}

#[test]
fn a_strategy_that_takes_no_part_keeps_everything_and_says_all_its_stubs() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, _] = part_of_a_cycle(&heap);
    heap.mutator().scope(|scope| {
        scope.import(elsewhere(2), 1).unwrap();
    });
    let mut strategy = Scripted::new(Verdict::Condemned(vec![top.cell]));
    let mut others = Told { heard: vec![Heard::Shade(vec![top]), Heard::Wait], ..Told::default() };
    let request = CycleRequest::new(Cause::Cluster);
    let report = collector.run_over_nodes(&request, &mut strategy, &mut others, &mut |_| Pace::Go);
    assert_eq!((report.end, report.condemned_cells, report.reached_stubs), (CycleEnd::Settled, 0, 2));
    assert_eq!(others.reached, [elsewhere(1), elsewhere(2)]);
    assert_eq!(others.proved(), (vec![], vec![]));
    assert!(strategy.told.is_empty() && is_there(&heap, top));
    let mut others = Told { heard: vec![Heard::GiveUp], ..Told::default() };
    let report = collector.run_over_nodes(&request, &mut strategy, &mut others, &mut |_| Pace::Go);
    assert_eq!((report.end, others.proved), (CycleEnd::Abandoned, None));
}

#[test]
fn what_can_be_restored_counts_as_reached() {
    let heap = one_block(Quarantine::UntilNextProof);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        scope.import(elsewhere(1), 1).unwrap();
    });
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 1);
    let mut others = Told::default();
    over_nodes(&mut collector, &heap, &mut others);
    assert_eq!(others.reached, [elsewhere(1)]);
    assert_eq!(heap.take_freed_stubs().len(), 1, "it is freed after this proof as after any other");
}

#[test]
fn a_strategy_that_says_that_it_has_reached_what_is_no_stub_has_failed() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, _] = part_of_a_cycle(&heap);
    for cell in [0, top.cell, 4000, 4096, u32::MAX] {
        let mut strategy = Scripted::over_nodes(Verdict::Condemned(vec![top.cell]));
        strategy.reached = vec![cell];
        let mut others = Told::default();
        let request = CycleRequest::new(Cause::Cluster);
        let report = collector.run_over_nodes(&request, &mut strategy, &mut others, &mut |_| Pace::Go);
        assert!(matches!(report.end, CycleEnd::Faulted(_)), "cell {cell}: {:?}", report.end);
        assert_eq!((others.reached.len(), others.proved), (0, None));
    }
}

#[test]
fn what_was_reached_is_said_once_however_often_the_strategy_says_it() {
    let heap = one_block(Quarantine::UntilNextProof);
    let mut collector = Collector::new(&heap);
    // One is in quarantine, and counts as reached; the other is there.
    heap.mutator().scope(|scope| {
        scope.import(elsewhere(1), 1).unwrap();
    });
    assert_eq!(alone(&mut collector, &heap).condemned_objects, 1);
    let cell = heap.mutator().scope(|scope| {
        let stub = scope.import(elsewhere(2), 1).unwrap();
        let holder = scope.alloc(&[Some(stub)], &[]).unwrap();
        scope.set_root("holder", Some(holder));
        // The cell of a stub is nobody's business but the strategy's.
        heap.graph().cells()[scope.handle(holder).cell as usize * 4]
            .load(std::sync::atomic::Ordering::Relaxed)
    });
    let mut strategy = Scripted::over_nodes(Verdict::KeepAll);
    strategy.reached = vec![cell, cell];
    let mut others = Told::default();
    let request = CycleRequest::new(Cause::Cluster);
    let report = collector.run_over_nodes(&request, &mut strategy, &mut others, &mut |_| Pace::Go);
    assert_eq!((others.reached, report.reached_stubs), (vec![elsewhere(1), elsewhere(2)], 2));
}

/// A strategy that condemns what survives refers to is refused here, before the others hear of it.
#[test]
fn a_verdict_that_this_heap_contradicts_is_never_said_to_the_others() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [top, child] = part_of_a_cycle(&heap);
    let mut strategy = Scripted::over_nodes(Verdict::Condemned(vec![child.cell]));
    let mut others = Told::default();
    let request = CycleRequest::new(Cause::Cluster);
    let report = collector.run_over_nodes(&request, &mut strategy, &mut others, &mut |_| Pace::Go);
    assert!(matches!(report.end, CycleEnd::Refused(_)), "{:?}", report.end);
    assert_eq!(others.proved, None);
    assert!(is_there(&heap, top) && is_there(&heap, child));
}
