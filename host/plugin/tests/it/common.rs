//! The hostile component, heaps to set it on, and how a cycle is run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) use gc_wasm_build::in_mode;

use gc_heap::{
    Cause, Collector, CycleEnd, CycleInfo, CycleReport, CycleRequest, Fault, Heap, HeapConfig, Pace,
    Quarantine,
};
use gc_plugin::{
    Access, Limits, LoadedStrategy, Loader, LoaderConfig, OptionValue, PluginError, WasmStrategy,
};

pub(crate) const DEADLINE: Duration = Duration::from_millis(400);

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// Compiles a variant of the hostile crate.
pub(crate) fn compiled(features: &[&str], rustflags: &[&str]) -> Vec<u8> {
    gc_wasm_build::compile_hostile(Path::new(TMP), features, rustflags)
}

/// The hostile component in a mode.
pub(crate) fn hostile(mode: &str) -> Vec<u8> {
    gc_wasm_build::hostile(Path::new(TMP), mode)
}

pub(crate) fn config() -> LoaderConfig {
    let limits = Limits { memory_bytes: 32 << 20, deadline: DEADLINE, ..Limits::default() };
    LoaderConfig { limits, ..LoaderConfig::default() }
}

/// One loader for most tests: a process has room for many strategies.
pub(crate) fn loader() -> &'static Loader {
    static LOADER: OnceLock<Loader> = OnceLock::new();
    LOADER.get_or_init(|| Loader::new(config()).unwrap())
}

pub(crate) fn load(mode: &str) -> Result<Arc<LoadedStrategy>, PluginError> {
    loader().load(hostile(mode), &format!("{mode}.wasm"))
}

pub(crate) fn attach(mode: &str, heap: &Heap, access: Access) -> Result<WasmStrategy, PluginError> {
    load(mode)?.attach(heap.graph(), &BTreeMap::new(), access)
}

/// Attached with a window.
pub(crate) fn windowed(mode: &str, heap: &Heap) -> WasmStrategy {
    attach(mode, heap, Access::Window).unwrap_or_else(|error| panic!("{mode}: {error}"))
}

pub(crate) fn options(set: &[(&str, OptionValue)]) -> BTreeMap<String, OptionValue> {
    set.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// A heap of 65,536 cells whose root `list` holds a list of 1,000 objects, with as many on no path from it.
pub(crate) fn heap() -> Heap {
    let config = HeapConfig {
        cell_capacity: Some(1 << 16),
        quarantine: Quarantine::Off,
        share_proofs: false,
        ..HeapConfig::with_limit(16 << 20)
    };
    let heap = Heap::new(config).unwrap();
    heap.mutator().scope(|scope| {
        for name in ["garbage", "list"] {
            let mut list = None;
            for number in 0..1000_u32 {
                list = Some(scope.alloc(&[list, None], &number.to_le_bytes()).unwrap());
            }
            scope.set_root(name, list);
        }
        scope.set_root("garbage", None);
    });
    heap
}

/// Whether the list of [`heap`] is whole.
pub(crate) fn intact(heap: &Heap) -> bool {
    heap.mutator().scope(|scope| {
        let (mut next, mut payload) = (scope.root("list"), Vec::new());
        for number in (0..1000_u32).rev() {
            let Some(object) = next else { return false };
            payload.clear();
            scope.read(object, &mut payload);
            if payload != number.to_le_bytes() {
                return false;
            }
            next = scope.load(object, 0).unwrap();
        }
        next.is_none()
    })
}

pub(crate) fn cycle(heap: &Heap, strategy: &mut WasmStrategy) -> CycleReport {
    let request = CycleRequest::new(Cause::Request);
    Collector::new(heap).run(&request, strategy, None, &mut |_| Pace::Go)
}

/// The fault that ends a cycle of a strategy on a heap, which must survive it.
pub(crate) fn fault(mode: &str) -> Fault {
    let heap = heap();
    let mut strategy = windowed(mode, &heap);
    let end = cycle(&heap, &mut strategy).end;
    assert!(intact(&heap), "{mode} harmed the heap");
    match end {
        CycleEnd::Faulted(fault) => fault,
        other => panic!("{mode} ended with {other:?}"),
    }
}

pub(crate) fn info() -> CycleInfo {
    CycleInfo {
        number: 1,
        cause: Cause::Request,
        rebuild: true,
        allocated_cells: 0,
        goal_cells: 0,
        safe_grace_epoch: 0,
    }
}
