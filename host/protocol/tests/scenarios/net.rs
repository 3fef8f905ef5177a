//! Nodes, and a network between them that is held up by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gc_protocol::limits::MILLISECOND;
use gc_protocol::wire::{self, Message};
use gc_protocol::{
    Config, CycleId, Effect, Event, Faults, Life, MembershipEpoch, Nanos, Node, NodeId, Object, Reference,
    Rule,
};

pub(crate) const OBJECT: Object = Object { cell: 7, generation: 0 };

pub(crate) fn life(node: u32) -> Life {
    Life::new(node, 1)
}

/// An object of this node.
pub(crate) fn object_of(node: u32) -> Reference {
    Reference { home: life(node), object: OBJECT }
}

/// Nodes 1, 2 and so on, and what is under way between them.
pub(crate) struct Net {
    pub(crate) nodes: BTreeMap<u32, Node>,
    pub(crate) now: Nanos,
    pub(crate) queues: BTreeMap<(u32, u32), VecDeque<Vec<u8>>>,
    pub(crate) held_up: BTreeSet<(u32, u32)>,
    /// What each node wanted, but for frames.
    pub(crate) effects: BTreeMap<u32, Vec<Effect>>,
}

impl Net {
    pub(crate) fn new(count: u32, change: impl Fn(&mut Config)) -> Net {
        let mut net = Net {
            nodes: BTreeMap::new(),
            now: 0,
            queues: BTreeMap::new(),
            held_up: BTreeSet::new(),
            effects: BTreeMap::new(),
        };
        for node in 1..=count {
            let mut config = Config::new(life(node), 1, u64::from(node));
            change(&mut config);
            net.nodes.insert(node, Node::new(config));
        }
        net.members(1, &(1..=count).map(life).collect::<Vec<_>>());
        for (a, b) in (1..=count).flat_map(|a| (1..=count).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            net.feed(a, Event::Connected { peer: NodeId(b), wall_ms: 0 });
        }
        net.run(20);
        net
    }

    pub(crate) fn breaking(count: u32, rule: Option<Rule>) -> Net {
        Net::new(count, |config| config.faults = rule.map_or_else(Faults::default, Faults::breaking))
    }

    pub(crate) fn members(&mut self, epoch: u64, members: &[Life]) {
        let members: BTreeSet<Life> = members.iter().copied().collect();
        let nodes: Vec<u32> = self.nodes.keys().copied().collect();
        for node in nodes {
            let epoch = MembershipEpoch(epoch);
            self.feed(node, Event::MembershipChanged { epoch, members: members.clone() });
        }
    }

    pub(crate) fn feed(&mut self, node: u32, event: Event) {
        let mut effects = Vec::new();
        let Some(machine) = self.nodes.get_mut(&node) else { return };
        machine.step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Transmit { peer, frame } => {
                    self.queues.entry((node, peer.0)).or_default().push_back(frame);
                }
                other => self.effects.entry(node).or_default().push(other),
            }
        }
    }

    /// Lets time pass, and deliver what is not held up.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += MILLISECOND;
            let nodes: Vec<u32> = self.nodes.keys().copied().collect();
            nodes.into_iter().for_each(|node| self.feed(node, Event::Ticked));
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        let ready = |net: &Net| {
            let mut queues =
                net.queues.iter().filter(|(link, queue)| !net.held_up.contains(link) && !queue.is_empty());
            queues.next().map(|(&link, _)| link)
        };
        while let Some((from, to)) = ready(self) {
            let frame = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front);
            if let Some(frame) = frame {
                self.feed(to, Event::Received { peer: NodeId(from), frame });
            }
        }
    }

    /// Changes what is held up on a link.
    pub(crate) fn alter(&mut self, link: (u32, u32), change: impl Fn(&mut Vec<Message>)) {
        for frame in self.queues.get_mut(&link).into_iter().flatten() {
            let (header, mut messages) = wire::decode(frame).expect("it is a frame");
            change(&mut messages);
            *frame = wire::frame(&header, &messages);
        }
    }

    /// Stamps what is held up on a link with a cycle.
    pub(crate) fn restamp(&mut self, link: (u32, u32), cycle: CycleId) {
        for frame in self.queues.get_mut(&link).into_iter().flatten() {
            let (header, messages) = wire::decode(frame).expect("it is a frame");
            *frame = wire::frame(&wire::Header { cycle, ..header }, &messages);
        }
    }

    pub(crate) fn send(&mut self, from: u32, to: u32, reference: Reference) {
        let sent = Event::SendRequested {
            to: NodeId(to),
            references: vec![reference],
            payload: Vec::new(),
            token: 9,
        };
        self.feed(from, sent);
    }

    pub(crate) fn drop_stub(&mut self, node: u32, reference: Reference) {
        let import = self.nodes[&node].references().import(reference).expect("it has a stub");
        self.feed(node, Event::StubsDropped { stubs: vec![(reference, import)] });
    }

    pub(crate) fn wanted(&self, node: u32, effect: &Effect) -> bool {
        self.effects.get(&node).is_some_and(|effects| effects.contains(effect))
    }

    pub(crate) fn found<T>(&self, node: u32, find: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        self.effects.get(&node)?.iter().rev().find_map(find)
    }

    pub(crate) fn forget_effects(&mut self) {
        self.effects.clear();
    }

    /// Node 1 starts a cycle, nobody has anything to mark; answers the cycle when all are asked to decide.
    pub(crate) fn cycle_to_decision(&mut self) -> CycleId {
        self.feed(1, Event::CycleRequested);
        self.run(10);
        let cycle = self.nodes[&1].cycle();
        let nodes: Vec<u32> = self.nodes.keys().copied().collect();
        for round in 0..8 {
            for &node in &nodes {
                let shade = |effect: &Effect| match effect {
                    Effect::Shade { cycle: of, number, .. } if *of == cycle => Some(*number),
                    _ => None,
                };
                let worked_off = self.found(node, shade).unwrap_or(0);
                self.feed(node, Event::MarkingRested { cycle, worked_off });
            }
            self.run(10 + round);
        }
        assert!(self.wanted(1, &Effect::DecideCycle(cycle)), "{:?}", self.effects);
        cycle
    }

    pub(crate) fn prove(&mut self, node: u32, cycle: CycleId, objects: &[Object], stubs: &[Reference]) {
        let (objects, stubs) = (objects.iter().copied().collect(), stubs.iter().copied().collect());
        self.feed(node, Event::Proved { cycle, objects, stubs });
    }

    pub(crate) fn swept(&self, node: u32, cycle: CycleId) -> bool {
        self.wanted(node, &Effect::Sweep(cycle))
    }
}
