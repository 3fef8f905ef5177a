//! Marking cycles over so many nodes that some speak for others.

use std::ops::RangeInclusive;

use gc_protocol::limits::CYCLE_FAN_OUT;
use gc_protocol::wire::{self, Copy, Message, Payload, SubtreeAgrees, SubtreeProved, SubtreeTotals, Wave};
use gc_protocol::{CycleEnding, CycleId, Effect, Event, HomeMode, NodeId, Object, Reference, Rule};

use crate::net::{Net, OBJECT, life, object_of};

const FAN_OUT: u32 = CYCLE_FAN_OUT as u32;

/// Each is the parent of the next.
const ROOT: u32 = 1;
const HIGH: u32 = 2;
const MIDDLE: u32 = FAN_OUT + 2;
const LOW: u32 = FAN_OUT * (FAN_OUT + 1) + 2;

/// Another child of `MIDDLE`, and the last node.
const SISTER: u32 = LOW + 1;

fn all() -> RangeInclusive<u32> {
    ROOT..=SISTER
}

fn ended(net: &Net, node: u32, cycle: CycleId) -> Option<CycleEnding> {
    net.found(node, |effect| match effect {
        Effect::CycleEnded(of, why) if *of == cycle => Some(*why),
        _ => None,
    })
}

fn nobody_has_swept(net: &Net, cycle: CycleId) -> bool {
    all().all(|node| !net.swept(node, cycle))
}

/// A cycle in which all have proved, and the agreement of `HIGH`, which is that of all below it, is under way to the root.
fn in_doubt() -> (Net, CycleId) {
    let mut net = Net::new(SISTER, |_| {});
    net.send(ROOT, HIGH, object_of(ROOT));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.held_up.insert((ROOT, HIGH));
    net.prove(ROOT, cycle, &[OBJECT], &[]);
    net.prove(HIGH, cycle, &[], &[object_of(ROOT)]);
    (HIGH + 1..=SISTER).for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(20);
    net.held_up.insert((HIGH, ROOT));
    net.held_up.remove(&(ROOT, HIGH));
    net.run(20);
    assert!(nobody_has_swept(&net, cycle));
    (net, cycle)
}

#[test]
fn nobody_decides_before_the_lowest_rests() {
    let mut net = Net::new(SISTER, |_| {});
    net.feed(ROOT, Event::CycleRequested);
    net.run(20);
    let cycle = net.nodes[&ROOT].cycle();
    assert!(all().all(|node| net.wanted(node, &Effect::BeginCycle(cycle))));
    for node in all().filter(|&node| node != LOW) {
        net.feed(node, Event::MarkingRested { cycle, worked_off: 0 });
    }
    net.run(100);
    assert!(!net.wanted(ROOT, &Effect::DecideCycle(cycle)));
    // Nor when a stranger answers in place of the child that waits for it.
    says_everything(&mut net, SISTER, ROOT, cycle);
    says_everything(&mut net, SISTER, LOW, cycle);
    assert_eq!((ended(&net, ROOT, cycle), ended(&net, LOW, cycle)), (None, None));
    assert!(!net.wanted(LOW, &Effect::DecideCycle(cycle)), "as a stranger said");
    net.feed(LOW, Event::MarkingRested { cycle, worked_off: 0 });
    net.run(100);
    assert!(all().all(|node| net.wanted(node, &Effect::DecideCycle(cycle))));
}

/// Everybody rests, and a mark of the lowest for its sister is held up.
fn a_mark_under_way() -> (Net, CycleId) {
    let mut net = Net::new(SISTER, |_| {});
    net.send(SISTER, LOW, object_of(SISTER));
    net.run(50);
    net.feed(ROOT, Event::CycleRequested);
    net.run(20);
    let cycle = net.nodes[&ROOT].cycle();
    net.held_up.insert((LOW, SISTER));
    net.feed(LOW, Event::StubsReached { cycle, references: vec![object_of(SISTER)] });
    all().for_each(|node| net.feed(node, Event::MarkingRested { cycle, worked_off: 0 }));
    (net, cycle)
}

#[test]
fn nobody_decides_while_a_mark_is_under_way() {
    let (mut net, cycle) = a_mark_under_way();
    net.run(500);
    assert!(!net.wanted(ROOT, &Effect::DecideCycle(cycle)));
    net.held_up.clear();
    net.run(500);
    assert!(net.wanted(SISTER, &Effect::Shade { cycle, objects: vec![OBJECT], number: 1 }));
    assert!(!net.wanted(ROOT, &Effect::DecideCycle(cycle)), "it has not been worked off");
    net.feed(SISTER, Event::MarkingRested { cycle, worked_off: 1 });
    net.run(500);
    assert!(all().all(|node| net.wanted(node, &Effect::DecideCycle(cycle))));
}

#[test]
fn waves_become_fewer_the_longer_a_mark_is_under_way() {
    let (mut net, _) = a_mark_under_way();
    // It has no children, so it says one thing in each wave.
    let said = |net: &Net| net.nodes[&SISTER].counters().messages_sent;
    net.run(1000);
    let before = said(&net);
    net.run(1000);
    let waves = said(&net) - before;
    assert!((1..=4).contains(&waves), "{waves} in the second second");
}

#[test]
fn nobody_sweeps_before_the_lowest_has_agreed() {
    let (mut net, cycle) = in_doubt();
    net.held_up.clear();
    net.run(50);
    assert!(all().all(|node| net.swept(node, cycle)));
    // The same, and it is the lowest that is not heard.
    let cycle = net.cycle_to_decision();
    all().filter(|&node| node != LOW).for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(50);
    net.held_up.insert((MIDDLE, LOW));
    net.prove(LOW, cycle, &[], &[]);
    net.run(50);
    assert!(nobody_has_swept(&net, cycle), "its vote was not called for");
    net.held_up.clear();
    net.run(50);
    assert!(all().all(|node| net.swept(node, cycle)));
}

#[test]
fn nobody_agrees_before_votes_are_called() {
    let mut net = Net::new(SISTER, |_| {});
    net.send(LOW, SISTER, object_of(LOW));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.prove(LOW, cycle, &[OBJECT], &[]);
    // With the list of its client nothing speaks against it.
    net.prove(SISTER, cycle, &[], &[object_of(LOW)]);
    net.run(20);
    net.feed(LOW, Event::ProofFailed { cycle });
    assert_eq!(ended(&net, LOW, cycle), Some(CycleEnding::Abandoned), "it thinks that others may sweep");
}

#[test]
fn votes_are_not_called_because_a_stranger_has_proved() {
    let mut net = Net::new(SISTER, |_| {});
    let cycle = net.cycle_to_decision();
    all().filter(|&node| node != LOW).for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(50);
    let stranger = (HIGH + 1, MIDDLE);
    net.held_up.insert(stranger);
    net.send(stranger.0, stranger.1, object_of(stranger.0));
    net.run(5);
    net.alter(stranger, |messages| {
        *messages = vec![Message::SubtreeProved(SubtreeProved { cycle, nodes: 1 })];
    });
    let said = |net: &Net| net.nodes[&ROOT].counters().messages_sent;
    let before = said(&net);
    net.held_up.clear();
    net.run(20);
    assert_eq!(said(&net), before, "votes are called");
}

/// All but the lowest prove that nothing is left.
fn swept_without_the_lowest(rule: Option<Rule>) -> bool {
    let mut net = Net::breaking(SISTER, rule);
    let cycle = net.cycle_to_decision();
    all().filter(|&node| node != LOW).for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(100);
    net.swept(ROOT, cycle)
}

#[test]
fn nobody_votes_before_the_lowest_has_proved() {
    assert!(!swept_without_the_lowest(None));
}

#[test]
fn spoken_for_unheard_it_goes_wrong() {
    assert!(swept_without_the_lowest(Some(Rule::SubtreesSpeakAsOne)));
}

#[test]
fn an_objection_of_the_lowest_ends_the_cycle_for_all() {
    let mut net = Net::new(SISTER, |_| {});
    let cycle = net.cycle_to_decision();
    all().filter(|&node| node != LOW).for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(50);
    net.feed(LOW, Event::ProofFailed { cycle });
    assert_eq!(ended(&net, LOW, cycle), Some(CycleEnding::Abandoned), "it waits for others");
    net.run(50);
    assert_eq!(ended(&net, ROOT, cycle), Some(CycleEnding::VotedDown));
    assert!(all().all(|node| ended(&net, node, cycle).is_some()));
    assert!(nobody_has_swept(&net, cycle));
}

#[test]
fn an_objection_in_time_ends_the_cycle_for_who_has_agreed() {
    let mut net = Net::new(SISTER, |_| {});
    let cycle = net.cycle_to_decision();
    // Votes are called, but not heard by the sister, so their parent has not agreed.
    net.held_up.insert((MIDDLE, SISTER));
    all().for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(50);
    net.feed(LOW, Event::ProofFailed { cycle });
    assert_eq!(ended(&net, LOW, cycle), None, "others may have swept");
    net.run(50);
    assert_eq!(ended(&net, LOW, cycle), Some(CycleEnding::Abandoned));
    assert_eq!(ended(&net, ROOT, cycle), Some(CycleEnding::VotedDown));
    net.held_up.clear();
    net.run(50);
    assert!(all().all(|node| ended(&net, node, cycle).is_some()));
    assert!(nobody_has_swept(&net, cycle));
}

#[test]
fn an_objection_that_comes_too_late_is_too_late_for_all() {
    let (mut net, cycle) = in_doubt();
    net.feed(LOW, Event::ProofFailed { cycle });
    net.run(50);
    let waits = [LOW, MIDDLE, HIGH, ROOT].map(|node| ended(&net, node, cycle).is_none());
    assert_eq!(waits, [true; 4], "the others may have swept");
    net.held_up.clear();
    net.run(50);
    assert!(all().all(|node| net.swept(node, cycle)));
}

#[test]
fn who_objects_says_so_once() {
    let (mut net, cycle) = in_doubt();
    // Much of what it condemned arrives at once.
    net.held_up.insert((ROOT, HIGH));
    let object = Object { cell: 99, generation: 0 };
    net.send(ROOT, HIGH, Reference { home: life(ROOT), object });
    net.run(5);
    net.alter((ROOT, HIGH), |messages| {
        let references = vec![object_of(ROOT); 100];
        *messages = vec![Message::Copy(Copy { first: 1000, references, payload: Payload::default() })];
    });
    net.held_up.remove(&(ROOT, HIGH));
    net.run(20);
    let under_way = net.queues[&(HIGH, ROOT)].iter().flat_map(|frame| wire::decode(frame).unwrap().1);
    let objections = under_way.filter(|message| matches!(message, Message::CycleObjection(_)));
    assert_eq!((objections.count(), ended(&net, HIGH, cycle)), (1, None));
}

#[test]
fn a_cycle_ends_for_all_when_one_that_speaks_for_others_is_cut_off() {
    let mut net = Net::new(SISTER, |config| config.lease.mode = HomeMode::Hold);
    let cycle = net.cycle_to_decision();
    all().filter(|&node| node != ROOT).for_each(|node| net.prove(node, cycle, &[], &[]));
    for other in all().filter(|&node| node != MIDDLE) {
        net.held_up.extend([(MIDDLE, other), (other, MIDDLE)]);
    }
    net.run(1000);
    assert!(all().all(|node| ended(&net, node, cycle).is_none()), "it may be back in time");
    net.run(7000);
    assert!(all().all(|node| ended(&net, node, cycle).is_some()), "somebody waits for the deadline");
    assert!(nobody_has_swept(&net, cycle));
}

#[test]
fn where_only_parent_and_child_are_cut_off_the_cycle_ends_too() {
    let mut net = Net::new(SISTER, |config| config.lease.mode = HomeMode::Hold);
    let cycle = net.cycle_to_decision();
    net.held_up.extend([(MIDDLE, LOW), (LOW, MIDDLE)]);
    all().for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(8000);
    assert!(all().all(|node| ended(&net, node, cycle).is_some()), "somebody waits for the deadline");
    assert!(nobody_has_swept(&net, cycle));
}

/// What `HIGH` says is changed on its way so that it speaks for one node less.
fn with_one_less(change: fn(&mut Message) -> bool) {
    let mut net = Net::new(SISTER, |_| {});
    net.held_up.insert((HIGH, ROOT));
    net.feed(ROOT, Event::CycleRequested);
    net.run(20);
    let cycle = net.nodes[&ROOT].cycle();
    let found = std::cell::Cell::new(false);
    for _ in 0..60 {
        for node in all() {
            net.feed(node, Event::MarkingRested { cycle, worked_off: 0 });
            if net.wanted(node, &Effect::DecideCycle(cycle)) {
                net.prove(node, cycle, &[], &[]);
            }
        }
        net.run(3);
        net.alter((HIGH, ROOT), |messages| {
            messages.iter_mut().for_each(|message| found.set(found.get() | change(message)));
        });
        for frame in net.queues.remove(&(HIGH, ROOT)).into_iter().flatten() {
            net.feed(ROOT, Event::Received { peer: NodeId(HIGH), frame });
        }
    }
    assert!(found.get());
    assert_eq!(ended(&net, ROOT, cycle), Some(CycleEnding::Abandoned));
    assert!(nobody_has_swept(&net, cycle));
}

#[test]
fn the_root_counts_for_how_many_it_is_spoken() {
    with_one_less(|message| match message {
        Message::SubtreeTotals(totals) => {
            totals.nodes -= 1;
            true
        }
        _ => false,
    });
    with_one_less(|message| match message {
        Message::SubtreeProved(proved) => {
            proved.nodes -= 1;
            true
        }
        _ => false,
    });
    with_one_less(|message| match message {
        Message::SubtreeAgrees(agrees) => {
            agrees.nodes -= 1;
            true
        }
        _ => false,
    });
}

/// One member says to another everything that is said along the tree.
fn says_everything(net: &mut Net, from: u32, to: u32, cycle: CycleId) {
    net.held_up.insert((from, to));
    let object = Object { cell: 99, generation: 0 };
    net.send(from, to, Reference { home: life(from), object });
    net.run(5);
    net.alter((from, to), |messages| {
        let nodes = SISTER - 1;
        *messages = vec![
            Message::SubtreeTotals(SubtreeTotals { cycle, number: 1, nodes, sent: 0, received: 0 }),
            Message::Wave(Wave { cycle, number: 99 }),
            Message::CycleDecide(cycle),
            Message::SubtreeProved(SubtreeProved { cycle, nodes }),
            Message::CycleVote(cycle),
            Message::SubtreeAgrees(SubtreeAgrees { cycle, nodes }),
            Message::CycleObjection(cycle),
            Message::CycleSweep(cycle),
            Message::CycleAbort(cycle),
        ];
    });
    net.held_up.remove(&(from, to));
    net.run(20);
}

#[test]
fn what_strangers_say_is_not_heard() {
    let (mut net, cycle) = in_doubt();
    for (stranger, node) in [(HIGH + 1, LOW), (ROOT, LOW), (LOW, ROOT), (LOW, HIGH), (SISTER, LOW)] {
        says_everything(&mut net, stranger, node, cycle);
        assert!(all().all(|node| ended(&net, node, cycle).is_none()), "{node} believes {stranger}");
    }
    net.held_up.clear();
    net.run(50);
    assert!(all().all(|node| net.swept(node, cycle)));
}

#[test]
fn who_has_not_agreed_does_not_sweep() {
    let mut net = Net::new(SISTER, |_| {});
    net.send(LOW, SISTER, object_of(LOW));
    net.run(50);
    let cycle = net.cycle_to_decision();
    // The list of its client is missing.
    net.prove(LOW, cycle, &[OBJECT], &[]);
    says_everything(&mut net, MIDDLE, LOW, cycle);
    assert_eq!(ended(&net, LOW, cycle), Some(CycleEnding::Abandoned), "it hears its parent");
    assert!(!net.swept(LOW, cycle));
}
