//! The component of gc-plugin's tests that misbehaves.

use std::path::Path;
use std::sync::OnceLock;

use gc_node::StrategySource;

/// The hostile component of gc-plugin's tests in a mode. `later:MODE` behaves in its first cycle, which is its rehearsal.
pub fn hostile(mode: &str) -> StrategySource {
    const MARK: &[u8] = b"HOSTILE-MODE:";
    static COMPILED: OnceLock<Vec<u8>> = OnceLock::new();
    let mut bytes = COMPILED.get_or_init(compiled).clone();
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).unwrap() + MARK.len();
    bytes[at..at + 35].fill(b' ');
    bytes[at..at + mode.len()].copy_from_slice(mode.as_bytes());
    StrategySource::Bytes { origin: format!("{mode}.wasm"), bytes }
}

fn compiled() -> Vec<u8> {
    let request = gc_wasm_build::Request {
        workspace: Path::new(env!("CARGO_MANIFEST_DIR")),
        packages: &["gc-hostile"],
        features: &[],
        rustflags: &[],
        target_dir: &gc_wasm_build::target_dir(Path::new(env!("CARGO_TARGET_TMPDIR"))),
    };
    let paths = gc_wasm_build::compile(&request).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(&paths[0]).unwrap()
}
