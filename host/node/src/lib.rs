//! A running node.
pub mod limits;
pub mod swap;
