//! Small programs that show one thing each, run in CI: `cargo run -p gc-examples --example embed`.
//!
//! | example | shows |
//! |---|---|
//! | `embed` | a garbage-collected heap in a Rust program |
//! | `native_strategy` | a collector written against the heap's own trait |
//! | `swap_live` | the collector replaced while two threads work |
//! | `three_nodes` | objects that refer to each other over three nodes, collected |
//! | `strategy-in-c` | a collector in C, compiled to a component |
//!
//! A collector of your own as a component begins with `host strategy new NAME`.
