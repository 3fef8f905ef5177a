//! Nodes with real heaps, the real protocol and real strategies in one simulated world, from one seed.
//!
//! Everything that a node consists of is the real thing: [`gc_heap::Heap`] with its collector, [`gc_remote::Member`] with the protocol, the built-in strategies as native code
//! or as WebAssembly. Simulated are time, clocks, the network, processes that stop and die, and the coordinator (`gc_surroundings`). One thread runs at any time, and all chance
//! comes from the seed, so a run can be repeated exactly: `cargo run -p gc-sim -- --seed 7`.
//!
//! [`scaling`] asks another question of the same parts: what a marking cycle costs as the cluster grows.
//!
//! Modules in reading order; each imports only what stands above it. [`world`] says what is asserted.

#![forbid(unsafe_code)]

mod native;
pub mod strategies;
#[cfg(feature = "wasm")]
mod wasm;

pub mod settings;

mod collecting;
mod oracle;
mod site;

pub mod shrink;
pub mod world;

pub mod scaling;

pub use settings::{Settings, Stats};
pub use strategies::Kind;
pub use world::World;
