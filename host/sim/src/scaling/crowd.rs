//! The cluster that is measured: whole members with real heaps and real collectors, all connected, over a wire that loses nothing.

use std::collections::BTreeSet;

use gc_heap::{CycleEnd, Heap, HeapConfig, Mutator, Pin, Quarantine};
use gc_protocol::{
    Config, CycleEnding, CycleId, Effect, Event, Life, MembershipEpoch, Nanos, NodeId, Reference,
};
use gc_remote::limits::REST;
use gc_remote::{Delivery, Member, Outward, reference_of};
use gc_surroundings::{MS, Random, Schedule, node_at, place_of};

use super::Plan;
use super::ledger::{Ledger, Pair};
use super::shape::{Exported, FOLD, LOCAL, RINGS, STEPS, Shape, WAYS, WIDE, exported};
use crate::collecting::{Collecting, Task, Turn};
use crate::strategies::{Kind, native};

/// How long a frame is under way.
const WIRE: Nanos = MS;

/// How long a collector takes for a step, and until it hears word that has come.
const STEP: Nanos = MS / 10;

/// How exact timers are.
const TIMER: Nanos = MS / 10;

/// After this long nobody has anything left to say: several times what acknowledgements wait.
const QUIET: Nanos = 200 * MS;

/// Longer than a cycle may take before it is given up.
const TOO_LONG: Nanos = 60_000 * MS;

/// Cells that become garbage at each node: its own, its part of each ring, and the stub of the next part.
const GARBAGE_CELLS: u64 = (LOCAL + 2 * RINGS) as u64;

enum Thing {
    Tick { place: usize, token: u64 },
    Frame { from: usize, to: usize, frame: Vec<u8>, of_cycle: bool },
    Turn { place: usize, token: u64 },
    Bell,
}

/// Something that is planned at most once; an earlier time takes the place of a later one.
#[derive(Default)]
struct Alarm {
    at: Option<Nanos>,
    token: u64,
}

impl Alarm {
    /// The token to plan it with, if it is to be.
    fn set(&mut self, at: Nanos) -> Option<u64> {
        if self.at.is_some_and(|planned| planned <= at) {
            return None;
        }
        self.at = Some(at);
        self.token += 1;
        Some(self.token)
    }

    fn rings(&mut self, token: u64) -> bool {
        let rings = self.token == token;
        self.at = self.at.filter(|_| !rings);
        rings
    }
}

struct Place {
    member: Member,
    mutator: Mutator,
    collecting: Collecting,
    tick: Alarm,
    turn: Alarm,
    called: Option<CycleId>,
    /// Its collector waits for word.
    idle: bool,
    /// What it exports, as `exported` lists it; the pins only while all is built.
    exports: Vec<Reference>,
    pins: Vec<Pin>,
    roots: Vec<Pin>,
    ended: Option<(CycleEnding, Nanos)>,
    condemned_cells: u64,
}

pub(super) struct Crowd {
    plan: Plan,
    shape: Shape,
    schedule: Schedule<Thing>,
    places: Vec<Place>,
    counting: bool,
    ledger: Ledger,
    wrong: Option<String>,
}

impl Place {
    fn new(life: Life, seed: u64) -> Result<Place, String> {
        let config = HeapConfig {
            node: life.node.0,
            incarnation: life.incarnation.0,
            quarantine: Quarantine::Off,
            full_wait: std::time::Duration::ZERO,
            ..HeapConfig::with_limit(512 * 1024)
        };
        let heap = Heap::new(config).map_err(|error| error.to_string())?;
        let config = Config::new(life, 77, u64::from(life.node.0));
        Ok(Place {
            member: Member::new(heap.clone(), config).map_err(|error| error.to_string())?,
            mutator: heap.mutator(),
            collecting: Collecting::new(&heap, native, Kind::Tracing, seed),
            tick: Alarm::default(),
            turn: Alarm::default(),
            called: None,
            idle: false,
            exports: Vec::new(),
            pins: Vec::new(),
            roots: Vec::new(),
            ended: None,
            condemned_cells: 0,
        })
    }

    fn make(&mut self, referred: Option<&Pin>) -> Result<Pin, String> {
        let made = self.mutator.scope(|scope| {
            let first = referred.map(|pin| scope.pinned(pin));
            scope.alloc(&[first, None, None, None], &[]).map(|local| scope.pin(local))
        });
        made.map_err(|error| format!("cannot allocate: {error}"))
    }

    /// Makes an object that refers to this one, and holds it.
    fn hold(&mut self, referred: &Pin) -> Result<(), String> {
        let holder = self.make(Some(referred))?;
        self.roots.push(holder);
        Ok(())
    }

    /// Stores into an object that this node exports.
    fn store(&mut self, export: usize, slot: usize, value: &Pin) -> Result<(), String> {
        let object = &self.pins[export];
        let stored = self
            .mutator
            .scope(|scope| scope.store(scope.pinned(object), slot as u32, Some(scope.pinned(value))));
        stored.map_err(|error| format!("cannot store: {error}"))
    }

    /// Everything but what comes from other nodes.
    fn furnish(&mut self, chain: bool) -> Result<(), String> {
        for _ in exported(0, chain) {
            let pin = self.make(None)?;
            self.exports.push(reference_of(pin.handle()));
            self.pins.push(pin);
        }
        let mut last = self.make(None)?;
        for _ in 1..LOCAL {
            last = self.make(Some(&last))?;
        }
        self.roots.push(last);
        (0..LOCAL).try_for_each(|_| self.make(None).map(drop))
    }

    /// Lets go of what only others are to hold.
    fn let_go(&mut self, chain: bool, first: bool) {
        let kept = |what: Exported| match what {
            Exported::Wide => true,
            Exported::Chain => first,
            Exported::Step(_) | Exported::Ring(_) => false,
        };
        let pins = std::mem::take(&mut self.pins);
        let kept = exported(0, chain).zip(pins).filter(|&(what, _)| kept(what));
        self.roots.extend(kept.map(|(_, pin)| pin));
    }
}

impl Crowd {
    pub(super) fn new(plan: Plan) -> Result<Crowd, String> {
        let mut random = Random::new(plan.seed);
        let shape = Shape::drawn(plan.nodes, &mut random);
        let lives = (0..plan.nodes).map(|place| Life::new(node_at(place).0, 1));
        let places: Result<Vec<Place>, String> = lives.map(|life| Place::new(life, random.draw())).collect();
        Ok(Crowd {
            plan,
            shape,
            schedule: Schedule::default(),
            places: places?,
            counting: false,
            ledger: Ledger::new(plan.nodes),
            wrong: None,
        })
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Every pair of a node and an object elsewhere that can be reached through it.
    pub(super) fn pairs(&self) -> BTreeSet<Pair> {
        let ways = (0..self.plan.nodes).flat_map(|place| (0..WAYS).map(move |way| (place, way)));
        let pairs = ways.flat_map(|(place, way)| {
            let home = self.shape.home(place, way);
            let live = exported(way, self.plan.chain).zip(&self.places[home].exports);
            let live = live.filter(|(what, _)| !matches!(what, Exported::Ring(_)));
            live.map(move |(_, reference)| (node_at(place), reference.home.node, reference.object))
        });
        pairs.collect()
    }

    /// Connects all, makes their objects, hands references over, and waits until all is said.
    pub(super) fn build(&mut self) -> Result<(), String> {
        let nodes = self.plan.nodes;
        let members: BTreeSet<Life> = (0..nodes).map(|place| self.places[place].member.node().me()).collect();
        for place in 0..nodes {
            let changed = Event::MembershipChanged { epoch: MembershipEpoch(1), members: members.clone() };
            self.feed(place, changed);
            for peer in (0..nodes).filter(|&peer| peer != place) {
                self.feed(place, Event::Connected { peer: node_at(peer), wall_ms: 0 });
            }
        }
        self.run_for(QUIET)?;
        let chain = self.plan.chain;
        self.places.iter_mut().try_for_each(|place| place.furnish(chain))?;
        for place in 0..nodes {
            for way in 0..WAYS {
                let client = self.shape.client(place, way);
                self.send(place, node_at(client), exported(way, chain).count());
            }
        }
        self.run_for(QUIET)?;
        self.places.iter_mut().enumerate().for_each(|(at, place)| place.let_go(chain, at == 0));
        self.run_for(QUIET)?;
        (0..nodes).try_for_each(|place| self.check_built(place))
    }

    fn send(&mut self, place: usize, to: NodeId, count: usize) {
        let pins = std::mem::take(&mut self.places[place].pins);
        self.drive(place, |member, now| member.send(now, to, &pins[..count], Vec::new(), 0));
        self.places[place].pins = pins;
    }

    fn check_built(&self, place: usize) -> Result<(), String> {
        let references = self.places[place].member.node().references();
        let expected: usize = (0..WAYS).map(|way| exported(way, self.plan.chain).count()).sum();
        let (stubs, pins) = (references.stub_count(), references.pin_count());
        if stubs == expected && pins == 0 {
            return Ok(());
        }
        Err(format!("node {place} has {stubs} stubs and {pins} pins after building, not {expected} and none"))
    }

    /// Runs one cycle over all nodes and counts it. Answers how long it took, in microseconds.
    pub(super) fn cycle(&mut self) -> Result<u64, String> {
        let begun = self.schedule.now();
        self.counting = true;
        self.feed(0, Event::CycleRequested);
        while self.places.iter().any(|place| place.ended.is_none()) {
            if self.schedule.now() > begun + TOO_LONG {
                return Err("the cycle does not end".to_owned());
            }
            self.run_for(MS)?;
        }
        // Acknowledgements, and what the sweep lets go of.
        self.run_for(QUIET)?;
        let ends = self.places.iter().filter_map(|place| place.ended);
        Ok(ends.map(|(_, at)| at - begun).max().unwrap_or(0) / 1000)
    }

    /// Whether the cycle did its work: what can be reached is there, what cannot has gone.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        for (at, place) in self.places.iter_mut().enumerate() {
            if !matches!(place.ended, Some((CycleEnding::Swept, _))) || place.condemned_cells != GARBAGE_CELLS
            {
                let (ended, cells) = (place.ended, place.condemned_cells);
                return Err(format!("node {at}: {ended:?}, {cells} cells condemned of {GARBAGE_CELLS}"));
            }
            for (what, &reference) in exported(0, self.plan.chain).zip(&place.exports) {
                let handle = gc_remote::handle_of(reference);
                let there = place.mutator.scope(|scope| scope.resolve(handle).is_ok());
                if there == matches!(what, Exported::Ring(_)) {
                    return Err(format!("node {at}: {what:?} {reference}, there: {there}"));
                }
            }
        }
        Ok(())
    }

    fn run_for(&mut self, length: Nanos) -> Result<(), String> {
        self.schedule.after(length, Thing::Bell);
        while self.wrong.is_none()
            && let Some(thing) = self.schedule.next()
        {
            match thing {
                Thing::Bell => break,
                Thing::Tick { place, token } => {
                    if self.places[place].tick.rings(token) {
                        self.feed(place, Event::Ticked);
                    }
                }
                Thing::Frame { from, to, frame, of_cycle } => {
                    self.feed(to, Event::Received { peer: node_at(from), frame });
                    if of_cycle && self.places[to].idle {
                        self.plan_turn(to, STEP);
                    }
                }
                Thing::Turn { place, token } => {
                    if self.places[place].turn.rings(token) {
                        self.turn(place)?;
                    }
                }
            }
        }
        self.wrong.take().map_or(Ok(()), Err)
    }

    fn fail(&mut self, wrong: String) {
        let ms = self.schedule.now() / MS;
        self.wrong.get_or_insert(format!("seed {}, {ms} ms: {wrong}", self.plan.seed));
    }

    fn feed(&mut self, place: usize, event: Event) {
        self.drive(place, |member, now| member.step(now, event));
    }

    fn drive(&mut self, place: usize, act: impl FnOnce(&mut Member, Nanos) -> Vec<Outward>) {
        let now = self.schedule.now();
        for outward in act(&mut self.places[place].member, now) {
            match outward {
                Outward::Effect(effect) => self.perform(place, effect),
                Outward::Delivered(delivery) => {
                    if let Err(wrong) = self.delivered(place, &delivery) {
                        self.fail(format!("node {place}: {wrong}"));
                    }
                }
            }
        }
        let owner = &mut self.places[place];
        if let Some(wake) = owner.member.next_wake() {
            let at = wake.max(now + TIMER);
            if let Some(token) = owner.tick.set(at) {
                self.schedule.after(at - now, Thing::Tick { place, token });
            }
        }
    }

    fn perform(&mut self, place: usize, effect: Effect) {
        match effect {
            Effect::Transmit { peer, frame } => self.transmit(place, place_of(peer), frame),
            Effect::BeginCycle(cycle) => {
                self.places[place].called = Some(cycle);
                self.plan_turn(place, STEP);
            }
            Effect::CycleEnded(_, why) => self.places[place].ended = Some((why, self.schedule.now())),
            Effect::Close { .. }
            | Effect::NotSent { .. }
            | Effect::StubDead { .. }
            | Effect::Suspect(_)
            | Effect::LeaseLapsed(_)
            | Effect::Healed { .. }
            | Effect::CycleRefused { .. } => {
                self.fail(format!("node {place}: {effect:?}, and nothing was to go wrong"));
            }
            _ => {}
        }
    }

    fn transmit(&mut self, from: usize, to: usize, frame: Vec<u8>) {
        let counted = if self.counting { self.ledger.take(&frame) } else { Ok(false) };
        match counted {
            Ok(of_cycle) => self.schedule.after(WIRE, Thing::Frame { from, to, frame, of_cycle }),
            Err(wrong) => self.fail(format!("node {from} sends what is no frame: {wrong}")),
        }
    }

    /// Puts what has come from a home where it belongs.
    fn delivered(&mut self, place: usize, delivery: &Delivery) -> Result<(), String> {
        let home = place_of(delivery.from.node);
        let way = self.shape.way(place, home).ok_or("a message from nobody's home")?;
        let owner = &mut self.places[place];
        for (what, arrival) in exported(way, self.plan.chain).zip(&delivery.references) {
            let stub =
                arrival.pin.as_ref().map_err(|lost| format!("{} is lost: {lost:?}", arrival.reference))?;
            match what {
                Exported::Step(0) => owner.hold(stub)?,
                Exported::Step(step) => owner.store(step - 1, way, stub)?,
                Exported::Wide => (0..FOLD).try_for_each(|_| owner.hold(stub))?,
                Exported::Ring(ring) => owner.store(STEPS + WIDE + ring, 0, stub)?,
                Exported::Chain => owner.store(STEPS + WIDE + RINGS, 0, stub)?,
            }
        }
        Ok(())
    }

    fn plan_turn(&mut self, place: usize, delay: Nanos) {
        let at = self.schedule.now() + delay;
        if let Some(token) = self.places[place].turn.set(at) {
            self.schedule.after(delay, Thing::Turn { place, token });
        }
    }

    /// The collector goes on by one step, or begins what it was called to.
    fn turn(&mut self, place: usize) -> Result<(), String> {
        let owner = &mut self.places[place];
        let turn = if owner.collecting.is_busy() {
            owner.collecting.go_on()?
        } else {
            let Some(cycle) = owner.called.take() else { return Ok(()) };
            let heap = owner.member.heap().clone();
            let Some(seat) = owner.member.desk().sit(cycle, &heap) else { return Ok(()) };
            owner.collecting.begin(Task::OverNodes(seat))?
        };
        owner.idle = matches!(turn, Turn::Rests | Turn::Awaits);
        if let Turn::Done(report) = turn {
            owner.condemned_cells += report.condemned_cells;
            if matches!(report.end, CycleEnd::Faulted(_) | CycleEnd::Refused(_)) {
                return Err(format!("node {place}: {:?}", report.end));
            }
        }
        self.drive(place, |member, now| member.poll(now));
        let owner = &self.places[place];
        if owner.collecting.is_busy() {
            let wait = if owner.idle { REST.as_nanos() as Nanos } else { STEP };
            self.plan_turn(place, wait);
        }
        Ok(())
    }
}
