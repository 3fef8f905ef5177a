//! The epoch strategy.
