//! What a strategy author uses.
//!
//! A collector is a type that implements [`Strategy`] and one line: `gc_sdk::export_strategy!(MyCollector);`. The README of this crate goes from a
//! collector that does nothing to one that frees everything it should.
//!
//! Modules in reading order: what a strategy says of itself ([`info`]), what it reads ([`graph`]), what it implements ([`strategy`]), how it marks
//! ([`marker`]), what it tells people ([`telemetry`]), how it is tested ([`testing`]).
//!
//! Architecture invariant: all unsafe code that somebody wrote for this crate is in `raw.rs`, and nothing but `component.rs` knows that
//! there is a host.

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
mod stubs;
pub mod telemetry;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use graph::{Bitmap, Cell, Graph, References};
pub use info::{Completeness, DefaultValue, Info, Need, OptionSpec, OptionValue, Options};
pub use marker::Marker;
pub use strategy::{
    Cause, Change, Changes, CycleInfo, Error, Outcome, Progress, RetiredCells, Shape, Strategy, Verdict,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
