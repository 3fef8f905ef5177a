//! The refcount strategy.
