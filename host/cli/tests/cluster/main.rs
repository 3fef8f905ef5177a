//! Real processes, each a node of one cluster: one object graph over all of them, collected. On loopback, and in networks that fail.

#[path = "../common/mod.rs"]
mod common;

mod network;
mod nodes;

mod bad_input;
mod cut;
mod dying;
#[cfg(feature = "etcd")]
mod etcd;
mod operators;
mod spread;
