//! The none strategy.
