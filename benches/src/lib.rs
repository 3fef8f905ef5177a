//! Benchmarks that need more than one crate or somebody else's collector, and the table of goals they fill.
//!
//! Modules in reading order: a file imports only what stands above it.

pub mod clock;
pub mod graph;
pub mod machine;
pub mod stats;

pub mod collection;
pub mod goals;
pub mod on_heap;
pub mod program;

pub mod programs;
pub mod rows;
