//! What is wrong with a part of a trace.

/// Where a trace is damaged. Everything before that place is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Byte of the file at which the damaged block begins.
    pub offset: u64,
    /// Number of that block in the file, from 0.
    pub block: u64,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {} at byte {}: {}", self.block, self.offset, self.what)
    }
}
