//! Real processes on loopback, each a node of one cluster: one object graph over all of them, collected.

#[path = "../common/mod.rs"]
mod common;

mod nodes;

mod bad_input;
mod dying;
mod operators;
mod spread;
