//! The built-in strategies as WebAssembly components, compiled once for all runs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gc_heap::{Heap, Strategy};
use gc_plugin::{Access, LoadedStrategy, Loader, LoaderConfig};

use crate::strategies::Kind;

static LOADED: LazyLock<BTreeMap<&'static str, Arc<LoadedStrategy>>> = LazyLock::new(|| {
    let loader = Loader::new(LoaderConfig::default()).unwrap_or_else(|error| panic!("{error}"));
    let load = |name| {
        let builtin = gc_builtin::find(name).unwrap_or_else(|| panic!("{name} is built in"));
        let loaded = loader.load(builtin.bytes.to_vec(), name);
        (name, loaded.unwrap_or_else(|error| panic!("{error}")))
    };
    ["tracing", "mark-sweep", "refcount"].into_iter().map(load).collect()
});

pub(crate) fn make(kind: Kind, heap: &Heap) -> Box<dyn Strategy> {
    let name = match kind {
        Kind::Tracing | Kind::Forgetful => "tracing",
        Kind::MarkSweep => "mark-sweep",
        Kind::Refcount => "refcount",
    };
    let attached = LOADED[name].attach(heap.graph(), &BTreeMap::new(), Access::Window);
    Box::new(attached.unwrap_or_else(|error| panic!("{error}")))
}
