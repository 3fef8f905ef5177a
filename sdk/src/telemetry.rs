//! Lines for the node's log.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the author.
    Debug,
    /// For whoever reads the log.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// Writes one line to the node's log. Lines over 1,024 bytes are cut, and over 100 lines per cycle are dropped. Outside Wasm: standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::component::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}
