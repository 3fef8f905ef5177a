//! An hour of simulated time for five detectors with default settings, driven as [`Members`](crate::Members) drives its own: timers when they are due, and at
//! each beat a judgement and a beacon to everybody. Everything is a datagram, and of those five in a hundred are lost.

use super::*;
use crate::limits::BEAT;

const SECOND: Nanos = 1000 * MS;
const NODES: u32 = 5;
const LOSS: f64 = 0.05;

/// What is on its way.
enum Datagram {
    Foca(Bytes),
    Beacon,
}

struct Watcher {
    gossip: Gossip,
    beat_at: Nanos,
    alive: bool,
}

struct Hour {
    now: Nanos,
    random: StdRng,
    watchers: Vec<Watcher>,
    on_the_way: BTreeMap<(Nanos, u64), (usize, usize, Datagram)>,
    sent: u64,
    /// Who came to suspect whom, and when.
    suspicions: Vec<(usize, Life, Nanos)>,
    gated: u64,
}

fn life_at(place: usize) -> Life {
    Life::new(place as u32 + 1, 1)
}

impl Hour {
    fn new(seed: u64) -> Hour {
        let lives: Vec<Life> = (1..=NODES).map(|number| Life::new(number, 1)).collect();
        let mut random = StdRng::seed_from_u64(seed);
        let watchers = lives.iter().map(|&life| Watcher {
            gossip: Gossip::new(life, "shop", seed * 100 + u64::from(life.node.0)),
            beat_at: random.random_range(0..BEAT.as_nanos() as Nanos),
            alive: true,
        });
        let watchers = watchers.collect();
        let mut hour = Hour {
            now: 0,
            random,
            watchers,
            on_the_way: BTreeMap::new(),
            sent: 0,
            suspicions: Vec::new(),
            gated: 0,
        };
        for at in 0..lives.len() {
            hour.with(at, |gossip, now, out| {
                gossip.members(now, &membership(&lives), out);
                for &life in lives.iter().filter(|&&life| life != life_at(at)) {
                    gossip.linked(now, life, out);
                }
            });
        }
        hour
    }

    fn with(&mut self, at: usize, act: impl FnOnce(&mut Gossip, Nanos, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        act(&mut self.watchers[at].gossip, self.now, &mut out);
        for effect in out {
            match effect {
                Effect::Send(to, bytes) => self.send(at, to as usize - 1, Datagram::Foca(bytes)),
                Effect::Suspected(life, _) => self.suspicions.push((at, life, self.now)),
                Effect::Gated(_) => self.gated += 1,
                Effect::Recovered(_) => {}
            }
        }
    }

    /// Most take up to 20 ms, one in a hundred up to 200.
    fn send(&mut self, from: usize, to: usize, datagram: Datagram) {
        self.sent += 1;
        if self.random.random_bool(LOSS) {
            return;
        }
        let longest = if self.random.random_bool(0.01) { 200 } else { 20 };
        let at = self.now + self.random.random_range(MS / 2..longest * MS);
        self.on_the_way.insert((at, self.sent), (from, to, datagram));
    }

    fn wake(&self, at: usize) -> Nanos {
        let watcher = &self.watchers[at];
        let wake = watcher.gossip.next_wake().map_or(watcher.beat_at, |wake| wake.min(watcher.beat_at));
        if watcher.alive { wake.max(self.now) } else { Nanos::MAX }
    }

    fn run(&mut self, length: Nanos) {
        let until = self.now + length;
        loop {
            let (wake, at) = (0..self.watchers.len()).map(|at| (self.wake(at), at)).min().unwrap();
            let arrives = self.on_the_way.first_key_value().map_or(Nanos::MAX, |(&(at, _), _)| at);
            if wake.min(arrives) > until {
                self.now = until;
                return;
            }
            self.now = wake.min(arrives);
            if arrives <= wake {
                let Some((_, (from, to, datagram))) = self.on_the_way.pop_first() else { return };
                self.arrive(from, to, datagram);
            } else {
                self.ring(at);
            }
        }
    }

    fn arrive(&mut self, from: usize, to: usize, datagram: Datagram) {
        match datagram {
            _ if !self.watchers[to].alive => {}
            Datagram::Beacon => self.watchers[to].gossip.beacon(self.now, life_at(from)),
            Datagram::Foca(bytes) => self.with(to, |gossip, now, out| {
                assert!(gossip.received(now, life_at(from), &bytes[1..], out), "honest, and refused");
            }),
        }
    }

    /// What `Members::tick` does.
    fn ring(&mut self, at: usize) {
        self.with(at, |gossip, now, out| gossip.tick(now, out));
        if self.watchers[at].beat_at <= self.now {
            // Timers ring up to two milliseconds late, and each beat counts from the last.
            self.watchers[at].beat_at =
                self.now + BEAT.as_nanos() as Nanos + self.random.random_range(0..2 * MS);
            self.with(at, |gossip, now, out| gossip.judge(now, out));
            (0..self.watchers.len())
                .filter(|&to| to != at)
                .for_each(|to| self.send(at, to, Datagram::Beacon));
        }
    }
}

fn nobody_alive_is_suspected_and_the_dead_are(seed: u64) {
    let mut hour = Hour::new(seed);
    hour.run(3600 * SECOND);
    assert_eq!(hour.suspicions, [], "seed {seed}");
    assert!(hour.sent > 3600 * 4 * u64::from(NODES), "seed {seed}: only {} datagrams were sent", hour.sent);

    // What is learnt in that hour does not make anybody slow to see who is really gone.
    let (dead, died_at) = (seed as usize % NODES as usize, hour.now);
    hour.watchers[dead].alive = false;
    hour.run(10 * SECOND);
    let (by, of): (Vec<usize>, Vec<Life>) = hour.suspicions.iter().map(|&(by, of, _)| (by, of)).unzip();
    let latest = hour.suspicions.iter().map(|&(_, _, at)| at - died_at).max().unwrap_or(0);
    assert!(of.iter().all(|&life| life == life_at(dead)), "seed {seed}: {of:?} are suspected");
    let survivors: Vec<usize> = (0..NODES as usize).filter(|&at| at != dead).collect();
    let mut found_by = by;
    found_by.sort_unstable();
    assert_eq!(found_by, survivors, "seed {seed}: suspected by these within 10 s");
    println!(
        "seed {seed}: {} datagrams, {} gated; found by all in {} ms",
        hour.sent,
        hour.gated,
        latest / MS
    );
}

#[test]
fn nobody_alive_is_suspected_in_an_hour_of_loss_and_the_dead_are_at_once() {
    // Side by side: each is an hour.
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || nobody_alive_is_suspected_and_the_dead_are(seed));
        }
    });
}
