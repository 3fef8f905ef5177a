//! Mutators that pass objects to each other while both are in the middle of a scope, where a trace knows no order.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use gc_lab::trace::{Replay, TraceInfo};

use crate::{deterministic, ended, recorded};

/// Two mutators that hold the object of one root: `first` opens its scope some milliseconds before `second`, and both go on step by step.
fn pair(
    folder: &Path,
    first: impl Fn(&gc_heap::Scope<'_>, gc_heap::Local<'_>, &Barrier) + Send + Sync,
    second: impl Fn(&gc_heap::Scope<'_>, gc_heap::Local<'_>, &Barrier) + Send + Sync,
) -> PathBuf {
    let path = folder.join("trace");
    let (heap, recording) = recorded(16, &path);
    heap.mutator().scope(|scope| {
        let target = scope.alloc(&[], b"target").unwrap();
        let shared = scope.alloc(&[Some(target)], b"shared").unwrap();
        scope.set_root("shared", Some(shared));
    });
    std::thread::sleep(Duration::from_millis(5));
    let step = Barrier::new(2);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            heap.mutator().scope(|scope| {
                let shared = scope.root("shared").unwrap();
                step.wait();
                first(scope, shared, &step);
            });
        });
        threads.spawn(|| {
            step.wait();
            std::thread::sleep(Duration::from_millis(5));
            heap.mutator().scope(|scope| {
                let shared = scope.root("shared").unwrap();
                second(scope, shared, &step);
            });
        });
    });
    ended(&heap, recording);
    path
}

#[test]
fn a_load_waits_for_the_store_that_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let path = pair(
        folder.path(),
        |scope, shared, step| {
            step.wait();
            // The younger scope has stored it.
            let made = scope.load(shared, 1).unwrap().unwrap();
            scope.store(made, 0, Some(shared)).unwrap();
        },
        |scope, shared, step| {
            let made = scope.alloc(&[None], b"made").unwrap();
            scope.store(shared, 1, Some(made)).unwrap();
            step.wait();
        },
    );
    let replay = Replay::open(&path).unwrap();
    let report = deterministic(&replay, 16);
    assert_eq!((report.taken, report.left_over), (0, 0), "{report:?}");
    assert_eq!(report.operations, TraceInfo::of(replay.file()).unwrap().operations);
}

#[test]
fn a_load_of_what_is_gone_by_then_finds_it_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = pair(
        folder.path(),
        |scope, shared, step| {
            step.wait();
            // The younger scope has loaded it before. In the replay it comes too late.
            scope.store(shared, 0, None).unwrap();
            // Between two stamps, and more than the goal of the first cycle.
            for _ in 0..700 {
                scope.alloc(&[], &[0; 8000]).unwrap();
            }
        },
        |scope, shared, step| {
            let target = scope.load(shared, 0).unwrap().unwrap();
            step.wait();
            let mut bytes = Vec::new();
            scope.read(target, &mut bytes);
            scope.store(shared, 0, Some(target)).unwrap();
        },
    );
    let replay = Replay::open(&path).unwrap();
    let report = deterministic(&replay, 16);
    assert_eq!((report.taken, report.left_over), (1, 0), "{report:?}");
}

/// Nothing refers to the object, or nothing but itself, and many cycles pass before it is looked up by its handle. No collector ran in the recording.
#[test]
fn what_a_handle_found_in_the_recording_is_found_in_the_replay() {
    for cyclic in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let (heap, recording) = recorded(64, &path);
        let mut mutator = heap.mutator();
        let handle = mutator.scope(|scope| {
            let leaf = scope.alloc(&[], b"leaf").unwrap();
            let lost = scope.alloc(&[Some(leaf), None], b"lost").unwrap();
            if cyclic {
                scope.store(lost, 1, Some(lost)).unwrap();
            }
            scope.handle(lost)
        });
        for _ in 0..2000 {
            mutator.scope(|scope| scope.alloc(&[], &[0; 8000]).map(|_| ())).unwrap();
        }
        mutator.scope(|scope| {
            let found = scope.resolve(handle).unwrap();
            assert!(scope.load(found, 0).unwrap().is_some());
            scope.set_root("found", Some(found));
        });
        drop(mutator);
        ended(&heap, recording);
        let replay = Replay::open(&path).unwrap();
        let report = deterministic(&replay, 32);
        assert!(report.cycles > 2 && report.taken == 1, "{report:?}");
    }
}
