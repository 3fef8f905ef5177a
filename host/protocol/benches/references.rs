//! What a remote reference costs: time of both sides on one core, messages, frames, bytes on the wire, bytes in the tables.
//!
//! `cargo bench -p gc-protocol --bench references`. The network is a queue in memory; a step of 1 ms passes between rounds.

use std::collections::VecDeque;

use gc_protocol::limits::MILLISECOND;
use gc_protocol::references::{Output, References};
use gc_protocol::wire::{Copy, Mention, Payload};
use gc_protocol::{
    Config, Effect, Event, Faults, Life, MembershipEpoch, Nanos, Node, NodeId, Object, Reference,
};

const ROUNDS: u32 = 7;
const REFERENCES: u32 = 100_000;
const PER_COPY: u32 = 64;

/// Two nodes and the frames between them.
struct Pair {
    nodes: [Node; 2],
    frames: [VecDeque<Vec<u8>>; 2],
    delivered: Vec<(Reference, u32)>,
    now: Nanos,
}

impl Pair {
    fn new() -> Pair {
        let nodes = [1, 2].map(|node| Node::new(Config::new(Life::new(node, 1), 1, u64::from(node))));
        let mut pair = Pair { nodes, frames: Default::default(), delivered: Vec::new(), now: 0 };
        let members = [Life::new(1, 1), Life::new(2, 1)];
        for at in 0..2 {
            let members = members.into();
            pair.feed(at, Event::MembershipChanged { epoch: MembershipEpoch(1), members });
            pair.feed(at, Event::Connected { peer: NodeId(2 - at as u32), wall_ms: 0 });
        }
        pair.settle();
        pair
    }

    fn feed(&mut self, at: usize, event: Event) {
        let mut effects = Vec::new();
        self.nodes[at].step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Transmit { frame, .. } => self.frames[1 - at].push_back(frame),
                Effect::Deliver { references, .. } => {
                    self.delivered.extend(references.iter().map(|it| (it.reference, it.import)));
                }
                _ => {}
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            self.round();
        }
    }

    fn round(&mut self) {
        self.now += MILLISECOND;
        for at in 0..2 {
            self.feed(at, Event::Ticked);
            while let Some(frame) = self.frames[at].pop_front() {
                self.feed(at, Event::Received { peer: NodeId(2 - at as u32), frame });
            }
        }
    }

    fn exchange(&mut self, generation: u32) {
        for first in (0..REFERENCES).step_by(PER_COPY as usize) {
            let reference = |cell| Reference { home: Life::new(1, 1), object: Object { cell, generation } };
            let references = (first..first + PER_COPY).map(reference).collect();
            self.feed(0, Event::SendRequested { to: NodeId(2), references, payload: Vec::new(), token: 0 });
            if first % 4096 == 0 {
                self.round();
            }
        }
        self.settle();
        let delivered = std::mem::take(&mut self.delivered);
        assert!(delivered.len() as u32 >= REFERENCES, "{}", delivered.len());
        for (reference, import) in delivered {
            self.feed(1, Event::StubsDropped { stubs: vec![(reference, import)] });
        }
        self.settle();
        assert_eq!((self.nodes[1].references().stub_count(), self.nodes[0].references().pin_count()), (0, 0));
    }
}

fn rate() {
    let mut pair = Pair::new();
    let mut rates = Vec::new();
    let count = |pair: &Pair| {
        let counters = pair.nodes.each_ref().map(Node::counters);
        let sum = |of: fn(&gc_protocol::Counters) -> u64| counters.iter().map(of).sum::<u64>();
        [sum(|it| it.messages_sent), sum(|it| it.frames_sent), sum(|it| it.bytes_sent)]
    };
    let before = count(&pair);
    for round in 0..ROUNDS {
        let start = core_seconds();
        pair.exchange(round);
        rates.push(f64::from(REFERENCES) / (core_seconds() - start));
    }
    let after = count(&pair);
    rates.sort_by(f64::total_cmp);
    let each = |at: usize| (after[at] - before[at]) as f64 / f64::from(ROUNDS * REFERENCES);
    println!(
        "register and release, both sides on one core: {:.0} references/s (median of {ROUNDS})",
        rates[3]
    );
    println!("small messages per reference: {:.2}", each(0));
    println!("references per frame: {:.0}, bytes per reference: {:.0}", 1.0 / each(1), each(2));
}

/// Seconds that this process has been on a core: what other processes take does not count.
fn core_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Bytes of this process in memory.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn sizes(order: &str, cell: impl Fn(u32) -> u32) -> (References, References) {
    const COUNT: u32 = 2_000_000;
    let home = Life::new(1, 1);
    let (mut client, mut server) =
        (References::new(Life::new(2, 1), Faults::default()), References::new(home, Faults::default()));
    let object = |index| Object { cell: cell(index), generation: 0 };
    let start = resident_bytes();
    for index in 0..COUNT {
        let reference = Reference { home, object: object(index) };
        let copy = Copy { first: u64::from(index), references: vec![reference], payload: Payload::default() };
        client.admit(home, &copy, |_| true, &mut Output::default());
        let mention = Mention { object: object(index), seq: u64::from(index) + 1 };
        client.dirty_acknowledged(home, &mention, &mut Output::default());
    }
    let middle = resident_bytes();
    for index in 0..COUNT {
        let mention = Mention { object: object(index), seq: u64::from(index) + 1 };
        server.mentioned(Life::new(2, 1), &mention, true, &mut Output::default());
    }
    let end = resident_bytes();
    assert_eq!((client.stub_count(), server.scion_count()), (COUNT as usize, COUNT as usize));
    let each = |bytes: u64| bytes as f64 / f64::from(COUNT);
    println!(
        "{order}: {:.1} bytes per stub, {:.1} per scion entry",
        each(middle - start),
        each(end - middle)
    );
    (client, server)
}

fn main() {
    // Sizes first, and everything is kept: what the tables take must not come from memory that something else has given back.
    let kept = (
        sizes("cells in order", |index| index),
        sizes("cells in any order", |index| index.wrapping_mul(0x9E37_79B1)),
    );
    rate();
    drop(kept);
}
