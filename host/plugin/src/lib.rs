//! Loads a strategy (a WebAssembly component), checks it, limits it, and lets it read the graph.
//!
//! ```text
//!  bytes ──▶ binary ──▶ digest ──▶ cache | compile ──▶ contract ──▶ describe ──▶ LoadedStrategy
//!            shape of              of native code      versions,    in a store
//!            the file                                  imports      of its own
//!
//!  LoadedStrategy + graph + options ──▶ configure ──▶ window ──▶ WasmStrategy: gc_heap::Strategy
//! ```
//!
//! [`Loader`] owns the engine, the cache of compiled code and the ticker that interrupts calls. [`LoadedStrategy`] is code that was checked; it can be
//! attached any number of times. [`WasmStrategy`] is one running instance in a store of its own.
//!
//! Architecture invariants:
//!
//! 1. Nothing a component does can end the process, write to the heap, or hold a thread longer than its deadline.
//! 2. Whatever is wrong with a component is found at the earliest moment and said with its name: in its bytes, in its imports and exports, in its
//!    description, when it is attached, or as a [`gc_heap::Fault`] of a call.
//! 3. After a fault no instance in the same store is entered again.
//! 4. This crate does not judge verdicts beyond their shape. The heap's proof does.
//!
//! Unsafe code is in one file, `window.rs`; it holds the memory of guests, the mapping of the graph, and the loading of cached code.
#![deny(unsafe_code)]

mod limits;

mod error;

mod description;

mod binary;

mod bindings;

mod contract;

mod window;

mod cache;

mod ticker;

mod log;

mod reached;

mod store;

mod imports;

mod fault;

mod session;

mod loader;

mod attach;

mod strategy;

pub use attach::Access;
pub use cache::{CodeOrigin, check_cache};
pub use contract::CONTRACT;
pub use description::{Completeness, Description, OptionSpec, OptionValue};
pub use error::PluginError;
pub use limits::Limits;
pub use loader::{LoadedStrategy, Loader, LoaderConfig};
pub use log::{Log, LogLevel, LogLine};
pub use strategy::WasmStrategy;
pub use window::PageKind;
