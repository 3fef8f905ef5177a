//! Real processes, each a node of one cluster: one object graph over all of them, collected. On loopback, and in networks that fail.

#[path = "../common/mod.rs"]
mod common;

mod network;
mod relay;

mod nodes;

mod bad_input;
mod certificates;
mod cut;
mod disk;
mod dying;
#[cfg(feature = "etcd")]
mod etcd;
mod operators;
mod spread;
mod weather;
