//! Loads a strategy (a WebAssembly component), checks it, limits it, and lets it read the graph.
