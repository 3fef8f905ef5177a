//! The one door to the operating system: a [`Mapping`] is a zeroed range of memory that this process owns.
//!
//! `linux.rs` asks the kernel; `simulated.rs` takes the memory from the global allocator, so that Miri can watch every access. Both have the same face.

#[cfg(not(miri))]
mod linux;
#[cfg(miri)]
mod simulated;

#[cfg(not(miri))]
pub(crate) use linux::Mapping;
#[cfg(not(miri))]
pub use linux::machine_bytes;
#[cfg(miri)]
pub(crate) use simulated::Mapping;
#[cfg(miri)]
pub use simulated::machine_bytes;

/// The unit in which memory is given back to the kernel.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The unit of huge pages: mappings at least this large are aligned to it.
pub(crate) const HUGE_PAGE_BYTES: u64 = 2 << 20;
