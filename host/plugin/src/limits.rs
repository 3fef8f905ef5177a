//! Every bound of this crate, and how they hang together.

use std::time::Duration;

/// What one instance of a strategy may use. Part of [`crate::LoaderConfig`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, all memories together, beside the window. Default 1 GiB. Linear memory ends at 4 GiB, so a window larger than
    /// what this leaves free is still mapped: a strategy that then runs out of addresses meets a refused `memory.grow`.
    pub memory_bytes: u64,
    /// Elements of all tables together. Default 100,000.
    pub table_elements: usize,
    /// The longest that one call may take. Default 1 s. Exact to two ticks of a hundredth of it, at least 1 ms, at most 10 ms each.
    pub deadline: Duration,
    /// The largest component in bytes. Default 32 MiB. Compilation cannot be interrupted, so this bounds it: about a second per MiB and core.
    pub component_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 1 << 30,
            table_elements: 100_000,
            deadline: Duration::from_secs(1),
            component_bytes: 32 << 20,
        }
    }
}

/// Core instances, memories and tables of one component: a component has one of its own and a few that the linker of the toolchain adds.
pub(crate) const INSTANCES: usize = 64;
pub(crate) const MEMORIES: usize = 8;
pub(crate) const TABLES: usize = 32;

/// Stack of a strategy. The thread that calls it needs about twice that.
pub(crate) const STACK_BYTES: usize = 512 << 10;

/// Bytes that `describe` may answer, and what a message may have beside a verdict.
pub(crate) const MESSAGE_BYTES: usize = 1 << 20;

/// Bytes that one call of an attached strategy may hand over: a list of every cell, and a message.
pub(crate) fn answer_bytes(capacity: u32) -> usize {
    capacity as usize * 4 + MESSAGE_BYTES
}

/// Cells or words that one read of the portable path may ask for. Stands in `wit/heap.wit`.
pub(crate) const READ_MAX: usize = 65_536;

/// Cells that one call of `cluster.reached` may tell. Stands in `wit/cluster.wit`, as does that a cycle has room for as many as the heap has cells.
pub(crate) const REACHED_MAX: usize = 65_536;

/// Lines per cycle and bytes per line of `telemetry.log`. Stand in `wit/telemetry.wit`.
pub(crate) const LOG_LINES: usize = 100;
pub(crate) const LOG_BYTES: usize = 1024;

/// Bytes of a message of a strategy that are shown to people.
pub(crate) const SHOWN_BYTES: usize = 512;

/// Bounds of a description.
pub(crate) const NAME_BYTES: usize = 64;
pub(crate) const SUMMARY_BYTES: usize = 1024;
pub(crate) const TEXT_BYTES: usize = 4096;
pub(crate) const NEEDS: usize = 16;
pub(crate) const OPTIONS: usize = 64;

/// Files in the cache of compiled code; the oldest go first.
pub(crate) const CACHED_FILES: usize = 64;

/// A file of the cache that has been half written for so long is nobody's.
pub(crate) const ABANDONED: Duration = Duration::from_secs(3600);

/// A window begins at a multiple of this in linear memory, so that huge pages of the plane can be mapped as such; so much more is reserved.
pub(crate) const WINDOW_ALIGN: u64 = 2 << 20;

/// What a strategy is asked to reserve for a window of so many bytes.
pub(crate) fn reserved_bytes(window_bytes: u64) -> u64 {
    (window_bytes + WINDOW_ALIGN).next_multiple_of(WASM_PAGE)
}

/// The page of WebAssembly.
pub(crate) const WASM_PAGE: u64 = 64 << 10;
