//! A candidate beside the strategy: what it is told, and what its verdict is compared with.

mod common;

use common::cycle;
use common::scripted::{Scripted, one_block, rooted, whole, with_shadow};
use gc_heap::{Cause, Collector, CycleEnd, CycleRequest, Handle, Outcome, Pace, Quarantine, Verdict};

#[test]
fn a_shadow_is_told_of_deaths_between_the_lives_of_a_cell() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let (dead, root) = heap.mutator().scope(|scope| {
        let root = scope.alloc(&[], &[]).unwrap();
        scope.set_root("root", Some(root));
        (scope.handle(scope.alloc(&[Some(root)], &[]).unwrap()), scope.handle(root))
    });
    let mut strategy = Scripted::with_changes(Verdict::Condemned(vec![dead.cell]));
    let mut shadow = Scripted::with_changes(Verdict::KeepAll);
    let report = with_shadow(&mut collector, &mut strategy, &mut shadow);
    assert_eq!(report.freed_objects, 1);
    assert_eq!(shadow.last().changes, [whole(dead, root)]);
    // The next life of the cell begins in the same log epoch in which the last one ended.
    heap.mutator().scope(|scope| {
        let root = scope.root("root").unwrap();
        let again = scope.alloc(&[None, Some(root)], &[]).unwrap();
        assert_eq!(scope.handle(again).cell, dead.cell);
        scope.store(root, 0, Some(again)).unwrap();
    });
    strategy.verdict = Verdict::KeepAll;
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    let death = [dead.cell, root.cell, 0, 0, 0, 0, 0, 0, 0];
    let birth = [dead.cell, 0, 0, 0, 0, 0, root.cell, 0, 0];
    let of_the_cell = |strategy: &mut Scripted| {
        let told = strategy.last();
        assert!(!told.info.rebuild);
        told.changes.iter().copied().filter(|change| change[0] == dead.cell).collect::<Vec<_>>()
    };
    assert_eq!(of_the_cell(&mut shadow), [death, birth]);
    assert_eq!(of_the_cell(&mut strategy), [birth], "who proposed it knows of the death");
}

#[test]
fn a_shadow_hears_the_end_of_every_verdict_and_that_nothing_was_done_on_its_word() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| rooted(scope));
    let mut strategy = Scripted::new(Verdict::KeepAll);
    let mut shadow = Scripted::with_changes(Verdict::KeepAll);
    let nothing = Outcome { accepted: true, condemned_cells: 0, withheld_cells: 0 };
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    assert_eq!(shadow.last().outcome, Some(nothing));
    // Given up before a verdict: there is no end to hear of, and the next cycle begins anew.
    let request = CycleRequest::new(Cause::Request);
    let report = collector.run(&request, &mut strategy, Some(&mut shadow), &mut |_| Pace::Abandon);
    assert_eq!((report.end, shadow.last().outcome), (CycleEnd::Abandoned, None));
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    assert_eq!((shadow.last().info.rebuild, shadow.last().outcome), (true, Some(nothing)));
}

#[test]
fn a_shadow_that_alone_proposed_something_begins_anew() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let [one, two] = heap.mutator().scope(|scope| {
        rooted(scope);
        [(); 2].map(|()| scope.handle(scope.alloc(&[], &[]).unwrap()))
    });
    let mut strategy = Scripted::new(Verdict::KeepAll);
    let mut shadow = Scripted::with_changes(Verdict::KeepAll);
    let mut run = |main: &[Handle], beside: &[Handle]| {
        let list =
            |handles: &[Handle]| Verdict::Condemned(handles.iter().map(|handle| handle.cell).collect());
        (strategy.verdict, shadow.verdict) = (list(main), list(beside));
        let report = with_shadow(&mut collector, &mut strategy, &mut shadow).shadow.unwrap();
        (shadow.last().info.rebuild, report.proposed_cells, report.agreed_cells, report.only_incumbent_cells)
    };
    assert_eq!(run(&[], &[]), (true, 0, 0, 0), "it has seen nothing yet");
    assert_eq!(run(&[], &[one]), (false, 1, 0, 0));
    assert_eq!(run(&[one], &[one]), (true, 1, 1, 0), "it takes for gone what is there");
    assert_eq!(run(&[two], &[]), (false, 0, 0, 1), "both proposed it: it is gone");
    assert_eq!(run(&[], &[]), (false, 0, 0, 0), "it was told of the death");
}

#[test]
fn a_shadow_that_missed_a_cycle_begins_anew() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| rooted(scope));
    let mut strategy = Scripted::with_changes(Verdict::KeepAll);
    let mut shadow = Scripted::with_changes(Verdict::KeepAll);
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    assert!(!shadow.last().info.rebuild);
    cycle(&mut collector, &mut strategy);
    with_shadow(&mut collector, &mut strategy, &mut shadow);
    assert!(shadow.last().info.rebuild);
    assert_eq!(shadow.last().changes.len(), 1, "the whole heap");
    assert!(strategy.last().changes.is_empty(), "nothing has changed");
}

#[test]
fn a_shadow_that_is_wrong_is_said_to_be_unsound_and_nothing_else_happens() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let ([root, child], dead) =
        heap.mutator().scope(|scope| (rooted(scope), scope.handle(scope.alloc(&[], &[]).unwrap())));
    let mut strategy = Scripted::new(Verdict::KeepAll);
    let mut shadow = Scripted::new(Verdict::KeepAll);
    let mut sound = |proposed: &[Handle]| {
        shadow.verdict = Verdict::Condemned(proposed.iter().map(|handle| handle.cell).collect());
        let report = with_shadow(&mut collector, &mut strategy, &mut shadow);
        assert_eq!((&report.end, report.condemned_cells), (&CycleEnd::Settled, 0));
        let report = report.shadow.unwrap();
        (report.sound, report.proposed_cells)
    };
    assert_eq!(sound(&[dead]), (true, 1));
    assert_eq!(sound(&[root]), (true, 0), "a root is kept back, as it is from the strategy");
    assert_eq!(sound(&[child, dead]), (false, 2));
    // What a mutator retired by mistake is not held against who believed it.
    heap.mutator().scope(|scope| scope.retire(scope.resolve(child).unwrap()));
    assert_eq!(sound(&[child, dead]), (true, 2));
    assert_eq!(heap.stats().live_objects, 3);
}

#[test]
fn nonsense_of_a_shadow_is_its_own_fault() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    let dead = heap.mutator().scope(|scope| scope.handle(scope.alloc(&[], &[]).unwrap()));
    let mut strategy = Scripted::new(Verdict::Condemned(vec![dead.cell]));
    let mut shadow = Scripted::new(Verdict::Survivors(vec![0; 3]));
    let report = with_shadow(&mut collector, &mut strategy, &mut shadow);
    assert_eq!((report.end, report.condemned_cells), (CycleEnd::Settled, 1));
    assert!(report.shadow.unwrap().fault.is_some());
    assert_eq!(shadow.last().outcome, None, "it is not called again");
}
