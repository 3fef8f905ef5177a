//! What peers do that are members and no friends: they say anything, ask for everything at once, take no answers, and hand over a million references. Who does so hurts itself: the others' references
//! stay, memory has a bound, and nothing panics.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gc_protocol::digest::bucket_of;
use gc_protocol::limits::{
    AHEAD_BYTES_MAX, COPIES_OPEN_MAX, ENTRIES_PER_MESSAGE_MAX, FRAME_BODY_BYTES_MAX, MILLISECOND,
    PAYLOAD_BYTES_MAX, PENDING_BYTES_MAX, REFERENCES_PER_COPY_MAX, SET_READS_MAX,
};
use gc_protocol::wire::{self, HEADER_BYTES, Header, Mention, Message, Payload};
use gc_protocol::{
    Config, CycleId, Effect, Event, Incarnation, Life, MembershipEpoch, Nanos, Node, NodeId, Object,
    Reference, Refusal,
};

fn life(node: u32) -> Life {
    Life::new(node, 1)
}

fn member(life: Life) -> NodeId {
    life.node
}

/// A cell far from its neighbours: its steps in a list are as long as they can be.
fn object(index: u32) -> Object {
    Object { cell: index.wrapping_mul(0x9E37_79B1), generation: index % 3 }
}

fn of_home(node: u32, index: u32) -> Reference {
    Reference { home: life(node), object: object(index) }
}

/// Some nodes, and frames that arrive as soon as they are let through.
struct Net {
    nodes: Vec<Node>,
    now: Nanos,
    frames: VecDeque<(u32, u32, Vec<u8>)>,
    held_up: BTreeSet<(u32, u32)>,
    /// What each node was given, with the number of the import.
    stubs: Vec<Vec<(Reference, u32)>>,
    refused: Vec<Refusal>,
    closed: Vec<(u32, Refusal)>,
    /// Modules that are to be prepared.
    prepare: Vec<[u8; 32]>,
}

impl Net {
    fn new(count: u32) -> Net {
        let nodes = (1..=count).map(|node| Node::new(Config::new(life(node), 1, u64::from(node)))).collect();
        let mut net = Net {
            nodes,
            now: 0,
            frames: VecDeque::new(),
            held_up: BTreeSet::new(),
            stubs: vec![Vec::new(); count as usize],
            refused: Vec::new(),
            closed: Vec::new(),
            prepare: Vec::new(),
        };
        net.members(1, count);
        for (a, b) in (1..=count).flat_map(|a| (1..=count).map(move |b| (a, b))).filter(|(a, b)| a < b) {
            net.connect(a, b);
        }
        net.run(20);
        net
    }

    fn connect(&mut self, a: u32, b: u32) {
        self.feed(a, Event::Connected { peer: NodeId(b), wall_ms: 0 });
        self.feed(b, Event::Connected { peer: NodeId(a), wall_ms: 0 });
    }

    /// The connection between two breaks, and what is under way is lost.
    fn part(&mut self, a: u32, b: u32) {
        for (at, peer) in [(a, b), (b, a)] {
            self.feed(at, Event::Disconnected { peer: NodeId(peer) });
            self.frames.retain(|&(from, to, _)| (from, to) != (at, peer));
        }
    }

    fn members(&mut self, epoch: u64, count: u32) {
        let members: BTreeSet<Life> = (1..=count).map(life).collect();
        for node in 1..=count {
            let (epoch, members) = (MembershipEpoch(epoch), members.clone());
            self.feed(node, Event::MembershipChanged { epoch, members });
        }
    }

    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize - 1]
    }

    fn feed(&mut self, node: u32, event: Event) {
        let mut effects = Vec::new();
        self.nodes[node as usize - 1].step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Transmit { peer, frame } => self.frames.push_back((node, peer.0, frame)),
                Effect::Deliver { references, .. } => {
                    let stubs = references.iter().filter(|it| it.import > 0);
                    self.stubs[node as usize - 1].extend(stubs.map(|it| (it.reference, it.import)));
                }
                Effect::NotSent { reason, .. } => self.refused.push(reason),
                Effect::Close { reason, .. } => self.closed.push((node, reason)),
                Effect::PrepareStrategy { digest, .. } => self.prepare.push(digest),
                _ => {}
            }
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += MILLISECOND;
            (1..=self.nodes.len() as u32).for_each(|node| self.feed(node, Event::Ticked));
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        let mut waiting = VecDeque::new();
        while let Some((from, to, frame)) = self.frames.pop_front() {
            assert!(
                frame.len() <= HEADER_BYTES + FRAME_BODY_BYTES_MAX,
                "no peer takes {} bytes",
                frame.len()
            );
            if self.held_up.contains(&(from, to)) {
                waiting.push_back((from, to, frame));
            } else {
                self.feed(to, Event::Received { peer: NodeId(from), frame });
            }
        }
        self.frames = waiting;
    }

    fn send(&mut self, from: u32, to: u32, references: Vec<Reference>) -> Option<Refusal> {
        self.refused.clear();
        let (to, payload) = (NodeId(to), Vec::new());
        self.feed(from, Event::SendRequested { to, references, payload, token: 1 });
        self.refused.pop()
    }

    /// Hands references over, as fast as they are taken.
    fn hand_over(&mut self, from: u32, to: u32, references: &[Reference]) -> u32 {
        let mut refusals = 0;
        for some in references.chunks(REFERENCES_PER_COPY_MAX) {
            while let Some(reason) = self.send(from, to, some.to_vec()) {
                assert_eq!(reason, Refusal::Full);
                refusals += 1;
                self.run(1);
            }
        }
        refusals
    }

    /// What a node counts against another, and that it is what it counts against all.
    fn unfounded(&self, node: u32, of: u32) -> u64 {
        let mut sum = 0;
        let counted = self.node(node).peers(self.now).map(|peer| (member(peer.life), peer.unfounded));
        let counted: Vec<(NodeId, u64)> = counted.inspect(|(_, count)| sum += count).collect();
        assert_eq!(sum, self.node(node).counters().unfounded);
        counted.into_iter().find(|(node, _)| *node == NodeId(of)).unwrap().1
    }

    fn pending_bytes(&self, node: u32, to: u32) -> usize {
        let mut peers = self.node(node).peers(self.now);
        peers.find(|peer| member(peer.life) == NodeId(to)).map_or(0, |peer| peer.pending_bytes)
    }

    /// A member says something in its next frame, whatever it is. False when it is not admitted.
    fn say(&mut self, liar: &mut Liar, messages: &[Message]) -> bool {
        let before = self.node(liar.victim).counters().frames_dropped;
        let frame = liar.frame(messages);
        self.feed(liar.victim, Event::Received { peer: NodeId(liar.node), frame });
        self.node(liar.victim).counters().frames_dropped == before
    }
}

/// A member whose frames are made by hand.
struct Liar {
    node: u32,
    victim: u32,
    sequence: u64,
    acknowledged: u64,
    settled: u64,
    cycle: CycleId,
}

impl Liar {
    /// Takes the place of a node, behind the frames that it has sent.
    fn in_place_of(net: &mut Net, node: u32, victim: u32) -> Liar {
        net.held_up.extend([(node, victim), (victim, node)]);
        let none = CycleId::NONE;
        let mut liar = Liar { node, victim, sequence: 1, acknowledged: 0, settled: 0, cycle: none };
        // Numbers that were used are passed over.
        while !net.say(&mut liar, &[]) {}
        liar
    }

    fn frame(&mut self, messages: &[Message]) -> Vec<u8> {
        let header = Header {
            from: life(self.node),
            to: life(self.victim),
            epoch: MembershipEpoch(1),
            cycle: self.cycle,
            sequence: self.sequence,
            acknowledged: self.acknowledged,
            settled: self.settled,
        };
        self.sequence += 1;
        wire::frame(&header, messages)
    }
}

fn mention(object: Object, seq: u64) -> Mention {
    Mention { object, seq }
}

#[test]
fn a_million_references_arrive_and_go() {
    // More than may be open.
    const COUNT: u32 = 1_060_000;
    let mut net = Net::new(2);
    let all: Vec<Reference> = (0..COUNT).map(|index| of_home(1, index)).collect();
    assert_eq!(net.send(1, 2, all.clone()), Some(Refusal::TooLarge));
    assert_eq!(net.node(1).references().pin_count(), 0, "nothing of it is kept");
    // In pieces, and faster than they are taken.
    assert!(net.hand_over(1, 2, &all) > 0, "nobody had to wait");
    net.run(100);
    assert_eq!(net.node(1).references().scion_count(), COUNT as usize);
    assert_eq!(net.node(1).references().pin_count(), 0);
    let stubs = std::mem::take(&mut net.stubs[1]);
    assert_eq!(stubs.len(), COUNT as usize);
    net.feed(2, Event::StubsDropped { stubs });
    net.run(200);
    let left = (net.node(2).references().stub_count(), net.node(1).references().listed_count(life(2)));
    assert_eq!(left, (0, 0));
    assert_eq!((&net.closed[..], net.unfounded(1, 2)), (&[][..], 0));
}

/// What an acknowledgement of a membership has to carry may be more than a frame.
#[test]
fn a_membership_may_change_while_registrations_are_open_that_fill_more_than_a_frame() {
    const COUNT: u32 = 250_000;
    let mut net = Net::new(3);
    let all: Vec<Reference> = (0..COUNT).map(|index| of_home(1, index)).collect();
    net.hand_over(1, 2, &all);
    net.run(50);
    // The home does not answer node 3.
    net.held_up.insert((1, 3));
    net.hand_over(2, 3, &all);
    net.run(50);
    assert_eq!(net.node(2).references().pin_count(), COUNT as usize);
    net.members(2, 3);
    net.run(50);
    net.held_up.clear();
    net.run(3000);
    assert_eq!(net.node(2).references().pin_count(), 0);
    assert_eq!(net.node(1).references().scion_count(), 2 * COUNT as usize);
    assert_eq!(net.closed, []);
}

#[test]
fn what_waits_for_a_peer_is_as_many_bytes_as_it_says() {
    // More than may be under way.
    const COUNT: u32 = 400_000;
    let mut net = Net::new(2);
    let all: Vec<Reference> = (0..COUNT).map(|index| of_home(1, index)).collect();
    net.hand_over(1, 2, &all);
    net.run(50);
    net.held_up.extend([(1, 2), (2, 1)]);
    net.deliver();
    // One message each, and they are merged as they wait.
    for stub in std::mem::take(&mut net.stubs[1]) {
        net.feed(2, Event::StubsDropped { stubs: vec![stub] });
    }
    let under_way = net
        .frames
        .iter()
        .filter(|(from, ..)| *from == 2)
        .flat_map(|(.., frame)| wire::decode(frame).expect("a node sends frames").1);
    let cleans = under_way.filter_map(|message| match message {
        Message::Clean(list) => Some(list.len()),
        _ => None,
    });
    let left = COUNT as usize - cleans.sum::<usize>();
    let waiting = net.pending_bytes(2, 1);
    assert!(left > 100_000 && waiting / left == 16, "{left} cleans wait, {waiting} bytes");
    net.held_up.clear();
    net.run(3000);
    assert_eq!((net.pending_bytes(2, 1), net.node(1).references().listed_count(life(2))), (0, 0));
}

/// One has more for the other than may wait for who asks, or both have.
#[test]
fn what_waits_for_who_was_away_goes_when_it_is_back_however_much_it_is() {
    for both in [false, true] {
        let mut net = Net::new(2);
        net.feed(1, Event::CycleRequested);
        net.run(5);
        let cycle = net.node(1).cycle();
        assert!(cycle != CycleId::NONE && net.node(2).cycle() == cycle);
        net.part(1, 2);
        for (from, to) in [(1, 2), (2, 1)].into_iter().take(1 + usize::from(both)) {
            for _ in 0..260 {
                let (to, bytes) = (NodeId(to), vec![7; PAYLOAD_BYTES_MAX]);
                net.feed(from, Event::StrategySays { cycle, to, bytes });
            }
            // Also when as many frames as may be are under way.
            assert!(net.pending_bytes(from, to) > PENDING_BYTES_MAX + 64 * PAYLOAD_BYTES_MAX);
        }
        net.connect(1, 2);
        net.run(8_000);
        assert_eq!((net.pending_bytes(1, 2), net.pending_bytes(2, 1)), (0, 0), "both: {both}");
        assert_eq!(net.closed, []);
        assert_eq!(net.send(2, 1, vec![of_home(2, 1)]), None);
        net.run(50);
        assert!(net.node(2).references().lists(object(1), life(1)));
    }
}

#[test]
fn who_asks_and_takes_no_answers_may_ask_so_much_and_goes_on_when_it_takes_them() {
    let mut net = Net::new(2);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    // Each is answered.
    let offers = vec![Message::SwapOffer(wire::SwapOffer { generation: 7, digest: [9; 32] }); 20_000];
    let mut refused = 0;
    for _ in 0..120 {
        if !net.say(&mut liar, &offers) {
            refused += 1;
            liar.sequence -= 1;
        }
        net.frames.clear();
    }
    let waiting = net.pending_bytes(1, 2);
    assert!(refused > 20 && waiting > PENDING_BYTES_MAX, "{refused} refused, {waiting} bytes wait");
    assert!(waiting < PENDING_BYTES_MAX + 2 * AHEAD_BYTES_MAX, "{waiting} bytes wait");
    for _ in 0..40 {
        net.now += 2 * MILLISECOND;
        liar.acknowledged = 1 << 40;
        assert!(net.say(&mut liar, &[]));
        net.frames.clear();
    }
    assert_eq!(net.pending_bytes(1, 2), 0);
    assert!(net.say(&mut liar, &offers));
    assert_eq!(net.closed, []);
}

#[test]
fn who_never_acknowledges_copies_is_sent_so_many_and_no_more() {
    let mut net = Net::new(3);
    net.send(1, 3, vec![of_home(1, 0)]);
    net.run(50);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    let some: Vec<Reference> = (0..REFERENCES_PER_COPY_MAX as u32).map(|index| of_home(1, index)).collect();
    let mut sent = 0;
    for round in 0..1000 {
        match net.send(1, 2, some.clone()) {
            None => sent += some.len(),
            Some(reason) => assert_eq!(reason, Refusal::Full),
        }
        // It takes every frame.
        liar.acknowledged = 1 << 40;
        net.say(&mut liar, &[]);
        net.frames.clear();
        if round % 10 == 0 {
            net.now += MILLISECOND;
            net.feed(1, Event::Ticked);
        }
    }
    assert_eq!((sent, net.node(1).references().pin_count()), (COPIES_OPEN_MAX, COPIES_OPEN_MAX));
    assert_eq!(net.send(1, 3, vec![of_home(1, 7)]), None, "the others are sent what they were");
}

#[test]
fn cleans_of_what_nobody_holds_leave_nothing() {
    let mut net = Net::new(2);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    for round in 0..50 {
        let mentions = (0..2000).map(|index| mention(object(round * 2000 + index), 1 << 20)).collect();
        net.say(&mut liar, &[Message::Clean(mentions)]);
    }
    let tables = net.node(1).references();
    assert_eq!((tables.scion_count(), tables.tombstone_count()), (0, 0));
    assert_eq!(net.unfounded(1, 2), 100_000);
}

#[test]
fn who_is_listed_for_objects_that_there_are_not_is_told_and_counted() {
    let mut net = Net::new(3);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    net.send(1, 3, vec![of_home(1, 0)]);
    net.run(50);
    net.say(&mut liar, &[Message::Dirty((1..=300).map(|index| mention(object(index), 1)).collect())]);
    assert_eq!(net.node(1).references().scion_count(), 301);
    // The heap has none of them.
    (1..=300).for_each(|index| net.feed(1, Event::RootRefused { object: object(index) }));
    assert_eq!(net.node(1).references().scion_count(), 1);
    assert_eq!((net.unfounded(1, 2), net.unfounded(1, 3)), (300, 0));
}

/// However many copies are under way, what is made up costs no more for it.
#[test]
fn what_there_is_not_is_refused_without_a_look_at_every_pin() {
    const PINS: u32 = 200_000;
    let mut net = Net::new(3);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    net.held_up.insert((3, 1));
    let all: Vec<Reference> = (0..PINS).map(|index| of_home(1, index)).collect();
    net.hand_over(1, 3, &all);
    assert_eq!(net.node(1).references().pin_count(), PINS as usize);
    // One of them is an object that there is not: its pin ends, and no other.
    let made_up: Vec<Object> = (PINS - 1..PINS + 20_000).map(object).collect();
    for some in made_up.chunks(ENTRIES_PER_MESSAGE_MAX) {
        net.say(&mut liar, &[Message::Dirty(some.iter().map(|&object| mention(object, 1)).collect())]);
    }
    let begun = Instant::now();
    made_up.iter().for_each(|&object| net.feed(1, Event::RootRefused { object }));
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    assert_eq!(net.node(1).references().pin_count(), PINS as usize - 1);
    assert_eq!(net.unfounded(1, 2), made_up.len() as u64);
}

#[test]
fn a_list_that_is_longer_than_any_closes_the_connection() {
    for (count, closes) in [(ENTRIES_PER_MESSAGE_MAX, false), (ENTRIES_PER_MESSAGE_MAX + 1, true)] {
        let mut net = Net::new(2);
        let mut liar = Liar::in_place_of(&mut net, 2, 1);
        let mentions = (0..count as u32).map(|index| mention(object(index), 1)).collect();
        net.say(&mut liar, &[Message::Dirty(mentions)]);
        assert_eq!(matches!(net.closed[..], [(1, Refusal::Malformed(_))]), closes, "{:?}", net.closed);
        assert_eq!(net.node(1).references().scion_count(), if closes { 0 } else { count });
    }
}

#[test]
fn a_mention_whose_number_cannot_be_leaves_nothing() {
    let mut net = Net::new(2);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    let tables = |net: &Net| {
        let tables = net.node(1).references();
        (tables.scion_count(), tables.tombstone_count(), tables.listed_count(life(2)))
    };
    let said = |seq| vec![mention(object(1), seq)];
    net.say(
        &mut liar,
        &[Message::Dirty(said(5)), Message::Clean(said((1 << 63) + 5)), Message::Dirty(said(6))],
    );
    liar.settled = u64::MAX;
    net.say(&mut liar, &[Message::Dirty(said(u64::MAX))]);
    assert_eq!(tables(&net), (1, 0, 1), "it is listed, and the tables agree about that");
    assert_eq!(net.unfounded(1, 2), 2);
    net.say(&mut liar, &[Message::Clean(said(7))]);
    net.say(&mut liar, &[]);
    assert_eq!(tables(&net), (0, 0, 0));
    assert_eq!(net.unfounded(1, 2), 2);
}

#[test]
fn a_strategy_of_the_last_generation_ends_the_swaps_and_nothing_else() {
    let mut net = Net::new(2);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    let (digest, last) = ([9; 32], u64::MAX);
    let chunk = wire::ModuleChunk { digest, offset: 0, total: 0, bytes: Payload::default() };
    let present = wire::SwapPresent { generation: last, digest };
    net.say(&mut liar, &[Message::SwapPresent(present), Message::ModuleChunk(chunk)]);
    net.feed(1, Event::StrategyPrepared { digest, ready: true });
    assert_eq!(net.node(1).strategy().generation, last);
    net.say(&mut liar, &[Message::SwapOffer(wire::SwapOffer { generation: 0, digest: [8; 32] })]);
    net.feed(1, Event::SwapRequested { digest: [7; 32], bytes: Arc::new(vec![1]) });
    assert_eq!(net.node(1).strategy().generation, last);
}

/// One frame that asks for much more than it is.
fn greedy(message: &Message, each: usize) -> Net {
    let mut net = Net::new(2);
    let all: Vec<Reference> = (0..2000).map(|index| of_home(2, index)).collect();
    net.hand_over(2, 1, &all);
    net.run(50);
    let module = Arc::new(vec![7u8; 300_000]);
    net.feed(1, Event::SwapRequested { digest: [9; 32], bytes: module });
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    let messages = vec![message.clone(); 900_000 / each];
    net.say(&mut liar, &messages);
    net
}

#[test]
fn who_asks_for_everything_at_once_gets_some_of_it() {
    let wanted = wire::ModuleWanted { digest: [9; 32], offset: 0 };
    for (message, each) in [
        (Message::ModuleWanted(wanted), 46),
        (Message::DigestRoot(wire::DigestRoot { hash: 1 }), 14),
        (Message::BucketHashes(Vec::new()), 10),
    ] {
        let net = greedy(&message, each);
        let waiting = net.pending_bytes(1, 2);
        assert!(waiting < PENDING_BYTES_MAX / 4, "{waiting} bytes wait after one frame of {message:?}");
        assert_eq!(net.closed, [], "{message:?}");
    }
}

/// Says that there is nothing between two objects in a bucket, whatever number it had.
fn nothing(bucket: u8, low: Object, high: Object) -> Message {
    Message::BucketSet(wire::BucketSet { bucket, low, high, watermark: 1 << 40, mentions: Vec::new() })
}

/// The table of what all clients hold is read for sets of one of them.
#[test]
fn sets_of_buckets_between_other_messages_read_the_table_no_more_often() {
    let mut net = Net::new(3);
    let all: Vec<Reference> = (0..100_000).map(|index| of_home(1, index)).collect();
    net.hand_over(1, 3, &all);
    net.run(50);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    // Who is listed for nothing has nothing to look for.
    net.say(&mut liar, &[Message::Dirty(vec![mention(object(0), 1)])]);
    let (first, last) = (Object { cell: 0, generation: 0 }, Object { cell: u32::MAX, generation: u32::MAX });
    let mut messages = vec![Message::DigestRoot(wire::DigestRoot { hash: 1 })];
    for bucket in 0..4096_u32 {
        messages.extend([nothing(bucket as u8, first, last), Message::CopyAck(Vec::new())]);
    }
    let begun = Instant::now();
    assert!(net.say(&mut liar, &messages));
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    let tables = net.node(1).references();
    assert_eq!((tables.listed_count(life(2)), tables.listed_count(life(3))), (0, 100_000));
}

#[test]
fn sets_of_buckets_are_read_so_often_for_one_digest_and_all_of_a_frame_at_once() {
    let mut net = Net::new(2);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    let count = 2 * SET_READS_MAX as u32;
    let said = (0..count).map(|index| mention(object(index), 1)).collect();
    net.say(&mut liar, &[Message::Dirty(said)]);
    let forget = |index: u32| nothing(bucket_of(object(index)), object(index), object(index));
    let listed = |net: &Net| net.node(1).references().listed_count(life(2)) as usize;
    // Nobody has asked for this one.
    net.say(&mut liar, &[forget(0)]);
    assert_eq!(listed(&net), 2 * SET_READS_MAX);
    // Five in four pieces: read twice.
    let other = Message::CopyAck(Vec::new());
    let digest = Message::DigestRoot(wire::DigestRoot { hash: 1 });
    let mut frame = vec![digest, forget(0), forget(1)];
    (2..5).for_each(|index| frame.extend([other.clone(), forget(index)]));
    net.say(&mut liar, &frame);
    assert_eq!(listed(&net), 2 * SET_READS_MAX - 5);
    for index in 5..count {
        net.say(&mut liar, &[forget(index)]);
    }
    assert_eq!(listed(&net), 2 * SET_READS_MAX - 5 - (SET_READS_MAX - 2));
}

#[test]
fn a_home_that_forgets_all_the_time_is_told_some_times() {
    let mut net = Net::new(2);
    let all: Vec<Reference> = (0..20_000).map(|index| of_home(2, index)).collect();
    net.hand_over(2, 1, &all);
    net.run(50);
    let mut liar = Liar::in_place_of(&mut net, 2, 1);
    liar.sequence = 0;
    let grants: Vec<Message> =
        (2..300).map(|lease| Message::Grant(wire::Grant { lease, sent_at: net.now })).collect();
    net.say(&mut liar, &grants);
    let under_way: usize = net.frames.iter().map(|(.., frame)| frame.len()).sum();
    let sent = under_way + net.pending_bytes(1, 2);
    assert!(sent > 1_000_000 && sent < PENDING_BYTES_MAX / 4, "{sent} bytes");
}

#[test]
fn a_copy_that_nobody_may_send_closes_the_connection() {
    for (references, payload) in [(REFERENCES_PER_COPY_MAX + 1, 0), (0, 512 * 1024 + 1)] {
        let mut net = Net::new(2);
        let mut liar = Liar::in_place_of(&mut net, 2, 1);
        let references = (0..references as u32).map(|index| of_home(2, index)).collect();
        let copy = wire::Copy { first: 1, references, payload: Payload(vec![0; payload]) };
        net.say(&mut liar, &[Message::Copy(copy)]);
        assert!(matches!(net.closed[..], [(1, Refusal::Malformed(_))]), "{:?}", net.closed);
        assert_eq!(net.node(1).references().stub_count(), 0);
    }
}

/// A number that somebody might not expect.
fn number(random: &mut impl FnMut() -> u64) -> u64 {
    match random() % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX - random() % 3,
        3 => (1 << 63) - random() % 2,
        4 => u64::from(u32::MAX) + random() % 2,
        _ => random() % 64,
    }
}

fn any_object(random: &mut impl FnMut() -> u64) -> Object {
    let cell = if random().is_multiple_of(4) { number(random) as u32 } else { random() as u32 % 16 };
    Object { cell, generation: number(random) as u32 % 2 }
}

/// Anything that the wire can say.
fn anything(random: &mut impl FnMut() -> u64) -> Message {
    let objects = |random: &mut dyn FnMut() -> u64| {
        (0..random() % 4).map(|_| any_object(&mut || random())).collect::<Vec<_>>()
    };
    let mentions = |random: &mut dyn FnMut() -> u64| {
        (0..random() % 4).map(|_| mention(any_object(&mut || random()), number(&mut || random()))).collect()
    };
    let epoch = MembershipEpoch(random() % 3);
    let cycle = match random() % 3 {
        0 => CycleId(number(random)),
        _ => CycleId::in_epoch(epoch, random() as u32 % 5).unwrap_or(CycleId::NONE),
    };
    let nodes = |random: &mut dyn FnMut() -> u64| number(&mut || random()) as u32 % 5;
    let digest = [(random() % 3) as u8; 32];
    let (yes, generation) = (random().is_multiple_of(2), number(random));
    let present = wire::SwapPresent { generation: generation % 4, digest };
    match random() % 36 {
        0 => Message::Dirty(mentions(random)),
        1 => Message::Clean(mentions(random)),
        2 => Message::DirtyAck(mentions(random)),
        3 => Message::CleanAck(mentions(random)),
        4 => Message::Gone(mentions(random)),
        5 => Message::CopyAck((0..random() % 4).map(|_| number(random)).collect()),
        6 => Message::BucketHashes((0..random() % 300).map(|_| random()).collect()),
        7 => Message::BucketSet(wire::BucketSet {
            bucket: random() as u8,
            low: any_object(random),
            high: any_object(random),
            watermark: number(random),
            mentions: mentions(random),
        }),
        8 => Message::DigestRoot(wire::DigestRoot { hash: random() }),
        9 => Message::FullSetEnd(number(random)),
        10 => Message::FullSetTaken(number(random)),
        11 => Message::ExileAck(wire::ExileAck { epoch: number(random), admitted: mentions(random) }),
        12 => Message::CycleObjection(cycle),
        13 => Message::MarkRequest(wire::MarkRequest { cycle, objects: objects(random) }),
        14 => Message::StrategyBytes(wire::StrategyBytes { cycle, bytes: Payload(vec![1; 9]) }),
        15 => Message::Wave(wire::Wave { cycle, number: number(random) as u32 }),
        16 => Message::SubtreeTotals(wire::SubtreeTotals {
            cycle,
            number: random() as u32 % 4,
            nodes: nodes(random),
            sent: number(random),
            received: number(random),
        }),
        17 => Message::CycleDecide(cycle),
        18 => Message::CondemnedStubs(wire::CondemnedStubs { cycle, objects: objects(random), last: yes }),
        19 => Message::SubtreeAgrees(wire::SubtreeAgrees { cycle, nodes: nodes(random) }),
        20 => Message::CycleSweep(cycle),
        21 => Message::CycleAbort(cycle),
        22 => Message::SubtreeProved(wire::SubtreeProved { cycle, nodes: nodes(random) }),
        23 => Message::CycleVote(cycle),
        24 => Message::SwapOffer(wire::SwapOffer { generation, digest }),
        25 => Message::ModuleWanted(wire::ModuleWanted { digest, offset: number(random) }),
        26 => Message::ModuleChunk(wire::ModuleChunk {
            digest,
            offset: number(random),
            total: number(random),
            bytes: Payload(vec![0; (random() % 3) as usize]),
        }),
        27 => Message::SwapPrepared(wire::SwapPrepared { generation, digest, ready: yes }),
        28 => Message::SwapPresent(wire::SwapPresent { generation, digest }),
        29 => Message::SwapPresent(present),
        30 => Message::SwapWithdrawn(present),
        _ => Message::Copy(wire::Copy {
            first: number(random),
            references: (0..random() % 4)
                .map(|_| Reference {
                    home: Life { node: NodeId(random() as u32 % 5), incarnation: Incarnation(random() % 3) },
                    object: any_object(random),
                })
                .collect(),
            payload: Payload(vec![2; (random() % 5) as usize]),
        }),
    }
}

/// Anything that stands in a frame without a number.
fn beside(random: &mut impl FnMut() -> u64) -> Message {
    match random() % 5 {
        0 => Message::Renew(wire::Renew { lease: number(random), sent_at: number(random) }),
        1 | 2 => Message::Grant(wire::Grant { lease: number(random), sent_at: number(random) }),
        3 => Message::Refused(random() as u8),
        _ => Message::Hello(wire::Hello {
            cluster: 1,
            nonce: number(random),
            wall_ms: number(random),
            heard: random().is_multiple_of(2),
        }),
    }
}

/// A member says anything to a node that also talks to others: that node goes on, and what the others hold of it stays.
#[test]
fn whatever_a_member_says_the_others_keep_what_they_have() {
    // The liar is an ordinary member, and then the one that begins cycles.
    for (liar, victim, other, seed) in [(2, 1, 3, 1u64), (1, 2, 3, 2), (3, 1, 2, 3), (1, 3, 2, 4)] {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 31
        };
        let mut net = Net::new(3);
        let kept = Reference { home: life(victim), object: Object { cell: 7, generation: 0 } };
        let held = Reference { home: life(other), object: Object { cell: 9, generation: 0 } };
        assert_eq!((net.send(victim, other, vec![kept]), net.send(other, victim, vec![held])), (None, None));
        net.run(50);
        let mut liar = Liar::in_place_of(&mut net, liar, victim);
        net.held_up.extend([(liar.node, other), (other, liar.node)]);
        for round in 0..40_000 {
            liar.acknowledged = number(&mut random);
            liar.settled = number(&mut random);
            liar.cycle = CycleId::in_epoch(MembershipEpoch(1), random() as u32 % 6).unwrap_or(CycleId::NONE);
            let messages: Vec<Message> = (0..random() % 4).map(|_| anything(&mut random)).collect();
            net.say(&mut liar, &messages);
            if random().is_multiple_of(40) {
                let next = std::mem::take(&mut liar.sequence);
                let message = beside(&mut random);
                net.say(&mut liar, &[message]);
                liar.sequence = next;
            }
            for digest in std::mem::take(&mut net.prepare) {
                net.feed(victim, Event::StrategyPrepared { digest, ready: random().is_multiple_of(2) });
            }
            net.frames.retain(|&(from, to, _)| from != liar.node && to != liar.node);
            if round % 100 == 0 {
                net.run(1);
            }
            if !net.closed.is_empty() {
                // Let in again, it goes on where it was.
                net.closed.clear();
                net.feed(victim, Event::Connected { peer: NodeId(liar.node), wall_ms: 0 });
                let hello = wire::Hello { cluster: 1, nonce: u64::from(liar.node), wall_ms: 0, heard: true };
                let next = std::mem::take(&mut liar.sequence);
                net.say(&mut liar, &[Message::Hello(hello)]);
                liar.sequence = next;
            }
        }
        let node = net.node(victim);
        let counters = node.counters();
        assert!(counters.frames_dropped < 2_000, "what the liar says is not looked at: {counters:?}");
        assert!(node.references().lists(kept.object, life(other)), "seed {seed}");
        assert!(node.references().holds(held) && node.trusts(life(other)), "seed {seed}");
        assert!(net.unfounded(victim, liar.node) > 0 && net.unfounded(victim, other) == 0, "seed {seed}");
        assert!(net.node(other).references().holds(kept), "seed {seed}");
        assert!(net.pending_bytes(victim, liar.node) < PENDING_BYTES_MAX, "seed {seed}");
        // And what they do next goes on as well.
        let next = Reference { home: life(victim), object: Object { cell: 8, generation: 0 } };
        assert_eq!(net.send(victim, other, vec![next]), None, "seed {seed}");
        net.run(100);
        assert!(net.node(victim).references().lists(next.object, life(other)), "seed {seed}");
    }
}
