//! From loaded code to an instance that collects one heap: configure, reserve, map.
//!
//! A strategy gives a range of its own memory away for the window. What it says is not believed: the range must be aligned, lie inside memory, and
//! consist only of what memory grew by during the call, so that nothing that the strategy uses can lie in it. Even a range that its own
//! allocator uses as well would hurt nobody but itself: the mapping is a private copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use gc_heap::{Fault, Graph, PlaneLayout};

use crate::bindings::{Columns, types};
use crate::description::{OptionValue, shown};
use crate::error::PluginError;
use crate::limits::{self, WASM_PAGE, WINDOW_ALIGN};
use crate::loader::{Exports, LoadedStrategy};
use crate::session::Session;
use crate::strategy::WasmStrategy;
use crate::window::{GuestMemory, Window};

/// How a strategy is to read the graph.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Through a window if it exports one, if the heap fits into its addresses and if the kernel allows it; else in batches.
    #[default]
    Auto,
    /// Through a window, or not at all.
    Window,
    /// In batches, whatever it exports.
    Portable,
}

impl LoadedStrategy {
    /// Makes an instance in a store of its own, configures it for the heap, and maps the graph into it where `access` says so.
    ///
    /// Options that are not set have their declared defaults. The instance is to be called from one thread at a time with 1 MiB of free stack. Costs
    /// well under a millisecond; the strategy's own preparation comes on top.
    ///
    /// # Errors
    ///
    /// [`PluginError::UnknownOption`], [`PluginError::OptionType`], [`PluginError::NoWindow`], [`PluginError::WindowRefused`], and
    /// [`PluginError::Faulted`] for whatever the strategy does wrong on the way. Nothing is left over then.
    pub fn attach(
        self: &Arc<Self>,
        graph: &Arc<Graph>,
        options: &BTreeMap<String, OptionValue>,
        access: Access,
    ) -> Result<WasmStrategy, PluginError> {
        let options = self.description().settle(options)?;
        let strategy = &self.description().name;
        let faulted = |fault| PluginError::Faulted { strategy: strategy.clone(), fault };
        let answer_bytes = limits::answer_bytes(graph.capacity());
        let mut session = Session::new(&self.host, strategy, Some(graph), answer_bytes).map_err(faulted)?;
        let (instance, memories) = session.instantiate(&self.code.instance).map_err(faulted)?;
        let exports = self
            .code
            .exports(session.store(), &instance)
            .map_err(|error| faulted(Fault::Error(format!("{error:#}"))))?;
        configure(&mut session, &exports, options, graph.capacity()).map_err(faulted)?;
        let window = match access {
            Access::Portable => None,
            Access::Auto | Access::Window => match attach_window(&mut session, &exports, &memories, graph) {
                Ok(window) => Some(window),
                Err(NoWindow::Unavailable(_)) if access == Access::Auto => None,
                Err(NoWindow::Unavailable(reason)) => {
                    return Err(PluginError::NoWindow { strategy: strategy.clone(), reason });
                }
                Err(NoWindow::Nonsense(reason)) => {
                    return Err(PluginError::WindowRefused { strategy: strategy.clone(), reason });
                }
                Err(NoWindow::Faulted(fault)) => return Err(faulted(fault)),
            },
        };
        Ok(WasmStrategy::new(Arc::clone(self), session, exports.strategy, memories, window, graph.capacity()))
    }
}

fn configure(
    session: &mut Session,
    exports: &Exports,
    options: Vec<(String, OptionValue)>,
    capacity: u32,
) -> Result<(), Fault> {
    let options: Vec<_> = options.into_iter().map(|(name, value)| (name, value.into())).collect();
    let shape = types::HeapShape { capacity };
    let answer =
        session.call("configure", |store| exports.strategy.call_configure(store, &options, shape))?;
    answer.map_err(|error| own_error(session.name(), "configure", error))
}

/// The fault behind an error that a strategy returned.
pub(crate) fn own_error(strategy: &str, function: &str, error: types::Error) -> Fault {
    let place = format!("{strategy} in `{function}`");
    match error {
        types::Error::InvalidOption(text) => Fault::Error(format!("{place}: invalid option: {}", read(text))),
        types::Error::OutOfMemory => {
            Fault::OutOfMemory(format!("{place}: it says that it ran out of memory"))
        }
        types::Error::Other(text) => Fault::Error(format!("{place}: {}", read(text))),
    }
}

/// A text that a strategy handed over. If it pointed into its window, the bytes may have changed between being found valid and being copied,
/// so they are looked at again, now that nobody else can change them.
fn read(text: String) -> String {
    shown(&String::from_utf8_lossy(text.as_bytes().to_vec().as_slice()), limits::SHOWN_BYTES)
}

/// Why there is no window.
enum NoWindow {
    /// There is no room, or the strategy or the system has none to give: the portable path will do.
    Unavailable(String),
    /// The strategy gave a range that is not its to give.
    Nonsense(String),
    /// It failed.
    Faulted(Fault),
}

fn attach_window(
    session: &mut Session,
    exports: &Exports,
    memories: &[Arc<GuestMemory>],
    graph: &Graph,
) -> Result<Window, NoWindow> {
    let unavailable = |reason: String| NoWindow::Unavailable(reason);
    let Some(guest) = &exports.window else { return Err(unavailable("it exports none".to_owned())) };
    let layout = graph.layout();
    let asked = limits::reserved_bytes(layout.bytes);
    let Ok(bytes) = u32::try_from(asked) else {
        return Err(unavailable(format!("{} MiB do not fit into 32-bit addresses", asked >> 20)));
    };

    let before: Vec<_> = memories.iter().map(|memory| memory.size()).collect();
    session.store().data_mut().limiter.allow_memory(bytes as usize);
    let address = session
        .call("window.reserve", |store| guest.call_reserve(store, bytes))
        .map_err(NoWindow::Faulted)?;
    if address == 0 {
        let within = session.store().data_mut().limiter.disallow_memory(bytes as usize);
        return Err(match within {
            true => unavailable("it says that it has no room".to_owned()),
            false => NoWindow::Nonsense(
                "`window.reserve` gave nothing, and memory for itself was taken".to_owned(),
            ),
        });
    }
    let grown =
        memories.iter().zip(before).map(|(memory, before)| (memory, before as u64..memory.size() as u64));
    let memory = memory_of(grown, u64::from(address), u64::from(bytes)).map_err(NoWindow::Nonsense)?;

    let offset = u64::from(address).next_multiple_of(WINDOW_ALIGN);
    let plane = graph.read_only_fd().map_err(|error| unavailable(error.to_string()))?;
    let window = memory
        .map(std::os::fd::AsFd::as_fd(&plane), layout.bytes, offset)
        .map_err(|error| unavailable(error.to_string()))?;
    session.store().data_mut().window = window.addresses();
    let columns = columns(&layout, offset);
    session
        .call("window.attached", |store| guest.call_attached(store, columns))
        .map_err(NoWindow::Faulted)?;
    Ok(window)
}

/// The memory in whose new part the range lies.
fn memory_of<M>(
    grown: impl Iterator<Item = (M, std::ops::Range<u64>)>,
    address: u64,
    bytes: u64,
) -> Result<M, String> {
    let range = format!("`window.reserve` gave {address:#x} for {bytes:#x} bytes");
    if !address.is_multiple_of(WASM_PAGE) {
        return Err(format!("{range}, which is no multiple of 65,536"));
    }
    let mut found = None;
    let mut reason = "which lies outside of its memory";
    for (memory, new) in grown {
        if address >= new.start && address + bytes <= new.end {
            if found.replace(memory).is_some() {
                reason = "which could lie in several memories";
                return Err(format!("{range}, {reason}"));
            }
        } else if address < new.start {
            reason = "which it had before: that may hold its own data";
        }
    }
    found.ok_or_else(|| format!("{range}, {reason}"))
}

fn columns(layout: &PlaneLayout, offset: u64) -> Columns {
    let at = |column: u64| u32::try_from(offset + column).expect("the window lies in 32-bit addresses");
    Columns {
        cells: at(layout.cells),
        allocated: at(layout.allocated),
        young: at(layout.young),
        stub: at(layout.stub),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(grown: &[(u64, u64)], address: u64, bytes: u64) -> Result<usize, String> {
        memory_of(grown.iter().map(|(from, to)| *from..*to).enumerate(), address, bytes)
    }

    const PAGE: u64 = WASM_PAGE;

    #[test]
    fn only_what_grew_may_be_given() {
        let grown = [(2 * PAGE, 6 * PAGE)];
        assert_eq!(found(&grown, 2 * PAGE, 4 * PAGE), Ok(0));
        assert!(found(&grown, 2 * PAGE + 4096, PAGE).unwrap_err().contains("no multiple"));
        assert!(found(&grown, PAGE, 2 * PAGE).unwrap_err().contains("had before"));
        assert!(found(&grown, 3 * PAGE, 4 * PAGE).unwrap_err().contains("outside"));
        assert!(found(&grown, u64::from(u32::MAX) / PAGE * PAGE, PAGE).unwrap_err().contains("outside"));
    }

    #[test]
    fn the_memory_that_grew_is_found_among_several() {
        assert_eq!(found(&[(8 * PAGE, 8 * PAGE), (2 * PAGE, 6 * PAGE)], 3 * PAGE, PAGE), Ok(1));
        assert!(
            found(&[(2 * PAGE, 6 * PAGE), (2 * PAGE, 6 * PAGE)], 3 * PAGE, PAGE)
                .unwrap_err()
                .contains("several")
        );
    }
}
