//! Traces from the recording to the replay.

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod graph;
mod order;
mod random;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Local, MarkSweep};
use gc_heap::{Cause, Collector, CycleRequest, Heap, HeapConfig, Quarantine};
use gc_lab::trace::{Clockwork, Due, Facts, Pace, Recording, RecordingReport, Replay, ReplayReport, Ticked};
use gc_lab::{CollectFailed, Driver, Progress, WorkloadSpec};
use graph::shape;

/// A heap whose work is recorded in a file.
pub(crate) fn recorded(mebibytes: u64, path: &Path) -> (Heap, Recording) {
    let recording = Recording::start(path, &Facts::default()).unwrap();
    let limits = HeapConfig::with_limit(mebibytes << 20);
    (Heap::new(HeapConfig { tape: Some(recording.tape()), ..limits }).unwrap(), recording)
}

pub(crate) fn ended(heap: &Heap, recording: Recording) -> RecordingReport {
    heap.end_recording();
    let report = recording.finish();
    assert_eq!(report.problem, None);
    report
}

/// Work beside a collector that runs cycles all the time.
pub(crate) fn beside_cycles<R>(heap: &Heap, work: impl FnOnce(&Local) -> R) -> R {
    beside_cycles_every(heap, Duration::from_micros(100), work)
}

fn beside_cycles_every<R>(heap: &Heap, rest: Duration, work: impl FnOnce(&Local) -> R) -> R {
    let driver = Local::new(heap, MarkSweep::new(heap));
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let _ = driver.collect();
                std::thread::sleep(rest);
            }
        });
        let worked = work(&driver);
        over.store(true, Ordering::Relaxed);
        worked
    })
}

pub(crate) fn replayed(path: &Path, heap: &Heap) -> ReplayReport {
    let replay = Replay::open(path).unwrap();
    assert_eq!((replay.damage(), replay.file().is_complete()), (None, true));
    let report = beside_cycles(heap, |driver| replay.run(heap, &Pace::Free, driver)).unwrap();
    assert_eq!((report.left_over, &report.damage), (0, &None));
    report
}

/// Runs a workload, records it, replays it, and compares what is alive.
fn same_graph(folder: &Path, load: &str) -> (RecordingReport, ReplayReport, u64) {
    let path = folder.join("trace");
    let (first, recording) = recorded(64, &path);
    let spec: WorkloadSpec = load.parse().unwrap();
    let done = beside_cycles(&first, |driver| spec.run(&first, driver)).unwrap();
    let recording = ended(&first, recording);
    let second = common::heap(64);
    let report = replayed(&path, &second);
    assert_eq!(report.operations, recording.operations, "{load}");
    assert!(shape(&first) == shape(&second), "{load}: another graph");
    (recording, report, done.operations)
}

#[test]
fn churn_leaves_the_same_graph() {
    let folder = tempfile::tempdir().unwrap();
    for options in [
        "threads=1&shared=0",
        "threads=1",
        "threads=2&reads=0.2",
        "threads=3&shared=0.3&links=3",
        "threads=2&retire=true",
    ] {
        let load = format!("churn?live=2k&operations=60k&{options}");
        let (recording, report, _) = same_graph(folder.path(), &load);
        let threads: u32 = options.strip_prefix("threads=").unwrap()[..1].parse().unwrap();
        assert_eq!(report.threads, threads);
        assert!(recording.bytes < 6 * recording.operations, "{recording:?}");
    }
}

#[test]
fn a_history_leaves_the_same_graph_though_it_looks_garbage_up() {
    let folder = tempfile::tempdir().unwrap();
    let repo = gc_lab::testing::Repo::init(&folder.path().join("repo"), &[]);
    for step in 0..60 {
        for file in 0..6 {
            repo.write(&format!("d{file}/f{}", step % 3), &format!("{}", (step * 7 + file) % 5));
        }
        repo.commit(&format!("x{}", step % 4), &(step % 3).to_string());
    }
    let mut taken = 0;
    for keep in [1, 2, 5, 100] {
        let load = format!("git-history:{}?keep={keep}&payload=true", repo.path().display());
        let (recording, report, operations) = same_graph(folder.path(), &load);
        taken += report.taken;
        // What no root reaches must not be missed by a collector that is faster.
        let replay = Replay::open(&folder.path().join("trace")).unwrap();
        let limits = HeapConfig { quarantine: Quarantine::Off, ..HeapConfig::with_limit(16 << 20) };
        for _ in 0..5 {
            let heap = Heap::new(limits.clone()).unwrap();
            let run = |driver: &Local| replay.run(&heap, &Pace::Free, driver);
            let report = beside_cycles_every(&heap, Duration::ZERO, run).unwrap();
            assert_eq!(report.operations, recording.operations);
        }
        assert!(recording.bytes < 6 * operations, "{recording:?} for {operations} operations");
    }
    assert!(taken > 0, "nothing was looked up that no root reached");
}

/// With one thread each: of two threads that store in the same slot at the same time no trace knows who was last.
#[test]
fn other_workloads_leave_the_same_graph() {
    let folder = tempfile::tempdir().unwrap();
    for load in [
        "gcbench?depth=6",
        "service?quick&threads=1&requests=4k",
        "cache?quick&threads=1&operations=20k",
        "editor?quick&threads=1&edits=4k",
    ] {
        same_graph(folder.path(), load);
    }
}

/// Cycles where a deterministic replay wants them.
struct Works(Mutex<(Collector, MarkSweep)>, Heap);

impl Works {
    fn new(heap: &Heap) -> Works {
        Works(Mutex::new((Collector::new(heap), MarkSweep::new(heap))), heap.clone())
    }
}

impl Clockwork for Works {
    fn cycle(&self, cause: Due) -> Result<Ticked, CollectFailed> {
        let (collector, strategy) = &mut *self.0.lock().unwrap();
        let cause = match cause {
            Due::Goal => Cause::Goal,
            Due::Full => Cause::Full,
            Due::End => Cause::Request,
        };
        let request = CycleRequest { slice_target: Duration::MAX, ..CycleRequest::new(cause) };
        let report = collector.run(&request, strategy, None, &mut |_| gc_heap::Pace::Go);
        let facts = format!(
            "{} {:?} {} {} {} {} {}",
            report.number,
            report.end,
            report.condemned_cells,
            report.freed_objects,
            report.live_cells,
            report.steps,
            report.roots
        );
        let goal_bytes = self.1.used().bytes * 3 / 2 + (64 << 10);
        Ok(Ticked { goal_bytes, condemned_objects: report.condemned_objects, facts })
    }
}

pub(crate) struct Nobody;

impl Driver for Nobody {
    fn collect(&self) -> Result<u64, CollectFailed> {
        Err(CollectFailed("nobody collects".into()))
    }
    fn stop_requested(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
}

pub(crate) fn deterministic(replay: &Replay, mebibytes: u64) -> ReplayReport {
    let heap = common::heap(mebibytes);
    let works = Works::new(&heap);
    replay.run(&heap, &Pace::Deterministic(&works), &Nobody).unwrap()
}

fn churn_trace(folder: &Path, options: &str) -> PathBuf {
    let path = folder.join("churn.trace");
    let (heap, recording) = recorded(64, &path);
    let spec: WorkloadSpec = format!("churn?live=3k&operations=150k&{options}").parse().unwrap();
    beside_cycles(&heap, |driver| spec.run(&heap, driver)).unwrap();
    ended(&heap, recording);
    path
}

#[test]
fn a_deterministic_replay_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    for options in ["threads=1", "threads=3&shared=0.1"] {
        let replay = Replay::open(&churn_trace(folder.path(), options)).unwrap();
        let first = deterministic(&replay, 16);
        assert!(first.cycles > 5, "{first:?}");
        let digests = [1, 2, 3].map(|_| deterministic(&replay, 16).digest);
        assert!(digests.iter().all(|digest| *digest == first.digest), "{options}: {first:?} {digests:?}");
        // In a small heap there are other cycles.
        assert_ne!(deterministic(&replay, 6).digest, first.digest);
    }
}

#[test]
fn a_replay_keeps_the_recorded_pace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slow.trace");
    let (heap, recording) = recorded(16, &path);
    let mut mutator = heap.mutator();
    for _ in 0..6 {
        mutator.scope(|scope| scope.alloc(&[], b"x").map(|_| ())).unwrap();
        std::thread::sleep(Duration::from_millis(40));
    }
    drop(mutator);
    ended(&heap, recording);
    let replay = Replay::open(&path).unwrap();
    let run = |pace| replay.run(&common::heap(16), &pace, &Nobody).unwrap().took;
    assert!(run(Pace::Recorded) >= Duration::from_millis(200));
    assert!(run(Pace::Free) < Duration::from_millis(150));
}

#[test]
fn a_heap_that_is_too_small_ends_the_replay_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = churn_trace(folder.path(), "threads=2");
    let heap = common::tight_heap(1);
    let replay = Replay::open(&path).unwrap();
    let error = replay.run(&heap, &Pace::Free, &Nobody).unwrap_err().to_string();
    assert!(error.contains("heap full"), "{error}");
}

#[test]
fn a_trace_is_a_workload() {
    let folder = tempfile::tempdir().unwrap();
    let path = churn_trace(folder.path(), "threads=2");
    let report = common::run(&format!("trace:{}", path.display())).unwrap();
    assert!(report.objects > 10_000 && report.threads == 2, "{report:?}");
    let missing = common::run("trace:/nowhere").unwrap_err().to_string();
    assert!(missing.contains("cannot read /nowhere"), "{missing}");
}
