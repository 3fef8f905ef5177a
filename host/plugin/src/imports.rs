//! What the host offers to a strategy: the live graph in batches, a log, and a place to tell what was reached on other nodes. See `wit/heap.wit`,
//! `wit/telemetry.wit` and `wit/cluster.wit`.
//!
//! Lists of the guest are taken as positions and looked at before they are read: one that lies in the window would change while it is read. A text can
//! only be looked at when it was decoded: see `window.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use gc_heap::Graph;
use wasmtime::component::{Linker, WasmList, WasmStr};
use wasmtime::{StoreContextMut, bail};

use crate::bindings::{heap, telemetry};
use crate::contract::interface;
use crate::fault::Nonsense;
use crate::limits;
use crate::store::State;

/// Defines the interfaces `heap`, `telemetry` and `cluster`, for every strategy.
pub(crate) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut heap = linker.instance(&interface("heap"))?;
    heap.func_wrap("read-cells", |store, (cells,): (WasmList<u32>,)| Ok((read_cells(store, &cells)?,)))?;
    heap.func_wrap("read-range", |store, (first, count)| Ok((read_range(store, first, count)?,)))?;
    heap.func_wrap("read-bitmap", |store, (which, first, count)| {
        Ok((read_bitmap(store, which, first, count)?,))
    })?;
    linker.instance(&interface("telemetry"))?.func_wrap("log", write)?;
    linker.instance(&interface("cluster"))?.func_wrap("reached", reached)
}

fn read_cells(mut store: StoreContextMut<'_, State>, cells: &WasmList<u32>) -> wasmtime::Result<Vec<u32>> {
    let graph = graph_of(&mut store)?;
    let cells = cells.as_le_slice(&store);
    if store.data().in_window(cells) {
        bail!("heap.read-cells was given a list that lies in the window");
    }
    check_count(cells.len())?;
    let (plane, capacity) = (graph.cells(), graph.capacity());
    let mut references = Vec::with_capacity(cells.len() * 4);
    for cell in cells.iter().map(|cell| u32::from_le(*cell)) {
        if cell >= capacity {
            bail!("heap.read-cells was asked for cell {cell}, the capacity is {capacity}");
        }
        let at = cell as usize * 4;
        references.extend(plane[at..at + 4].iter().map(|slot| slot.load(Acquire)));
    }
    Ok(references)
}

fn read_range(mut store: StoreContextMut<'_, State>, first: u32, count: u32) -> wasmtime::Result<Vec<u32>> {
    let graph = graph_of(&mut store)?;
    check_count(count as usize)?;
    let end = first.saturating_add(count).min(graph.capacity());
    let range = first.min(end) as usize * 4..end as usize * 4;
    Ok(graph.cells()[range].iter().map(|slot| slot.load(Acquire)).collect())
}

fn read_bitmap(
    mut store: StoreContextMut<'_, State>,
    which: heap::Bitmap,
    first: u32,
    count: u32,
) -> wasmtime::Result<Vec<u64>> {
    let graph = graph_of(&mut store)?;
    check_count(count as usize)?;
    let words = match which {
        heap::Bitmap::Allocated => graph.allocated(),
        heap::Bitmap::Young => graph.young(),
        heap::Bitmap::Stub => graph.stub(),
    };
    let end = (first as usize).saturating_add(count as usize).min(words.len());
    Ok(words[(first as usize).min(end)..end].iter().map(|word| word.load(Acquire)).collect())
}

fn write(
    mut store: StoreContextMut<'_, State>,
    (level, message): (telemetry::Level, WasmStr),
) -> wasmtime::Result<()> {
    store.data_mut().calls += 1;
    // The text borrows the store, and so does the log: the text is cut before it is copied.
    let text = message.to_str(&store)?;
    if store.data().in_window(text.as_bytes()) {
        bail!("telemetry.log was given a text that lies in the window");
    }
    let mut end = text.len().min(limits::LOG_BYTES + 1);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    let text = text[..end].to_owned();
    store.data_mut().log.write(level, &text);
    Ok(())
}

/// Puts down what the strategy has reached until the heap takes it. Whether each is a stub is for the heap to say.
fn reached(mut store: StoreContextMut<'_, State>, (cells,): (WasmList<u32>,)) -> wasmtime::Result<()> {
    store.data_mut().calls += 1;
    let cells = cells.as_le_slice(&store);
    if store.data().in_window(cells) {
        bail!("cluster.reached was given a list that lies in the window");
    }
    store.data().reached.check(cells.len()).map_err(Nonsense)?;
    let cells = cells.iter().map(|cell| u32::from_le(*cell)).collect();
    Ok(store.data_mut().reached.put(cells).map_err(Nonsense)?)
}

fn graph_of(store: &mut StoreContextMut<'_, State>) -> wasmtime::Result<Arc<Graph>> {
    store.data_mut().calls += 1;
    match &store.data().graph {
        Some(graph) => Ok(Arc::clone(graph)),
        None => bail!("the heap was read by `describe`, which has none: read it after `configure`"),
    }
}

fn check_count(count: usize) -> wasmtime::Result<()> {
    if count > limits::READ_MAX {
        bail!("a read of {count} cells or words, at most {} are possible", limits::READ_MAX);
    }
    Ok(())
}
