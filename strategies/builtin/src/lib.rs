//! The built-in strategies, compiled to WebAssembly by this crate's build script.
