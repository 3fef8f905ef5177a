//! What a node is made with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gc_heap::HeapConfig;
use gc_plugin::{Access, Limits};

use crate::cluster::ClusterConfig;
use crate::limits::PROBATION_CYCLES;
use crate::source::StrategySource;

/// What a node is made with. The defaults are those of [`NodeConfig::default`]; [`crate::Builder`] sets the common ones.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The first strategy. Default `tracing`.
    pub strategy: StrategySource,
    /// Its options, as text; the strategy's own declaration says what type each has.
    pub options: BTreeMap<String, String>,
    /// The heap.
    pub heap: HeapConfig,
    /// How much garbage may be there when a cycle begins, in percent of what lived after the last one (like GOGC). Default 100.
    pub goal_percent: u32,
    /// Most of one processor that the collector takes while mutators do not wait for it, from 0.01 to 1. Default 0.25.
    pub cpu_share: f64,
    /// A cycle begins when none did for this long. Default one minute; none switches it off.
    pub idle: Option<Duration>,
    /// How long one step of the strategy should take. Default one millisecond.
    pub slice_target: Duration,
    /// Cycles that a strategy serves before its predecessor is let go. Default 3.
    pub probation_cycles: u32,
    /// A strategy on probation that holds up one operation of a mutator for longer is rolled back. Default none.
    pub pause_budget: Option<Duration>,
    /// A strategy on probation whose instance takes more memory, in bytes, is rolled back. Default none. The hard limit is in `limits`.
    pub memory_budget: Option<u64>,
    /// Limits on every strategy instance.
    pub limits: Limits,
    /// Where compiled code is kept between runs. Default none: everything is compiled anew.
    pub cache_dir: Option<PathBuf>,
    /// How strategies read the graph. Default: through the window where they can.
    pub access: Access,
    /// A file to which every step of every swap is appended as a JSON line.
    pub journal: Option<PathBuf>,
    /// Serve Prometheus metrics here.
    pub metrics: Option<SocketAddr>,
    /// Serve the control socket here.
    pub control: Option<PathBuf>,
    /// Take part in a cluster. The heap's node and incarnation are then what the certificate and the state folder say. Default none.
    pub cluster: Option<ClusterConfig>,
    /// For replays that must be the same each time: fuel is counted, cycles are begun when they are asked for and at no other time, a full heap is
    /// an error at once, and what a step is asked to do does not depend on how long the last one took. Default no.
    pub deterministic: bool,
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            strategy: StrategySource::Named("tracing".into()),
            options: BTreeMap::new(),
            heap: HeapConfig::default(),
            goal_percent: 100,
            cpu_share: 0.25,
            idle: Some(Duration::from_secs(60)),
            slice_target: Duration::from_millis(1),
            probation_cycles: PROBATION_CYCLES,
            pause_budget: None,
            memory_budget: None,
            limits: Limits::default(),
            cache_dir: None,
            access: Access::Auto,
            journal: None,
            metrics: None,
            control: None,
            cluster: None,
            deterministic: false,
        }
    }
}
