//! Nodes, a network and a coordinator, driven by one seed.
//!
//! ```text
//!  schedule ──▶ take ──▶ sites: member (protocol, heap), mutator, collector ──▶ frames, turns, troubles ──▶ schedule
//!                              │
//!                              ▼
//!                           oracle: what ought to be there is there
//! ```
//!
//! *Safety*: whatever a mutator of a member can reach, by way of homes that are members, is there, unchanged, under its own handle; the stubs on the way are
//! registered. Looked at after every step in which a heap condemned or freed anything, and of one site after every few others. A delivered reference leads
//! somewhere; a life that is exiled has fenced itself. *Liveness*: when everything is healed and has been for a while, no heap has anything that cannot be reached, and the
//! tables say what the heaps have.

mod application;
mod coordinating;
mod judging;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use gc_protocol::{CycleEnding, Effect, Event, Life, MembershipEpoch, Reference};
use gc_remote::{Member, Outward};
use gc_surroundings::{Coordinator, MS, Network, Random, Schedule, Weather, node_at, place_of};

use crate::oracle::Oracle;
use crate::settings::{Settings, Stats};
use crate::site::Site;

pub(crate) enum Thing {
    Tick { site: usize, life: Life, token: u64 },
    Frame { from: usize, to: usize, frame: Vec<u8> },
    Membership { site: usize, epoch: u64, members: BTreeSet<Life> },
    Connect { a: usize, b: usize },
    Disconnected { site: usize, peer: usize },
    Operate { site: usize },
    Collect { site: usize },
    Turn { site: usize, life: Life },
    StartCycle,
    Trouble,
    Restart { site: usize, life: Life },
    Resume { site: usize },
    Heal { way: (usize, usize) },
    Decline { site: usize, by: Life, client: Life },
}

/// A run.
pub struct World {
    settings: Settings,
    random: Random,
    schedule: Schedule<Thing>,
    sites: Vec<Site>,
    network: Network,
    coordinator: Coordinator,
    oracle: Oracle,
    /// In which order objects were made.
    order: BTreeMap<Reference, u64>,
    wrong: Option<String>,
    stats: Stats,
}

impl World {
    /// A world at its beginning.
    #[must_use]
    pub fn new(settings: Settings) -> World {
        let mut world = World {
            random: Random::new(settings.seed),
            schedule: Schedule::default(),
            sites: Vec::new(),
            network: Network::default(),
            coordinator: Coordinator::default(),
            oracle: Oracle::default(),
            order: BTreeMap::new(),
            wrong: None,
            stats: Stats::default(),
            settings,
        };
        let lives: Vec<Life> =
            (0..world.settings.nodes).map(|place| Life::new(node_at(place).0, 1)).collect();
        for (place, &life) in lives.iter().enumerate() {
            world.sites.push(Site::new(&world.settings, place, life, &mut world.random));
        }
        world.change_membership(|coordinator| coordinator.change(lives.into_iter().collect()));
        for a in 0..world.sites.len() {
            (0..a).for_each(|b| world.schedule.after(1, Thing::Connect { a, b }));
            let at = world.random.between(5, 30);
            world.schedule.after(at * MS, Thing::Operate { site: a });
            world.schedule.after(at * MS, Thing::Collect { site: a });
        }
        if world.settings.cycles {
            world.schedule.after(40 * MS, Thing::StartCycle);
        }
        world.schedule.after(50 * MS, Thing::Trouble);
        world
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// What went wrong, when, and with which seed.
    pub fn run(mut self) -> Result<Stats, String> {
        let end = (self.settings.active_ms + self.settings.heal_ms) * MS;
        while self.wrong.is_none()
            && let Some(thing) = self.schedule.next()
        {
            if self.schedule.now() > end {
                break;
            }
            self.stats.events += 1;
            self.take(thing);
            self.glance();
        }
        if self.wrong.is_none() && self.settings.tidy {
            self.check_end();
        }
        for site in &self.sites {
            let counters = site.member.node().counters();
            self.stats.frames += counters.frames_sent;
            self.stats.bytes += counters.bytes_sent;
            self.stats.messages += counters.messages_sent;
            self.stats.copies += counters.copies_sent;
        }
        self.wrong.map_or(Ok(self.stats), Err)
    }

    fn active(&self) -> bool {
        self.schedule.now() < self.settings.active_ms * MS
    }

    fn weather(&self) -> Weather {
        if self.active() { self.settings.weather } else { Weather::default() }
    }

    fn trace(&self, line: impl Fn() -> String) {
        if self.settings.trace {
            println!("{:10.3} ms {}", self.schedule.now() as f64 / MS as f64, line());
        }
    }

    fn fail(&mut self, wrong: String) {
        let (seed, ms) = (self.settings.seed, self.schedule.now() / MS);
        self.wrong.get_or_insert(format!("seed {seed}, {ms} ms: {wrong}"));
    }

    /// Puts something that happened into the digest of the run (FNV-1a).
    fn digest(&mut self, bytes: &[u8]) {
        let mut digest = self.stats.digest ^ self.schedule.now();
        for &byte in bytes {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.stats.digest = digest.wrapping_mul(0x0100_0000_01b3);
    }

    /// What concerns a process that is stopped waits for it.
    fn postponed(&mut self, thing: Thing) -> Option<Thing> {
        let at = match &thing {
            Thing::Frame { to, .. } => *to,
            Thing::Membership { site, .. }
            | Thing::Decline { site, .. }
            | Thing::Disconnected { site, .. } => *site,
            _ => return Some(thing),
        };
        if self.sites[at].paused {
            self.sites[at].waiting.push(thing);
            return None;
        }
        self.sites[at].alive.then_some(thing)
    }

    fn take(&mut self, thing: Thing) {
        let Some(thing) = self.postponed(thing) else { return };
        match thing {
            Thing::Tick { site, life, token } => {
                let owner = &mut self.sites[site];
                if owner.life == life && owner.tick_token == token {
                    owner.tick_at = u64::MAX;
                    if owner.runs() {
                        self.feed(site, Event::Ticked);
                    }
                }
            }
            Thing::Frame { from, to, frame } => {
                self.digest(&frame);
                self.feed(to, Event::Received { peer: node_at(from), frame });
            }
            Thing::Membership { site, epoch, members } => {
                self.coordinator.has_taken(self.sites[site].life, epoch);
                self.feed(site, Event::MembershipChanged { epoch: MembershipEpoch(epoch), members });
            }
            Thing::Connect { a, b } => self.connect(a, b),
            Thing::Disconnected { site, peer } => {
                if self.sites[site].alive && !self.network.is_connected(site, peer) {
                    self.feed(site, Event::Disconnected { peer: node_at(peer) });
                }
            }
            Thing::Operate { site } => self.operate_again(site),
            Thing::Collect { site } => self.collect_again(site),
            Thing::Turn { site, life } => self.turn(site, life),
            Thing::StartCycle => self.start_cycle(),
            Thing::Trouble => self.trouble(),
            Thing::Restart { site, life } => {
                if self.sites[site].life == life {
                    self.restart(site);
                }
            }
            Thing::Resume { site } => self.resume(site),
            Thing::Heal { way } => self.network.heal(way),
            Thing::Decline { site, by, client } => {
                if self.sites[site].life == by {
                    self.coordinator.decline(by, client);
                    self.feed(site, Event::ExileDeclined { client });
                }
            }
        }
    }

    /// Gives a member an event, and does what it hands outward.
    fn feed(&mut self, site: usize, event: Event) {
        self.drive(site, |member, now| member.step(now, event));
    }

    /// Lets a member do something, and does what it hands outward.
    fn drive(&mut self, site: usize, act: impl FnOnce(&mut Member, u64) -> Vec<Outward>) {
        let owner = &mut self.sites[site];
        let now = owner.clock.shows(self.schedule.now());
        let outward = act(&mut owner.member, now);
        for outward in outward {
            match outward {
                Outward::Delivered(delivery) => self.delivered(site, delivery),
                Outward::Effect(effect) => self.perform(site, effect),
            }
        }
        let owner = &mut self.sites[site];
        if let Some(wake) = owner.member.next_wake() {
            let now = self.schedule.now();
            let at = owner.clock.true_time(wake).max(now + MS / 10);
            if at < owner.tick_at {
                owner.tick_token += 1;
                owner.tick_at = at;
                let tick = Thing::Tick { site, life: owner.life, token: owner.tick_token };
                self.schedule.after(at - now, tick);
            }
        }
    }

    fn perform(&mut self, site: usize, effect: Effect) {
        if !matches!(effect, Effect::Transmit { .. }) {
            self.trace(|| format!("{site}: {effect:?}"));
        }
        match effect {
            Effect::Transmit { peer, frame } => {
                let (to, weather) = (place_of(peer), self.weather());
                for delay in self.network.carry(site, to, weather, &mut self.random) {
                    self.schedule.after(delay, Thing::Frame { from: site, to, frame: frame.clone() });
                }
            }
            Effect::Close { peer, reason } => self.close(site, place_of(peer), reason),
            Effect::StubDead { reference, why } => self.stub_dead(site, reference, why),
            Effect::ProposeExile { client, epoch } => self.propose_exile(site, client, epoch.0),
            Effect::Exiled => {
                let life = self.sites[site].life;
                self.schedule.after(10 * MS, Thing::Restart { site, life });
            }
            Effect::Healed { .. } => self.stats.healed += 1,
            Effect::BeginCycle(cycle) => self.called(site, cycle),
            Effect::CycleEnded(_, why) => match why {
                CycleEnding::Swept => self.stats.swept += 1,
                CycleEnding::VotedDown => self.stats.voted_down += 1,
                CycleEnding::TimedOut | CycleEnding::MembershipChanged | CycleEnding::Abandoned => {
                    self.stats.cycles_lost += 1;
                }
            },
            _ => {}
        }
    }
}
