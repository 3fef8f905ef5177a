//! Nodes, a network and a coordinator in one thread, driven by one seed, and an oracle that knows everything.
//!
//! Each host is a real [`Node`] around an abstract heap. Safety is asserted whenever an object is freed (nobody who counts can reach it), whenever a reference is
//! delivered (what it names is there), whenever a stub dies, and whenever a life is exiled (it has fenced itself). Liveness is asserted at the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gc_protocol::{
    Config, CycleEnding, Effect, Event, Faults, HomeMode, LeaseConfig, Life, LinkConfig, MembershipEpoch,
    Nanos, Node, NodeId, Object, Reference, Refusal, StubLoss,
};

use crate::heap::Heap;
use crate::random::Random;

pub(crate) const MS: u64 = 1_000_000;

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
    /// References may form cycles over nodes, and the cluster marks them.
    pub(crate) cycles: bool,
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
            cycles: false,
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
    offset: u64,
    rate_ppm: i64,
    tick_token: u64,
    tick_at: u64,
}

impl Host {
    fn clock(&self, now: u64) -> Nanos {
        self.offset + (now as i64 + now as i64 / 1_000_000 * self.rate_ppm) as u64
    }

    fn real(&self, local: Nanos) -> u64 {
        let local = local.saturating_sub(self.offset).min(1 << 50);
        (u128::from(local) * 1_000_000 / (1_000_000 + self.rate_ppm) as u128) as u64 + 1_000_000
    }
}

pub(crate) struct World {
    settings: Settings,
    random: Random,
    pub(crate) now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Thing>,
    hosts: Vec<Host>,
    epoch: u64,
    members: BTreeSet<Life>,
    /// Every membership that there was.
    memberships: BTreeMap<u64, BTreeSet<Life>>,
    /// The last membership that each life has taken.
    taken: BTreeMap<Life, u64>,
    proposals: BTreeMap<Life, BTreeSet<Life>>,
    connected: BTreeSet<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
    stamps: BTreeMap<Reference, u64>,
    pub(crate) wrong: Option<String>,
    pub(crate) stats: Stats,
}

fn id(host: usize) -> NodeId {
    NodeId(host as u32 + 1)
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn config(settings: &Settings, life: Life, nonce: u64) -> Config {
    let mut config = Config::new(life, 77, nonce);
    config.link = LinkConfig {
        flush_after: 2 * MS,
        resend_after: 50 * MS,
        acknowledge_after: 8 * MS,
        hello_every: 30 * MS,
    };
    config.lease = LeaseConfig {
        duration: 300 * MS,
        drift_ppm: settings.drift_ppm,
        guard: 10 * MS,
        renew_every: 60 * MS,
        mode: HomeMode::FenceFree,
    };
    config.digest_every = 150 * MS;
    config.mark.wave_every = 2 * MS;
    config.mark.timeout = 1000 * MS;
    config.faults = settings.faults;
    config
}

impl World {
    pub(crate) fn new(settings: Settings) -> World {
        let mut world = World {
            random: Random::new(settings.seed),
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            hosts: Vec::new(),
            epoch: 0,
            members: BTreeSet::new(),
            memberships: BTreeMap::new(),
            taken: BTreeMap::new(),
            proposals: BTreeMap::new(),
            connected: BTreeSet::new(),
            cut: BTreeSet::new(),
            stamps: BTreeMap::new(),
            wrong: None,
            stats: Stats::default(),
            settings,
        };
        for host in 0..world.settings.nodes {
            let new = world.host(Life { node: id(host), incarnation: gc_protocol::Incarnation(1) });
            world.members.insert(new.life);
            world.hosts.push(new);
        }
        world.change_membership(world.members.clone());
        for a in 0..world.hosts.len() {
            (0..a).for_each(|b| world.after(1, Thing::Connect { a, b }));
            let at = world.random.between(5, 30);
            world.after(at * MS, Thing::Operate { host: a });
            world.after(at * MS, Thing::Collect { host: a });
        }
        if world.settings.cycles {
            world.after(40 * MS, Thing::StartCycle);
        }
        world.after(50 * MS, Thing::Trouble);
        world
    }

    fn host(&mut self, life: Life) -> Host {
        let nonce = self.random.next();
        let drift = self.settings.drift_ppm as i64;
        Host {
            life,
            node: Node::new(config(&self.settings, life, nonce)),
            heap: Heap::new(life),
            alive: true,
            paused: false,
            waiting: Vec::new(),
            offset: self.random.between(0, 1000) * MS,
            rate_ppm: self.random.between(0, 2 * drift as u64) as i64 - drift,
            tick_token: 0,
            tick_at: u64::MAX,
        }
    }

    fn after(&mut self, delay: u64, thing: Thing) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), thing);
    }

    fn active(&self) -> bool {
        self.now < self.settings.active_ms * MS
    }

    fn trace(&self, line: impl Fn() -> String) {
        if self.settings.trace {
            println!("{:10.3} ms {}", self.now as f64 / MS as f64, line());
        }
    }

    fn fail(&mut self, wrong: String) {
        let now = self.now / MS;
        self.wrong.get_or_insert(format!("seed {}, {now} ms: {wrong}", self.settings.seed));
    }

    /// Runs to the end. An error says what went wrong, and with which seed.
    pub(crate) fn run(mut self) -> Result<Stats, String> {
        let end = (self.settings.active_ms + self.settings.heal_ms) * MS;
        while let Some(((at, _), thing)) = self.queue.pop_first() {
            if at > end || self.wrong.is_some() {
                break;
            }
            self.now = at;
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
                    self.feed(to, Event::Received { peer: id(from), frame });
                }
            }
            Thing::Drop { host, life, reference, import } => {
                let known = self.hosts[host].life == life && self.hosts[host].alive;
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Drop { host, life, reference, import });
                } else if known {
                    self.feed(host, Event::StubDropped { reference, import });
                }
            }
            Thing::Membership { host, epoch, members } => {
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Membership { host, epoch, members });
                } else if self.hosts[host].alive {
                    let taken = self.taken.entry(self.hosts[host].life).or_default();
                    *taken = epoch.max(*taken);
                    let epoch = MembershipEpoch(epoch);
                    self.feed(host, Event::MembershipChanged { epoch, members });
                }
            }
            Thing::Connect { a, b } => self.connect(a, b),
            Thing::Disconnected { host, peer } => {
                if self.hosts[host].alive && !self.connected.contains(&pair(host, peer)) {
                    self.feed(host, Event::Disconnected { peer: id(peer) });
                }
            }
            Thing::Operate { host } => self.operate_again(host),
            Thing::Collect { host } => self.collect_again(host),
            Thing::Mark { host } => self.mark(host),
            Thing::StartCycle => {
                let first = self.members.first().map(|life| life.node.0 as usize - 1);
                if let Some(host) = first.filter(|&host| self.hosts[host].alive && !self.hosts[host].paused) {
                    self.feed(host, Event::CycleRequested);
                }
                let delay = self.random.between(60, 160);
                self.after(delay * MS, Thing::StartCycle);
            }
            Thing::Trouble => self.trouble(),
            Thing::Restart { host, life } => {
                if self.hosts[host].life == life {
                    self.restart(host);
                }
            }
            Thing::Resume { host } => self.resume(host),
            Thing::Heal { cut } => {
                self.cut.remove(&cut);
            }
            Thing::Decline { host, by, client } => {
                if self.hosts[host].paused {
                    self.hosts[host].waiting.push(Thing::Decline { host, by, client });
                } else if self.hosts[host].life == by && self.hosts[host].alive {
                    if let Some(proposers) = self.proposals.get_mut(&client) {
                        proposers.remove(&by);
                    }
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
            let now = self.hosts[host].clock(self.now);
            self.hosts[host].node.step(now, event, &mut effects);
            for effect in effects {
                self.perform(host, effect, &mut events);
            }
        }
        let owner = &self.hosts[host];
        if let Some(wake) = owner.node.next_wake() {
            let at = owner.real(wake).max(self.now + MS / 10);
            if at < owner.tick_at {
                let owner = &mut self.hosts[host];
                owner.tick_token += 1;
                owner.tick_at = at;
                let tick = Thing::Tick { host, life: owner.life, token: owner.tick_token };
                self.after(at - self.now, tick);
            }
        }
    }

    fn perform(&mut self, host: usize, effect: Effect, events: &mut VecDeque<Event>) {
        if !matches!(effect, Effect::Transmit { .. }) {
            self.trace(|| format!("{host}: {effect:?}"));
        }
        match effect {
            Effect::Transmit { peer, frame } => self.transmit(host, peer.0 as usize - 1, frame),
            Effect::Close { peer, reason } => self.close(host, peer.0 as usize - 1, reason),
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
                let by = self.hosts[host].life;
                if epoch.0 == self.epoch {
                    self.proposals.entry(client).or_default().insert(by);
                }
                self.after(250 * MS, Thing::Decline { host, by, client });
                self.decide_exile(client);
            }
            Effect::Exiled => {
                let life = self.hosts[host].life;
                self.after(10 * MS, Thing::Restart { host, life });
            }
            Effect::Healed { .. } => self.stats.healed += 1,
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
        let times = 1 + usize::from(self.active() && self.random.percent(self.settings.repeat_percent));
        for _ in 0..times {
            let lost = self.active() && self.random.percent(self.settings.loss_percent);
            if self.connected.contains(&pair(from, to)) && !self.cut.contains(&(from, to)) && !lost {
                // A healed network keeps the order.
                let delay =
                    if self.active() { self.random.between(100, self.settings.delay_us_max) } else { 1000 };
                let delay = delay * 1000;
                // A frame from an earlier connection, or an earlier life, may still be under way for long.
                let late = self.active() && self.settings.repeat_percent > 0 && self.random.percent(2);
                let late = if late { self.random.between(50, 300) * MS } else { 0 };
                self.after(delay + late, Thing::Frame { from, to, frame: frame.clone() });
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let ready = |host: usize| self.hosts[host].alive && !self.hosts[host].paused;
        let cut = self.cut.contains(&(a, b)) || self.cut.contains(&(b, a));
        if !ready(a) || !ready(b) || cut {
            let delay = self.random.between(20, 60);
            return self.after(delay * MS, Thing::Connect { a, b });
        }
        if self.connected.insert(pair(a, b)) {
            self.trace(|| format!("{a} and {b} are connected"));
            let wall_ms = self.now / MS;
            self.feed(a, Event::Connected { peer: id(b), wall_ms });
            self.feed(b, Event::Connected { peer: id(a), wall_ms });
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if self.connected.remove(&pair(a, b)) {
            // What was sent last may arrive before the end of the connection is noticed.
            self.after(0, Thing::Disconnected { host: a, peer: b });
            let notice = self.random.between(0, 25);
            self.after(notice * MS, Thing::Disconnected { host: b, peer: a });
            let delay = self.random.between(30, 60);
            self.after(delay * MS, Thing::Connect { a, b });
        }
    }

    fn close(&mut self, host: usize, peer: usize, reason: Refusal) {
        let told = matches!(reason, Refusal::ByPeer(6..=8) | Refusal::NotAMember);
        let life = self.hosts[host].life;
        if told && !self.members.contains(&life) && self.epoch > 0 {
            // What a shell does whose node is at odds with another about who is a member: it asks the coordinator.
            self.after(5 * MS, Thing::Restart { host, life });
        }
        if matches!(reason, Refusal::Malformed(_) | Refusal::WrongAddress | Refusal::Misplaced) {
            self.fail(format!("host {host} closes for {reason}"));
        }
        self.disconnect(host, peer);
    }

    // The application.

    fn deliver(&mut self, host: usize, reference: Reference, import: u32) {
        self.stats.delivered += 1;
        if self.counts(host) && self.is_home_there(reference) && !self.exists(reference) {
            self.fail(format!("{reference} was delivered to host {host} and is gone"));
        }
        let known = reference.home == self.hosts[host].life || import > 0;
        if !known && self.counts(host) && self.is_home_there(reference) {
            return self
                .fail(format!("{reference} was delivered to host {host} as dead, and its home lives"));
        }
        let heap = &mut self.hosts[host].heap;
        if reference.home != heap.life && import > 0 {
            heap.stubs.insert(reference, import);
        }
        if known {
            // Into a slot of an object, or kept as a root.
            let life = heap.life;
            let own: Vec<Reference> = heap.roots.iter().copied().filter(|root| root.home == life).collect();
            let holder = self.random.pick(&own).filter(|_| self.random.percent(60));
            let holder = holder.filter(|holder| {
                self.settings.cycles || self.stamps.get(holder) > self.stamps.get(&reference)
            });
            let heap = &mut self.hosts[host].heap;
            match holder.and_then(|holder| heap.objects.get_mut(&holder.object)) {
                Some(slots) => slots.push(reference),
                None => heap.roots.push(reference),
            }
            heap.shade(reference);
            self.resume_marking(host);
        }
    }

    fn resume_marking(&mut self, host: usize) {
        if let Some(marking) = self.hosts[host].heap.marking.as_mut().filter(|marking| marking.rested) {
            marking.rested = false;
            let cycle = marking.cycle;
            self.feed(host, Event::MarkingResumed { cycle });
        }
    }

    fn stub_dead(&mut self, host: usize, reference: Reference, why: StubLoss) {
        let heap = &mut self.hosts[host].heap;
        let had = heap.stubs.remove(&reference).is_some();
        let roots = heap.roots.clone();
        let used = had && heap.closure(roots).contains(&reference);
        if used && why == StubLoss::Gone && self.counts(host) && self.is_home_there(reference) {
            self.fail(format!("host {host} uses {reference} and is told that it is gone"));
        }
    }

    fn operate_again(&mut self, host: usize) {
        if !self.active() {
            return;
        }
        let delay = self.random.between(200, self.settings.pace_us);
        self.after(delay * 1000, Thing::Operate { host });
        if self.hosts[host].alive && !self.hosts[host].paused && self.counts(host) {
            self.operate(host);
        }
    }

    fn operate(&mut self, host: usize) {
        let choice = self.random.below(100);
        let roots = self.hosts[host].heap.roots.clone();
        let root = self.random.pick(&roots);
        match (choice, root) {
            (0..20, _) | (_, None) => {
                let references: Vec<Reference> = root.into_iter().collect();
                let new = self.hosts[host].heap.alloc(references);
                let stamp = self.stamps.len() as u64;
                self.stamps.insert(new, stamp);
                self.hosts[host].heap.roots.push(new);
            }
            (20..32, Some(root)) => self.link(host, root),
            (32..37, Some(root)) => {
                if let Some((holder, at)) = self.slot(host, root) {
                    self.hosts[host].heap.unlink(holder, at);
                    self.resume_marking(host);
                }
            }
            (37..45, Some(root)) => {
                // A load: what is in a slot becomes a root.
                if let Some((holder, at)) = self.slot(host, root) {
                    let loaded = self.hosts[host].heap.objects[&holder][at];
                    let mine = loaded.home == self.hosts[host].life;
                    if mine || self.hosts[host].heap.stubs.contains_key(&loaded) {
                        self.hosts[host].heap.roots.push(loaded);
                    }
                }
            }
            (45..60, Some(root)) if self.settings.cycles => self.entangle(host, root),
            (45..82, Some(root)) => {
                let to = self.random.below(self.hosts.len());
                if to != host {
                    let references: Vec<Reference> =
                        std::iter::once(root).chain(self.random.pick(&roots)).collect();
                    let sent = Event::SendRequested { to: id(to), references, payload: Vec::new(), token: 0 };
                    self.feed(host, sent);
                }
            }
            (_, Some(_)) => {
                let at = self.random.below(roots.len());
                self.hosts[host].heap.roots.swap_remove(at);
            }
        }
        while self.hosts[host].heap.roots.len() > 10 {
            let at = self.random.below(self.hosts[host].heap.roots.len());
            self.hosts[host].heap.roots.swap_remove(at);
        }
    }

    /// Makes an object here and one elsewhere refer to each other.
    fn entangle(&mut self, host: usize, stub: Reference) {
        let life = self.hosts[host].life;
        let own = self.hosts[host].heap.roots.iter().copied().filter(|root| root.home == life);
        let own: Vec<Reference> = own.collect();
        let Some(own) = self.random.pick(&own).filter(|_| stub.home != life) else { return };
        if let Some(references) = self.hosts[host].heap.objects.get_mut(&own.object) {
            references.push(stub);
            let references = vec![stub, own];
            let sent = Event::SendRequested { to: stub.home.node, references, payload: vec![1], token: 0 };
            self.feed(host, sent);
        }
    }

    /// A slot that the mutator can reach from a root.
    fn slot(&mut self, host: usize, root: Reference) -> Option<(Object, usize)> {
        let mut at = root;
        loop {
            let heap = &self.hosts[host].heap;
            let references = heap.objects.get(&at.object).filter(|_| at.home == heap.life)?;
            if references.is_empty() {
                return None;
            }
            let slot = self.random.below(references.len());
            let next = references[slot];
            if next.home != heap.life || self.random.percent(50) {
                return Some((at.object, slot));
            }
            at = next;
        }
    }

    fn link(&mut self, host: usize, holder: Reference) {
        let roots = self.hosts[host].heap.roots.clone();
        let Some(target) = self.random.pick(&roots) else { return };
        let allowed = self.settings.cycles || self.stamps.get(&holder) > self.stamps.get(&target);
        let heap = &mut self.hosts[host].heap;
        let mine = holder.home == heap.life;
        if let Some(references) = heap.objects.get_mut(&holder.object).filter(|_| allowed && mine) {
            references.push(target);
        }
    }

    // Collectors.

    fn collect_again(&mut self, host: usize) {
        let delay = self.random.between(15, 50);
        self.after(delay * MS, Thing::Collect { host });
        if self.hosts[host].alive && !self.hosts[host].paused {
            let (objects, stubs) = self.hosts[host].heap.garbage();
            self.free(host, &objects, &stubs);
        }
    }

    fn free(&mut self, host: usize, objects: &[Object], stubs: &[(Reference, u32)]) {
        let live = if objects.is_empty() { BTreeSet::new() } else { self.live() };
        for &object in objects {
            let reference = self.hosts[host].heap.own(object);
            if live.contains(&reference) && self.counts(host) {
                self.fail(format!("host {host} frees {reference}, which can be reached"));
            }
            self.stats.freed += u64::from(self.hosts[host].heap.free(object));
        }
        for &(reference, import) in stubs {
            if self.hosts[host].heap.stubs.remove(&reference).is_some() {
                let life = self.hosts[host].life;
                let delay = self.random.between(0, 6000) * 1000;
                self.after(delay, Thing::Drop { host, life, reference, import });
            }
        }
    }

    fn mark(&mut self, host: usize) {
        if self.hosts[host].paused {
            return self.after(10 * MS, Thing::Mark { host });
        }
        let reached = self.hosts[host].heap.mark(16);
        let Some(marking) = &mut self.hosts[host].heap.marking else { return };
        let (cycle, worked_off) = (marking.cycle, marking.handed);
        let rests = marking.queue.is_empty() && !marking.proved;
        marking.rested = rests;
        self.tell_reached(host, cycle, reached);
        if rests {
            self.feed(host, Event::MarkingRested { cycle, worked_off });
        }
        self.after(MS * 3 / 10, Thing::Mark { host });
    }

    fn tell_reached(&mut self, host: usize, cycle: gc_protocol::CycleId, reached: Vec<Reference>) {
        let lazy = self.settings.lazy_marker;
        let references: Vec<Reference> =
            reached.into_iter().filter(|_| !lazy || !self.random.percent(15)).collect();
        if !references.is_empty() {
            self.feed(host, Event::StubsReached { cycle, references });
        }
    }

    fn decide_cycle(&mut self, host: usize, events: &mut VecDeque<Event>) {
        let owner = &mut self.hosts[host];
        let reached = owner.heap.mark(usize::MAX);
        let roots = owner.node.cycle_roots();
        let Some(cycle) = owner.heap.marking.as_ref().map(|marking| marking.cycle) else { return };
        if !reached.is_empty() {
            events.push_back(Event::StubsReached { cycle, references: reached });
        }
        match owner.heap.verdict(&roots) {
            Some(condemned) => {
                let me = owner.life;
                let (own, stubs): (BTreeSet<_>, BTreeSet<_>) =
                    condemned.into_iter().partition(|reference| reference.home == me);
                let objects = own.into_iter().map(|reference| reference.object);
                let objects = objects.filter(|object| owner.heap.external.contains(object)).collect();
                events.push_back(Event::Proved { cycle, objects, stubs });
            }
            None => events.push_back(Event::ProofFailed { cycle }),
        }
    }

    fn sweep(&mut self, host: usize) {
        let heap = &self.hosts[host].heap;
        let Some(marking) = &heap.marking else { return };
        let (own, stubs): (Vec<Reference>, Vec<Reference>) =
            marking.condemned.iter().partition(|reference| reference.home == heap.life);
        let objects: Vec<Object> = own.into_iter().map(|reference| reference.object).collect();
        let objects: Vec<Object> =
            objects.into_iter().filter(|object| heap.objects.contains_key(object)).collect();
        let stubs: Vec<(Reference, u32)> =
            stubs.into_iter().filter_map(|stub| Some((stub, *heap.stubs.get(&stub)?))).collect();
        self.stats.swept_objects += objects.len() as u64;
        self.free(host, &objects, &stubs);
    }

    // The coordinator.

    fn change_membership(&mut self, members: BTreeSet<Life>) {
        self.epoch += 1;
        self.trace(|| format!("membership {} {members:?}", self.epoch));
        self.members = members;
        self.memberships.insert(self.epoch, self.members.clone());
        self.proposals.clear();
        for host in 0..self.hosts.len() {
            if self.members.contains(&self.hosts[host].life) {
                let delay = self.random.between(0, self.settings.membership_ms_max * 1000) * 1000;
                let (epoch, members) = (self.epoch, self.members.clone());
                self.after(delay, Thing::Membership { host, epoch, members });
            }
        }
    }

    fn decide_exile(&mut self, life: Life) {
        // Half of every membership that the client may believe in.
        let Some(by) = self.proposals.get(&life).filter(|_| self.members.contains(&life)) else { return };
        let taken = self.taken.get(&life).copied().unwrap_or(0);
        let half = |members: &BTreeSet<Life>| by.intersection(members).count() >= members.len().div_ceil(2);
        if !half(&self.members) || !self.memberships.range(taken..).all(|(_, members)| half(members)) {
            return;
        }
        self.stats.exiles += 1;
        let host = life.node.0 as usize - 1;
        let owner = &mut self.hosts[host];
        if owner.alive && !owner.paused && owner.life == life {
            // Whatever it did next, its leases would be looked at first.
            let mut effects = Vec::new();
            owner.node.step(owner.clock(self.now), Event::Disconnected { peer: id(host) }, &mut effects);
            if !owner.node.is_fenced() {
                self.fail(format!("{life} is exiled and has not fenced itself"));
            }
        }
        let members = self.members.iter().copied().filter(|&member| member != life).collect();
        self.change_membership(members);
    }

    fn restart(&mut self, host: usize) {
        self.stats.restarts += 1;
        let mut life = self.hosts[host].life;
        life.incarnation.0 += 1;
        (0..self.hosts.len()).filter(|&peer| peer != host).for_each(|peer| self.disconnect(host, peer));
        self.hosts[host] = self.host(life);
        let mut members = self.members.clone();
        members.retain(|member| member.node != life.node);
        members.insert(life);
        self.change_membership(members);
    }

    // Trouble.

    fn trouble(&mut self) {
        if !self.active() {
            // Healing: everything that is stopped goes on.
            self.cut.clear();
            let kept = (self.settings.seed % 2) as usize;
            for host in 0..self.hosts.len() {
                self.resume(host);
                // And most of what was held is let go.
                self.hosts[host].heap.roots.truncate(kept * usize::from(host == 0));
                if !self.hosts[host].alive {
                    self.restart(host);
                }
            }
            return;
        }
        let delay = self.random.between(20, 120);
        self.after(delay * MS, Thing::Trouble);
        let (host, peer) = (self.random.below(self.hosts.len()), self.random.below(self.hosts.len()));
        match self.random.below(10) {
            0..3 if self.settings.cuts && host != peer => {
                let both = self.random.percent(60);
                let length = self.random.between(20, 600) * MS;
                for cut in [(host, peer), (peer, host)].into_iter().take(1 + usize::from(both)) {
                    self.cut.insert(cut);
                    self.after(length, Thing::Heal { cut });
                }
            }
            3 if self.settings.cuts => {
                let length = self.random.between(100, 700) * MS;
                for other in (0..self.hosts.len()).filter(|&other| other != host) {
                    for cut in [(host, other), (other, host)] {
                        self.cut.insert(cut);
                        self.after(length, Thing::Heal { cut });
                    }
                }
            }
            4..6 if self.settings.cuts && host != peer => self.disconnect(host, peer),
            6..8 if self.settings.pauses && self.hosts[host].alive => {
                self.hosts[host].paused = true;
                let length = self.random.between(20, 600) * MS;
                self.after(length, Thing::Resume { host });
            }
            8..10 if self.settings.crashes && self.hosts[host].alive && self.counts(host) => {
                self.hosts[host].alive = false;
                let life = self.hosts[host].life;
                (0..self.hosts.len())
                    .filter(|&peer| peer != host)
                    .for_each(|peer| self.disconnect(host, peer));
                let stays_away = self.random.between(50, 900) * MS;
                self.after(stays_away, Thing::Restart { host, life });
            }
            // Whole structures become garbage while messages about them are under way.
            _ if self.settings.cycles && self.random.percent(40) => {
                self.hosts.iter_mut().for_each(|host| host.heap.roots.clear());
            }
            _ => {}
        }
    }

    fn resume(&mut self, host: usize) {
        if !self.hosts[host].paused {
            return;
        }
        self.hosts[host].paused = false;
        if self.hosts[host].alive {
            self.feed(host, Event::Ticked);
            for thing in std::mem::take(&mut self.hosts[host].waiting) {
                self.after(0, thing);
            }
        }
    }

    // The oracle.

    /// Whether what this host has matters: its life is a member.
    fn counts(&self, host: usize) -> bool {
        self.hosts[host].alive && self.members.contains(&self.hosts[host].life)
    }

    fn is_home_there(&self, reference: Reference) -> bool {
        let host = reference.home.node.0 as usize - 1;
        self.hosts[host].life == reference.home && self.counts(host)
    }

    fn exists(&self, reference: Reference) -> bool {
        let host = reference.home.node.0 as usize - 1;
        self.hosts[host].heap.objects.contains_key(&reference.object)
    }

    /// Everything that somebody who counts can reach.
    fn live(&self) -> BTreeSet<Reference> {
        let mut live = BTreeSet::new();
        let hosts = (0..self.hosts.len()).filter(|&host| self.counts(host));
        let mut work: Vec<Reference> = hosts.flat_map(|host| self.hosts[host].heap.roots.clone()).collect();
        while let Some(reference) = work.pop() {
            if self.is_home_there(reference) && live.insert(reference) {
                let home = &self.hosts[reference.home.node.0 as usize - 1];
                work.extend(home.heap.objects.get(&reference.object).into_iter().flatten());
            }
        }
        live
    }

    /// All is healed and has been for a while: whatever is left is reachable, and the tables say what the heaps have.
    fn check_end(&mut self) {
        let live = self.live();
        for host in 0..self.hosts.len() {
            let owner = &self.hosts[host];
            if !self.counts(host) {
                return self.fail(format!("host {host} has not come back"));
            }
            let own = owner.heap.objects.keys().map(|&object| owner.heap.own(object));
            let left: Vec<Reference> = own.filter(|reference| !live.contains(reference)).collect();
            let tables = owner.node.references();
            if !left.is_empty() {
                let held: Vec<_> = left.iter().map(|left| owner.node.held_by(left.object)).collect();
                return self.fail(format!("garbage is left on host {host}: {left:?}, held by {held:?}"));
            }
            if tables.stub_count() != owner.heap.stubs.len() || tables.pin_count() != 0 {
                let (stubs, pins) = (tables.stub_count(), tables.pin_count());
                let text = format!(
                    "host {host} has {} stubs, its tables {stubs} and {pins} pins",
                    owner.heap.stubs.len()
                );
                return self.fail(text);
            }
            let missing = owner.node.membership().leaving().len();
            if missing != 0 || owner.node.is_fenced() {
                return self.fail(format!("host {host} still waits for {missing} exiles, or is fenced"));
            }
        }
    }
}
