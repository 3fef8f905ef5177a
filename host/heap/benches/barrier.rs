//! What a store costs: no cycle running, first store to a cell in a log epoch, later stores; each over a plain atomic store to the same slot.
//!
//! `cargo bench -p gc-heap --bench barrier [-- --json]`. Rounds of the four are interleaved; medians of the differences are printed.

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gc_heap::{
    Cause, Change, Collector, CycleInfo, CycleRequest, Fault, Heap, HeapConfig, Local, Needs, Outcome, Pace,
    Progress, Scope, Strategy, StrategyIdentity, Verdict,
};

/// Objects that are stored to: 1 MiB of cells, so that the caches of any machine hold them and their stamps.
const OBJECTS: usize = 64 * 1024;
const ROUNDS: usize = 41;

/// Keeps everything; asks for one step, in which the pace callback measures.
struct Hold(StrategyIdentity);

impl Strategy for Hold {
    fn identity(&self) -> &StrategyIdentity {
        &self.0
    }
    fn needs(&self) -> Needs {
        Needs::default()
    }
    fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
        Ok(())
    }
    fn roots(&mut self, _: &[u32]) -> Result<(), Fault> {
        Ok(())
    }
    fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
        Ok(())
    }
    fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
        Ok(())
    }
    fn shade(&mut self, _: &[u32]) -> Result<bool, Fault> {
        Ok(false)
    }
    fn step(&mut self, _: u32) -> Result<Progress, Fault> {
        Ok(Progress::Idle)
    }
    fn finish(&mut self) -> Result<Verdict, Fault> {
        Ok(Verdict::KeepAll)
    }
    fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
        Ok(())
    }
}

fn per_store(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64 / OBJECTS as f64
}

fn stores(scope: &Scope<'_>, objects: &[Local<'_>]) {
    let value = Some(objects[0]);
    for &object in objects {
        scope.store(black_box(object), 0, value).expect("slot 0 is there");
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() {
    let heap = Heap::new(HeapConfig::with_limit(64 << 20)).expect("64 MiB can be had");
    let mut collector = Collector::new(&heap);
    let mut hold =
        Hold(StrategyIdentity { name: "hold".into(), version: "1".into(), digest: "native".into() });
    let (mut idle, mut first, mut later) = (Vec::new(), Vec::new(), Vec::new());
    heap.mutator().scope(|scope| {
        let objects: Vec<_> = (0..OBJECTS).map(|_| scope.alloc(&[], &[]).expect("there is room")).collect();
        let cells: Vec<usize> =
            objects.iter().map(|&object| scope.handle(object).cell as usize * 4).collect();
        let slots = heap.graph().cells();
        let plain = || {
            per_store(|| {
                for &cell in &cells {
                    slots[black_box(cell)].store(1, Ordering::Release);
                }
            })
        };
        for _ in 0..ROUNDS {
            let base = plain();
            idle.push(per_store(|| stores(scope, &objects)) - base);
            let mut measured = false;
            collector.run(&CycleRequest::new(Cause::Request), &mut hold, None, &mut |_| {
                if !std::mem::replace(&mut measured, true) {
                    let base = plain();
                    first.push(per_store(|| stores(scope, &objects)) - base);
                    let base = plain();
                    later.push(per_store(|| stores(scope, &objects)) - base);
                }
                Pace::Go
            });
        }
    });
    let json = std::env::args().any(|argument| argument == "--json");
    let rows = [
        ("no cycle", &mut idle, 1.5),
        ("first in a log epoch", &mut first, 15.0),
        ("later", &mut later, 2.5),
    ];
    for (name, samples, goal) in rows {
        let value = median(samples);
        if json {
            println!("{{\"name\":\"barrier: {name}\",\"value\":{value:.3},\"unit\":\"ns\",\"goal\":{goal}}}");
        } else {
            println!("store, {name:<22} {value:6.2} ns over a plain atomic store (goal {goal})");
        }
    }
}
