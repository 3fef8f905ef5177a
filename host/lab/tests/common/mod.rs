//! A naive native strategy and a driver with a collector thread, for the tests of this crate.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gc_heap::{
    Cause, Change, Collector, CycleEnd, CycleInfo, CycleRequest, Fault, Graph, Heap, HeapConfig, Needs,
    Outcome, Pace, Strategy, StrategyIdentity, Verdict,
};
use gc_lab::{CollectFailed, Driver, Progress, WorkloadError, WorkloadReport, WorkloadSpec};

/// Marks what is reachable, one cell at a time, and proposes the rest.
pub(crate) struct MarkSweep {
    identity: StrategyIdentity,
    graph: Arc<Graph>,
    marks: Vec<u64>,
    work: Vec<u32>,
}

impl MarkSweep {
    pub(crate) fn new(heap: &Heap) -> MarkSweep {
        let identity =
            StrategyIdentity { name: "naive".into(), version: "0.0.0".into(), digest: "native".into() };
        MarkSweep { identity, graph: Arc::clone(heap.graph()), marks: Vec::new(), work: Vec::new() }
    }

    fn mark(&mut self, cell: u32) {
        let word = &mut self.marks[cell as usize / 64];
        if cell != 0 && *word & 1 << (cell % 64) == 0 {
            *word |= 1 << (cell % 64);
            self.work.push(cell);
        }
    }
}

impl Strategy for MarkSweep {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }
    fn needs(&self) -> Needs {
        Needs::default()
    }
    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        self.marks = vec![0; self.graph.capacity() as usize / 64];
        self.work.clear();
        Ok(())
    }
    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        cells.iter().for_each(|&cell| self.mark(cell));
        Ok(())
    }
    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }
    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }
    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        let before = self.work.len();
        cells.iter().for_each(|&cell| self.mark(cell));
        Ok(self.work.len() > before)
    }
    fn step(&mut self, budget: u32) -> Result<gc_heap::Progress, Fault> {
        for _ in 0..budget {
            let Some(cell) = self.work.pop() else { return Ok(gc_heap::Progress::Idle) };
            for slot in 0..4 {
                let next = self.graph.cells()[cell as usize * 4 + slot].load(Ordering::Relaxed);
                self.mark(next);
            }
        }
        Ok(gc_heap::Progress::More)
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(Verdict::Survivors(std::mem::take(&mut self.marks)))
    }
    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

/// Condemns what was retired, once no scope can hold it, and nothing else.
pub(crate) struct RetiredOnly {
    identity: StrategyIdentity,
    safe: u64,
    retired: Vec<(u32, u64)>,
}

impl RetiredOnly {
    pub(crate) fn new() -> RetiredOnly {
        let identity =
            StrategyIdentity { name: "retired".into(), version: "0.0.0".into(), digest: "native".into() };
        RetiredOnly { identity, safe: 0, retired: Vec::new() }
    }
}

impl Strategy for RetiredOnly {
    fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }
    fn needs(&self) -> Needs {
        Needs { retired: true, ..Needs::default() }
    }
    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.safe = cycle.safe_grace_epoch;
        self.retired.clear();
        Ok(())
    }
    fn roots(&mut self, _: &[u32]) -> Result<(), Fault> {
        Ok(())
    }
    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }
    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.retired.extend(cells.iter().copied().zip(grace_epochs.iter().copied()));
        Ok(())
    }
    fn shade(&mut self, _: &[u32]) -> Result<bool, Fault> {
        Ok(false)
    }
    fn step(&mut self, _: u32) -> Result<gc_heap::Progress, Fault> {
        Ok(gc_heap::Progress::Idle)
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        let safe = self.retired.iter().filter(|&&(_, grace)| grace < self.safe);
        Ok(Verdict::Condemned(safe.map(|&(cell, _)| cell).collect()))
    }
    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

/// A driver whose cycles run where they are asked for, and beside that all the time in a thread of their own.
pub(crate) struct Local {
    collector: Mutex<(Collector, Box<dyn Strategy + Send>)>,
    pub(crate) cycles: AtomicU64,
    pub(crate) condemned_beside: AtomicU64,
    pub(crate) stop: AtomicBool,
}

impl Local {
    pub(crate) fn new(heap: &Heap, strategy: impl Strategy + Send + 'static) -> Local {
        Local {
            collector: Mutex::new((Collector::new(heap), Box::new(strategy))),
            cycles: AtomicU64::new(0),
            condemned_beside: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn cycle(&self) -> u64 {
        let (collector, strategy) = &mut *self.collector.lock().unwrap();
        let report =
            collector.run(&CycleRequest::new(Cause::Request), strategy.as_mut(), None, &mut |_| Pace::Go);
        assert!(matches!(report.end, CycleEnd::Settled), "{:?}", report.end);
        self.cycles.fetch_add(1, Ordering::Relaxed);
        report.condemned_objects
    }
}

impl Driver for Local {
    fn collect(&self) -> Result<u64, CollectFailed> {
        Ok(self.cycle())
    }
    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn progress(&self, _: Progress) {}
}

/// Runs a workload with a naive collector and cycles all the time.
pub(crate) fn run_in(heap: &Heap, workload: &str) -> Result<(WorkloadReport, Local), WorkloadError> {
    run_with(heap, workload, MarkSweep::new(heap))
}

/// The same with another strategy.
pub(crate) fn run_with(
    heap: &Heap,
    workload: &str,
    strategy: impl Strategy + Send + 'static,
) -> Result<(WorkloadReport, Local), WorkloadError> {
    let spec: WorkloadSpec = workload.parse().unwrap();
    let driver = Local::new(heap, strategy);
    let over = AtomicBool::new(false);
    let report = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                driver.condemned_beside.fetch_add(driver.cycle(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let report = spec.run(heap, &driver);
        over.store(true, Ordering::Relaxed);
        report
    });
    Ok((report?, driver))
}

pub(crate) fn heap(mebibytes: u64) -> Heap {
    Heap::new(HeapConfig::with_limit(mebibytes << 20)).unwrap()
}

pub(crate) fn run(workload: &str) -> Result<WorkloadReport, WorkloadError> {
    run_in(&heap(64), workload).map(|(report, _)| report)
}

/// A heap that says soon that it is full.
pub(crate) fn tight_heap(mebibytes: u64) -> Heap {
    let limits = HeapConfig::with_limit(mebibytes << 20);
    Heap::new(HeapConfig { full_wait: Duration::from_millis(20), ..limits }).unwrap()
}

/// Runs a workload, asks it to stop after some milliseconds, and says how long it went on.
pub(crate) fn stopped_after(heap: &Heap, workload: &str, wait_ms: u64) -> Duration {
    let driver = Local::new(heap, MarkSweep::new(heap));
    let spec: WorkloadSpec = workload.parse().unwrap();
    std::thread::scope(|threads| {
        let worker = threads.spawn(|| spec.run(heap, &driver));
        std::thread::sleep(Duration::from_millis(wait_ms));
        driver.stop.store(true, Ordering::Relaxed);
        let asked = std::time::Instant::now();
        let report = worker.join().unwrap().unwrap();
        assert!(report.stopped, "{workload} had ended before it was asked to stop");
        asked.elapsed()
    })
}

/// A workload gets through in twice the bytes that it is said to keep alive at most, and a megabyte for garbage
/// and pools; and it does not in a third of them.
pub(crate) fn fits(workload: &str, live_bytes: u64) {
    let heap = |bytes, full_wait| {
        let limits = HeapConfig::with_limit(bytes);
        Heap::new(HeapConfig { full_wait, ..limits }).unwrap()
    };
    // The naive strategy takes its time.
    if let Err(error) = run_in(&heap(2 * live_bytes + (1 << 20), Duration::from_secs(20)), workload) {
        panic!("{workload} keeps {live_bytes} bytes alive, it says, but: {error}");
    }
    let tight = heap((live_bytes / 3).max(1 << 20), Duration::from_millis(300));
    assert!(run_in(&tight, workload).is_err(), "{workload} needs less than a third of {live_bytes} bytes");
}
