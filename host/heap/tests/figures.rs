//! The counts of a heap, against a walk over all its cells and against a model of what was asked of it, under random work: objects of all sizes, stubs, scions,
//! retiring, cycles of all kinds that end in all ways, quarantine, restoring.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::scripted::one_block;
use common::{Counting, Fixed, MarkSweep, identity};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Freed, Handle, Heap, HeapConfig, Heard, Mutator,
    Others, Pace, Pin, Quarantine, Recount, Verdict,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Handles that are remembered; they keep nothing.
const REMEMBERED: usize = 64;

/// What was asked of the heap, and what came of it.
#[derive(Default)]
struct Asked {
    objects_made: u64,
    stubs_made: u64,
    stubs_freed: u64,
    condemned: u64,
    freed: u64,
    imports: u32,
    handles: Vec<Handle>,
    pins: Vec<Pin>,
}

/// An object of another node.
fn elsewhere(rng: &mut ChaCha8Rng) -> Handle {
    Handle { node: rng.random_range(7..9), incarnation: 3, cell: rng.random_range(1..20), generation: 1 }
}

impl Asked {
    fn remember(&mut self, rng: &mut ChaCha8Rng, handle: Handle) {
        match self.handles.len() < REMEMBERED {
            true => self.handles.push(handle),
            false => self.handles[rng.random_range(0..REMEMBERED)] = handle,
        }
    }

    fn some(&self, rng: &mut ChaCha8Rng) -> Option<Handle> {
        (!self.handles.is_empty()).then(|| self.handles[rng.random_range(0..self.handles.len())])
    }

    /// What a mutator does in a scope.
    fn work(&mut self, rng: &mut ChaCha8Rng, mutator: &mut Mutator) {
        mutator.scope(|scope| {
            let mut held: Vec<_> = NAMES.iter().filter_map(|name| scope.root(name)).collect();
            held.extend(self.some(rng).and_then(|handle| scope.resolve(handle).ok()));
            for _ in 0..rng.random_range(1..8) {
                let any = |rng: &mut ChaCha8Rng, held: &[_]| {
                    (!held.is_empty() && rng.random_bool(0.7)).then(|| held[rng.random_range(0..held.len())])
                };
                match rng.random_range(0..10) {
                    0..5 => {
                        let slots: Vec<_> = (0..[0, 2, 4, 5, 23, 90][rng.random_range(0..6)])
                            .map(|_| any(rng, &held))
                            .collect();
                        let payload = vec![7; [0, 8, 100, 3000][rng.random_range(0..4)]];
                        // A heap that is full has made some cells of an object, and no object.
                        if let Ok(object) = scope.alloc(&slots, &payload) {
                            self.objects_made += 1;
                            self.remember(rng, scope.handle(object));
                            held.push(object);
                        }
                    }
                    5 => {
                        let handle = elsewhere(rng);
                        let is_known = scope.try_resolve(handle).is_ok();
                        self.imports += 1;
                        if let Ok(stub) = scope.import(handle, self.imports) {
                            self.stubs_made += u64::from(!is_known);
                            held.push(stub);
                        }
                    }
                    6 => {
                        let (holder, value) = (any(rng, &held), any(rng, &held));
                        if let Some(holder) = holder {
                            let _ = scope.store(holder, rng.random_range(0..4), value);
                        }
                    }
                    7 => scope.set_root(NAMES[rng.random_range(0..NAMES.len())], any(rng, &held)),
                    8 => self.pins.extend(any(rng, &held).map(|object| scope.pin(object))),
                    _ => any(rng, &held).into_iter().for_each(|object| scope.retire(object)),
                }
            }
        });
        if self.pins.len() > 5 {
            self.pins.clear();
        }
    }

    /// What the driver of the protocol does.
    fn hold(&mut self, rng: &mut ChaCha8Rng, heap: &Heap) {
        if let Some(handle) = self.some(rng) {
            match rng.random_bool(0.5) {
                true => drop(heap.hold(handle)),
                false => heap.release(handle),
            }
        }
    }

    fn ended(&mut self, report: &CycleReport) {
        if report.end == CycleEnd::Settled {
            self.condemned += report.condemned_objects;
        }
        self.freed += report.freed_objects;
    }
}

/// The other nodes: they have an opinion, and sometimes something to say.
struct Elsewhere {
    agrees: bool,
    roots: Vec<Handle>,
    shade: Vec<Handle>,
}

impl Others for Elsewhere {
    fn roots(&mut self) -> Vec<Handle> {
        std::mem::take(&mut self.roots)
    }
    fn reached(&mut self, _: Vec<Handle>) {}
    fn rest(&mut self) -> Heard {
        match std::mem::take(&mut self.shade) {
            shade if shade.is_empty() => Heard::Decide,
            shade => Heard::Shade(shade),
        }
    }
    fn prove(&mut self, _: Vec<Handle>, _: Vec<Handle>) -> bool {
        self.agrees
    }
}

struct World {
    heap: Heap,
    collector: Collector,
    mutators: Vec<Mutator>,
    asked: Asked,
    rng: ChaCha8Rng,
    counting: Counting,
    counted_last: bool,
    /// How cycles ended.
    ends: BTreeMap<&'static str, u32>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let quarantines =
            [Quarantine::Off, Quarantine::UntilNextProof, Quarantine::For(std::time::Duration::ZERO)];
        let heap = Heap::new(HeapConfig {
            quarantine: quarantines[rng.random_range(0..3)],
            share_proofs: rng.random_bool(0.5),
            full_wait: std::time::Duration::ZERO,
            ..HeapConfig::with_limit([256 << 10, 4 << 20][rng.random_range(0..2)])
        });
        let heap = heap.unwrap();
        World {
            collector: Collector::new(&heap),
            mutators: (0..3).map(|_| heap.mutator()).collect(),
            counting: Counting::new(&heap),
            counted_last: false,
            asked: Asked::default(),
            ends: BTreeMap::new(),
            heap,
            rng,
        }
    }

    fn step(&mut self) {
        let World { heap, collector, mutators, asked, rng, .. } = self;
        match rng.random_range(0..20) {
            0..10 => {
                let at = rng.random_range(0..mutators.len());
                asked.work(rng, &mut mutators[at]);
            }
            10..12 => asked.hold(rng, heap),
            12 => {
                let at = rng.random_range(0..mutators.len());
                mutators[at] = heap.mutator();
            }
            13 => {
                let restored = asked.some(rng).and_then(|handle| collector.restore(handle).ok());
                let restored = restored.map_or_else(Freed::default, |(pin, restored)| {
                    asked.pins.push(pin);
                    restored
                });
                asked.condemned -= restored.objects;
                self.counted_last = false;
            }
            14 => asked.freed += collector.release_quarantine().objects,
            15 => drop(heap.trim().unwrap()),
            _ => self.cycle(),
        }
        self.asked.stubs_freed += self.heap.take_freed_stubs().len() as u64;
    }

    /// A cycle of any kind, beside which a mutator works.
    fn cycle(&mut self) {
        let World { heap, collector, mutators, asked, rng, counting, counted_last, .. } = self;
        let cause = [Cause::Goal, Cause::Goal, Cause::Request, Cause::Full][rng.random_range(0..4)];
        let execute = rng.random_bool(0.9);
        let request = CycleRequest { execute, ..CycleRequest::new(cause) };
        let kind = rng.random_range(0..6);
        if !(kind == 0 && *counted_last) {
            collector.forget();
        }
        *counted_last = kind == 0;
        let lies =
            (0..rng.random_range(1..4)).filter_map(|_| asked.some(rng)).filter(|handle| handle.node == 0);
        let lies = Verdict::Condemned(lies.map(|handle| handle.cell).collect());
        let others = |asked: &Asked, rng: &mut ChaCha8Rng| {
            let few =
                |rng: &mut ChaCha8Rng| (0..rng.random_range(0..3)).filter_map(|_| asked.some(rng)).collect();
            Elsewhere { agrees: rng.random_bool(0.7), roots: few(rng), shade: few(rng) }
        };
        let mut others = others(asked, rng);
        let is_given_up = rng.random_bool(0.1);
        let mut pace = |_| {
            asked.work(rng, &mut mutators[0]);
            asked.hold(rng, heap);
            if is_given_up { Pace::Abandon } else { Pace::Go }
        };
        let report = match kind {
            0 => collector.run(&request, counting, None, &mut pace),
            1 => collector.run(&request, &mut Fixed(identity("lying"), lies), None, &mut pace),
            2 | 3 => {
                let mut strategy = MarkSweep::over_nodes(heap);
                strategy.stride = 40;
                collector.run_over_nodes(&request, &mut strategy, &mut others, &mut pace)
            }
            _ => {
                let mut strategy = MarkSweep::new(heap);
                strategy.stride = 40;
                collector.run(&request, &mut strategy, None, &mut pace)
            }
        };
        *self.ends.entry(report.end.word()).or_default() += 1;
        self.asked.ended(&report);
        let stats = self.heap.stats();
        assert_eq!(
            (report.live_objects, report.live_cells, report.live_bytes),
            (stats.live_objects, stats.live_cells, stats.live_bytes),
            "what a cycle says is what there is at its end"
        );
    }

    fn check(&self, seed: u64, step: u32) {
        let (stats, asked) = (self.heap.stats(), &self.asked);
        let kept = Recount {
            live_objects: stats.live_objects,
            live_cells: stats.live_cells,
            live_bytes: stats.live_bytes,
            quarantined_cells: stats.quarantined_cells,
            quarantined_bytes: stats.quarantined_bytes,
            used_bytes: stats.used_bytes,
            payload_bytes: stats.payload_bytes,
            held_objects: stats.held_objects,
            stubs: stats.stubs,
        };
        assert_eq!(kept, self.heap.recount(), "seed {seed}, step {step}: kept, and found by looking");
        let made = asked.objects_made + asked.stubs_made;
        assert_eq!(stats.allocated_objects_total, made, "seed {seed}, step {step}");
        assert_eq!(stats.condemned_objects_total, asked.condemned, "seed {seed}, step {step}");
        assert_eq!(stats.freed_objects_total, asked.freed, "seed {seed}, step {step}");
        assert_eq!(stats.live_objects, made - asked.condemned, "seed {seed}, step {step}");
        assert_eq!(stats.stubs, asked.stubs_made - asked.stubs_freed, "seed {seed}, step {step}");
        assert_eq!(stats.mutators, self.mutators.len() as u64);
    }

    /// Lets go of everything.
    fn end(&mut self) {
        self.asked.pins.clear();
        self.mutators[0].scope(|scope| NAMES.iter().for_each(|name| scope.set_root(name, None)));
        self.mutators.clear();
        for handle in std::mem::take(&mut self.asked.handles) {
            self.heap.release(handle);
        }
        self.collector.forget();
        // The second one, too, because what was looked up when the last cycle ended is a root of the first.
        for _ in 0..2 {
            let mut others = Elsewhere { agrees: true, roots: Vec::new(), shade: Vec::new() };
            let request = CycleRequest::new(Cause::Cluster);
            let strategy = &mut MarkSweep::over_nodes(&self.heap);
            let report = self.collector.run_over_nodes(&request, strategy, &mut others, &mut |_| Pace::Go);
            assert_eq!(report.end, CycleEnd::Settled);
            self.asked.ended(&report);
        }
        self.asked.freed += self.collector.release_quarantine().objects;
        self.asked.stubs_freed += self.heap.take_freed_stubs().len() as u64;
    }
}

#[test]
fn what_is_counted_is_what_is_there() {
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    let mut most = Recount::default();
    for seed in 0..if cfg!(miri) { 1 } else { 60 } {
        let mut world = World::new(seed);
        for step in 0..if cfg!(miri) { 40 } else { 400 } {
            world.step();
            world.check(seed, step);
            let found = world.heap.recount();
            most.live_objects = most.live_objects.max(found.live_objects);
            most.quarantined_cells = most.quarantined_cells.max(found.quarantined_cells);
            most.held_objects = most.held_objects.max(found.held_objects);
            most.stubs = most.stubs.max(found.stubs);
        }
        world.end();
        world.check(seed, u32::MAX);
        assert_eq!(world.heap.recount(), Recount::default(), "seed {seed}: nothing holds anything");
        assert_eq!(world.heap.used(), gc_heap::pacer::Amount::default(), "seed {seed}: nor does the limit");
        world.ends.into_iter().for_each(|(end, count)| *ends.entry(end).or_default() += count);
    }
    if !cfg!(miri) {
        assert!(most.live_objects > 100 && most.quarantined_cells > 100, "{most:?}");
        assert!(most.held_objects > 10 && most.stubs > 20, "{most:?}");
        let all = ["settled", "dry-run", "deferred", "abandoned", "refused"];
        assert!(all.iter().all(|end| ends.get(end).is_some_and(|&count| count > 5)), "{ends:?}");
    }
}

#[test]
fn a_dry_run_says_what_would_go_in_objects_cells_and_bytes() {
    let heap = one_block(Quarantine::Off);
    let mut collector = Collector::new(&heap);
    heap.mutator().scope(|scope| {
        scope.alloc(&[None; 9], &[1; 100]).unwrap();
        scope.alloc(&[], &[]).unwrap();
    });
    let mut cycle = |execute| {
        let request = CycleRequest { execute, ..CycleRequest::new(Cause::Request) };
        let report = collector.run(&request, &mut MarkSweep::new(&heap), None, &mut |_| Pace::Go);
        (report.condemned_objects, report.condemned_cells, report.condemned_bytes)
    };
    let would = cycle(false);
    assert_eq!((would.0, would.1), (2, 5));
    assert_eq!((would.2, heap.stats().live_bytes), (heap.stats().used_bytes, would.2));
    assert_eq!(cycle(true), would);
}

/// What these lead to, by a naive walk.
fn reachable(
    edges: &BTreeMap<Handle, Vec<Handle>>,
    roots: impl IntoIterator<Item = Handle>,
) -> BTreeSet<Handle> {
    let mut seen = BTreeSet::new();
    let mut work: Vec<Handle> = roots.into_iter().collect();
    while let Some(handle) = work.pop() {
        if seen.insert(handle) {
            work.extend(edges.get(&handle).into_iter().flatten());
        }
    }
    seen
}

#[test]
fn what_a_group_of_held_objects_retains_is_what_would_go_without_it() {
    for seed in 0..if cfg!(miri) { 2 } else { 300 } {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
        let mut edges: BTreeMap<Handle, Vec<Handle>> = BTreeMap::new();
        let mut cells: BTreeMap<Handle, u64> = BTreeMap::new();
        // Half of them stay in the hands of nobody but who holds them by their handles.
        heap.mutator().scope(|scope| {
            let mut made = Vec::new();
            for number in 0..rng.random_range(1..60) {
                let slots: Vec<_> = (0..rng.random_range(0..7))
                    .map(|_| (!made.is_empty()).then(|| made[rng.random_range(0..made.len())]))
                    .collect();
                let object = scope.alloc(&slots, &vec![1; rng.random_range(0..200)]).unwrap();
                let slot_count = slots.len();
                let to = slots.into_iter().flatten().map(|to| scope.handle(to)).collect();
                edges.insert(scope.handle(object), to);
                // `bytes_of` speaks of first cells; an object of five or six slots has one cell more.
                cells.insert(scope.handle(object), if slot_count > 4 { 1 } else { 0 });
                heap.hold(scope.handle(object)).unwrap();
                made.push(object);
                if rng.random_bool(0.1) {
                    scope.set_root(&format!("root {number}"), Some(object));
                }
            }
        });
        let named: Vec<Handle> = heap.named_roots().into_iter().map(|(_, handle)| handle).collect();
        let mut groups: Vec<Vec<Handle>> = vec![Vec::new(); rng.random_range(1..5)];
        let mut others = Vec::new();
        for &handle in edges.keys() {
            match rng.random_range(0..10) {
                0 => others.push(handle),
                1..4 => {
                    let group = rng.random_range(0..groups.len());
                    groups[group].push(handle);
                }
                _ => heap.release(handle),
            }
        }
        let from = |without: Option<usize>| {
            let kept = groups.iter().enumerate().filter(|(at, _)| Some(*at) != without);
            let kept = kept.flat_map(|(_, group)| group.iter().copied());
            reachable(&edges, kept.chain(named.iter().copied()).chain(others.iter().copied()))
        };
        let all = from(None);
        let retained = heap.retained(&groups);
        for (at, found) in retained.iter().enumerate() {
            let rest = from(Some(at));
            let gone: Vec<Handle> = all.difference(&rest).copied().collect();
            let bytes: u64 = gone.iter().map(|it| heap.bytes_of(*it).unwrap() + 32 * cells[it]).sum();
            assert_eq!((found.objects, found.bytes), (gone.len() as u64, bytes), "seed {seed}, group {at}");
        }
        // And it is what a cycle frees.
        if let Some(group) = groups.first() {
            let mut collector = Collector::new(&heap);
            common::cycle(&mut collector, &mut MarkSweep::new(&heap));
            group.iter().for_each(|&handle| heap.release(handle));
            let report = common::cycle(&mut collector, &mut MarkSweep::new(&heap));
            let freed = (report.condemned_objects, report.condemned_bytes);
            assert_eq!(freed, (retained[0].objects, retained[0].bytes), "seed {seed}");
        }
    }
}

#[test]
fn stubs_go_with_what_leads_to_them_and_count_in_bytes_alone() {
    let heap = one_block(Quarantine::Off);
    let held = heap.mutator().scope(|scope| {
        let stub = scope.import(Handle { node: 7, incarnation: 1, cell: 5, generation: 0 }, 1).unwrap();
        let object = scope.alloc(&[Some(stub)], &[]).unwrap();
        scope.handle(object)
    });
    heap.hold(held).unwrap();
    let gone = Handle { generation: held.generation + 1, ..held };
    let [group, nothing] = heap.retained(&[vec![held, gone], vec![]])[..] else { panic!("two groups") };
    assert_eq!((group.objects, group.bytes), (1, 64));
    assert_eq!(nothing, gc_heap::Retained::default());
}
