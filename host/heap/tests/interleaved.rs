//! Random interleavings of mutator operations and collector steps, against a naive model of reachability.
//!
//! Two mutators, driven from one thread: their operations fall between the slices of a cycle, where the pace callback is called. The model holds every object
//! by a number that is also in its payload. Checked at every look: what the model reaches resolves and is what it was. Checked at the end: what the model
//! does not reach is gone.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Counting, MarkSweep};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Handle, Heap, HeapConfig, Local, Mutator, Pace,
    Quarantine, Scope, Strategy,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

struct Model {
    slots: BTreeMap<u64, Vec<u64>>,
    roots: BTreeMap<&'static str, u64>,
    handles: BTreeMap<u64, Handle>,
    next: u64,
}

impl Model {
    fn reachable(&self, held: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
        let mut seen = BTreeSet::new();
        let mut work: Vec<u64> = self.roots.values().copied().chain(held).collect();
        while let Some(object) = work.pop() {
            if object != 0 && seen.insert(object) {
                work.extend(&self.slots[&object]);
            }
        }
        seen
    }
}

fn id(scope: &Scope<'_>, object: Local<'_>) -> u64 {
    let mut bytes = Vec::new();
    scope.read(object, &mut bytes);
    u64::from_le_bytes(bytes.try_into().expect("every object has its number as payload"))
}

/// A few operations in one scope.
fn work(mutator: &mut Mutator, model: &mut Model, rng: &mut ChaCha8Rng, churn: bool) {
    mutator.scope(|scope| {
        let mut held: Vec<(u64, Local<'_>)> = Vec::new();
        for _ in 0..rng.random_range(1..12) {
            step(scope, model, rng, &mut held, churn);
        }
        // What the scope holds is alive although no root may lead to it.
        for &(number, local) in &held {
            assert_eq!(id(scope, local), number);
        }
    });
}

fn step<'s>(
    scope: &Scope<'s>,
    model: &mut Model,
    rng: &mut ChaCha8Rng,
    held: &mut Vec<(u64, Local<'s>)>,
    churn: bool,
) {
    let name = NAMES[rng.random_range(0..NAMES.len())];
    match rng.random_range(0..if churn { 10 } else { 8 }) {
        0 | 1 => {
            let object = scope.root(name);
            assert_eq!(
                object.map_or(0, |object| id(scope, object)),
                model.roots.get(name).copied().unwrap_or(0)
            );
            held.extend(object.map(|object| (id(scope, object), object)));
        }
        2 | 3 => {
            let Some(&(number, local)) = pick(held, rng) else { return };
            let slot = rng.random_range(0..model.slots[&number].len());
            let value = scope.load(local, slot as u32).unwrap();
            assert_eq!(value.map_or(0, |value| id(scope, value)), model.slots[&number][slot]);
            held.extend(value.map(|value| (id(scope, value), value)));
        }
        4 | 5 => {
            let (Some(&(number, local)), value) = (pick(held, rng), pick(held, rng).copied()) else { return };
            let value = value.filter(|_| rng.random_bool(0.7));
            let slot = rng.random_range(0..model.slots[&number].len());
            scope.store(local, slot as u32, value.map(|(_, local)| local)).unwrap();
            model.slots.get_mut(&number).unwrap()[slot] = value.map_or(0, |(number, _)| number);
        }
        6 => {
            // Seldom, and seldom to nothing: there must be a graph in which something can be lost.
            let value = pick(held, rng).copied();
            if rng.random_bool(if value.is_some() { 0.9 } else { 0.99 }) {
                return;
            }
            scope.set_root(name, value.map(|(_, local)| local));
            match value {
                Some((number, _)) => model.roots.insert(name, number),
                None => model.roots.remove(name),
            };
        }
        7 => {
            // A weak look-up, also of what may be dead.
            let number = rng.random_range(1..model.next.max(2));
            if let Some(&handle) = model.handles.get(&number)
                && let Ok(local) = scope.resolve(handle)
            {
                assert_eq!(id(scope, local), number);
                held.push((number, local));
            }
        }
        _ => {
            let len = [0, 1, 4, 5, 9, 30][rng.random_range(0..6)];
            let slots: Vec<Option<(u64, Local<'_>)>> =
                (0..len).map(|_| pick(held, rng).copied().filter(|_| rng.random_bool(0.5))).collect();
            held.push(create(scope, model, &slots));
        }
    }
}

fn create<'s>(scope: &Scope<'s>, model: &mut Model, slots: &[Option<(u64, Local<'_>)>]) -> (u64, Local<'s>) {
    let number = model.next;
    model.next += 1;
    let locals: Vec<_> = slots.iter().map(|slot| slot.map(|(_, local)| local)).collect();
    let object = scope.alloc(&locals, &number.to_le_bytes()).unwrap();
    let mut numbers: Vec<u64> = slots.iter().map(|slot| slot.map_or(0, |(number, _)| number)).collect();
    numbers.resize(numbers.len().max(4), 0);
    model.slots.insert(number, numbers);
    model.handles.insert(number, scope.handle(object));
    (number, object)
}

/// A tree below each root: something to lose, from the first cycle on.
fn plant(mutator: &mut Mutator, model: &mut Model) {
    fn grow<'s>(scope: &Scope<'s>, model: &mut Model, height: u32) -> (u64, Local<'s>) {
        let children = if height == 0 { 0 } else { 4 };
        let children: Vec<_> = (0..children).map(|_| Some(grow(scope, model, height - 1))).collect();
        create(scope, model, &children)
    }
    mutator.scope(|scope| {
        for name in NAMES {
            let (number, root) = grow(scope, model, 2);
            scope.set_root(name, Some(root));
            model.roots.insert(name, number);
        }
    });
}

fn pick<'a, T>(held: &'a [T], rng: &mut ChaCha8Rng) -> Option<&'a T> {
    if held.is_empty() { None } else { Some(&held[rng.random_range(0..held.len())]) }
}

fn assert_all_there(mutator: &mut Mutator, model: &Model) {
    mutator.scope(|scope| {
        for number in model.reachable([]) {
            let object = scope
                .resolve(model.handles[&number])
                .unwrap_or_else(|gone| panic!("object {number} is lost: {gone}"));
            assert_eq!(id(scope, object), number);
        }
    });
}

struct Play {
    heap: Heap,
    mutators: [Mutator; 2],
    model: Model,
    rng: ChaCha8Rng,
}

impl Play {
    fn new(seed: u64, quarantine: Quarantine) -> Play {
        let config = HeapConfig { quarantine, ..HeapConfig::with_limit(4 << 20) };
        let heap = Heap::new(config).unwrap();
        let mut model =
            Model { slots: BTreeMap::new(), roots: BTreeMap::new(), handles: BTreeMap::new(), next: 1 };
        let mut mutators = [heap.mutator(), heap.mutator()];
        plant(&mut mutators[0], &mut model);
        Play { mutators, heap, model, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn mutate(&mut self, churn: bool) {
        let who = self.rng.random_range(0..2);
        work(&mut self.mutators[who], &mut self.model, &mut self.rng, churn);
    }

    fn cycle(
        &mut self,
        collector: &mut Collector,
        strategy: &mut dyn Strategy,
        execute: bool,
        busy: bool,
    ) -> CycleReport {
        let cause = if self.rng.random_bool(0.5) { Cause::Goal } else { Cause::Request };
        let request = CycleRequest {
            execute,
            slice_target: std::time::Duration::from_nanos(1),
            ..CycleRequest::new(cause)
        };
        collector.run(&request, strategy, None, &mut |_| {
            if busy {
                self.mutate(true);
            }
            Pace::Go
        })
    }
}

fn play(
    seed: u64,
    quarantine: Quarantine,
    strategy: impl Fn(&Heap) -> Box<dyn Strategy>,
    leaves_cycles: bool,
) {
    let mut play = Play::new(seed, quarantine);
    let mut strategy = strategy(&play.heap);
    let mut collector = Collector::new(&play.heap);
    for round in 0..12 {
        for _ in 0..play.rng.random_range(1..20) {
            play.mutate(true);
        }
        let execute = round % 4 != 3;
        let report = play.cycle(&mut collector, &mut *strategy, execute, true);
        assert!(
            matches!(report.end, CycleEnd::Settled | CycleEnd::DryRun | CycleEnd::Deferred),
            "seed {seed}, round {round}: {:?}",
            report.end
        );
        assert_all_there(&mut play.mutators[0], &play.model);
    }
    for _ in 0..10 {
        let report = play.cycle(&mut collector, &mut *strategy, true, false);
        assert!(
            matches!(report.end, CycleEnd::Settled | CycleEnd::Deferred),
            "seed {seed}: {:?}",
            report.end
        );
    }
    assert_all_there(&mut play.mutators[1], &play.model);
    let reachable = play.model.reachable([]).len() as u64;
    let live = play.heap.stats().live_objects;
    if leaves_cycles {
        assert!(live >= reachable, "seed {seed}: {live} of {reachable}");
    } else {
        assert_eq!(live, reachable, "seed {seed}: what is unreachable is gone");
    }
    collector.release_quarantine();
    let stats = play.heap.stats();
    assert_eq!(stats.quarantined_cells, 0);
    assert_eq!(stats.condemned_objects_total, stats.freed_objects_total);
}

fn seeds() -> std::ops::Range<u64> {
    0..if cfg!(miri) { 1 } else { 80 }
}

#[test]
fn marking_loses_nothing_and_leaves_nothing() {
    for seed in seeds() {
        let quarantine = [Quarantine::Off, Quarantine::UntilNextProof][seed as usize % 2];
        play(seed, quarantine, |heap| Box::new(MarkSweep::in_small_steps(heap)), false);
    }
}

#[test]
fn counting_loses_nothing_and_its_counts_stay_exact() {
    for seed in seeds() {
        play(seed, Quarantine::UntilNextProof, |heap| Box::new(Counting::new(heap)), true);
    }
}

/// The tests above would not notice a barrier that does nothing if the proof or the strategies hid it. A strategy that does not listen to the
/// barrier must be refused sooner or later, and nothing may be lost even so.
#[test]
fn a_strategy_that_ignores_the_barrier_is_refused_and_nothing_is_lost() {
    let mut refused = 0;
    for seed in seeds() {
        let mut play = Play::new(seed, Quarantine::Off);
        let mut strategy = MarkSweep::in_small_steps(&play.heap);
        strategy.deaf = true;
        let mut collector = Collector::new(&play.heap);
        for _ in 0..6 {
            for _ in 0..10 {
                play.mutate(true);
            }
            let report = play.cycle(&mut collector, &mut strategy, true, true);
            refused += u32::from(matches!(report.end, CycleEnd::Refused(_)));
            assert_all_there(&mut play.mutators[0], &play.model);
        }
    }
    assert!(cfg!(miri) || refused > 0, "no interleaving needed the barrier: the test does not look");
}
