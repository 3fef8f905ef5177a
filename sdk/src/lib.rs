//! What a strategy author uses.
//!
//! A collector is a type that implements [`Strategy`] and one line: `gc_sdk::export_strategy!(MyCollector);`.

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
mod export;
pub mod graph;
pub mod info;
pub mod marker;
#[doc(hidden)]
pub mod raw;
pub mod strategy;
pub mod telemetry;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use graph::{Bitmap, Cell, Graph, References};
pub use info::{Completeness, DefaultValue, Info, Need, OptionSpec, OptionValue, Options};
pub use marker::Marker;
pub use strategy::{
    Cause, Change, Changes, CycleInfo, Error, Outcome, Progress, RetiredCells, Shape, Strategy, Verdict,
};
