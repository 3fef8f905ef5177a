//! What strategies and shadows are told from cycle to cycle, and when they must begin anew.

mod common;

use common::scripted::{Scripted, one_block, rooted, whole, with_shadow};
use common::{MarkSweep, cycle};
use gc_heap::limits::CHUNK_ITEMS;
use gc_heap::{
    Cause, Change, Collector, CycleEnd, CycleReport, CycleRequest, Fault, Handle, Heap, HeapConfig, Outcome,
    Pace, Progress, Quarantine, Verdict,
};

#[test]
fn a_cell_that_is_used_again_is_not_taken_for_the_one_that_was_retired() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let old = heap.mutator().scope(|scope| {
        let old = scope.alloc(&[], &[]).unwrap();
        scope.retire(old);
        scope.handle(old)
    });
    let mut strategy = Scripted::with_retired(Verdict::KeepAll);
    assert_eq!(cycle(&mut collector, &mut strategy).retired_waiting, 1);
    let [(cell, retired)] = strategy.last().retired[..] else { panic!("{:?}", strategy.told) };
    assert_eq!(cell, old.cell);
    strategy.verdict = Verdict::Condemned(vec![old.cell]);
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.freed_objects, report.retired_waiting), (1, 0));
    strategy.verdict = Verdict::KeepAll;
    // In its next life it is not retired, and then it is, later than in its last.
    let mut mutator = heap.mutator();
    mutator.scope(|scope| scope.set_root("new", Some(scope.alloc(&[], &[]).unwrap())));
    cycle(&mut collector, &mut strategy);
    assert_eq!(strategy.last().retired, []);
    let new = mutator.scope(|scope| {
        let new = scope.root("new").unwrap();
        scope.retire(new);
        scope.handle(new)
    });
    assert_eq!((new.cell, new.generation), (old.cell, old.generation + 1));
    cycle(&mut collector, &mut strategy);
    let [(cell, again)] = strategy.last().retired[..] else { panic!("{:?}", strategy.last().retired) };
    assert_eq!(cell, new.cell);
    assert!(again > retired, "retired in grace epoch {again}, and its predecessor in {retired}");
}

#[test]
fn a_cell_that_is_used_and_retired_again_before_the_next_cycle_is_told_once() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let retire = || {
        heap.mutator().scope(|scope| {
            let object = scope.alloc(&[], &[]).unwrap();
            scope.retire(object);
            scope.handle(object)
        })
    };
    let mut strategy = Scripted::with_retired(Verdict::Condemned(vec![retire().cell]));
    assert_eq!(cycle(&mut collector, &mut strategy).freed_objects, 1);
    let old = strategy.last().retired[0];
    let new = retire();
    assert_eq!((new.cell, new.generation), (old.0, 1));
    strategy.verdict = Verdict::KeepAll;
    cycle(&mut collector, &mut strategy);
    let [(cell, grace)] = strategy.last().retired[..] else { panic!("{:?}", strategy.last().retired) };
    assert!(cell == old.0 && grace > old.1, "told {:?} after {old:?}", (cell, grace));
}

#[test]
fn a_large_object_is_retired_with_all_its_cells() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| scope.retire(scope.alloc(&[None; 20], &[]).unwrap()));
    let cells = heap.stats().live_cells;
    let mut strategy = Scripted::with_retired(Verdict::KeepAll);
    cycle(&mut collector, &mut strategy);
    let told: Vec<u32> = strategy.last().retired.iter().map(|&(cell, _)| cell).collect();
    assert_eq!(told.len() as u64, cells);
    strategy.verdict = Verdict::Condemned(told);
    let report = cycle(&mut collector, &mut strategy);
    assert_eq!((report.condemned_objects, report.condemned_cells), (1, cells));
    assert_eq!((heap.stats().live_cells, report.retired_waiting), (0, 0));
}

#[test]
fn what_an_open_scope_may_hold_is_not_safe_to_propose() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let mut strategy = Scripted::with_retired(Verdict::KeepAll);
    heap.mutator().scope(|reader| {
        // Opened before the object is retired by another, and still open when the next grace epoch has begun.
        heap.mutator().scope(|scope| scope.retire(scope.alloc(&[], &[]).unwrap()));
        for _ in 0..2 {
            cycle(&mut collector, &mut strategy);
            let told = strategy.last();
            assert!(told.info.safe_grace_epoch <= told.retired[0].1, "{told:?}");
        }
        assert!(reader.alloc(&[], &[]).is_ok());
    });
    cycle(&mut collector, &mut strategy);
    let told = strategy.last();
    assert!(told.info.safe_grace_epoch > told.retired[0].1, "{told:?}");
}

/// A strategy that keeps counts is told the changes of an epoch, and everything only where it must forget.
#[test]
fn a_verdict_that_was_carried_out_is_not_told_to_who_proposed_it() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let (root, child, dead) = heap.mutator().scope(|scope| {
        let [root, child] = rooted(scope);
        (root, child, scope.handle(scope.alloc(&[scope.root("root")], &[]).unwrap()))
    });
    let mut strategy = Scripted::with_changes(Verdict::Condemned(vec![dead.cell]));
    cycle(&mut collector, &mut strategy);
    let told = strategy.last().clone();
    assert!(told.info.rebuild, "it has seen nothing yet");
    assert_eq!(told.changes, [whole(root, child), whole(dead, root)]);
    assert_eq!(
        told.outcome,
        Some(Outcome { accepted: true, condemned_cells: 1, withheld_cells: 0 }),
        "what was condemned is gone for the strategy"
    );
    strategy.verdict = Verdict::KeepAll;
    heap.mutator().scope(|scope| scope.store(scope.root("root").unwrap(), 0, None).unwrap());
    cycle(&mut collector, &mut strategy);
    let told = strategy.last();
    assert!(!told.info.rebuild);
    assert_eq!(told.changes, [[root.cell, child.cell, 0, 0, 0, 0, 0, 0, 0]]);
}

#[test]
fn a_strategy_that_counts_begins_anew_when_what_it_proposed_is_kept() {
    type Kept = fn(&Heap, &mut Collector, &mut Scripted, [Handle; 2]) -> CycleReport;
    let cases: [(&str, Kept); 5] = [
        ("a root", |_, collector, strategy, [root, _]| {
            strategy.verdict = Verdict::Condemned(vec![root.cell]);
            let report = cycle(collector, strategy);
            assert_eq!(report.rooted_cells, 1);
            report
        }),
        ("what was retired and is referenced", |heap, collector, strategy, [_, child]| {
            heap.mutator().scope(|scope| scope.retire(scope.resolve(child).unwrap()));
            strategy.verdict = Verdict::Condemned(vec![child.cell]);
            let report = cycle(collector, strategy);
            assert_eq!(report.withheld_cells, 1);
            report
        }),
        ("a verdict that was refused", |_, collector, strategy, [_, child]| {
            strategy.verdict = Verdict::Condemned(vec![child.cell]);
            let report = cycle(collector, strategy);
            assert!(matches!(report.end, CycleEnd::Refused(_)), "{:?}", report.end);
            report
        }),
        ("a dry run", |_, collector, strategy, _| {
            let request = CycleRequest { execute: false, ..CycleRequest::new(Cause::Request) };
            collector.run(&request, strategy, None, &mut |_| Pace::Go)
        }),
        ("a cycle given up", |_, collector, strategy, _| {
            collector.run(&CycleRequest::new(Cause::Request), strategy, None, &mut |_| Pace::Abandon)
        }),
    ];
    for (name, kept) in cases {
        let heap = one_block(Quarantine::Off);
        let mut collector = Collector::new(&heap);
        let handles = heap.mutator().scope(|scope| rooted(scope));
        let mut strategy = Scripted::with_changes(Verdict::KeepAll);
        cycle(&mut collector, &mut strategy);
        cycle(&mut collector, &mut strategy);
        assert!(!strategy.last().info.rebuild && strategy.last().changes.is_empty(), "{name}");
        let report = kept(&heap, &mut collector, &mut strategy, handles);
        let kept = report.withheld_cells + report.rooted_cells;
        let outcome = strategy.last().outcome;
        assert!(
            outcome.is_none_or(
                |outcome| outcome.condemned_cells == 0 && u64::from(outcome.withheld_cells) == kept
            ),
            "{name}: {outcome:?}"
        );
        strategy.verdict = Verdict::KeepAll;
        cycle(&mut collector, &mut strategy);
        assert!(strategy.last().info.rebuild, "{name}");
        assert_eq!(strategy.last().changes, [whole(handles[0], handles[1])], "{name}");
        cycle(&mut collector, &mut strategy);
        assert!(
            !strategy.last().info.rebuild && strategy.last().changes.is_empty(),
            "{name}: once is enough"
        );
    }
}

#[test]
fn a_strategy_that_counts_begins_anew_after_cycles_without_a_log() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [root, child] = heap.mutator().scope(|scope| rooted(scope));
    let mut strategy = Scripted::with_changes(Verdict::KeepAll);
    cycle(&mut collector, &mut strategy);
    for _ in 0..2 {
        cycle(&mut collector, &mut MarkSweep::new(&heap));
    }
    cycle(&mut collector, &mut strategy);
    assert!(strategy.last().info.rebuild);
    assert_eq!(strategy.last().changes, [whole(root, child)]);
}

#[test]
fn a_strategy_that_counts_begins_anew_when_something_is_restored() {
    let heap = one_block(Quarantine::UntilNextProof);
    let mut collector = Collector::new(&heap);
    let (root, child, dead) = heap.mutator().scope(|scope| {
        let [root, child] = rooted(scope);
        (root, child, scope.handle(scope.alloc(&[scope.root("root")], &[]).unwrap()))
    });
    let mut strategy = Scripted::with_changes(Verdict::Condemned(vec![dead.cell]));
    let mut shadow = Scripted::with_changes(Verdict::KeepAll);
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    let (pin, _) = collector.restore(dead).unwrap();
    strategy.verdict = Verdict::KeepAll;
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    for told in [strategy.last(), shadow.last()] {
        assert!(told.info.rebuild && told.roots.contains(&pin.handle().cell));
        assert_eq!(told.changes, [whole(root, child), whole(dead, root)]);
    }
}

#[test]
fn changes_of_a_mutator_that_has_gone_are_told_once() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [root, child] = heap.mutator().scope(|scope| rooted(scope));
    let mut strategy = Scripted::with_changes(Verdict::KeepAll);
    cycle(&mut collector, &mut strategy);
    let mut changes = Vec::new();
    // Two mutators in one log epoch, and none in the next.
    for slot in [1, 2] {
        heap.mutator().scope(|scope| {
            let root = scope.root("root").unwrap();
            scope.store(root, slot, scope.load(root, 0).unwrap()).unwrap();
        });
    }
    for _ in 0..3 {
        cycle(&mut collector, &mut strategy);
        changes.extend(std::mem::take(&mut strategy.last().changes));
    }
    let at = child.cell;
    assert_eq!(changes, [[root.cell, at, 0, 0, 0, at, at, at, 0]]);
}

/// A cycle tells the log epoch that it has closed. What mutators do after that, while it tells, belongs to the next, also where the strategy is told
/// everything.
#[test]
fn what_changes_while_a_cycle_tells_is_told_by_the_next() {
    for rebuild in [false, true] {
        let heap = one_block(Quarantine::Off);
        let mut collector = Collector::new(&heap);
        let [root, child] = heap.mutator().scope(|scope| rooted(scope));
        let mut strategy = Scripted::with_changes(Verdict::KeepAll);
        cycle(&mut collector, &mut strategy);
        heap.mutator().scope(|scope| {
            let root = scope.root("root").unwrap();
            scope.store(root, 1, scope.load(root, 0).unwrap()).unwrap();
        });
        if rebuild {
            collector.forget();
        }
        let at_work = heap.clone();
        let mut once = true;
        strategy.at_begin = Box::new(move || {
            if std::mem::take(&mut once) {
                at_work.mutator().scope(|scope| {
                    let root = scope.root("root").unwrap();
                    scope.store(root, 0, None).unwrap();
                    let born = scope.alloc(&[Some(root)], &[]).unwrap();
                    scope.store(root, 2, Some(born)).unwrap();
                });
            }
        });
        cycle(&mut collector, &mut strategy);
        let (root, child, born) = (root.cell, child.cell, root.cell + 1);
        let closed = if rebuild { 0 } else { child };
        assert_eq!(strategy.last().changes, [[root, closed, 0, 0, 0, child, child, 0, 0]], "{rebuild}");
        cycle(&mut collector, &mut strategy);
        let mut changes = strategy.last().changes.clone();
        changes.sort_unstable();
        let expected = [[root, child, child, 0, 0, 0, child, born, 0], [born, 0, 0, 0, 0, root, 0, 0, 0]];
        assert_eq!(changes, expected, "{rebuild}");
    }
}

/// A log that nobody empties for a while grows by pieces. It is told whole, each record in its own log epoch.
#[test]
fn a_long_log_is_told_whole_and_epoch_by_epoch() {
    const OBJECTS: usize = 24 * CHUNK_ITEMS + 7;
    let heap = Heap::new(HeapConfig::with_limit(4 << 20)).unwrap();
    let mut collector = Collector::new(&heap);
    let mut mutator = heap.mutator();
    mutator.scope(|scope| {
        let values = [(); 4].map(|()| scope.alloc(&[], &[]).unwrap());
        let objects: Vec<_> = (0..OBJECTS).map(|_| scope.alloc(&[Some(values[0])], &[]).unwrap()).collect();
        let cell = |local| scope.handle(local).cell;
        let store_all = |value| objects.iter().for_each(|&at| scope.store(at, 0, Some(value)).unwrap());
        let told = |strategy: &mut Scripted, old, new| {
            let mut changes = std::mem::take(&mut strategy.last().changes);
            changes.sort_unstable();
            let change = |&object| [cell(object), cell(old), 0, 0, 0, cell(new), 0, 0, 0];
            assert!(changes.iter().copied().eq(objects.iter().map(change)), "{} changes", changes.len());
        };
        let mut strategy = Scripted::with_changes(Verdict::KeepAll);
        cycle(&mut collector, &mut strategy);
        store_all(values[1]);
        // In the middle of the cycle the next log epoch has begun.
        let mut during = true;
        let request = CycleRequest::new(Cause::Request);
        collector.run(&request, &mut strategy, None, &mut |_| {
            if std::mem::take(&mut during) {
                store_all(values[2]);
            }
            Pace::Go
        });
        told(&mut strategy, values[0], values[1]);
        store_all(values[3]);
        cycle(&mut collector, &mut strategy);
        told(&mut strategy, values[1], values[3]);
        cycle(&mut collector, &mut strategy);
        assert_eq!(strategy.last().changes, [] as [Change; 0]);
    });
}

#[test]
fn a_strategy_that_never_ends_is_stopped_and_the_heap_goes_on() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| scope.alloc(&[], &[]).map(|_| ())).unwrap();
    let mut endless = Scripted::new(Verdict::KeepAll);
    endless.progress = Progress::More;
    let request = CycleRequest::new(Cause::Request);
    // Gives up where the heap should have done so long ago.
    let mut patience = 200_000;
    let mut pace = |_| {
        patience -= 1;
        if patience > 0 { Pace::Go } else { Pace::Abandon }
    };
    let report = collector.run(&request, &mut endless, None, &mut pace);
    assert!(
        matches!(&report.end, CycleEnd::Faulted(Fault::Nonsense(what)) if what.contains("work is left")),
        "{:?}",
        report.end
    );
    assert_eq!(endless.last().outcome, None, "it is not called again");
    // A shadow is stopped alone.
    let mut strategy = MarkSweep::new(&heap);
    let report = collector.run(&request, &mut strategy, Some(&mut endless), &mut pace);
    assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 1));
    let fault = report.shadow.unwrap().fault;
    assert!(matches!(&fault, Some(Fault::Nonsense(what)) if what.contains("work is left")), "{fault:?}");
}

#[test]
fn a_cycle_that_condemns_nothing_costs_no_proof_and_leaves_no_decision() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| rooted(scope));
    for verdict in [Verdict::KeepAll, Verdict::Condemned(vec![])] {
        let report = cycle(&mut collector, &mut Scripted::new(verdict));
        assert_eq!((report.end, report.proof_ns), (CycleEnd::Settled, 0));
    }
    assert_eq!(heap.decisions(), []);
}
