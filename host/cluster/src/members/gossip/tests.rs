//! Several detectors in simulated time, with datagrams lost and nodes stopped.

mod hour;

use rand::RngExt;

use super::*;
use crate::limits::GOSSIP_BYTES_MAX;
use crate::membership::Member;

const MS: Nanos = 1_000_000;

struct Network {
    now: Nanos,
    random: StdRng,
    loss: f64,
    nodes: Vec<Gossip>,
    stopped: Vec<bool>,
    on_the_way: BTreeMap<(Nanos, u64), (Life, u32, Bytes)>,
    sent: u64,
    /// What each node came to think: who, of whom, and when.
    verdicts: Vec<(u32, Effect, Nanos)>,
}

fn membership(lives: &[Life]) -> Membership {
    let member = |life: &Life| {
        let member = Member {
            name: format!("n{}", life.node.0),
            incarnation: life.incarnation.0,
            address: "127.0.0.1:1".parse().unwrap(),
            nonce: 0,
            since: 1,
        };
        (life.node.0, member)
    };
    Membership::told(("shop", 1), Some(1), 1, lives.iter().map(member).collect())
}

impl Network {
    fn new(count: u32, loss: f64, seed: u64) -> Network {
        let lives: Vec<Life> = (1..=count).map(|number| Life::new(number, 1)).collect();
        let nodes = lives.iter().map(|&life| Gossip::new(life, "shop", seed + u64::from(life.node.0)));
        let mut network = Network {
            now: 0,
            random: StdRng::seed_from_u64(seed),
            loss,
            nodes: nodes.collect(),
            stopped: vec![false; count as usize],
            on_the_way: BTreeMap::new(),
            sent: 0,
            verdicts: Vec::new(),
        };
        for at in 0..lives.len() {
            network.with(at, |node, now, out| {
                node.members(now, &membership(&lives), out);
                for &life in lives.iter().filter(|life| life.node.0 != at as u32 + 1) {
                    node.linked(now, life, out);
                }
            });
        }
        network
    }

    fn with(&mut self, at: usize, act: impl FnOnce(&mut Gossip, Nanos, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        act(&mut self.nodes[at], self.now, &mut out);
        let me = self.nodes[at].me;
        for effect in out {
            match effect {
                Effect::Send(to, bytes) => self.send(me, to, bytes),
                verdict => self.verdicts.push((me.node.0, verdict, self.now)),
            }
        }
    }

    fn send(&mut self, from: Life, to: u32, bytes: Bytes) {
        assert!(bytes.len() <= GOSSIP_BYTES_MAX);
        self.sent += 1;
        if !self.random.random_bool(self.loss) {
            let at = self.now + self.random.random_range(1..20) * MS;
            self.on_the_way.insert((at, self.sent), (from, to, bytes));
        }
    }

    fn run(&mut self, milliseconds: u64) {
        let until = self.now + milliseconds * MS;
        while self.now < until {
            self.now += MS;
            while let Some(entry) = self.on_the_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, bytes) = entry.remove();
                let at = to as usize - 1;
                if !self.stopped[at] {
                    self.with(at, |node, now, out| {
                        assert!(node.received(now, from, &bytes[1..], out), "honest, and refused");
                    });
                }
            }
            for at in 0..self.nodes.len() {
                if !self.stopped[at] && self.nodes[at].next_wake().is_some_and(|wake| wake <= self.now) {
                    self.with(at, |node, now, out| node.tick(now, out));
                }
            }
            if self.now.is_multiple_of(500 * MS) {
                self.beat();
            }
        }
    }

    fn beat(&mut self) {
        for at in (0..self.nodes.len()).filter(|&at| !self.stopped[at]).collect::<Vec<_>>() {
            self.with(at, |node, now, out| node.judge(now, out));
            let from = self.nodes[at].me;
            for to in (0..self.nodes.len()).filter(|&to| to != at) {
                if !self.stopped[to] && !self.random.random_bool(self.loss) {
                    self.nodes[to].beacon(self.now, from);
                }
            }
        }
    }

    fn suspicions(&self) -> Vec<(u32, u32, Nanos)> {
        let suspected = self.verdicts.iter().filter_map(|(by, verdict, at)| match verdict {
            Effect::Suspected(life, _) => Some((*by, life.node.0, *at)),
            _ => None,
        });
        suspected.collect()
    }
}

#[test]
fn nobody_is_suspected_because_datagrams_are_lost() {
    for seed in 0..4 {
        let mut network = Network::new(5, 0.1, seed);
        network.run(120_000);
        assert_eq!(network.suspicions(), [], "seed {seed}");
    }
}

#[test]
fn the_estimator_keeps_foca_from_giving_up_the_living() {
    // At such a loss foca alone is wrong again and again.
    let mut network = Network::new(5, 0.3, 7);
    network.run(240_000);
    let gated = network.verdicts.iter().filter(|(_, verdict, _)| matches!(verdict, Effect::Gated(_))).count();
    assert!(gated > 0, "foca gave nobody up: nothing was gated, so nothing is shown");
    assert_eq!(network.suspicions(), []);
}

#[test]
fn who_stops_is_suspected_by_all_and_recovers_when_it_goes_on() {
    for seed in 0..4 {
        let mut network = Network::new(5, 0.05, seed);
        network.run(20_000);
        network.stopped[2] = true;
        let stopped_at = network.now;
        network.run(15_000);
        let by: Vec<u32> = network.suspicions().iter().map(|&(by, of, _)| by * 10 + of).collect();
        assert_eq!(by.len(), 4, "seed {seed}: {by:?}");
        assert!([13, 23, 43, 53].iter().all(|pair| by.contains(pair)), "seed {seed}: {by:?}");
        let latest = network.suspicions().iter().map(|&(_, _, at)| at - stopped_at).max().unwrap();
        assert!(latest < 10_000 * MS, "seed {seed}: after {} ms", latest / MS);
        let status = network.nodes[0].status(network.now, NodeId(3));
        assert!(status.0 >= SUSPECT_PHI && status.1.is_some_and(|since| since > stopped_at));

        network.stopped[2] = false;
        network.verdicts.clear();
        network.run(30_000);
        let back = |by: u32| {
            let is = |(who, verdict, _): &(u32, Effect, Nanos)| {
                *who == by && *verdict == Effect::Recovered(Life::new(3, 1))
            };
            network.verdicts.iter().any(is)
        };
        assert!([1, 2, 4, 5].into_iter().all(back), "seed {seed}: {:?}", network.verdicts);
        assert_eq!(network.nodes[0].status(network.now, NodeId(3)).1, None);
    }
}

#[test]
fn a_membership_is_passed_on_to_who_was_not_told() {
    let mut network = Network::new(8, 0.05, 1);
    network.run(5_000);
    let lives: Vec<Life> = (1..=9).map(|number| Life::new(number, 1)).collect();
    let mut next = membership(&lives);
    next.epoch = 2;
    let pages = super::super::pages::cut(&next);
    network.with(0, |node, now, out| node.tell(now, &pages, out));
    network.run(5_000);
    for node in &mut network.nodes[1..] {
        assert_eq!(node.whole(), Some(next.clone()), "{}", node.me);
    }
}

#[test]
fn gossip_is_read_only_from_whom_it_is() {
    let mut network = Network::new(3, 0.0, 3);
    network.run(3_000);
    let mut out = Vec::new();
    network.nodes[1].linked(network.now, Life::new(1, 1), &mut out);
    let Some(Effect::Send(1, bytes)) = out.pop() else { panic!("an announcement to node 1") };
    let (now, one) = (network.now, &mut network.nodes[0]);
    assert!(one.received(now, Life::new(2, 1), &bytes[1..], &mut out));
    assert!(!one.received(now, Life::new(3, 1), &bytes[1..], &mut out), "in the name of another");
    assert!(!one.received(now, Life::new(2, 2), &bytes[1..], &mut out), "of another life");
    assert!(!one.received(now, Life::new(9, 1), &bytes[1..], &mut out), "of no member");
    assert!(!one.received(now, Life::new(2, 1), b"nonsense", &mut out));
}
