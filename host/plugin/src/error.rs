//! Why a component was not loaded or not attached. Nothing has changed then: no instance is left over.

use std::path::PathBuf;

use gc_heap::Fault;

use crate::contract::CONTRACT;

/// Why a component was not loaded or not attached.
///
/// `origin` is what the caller named the bytes, most often a path; `strategy` is the name that the component gave itself.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file has no bytes.
    #[error("{origin}: the file is empty: build the strategy again")]
    Empty {
        /// Whose bytes.
        origin: String,
    },
    /// The component is larger than [`crate::Limits::component_bytes`].
    #[error(
        "{origin}: {bytes} bytes are more than the limit of {limit}: strip the component, or raise the limit"
    )]
    TooLarge {
        /// Whose bytes.
        origin: String,
        /// How many.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The bytes are not WebAssembly.
    #[error("{origin}: this is not WebAssembly, it is {found}: give the .wasm file of a strategy")]
    NotWasm {
        /// Whose bytes.
        origin: String,
        /// What they look like.
        found: &'static str,
    },
    /// A core module.
    #[error(
        "{origin}: this is a core WebAssembly module, not a component: build the strategy with --target wasm32-wasip2"
    )]
    CoreModule {
        /// Whose bytes.
        origin: String,
    },
    /// WebAssembly of an encoding that this host does not know.
    #[error(
        "{origin}: unknown WebAssembly encoding {encoding:#010x}: update the host, or build with an older toolchain"
    )]
    UnknownEncoding {
        /// Whose bytes.
        origin: String,
        /// The four bytes after the magic number, little-endian.
        encoding: u32,
    },
    /// The bytes end early.
    #[error(
        "{origin}: the file is truncated, it ends at byte {bytes} inside a section that ends at {expected}: copy or build it again"
    )]
    Truncated {
        /// Whose bytes.
        origin: String,
        /// How many there are.
        bytes: usize,
        /// How many there must be at least.
        expected: u64,
    },
    /// The component does not pass validation or cannot be compiled.
    #[error("{origin}: this is not a valid component ({reason}): build the strategy again")]
    Invalid {
        /// Whose bytes.
        origin: String,
        /// What the validator said.
        reason: String,
    },
    /// A component that is no strategy.
    #[error(
        "{origin}: this component is not a strategy, it exports {exports}: a strategy exports gc:strategy/strategy@{CONTRACT}"
    )]
    OtherWorld {
        /// Whose bytes.
        origin: String,
        /// The names of its exports.
        exports: String,
    },
    /// A strategy for another version of the contract.
    #[error(
        "{origin}: built for version {built_for} of the contract gc:strategy, this host speaks {CONTRACT}: {advice}"
    )]
    OtherVersion {
        /// Whose bytes.
        origin: String,
        /// The version it was built for.
        built_for: String,
        /// What to do.
        advice: &'static str,
    },
    /// A strategy that imports something which no strategy has.
    #[error(
        "{origin}: imports {import}, which this host (contract {CONTRACT}) does not offer to strategies: {advice}"
    )]
    UnknownImport {
        /// Whose bytes.
        origin: String,
        /// The import.
        import: String,
        /// What to do.
        advice: &'static str,
    },
    /// The right names with other types.
    #[error(
        "{origin}: does not match the contract gc:strategy@{CONTRACT} ({reason}): build it against the wit/ folder of this host"
    )]
    Mismatch {
        /// Whose bytes.
        origin: String,
        /// What differs.
        reason: String,
    },
    /// It failed before it could say its name.
    #[error("{origin}: {fault} while it was asked to describe itself")]
    Undescribed {
        /// Whose bytes.
        origin: String,
        /// How.
        fault: Fault,
    },
    /// What it says of itself cannot be.
    #[error("{origin}: its description cannot be used: {reason}")]
    Description {
        /// Whose bytes.
        origin: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// It failed while it was attached.
    #[error("the strategy {strategy} {fault}")]
    Faulted {
        /// Its name.
        strategy: String,
        /// How.
        fault: Fault,
    },
    /// An option that it does not declare.
    #[error("the strategy {strategy} has no option {option}: it knows {known}")]
    UnknownOption {
        /// Its name.
        strategy: String,
        /// The option.
        option: String,
        /// Those that it declares.
        known: String,
    },
    /// An option of another type.
    #[error("the option {option} of the strategy {strategy} takes {expected}, not {found}")]
    OptionType {
        /// Its name.
        strategy: String,
        /// The option.
        option: String,
        /// What it takes.
        expected: &'static str,
        /// What it was given.
        found: String,
    },
    /// The window was demanded and is not to be had.
    #[error(
        "the strategy {strategy} cannot have a window on this heap ({reason}): attach it with portable access"
    )]
    NoWindow {
        /// Its name.
        strategy: String,
        /// Why.
        reason: String,
    },
    /// It answered `reserve` with a range that it may not give.
    #[error("the strategy {strategy} answered nonsense: {reason}")]
    WindowRefused {
        /// Its name.
        strategy: String,
        /// What is wrong with the range.
        reason: String,
    },
    /// The folder for compiled code cannot be used.
    #[error("the cache folder {}: {reason}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The engine could not be made.
    #[error(
        "the WebAssembly engine did not start ({reason}): is there address space for 4 GiB per strategy?"
    )]
    Engine {
        /// What it said.
        reason: String,
    },
}
