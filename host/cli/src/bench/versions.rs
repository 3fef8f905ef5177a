//! What this binary is made of.

use gc_lab::bench::model::Environment;
use sha2::{Digest, Sha256};

/// The versions of everything that was linked.
const LOCK_FILE: &str = include_str!("../../../../Cargo.lock");

/// Fills in what the system cannot say: versions, flags, digest.
pub(crate) fn fill_in(environment: &mut Environment) {
    environment.host_version = env!("CARGO_PKG_VERSION").into();
    environment.wasmtime_version = version_of("wasmtime").unwrap_or_default().into();
    environment.host_digest =
        std::fs::read("/proc/self/exe").map(|bytes| hex(&Sha256::digest(bytes))).unwrap_or_default();
    environment.engine_flags = [
        "cranelift, opt-level speed",
        "calls interrupted by ticks",
        "no fuel, except in runs that count it",
        "NaN canonical, relaxed SIMD deterministic",
        "memory reserved, no bounds checks",
    ]
    .map(String::from)
    .into();
}

fn version_of(package: &str) -> Option<&'static str> {
    let entry =
        LOCK_FILE.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{package}\"\n")))?;
    entry.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_digest_are_found() {
        let mut environment = Environment::default();
        fill_in(&mut environment);
        assert!(environment.wasmtime_version.starts_with(|c: char| c.is_ascii_digit()), "{environment:?}");
        assert_eq!(environment.host_digest.len(), 64);
        assert_eq!(version_of("nothing-of-the-kind"), None);
    }
}
