//! References that arrive in a heap that is full: they wait for room as an allocation does, and nothing else waits for them.

mod common;

use std::time::{Duration, Instant};

use common::{A, B, Marking, Two, life};
use gc_heap::{Cause, Collector, CycleRequest, Handle, Heap, Heard, Pace, Pin, Wake};
use gc_protocol::{CycleEnding, Event, MembershipEpoch};
use gc_remote::{Delivery, Lost, reference_of};

/// A heap of B that is small.
const SMALL: u64 = 256 << 10;

/// Fills a heap that nobody collects to the last cell. What is in it stays for as long as the pins do.
fn fill(heap: &Heap) -> Vec<Pin> {
    let mut pins = Vec::new();
    heap.mutator().scope(|scope| {
        for payload in [&[0_u8; 200][..], &[]] {
            while let Ok(object) = scope.alloc(&[], payload) {
                pins.push(scope.pin(object));
            }
        }
    });
    pins
}

fn again(two: &Two, at: usize, object: &Pin) -> Pin {
    two.heap(at).mutator().scope(|scope| scope.pin(scope.pinned(object)))
}

/// A cycle for a full heap, if one was asked for.
fn collect_if_asked(two: &mut Two, at: usize, collector: &mut Collector) -> bool {
    let heap = two.heap(at);
    let asked = heap.signal().wait(Duration::ZERO) == Wake::Cycle(Cause::Full);
    if asked {
        let request = CycleRequest::new(Cause::Full);
        collector.run(&request, &mut Marking::new(&heap), None, &mut |_| Pace::Go);
        let outward = two.members[at].poll(two.now);
        two.take(at, outward);
    }
    asked
}

fn holders(two: &Two, of: Handle) -> usize {
    two.members[A].node().held_by(reference_of(of).object).0.len()
}

#[test]
fn a_reference_waits_for_the_cycle_that_makes_room_and_nothing_else_waits() {
    let mut two = Two::with_limits(1 << 20, SMALL);
    let (object, own) = (two.make(A), two.make(B));
    let (handle, own_handle) = (object.handle(), own.handle());
    let own_stub = two.hand_over(B, &own);
    let heap = two.heap(B);
    let full = fill(&heap);
    let mut collector = Collector::new(&heap);
    let copy = again(&two, A, &object);
    two.send(A, &[copy, own_stub]);
    two.send(A, &[]);
    // What was full is garbage by the time somebody asks.
    drop((full, own, object));
    let begun = Instant::now();
    two.pass(50);
    assert!(begun.elapsed() < heap.config().full_wait, "the driver stands still");
    assert!(
        two.arrived[B].is_empty(),
        "nothing of it is delivered, and what was sent after it is not before it"
    );
    assert_eq!(
        (two.members[B].waiting_for_room(), holders(&two, handle)),
        (2, 1),
        "its home lists it all the same"
    );
    assert!(heap.signal().is_full() && two.members[B].next_wake() <= Some(two.now + 10 * common::MS));
    // The program on A lets go of what it sent, and both homes collect: it stays, here and there.
    two.collect(A);
    assert!(two.is_there(A, handle) && two.is_there(B, own_handle));
    assert!(collect_if_asked(&mut two, B, &mut collector));
    two.pass(50);
    let delivered: Vec<_> = two.arrived[B].drain(..).collect();
    assert_eq!(delivered.iter().map(|one| one.references.len()).collect::<Vec<_>>(), [2, 0]);
    let found = delivered[0].references.iter().map(|one| one.pin.as_ref().ok().map(Pin::handle));
    assert_eq!(found.collect::<Vec<_>>(), [Some(handle), Some(own_handle)]);
    assert!(!heap.signal().is_full() && two.members[B].waiting_for_room() == 0);
    drop((delivered, collector));
    two.collect(B);
    two.collect(A);
    assert!(!two.is_there(A, handle), "and it is let go like any other");
}

#[test]
fn a_reference_that_waits_in_vain_is_let_go_and_said_to_be() {
    for with_cycles in [true, false] {
        let mut two = Two::with_limits(1 << 20, SMALL);
        let object = two.make(A);
        let heap = two.heap(B);
        let full = fill(&heap);
        let mut collector = Collector::new(&heap);
        for _ in 0..3 {
            let copy = again(&two, A, &object);
            two.send(A, &[copy]);
        }
        let begun = Instant::now();
        let mut cycles = 0;
        while two.arrived[B].is_empty() && begun.elapsed() < Duration::from_secs(20) {
            two.pass(5);
            cycles += u32::from(with_cycles && collect_if_asked(&mut two, B, &mut collector));
            std::thread::sleep(Duration::from_millis(1));
        }
        match with_cycles {
            true => assert_eq!(cycles, 4, "as many in vain as an allocation waits for"),
            false => assert!(begun.elapsed() >= heap.config().full_wait, "as long as an allocation waits"),
        }
        two.pass(50);
        let lost = |delivery: &Delivery| matches!(delivery.references[0].pin, Err(Lost::NoRoom));
        assert_eq!(two.arrived[B].len(), 3);
        assert!(two.arrived[B].iter().all(lost), "they do not wait one after the other");
        let (listed, pinned) = two.members[A].node().held_by(reference_of(object.handle()).object);
        assert!(listed.is_empty() && !pinned, "its home has heard that it is not held");
        assert!(!heap.signal().is_full());
        drop(full);
    }
}

#[test]
fn where_nobody_collects_nobody_waits() {
    let mut two = Two::with_limits(1 << 20, SMALL);
    let object = two.make(A);
    let full = fill(&two.heap(B));
    two.send(A, &[object]);
    let begun = Instant::now();
    two.pass(10);
    assert!(begun.elapsed() < two.heap(B).config().full_wait);
    assert!(matches!(two.arrived[B][0].references[0].pin, Err(Lost::NoRoom)));
    drop(full);
}

/// What is held already needs no room. If the second delivery were refused, its drop would take the first one's place in the listing with it.
#[test]
fn a_reference_that_is_held_arrives_in_a_full_heap_too() {
    let mut two = Two::new();
    let object = two.make(A);
    let second = again(&two, A, &object);
    two.send(A, &[object]);
    two.pass(50);
    let held = two.arrived[B].pop().unwrap();
    let full = fill(&two.heap(B));
    let listed = second.handle();
    two.send(A, &[second]);
    two.pass(50);
    let delivery = two.arrived[B].pop().unwrap();
    assert!(delivery.references[0].pin.is_ok());
    drop(delivery);
    two.pass(50);
    assert_eq!(holders(&two, listed), 1, "its home lists the holder");
    drop((held, full));
}

/// Both are full, and the program of each lets go only when it has what the other has sent: neither gets room, both are told, and then both go on.
#[test]
fn two_full_nodes_that_wait_for_each_other_are_told_and_go_on() {
    let mut two = Two::with_limits(SMALL, SMALL);
    let objects = [two.make(A), two.make(B)];
    let handles = [objects[A].handle(), objects[B].handle()];
    let full = [fill(&two.heap(A)), fill(&two.heap(B))];
    let heaps = [two.heap(A), two.heap(B)];
    let mut collectors = [Collector::new(&heaps[A]), Collector::new(&heaps[B])];
    let mut exchange = |two: &mut Two| -> Vec<Option<Handle>> {
        for at in [A, B] {
            let object = again(two, at, &objects[at]);
            two.send(at, &[object]);
        }
        let begun = Instant::now();
        while two.arrived.iter().any(Vec::is_empty) {
            assert!(begun.elapsed() < Duration::from_secs(20), "they wait for each other");
            two.pass(5);
            for at in [A, B] {
                collect_if_asked(two, at, &mut collectors[at]);
            }
        }
        two.pass(50);
        let arrived = two.arrived.iter_mut().map(|arrived| arrived.pop().unwrap());
        arrived.map(|delivery| delivery.references[0].pin.as_ref().ok().map(Pin::handle)).collect()
    };
    assert_eq!(exchange(&mut two), [None, None]);
    drop(full);
    assert_eq!(exchange(&mut two), [Some(handles[B]), Some(handles[A])]);
}

/// B has a stub that is garbage, and another copy of the same reference waits for room behind one that needs it.
fn a_copy_waits_while_its_old_stub_goes() -> (Two, Collector, Pin, Vec<Pin>) {
    let mut two = Two::with_limits(1 << 20, SMALL);
    let (first, object) = (two.make(A), two.make(A));
    drop(two.hand_over(A, &object));
    let full = fill(&two.heap(B));
    let collector = Collector::new(&two.heap(B));
    two.send(A, &[first]);
    let copy = again(&two, A, &object);
    two.send(A, &[copy]);
    two.pass(20);
    assert_eq!(two.members[B].waiting_for_room(), 2);
    (two, collector, object, full)
}

#[test]
fn what_waits_outlives_an_older_stub_of_it() {
    let (mut two, mut collector, object, mut full) = a_copy_waits_while_its_old_stub_goes();
    let handle = object.handle();
    // The heap is overdrawn by the old stub, which was not counted when it was filled. With that and one object more there is room for one.
    drop((object, full.pop()));
    assert!(collect_if_asked(&mut two, B, &mut collector));
    two.pass(20);
    assert_eq!((two.members[B].waiting_for_room(), holders(&two, handle)), (1, 1));
    two.collect(A);
    assert!(two.is_there(A, handle), "it waits at B");
    drop(full);
    assert!(collect_if_asked(&mut two, B, &mut collector));
    two.pass(20);
    let last = two.arrived[B].pop().unwrap();
    assert_eq!(last.references[0].pin.as_ref().ok().map(Pin::handle), Some(handle));
}

#[test]
fn what_waits_is_reached_and_speaks_against_a_verdict_on_its_stub() {
    for lies in [false, true] {
        let (mut two, _collector, object, _full) = a_copy_waits_while_its_old_stub_goes();
        let handle = object.handle();
        let (mut a, mut b) = two.begin();
        let mut shaded = Vec::new();
        for _ in 0..100 {
            match (a.hear(), b.hear()) {
                (Heard::Decide, Heard::Decide) => break,
                (Heard::Shade(objects), _) => shaded.extend(objects),
                _ => two.pass(1),
            }
        }
        assert!(shaded.contains(&handle), "its home has heard that it is reached");
        a.put_verdict(Vec::new(), Vec::new());
        b.put_verdict(Vec::new(), if lies { vec![handle] } else { Vec::new() });
        two.pass(30);
        let ended = two.ended(B);
        assert_eq!(ended == Some(CycleEnding::Swept), !lies, "{ended:?}");
    }
}

/// Its home is gone before there is room: then it is nothing, and no stub is made of it.
#[test]
fn what_waits_and_dies_meanwhile_is_delivered_as_gone() {
    let mut two = Two::with_limits(1 << 20, SMALL);
    let heap = two.heap(B);
    let (object, full) = (two.make(A), fill(&heap));
    let mut collector = Collector::new(&heap);
    two.send(A, &[object]);
    two.pass(20);
    assert_eq!(two.members[B].waiting_for_room(), 1);
    let alone = [life(B)].into();
    two.feed(B, Event::MembershipChanged { epoch: MembershipEpoch(2), members: alone });
    drop(full);
    assert!(collect_if_asked(&mut two, B, &mut collector));
    two.pass(1);
    assert!(matches!(two.arrived[B][0].references[0].pin, Err(Lost::Gone)));
    assert_eq!(heap.stats().stubs, 0);
}
