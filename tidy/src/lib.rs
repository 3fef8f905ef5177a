//! Nothing to use: the tests of this crate hold the house in order.
