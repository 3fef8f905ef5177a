//! The checks. Each answers what it saw, or what was wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gc_heap::{Cause, HeapError, Local, Mutator};
use gc_plugin::{Access, Completeness};

use crate::conformance::bench::{Bench, Rig, heap, keep_collecting};
use crate::conformance::model::{Model, seed, sentence};
use crate::conformance::over_nodes;
use crate::conformance::twin::Twin;
use crate::limits::PROMISE_CYCLES_MAX;
use crate::source::{Attached, Recipe};

/// A check that did not fail.
pub(crate) enum Done {
    Passed(String),
    Skipped(String),
}

type Run = fn(&Bench) -> Result<Done, String>;

/// All of them, the quick ones first.
pub(crate) const ALL: &[(&str, Run)] = &[
    ("describes itself the same twice", describes),
    ("empty heap", empty),
    ("all garbage", all_garbage),
    ("self loops and rings", rings),
    ("random graphs against the oracle", random_graphs),
    ("retired objects", retired),
    ("abandoned cycles and dry runs", abandoned),
    ("same calls, same answers", deterministic),
    ("deep list", deep_list),
    ("wide object", wide),
    ("full heap", full),
    ("mutators at work", concurrent),
    ("marking over nodes", over_nodes::marking),
];

pub(crate) fn passed(note: impl Into<String>) -> Result<Done, String> {
    Ok(Done::Passed(note.into()))
}

/// Runs a check once for each way of reading the graph.
fn each_access(
    bench: &Bench,
    limit_bytes: u64,
    run: impl Fn(&mut Rig) -> Result<String, String>,
) -> Result<Done, String> {
    let mut notes = Vec::new();
    for (name, access) in bench.accesses() {
        let mut rig = bench.rig(limit_bytes, access)?;
        let note = run(&mut rig).map_err(|why| format!("({name}) {why}"))?;
        notes.push(format!("{name}: {note}"));
    }
    passed(notes.join("; "))
}

/// How many cycles it may take until garbage of this kind is gone; none if it promises nothing about it.
fn within(bench: &Bench, cyclic: bool) -> Option<u32> {
    match bench.promise() {
        Completeness::All(cycles) => Some(cycles),
        Completeness::Acyclic(cycles) if !cyclic => Some(cycles),
        Completeness::Acyclic(_) | Completeness::Retired(_) | Completeness::Nothing => None,
    }
}

fn expect_gone(rig: &mut Rig, wanted: Option<u32>, live: u64) -> Result<String, String> {
    rig.cycles(wanted.unwrap_or(2))?;
    let left = rig.live_objects();
    if left < live {
        return Err(format!("{left} objects are left, and {live} are reachable"));
    }
    match wanted {
        Some(cycles) if left > live => Err(format!(
            "{} unreachable objects are left after {cycles} cycles, against its promise",
            left - live
        )),
        Some(cycles) => Ok(format!("nothing unreachable is left after {cycles} cycles")),
        None => {
            Ok(format!("{} unreachable objects are left, which it does not promise to find", left - live))
        }
    }
}

fn describes(bench: &Bench) -> Result<Done, String> {
    let Recipe::Wasm { loaded, .. } = &bench.recipe else {
        return Ok(Done::Skipped("a native strategy has no description".into()));
    };
    let loader =
        gc_plugin::Loader::new(gc_plugin::LoaderConfig::default()).map_err(|error| error.to_string())?;
    let again = loader.load(loaded.bytes().to_vec(), "the second time").map_err(|error| error.to_string())?;
    if again.description() != loaded.description() {
        return Err("it describes itself differently when it is asked again".into());
    }
    let promised = match loaded.description().completeness {
        Completeness::All(cycles) | Completeness::Acyclic(cycles) | Completeness::Retired(cycles) => cycles,
        Completeness::Nothing => 0,
    };
    if promised > PROMISE_CYCLES_MAX {
        return Err(format!(
            "it promises something within {promised} cycles, and nobody waits for more than {PROMISE_CYCLES_MAX}: promise what it keeps"
        ));
    }
    // Its own defaults must be good enough for itself.
    let defaults = loaded.description().options.iter().map(|spec| (spec.name.clone(), spec.default.clone()));
    let heap = heap(1 << 20)?;
    loaded
        .attach(heap.graph(), &defaults.collect(), Access::Auto)
        .map_err(|error| format!("it does not take its own defaults: {error}"))?;
    passed(format!("{}, {} options", loaded.world(), loaded.description().options.len()))
}

fn empty(bench: &Bench) -> Result<Done, String> {
    each_access(bench, 1 << 20, |rig| {
        rig.cycles(3)?;
        Ok("three cycles".into())
    })
}

fn all_garbage(bench: &Bench) -> Result<Done, String> {
    let wanted = within(bench, false);
    each_access(bench, 8 << 20, |rig| {
        let mut mutator = rig.heap.mutator();
        for _ in 0..100 {
            mutator
                .scope(|scope| {
                    (0..100).try_for_each(|_| {
                        let leaf = scope.alloc(&[], b"leaf")?;
                        scope.alloc(&[Some(leaf), Some(leaf)], b"").map(drop)
                    })
                })
                .map_err(sentence)?;
        }
        drop(mutator);
        expect_gone(rig, wanted, 0)
    })
}

fn rings(bench: &Bench) -> Result<Done, String> {
    let wanted = within(bench, true);
    each_access(bench, 8 << 20, |rig| {
        let mut mutator = rig.heap.mutator();
        let ring = |mutator: &mut Mutator, length: usize, root: Option<&str>| {
            mutator.scope(|scope| {
                let first = scope.alloc(&[None, None], b"")?;
                let mut last = first;
                for _ in 1..length {
                    last = scope.alloc(&[Some(last), None], b"")?;
                }
                scope.store(first, 0, Some(last))?;
                scope.store(first, 1, Some(first))?;
                if let Some(root) = root {
                    scope.set_root(root, Some(last));
                }
                Ok(())
            })
        };
        for length in [1, 2, 3, 64, 1000] {
            ring(&mut mutator, length, None).map_err(sentence)?;
            ring(&mut mutator, length, Some(&length.to_string())).map_err(sentence)?;
        }
        drop(mutator);
        expect_gone(rig, wanted, 1070)
    })
}

/// Garbage that the strategy promised to find and that is still there.
fn overdue(bench: &Bench, model: &Model, rig: &Rig) -> Vec<usize> {
    let reachable = model.reachable();
    let owed: Vec<usize> = match bench.promise() {
        Completeness::All(_) => (0..model.objects.len()).filter(|at| !reachable.contains(at)).collect(),
        Completeness::Acyclic(_) => model.acyclic_garbage().into_iter().collect(),
        Completeness::Retired(_) => (0..model.objects.len())
            .filter(|&at| {
                model.objects[at].retired && !reachable.contains(&at) && !referred_to(model, rig, at)
            })
            .collect(),
        Completeness::Nothing => Vec::new(),
    };
    model.present(&rig.heap, owed)
}

/// Whether something that is still there refers to it: then the proof keeps it, whatever the strategy proposes.
fn referred_to(model: &Model, rig: &Rig, at: usize) -> bool {
    let holders = (0..model.objects.len()).filter(|&holder| holder != at && model.refers(holder, at));
    !model.present(&rig.heap, holders.collect::<Vec<_>>()).is_empty()
}

pub(crate) fn promised_cycles(bench: &Bench) -> u32 {
    match bench.promise() {
        Completeness::All(cycles) | Completeness::Acyclic(cycles) | Completeness::Retired(cycles) => cycles,
        Completeness::Nothing => 1,
    }
}

fn random_graphs(bench: &Bench) -> Result<Done, String> {
    let graphs = if bench.quick { 6 } else { 30 };
    let retires = matches!(bench.promise(), Completeness::Retired(_));
    let mut objects = 0;
    for n in 0..graphs {
        let accesses = bench.accesses();
        let (name, access) = accesses[n as usize % accesses.len()];
        let mut rig = bench.rig(4 << 20, access)?;
        let mut model = Model::new(seed(bench.seed, n), retires);
        let run = |model: &mut Model, rig: &mut Rig| {
            for _ in 0..6 {
                model.mutate(&rig.heap, 120)?;
                rig.cycle(Cause::Goal)?;
                model.verify(&rig.heap)?;
            }
            // What dies within a cycle belongs to the next one.
            rig.cycles(promised_cycles(bench) + 1)?;
            model.verify(&rig.heap)?;
            let left = overdue(bench, model, rig);
            if left.is_empty() {
                return Ok(());
            }
            Err(format!(
                "{} objects are left after {} cycles that it promised to find, the first is number {} of {}",
                left.len(),
                promised_cycles(bench),
                left[0],
                model.objects.len()
            ))
        };
        run(&mut model, &mut rig).map_err(|why| format!("graph {n} ({name}): {why}"))?;
        objects += model.objects.len();
    }
    passed(format!("{graphs} graphs, {objects} objects"))
}

fn retired(bench: &Bench) -> Result<Done, String> {
    let promise = bench.promise();
    each_access(bench, 4 << 20, |rig| {
        let mut mutator = rig.heap.mutator();
        let (lost, kept) = mutator
            .scope(|scope| {
                let mut handles = Vec::new();
                for _ in 0..100 {
                    let object = scope.alloc(&[], b"session")?;
                    handles.push(scope.handle(object));
                    scope.retire(object);
                }
                // Retired by mistake: it is still in use.
                let kept = scope.alloc(&[], b"in use")?;
                scope.set_root("kept", Some(kept));
                scope.retire(kept);
                Ok::<_, HeapError>((handles, scope.handle(kept)))
            })
            .map_err(sentence)?;
        rig.cycles(promised_cycles(bench) + 1)?;
        mutator.scope(|scope| {
            if scope.resolve(kept).is_err() {
                return Err("an object that was retired and is a root is gone".to_owned());
            }
            let left = lost.iter().filter(|&&handle| scope.resolve(handle).is_ok()).count();
            match promise {
                Completeness::Retired(cycles) | Completeness::All(cycles) | Completeness::Acyclic(cycles)
                    if left > 0 =>
                {
                    Err(format!(
                        "{left} of 100 retired objects are left after {cycles} cycles, against its promise"
                    ))
                }
                _ => Ok(format!("{} of 100 are gone", 100 - left)),
            }
        })
    })
}

fn abandoned(bench: &Bench) -> Result<Done, String> {
    let retires = matches!(bench.promise(), Completeness::Retired(_));
    each_access(bench, 4 << 20, |rig| {
        let mut model = Model::new(seed(bench.seed, 1000), retires);
        let mut given_up = 0;
        for round in 0..8u32 {
            model.mutate(&rig.heap, 100)?;
            match round % 3 {
                0 => given_up += u32::from(rig.abandoned(1 + round / 3)),
                1 => drop(rig.cycle(Cause::Rehearsal)?),
                _ => drop(rig.cycle(Cause::Request)?),
            }
            model.verify(&rig.heap)?;
        }
        rig.cycles(promised_cycles(bench) + 1)?;
        model.verify(&rig.heap)?;
        match overdue(bench, &model, rig).len() {
            0 => Ok(format!("{given_up} cycles given up, nothing lost, nothing forgotten")),
            left => Err(format!(
                "{left} objects are left that it promised to find, after cycles that were given up"
            )),
        }
    })
}

fn deterministic(bench: &Bench) -> Result<Done, String> {
    let mut compared = 0;
    for (name, access) in bench.accesses() {
        let heap = heap(4 << 20)?;
        let attach = || bench.recipe.attach(heap.graph(), access).map_err(|error| error.to_string());
        let twin = Twin::new(attach()?, attach()?);
        let mut rig = Rig::new(heap.clone(), Attached::Native(Box::new(twin)));
        let mut model = Model::new(seed(bench.seed, 2000), true);
        for _ in 0..8 {
            model.mutate(&heap, 150)?;
            let report = rig.cycle(Cause::Request).map_err(|why| format!("({name}) {why}"))?;
            compared += u64::from(report.steps) + 1;
        }
    }
    passed(format!("{compared} answers compared"))
}

fn deep_list(bench: &Bench) -> Result<Done, String> {
    let length: u64 = if bench.quick { 100_000 } else { 1_000_000 };
    let wanted = within(bench, false);
    each_access(bench, length * 32 + (8 << 20), |rig| {
        let mut mutator = rig.heap.mutator();
        for _ in 0..length / 1000 {
            mutator
                .scope(|scope| {
                    let mut head = scope.root("list");
                    for _ in 0..1000 {
                        head = Some(scope.alloc(&[head], b"")?);
                    }
                    scope.set_root("list", head);
                    Ok(())
                })
                .map_err(sentence)?;
        }
        rig.cycles(2)?;
        if rig.live_objects() != length {
            return Err(format!(
                "{} of {length} objects of the list are left, and all are reachable",
                rig.live_objects()
            ));
        }
        mutator.scope(|scope| scope.set_root("list", None));
        drop(mutator);
        let note = expect_gone(rig, wanted, 0)?;
        Ok(format!("{length} objects, longest step {:.1?}, {note}", rig.longest_slice))
    })
}

fn wide(bench: &Bench) -> Result<Done, String> {
    let width = if bench.quick { 10_000 } else { 200_000 };
    each_access(bench, 64 << 20, |rig| {
        let mut mutator = rig.heap.mutator();
        mutator
            .scope(|scope| {
                let hub = scope.alloc(&vec![None; width], b"")?;
                scope.set_root("hub", Some(hub));
                Ok(())
            })
            .map_err(sentence)?;
        // In many scopes, so that the hub alone holds them.
        for from in (0..width).step_by(1000) {
            mutator.scope(|scope| {
                let hub = scope.root("hub").ok_or("the root is gone")?;
                for slot in from..(from + 1000).min(width) {
                    let spoke = scope.alloc(&[Some(hub)], b"").map_err(sentence)?;
                    scope.store(hub, slot as u32, Some(spoke)).map_err(sentence)?;
                }
                Ok::<_, String>(())
            })?;
        }
        drop(mutator);
        rig.cycles(2)?;
        let left = rig.live_objects();
        if left != width as u64 + 1 {
            return Err(format!("{left} of {} objects are left, and all are reachable", width + 1));
        }
        Ok(format!("{width} references in one object"))
    })
}

fn full(bench: &Bench) -> Result<Done, String> {
    each_access(bench, 1 << 20, |rig| {
        let mut mutator = rig.heap.mutator();
        let count = mutator.scope(|scope| {
            let mut head: Option<Local<'_>> = None;
            let mut count = 0u64;
            loop {
                match scope.alloc(&[head], b"") {
                    Ok(object) => head = Some(object),
                    Err(HeapError::Full { .. }) => break,
                    Err(error) => return Err(error.to_string()),
                }
                count += 1;
            }
            scope.set_root("all", head);
            Ok(count)
        })?;
        rig.cycle(Cause::Full)?;
        if rig.live_objects() != count {
            return Err(format!("{} of {count} objects are left, and all are reachable", rig.live_objects()));
        }
        mutator.scope(|scope| scope.set_root("all", None));
        (0..promised_cycles(bench) + 1).try_for_each(|_| rig.cycle(Cause::Full).map(drop))?;
        if within(bench, false).is_some() {
            mutator
                .scope(|scope| scope.alloc(&[], b"").map(drop))
                .map_err(|error| format!("no room was made: {error}"))?;
        }
        Ok(format!("{count} objects"))
    })
}

/// Each thread keeps a list, checks it, and lets go of it, over and over.
fn concurrent(bench: &Bench) -> Result<Done, String> {
    let rounds = if bench.quick { 20 } else { 150 };
    each_access(bench, 32 << 20, |rig| {
        let stop = Arc::new(AtomicBool::new(false));
        let heap = rig.heap.clone();
        let cycles = std::thread::scope(|threads| {
            let working: Vec<_> = (0..2)
                .map(|thread| {
                    let heap = heap.clone();
                    threads.spawn(move || work(&heap, thread, rounds))
                })
                .collect();
            let flag = Arc::clone(&stop);
            let watching = threads.spawn(move || {
                let ends: Vec<_> = working.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
                flag.store(true, Ordering::Relaxed);
                ends.into_iter().try_for_each(|end| end.unwrap_or_else(|_| Err("a mutator panicked".into())))
            });
            let cycles = keep_collecting(rig, &stop)?;
            watching.join().unwrap_or_else(|_| Err("a mutator panicked".into()))?;
            Ok::<_, String>(cycles)
        })?;
        // What the threads still hold at their end are the lists under their names.
        let note = expect_gone(rig, within(bench, false).map(|cycles| cycles + 1), 2 * LIST)?;
        Ok(format!("2 threads, {cycles} cycles meanwhile; {note}"))
    })
}

const LIST: u64 = 500;

fn work(heap: &gc_heap::Heap, thread: u32, rounds: u32) -> Result<(), String> {
    let mut mutator = heap.mutator();
    let name = format!("list-{thread}");
    for round in 0..rounds {
        mutator.scope(|scope| {
            let mut head = None;
            for n in 0..LIST {
                head = Some(
                    scope
                        .alloc(&[head, head], &(u64::from(round) << 32 | n).to_le_bytes())
                        .map_err(sentence)?,
                );
            }
            scope.set_root(&name, head);
            Ok::<_, String>(())
        })?;
        mutator.scope(|scope| {
            let mut next = scope.root(&name);
            for n in (0..LIST).rev() {
                let object =
                    next.ok_or_else(|| format!("the list of thread {thread} ends after {n} objects"))?;
                let mut payload = Vec::new();
                scope.read(object, &mut payload);
                if payload != (u64::from(round) << 32 | n).to_le_bytes() {
                    return Err(format!("object {n} of thread {thread} has other content"));
                }
                // Through either slot: both are looked at in the course of the rounds.
                next = scope.load(object, round % 2).map_err(sentence)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
