//! What loading, attaching and calling a strategy cost, and what interrupt ticks cost a marking loop.
//!
//! A plain program and not a statistical bench: it prints medians of many runs, one line each. `cargo bench -p gc-plugin --bench calls`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use gc_heap::{Cause, Collector, CycleInfo, CycleRequest, Heap, HeapConfig, Pace, Strategy};
use gc_plugin::{Access, Loader, LoaderConfig, WasmStrategy};

fn main() {
    // `cargo test --benches` runs this too: one quick pass then.
    let quick = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if quick { 3 } else { 201 };
    let bytes = gc_wasm_build::hostile(Path::new(env!("CARGO_TARGET_TMPDIR")), "honest");
    let folder = tempfile::tempdir().expect("a folder for the cache");
    let cached = LoaderConfig { cache_dir: Some(folder.path().join("code")), ..LoaderConfig::default() };

    let cold = Loader::new(LoaderConfig::default()).expect("an engine");
    report("start an engine and its ticker", rounds, || drop(Loader::new(LoaderConfig::default())));
    report("load: check, compile, describe", rounds.min(11), || {
        black_box(cold.load(bytes.clone(), "bench").expect("a strategy"));
    });
    let loader = Loader::new(cached).expect("an engine");
    loader.load(bytes.clone(), "bench").expect("a strategy");
    report("load: check, from the cache, describe", rounds, || {
        black_box(loader.load(bytes.clone(), "bench").expect("a strategy"));
    });

    let heap = list_heap(if quick { 1 << 16 } else { 10_000_000 });
    let loaded = loader.load(bytes.clone(), "bench").expect("a strategy");
    for access in [Access::Portable, Access::Window] {
        report(&format!("attach and drop, {access:?}"), rounds, || {
            black_box(loaded.attach(heap.graph(), &BTreeMap::new(), access).expect("attached"));
        });
    }
    report("from cached code to serving, window", rounds, || {
        let loaded = loader.load(bytes.clone(), "bench").expect("a strategy");
        let mut strategy = loaded.attach(heap.graph(), &BTreeMap::new(), Access::Window).expect("attached");
        strategy.begin(&info()).expect("begun");
    });
    calls(rounds, loaded.attach(heap.graph(), &BTreeMap::new(), Access::Window).expect("attached"));
    cycles(
        &heap,
        if quick { 1 } else { 3 },
        loaded.attach(heap.graph(), &BTreeMap::new(), Access::Window).expect("attached"),
    );
}

fn calls(rounds: u32, mut strategy: WasmStrategy) {
    const BATCH: u32 = 1000;
    strategy.begin(&info()).expect("begun");
    let mut call = |what: &str, call: &mut dyn FnMut(&mut WasmStrategy)| {
        let samples = (0..rounds).map(|_| {
            let begun = Instant::now();
            (0..BATCH).for_each(|_| call(&mut strategy));
            begun.elapsed() / BATCH
        });
        println!("{what:<44} {:>12?}", median(samples.collect()));
    };
    call("call: step(0)", &mut |strategy| {
        black_box(strategy.step(0).expect("served"));
    });
    call("call: shade, 16 cells", &mut |strategy| {
        black_box(strategy.shade(&[0; 16]).expect("served"));
    });
    call("call: shade, 4096 cells", &mut |strategy| {
        black_box(strategy.shade(&[0; 4096]).expect("served"));
    });
}

fn cycles(heap: &Heap, rounds: u32, mut strategy: WasmStrategy) {
    let mut collector = Collector::new(heap);
    for _ in 0..rounds {
        let report =
            collector.run(&CycleRequest::new(Cause::Request), &mut strategy, None, &mut |_| Pace::Go);
        println!(
            "cycle: {:?} {} live objects, mark {:?}, total {:?}",
            report.end,
            report.live_objects,
            Duration::from_nanos(report.mark_ns),
            Duration::from_nanos(report.total_ns)
        );
    }
    let begun = Instant::now();
    let inspected = strategy.inspect();
    println!("{:<44} {:>12?} {inspected:?} {:?}", "inspect the window", begun.elapsed(), strategy.pages());
}

/// A heap of so many cells, half of them in lists.
fn list_heap(cells: u32) -> Heap {
    let bytes = u64::from(cells) * 40;
    let heap = Heap::new(HeapConfig { cell_capacity: Some(cells), ..HeapConfig::with_limit(bytes) })
        .expect("a heap");
    heap.mutator().scope(|scope| {
        for list in 0..cells / 2 / 1000 {
            scope.scope(|scope| {
                let head = (0..1000).fold(None, |tail, _| Some(scope.alloc(&[tail], &[]).expect("room")));
                scope.set_root(&list.to_string(), head);
            });
        }
    });
    heap
}

fn info() -> CycleInfo {
    let cause = Cause::Request;
    CycleInfo { number: 1, cause, rebuild: true, allocated_cells: 0, goal_cells: 0, safe_grace_epoch: 0 }
}

fn report(what: &str, rounds: u32, mut work: impl FnMut()) {
    let samples = (0..rounds).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    println!("{what:<44} {:>12?}", median(samples.collect()));
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}
