//! Comparing strategies: what a result is, and the parts of measuring that need no running node.

pub mod histogram;
pub mod metric;
pub mod model;
