//! How an operation on a node can fail. The node goes on as before in every case.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use gc_heap::{Gone, HeapError};
use gc_plugin::PluginError;

use crate::cluster::ClusterError;
use crate::control::PlaceError;
use crate::limits;

/// An operation that was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No built-in strategy has this name.
    #[error(
        "there is no built-in strategy '{name}': take one of {}, or give the path of a component, such as ./{name}.wasm",
        known.join(", ")
    )]
    UnknownStrategy {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A strategy that is code of the host, where only a component will do.
    #[error(
        "the strategy '{name}' is a part of the host and no component: take one that is, see `host strategy list`"
    )]
    NoComponent {
        /// Which strategy.
        name: String,
    },
    /// A strategy file cannot be read.
    #[error("cannot read the strategy {}: {source}: give the path of a WebAssembly component, or the name of a built-in strategy", path.display())]
    StrategyFile {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A strategy file of absurd length.
    #[error(
        "the strategy {} has {bytes} bytes, and no strategy may have more than {}: was another file meant?",
        path.display(), limits::STRATEGY_BYTES_MAX
    )]
    StrategyTooLong {
        /// Which file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// A native strategy was given options.
    #[error("the strategy '{name}' has no options: leave out '{option}'")]
    NoOptions {
        /// Which strategy.
        name: String,
        /// The first option that was given.
        option: String,
    },
    /// Whatever makes a strategy panicked.
    #[error("the strategy '{name}' {said} while it was made: correct its code")]
    MakerPanicked {
        /// Which strategy.
        name: String,
        /// That it panicked, and what it said.
        said: String,
    },
    /// The strategy was refused when it was loaded or attached.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The heap refused its configuration, or a mutator.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The object is not there any more.
    #[error("{0}: only what waits in quarantine can be restored")]
    Gone(#[from] Gone),
    /// A candidate did not become the serving strategy.
    #[error("{strategy} was not taken: {reason}: {serving} goes on serving")]
    SwapFailed {
        /// The candidate.
        strategy: String,
        /// Who goes on.
        serving: String,
        /// Why.
        reason: String,
    },
    /// Another candidate is being tried.
    #[error("another strategy is being tried at this moment: wait until `host status` shows no candidate")]
    SwapBusy,
    /// A shadow run of no or of too many cycles.
    #[error("a shadow run has between 1 and {} cycles: ask for so many", limits::SHADOW_CYCLES_MAX)]
    ShadowCycles,
    /// The node shuts down.
    #[error("the node is shutting down: start another one")]
    Stopped,
    /// Too many requests wait.
    #[error(
        "the collector has {} requests waiting: ask again when some are answered",
        limits::REQUESTS_PENDING
    )]
    Overloaded,
    /// The journal cannot be written.
    #[error("cannot write the journal {}: {source}: give another path, or leave out the journal", path.display())]
    Journal {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] PlaceError),
    /// The address for metrics cannot be had.
    #[error("cannot serve metrics on {address}: {source}: give another address, such as 127.0.0.1:0")]
    Metrics {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The node does not come into its cluster, or that does not do what it was asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// None of the checks of the conformance kit was chosen.
    #[error("no check of the kit has '{only}' in its name: there are {}", known.join(", "))]
    NoCheck {
        /// What was asked for.
        only: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}: raise the limit on processes and threads")]
    Thread(io::Error),
    /// A setting that cannot be.
    #[error("{what}: {remedy}")]
    Config {
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}
