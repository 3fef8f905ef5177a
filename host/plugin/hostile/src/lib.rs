//! A strategy that misbehaves in every way that the tests of the plugin host know of.
//!
//! Which way stands in `MODE`, a static of fixed length. The tests compile this crate once and write the mode into the bytes of the component, so that
//! every mode is a component of its own, from its first call on. In the mode `honest` it is a correct, simple whole-heap marker.
//!
//! Only its WebAssembly build has contents.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "generated bindings; nothing outside sees this crate")]
#![allow(
    unsafe_op_in_unsafe_fn,
    unreachable_pub,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "this crate exists to do what must not be done"
)]

#[cfg(feature = "other-world")]
mod other_world;
#[cfg(not(any(feature = "other-world", feature = "contract-0-1-0")))]
mod reach;
#[cfg(not(feature = "other-world"))]
mod strategy;
#[cfg(not(feature = "other-world"))]
mod window;
