//! Nodes, a network and a coordinator in one thread, driven by one seed, and an oracle that knows everything.
//!
//! Each host is a real [`Node`] around an abstract heap. Safety is asserted whenever an object is freed (nobody who counts can reach it), whenever a reference is
//! delivered (what it names is there), whenever a stub dies, and whenever a life is exiled (it has fenced itself). Liveness is asserted at the end. Time, network and coordinator are
//! those of `gc_surroundings`.

mod application;
mod collecting;
mod coordinating;
mod judging;
mod swapping;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gc_protocol::wire::ModuleDigest;
use gc_protocol::{
    CycleEnding, Effect, Event, Faults, Life, MembershipEpoch, Node, Object, Reference, Refusal, StubLoss,
};
use gc_surroundings::{Clock, Coordinator, MS, Network, Random, Schedule, Weather, hasty, node_at, place_of};

use crate::heap::Heap;
use swapping::Swapping;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) active_ms: u64,
    pub(crate) heal_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) delay_us_max: u64,
    pub(crate) cuts: bool,
    pub(crate) pauses: bool,
    pub(crate) crashes: bool,
    pub(crate) drift_ppm: u64,
    /// Nodes send at once, as over connections that keep the order; these do not.
    pub(crate) at_once: bool,
    /// References may form cycles over nodes, and the cluster marks them.
    pub(crate) cycles: bool,
    /// Members offer strategies to each other.
    pub(crate) swaps: bool,
    /// Proposals decide who is exiled. Else only the return of a node does, as where people decide.
    pub(crate) exiles: bool,
    /// Marking forgets to tell of some stubs that it reached.
    pub(crate) lazy_marker: bool,
    /// Longest time between two operations of a mutator.
    pub(crate) pace_us: u64,
    /// Memberships take up to this long to reach a node.
    pub(crate) membership_ms_max: u64,
    /// Every effect is printed.
    pub(crate) trace: bool,
    pub(crate) faults: Faults,
}

impl Settings {
    pub(crate) fn calm(seed: u64) -> Settings {
        Settings {
            seed,
            nodes: 3 + (seed % 3) as usize,
            active_ms: 600,
            heal_ms: 2500,
            loss_percent: 0,
            repeat_percent: 0,
            delay_us_max: 5_000,
            cuts: false,
            pauses: false,
            crashes: false,
            drift_ppm: 1_000,
            at_once: false,
            cycles: false,
            swaps: false,
            exiles: true,
            lazy_marker: false,
            pace_us: 4_000,
            membership_ms_max: 20,
            trace: false,
            faults: Faults::default(),
        }
    }

    pub(crate) fn rough(seed: u64) -> Settings {
        Settings {
            loss_percent: 5,
            repeat_percent: 5,
            delay_us_max: 20_000,
            cuts: true,
            pauses: true,
            crashes: true,
            drift_ppm: 50_000,
            membership_ms_max: 100,
            ..Settings::calm(seed)
        }
    }
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Stats {
    pub(crate) events: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) copies: u64,
    pub(crate) delivered: u64,
    pub(crate) freed: u64,
    pub(crate) exiles: u64,
    pub(crate) restarts: u64,
    pub(crate) healed: u64,
    pub(crate) swept: u64,
    pub(crate) swept_objects: u64,
    pub(crate) voted_down: u64,
    pub(crate) cycles_lost: u64,
    pub(crate) exchanged: u64,
    pub(crate) not_exchanged: u64,
}

enum Thing {
    Tick { host: usize, life: Life, token: u64 },
    Frame { from: usize, to: usize, frame: Vec<u8> },
    Drop { host: usize, life: Life, reference: Reference, import: u32 },
    Membership { host: usize, epoch: u64, members: BTreeSet<Life> },
    Connect { a: usize, b: usize },
    Disconnected { host: usize, peer: usize },
    Operate { host: usize },
    Collect { host: usize },
    Mark { host: usize },
    StartCycle,
    Swap,
    Prepared { host: usize, life: Life, digest: ModuleDigest },
    Trouble,
    Restart { host: usize, life: Life },
    Resume { host: usize },
    Heal { cut: (usize, usize) },
    Decline { host: usize, by: Life, client: Life },
}

struct Host {
    life: Life,
    node: Node,
    heap: Heap,
    alive: bool,
    paused: bool,
    waiting: Vec<Thing>,
    clock: Clock,
    tick_token: u64,
    tick_at: u64,
}

pub(crate) struct World {
    settings: Settings,
    random: Random,
    schedule: Schedule<Thing>,
    hosts: Vec<Host>,
    coordinator: Coordinator,
    network: Network,
    stamps: BTreeMap<Reference, u64>,
    swapping: Swapping,
    pub(crate) wrong: Option<String>,
    pub(crate) stats: Stats,
}

impl World {
    pub(crate) fn new(settings: Settings) -> World {
        let mut world = World {
            random: Random::new(settings.seed),
            schedule: Schedule::default(),
            hosts: Vec::new(),
            coordinator: Coordinator::default(),
            network: Network::default(),
            stamps: BTreeMap::new(),
            swapping: Swapping::default(),
            wrong: None,
            stats: Stats::default(),
            settings,
        };
        let lives: Vec<Life> =
            (0..world.settings.nodes).map(|place| Life::new(node_at(place).0, 1)).collect();
        for &life in &lives {
            let new = world.host(life);
            world.hosts.push(new);
        }
        world.change_membership(|coordinator| coordinator.change(lives.into_iter().collect()));
        for a in 0..world.hosts.len() {
            (0..a).for_each(|b| world.after(1, Thing::Connect { a, b }));
            let at = world.random.between(5, 30);
            world.after(at * MS, Thing::Operate { host: a });
            world.after(at * MS, Thing::Collect { host: a });
        }
        if world.settings.cycles {
            world.after(40 * MS, Thing::StartCycle);
        }
        if world.settings.swaps {
            world.after(60 * MS, Thing::Swap);
        }
        world.after(50 * MS, Thing::Trouble);
        world
    }

    fn host(&mut self, life: Life) -> Host {
        let nonce = self.random.draw();
        let mut config = hasty(life, nonce, self.settings.drift_ppm, self.settings.faults);
        config.link.in_order = self.settings.at_once;
        Host {
            life,
            node: Node::new(config),
            heap: Heap::new(life),
            alive: true,
            paused: false,
            waiting: Vec::new(),
            clock: Clock::new(&mut self.random, self.settings.drift_ppm),
            tick_token: 0,
            tick_at: u64::MAX,
        }
    }

    fn after(&mut self, delay: u64, thing: Thing) {
        self.schedule.after(delay, thing);
    }

    fn active(&self) -> bool {
        self.schedule.now() < self.settings.active_ms * MS
    }

    fn trace(&self, line: impl Fn() -> String) {
        if self.settings.trace {
            println!("{:10.3} ms {}", self.schedule.now() as f64 / MS as f64, line());
        }
    }

    fn fail(&mut self, wrong: String) {
        let now = self.schedule.now() / MS;
        self.wrong.get_or_insert(format!("seed {}, {now} ms: {wrong}", self.settings.seed));
    }

    /// Runs to the end. An error says what went wrong, and with which seed.
    pub(crate) fn run(mut self) -> Result<Stats, String> {
        let end = (self.settings.active_ms + self.settings.heal_ms) * MS;
        while let Some(thing) = self.schedule.next() {
            if self.schedule.now() > end || self.wrong.is_some() {
                break;
            }
            self.stats.events += 1;
            self.take(thing);
        }
        if self.wrong.is_none() && self.settings.heal_ms > 0 {
            self.check_end();
        }
        for host in &self.hosts {
            let counters = host.node.counters();
            self.stats.frames += counters.frames_sent;
            self.stats.bytes += counters.bytes_sent;
            self.stats.messages += counters.messages_sent;
            self.stats.copies += counters.copies_sent;
        }
        match self.wrong {
            None => Ok(self.stats),
            Some(wrong) => Err(wrong),
        }
    }

    fn take(&mut self, thing: Thing) {
        match thing {
            Thing::Tick { host, life, token } => {
                if self.hosts[host].life == life && self.hosts[host].tick_token == token {
                    self.hosts[host].tick_at = u64::MAX;
                    if self.hosts[host].alive && !self.hosts[host].paused {
                        self.feed(host, Event::Ticked);
                    }
                }
            }
            Thing::Frame { from, to, frame } => {
                if self.hosts[to].paused {
                    self.hosts[to].waiting.push(Thing::Frame { from, to, frame });
                } else if self.hosts[to].alive {
                    self.feed(to, Event::Received { peer: node_at(from), frame });
                }
            }
            Thing::Drop { host, life, reference, import } => {
                let known = self.hosts[host].life == life && self.hosts[host].alive;
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Drop { host, life, reference, import });
                } else if known {
                    self.feed(host, Event::StubsDropped { stubs: vec![(reference, import)] });
                }
            }
            Thing::Membership { host, epoch, members } => {
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Membership { host, epoch, members });
                } else if self.hosts[host].alive {
                    self.coordinator.has_taken(self.hosts[host].life, epoch);
                    let epoch = MembershipEpoch(epoch);
                    self.feed(host, Event::MembershipChanged { epoch, members });
                }
            }
            Thing::Connect { a, b } => self.connect(a, b),
            Thing::Disconnected { host, peer } => {
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Disconnected { host, peer });
                } else if self.hosts[host].alive && !self.network.is_connected(host, peer) {
                    self.feed(host, Event::Disconnected { peer: node_at(peer) });
                }
            }
            Thing::Operate { host } => self.operate_again(host),
            Thing::Collect { host } => self.collect_again(host),
            Thing::Mark { host } => self.mark(host),
            Thing::StartCycle => {
                let first = self.coordinator.members().first().map(|life| place_of(life.node));
                if let Some(host) = first.filter(|&host| self.hosts[host].alive && !self.hosts[host].paused) {
                    self.feed(host, Event::CycleRequested);
                }
                let delay = self.random.between(60, 160);
                self.after(delay * MS, Thing::StartCycle);
            }
            Thing::Swap => self.swap(),
            Thing::Prepared { host, life, digest } => self.prepared(host, life, digest),
            Thing::Trouble => self.trouble(),
            Thing::Restart { host, life } => {
                if self.hosts[host].life == life {
                    self.restart(host);
                }
            }
            Thing::Resume { host } => self.resume(host),
            Thing::Heal { cut } => {
                self.network.heal(cut);
            }
            Thing::Decline { host, by, client } => {
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Decline { host, by, client });
                } else if self.hosts[host].life == by && self.hosts[host].alive {
                    self.coordinator.decline(by, client);
                    self.feed(host, Event::ExileDeclined { client });
                }
            }
        }
    }

    /// Gives a node an event, does what it wants, and what follows from that.
    fn feed(&mut self, host: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            let now = self.hosts[host].clock.shows(self.schedule.now());
            self.hosts[host].node.step(now, event, &mut effects);
            for effect in effects {
                self.perform(host, effect, &mut events);
            }
        }
        let owner = &self.hosts[host];
        if let Some(wake) = owner.node.next_wake() {
            let at = owner.clock.true_time(wake).max(self.schedule.now() + MS / 10);
            if at < owner.tick_at {
                let owner = &mut self.hosts[host];
                owner.tick_token += 1;
                owner.tick_at = at;
                let tick = Thing::Tick { host, life: owner.life, token: owner.tick_token };
                self.after(at - self.schedule.now(), tick);
            }
        }
    }

    fn perform(&mut self, host: usize, effect: Effect, events: &mut VecDeque<Event>) {
        if !matches!(effect, Effect::Transmit { .. }) {
            self.trace(|| format!("{host}: {effect:?}"));
        }
        match effect {
            Effect::Transmit { peer, frame } => self.transmit(host, place_of(peer), frame),
            Effect::Close { peer, reason } => self.close(host, place_of(peer), reason),
            Effect::Deliver { from: _, references, payload } => {
                for delivered in &references {
                    self.deliver(host, delivered.reference, delivered.import);
                }
                if let (&[1], [first, second]) = (payload.as_slice(), references.as_slice()) {
                    let heap = &mut self.hosts[host].heap;
                    if let Some(slots) = heap.objects.get_mut(&first.reference.object)
                        && first.reference.home == heap.life
                        && second.import > 0
                    {
                        slots.push(second.reference);
                    }
                }
            }
            Effect::Root(object) => {
                let heap = &mut self.hosts[host].heap;
                if heap.objects.contains_key(&object) {
                    heap.external.insert(object);
                } else {
                    events.push_back(Event::RootRefused { object });
                }
            }
            Effect::Unroot(object) => {
                self.hosts[host].heap.external.remove(&object);
            }
            Effect::StubDead { reference, why } => self.stub_dead(host, reference, why),
            Effect::ProposeExile { client, epoch } => {
                self.propose_exile(host, client, epoch.0);
            }
            Effect::Exiled => {
                let life = self.hosts[host].life;
                self.after(10 * MS, Thing::Restart { host, life });
            }
            Effect::Healed { .. } => self.stats.healed += 1,
            Effect::PrepareStrategy { .. } | Effect::InstallStrategy(_) | Effect::SwapEnded(..) => {
                self.strategy(host, &effect);
            }
            Effect::BeginCycle(cycle) => {
                let owner = &mut self.hosts[host];
                let roots = owner.node.cycle_roots();
                owner.heap.begin(cycle, &roots);
                self.after(MS, Thing::Mark { host });
            }
            Effect::Shade { cycle, objects, number } => {
                let heap = &mut self.hosts[host].heap;
                let own: Vec<Reference> = objects.into_iter().map(|object| heap.own(object)).collect();
                if let Some(marking) = heap.marking.as_mut().filter(|marking| marking.cycle == cycle) {
                    marking.queue.extend(own);
                    marking.handed = number;
                }
            }
            Effect::DecideCycle(_) => self.decide_cycle(host, events),
            Effect::Sweep(_) => self.sweep(host),
            Effect::CycleEnded(_, why) => {
                self.hosts[host].heap.marking = None;
                match why {
                    CycleEnding::Swept => self.stats.swept += 1,
                    CycleEnding::VotedDown => self.stats.voted_down += 1,
                    _ => self.stats.cycles_lost += 1,
                }
            }
            _ => {}
        }
    }

    fn transmit(&mut self, from: usize, to: usize, frame: Vec<u8>) {
        let weather = if self.active() { self.weather() } else { Weather::default() };
        for delay in self.network.carry(from, to, weather, &mut self.random) {
            self.after(delay, Thing::Frame { from, to, frame: frame.clone() });
        }
    }

    fn weather(&self) -> Weather {
        let Settings { loss_percent, repeat_percent, delay_us_max, .. } = self.settings;
        Weather { loss_percent, repeat_percent, delay_us_max }
    }
}
