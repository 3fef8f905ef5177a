//! The built-in strategies, compiled to WebAssembly by this crate's build script and embedded here.
//!
//! They are components like any other: whoever loads them hands over [`Builtin::bytes`], and `host strategy extract` writes those to a file.

/// A strategy that comes with the host.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Builtin {
    /// What `--strategy` takes.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin { name: $name, bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")) }),*]
    };
}

static ALL: &[Builtin] = embedded!["none", "mark-sweep", "refcount", "epoch", "tracing"];

/// All of them, the simplest first.
#[must_use]
pub fn all() -> &'static [Builtin] {
    ALL
}

/// The one with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_strategy_is_a_component() {
        for builtin in all() {
            assert_eq!(builtin.bytes[..8], *b"\0asm\x0d\0\x01\0", "{}", builtin.name);
        }
    }

    #[test]
    fn each_is_found_by_its_own_name_only() {
        for builtin in all() {
            assert_eq!(find(builtin.name), Some(builtin));
        }
        assert_eq!(find("Tracing"), None);
    }
}
