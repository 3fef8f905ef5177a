//! The tracing strategy.
