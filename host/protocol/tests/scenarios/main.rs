//! Stories told step by step, over a network that is held up by hand: what random runs meet too rarely, and what a hostile peer does.

mod cycles;
mod net;
mod stamps;
mod tree;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use gc_protocol::wire::{self, Header, Message};
use gc_protocol::{
    Config, CycleId, Effect, Event, HomeMode, Life, MembershipEpoch, Node, NodeId, Object, Present,
    Reference, Refusal, Rule, StubLoss, SwapEnding,
};

use net::{Net, OBJECT, life, object_of};

#[test]
fn a_reference_handed_on_costs_five_small_messages() {
    let mut net = Net::new(3, |_| {});
    net.send(1, 2, object_of(1));
    net.run(50);
    let before: u64 = net.nodes.values().map(|node| node.counters().messages_sent).sum();
    // Node 2 gives node 3 a reference to an object of node 1, and node 3 lets it go.
    net.send(2, 3, object_of(1));
    net.run(50);
    assert!(net.nodes[&1].references().lists(OBJECT, life(3)));
    assert_eq!(net.nodes[&2].references().pin_count(), 0);
    net.drop_stub(3, object_of(1));
    net.run(50);
    let after: u64 = net.nodes.values().map(|node| node.counters().messages_sent).sum();
    // Dirty, its answer, copy acknowledged, clean, its answer.
    assert_eq!(after - before, 5);
    assert!(!net.nodes[&1].references().lists(OBJECT, life(3)));
    net.drop_stub(2, object_of(1));
    net.run(50);
    assert!(net.wanted(1, &Effect::Root(OBJECT)) && net.wanted(1, &Effect::Unroot(OBJECT)));
}

#[test]
fn the_first_message_goes_at_once_and_those_behind_it_share_a_frame() {
    let mut net = Net::new(2, |_| {});
    net.run(100);
    net.held_up = BTreeSet::from([(1, 2), (2, 1)]);
    let frames = |net: &Net| net.queues.get(&(1, 2)).map_or(0, VecDeque::len);
    net.send(1, 2, object_of(1));
    assert_eq!(frames(&net), 1, "nobody else comes: the link was silent");
    (0..10).for_each(|_| net.send(1, 2, object_of(1)));
    net.run(1);
    assert_eq!(frames(&net), 1, "a frame for each");
    net.run(1);
    assert_eq!(frames(&net), 2);
    net.held_up.clear();
    net.run(50);
    assert_eq!(net.nodes[&2].counters().copies_received, 11);
}

/// The frame with the clean of node 2 arrives, and what was in it is lost: as by a fault of whatever stands below the tables.
fn lost_for_good(rule: Option<Rule>) -> bool {
    let mut net = Net::breaking(2, rule);
    net.send(1, 2, object_of(1));
    net.run(50);
    net.held_up.insert((2, 1));
    net.drop_stub(2, object_of(1));
    net.run(10);
    net.alter((2, 1), |messages| messages.retain(|message| !matches!(message, Message::Clean(_))));
    net.held_up.clear();
    // One interval: the digests differ.
    net.run(5_100);
    net.wanted(1, &Effect::Unroot(OBJECT))
}

#[test]
fn what_was_lost_is_healed() {
    assert!(lost_for_good(None));
}

#[test]
fn without_digests_and_retries_it_leaks() {
    assert!(!lost_for_good(Some(Rule::DigestsHeal)));
}

/// Node 3 has a clean under way when node 2 gives it the same reference again, and dies.
fn reacquired_from_the_dead(rule: Option<Rule>) -> Net {
    let mut net = Net::breaking(3, rule);
    net.send(1, 2, object_of(1));
    net.send(1, 3, object_of(1));
    net.run(50);
    net.held_up.insert((1, 3));
    net.drop_stub(3, object_of(1));
    net.run(10);
    net.send(2, 3, object_of(1));
    net.run(10);
    net.nodes.remove(&2);
    net.forget_effects();
    net.members(2, &[life(1), life(3)]);
    net.run(50);
    net.held_up.clear();
    net.run(100);
    net
}

#[test]
fn what_the_dead_gave_away_is_registered_before_they_are_forgotten() {
    let net = reacquired_from_the_dead(None);
    assert!(net.wanted(1, &Effect::Forgotten(life(2))));
    assert!(!net.wanted(1, &Effect::Unroot(OBJECT)), "{:?}", net.effects);
    assert!(net.nodes[&1].references().lists(OBJECT, life(3)));
}

#[test]
fn with_acknowledgements_without_what_was_admitted_it_goes_wrong() {
    let net = reacquired_from_the_dead(Some(Rule::ExileAcksCarryAdmitted));
    assert!(net.wanted(1, &Effect::Unroot(OBJECT)), "nobody notices: {:?}", net.effects);
}

/// Node 3 joins; node 1 knows it and gives node 2, which does not, a reference to its object. Answers how often node 2 was given a stub.
fn from_a_home_that_is_not_known_yet(rule: Option<Rule>) -> u32 {
    let mut net = Net::breaking(2, rule);
    net.nodes.insert(3, Node::new(Config::new(life(3), 1, 3)));
    let joined = || Event::MembershipChanged {
        epoch: MembershipEpoch(2),
        members: BTreeSet::from([life(1), life(2), life(3)]),
    };
    net.feed(1, joined());
    net.feed(3, joined());
    for (a, b) in [(1, 3), (3, 1)] {
        net.feed(a, Event::Connected { peer: NodeId(b), wall_ms: 0 });
    }
    net.run(50);
    net.send(3, 1, object_of(3));
    net.run(50);
    net.send(1, 2, object_of(3));
    net.run(50);
    net.feed(2, joined());
    for (a, b) in [(2, 3), (3, 2)] {
        net.feed(a, Event::Connected { peer: NodeId(b), wall_ms: 0 });
    }
    net.run(3000);
    let delivered = |effect: &Effect| match effect {
        Effect::Deliver { references, .. } => Some(references[0].import),
        _ => None,
    };
    net.found(2, delivered).expect("it arrives")
}

#[test]
fn a_frame_of_a_later_membership_waits_for_it() {
    assert_eq!(from_a_home_that_is_not_known_yet(None), 1);
}

#[test]
fn with_frames_of_a_later_membership_it_goes_wrong() {
    // A living object is taken for dead.
    assert_eq!(from_a_home_that_is_not_known_yet(Some(Rule::NoFramesFromTheFuture)), 0);
}

#[test]
fn an_earlier_life_is_told_why_it_is_refused() {
    let mut net = Net::new(2, |_| {});
    let old = net.nodes[&2].clone();
    net.nodes.insert(2, Node::new(Config::new(Life::new(2, 2), 1, 5)));
    net.members(2, &[life(1), Life::new(2, 2)]);
    assert!(net.wanted(1, &Effect::Close { peer: NodeId(2), reason: Refusal::ExiledLife }));
    // The earlier life is still there, and comes back first.
    net.nodes.insert(2, old);
    net.queues.clear();
    net.feed(1, Event::Connected { peer: NodeId(2), wall_ms: 0 });
    net.feed(2, Event::Disconnected { peer: NodeId(1) });
    net.feed(2, Event::Connected { peer: NodeId(1), wall_ms: 0 });
    net.run(5);
    assert!(
        net.wanted(2, &Effect::Close { peer: NodeId(1), reason: Refusal::ByPeer(8) }),
        "{:?}",
        net.effects
    );
}

#[test]
fn without_leases_a_client_that_was_away_is_told_what_is_gone() {
    let mut net = Net::new(2, |config| config.lease.mode = HomeMode::LeaseFree);
    net.send(1, 2, object_of(1));
    net.run(50);
    net.held_up.extend([(1, 2), (2, 1)]);
    net.run(7000);
    assert!(net.wanted(2, &Effect::Suspect(life(1))));
    assert!(net.wanted(1, &Effect::LeaseLapsed(life(2))) && net.wanted(1, &Effect::Unroot(OBJECT)));
    net.send(2, 1, object_of(1));
    let refused = net.found(2, |effect| match effect {
        Effect::NotSent { reason, .. } => Some(*reason),
        _ => None,
    });
    assert!(matches!(refused, Some(Refusal::Fenced | Refusal::LeaseLost(_))), "{refused:?}");
    net.forget_effects();
    net.held_up.clear();
    net.run(3000);
    // The client says anew what it holds; the home looks, and has it no more.
    assert!(net.wanted(1, &Effect::Root(OBJECT)));
    net.feed(1, Event::RootRefused { object: OBJECT });
    net.run(3000);
    assert!(net.wanted(2, &Effect::StubDead { reference: object_of(1), why: StubLoss::Gone }));
    assert!(net.wanted(2, &Effect::Trust(life(1))));
}

#[test]
fn a_home_that_holds_keeps_everything_for_who_comes_back() {
    let mut net = Net::new(3, |config| config.lease.mode = HomeMode::Hold);
    net.send(1, 2, object_of(1));
    net.run(50);
    net.held_up.extend([(1, 2), (2, 1)]);
    net.run(20_000);
    assert!(net.wanted(1, &Effect::LeaseLapsed(life(2))) && !net.wanted(1, &Effect::Unroot(OBJECT)));
    assert_eq!(net.nodes[&1].held_only_by(NodeId(2)).into_iter().collect::<Vec<_>>(), [OBJECT]);
    net.held_up.clear();
    net.run(3000);
    assert!(net.wanted(2, &Effect::Trust(life(1))));
    net.drop_stub(2, object_of(1));
    net.run(50);
    assert!(net.wanted(1, &Effect::Unroot(OBJECT)));
}

fn swap(rule: Option<Rule>, third_can: bool) -> Net {
    let mut net = Net::breaking(3, rule);
    // Two pieces and a bit.
    let bytes = Arc::new(vec![7u8; 600_000]);
    net.feed(1, Event::SwapRequested { digest: [9; 32], bytes: Arc::clone(&bytes) });
    net.run(100);
    for node in 1..=3 {
        let prepare = Effect::PrepareStrategy { digest: [9; 32], bytes: Arc::clone(&bytes) };
        assert!(net.wanted(node, &prepare), "node {node}");
        net.feed(node, Event::StrategyPrepared { digest: [9; 32], ready: node != 3 || third_can });
        if node < 3 {
            net.run(50);
            assert_eq!(net.nodes[&1].strategy().generation, 0, "before all were prepared");
        }
    }
    net.run(50);
    net
}

#[test]
fn a_strategy_is_exchanged_when_all_are_prepared() {
    let mut net = swap(None, true);
    assert!(net.nodes.values().all(|node| node.strategy().generation == 1));
    assert!(net.wanted(1, &Effect::SwapEnded([9; 32], SwapEnding::Committed)));
    // A node that joins fetches it.
    let mut config = Config::new(life(4), 1, 4);
    config.module = Arc::new(Vec::new());
    net.nodes.insert(4, Node::new(config));
    net.members(2, &[life(1), life(2), life(3), life(4)]);
    for peer in 1..=3 {
        net.feed(4, Event::Connected { peer: NodeId(peer), wall_ms: 0 });
        net.feed(peer, Event::Connected { peer: NodeId(4), wall_ms: 0 });
    }
    net.run(200);
    net.feed(4, Event::StrategyPrepared { digest: [9; 32], ready: true });
    assert_eq!(net.nodes[&4].strategy(), net.nodes[&1].strategy());
}

#[test]
fn one_who_cannot_prepare_leaves_everybody_on_the_old_strategy() {
    let net = swap(None, false);
    assert!(net.nodes.values().all(|node| node.strategy().generation == 0));
    assert!(net.wanted(1, &Effect::SwapEnded([9; 32], SwapEnding::NotPrepared(life(3)))));
    assert!((1..=3).all(|node| net.wanted(node, &Effect::DiscardStrategy([9; 32]))));
}

#[test]
fn exchanged_without_one_it_goes_wrong() {
    let net = swap(Some(Rule::SwapIsUnanimous), false);
    assert!(net.nodes.values().any(|node| node.strategy().generation == 1), "nobody notices");
}

#[test]
fn who_missed_a_commit_hears_of_it_when_its_leader_has_left() {
    let mut net = Net::new(3, |_| {});
    let (digest, bytes) = ([9; 32], Arc::new(vec![7u8; 1000]));
    net.feed(1, Event::SwapRequested { digest, bytes });
    net.run(100);
    net.held_up.insert((1, 3));
    (1..=3).for_each(|node| net.feed(node, Event::StrategyPrepared { digest, ready: true }));
    net.run(50);
    let generation = |net: &Net, node: u32| net.nodes[&node].strategy().generation;
    assert_eq!((generation(&net, 2), generation(&net, 3)), (1, 0));
    net.nodes.remove(&1);
    net.members(2, &[life(2), life(3)]);
    net.run(100);
    net.feed(3, Event::StrategyPrepared { digest, ready: true });
    assert_eq!(generation(&net, 3), 1);
}

/// Node 2 has the greater digest.
fn bringing(config: &mut Config) {
    let node = config.me.node.0 as u8;
    config.strategy = Present { generation: 0, digest: [3 * node; 32] };
    config.module = Arc::new(vec![node; 1000]);
}

#[test]
fn who_joins_takes_the_strategy_of_who_was_alone() {
    let mut net = Net::new(1, bringing);
    let mut config = Config::new(life(2), 1, 2);
    bringing(&mut config);
    net.nodes.insert(2, Node::new(config));
    net.members(2, &[life(1), life(2)]);
    for (node, peer) in [(1, 2), (2, 1)] {
        net.feed(node, Event::Connected { peer: NodeId(peer), wall_ms: 0 });
    }
    net.run(200);
    let (digest, bytes) = ([3; 32], Arc::new(vec![1; 1000]));
    assert!(net.wanted(2, &Effect::PrepareStrategy { digest, bytes }));
    net.feed(2, Event::StrategyPrepared { digest, ready: true });
    net.run(200);
    assert!(net.nodes.values().all(|node| node.strategy() == Present { generation: 1, digest }));
    let asked = |effect: &Effect| matches!(effect, Effect::PrepareStrategy { .. });
    assert!(!net.effects[&1].iter().any(asked), "the first one was asked to exchange its own");
}

#[test]
fn who_came_back_together_keep_what_each_brought() {
    let mut net = Net::new(2, bringing);
    net.run(200);
    for (node, machine) in &net.nodes {
        assert_eq!(machine.strategy(), Present { generation: 0, digest: [3 * *node as u8; 32] });
    }
}

#[test]
fn strangers_are_refused_with_a_reason() {
    let refused = |change: fn(&mut Header, &mut Vec<Message>)| {
        let mut net = Net::new(2, |_| {});
        let mut header = Header {
            from: life(2),
            to: life(1),
            epoch: MembershipEpoch(1),
            cycle: CycleId::NONE,
            sequence: 0,
            acknowledged: 0,
            settled: 0,
        };
        let hello = wire::Hello { cluster: 1, nonce: 2, wall_ms: 0, heard: true };
        let mut messages = vec![Message::Hello(hello)];
        change(&mut header, &mut messages);
        let frame = wire::frame(&header, &messages);
        net.feed(1, Event::Received { peer: NodeId(2), frame });
        net.found(1, |effect| match effect {
            Effect::Close { reason, .. } => Some(*reason),
            _ => None,
        })
    };
    assert_eq!(refused(|_, _| {}), None);
    assert_eq!(refused(|header, _| header.from.node = NodeId(3)), Some(Refusal::WrongAddress));
    assert_eq!(refused(|header, _| header.to.node = NodeId(3)), Some(Refusal::WrongAddress));
    assert_eq!(refused(|header, _| header.from.incarnation.0 = 0), Some(Refusal::ReplayedIncarnation));
    assert_eq!(refused(|header, _| header.from.incarnation.0 = 2), Some(Refusal::NotAMember));
    fn said(cluster: u64, nonce: u64, wall_ms: u64) -> Message {
        Message::Hello(wire::Hello { cluster, nonce, wall_ms, heard: true })
    }
    assert_eq!(refused(|_, messages| messages[0] = said(2, 2, 0)), Some(Refusal::OtherCluster));
    assert_eq!(refused(|_, messages| messages[0] = said(1, 3, 0)), Some(Refusal::TwinLife));
    let skewed = refused(|_, messages| messages[0] = said(1, 2, 1 << 40));
    assert!(matches!(skewed, Some(Refusal::ClockSkew(_))), "{skewed:?}");
    let misplaced = refused(|_, messages| messages[0] = Message::FullSetEnd(1));
    assert_eq!(misplaced, Some(Refusal::Misplaced));
}

/// Member 2 says anything: it can lose its own references, and nothing else happens.
#[test]
fn a_member_that_lies_hurts_itself() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut net = Net::new(3, |_| {});
    net.send(1, 3, object_of(1));
    net.run(50);
    net.nodes.remove(&2);
    net.forget_effects();
    // The first frame after those that node 2 had sent.
    for sequence in 2..20_000 {
        let object = Object { cell: random() as u32 % 16, generation: random() as u32 % 2 };
        let mentions = vec![wire::Mention { object, seq: random() % 50 }];
        let cycle = CycleId::in_epoch(MembershipEpoch(1), random() as u32 % 4).unwrap_or(CycleId::NONE);
        let reference = Reference { home: Life::new(random() as u32 % 4, random() % 3), object };
        let nodes = random() as u32 % 4;
        let message = match random() % 22 {
            0 => Message::Dirty(mentions),
            1 => Message::Clean(mentions),
            2 => Message::DirtyAck(mentions),
            3 => Message::CleanAck(mentions),
            4 => Message::Gone(mentions),
            5 => Message::CopyAck(vec![random() % 8]),
            6 => Message::BucketHashes(vec![random(); (random() % 300) as usize]),
            7 => Message::BucketSet(wire::BucketSet {
                bucket: random() as u8,
                low: object,
                high: Object { cell: random() as u32, generation: 0 },
                watermark: random(),
                mentions,
            }),
            8 => Message::ExileAck(wire::ExileAck { epoch: random(), admitted: mentions }),
            9 => Message::CycleSweep(cycle),
            10 => Message::MarkRequest(wire::MarkRequest { cycle, objects: vec![object] }),
            11 => Message::SubtreeAgrees(wire::SubtreeAgrees { cycle, nodes }),
            12 => Message::CondemnedStubs(wire::CondemnedStubs { cycle, objects: vec![object], last: true }),
            13 => Message::ModuleWanted(wire::ModuleWanted { digest: [0; 32], offset: random() << 30 }),
            14 => Message::FullSetEnd(random() % 3),
            15 => Message::SubtreeProved(wire::SubtreeProved { cycle, nodes }),
            16 => Message::SubtreeTotals(wire::SubtreeTotals {
                cycle,
                number: nodes,
                nodes,
                sent: random(),
                received: random(),
            }),
            17 => Message::CycleObjection(cycle),
            18 => Message::Wave(wire::Wave { cycle, number: nodes }),
            19 => Message::CycleVote(cycle),
            _ => Message::Copy(wire::Copy {
                first: random(),
                references: vec![reference],
                payload: wire::Payload::default(),
            }),
        };
        let header = Header {
            from: life(2),
            to: life(1),
            epoch: MembershipEpoch(1),
            cycle,
            sequence,
            acknowledged: random(),
            settled: random() % 60,
        };
        net.feed(1, Event::Received { peer: NodeId(2), frame: wire::frame(&header, &[message]) });
        net.queues.clear();
    }
    assert!(net.nodes[&1].counters().frames_dropped < 100, "it does not look at what the liar says");
    assert!(net.nodes[&1].references().lists(OBJECT, life(3)));
    assert!(!net.wanted(1, &Effect::Unroot(OBJECT)));
}
