//! The peer graph in our heap, and our strategies on it.

use std::collections::BTreeMap;
use std::error::Error;

use gc_heap::{Collector, Heap, HeapConfig, Quarantine, cell_bytes};
use gc_plugin::{Access, Loader, WasmStrategy};

use crate::graph::{Graph, ROOTS};

/// A configuration with room for the graph, and for `spare` objects more.
pub fn heap_config(graph: Graph, spare: u32) -> HeapConfig {
    let cells = graph.objects() + ROOTS + spare;
    let payloads = u64::from(spare) * 64;
    HeapConfig {
        cell_capacity: Some(cells + 8192),
        quarantine: Quarantine::Off,
        ..HeapConfig::with_limit(cell_bytes(u64::from(cells)) + payloads + (256 << 20))
    }
}

/// Builds the graph. Its roots are the slots of one object under the name `roots`.
///
/// # Errors
///
/// When the heap is full.
pub fn build(graph: Graph, heap: &Heap) -> Result<(), Box<dyn Error>> {
    heap.mutator().scope(|scope| {
        let objects: Vec<_> =
            (0..graph.objects()).map(|_| scope.alloc(&[], &[])).collect::<Result<_, _>>()?;
        for (from, &object) in (0..).zip(&objects) {
            for (slot, target) in (0..).zip(graph.references(from)) {
                if let Some(target) = target {
                    scope.store(object, slot, Some(objects[target as usize]))?;
                }
            }
        }
        let roots: Vec<_> = graph.roots().map(|root| Some(objects[root as usize])).collect();
        scope.set_root("roots", Some(scope.alloc(&roots, &[])?));
        Ok(())
    })
}

/// Lets go of the graph and collects it, so that its memory is there already when it is built again.
///
/// # Errors
///
/// When the strategy fails.
pub fn drop_graph(
    heap: &Heap,
    collector: &mut Collector,
    strategy: &mut WasmStrategy,
) -> Result<(), Box<dyn Error>> {
    heap.mutator().scope(|scope| scope.set_root("roots", None));
    let request = gc_heap::CycleRequest::new(gc_heap::Cause::Request);
    let report = collector.run(&request, strategy, None, &mut |_| gc_heap::Pace::Go);
    match report.end {
        gc_heap::CycleEnd::Settled => Ok(()),
        end => Err(format!("the heap could not be emptied: {end:?}").into()),
    }
}

/// A built-in strategy, attached to a heap.
///
/// # Errors
///
/// When there is no such strategy, or it cannot be loaded.
pub fn attach(name: &str, heap: &Heap, access: Access) -> Result<(Loader, WasmStrategy), Box<dyn Error>> {
    let builtin = gc_builtin::find(name).ok_or_else(|| format!("no built-in strategy is called '{name}'"))?;
    let loader = Loader::new(gc_plugin::LoaderConfig::default())?;
    let loaded = loader.load(builtin.bytes.to_vec(), name)?;
    let strategy = loaded.attach(heap.graph(), &BTreeMap::new(), access)?;
    Ok((loader, strategy))
}
