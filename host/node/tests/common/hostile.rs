//! The component of gc-plugin's tests that misbehaves.

use std::path::Path;

use gc_node::StrategySource;

/// The hostile component in a mode. `later:MODE` behaves in its first cycle, which is its rehearsal.
pub fn hostile(mode: &str) -> StrategySource {
    let bytes = gc_wasm_build::hostile(Path::new(env!("CARGO_TARGET_TMPDIR")), mode);
    StrategySource::Bytes { origin: format!("{mode}.wasm"), bytes }
}
