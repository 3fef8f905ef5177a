//! Schedules that are written down: one thread is stopped at each of its steps in turn while others get far. What random schedules hit once in a
//! million tries is hit here in every run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gc_heap::{
    Cause, Collector, CycleEnd, CycleReport, CycleRequest, Heap, HeapConfig, Pace, Quarantine, Verdict,
};
use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use shuttle::thread;

use crate::common::scripted::Scripted;
use crate::common::{MarkSweep, cycle};
use crate::{assert_alive, heap, object};

/// Tasks by the order in which they are spawned; the first is the one that runs the test, and the collector.
const COLLECTOR: usize = 0;
const FIRST: usize = 1;

/// A piece of a schedule.
#[derive(Debug, Copy, Clone)]
enum Turns {
    /// A task runs alone for so many turns, or until it cannot go on.
    Alone(usize, u32),
    /// A task runs alone until the test has said [`Cue::step`] so often, or until it cannot go on.
    Until(usize, u32),
    /// A task stands still for so many turns, or until no other can go on.
    Without(usize, u32),
}

/// Something that a thread says and others wait for. Not a point at which threads switch.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicU32>);

impl Flag {
    fn set(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
    fn is_set(&self) -> bool {
        self.count() > 0
    }
    fn wait(&self) {
        while !self.is_set() {
            thread::yield_now();
        }
    }
}

/// What a test tells its scheduler.
#[derive(Clone, Default)]
struct Cue {
    /// From here on the plan is followed.
    go: Flag,
    /// Set at places that a plan can name.
    step: Flag,
}

/// Tasks run in turn until the test gives the cue; then they follow the plan of this execution, and then they run in turn again.
struct Directed {
    plans: std::vec::IntoIter<Vec<Turns>>,
    plan: VecDeque<Turns>,
    cue: Cue,
}

impl Directed {
    /// Takes a turn of a piece of the plan. Answers who may run, or nothing when the piece is over.
    fn turn(turns: &mut Turns, step: u32, runnable: &[usize]) -> Option<Vec<usize>> {
        let (who, more, alone) = match *turns {
            Turns::Alone(who, left) => (who, left > 0, true),
            Turns::Without(who, left) => (who, left > 0, false),
            Turns::Until(who, until) => (who, step < until, true),
        };
        if let Turns::Alone(_, left) | Turns::Without(_, left) = turns {
            *left = left.saturating_sub(1);
        }
        let may: Vec<usize> = runnable.iter().copied().filter(|&id| (id == who) == alone).collect();
        (more && !may.is_empty()).then_some(may)
    }
}

impl Scheduler for Directed {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.plan = self.plans.next()?.into();
        self.cue.go.0.store(0, Ordering::Relaxed);
        self.cue.step.0.store(0, Ordering::Relaxed);
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, _: bool) -> Option<TaskId> {
        let current = current.map_or(0, usize::from);
        let mut ids: Vec<usize> = runnable.iter().map(|task| usize::from(task.id())).collect();
        while let Some(turns) = self.plan.front_mut().filter(|_| self.cue.go.is_set()) {
            if let Some(may) = Directed::turn(turns, self.cue.step.count(), &ids) {
                ids = may;
                break;
            }
            self.plan.pop_front();
        }
        let next = ids.iter().find(|&&id| id > current).unwrap_or(&ids[0]);
        Some((*next).into())
    }

    /// Rolls no long stalls at the points of the heap: the plan has them.
    fn next_u64(&mut self) -> u64 {
        u64::MAX
    }
}

/// Runs a test once for each plan. It gives the cue when the plan is to begin.
fn direct(plans: impl IntoIterator<Item = Vec<Turns>>, test: impl Fn(&Cue) + Send + Sync + 'static) {
    let cue = Cue::default();
    let plans: Vec<_> = plans.into_iter().collect();
    let scheduler = Directed { plans: plans.into_iter(), plan: VecDeque::new(), cue: cue.clone() };
    shuttle::Runner::new(scheduler, shuttle::Config::default()).run(move || test(&cue));
}

/// Turns that are enough for any thread to get as far as it can.
const LONG: u32 = 400;

/// The case that the handshakes H1 and H2 and the snooping between them are for. One mutator is stopped in the middle of an operation that it began
/// before the cycle, or early in it. The other goes over to the new log epoch and stamps an object; the first then stores the only reference to
/// another object there, where no log shows it, and lets go of it. The second takes it out again after its locals were copied.
#[test]
fn an_operation_that_straddles_the_turn_of_the_log_hides_nothing_behind_a_stamp() {
    let plan = |others, alone| {
        vec![Turns::Without(FIRST, others), Turns::Alone(FIRST, alone), Turns::Without(FIRST, LONG)]
    };
    let plans = (0..120).flat_map(|others| (0..14).map(move |alone| plan(others, alone)));
    direct(plans, |cue| {
        let heap = heap();
        heap.mutator().scope(|scope| {
            let hidden = object(scope, &[]);
            let left = object(scope, &[]);
            let right = object(scope, &[Some(hidden)]);
            scope.set_root("left", Some(left));
            scope.set_root("right", Some(right));
        });
        let [moved, begun, taken, over]: [Flag; 4] = Default::default();
        let mover = {
            let (heap, cue, moved) = (heap.clone(), cue.clone(), moved.clone());
            thread::spawn(move || {
                heap.mutator().scope(|scope| {
                    let (left, right) = (scope.root("left").unwrap(), scope.root("right").unwrap());
                    scope.scope(|inner| {
                        let hidden = inner.load(right, 0).unwrap();
                        inner.store(right, 0, None).unwrap();
                        cue.go.set();
                        thread::yield_now();
                        inner.store(left, 1, hidden).unwrap();
                    });
                    moved.set();
                });
            })
        };
        let taker = {
            let (heap, cue, moved, begun, taken, over) =
                (heap.clone(), cue.clone(), moved.clone(), begun.clone(), taken.clone(), over.clone());
            thread::spawn(move || {
                heap.mutator().scope(|scope| {
                    let left = scope.root("left").unwrap();
                    cue.go.wait();
                    while !moved.is_set() {
                        scope.store(left, 0, None).unwrap();
                    }
                    begun.wait();
                    let hidden = scope.load(left, 1).unwrap().expect("the other has put it there");
                    scope.store(left, 1, None).unwrap();
                    taken.set();
                    over.wait();
                    assert_alive(scope, hidden);
                });
            })
        };
        cue.go.wait();
        let mut collector = Collector::new(&heap);
        let mut strategy = MarkSweep::new(&heap);
        // Between the copying of locals and the marking: when the object can be taken out unseen.
        strategy.at_begin = Box::new(move || {
            begun.set();
            taken.wait();
        });
        let report = cycle(&mut collector, &mut strategy);
        assert_eq!(report.end, CycleEnd::Settled, "a right strategy was refused");
        over.set();
        mover.join().unwrap();
        taker.join().unwrap();
        heap.audit().expect("everything reachable is allocated");
    });
}

/// Runs a cycle that condemns some cells, and calls `scanned` when the proof has scanned the heap and nothing is decided.
fn condemn(heap: &Heap, cells: Vec<u32>, mut scanned: impl FnMut()) -> CycleReport {
    let judging = Flag::default();
    let mut strategy = Scripted::new(Verdict::Condemned(cells));
    let finished = judging.clone();
    strategy.at_finish = Box::new(move || finished.set());
    let mut collector = Collector::new(heap);
    let report = collector.run(&CycleRequest::new(Cause::Request), &mut strategy, None, &mut |_| {
        if judging.is_set() {
            scanned();
        }
        Pace::Go
    });
    assert_eq!(report.end, CycleEnd::Settled, "a right strategy was refused");
    report
}

/// A look-up at any time between the scan and the end of the cycle gives an object that stays, or says that it is gone; an object that was given out is
/// never taken back.
#[test]
fn a_look_up_while_the_verdict_falls_is_answered_for_good() {
    let plans = (0..60).flat_map(|before| {
        (0..16).map(move |into| {
            vec![Turns::Alone(COLLECTOR, before), Turns::Alone(FIRST, into), Turns::Alone(COLLECTOR, LONG)]
        })
    });
    let (found, gone) = (Flag::default(), Flag::default());
    let (founds, gones) = (found.clone(), gone.clone());
    direct(plans, move |cue| {
        let heap = heap();
        let handle = heap.mutator().scope(|scope| scope.handle(object(scope, &[])));
        let [ready, over]: [Flag; 2] = Default::default();
        let seeker = {
            let (heap, cue, ready, over) = (heap.clone(), cue.clone(), ready.clone(), over.clone());
            let (founds, gones) = (founds.clone(), gones.clone());
            thread::spawn(move || {
                heap.mutator().scope(|scope| {
                    ready.set();
                    cue.go.wait();
                    let answer = scope.resolve(handle);
                    over.wait();
                    match answer {
                        Ok(object) => {
                            founds.set();
                            assert_alive(scope, object);
                        }
                        Err(gone) => {
                            gones.set();
                            assert!(gone.decision.is_some(), "what was condemned just now has a decision");
                        }
                    }
                    scope.resolve(handle).is_ok()
                })
            })
        };
        ready.wait();
        let report = condemn(&heap, vec![handle.cell], || cue.go.set());
        over.set();
        let stays = seeker.join().unwrap();
        assert_eq!((report.condemned_objects, report.withheld_cells), if stays { (0, 1) } else { (1, 0) });
        heap.audit().expect("everything reachable is allocated");
    });
    let met = (found.count(), gone.count());
    assert!(met.0 > 10 && met.1 > 10, "both answers are met: {met:?}");
}

/// What is looked up late is withheld with all that it leads to. But the mutator that looked it up may take something out of it, and something
/// out of that, just after its log was emptied and before the collector has read the references: then only the next log says so.
#[test]
fn what_is_taken_out_of_a_withheld_object_is_withheld() {
    let plans = (0..60).flat_map(|before| {
        (0..40).map(move |between| {
            vec![
                Turns::Alone(COLLECTOR, before),
                Turns::Until(FIRST, 1),
                Turns::Alone(COLLECTOR, between),
                Turns::Until(FIRST, 2),
            ]
        })
    });
    direct(plans, |cue| {
        let heap = heap();
        let (cells, top) = heap.mutator().scope(|scope| {
            let bottom = object(scope, &[]);
            let middle = object(scope, &[Some(bottom)]);
            let top = object(scope, &[Some(middle)]);
            ([top, middle, bottom].map(|object| scope.handle(object).cell), scope.handle(top))
        });
        let [ready, scanned, over]: [Flag; 3] = Default::default();
        let seeker = {
            let (heap, cue, ready, scanned, over) =
                (heap.clone(), cue.clone(), ready.clone(), scanned.clone(), over.clone());
            thread::spawn(move || {
                heap.mutator().scope(|scope| {
                    ready.set();
                    scanned.wait();
                    let top = scope.resolve(top).expect("nothing is decided");
                    cue.go.set();
                    thread::yield_now();
                    let middle = scope.load(top, 0).unwrap().unwrap();
                    scope.store(top, 0, None).unwrap();
                    cue.step.set();
                    thread::yield_now();
                    let bottom = scope.load(middle, 0).unwrap().unwrap();
                    scope.store(middle, 0, None).unwrap();
                    cue.step.set();
                    over.wait();
                    [top, middle, bottom].into_iter().for_each(|object| assert_alive(scope, object));
                });
            })
        };
        ready.wait();
        // Its log is emptied last, which leaves the other time to work in between.
        let idle = heap.mutator();
        let report = condemn(&heap, cells.to_vec(), || {
            scanned.set();
            cue.go.wait();
        });
        assert_eq!(report.withheld_cells, 3);
        over.set();
        seeker.join().unwrap();
        drop(idle);
        heap.audit().expect("everything reachable is allocated");
    });
}

/// Whatever is restored is found before any of it can be reached, and reached before any of it can be taken for a free cell: a mutator that looks
/// one of the objects up meanwhile, and takes out of it what it leads to, loses nothing.
#[test]
fn what_is_taken_out_of_an_object_that_comes_back_comes_back() {
    let plans = (0..40).map(|before| {
        vec![Turns::Alone(COLLECTOR, before), Turns::Until(FIRST, 1), Turns::Alone(COLLECTOR, LONG)]
    });
    let found = Flag::default();
    let founds = found.clone();
    direct(plans, move |cue| {
        let config =
            HeapConfig { quarantine: Quarantine::UntilNextProof, ..HeapConfig::with_limit(256 << 10) };
        let heap = Heap::new(config).unwrap();
        let handle = heap.mutator().scope(|scope| {
            let [top, middle, bottom] = [(); 3].map(|()| object(scope, &[]));
            scope.store(top, 0, Some(middle)).unwrap();
            scope.store(middle, 0, Some(bottom)).unwrap();
            scope.handle(top)
        });
        let mut collector = Collector::new(&heap);
        assert_eq!(cycle(&mut collector, &mut MarkSweep::new(&heap)).condemned_objects, 3);
        let [ready, over]: [Flag; 2] = Default::default();
        let seeker = {
            let (heap, cue, ready, over) = (heap.clone(), cue.clone(), ready.clone(), over.clone());
            let founds = founds.clone();
            thread::spawn(move || {
                heap.mutator().scope(|scope| {
                    ready.set();
                    cue.go.wait();
                    let top = scope.resolve(handle);
                    if let Ok(top) = top {
                        founds.set();
                        let middle = scope.load(top, 0).unwrap().unwrap();
                        scope.store(top, 0, None).unwrap();
                        let bottom = scope.load(middle, 0).unwrap().unwrap();
                        scope.store(middle, 0, None).unwrap();
                        let fresh = [(); 4].map(|()| object(scope, &[]));
                        assert!(fresh.iter().all(|object| ![top, middle, bottom].contains(object)));
                        cue.step.set();
                        over.wait();
                        [top, middle, bottom].into_iter().for_each(|object| assert_alive(scope, object));
                    } else {
                        cue.step.set();
                        over.wait();
                    }
                });
            })
        };
        ready.wait();
        cue.go.set();
        let (pin, restored) = collector.restore(handle).unwrap();
        assert_eq!(restored.objects, 3);
        for _ in 0..2 {
            assert_eq!(cycle(&mut collector, &mut MarkSweep::new(&heap)).end, CycleEnd::Settled);
        }
        heap.audit().expect("everything reachable is allocated");
        over.set();
        seeker.join().unwrap();
        drop(pin);
    });
    assert!(found.count() > 5, "it was hardly ever looked up in time: {}", found.count());
}

/// A mutator changes an object that only it holds, and lets go of it, at any time around the beginning of a cycle that condemns it. Whoever counts is told
/// the change once, whether it fell into the old log epoch or the new one, and whether the object is still there when it is told.
#[test]
fn the_last_change_of_an_object_is_told_once() {
    let plans = (0..120).map(|others| vec![Turns::Without(FIRST, others), Turns::Until(FIRST, 1)]);
    let late = Flag::default();
    let lates = late.clone();
    direct(plans, move |cue| {
        let heap = heap();
        heap.mutator().scope(|scope| scope.set_root("kept", Some(object(scope, &[]))));
        let [ready, told]: [Flag; 2] = Default::default();
        let mutator = {
            let (heap, cue, ready, told) = (heap.clone(), cue.clone(), ready.clone(), told.clone());
            thread::spawn(move || {
                heap.mutator().scope(|scope| {
                    let dying = object(scope, &[scope.root("kept")]);
                    scope.set_root("dying", Some(dying));
                    ready.set();
                    told.wait();
                    scope.set_root("dying", None);
                    cue.go.set();
                    thread::yield_now();
                    scope.store(dying, 0, None).unwrap();
                });
                cue.step.set();
            })
        };
        ready.wait();
        let names = heap.named_roots();
        let [dying, kept] =
            ["dying", "kept"].map(|name| names.iter().find(|(n, _)| n == name).unwrap().1.cell);
        let mut collector = Collector::new(&heap);
        let mut strategy = Scripted::with_changes(Verdict::KeepAll);
        cycle(&mut collector, &mut strategy);
        told.set();
        cue.go.wait();
        strategy.verdict = Verdict::Condemned(vec![dying]);
        let gone = cycle(&mut collector, &mut strategy).condemned_cells == 1;
        mutator.join().unwrap();
        strategy.verdict = Verdict::KeepAll;
        cycle(&mut collector, &mut strategy);
        let cycles = strategy.told[1..].iter().map(|told| told.changes.clone()).collect::<Vec<_>>();
        if gone && !cycles[1].is_empty() {
            lates.set();
        }
        let rebuilt = strategy.last().info.rebuild;
        let last = [dying, kept, 0, 0, 0, 0, 0, 0, 0];
        let told = cycles.concat().iter().filter(|&&change| change == last).count();
        // A verdict against what is held still makes the strategy begin anew, with what is there then.
        assert_eq!(told, usize::from(!rebuilt || !cycles[0].is_empty()), "{cycles:?}");
    });
    assert!(late.count() > 0, "no change fell between the turn of the log and the copying of locals");
}

/// A mutator makes a named root or a pin of an object that only it holds, and lets go of it, at any time around the beginning of a cycle: before the
/// table is copied, or after that and before its locals are.
#[test]
fn what_becomes_a_root_while_a_cycle_begins_stays() {
    let plans = (0..120).map(|others| vec![Turns::Without(FIRST, others), Turns::Until(FIRST, 1)]);
    let run = |cue: &Cue, pinned: bool| {
        let heap = heap();
        let mutator = {
            let (heap, cue) = (heap.clone(), cue.clone());
            thread::spawn(move || {
                let kept = heap.mutator().scope(|scope| {
                    let object = object(scope, &[]);
                    cue.go.set();
                    thread::yield_now();
                    let pin = if pinned { Some(scope.pin(object)) } else { None };
                    if !pinned {
                        scope.set_root("late", Some(object));
                    }
                    (scope.handle(object), pin)
                });
                cue.step.set();
                kept
            })
        };
        cue.go.wait();
        let mut collector = Collector::new(&heap);
        let report = cycle(&mut collector, &mut MarkSweep::new(&heap));
        assert_eq!((report.end, report.condemned_objects), (CycleEnd::Settled, 0));
        let (handle, _pin) = mutator.join().unwrap();
        heap.mutator().scope(|scope| assert_alive(scope, scope.resolve(handle).expect("it is a root")));
    };
    direct(plans.clone(), move |cue| run(cue, false));
    direct(plans, move |cue| run(cue, true));
}
