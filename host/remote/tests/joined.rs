//! What goes between two members, and their cycles.

mod common;

use common::{A, B, Marking, Two, life};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Heap, HeapConfig, Heard, Others, Pace, Pin,
};
use gc_protocol::{Config, CycleEnding, Effect, Event, Life, NodeId, Reference, Refusal};
use gc_remote::{Member, Seat, Standing, handle_of, reference_of};

#[test]
fn an_object_stays_as_long_as_another_node_has_a_stub_of_it() {
    let mut two = Two::new();
    let object = two.make(A);
    let handle = object.handle();
    let stub = two.hand_over(A, &object);
    assert_eq!(stub.handle(), handle, "a stub is called as its home calls the object");
    assert_eq!(two.members[B].standing(reference_of(handle)), Standing::Good);
    drop(object);
    two.collect(A);
    assert!(two.is_there(A, handle), "it is held for the other node");
    drop(stub);
    two.collect(B);
    two.collect(A);
    assert!(!two.is_there(A, handle), "nothing holds it");
}

#[test]
fn what_one_collection_frees_travels_together() {
    let mut two = Two::new();
    let objects: Vec<Pin> = (0..100).map(|_| two.make(A)).collect();
    two.send(A, &objects);
    two.pass(50);
    two.arrived[B].clear();
    let heap = two.heap(B);
    let request = CycleRequest::new(Cause::Request);
    Collector::new(&heap).run(&request, &mut Marking::new(&heap), None, &mut |_| Pace::Go);
    let outward = two.members[B].poll(two.now);
    two.take(B, outward);
    let listed = |two: &Two| two.members[A].node().references().listed_count(life(B));
    assert_eq!(listed(&two), 100);
    for (to, frame) in std::mem::take(&mut two.frames) {
        two.feed(to, Event::Received { peer: life(1 - to).node, frame });
    }
    assert_eq!(listed(&two), 0, "in this very moment");
}

#[test]
fn a_reference_that_comes_again_while_its_stub_goes_is_kept() {
    let mut two = Two::new();
    let object = two.make(A);
    let first = two.hand_over(A, &object);
    // The stub is freed before the second copy arrives, and that is said after it.
    drop(first);
    two.held_back = Some(B);
    let again = two.heap(A).mutator().scope(|scope| scope.pin(scope.pinned(&object)));
    two.send(A, &[again]);
    two.pass(5);
    let heap = two.heap(B);
    Collector::new(&heap).run(
        &CycleRequest::new(Cause::Request),
        &mut Marking::new(&heap),
        None,
        &mut |_| Pace::Go,
    );
    two.held_back = None;
    two.pass(20);
    let handle = object.handle();
    drop(object);
    two.collect(A);
    assert!(two.is_there(A, handle), "the second stub holds it");
    assert_eq!(two.members[B].standing(reference_of(handle)), Standing::Good);
}

#[test]
fn a_garbage_cycle_over_two_nodes_goes_with_collectors_of_their_own() {
    let mut two = Two::new();
    let (a, b) = (two.make(A), two.make(B));
    let handles = (a.handle(), b.handle());
    let (stub_of_a, stub_of_b) = (two.hand_over(A, &a), two.hand_over(B, &b));
    two.store(A, &a, &stub_of_b);
    two.store(B, &b, &stub_of_a);
    drop((a, b, stub_of_a, stub_of_b));
    two.collect(A);
    two.collect(B);
    assert!(two.is_there(A, handles.0) && two.is_there(B, handles.1), "each holds the other");
    let (seat_a, seat_b) = two.begin();
    let (heap_a, heap_b) = (two.heap(A), two.heap(B));
    let reports: Vec<CycleReport> = std::thread::scope(|threads| {
        let collect = |heap: Heap, mut seat: Seat| {
            let mut strategy = Marking::new(&heap);
            let request = CycleRequest::new(Cause::Cluster);
            Collector::new(&heap).run_over_nodes(&request, &mut strategy, &mut seat, &mut |_| Pace::Go)
        };
        let work =
            [threads.spawn(move || collect(heap_a, seat_a)), threads.spawn(move || collect(heap_b, seat_b))];
        while !work.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            two.pass(1);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        work.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        reports.iter().all(|report| report.end == CycleEnd::Settled && report.condemned_objects >= 1),
        "{reports:?}"
    );
    assert_eq!(two.ended(A), Some(CycleEnding::Swept));
    assert!(!two.is_there(A, handles.0) && !two.is_there(B, handles.1));
    two.pass(50);
    for member in &two.members {
        let references = member.node().references();
        let counts = (references.stub_count(), references.cleaning_count(), references.scion_count());
        assert_eq!(counts, (0, 0, 0), "freed stubs are cleaned");
    }
}

/// Where both have decided, B condemns its stub of an object of A, and a copy of it arrives at B before B's node has heard the verdict.
fn arrival_before_the_verdict_is_heard(arrives: bool) -> (Option<CycleEnding>, Option<bool>) {
    let mut two = Two::new();
    let object = two.make(A);
    let stub = two.hand_over(A, &object);
    let (mut a, mut b) = two.begin();
    two.until_decided(&mut a, &mut b);
    let kept = arrives.then(|| two.hand_over(A, &object));
    a.put_verdict(Vec::new(), Vec::new());
    b.put_verdict(Vec::new(), vec![stub.handle()]);
    two.pass(30);
    drop(kept);
    (two.ended(B), b.outcome())
}

#[test]
fn what_arrives_before_a_verdict_is_heard_speaks_against_it() {
    assert_eq!(arrival_before_the_verdict_is_heard(false), (Some(CycleEnding::Swept), Some(true)));
    let (ended, outcome) = arrival_before_the_verdict_is_heard(true);
    assert_ne!(ended, Some(CycleEnding::Swept));
    assert_eq!(outcome, Some(false));
}

#[test]
fn what_others_let_go_stays_held_until_the_verdict_is_heard() {
    let mut two = Two::new();
    let object = two.make(A);
    let handle = object.handle();
    let stub = two.hand_over(A, &object);
    drop(object);
    let (mut a, mut b) = two.begin();
    two.until_decided(&mut a, &mut b);
    drop(stub);
    two.collect(B);
    assert!(two.members[A].node().held_by(reference_of(handle).object).0.is_empty(), "nobody is listed");
    two.collect(A);
    assert!(two.is_there(A, handle), "a verdict that condemns it would have to name it");
    a.put_verdict(vec![handle], Vec::new());
    b.put_verdict(Vec::new(), Vec::new());
    two.pass(30);
    two.collect(A);
    assert!(!two.is_there(A, handle));
}

#[test]
fn a_collector_that_leaves_without_a_verdict_ends_the_cycle_for_all() {
    let mut two = Two::new();
    let (mut a, b) = two.begin();
    assert_eq!(a.hear(), Heard::Wait);
    drop(b);
    two.pass(20);
    assert_eq!((two.ended(A), two.ended(B)), (Some(CycleEnding::VotedDown), Some(CycleEnding::Abandoned)));
    assert_eq!(a.hear(), Heard::GiveUp);
    assert!(two.members[A].desk().sit(a.cycle(), two.members[A].heap()).is_none(), "it is over");
}

#[test]
fn a_rest_names_what_was_worked_off_before_it() {
    let mut two = Two::new();
    let object = two.make(A);
    let stub = two.hand_over(A, &object);
    let (mut a, mut b) = two.begin();
    assert_eq!(a.hear(), Heard::Wait);
    b.reached(vec![stub.handle()]);
    for _ in 0..50 {
        // B rests; A does not come to its desk, where the mark lies.
        assert_eq!(b.hear(), Heard::Wait, "marking has ended before A has worked off what B reached");
        two.pass(1);
    }
    assert_eq!(a.hear(), Heard::Shade(vec![object.handle()]));
    two.until_decided(&mut a, &mut b);
}

#[test]
fn whoever_gives_up_before_it_has_agreed_waits_for_nobody() {
    let mut two = Two::new();
    let object = two.make(A);
    let stub = two.hand_over(A, &object);
    let (mut a, mut b) = two.begin();
    two.until_decided(&mut a, &mut b);
    // Whoever coordinates is silent from here on.
    two.held_back = Some(A);
    b.put_verdict(Vec::new(), vec![stub.handle()]);
    two.pass(20);
    assert_eq!(b.outcome(), None, "the others have not been heard");
    b.give_up();
    two.pass(1);
    assert_eq!(b.outcome(), Some(false), "the collector is kept by a node that is silent");
    two.held_back = None;
    two.pass(20);
    assert_eq!(two.ended(A), Some(CycleEnding::VotedDown));
}

#[test]
fn what_is_not_held_cannot_be_sent_and_to_nobody_either() {
    let mut two = Two::new();
    let object = two.make(A);
    let outward = two.members[A].send(two.now, NodeId(9), &[object], Vec::new(), 44);
    two.take(A, outward);
    let refused = Effect::NotSent { token: 44, reason: Refusal::NoSuchMember };
    assert!(two.effects[A].contains(&refused));
}

#[test]
fn a_desk_that_is_closed_keeps_nobody() {
    let mut two = Two::new();
    let (mut a, b) = two.begin();
    drop(two);
    assert_eq!(a.hear(), Heard::GiveUp);
    assert_eq!((a.outcome(), b.outcome()), (Some(false), Some(false)));
}

#[test]
fn a_heap_of_another_life_is_refused() {
    let heap = Heap::new(HeapConfig { node: 1, incarnation: 4, ..HeapConfig::with_limit(1 << 20) }).unwrap();
    let error = Member::new(heap, Config::new(Life::new(1, 5), 7, 0)).err().unwrap();
    assert!(error.to_string().contains("n1.4") && error.to_string().contains("n1.5"), "{error}");
}

#[test]
fn a_name_reads_back() {
    let reference =
        Reference { home: Life::new(3, u64::MAX), object: gc_protocol::Object { cell: 9, generation: 2 } };
    assert_eq!(reference_of(handle_of(reference)), reference);
}
