//! From bytes to a strategy that can be attached.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use gc_heap::StrategyIdentity;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, Store};

use crate::bindings::{Guest, GuestIndices, Window as WindowGuest, WindowIndices};
use crate::cache::{Cache, CodeOrigin, digest_of};
use crate::description::{Description, shown};
use crate::error::PluginError;
use crate::limits::{self, Limits};
use crate::session::{Host, Session};
use crate::store::State;
use crate::ticker::Ticker;
use crate::window::{GuestMemories, load_compiled};
use crate::{binary, contract, imports};

/// How strategies are loaded. The default caches nothing and counts no fuel.
#[derive(Debug, Clone, Default)]
pub struct LoaderConfig {
    /// Where compiled code is kept. Made with mode 0700 if it is missing; refused if others may write to it.
    pub cache_dir: Option<PathBuf>,
    /// What each instance may use.
    pub limits: Limits,
    /// Count fuel, an exact and machine-independent cost, for replay. Slower by about a tenth, and compiled code is not shared with loaders that do not.
    pub fuel: bool,
}

/// Loads strategies. Owns the engine, the cache of compiled code, and the thread that interrupts calls; all of them live on in what was loaded.
pub struct Loader {
    host: Arc<Host>,
    cache: Option<Cache>,
}

/// A strategy whose code was checked and compiled. Can be attached any number of times, from any thread.
pub struct LoadedStrategy {
    pub(crate) host: Arc<Host>,
    pub(crate) code: Code,
    description: Description,
    identity: StrategyIdentity,
    bytes: Vec<u8>,
    code_origin: CodeOrigin,
}

/// Compiled code, linked, and where its exports are.
pub(crate) struct Code {
    pub(crate) instance: InstancePre<State>,
    strategy: GuestIndices,
    window: Option<WindowIndices>,
}

/// The exports of one instance.
pub(crate) struct Exports {
    pub(crate) strategy: Guest,
    pub(crate) window: Option<WindowGuest>,
}

impl Loader {
    /// Starts an engine and its ticker.
    ///
    /// # Errors
    ///
    /// [`PluginError::Engine`], and [`PluginError::Cache`] if the cache folder cannot be made or could be written to by others.
    pub fn new(config: LoaderConfig) -> Result<Loader, PluginError> {
        let failed = |reason: String| PluginError::Engine { reason };
        let engine =
            Engine::new(&engine_config(config.fuel)).map_err(|error| failed(format!("{error:#}")))?;
        let ticker =
            Ticker::start(&engine, config.limits.deadline).map_err(|error| failed(error.to_string()))?;
        let cache = config.cache_dir.map(|folder| Cache::open(&folder, &engine)).transpose()?;
        let host = Arc::new(Host { engine, ticker, limits: config.limits, fuel: config.fuel });
        Ok(Loader { host, cache })
    }

    /// Checks, compiles (or takes from the cache) and describes a component. `origin` is how messages name the bytes, most often a path.
    ///
    /// Costs a millisecond from the cache, else tens of milliseconds per 100 KiB. The thread needs 1 MiB of free stack.
    ///
    /// # Errors
    ///
    /// See [`PluginError`]. Versions and imports are checked before anything of the component runs.
    pub fn load(&self, bytes: Vec<u8>, origin: &str) -> Result<Arc<LoadedStrategy>, PluginError> {
        binary::check(&bytes, origin, self.host.limits.component_bytes)?;
        let digest = digest_of(&bytes);
        let (component, code_origin) = self.compile(&bytes, &digest, origin)?;
        let code = Code::link(&self.host.engine, &component, origin)?;
        let description = describe(&self.host, &code, origin)?;
        let identity =
            StrategyIdentity { name: description.name.clone(), version: description.version.clone(), digest };
        let host = Arc::clone(&self.host);
        Ok(Arc::new(LoadedStrategy { host, code, description, identity, bytes, code_origin }))
    }

    fn compile(
        &self,
        bytes: &[u8],
        digest: &str,
        origin: &str,
    ) -> Result<(Component, CodeOrigin), PluginError> {
        let engine = &self.host.engine;
        if let Some(artefact) = self.cache.as_ref().and_then(|cache| cache.load(digest))
            && let Ok(component) = load_compiled(engine, &artefact)
        {
            return Ok((component, CodeOrigin::Cached));
        }
        let invalid = |error: wasmtime::Error| PluginError::Invalid {
            origin: origin.to_owned(),
            reason: shown(&format!("{error:#}"), limits::SHOWN_BYTES),
        };
        let component = Component::from_binary(engine, bytes).map_err(invalid)?;
        let Some(cache) = &self.cache else { return Ok((component, CodeOrigin::Compiled)) };
        let kept = component
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|code| cache.keep(digest, &code).map_err(|error| error.to_string()));
        Ok((component, kept.map_or_else(CodeOrigin::NotKept, |()| CodeOrigin::Compiled)))
    }
}

/// The engine. What differs from wasmtime's defaults, and why:
fn engine_config(fuel: bool) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        // Calls are synchronous, one at a time; the default makes an empty one two to three times slower.
        .concurrency_support(false)
        // What a strategy computes is the same everywhere: replay depends on it.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // Deadlines.
        .epoch_interruption(true)
        .consume_fuel(fuel)
        .max_wasm_stack(limits::STACK_BYTES)
        // No bounds checks: 32-bit addresses plus any static offset end in the reservation or its guard, and a fault there is a trap.
        .signals_based_traps(true)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_may_move(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        // Memories are ours, so that a window may be mapped into them: see `window.rs`.
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_init_cow(false)
        .with_host_memory(Arc::new(GuestMemories));
    config
}

impl Code {
    fn link(engine: &Engine, component: &Component, origin: &str) -> Result<Code, PluginError> {
        let windowed = contract::check(component, engine, origin)?;
        let mut linker = Linker::new(engine);
        let linked = imports::define(&mut linker)
            .and_then(|()| contract::define_wasi(&mut linker, component, engine))
            .and_then(|()| linker.instantiate_pre(component))
            .and_then(|instance| {
                let strategy = GuestIndices::new(&instance)?;
                let window = windowed.then(|| WindowIndices::new(&instance)).transpose()?;
                Ok(Code { instance, strategy, window })
            });
        linked.map_err(|error| mismatch(&error, origin))
    }

    /// The exports of an instance of this code. Does not enter it.
    pub(crate) fn exports(&self, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Exports> {
        let strategy = self.strategy.load(&mut *store, instance)?;
        let window = self.window.as_ref().map(|window| window.load(&mut *store, instance)).transpose()?;
        Ok(Exports { strategy, window })
    }
}

fn mismatch(error: &wasmtime::Error, origin: &str) -> PluginError {
    let reason = shown(&format!("{error:#}"), limits::SHOWN_BYTES);
    PluginError::Mismatch { origin: origin.to_owned(), reason }
}

/// Asks a strategy what it is, in a store of its own, without a heap.
fn describe(host: &Arc<Host>, code: &Code, origin: &str) -> Result<Description, PluginError> {
    let undescribed = |fault| PluginError::Undescribed { origin: origin.to_owned(), fault };
    let mut session = Session::new(host, origin, None, limits::MESSAGE_BYTES).map_err(undescribed)?;
    let (instance, _) = session.instantiate(&code.instance).map_err(undescribed)?;
    let exports = code.exports(session.store(), &instance).map_err(|error| mismatch(&error, origin))?;
    let said =
        session.call("describe", |store| exports.strategy.call_describe(store)).map_err(undescribed)?;
    Description::checked(said)
        .map_err(|reason| PluginError::Description { origin: origin.to_owned(), reason })
}

impl LoadedStrategy {
    /// What it says of itself, checked.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Name, version and digest, as decision records carry them.
    #[must_use]
    pub fn identity(&self) -> &StrategyIdentity {
        &self.identity
    }

    /// SHA-256 of its bytes in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.identity.digest
    }

    /// Whether it can read the graph through a window.
    #[must_use]
    pub fn windowed(&self) -> bool {
        self.code.window.is_some()
    }

    /// The world that it implements, with the version of the contract that this host speaks.
    #[must_use]
    pub fn world(&self) -> String {
        let world = if self.windowed() { "windowed-collector" } else { "collector" };
        format!("gc:strategy/{world}@{}", contract::CONTRACT)
    }

    /// The component as it was loaded.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether its code came from the cache.
    #[must_use]
    pub fn code_origin(&self) -> &CodeOrigin {
        &self.code_origin
    }
}

impl fmt::Debug for LoadedStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedStrategy").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("limits", &self.host.limits).finish_non_exhaustive()
    }
}
