//! Arena, columns, slabs and elastic pools: the memory of a node, and all unsafe code that it needs.
//!
//! Everything handed out by this crate is zeroed, mapped, and reached through atomics only, so that a bug in another crate can read a wrong
//! value but can never be undefined behaviour and never be a segmentation fault.
//!
//! In reading order:
//!
//! * [`MemoryError`]: what can go wrong, and what to do then;
//! * [`fence`]: a fence that costs nothing on the hot side and a system call on the rare side;
//! * [`Region`] and [`Column`]: a mapped range, and typed views of it; shared ones can be mapped a second time by somebody else;
//! * [`Elastic`]: how much a pool keeps committed, as a pure decision;
//! * [`Arena`]: one reserved range of addresses, handed out in slabs;
//! * [`Slabs`], [`Cache`], [`Block`]: blocks of any size, allocated and freed by many threads.

pub mod clock;
mod error;
pub mod fence;
mod os;
mod region;
mod sync;

mod policy;

mod arena;
mod cache;
mod classes;
mod pool;
mod set;
mod slabs;
mod stats;
mod table;

pub use arena::{Arena, ArenaConfig, Span};
pub use cache::{Block, Cache};
pub use error::MemoryError;
pub use os::machine_bytes;
pub use policy::{Elastic, ElasticConfig};
pub use region::{Column, Element, Region};
pub use slabs::{SlabConfig, Slabs};
pub use stats::{ClassStats, SlabStats};
