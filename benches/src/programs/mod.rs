//! What is measured in a process of its own. One binary has all of it, because linking one takes minutes.

pub mod cluster;
pub mod collect;
pub mod graph;
pub mod import;
pub mod limit;
pub mod mark;
pub mod pauses;
pub mod record;
pub mod workload;
