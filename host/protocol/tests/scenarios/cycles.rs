//! Marking cycles: what is swept, what is not, and who waits for whom.

use std::collections::BTreeSet;

use gc_protocol::{CycleEnding, Effect, Event, HomeMode, Rule};

use crate::net::{Net, OBJECT, life, object_of};

/// Node 3 has sent node 4 a reference to an object of node 2 that is still under way, and condemns its own stub. Node 4 registers too late for the home's vote.
fn condemned_while_pinned(rule: Option<Rule>) -> bool {
    let mut net = Net::breaking(4, rule);
    net.send(2, 3, object_of(2));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.held_up.insert((3, 4));
    net.send(3, 4, object_of(2));
    net.prove(1, cycle, &[], &[]);
    net.prove(2, cycle, &[OBJECT], &[]);
    net.prove(4, cycle, &[], &[]);
    net.run(10);
    net.prove(3, cycle, &[], &[object_of(2)]);
    net.run(10);
    net.held_up = BTreeSet::from([(4, 2)]);
    net.run(50);
    net.swept(1, cycle)
}

#[test]
fn what_is_pinned_is_not_swept() {
    assert!(!condemned_while_pinned(None));
}

#[test]
fn with_pins_that_are_no_roots_of_a_cycle_it_goes_wrong() {
    assert!(condemned_while_pinned(Some(Rule::PinsAreRoots)));
}

/// After the home's proof node 2 gives node 3 its reference, and condemns its own stub. Then node 3 gives it back, and lets its own go.
fn condemned_and_back(rule: Option<Rule>) -> bool {
    let mut net = Net::breaking(3, rule);
    net.send(1, 2, object_of(1));
    net.run(50);
    let cycle = net.cycle_to_decision();
    // It was marked once, and the home's heap did not care.
    net.feed(2, Event::StubsReached { cycle, references: vec![object_of(1)] });
    net.run(50);
    net.prove(1, cycle, &[OBJECT], &[]);
    net.send(2, 3, object_of(1));
    net.run(50);
    net.prove(2, cycle, &[], &[object_of(1)]);
    net.send(3, 2, object_of(1));
    net.run(50);
    net.drop_stub(3, object_of(1));
    net.run(50);
    let references = net.nodes[&3].references();
    assert_eq!((references.stub_count(), references.cleaning_count()), (0, 0));
    net.prove(3, cycle, &[], &[]);
    net.run(50);
    net.swept(1, cycle)
}

#[test]
fn what_arrives_after_the_proof_vetoes_the_sweep() {
    assert!(!condemned_and_back(None));
}

#[test]
fn with_arrivals_that_do_not_veto_it_goes_wrong() {
    assert!(condemned_and_back(Some(Rule::ArrivalsVeto)));
}

/// What node 2 said of a cycle that was given up arrives in the next one, in which it says something else.
fn a_report_of_yesterday(rule: Option<Rule>) -> bool {
    let mut net = Net::breaking(4, rule);
    net.send(3, 2, object_of(3));
    net.run(50);
    let first = net.cycle_to_decision();
    net.held_up.insert((2, 3));
    net.prove(2, first, &[], &[object_of(3)]);
    net.feed(4, Event::ProofFailed { cycle: first });
    net.run(20);
    assert!(net.wanted(1, &Effect::CycleEnded(first, CycleEnding::VotedDown)), "{:?}", net.effects);
    // The next cycle begins; what is under way from 2 to 3 comes when 3 is in it.
    net.feed(1, Event::CycleRequested);
    net.run(10);
    net.held_up.clear();
    net.run(10);
    let second = net.nodes[&1].cycle();
    for _ in 0..8 {
        (1..=4).for_each(|node| net.feed(node, Event::MarkingRested { cycle: second, worked_off: 0 }));
        net.run(10);
    }
    net.prove(1, second, &[], &[]);
    net.prove(2, second, &[], &[]);
    net.prove(3, second, &[OBJECT], &[]);
    net.prove(4, second, &[], &[]);
    net.run(50);
    net.swept(3, second)
}

#[test]
fn a_report_counts_in_its_own_cycle_only() {
    assert!(!a_report_of_yesterday(None));
}

#[test]
fn with_reports_of_another_cycle_it_goes_wrong() {
    assert!(a_report_of_yesterday(Some(Rule::ReportsNameTheirCycle)));
}

#[test]
fn a_cycle_dies_with_its_membership() {
    let mut net = Net::new(3, |_| {});
    net.send(1, 2, object_of(1));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.prove(1, cycle, &[OBJECT], &[]);
    net.members(2, &[life(1), life(2)]);
    net.prove(2, cycle, &[], &[object_of(1)]);
    net.run(100);
    assert!(net.wanted(1, &Effect::CycleEnded(cycle, CycleEnding::MembershipChanged)));
    assert!(!net.swept(1, cycle) && !net.swept(2, cycle));
}

/// Node 4 is given what it has condemned, and objects. That is under way when node 3, which has agreed, leaves: then as many have agreed as there are members. Whether an object
/// is swept that node 4 has.
fn agreed_for_one_who_left(rule: Option<Rule>) -> bool {
    let mut net = Net::breaking(4, rule);
    net.send(2, 3, object_of(2));
    net.send(2, 4, object_of(2));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.held_up.insert((3, 4));
    net.send(3, 4, object_of(2));
    net.prove(4, cycle, &[], &[object_of(2)]);
    net.run(20);
    net.held_up = BTreeSet::from([(4, 1), (1, 2)]);
    net.run(20);
    net.drop_stub(3, object_of(2));
    net.run(20);
    net.prove(1, cycle, &[], &[]);
    net.prove(2, cycle, &[OBJECT], &[]);
    net.prove(3, cycle, &[], &[]);
    net.run(20);
    net.members(2, &[life(1), life(2), life(4)]);
    net.held_up.remove(&(1, 2));
    net.run(20);
    assert!(net.nodes[&4].references().holds(object_of(2)));
    net.swept(2, cycle)
}

#[test]
fn who_has_left_does_not_agree_for_those_who_stay() {
    assert!(!agreed_for_one_who_left(None));
}

#[test]
fn with_cycles_that_outlive_their_membership_it_goes_wrong() {
    assert!(agreed_for_one_who_left(Some(Rule::CyclesEndWithMembership)));
}

#[test]
fn who_has_not_agreed_gives_up_without_word_from_the_coordinator() {
    let mut net = Net::new(3, |_| {});
    net.send(1, 2, object_of(1));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.held_up = BTreeSet::from([(1, 2), (1, 3)]);
    net.prove(2, cycle, &[], &[object_of(1)]);
    net.run(10);
    let abandoned = Effect::CycleEnded(cycle, CycleEnding::Abandoned);
    assert!(!net.wanted(2, &abandoned));
    net.feed(2, Event::ProofFailed { cycle });
    assert!(net.wanted(2, &abandoned), "its collector waits for node 1");
    // The others hear of it, and sweep nothing.
    net.prove(1, cycle, &[OBJECT], &[]);
    net.prove(3, cycle, &[], &[]);
    net.held_up.clear();
    net.run(50);
    assert!(net.wanted(1, &Effect::CycleEnded(cycle, CycleEnding::VotedDown)));
    assert!(net.wanted(3, &abandoned));
    assert!((1..=3).all(|node| !net.swept(node, cycle)));
}

#[test]
fn who_has_agreed_waits_for_what_the_others_make_of_it() {
    let mut net = Net::new(3, |_| {});
    net.send(1, 2, object_of(1));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.prove(1, cycle, &[OBJECT], &[]);
    net.prove(2, cycle, &[], &[object_of(1)]);
    net.run(10);
    // Its vote is under way.
    net.held_up.insert((2, 1));
    net.prove(3, cycle, &[], &[]);
    net.run(10);
    net.feed(2, Event::ProofFailed { cycle });
    assert_eq!(net.nodes[&2].cycle(), cycle, "the others may have swept");
    net.held_up.clear();
    net.run(50);
    // Its second vote was too late. What another has swept is swept here too.
    assert!((1..=3).all(|node| net.swept(node, cycle)));
}

#[test]
fn a_cycle_ends_when_a_member_is_cut_off() {
    let mut net = Net::new(3, |config| config.lease.mode = HomeMode::Hold);
    let cycle = net.cycle_to_decision();
    net.prove(1, cycle, &[], &[]);
    net.prove(2, cycle, &[], &[]);
    net.held_up.extend([(1, 3), (3, 1), (2, 3), (3, 2)]);
    let abandoned = Effect::CycleEnded(cycle, CycleEnding::Abandoned);
    net.run(1000);
    assert!((1..=3).all(|node| !net.wanted(node, &abandoned)), "it may be back in time");
    net.run(7000);
    assert!((1..=3).all(|node| net.wanted(node, &abandoned)), "nobody waits for the deadline");
    net.held_up.clear();
    net.run(3000);
    let next = net.cycle_to_decision();
    assert!(next > cycle);
}

#[test]
fn who_is_cut_off_and_has_agreed_waits() {
    let mut net = Net::new(3, |config| config.lease.mode = HomeMode::Hold);
    let cycle = net.cycle_to_decision();
    net.held_up.insert((1, 2));
    (1..=3).for_each(|node| net.prove(node, cycle, &[], &[]));
    net.run(20);
    // Node 3 has voted, and hears no more; then node 2 votes too, and the others sweep.
    net.held_up.extend([(1, 3), (3, 1), (2, 3), (3, 2)]);
    net.held_up.remove(&(1, 2));
    net.run(8000);
    let ended = |effect: &Effect| matches!(effect, Effect::CycleEnded(of, _) if *of == cycle).then_some(());
    assert!(net.swept(1, cycle) && net.swept(2, cycle) && net.found(3, ended).is_none());
    net.held_up.clear();
    net.run(50);
    assert!(net.swept(3, cycle));
}

#[test]
fn a_garbage_cycle_over_two_nodes_is_swept() {
    let mut net = Net::new(3, |_| {});
    net.send(1, 2, object_of(1));
    net.send(2, 1, object_of(2));
    net.run(50);
    let cycle = net.cycle_to_decision();
    net.prove(1, cycle, &[OBJECT], &[object_of(2)]);
    net.prove(2, cycle, &[OBJECT], &[object_of(1)]);
    net.prove(3, cycle, &[], &[]);
    net.run(50);
    assert!((1..=3).all(|node| net.swept(node, cycle)));
    net.drop_stub(1, object_of(2));
    net.drop_stub(2, object_of(1));
    net.run(50);
    assert!((1..=2).all(|node| net.wanted(node, &Effect::Unroot(OBJECT))));
}

#[test]
fn a_cycle_costs_a_node_the_same_in_a_large_cluster() {
    let cost = |count: u32| {
        let mut net = Net::new(count, |_| {});
        for node in 1..=count {
            net.send(node, node % count + 1, object_of(node));
        }
        net.run(50);
        let sum = |net: &Net| net.nodes.values().map(|node| node.counters().messages_sent).sum::<u64>();
        let before = sum(&net);
        let cycle = net.cycle_to_decision();
        for node in 1..=count {
            let held = object_of(if node == 1 { count } else { node - 1 });
            net.prove(node, cycle, &[OBJECT], &[held]);
        }
        net.run(50);
        assert!((1..=count).all(|node| net.swept(node, cycle)));
        (sum(&net) - before) as f64 / f64::from(count)
    };
    let (small, large) = (cost(4), cost(48));
    println!("messages per node and cycle: {small:.1} with 4 nodes, {large:.1} with 48");
    assert!(large < 1.5 * small, "{small} {large}");
}
