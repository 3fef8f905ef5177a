//! The real heap under many schedules: two mutators and a collector, threads switched by shuttle at every shared access.
//!
//! `cargo test -p gc-heap --features shuttle --test schedules`

#![cfg(feature = "shuttle")]

mod common;
#[path = "schedules/directed.rs"]
mod directed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Counting, MarkSweep};
use gc_heap::{
    Cause, Collector, CycleEnd, CycleRequest, Heap, HeapConfig, Local, Pace, Quarantine, Scope, Strategy,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

/// Schedules per test. A floor on what was explored is asserted too, so that a test that looks at nothing fails.
const SCHEDULES: usize = 1500;

fn heap() -> Heap {
    Heap::new(HeapConfig { quarantine: Quarantine::Off, ..HeapConfig::with_limit(256 << 10) }).unwrap()
}

fn object<'s>(scope: &Scope<'s>, slots: &[Option<Local<'_>>]) -> Local<'s> {
    scope.alloc(slots, b"alive").unwrap()
}

fn assert_alive(scope: &Scope<'_>, object: Local<'_>) {
    let mut bytes = Vec::new();
    scope.read(object, &mut bytes);
    assert_eq!(bytes, b"alive", "an object that a scope holds was freed");
    let handle = scope.handle(object);
    assert!(scope.resolve(handle).is_ok(), "an object that a scope holds was condemned");
}

/// Moves objects about in ways that hide them from a collector without a barrier: out of one object, by way of a scope or another thread, into another.
fn shuffle(heap: &Heap, steps: usize) {
    let mut mutator = heap.mutator();
    for _ in 0..steps {
        mutator.scope(|scope| {
            let (Some(left), Some(right)) = (scope.root("left"), scope.root("right")) else { return };
            let (from, to) = if thread_rng().gen_bool(0.5) { (left, right) } else { (right, left) };
            let (at, put) = (thread_rng().gen_range(0..2), thread_rng().gen_range(0..2));
            let Some(found) = scope.load(from, at).unwrap() else {
                let fresh = object(scope, &[]);
                scope.store(from, at, Some(fresh)).unwrap();
                return;
            };
            scope.store(from, at, None).unwrap();
            if thread_rng().gen_bool(0.7) {
                let wrapped = if thread_rng().gen_bool(0.5) { found } else { object(scope, &[Some(found)]) };
                scope.store(to, put, Some(wrapped)).unwrap();
            }
            assert_alive(scope, found);
        });
    }
}

fn explore(strategy: fn(&Heap) -> Box<dyn Strategy>) {
    let condemned = Arc::new(AtomicU64::new(0));
    let schedules = Arc::new(AtomicU64::new(0));
    let (sum, count) = (Arc::clone(&condemned), Arc::clone(&schedules));
    shuttle::check_random(
        move || {
            let heap = heap();
            heap.mutator().scope(|scope| {
                for name in ["left", "right"] {
                    let (one, two) = (object(scope, &[]), object(scope, &[]));
                    let root = object(scope, &[Some(one), Some(two)]);
                    scope.set_root(name, Some(root));
                }
            });
            let mutators: Vec<_> = (0..2)
                .map(|_| {
                    let heap = heap.clone();
                    thread::spawn(move || shuffle(&heap, 3))
                })
                .collect();
            let mut collector = Collector::new(&heap);
            let mut strategy = strategy(&heap);
            for _ in 0..2 {
                let report =
                    collector
                        .run(&CycleRequest::new(Cause::Request), &mut *strategy, None, &mut |_| Pace::Go);
                assert!(
                    matches!(report.end, CycleEnd::Settled),
                    "a right strategy was refused: {:?}",
                    report.end
                );
                sum.fetch_add(report.condemned_objects, Ordering::Relaxed);
            }
            mutators.into_iter().for_each(|mutator| mutator.join().unwrap());
            heap.audit().expect("everything reachable is allocated");
            count.fetch_add(1, Ordering::Relaxed);
        },
        SCHEDULES,
    );
    assert_eq!(schedules.load(Ordering::Relaxed), SCHEDULES as u64);
    assert!(
        condemned.load(Ordering::Relaxed) > SCHEDULES as u64 / 4,
        "hardly anything was ever condemned: the test does not look"
    );
}

#[test]
fn no_schedule_loses_an_object_while_marking() {
    explore(|heap| Box::new(MarkSweep::new(heap)));
}

#[test]
fn no_schedule_loses_an_object_or_a_count_while_counting() {
    explore(|heap| Box::new(Counting::new(heap)));
}

/// The case that snooping is for. One mutator has switched to the new log epoch and stamps an object; the other is in the middle of an operation that it began
/// before, and stores the only reference to another object there, where no log will show it, and lets go of it; the first takes it out again, after its
/// locals were copied.
#[test]
fn no_schedule_hides_an_object_behind_a_stamp() {
    let met = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&met);
    shuttle::check_random(
        move || {
            let heap = heap();
            heap.mutator().scope(|scope| {
                let hidden = object(scope, &[]);
                let other = object(scope, &[]);
                let left = object(scope, &[Some(other), None]);
                let right = object(scope, &[Some(hidden)]);
                scope.set_root("left", Some(left));
                scope.set_root("right", Some(right));
            });
            let mover = {
                let heap = heap.clone();
                thread::spawn(move || {
                    heap.mutator().scope(|scope| {
                        let (left, right) = (scope.root("left").unwrap(), scope.root("right").unwrap());
                        scope.scope(|inner| {
                            let hidden = inner.load(right, 0).unwrap();
                            inner.store(right, 0, None).unwrap();
                            inner.store(left, 1, hidden).unwrap();
                        });
                    });
                })
            };
            let taker = {
                let (heap, met) = (heap.clone(), Arc::clone(&count));
                thread::spawn(move || {
                    heap.mutator().scope(|scope| {
                        let left = scope.root("left").unwrap();
                        scope.store(left, 0, None).unwrap();
                        for _ in 0..20 {
                            if let Some(hidden) = scope.load(left, 1).unwrap() {
                                scope.store(left, 1, None).unwrap();
                                met.fetch_add(1, Ordering::Relaxed);
                                for _ in 0..40 {
                                    thread::yield_now();
                                }
                                assert_alive(scope, hidden);
                                return;
                            }
                            thread::yield_now();
                        }
                    });
                })
            };
            let mut collector = Collector::new(&heap);
            let mut strategy = MarkSweep::new(&heap);
            // Between the copying of locals and the marking: when the object can be taken out unseen.
            strategy.at_begin = Box::new(|| (0..20).for_each(|_| thread::yield_now()));
            let report =
                collector.run(&CycleRequest::new(Cause::Request), &mut strategy, None, &mut |_| Pace::Go);
            assert!(
                matches!(report.end, CycleEnd::Settled),
                "a right strategy was refused: {:?}",
                report.end
            );
            mover.join().unwrap();
            taker.join().unwrap();
            heap.audit().expect("everything reachable is allocated");
        },
        SCHEDULES * 6,
    );
    assert!(met.load(Ordering::Relaxed) > SCHEDULES as u64, "the object was hardly ever met");
}
