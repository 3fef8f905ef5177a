//! Where a strategy comes from, and what it takes to attach it to a heap.
//!
//! Three stages, because they cost differently and live differently: a [`StrategySource`] is a name, a path or a piece of code; a `Recipe` is loaded
//! and compiled, and can be attached any number of times; an attached strategy is one instance over one heap, owned by the collector thread.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gc_heap::{Graph, Strategy};
use gc_plugin::{Access, LoadedStrategy, Loader, LogLevel, WasmStrategy};

use crate::error::NodeError;
use crate::guard::Guarded;
use crate::hold::Hold;
use crate::limits::STRATEGY_BYTES_MAX;
use crate::options;

/// Makes a native strategy. Called once per attachment.
pub type NativeMaker = dyn Fn(&Arc<Graph>) -> Box<dyn Strategy + Send> + Send + Sync;

/// Where a strategy comes from.
#[derive(Clone)]
pub enum StrategySource {
    /// A built-in one, or `hold`.
    Named(String),
    /// A component in a file, read once.
    File(PathBuf),
    /// A component in memory.
    Bytes {
        /// What to call it in messages.
        origin: String,
        /// The component.
        bytes: Vec<u8>,
    },
    /// Code of this process. It gets the heap's graph, which it may read at any time.
    Native {
        /// What to call it in messages.
        name: String,
        /// Makes an instance.
        maker: Arc<NativeMaker>,
    },
}

impl StrategySource {
    /// A native strategy from a function that makes it.
    pub fn native<S, F>(name: &str, make: F) -> StrategySource
    where
        S: Strategy + Send + 'static,
        F: Fn(&Arc<Graph>) -> S + Send + Sync + 'static,
    {
        StrategySource::Native { name: name.into(), maker: Arc::new(move |graph| Box::new(make(graph))) }
    }

    /// What to call it before it is loaded.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            StrategySource::Named(name) | StrategySource::Native { name, .. } => name.clone(),
            StrategySource::File(path) => path.display().to_string(),
            StrategySource::Bytes { origin, .. } => origin.clone(),
        }
    }
}

impl fmt::Debug for StrategySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StrategySource({})", self.label())
    }
}

/// A path has a slash or ends in `.wasm`; everything else is a name.
impl From<&str> for StrategySource {
    fn from(text: &str) -> StrategySource {
        if text.contains('/') || text.ends_with(".wasm") || text.ends_with(".wat") {
            StrategySource::File(text.into())
        } else {
            StrategySource::Named(text.into())
        }
    }
}

impl From<String> for StrategySource {
    fn from(text: String) -> StrategySource {
        StrategySource::from(text.as_str())
    }
}

impl From<&Path> for StrategySource {
    fn from(path: &Path) -> StrategySource {
        StrategySource::File(path.to_owned())
    }
}

impl From<PathBuf> for StrategySource {
    fn from(path: PathBuf) -> StrategySource {
        StrategySource::File(path)
    }
}

/// Every name that [`StrategySource::Named`] knows.
#[must_use]
pub fn names() -> Vec<&'static str> {
    gc_builtin::all().iter().map(|builtin| builtin.name).chain([Hold::NAME]).collect()
}

/// Reads the bytes of a component that is named or in a file.
///
/// # Errors
///
/// When there is no such name or file, when the file is too long, and for what is no component: `hold` and other native code.
pub fn read(source: &StrategySource) -> Result<Vec<u8>, NodeError> {
    match source {
        StrategySource::Native { name, .. } => Err(NodeError::NoComponent { name: name.clone() }),
        StrategySource::Named(name) if name == Hold::NAME => {
            Err(NodeError::NoComponent { name: name.clone() })
        }
        StrategySource::Named(name) => gc_builtin::find(name)
            .map(|builtin| builtin.bytes.to_vec())
            .ok_or_else(|| NodeError::UnknownStrategy { name: name.clone(), known: names() }),
        StrategySource::File(path) => read_file(path),
        StrategySource::Bytes { bytes, .. } => Ok(bytes.clone()),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, NodeError> {
    let unreadable = |source| NodeError::StrategyFile { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    // A device says that it has no bytes, and has no end.
    let mut bytes = Vec::new();
    let read = file.take(STRATEGY_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)? as u64;
    if read > STRATEGY_BYTES_MAX {
        return Err(NodeError::StrategyTooLong { path: path.to_owned(), bytes: found.max(read) });
    }
    Ok(bytes)
}

/// What an instance costs; all 0 for a native one.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) memory_bytes: u64,
    pub(crate) crossings: u64,
    pub(crate) fuel_used: u64,
}

/// An attached strategy.
pub(crate) enum Attached {
    Native(Box<dyn Strategy + Send>),
    Wasm(Box<WasmStrategy>),
}

impl Attached {
    pub(crate) fn strategy(&mut self) -> &mut dyn Strategy {
        match self {
            Attached::Native(strategy) => strategy.as_mut(),
            Attached::Wasm(strategy) => strategy.as_mut(),
        }
    }

    /// The lines that it wrote since this was last asked, with their levels. Those for its author alone are left out.
    pub(crate) fn take_log(&mut self) -> Vec<(&'static str, String)> {
        let Attached::Wasm(strategy) = self else { return Vec::new() };
        let log = strategy.take_log();
        let mut lines: Vec<_> =
            log.lines.into_iter().filter_map(|line| Some((word(line.level)?, line.text))).collect();
        if log.dropped > 0 {
            lines.push(("warn", format!("({} more lines were dropped)", log.dropped)));
        }
        lines
    }

    pub(crate) fn footprint(&self) -> Footprint {
        match self {
            Attached::Native(_) => Footprint::default(),
            Attached::Wasm(strategy) => Footprint {
                memory_bytes: strategy.memory_bytes(),
                crossings: strategy.crossings(),
                fuel_used: strategy.fuel_used().unwrap_or(0),
            },
        }
    }
}

fn word(level: LogLevel) -> Option<&'static str> {
    match level {
        LogLevel::Debug => None,
        LogLevel::Info => Some("info"),
        LogLevel::Warn => Some("warn"),
        LogLevel::Error => Some("error"),
    }
}

/// A strategy that is loaded and can be attached.
#[derive(Clone)]
pub(crate) enum Recipe {
    Native(Arc<NativeMaker>),
    Wasm { loaded: Arc<LoadedStrategy>, options: BTreeMap<String, gc_plugin::OptionValue> },
}

impl Recipe {
    pub(crate) fn load(
        source: &StrategySource,
        settings: &BTreeMap<String, String>,
        loader: &Loader,
    ) -> Result<Recipe, NodeError> {
        let maker: Arc<NativeMaker> = match source {
            StrategySource::Named(name) if name == Hold::NAME => Arc::new(|_| Box::new(Hold::new())),
            StrategySource::Native { maker, .. } => Arc::clone(maker),
            StrategySource::Named(_) | StrategySource::File(_) | StrategySource::Bytes { .. } => {
                let loaded = loader.load(read(source)?, &source.label())?;
                let options = options::typed(loaded.description(), settings)?;
                return Ok(Recipe::Wasm { loaded, options });
            }
        };
        match settings.keys().next() {
            Some(option) => Err(NodeError::NoOptions { name: source.label(), option: option.clone() }),
            None => Ok(Recipe::Native(maker)),
        }
    }

    pub(crate) fn attach(&self, graph: &Arc<Graph>, access: Access) -> Result<Attached, NodeError> {
        Ok(match self {
            Recipe::Native(maker) => Attached::Native(Box::new(Guarded::new(maker(graph)))),
            Recipe::Wasm { loaded, options } => {
                Attached::Wasm(Box::new(loaded.attach(graph, options, access)?))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_a_path_is_a_path() {
        assert!(matches!(StrategySource::from("epoch"), StrategySource::Named(_)));
        for path in ["epoch.wasm", "./epoch", "/tmp/epoch", "a/b.wasm"] {
            assert!(matches!(StrategySource::from(path), StrategySource::File(_)), "{path}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_exist() {
        let error = read(&StrategySource::from("generational")).unwrap_err().to_string();
        assert!(
            error.contains("generational") && error.contains("tracing") && error.contains("hold"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(&StrategySource::from("/nowhere/x.wasm")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.wasm"), "{error}");
    }

    #[test]
    fn a_device_without_end_is_not_read_to_its_end() {
        let error = read(&StrategySource::from("/dev/zero")).unwrap_err();
        assert!(matches!(error, NodeError::StrategyTooLong { .. }), "{error}");
    }

    #[test]
    fn what_is_no_component_is_called_that_and_no_unknown_name() {
        let error = read(&StrategySource::from("hold")).unwrap_err().to_string();
        assert!(error.contains("'hold'") && error.contains("no component"), "{error}");
    }
}
