//! Cycles that a member makes up: they cost the next ones, and none that come later.

use gc_protocol::limits::{CYCLE_FAN_OUT, CYCLES_AHEAD_MAX};
use gc_protocol::wire::{Message, Wave};
use gc_protocol::{CycleId, Effect, Event, MembershipEpoch, Object, Reference};

use crate::net::{Net, life};

const ROOT: u32 = 1;
const INNER: u32 = 2;
const LIAR: u32 = 3;

/// A child of `INNER`, and the last node.
const LOW: u32 = CYCLE_FAN_OUT as u32 + 2;

fn cycle(number: u32) -> CycleId {
    CycleId::in_epoch(MembershipEpoch(1), number).unwrap()
}

/// What one node sends another is changed on its way.
fn lie(net: &mut Net, link: (u32, u32), change: impl Fn(&mut Net)) {
    net.held_up.insert(link);
    let object = Object { cell: 99, generation: 0 };
    net.send(link.0, link.1, Reference { home: life(link.0), object });
    net.run(5);
    change(net);
    net.held_up.remove(&link);
    net.run(20);
}

fn stamp(net: &mut Net, from: u32, to: u32, number: u32) {
    lie(net, (from, to), |net| net.restamp((from, to), cycle(number)));
}

/// A cycle in which nobody finds anything. Whether it was swept; in any case it is over soon.
fn is_swept(net: &mut Net) -> bool {
    net.feed(ROOT, Event::CycleRequested);
    let cycle = net.nodes[&ROOT].cycle();
    assert_ne!(cycle, CycleId::NONE);
    for _ in 0..20 {
        for node in ROOT..=LOW {
            let shaded = net.found(node, |effect| match effect {
                Effect::Shade { cycle: of, number, .. } if *of == cycle => Some(*number),
                _ => None,
            });
            net.feed(node, Event::MarkingRested { cycle, worked_off: shaded.unwrap_or(0) });
            if net.wanted(node, &Effect::DecideCycle(cycle)) {
                net.prove(node, cycle, &[], &[]);
            }
        }
        net.run(5);
    }
    assert_eq!(net.nodes[&ROOT].cycle(), CycleId::NONE, "it goes on until the deadline");
    net.swept(ROOT, cycle)
}

fn net() -> Net {
    Net::new(LOW, |_| {})
}

#[test]
fn the_last_number_of_all_takes_none_from_the_cycles_to_come() {
    for to in [ROOT, INNER, LOW] {
        for number in [u32::MAX, 1 << 24, CYCLES_AHEAD_MAX + 1] {
            let mut net = net();
            stamp(&mut net, LIAR, to, number);
            assert_eq!(net.nodes[&to].cycle(), CycleId::NONE);
            assert!(is_swept(&mut net), "node {to} has been told of cycle {number}");
        }
    }
}

#[test]
fn the_coordinator_knows_its_own_cycles() {
    let mut net = net();
    stamp(&mut net, LIAR, ROOT, 1);
    assert_eq!(net.nodes[&ROOT].cycle(), CycleId::NONE);
    assert!(is_swept(&mut net));
}

#[test]
fn a_parent_cannot_use_the_numbers_up_either() {
    let mut net = net();
    let wave = |net: &mut Net, cycle| {
        lie(net, (INNER, LOW), |net| {
            net.alter((INNER, LOW), |messages| *messages = vec![Message::Wave(Wave { cycle, number: 1 })]);
        });
    };
    wave(&mut net, cycle(u32::MAX));
    assert_eq!(net.nodes[&LOW].cycle(), CycleId::NONE);
    wave(&mut net, cycle(1));
    assert_eq!(net.nodes[&LOW].cycle(), cycle(1));
}

#[test]
fn a_cycle_that_was_made_up_costs_those_before_it_and_no_more() {
    let mut net = net();
    stamp(&mut net, LIAR, LOW, CYCLES_AHEAD_MAX);
    assert_eq!(net.nodes[&LOW].cycle(), cycle(CYCLES_AHEAD_MAX));
    let swept: Vec<bool> = (0..=CYCLES_AHEAD_MAX).map(|_| is_swept(&mut net)).collect();
    assert!(swept[CYCLES_AHEAD_MAX as usize] && !swept[0], "{swept:?}");
}

#[test]
fn a_cycle_that_was_made_up_ends_the_one_that_runs_at_once() {
    let mut net = net();
    net.feed(ROOT, Event::CycleRequested);
    net.run(20);
    assert!((ROOT..=LOW).all(|node| net.nodes[&node].cycle() == cycle(1)));
    stamp(&mut net, LIAR, LOW, 2);
    let running: Vec<u32> = (ROOT..=LOW).filter(|node| net.nodes[node].cycle() == cycle(1)).collect();
    assert!(running.is_empty(), "{running:?} wait for node {LOW}, which has left it");
    assert!(is_swept(&mut net), "the next one is the one that was made up");
}

#[test]
fn those_below_hear_of_a_cycle_that_is_over_before_it_came() {
    let mut net = net();
    for number in 1..=2 * CYCLES_AHEAD_MAX {
        stamp(&mut net, LIAR, INNER, number);
        net.feed(INNER, Event::ProofFailed { cycle: cycle(number) });
        assert!(!is_swept(&mut net));
        assert_eq!(net.nodes[&LOW].cycle(), CycleId::NONE, "it waits for a cycle that is over");
    }
    assert!(is_swept(&mut net));
}

#[test]
fn that_no_number_is_left_is_said() {
    let mut net = net();
    assert!(!net.nodes[&ROOT].cycles_are_used_up());
    let members: Vec<_> = (ROOT..=LOW).map(life).collect();
    net.members(CycleId::EPOCH_MAX + 1, &members);
    net.feed(ROOT, Event::CycleRequested);
    assert!(net.wanted(ROOT, &Effect::CycleRefused { ask: None }) && net.nodes[&ROOT].cycles_are_used_up());
}
