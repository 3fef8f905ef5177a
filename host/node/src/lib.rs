//! A running node: heap, strategy, collector thread, control socket and metrics, wired together.
