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
    Cause, Collector, CycleEnd, CycleRequest, Handle, Heap, HeapConfig, Heard, Local, Others, Pace,
    Quarantine, Scope, Strategy,
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

/// Other nodes that have nothing to add, and agree to everything.
struct Agreeing;

impl Others for Agreeing {
    fn roots(&mut self) -> Vec<Handle> {
        Vec::new()
    }
    fn reached(&mut self, _: Vec<Handle>) {}
    fn rest(&mut self) -> Heard {
        thread::yield_now();
        Heard::Decide
    }
    fn prove(&mut self, _: Vec<Handle>, _: Vec<Handle>) -> bool {
        (0..8).for_each(|_| thread::yield_now());
        true
    }
}

/// What a thread does that drives the protocol: it holds and imports, at any moment, and what it was given is there for as long as it has not let go.
fn drive(heap: &Heap, weak: &[Handle], revived: &AtomicU64) {
    let mut mutator = heap.mutator();
    for (at, &handle) in weak.iter().enumerate() {
        let elsewhere = Handle { node: 9, incarnation: 1, cell: 1 + at as u32 % 2, generation: 0 };
        mutator.scope(|scope| {
            let stub = scope.import(elsewhere, at as u32).unwrap();
            thread::yield_now();
            let again = scope.import(elsewhere, at as u32).unwrap();
            assert_eq!(
                (stub, scope.handle(again)),
                (again, elsewhere),
                "a stub that a scope holds was replaced"
            );
            let Ok(own) = scope.import(handle, 0) else { return };
            let child = scope.load(own, 0).unwrap().unwrap();
            thread::yield_now();
            assert_alive(scope, own);
            assert_alive(scope, child);
        });
        if heap.hold(handle).is_ok() {
            revived.fetch_add(1, Ordering::Relaxed);
            (0..4).for_each(|_| thread::yield_now());
            mutator.scope(|scope| {
                let held = scope.resolve(handle).expect("what is held for other nodes is there");
                assert_alive(scope, scope.load(held, 0).unwrap().unwrap());
            });
            heap.release(handle);
        }
    }
}

#[test]
fn no_schedule_loses_what_the_driver_of_the_protocol_was_given() {
    let (revived, lost) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (revived_sum, lost_sum) = (Arc::clone(&revived), Arc::clone(&lost));
    shuttle::check_random(
        move || {
            let heap = heap();
            let weak: Vec<Handle> = heap.mutator().scope(|scope| {
                let garbage = |_| object(scope, &[Some(object(scope, &[]))]);
                (0..3).map(garbage).map(|object| scope.handle(object)).collect()
            });
            let driver = {
                let (heap, weak, revived) = (heap.clone(), weak.clone(), Arc::clone(&revived_sum));
                thread::spawn(move || drive(&heap, &weak, &revived))
            };
            let mut collector = Collector::new(&heap);
            let mut strategy = MarkSweep::over_nodes(&heap);
            let request = CycleRequest::new(Cause::Request);
            for alone in [thread_rng().gen_bool(0.5), false] {
                let report = match alone {
                    true => collector.run(&request, &mut strategy, None, &mut |_| Pace::Go),
                    false => {
                        collector.run_over_nodes(&request, &mut strategy, &mut Agreeing, &mut |_| Pace::Go)
                    }
                };
                assert!(matches!(report.end, CycleEnd::Settled), "{:?}", report.end);
                lost_sum.fetch_add(report.condemned_objects, Ordering::Relaxed);
            }
            driver.join().unwrap();
            heap.audit().expect("everything reachable is allocated");
            let freed = heap.take_freed_stubs().len() as u64;
            assert!(freed <= 3 && heap.stats().stubs + freed >= 2, "{freed} stubs were freed");
        },
        SCHEDULES,
    );
    let counts = (revived.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    let floor = SCHEDULES as u64 / 4;
    assert!(counts.0 > floor && counts.1 > floor, "look-ups and verdicts hardly ever met: {counts:?}");
}

/// A strategy that has seen nothing yet is told the whole heap as it was when the log epoch ended. An object that was allocated just before that, and written just
/// after, was there with what it referred to then.
#[test]
fn what_is_allocated_just_before_the_whole_heap_is_told_is_told() {
    shuttle::check_random(
        move || {
            let heap = heap();
            let mutator = {
                let heap = heap.clone();
                thread::spawn(move || {
                    let mut mutator = heap.mutator();
                    for name in ["one", "two", "three"] {
                        mutator.scope(|scope| {
                            let leaf = object(scope, &[]);
                            let top = object(scope, &[Some(leaf), None]);
                            scope.set_root(name, Some(top));
                        });
                        mutator.scope(|scope| {
                            let top = scope.root(name).unwrap();
                            scope.store(top, 1, Some(top)).unwrap();
                        });
                    }
                })
            };
            let mut collector = Collector::new(&heap);
            let mut strategy = Counting::new(&heap);
            for _ in 0..2 {
                let report =
                    collector.run(&CycleRequest::new(Cause::Request), &mut strategy, None, &mut |_| Pace::Go);
                assert_eq!(report.end, CycleEnd::Settled, "a right strategy was refused");
            }
            mutator.join().unwrap();
            let end =
                collector.run(&CycleRequest::new(Cause::Request), &mut strategy, None, &mut |_| Pace::Go).end;
            assert_eq!(end, CycleEnd::Settled, "a right strategy was refused");
            assert_eq!(heap.stats().live_objects, 6);
        },
        SCHEDULES,
    );
}
