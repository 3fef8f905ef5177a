//! What the contract is in Rust: generated from `wit/`, so that a change there is a change here.
#![allow(unsafe_code, missing_docs, unreachable_pub, dead_code, clippy::all, reason = "generated code")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "generated code"
)]

wasmtime::component::bindgen!({ path: "../../wit", world: "windowed-collector" });

pub(crate) use self::exports::gc::strategy::strategy::{Guest, GuestIndices};
pub(crate) use self::exports::gc::strategy::window::{
    Columns, Guest as Window, GuestIndices as WindowIndices,
};
pub(crate) use self::gc::strategy::{heap, telemetry, types};
