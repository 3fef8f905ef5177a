//! The mark-sweep strategy.
