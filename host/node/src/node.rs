//! The running node, and what a program does with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use gc_heap::{Cause, Freed, Handle, Heap, HeapConfig, Mutator, Pin, Why};
use gc_plugin::{Loader, LoaderConfig};

use crate::ask::Ask;
use crate::board::{Board, Subscription};
use crate::canary::Budget;
use crate::cluster::{self, Begun, Cluster, ClusterError, Running, Works};
use crate::config::NodeConfig;
use crate::control::{Answer, Controlled, Failure, Request, ServeError, Server, WhyRecord};
use crate::crew::Workshop;
use crate::error::NodeError;
use crate::guard::said;
use crate::hold::Hold;
use crate::journal::Journal;
use crate::limits::{DEADLINE_MIN, REQUESTS_PENDING, SHADOW_CYCLES_MAX};
use crate::record::{CycleRecord, RootRecord, Status, SwapReport};
use crate::scrape::Scrape;
use crate::source::{self, StrategySource};
use crate::swap::Plan;
use crate::trial::{CanaryOrder, PendingSwap};
use crate::worker::{Links, Worker};

/// What everybody who talks to the collector thread shares.
struct Inner {
    heap: Heap,
    board: Arc<Board>,
    sender: SyncSender<Ask>,
    /// Once the node is in it.
    cluster: OnceLock<Cluster>,
}

impl Inner {
    fn ask(&self, ask: Ask) -> Result<(), NodeError> {
        self.sender.try_send(ask).map_err(|refused| match refused {
            TrySendError::Full(_) => NodeError::Overloaded,
            TrySendError::Disconnected(_) => NodeError::Stopped,
        })?;
        self.heap.signal().ring();
        Ok(())
    }

    fn metrics_text(&self) -> String {
        let status = self.cluster.get().map(Cluster::seen);
        self.board.metrics_text(&self.heap, status.as_ref())
    }

    fn collect(&self, cause: Cause, dry_run: bool) -> Result<CycleRecord, NodeError> {
        let (reply, answer) = channel();
        self.ask(Ask::Collect { cause, dry_run, reply })?;
        answer.recv().map_err(|_| NodeError::Stopped)
    }

    fn swap(
        &self,
        source: StrategySource,
        settings: BTreeMap<String, String>,
        plan: Plan,
    ) -> Result<SwapReport, NodeError> {
        if let Plan::Shadow { cycles } = plan
            && !(1..=SHADOW_CYCLES_MAX).contains(&cycles)
        {
            return Err(NodeError::ShadowCycles);
        }
        self.begin_swap(source, settings, plan, Budget::default())?.wait()
    }

    fn begin_swap(
        &self,
        source: StrategySource,
        settings: BTreeMap<String, String>,
        plan: Plan,
        budget: Budget,
    ) -> Result<PendingSwap, NodeError> {
        let (reply, answer) = channel();
        self.ask(Ask::Swap { source, settings, plan, budget, reply })?;
        Ok(PendingSwap::new(answer))
    }
}

/// A running node: a heap, a strategy that collects it, and the thread between them.
///
/// ```
/// use gc_node::Node;
///
/// # fn main() -> Result<(), gc_node::NodeError> {
/// let node = Node::builder().strategy("tracing").heap_limit(16 << 20).start()?;
/// let mut mutator = node.mutator();
/// mutator.scope(|scope| {
///     let leaf = scope.alloc(&[], b"leaf")?;
///     let tree = scope.alloc(&[Some(leaf)], b"")?;
///     scope.set_root("tree", Some(tree));
///     Ok::<_, gc_heap::HeapError>(())
/// })?;
/// assert_eq!(node.collect()?.live_objects, 2);
/// mutator.scope(|scope| scope.set_root("tree", None));
/// assert_eq!(node.collect()?.condemned_objects, 2);
/// drop(mutator);
/// node.shutdown();
/// # Ok(())
/// # }
/// ```
///
/// Dropping a node shuts it down.
pub struct Node {
    inner: Arc<Inner>,
    abandon: Arc<AtomicBool>,
    collector: Option<JoinHandle<()>>,
    control: Option<Server>,
    metrics: Option<Scrape>,
    running: Option<Running>,
}

impl Node {
    /// A node to be configured.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { config: NodeConfig::default() }
    }

    /// Makes the heap, loads and attaches the strategy, starts the collector thread and, where asked for, the control socket and the metrics.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the strategy, the heap's size, the paths and addresses. Nothing is left behind then.
    pub fn start(mut config: NodeConfig) -> Result<Node, NodeError> {
        check(&config)?;
        if config.deterministic {
            // A mutator that waits for room goes on while the cycle ends: what is counted then depends on who is faster.
            config.heap.full_wait = Duration::ZERO;
        }
        let journal = Journal::open(config.journal.as_deref())?;
        let begun = config.cluster.as_ref().map(Begun::new).transpose()?;
        if let Some(begun) = &begun {
            begun.name(&mut config.heap);
        }
        let heap = Heap::new(config.heap.clone())?;
        let loader = Arc::new(Loader::new(LoaderConfig {
            cache_dir: config.cache_dir.clone(),
            limits: config.limits.clone(),
            fuel: config.deterministic,
        })?);
        let board = Arc::new(Board::new(journal, config.strategy.label()));
        let (sender, inbox) = sync_channel(REQUESTS_PENDING);
        let abandon = Arc::new(AtomicBool::new(false));
        let links =
            Links { board: Arc::clone(&board), inbox, sender: sender.clone(), abandon: Arc::clone(&abandon) };
        let cluster = OnceLock::new();
        let inner = Arc::new(Inner { heap: heap.clone(), board: Arc::clone(&board), sender, cluster });
        // The socket first: a second node on it ends here, before it has cost anything.
        let controlled = Arc::new(Desk(Arc::clone(&inner)));
        let control = config.control.as_deref().map(|path| Server::start(path, controlled)).transpose();
        let control = control.map_err(|error| match error {
            ServeError::Place(place) => NodeError::Control(place),
            ServeError::Node(error) => error,
        })?;
        let scraped = Arc::clone(&inner);
        let text = move || scraped.metrics_text();
        let metrics = config.metrics.map(|address| Scrape::start(address, Arc::new(text))).transpose()?;
        let workshop = Workshop { loader, heap, access: config.access };
        let works = Works::new(inner.sender.clone(), workshop.heap.clone());
        let (strategy, options, idle) = (config.strategy.clone(), config.options.clone(), config.idle);
        let mut worker = Worker::new(config, workshop, links)?;
        let running = match begun {
            None => None,
            Some(begun) => {
                let brought = brought(&strategy, &options)?;
                let (running, seat) = begun.start(works, Arc::clone(&board), brought, idle)?;
                worker.join(seat);
                let _ = inner.cluster.set(running.cluster.clone());
                Some(running)
            }
        };
        // Everything that a strategy needs of the stack is in the plugin host's own bound; twice that is enough.
        let watched = Arc::clone(&inner.board);
        let collector = std::thread::Builder::new()
            .name("gc-collector".into())
            .stack_size(COLLECTOR_STACK_BYTES)
            .spawn(move || {
                let ran = catch_unwind(AssertUnwindSafe(|| worker.run()));
                ran.unwrap_or_else(|panic| watched.collector_failed(&said(panic.as_ref())));
            })
            .map_err(NodeError::Thread)?;
        Ok(Node { inner, abandon, collector: Some(collector), control, metrics, running })
    }

    /// The heap.
    #[must_use]
    pub fn heap(&self) -> &Heap {
        &self.inner.heap
    }

    /// A mutator for the calling thread, or for one that it is sent to.
    #[must_use]
    pub fn mutator(&self) -> Mutator {
        self.inner.heap.mutator()
    }

    /// Runs a cycle at once and waits for its end. What it condemns is freed by the next one, unless the quarantine is configured otherwise.
    ///
    /// # Errors
    ///
    /// [`NodeError::Stopped`], [`NodeError::Overloaded`].
    pub fn collect(&self) -> Result<CycleRecord, NodeError> {
        self.inner.collect(Cause::Request, false)
    }

    /// The same, told to the strategy as a cycle for another reason: for replays.
    ///
    /// # Errors
    ///
    /// As [`Node::collect`].
    pub fn collect_for(&self, cause: Cause) -> Result<CycleRecord, NodeError> {
        self.inner.collect(cause, false)
    }

    /// Runs a cycle at once that condemns nothing and says what it would.
    ///
    /// # Errors
    ///
    /// As [`Node::collect`].
    pub fn collect_dry_run(&self) -> Result<CycleRecord, NodeError> {
        self.inner.collect(Cause::Request, true)
    }

    /// Frees everything in quarantine. It was proved when it was condemned.
    ///
    /// # Errors
    ///
    /// As [`Node::collect`].
    pub fn release_quarantine(&self) -> Result<Freed, NodeError> {
        let (reply, answer) = channel();
        self.inner.ask(Ask::ReleaseQuarantine { reply })?;
        answer.recv().map_err(|_| NodeError::Stopped)
    }

    /// Brings an object back that was condemned and is not freed yet, with all that it leads to. It lives for as long as the pin, or whatever is made to
    /// refer to it meanwhile; [`gc_heap::Scope::pinned`] finds it. An object that was not condemned is pinned.
    ///
    /// # Errors
    ///
    /// [`NodeError::Gone`] when it is freed, [`NodeError::Stopped`], [`NodeError::Overloaded`].
    pub fn restore(&self, handle: Handle) -> Result<Pin, NodeError> {
        let alive = self.mutator().scope(|scope| scope.resolve(handle).ok().map(|object| scope.pin(object)));
        if let Some(pin) = alive {
            return Ok(pin);
        }
        let (reply, answer) = channel();
        self.inner.ask(Ask::Restore { handle, reply })?;
        Ok(answer.recv().map_err(|_| NodeError::Stopped)??)
    }

    /// Replaces the strategy while mutators run: loads and compiles the new one aside, rehearses it, and exchanges the two between two cycles.
    /// Comes back when the new one serves, on probation, or when it was refused and the old one goes on.
    ///
    /// # Errors
    ///
    /// [`NodeError::SwapFailed`] says why the candidate was not taken.
    pub fn swap(&self, strategy: impl Into<StrategySource>) -> Result<SwapReport, NodeError> {
        self.inner.swap(strategy.into(), BTreeMap::new(), Plan::Serve)
    }

    /// [`Node::swap`] with options for the new strategy.
    ///
    /// # Errors
    ///
    /// As [`Node::swap`].
    pub fn swap_with(
        &self,
        strategy: impl Into<StrategySource>,
        options: BTreeMap<String, String>,
    ) -> Result<SwapReport, NodeError> {
        self.inner.swap(strategy.into(), options, Plan::Serve)
    }

    /// Runs a strategy beside the serving one for so many cycles, compares what both would free, and lets it go. Comes back at the end.
    ///
    /// # Errors
    ///
    /// [`NodeError::SwapFailed`] when the shadow failed.
    pub fn shadow(&self, strategy: impl Into<StrategySource>, cycles: u32) -> Result<SwapReport, NodeError> {
        self.inner.swap(strategy.into(), BTreeMap::new(), Plan::Shadow { cycles })
    }

    /// Tries a strategy on the running node and decides by itself whether it stays: it runs beside the serving one, takes over after a rehearsal, and is
    /// promoted if it keeps its budget through its probation, or else rolled back. Comes back at once; [`PendingSwap::wait`] is the decision.
    ///
    /// # Errors
    ///
    /// [`NodeError::Config`] for an order that cannot be, [`NodeError::Stopped`], [`NodeError::Overloaded`].
    pub fn canary(&self, order: CanaryOrder) -> Result<PendingSwap, NodeError> {
        let (plan, order) = order.checked()?;
        self.inner.begin_swap(order.strategy, order.options, plan, order.budget)
    }

    /// The cluster, if the node is in one.
    #[must_use]
    pub fn cluster(&self) -> Option<&Cluster> {
        self.inner.cluster.get()
    }

    /// Why an object is alive, or which decision freed it.
    #[must_use]
    pub fn why(&self, handle: Handle) -> Why {
        self.inner.heap.why(handle)
    }

    /// What the node is doing, with the newest `journal` records. Named roots are not in it: [`Heap::named_roots`] has them.
    #[must_use]
    pub fn status(&self, journal: usize) -> Status {
        self.inner.board.status(&self.inner.heap, journal)
    }

    /// Why nothing is collected any more, if the collector has ended before it was told to.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.inner.board.failure()
    }

    /// All metrics in the text format of Prometheus.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner.metrics_text()
    }

    /// Where metrics are served, if they are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Scrape::address)
    }

    /// Everything that happens from here on. Who is first also gets the first messages from before.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.inner.board.subscribe()
    }

    /// Ends the running cycle, answers whoever waits, joins all threads. Memory goes with the last mutator and handle to the heap.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let Some(collector) = self.collector.take() else { return };
        self.abandon.store(true, Ordering::Relaxed);
        // Before the collector, which then waits for no other node, and finds nobody to tell.
        self.running = None;
        // The collector empties its inbox between cycles, so there will be room.
        let _ = self.inner.sender.send(Ask::Stop);
        self.inner.heap.signal().ring();
        let _ = collector.join();
        self.control = None;
        self.metrics = None;
        self.inner.board.close();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stack of the collector thread: a strategy may use 512 KiB, native ones are ordinary code.
const COLLECTOR_STACK_BYTES: usize = 4 << 20;

fn check(config: &NodeConfig) -> Result<(), NodeError> {
    let wrong = |what: String, remedy| Err(NodeError::Config { what, remedy });
    if !(0.01..=1.0).contains(&config.cpu_share) {
        return wrong(format!("a collector share of {}", config.cpu_share), "give a number from 0.01 to 1");
    }
    if !(1..=100_000).contains(&config.goal_percent) {
        return wrong(format!("a heap goal of {} %", config.goal_percent), "give a number from 1 to 100000");
    }
    if config.slice_target.is_zero() {
        return wrong("steps of no length".into(), "give at least a microsecond");
    }
    if config.limits.deadline < DEADLINE_MIN {
        return wrong(
            format!("a deadline of {:?} for each call of a strategy", config.limits.deadline),
            "give at least a millisecond",
        );
    }
    Ok(())
}

/// What others can be given of the first strategy. A native one is here and nowhere else.
fn brought(
    strategy: &StrategySource,
    options: &BTreeMap<String, String>,
) -> Result<Option<Vec<u8>>, NodeError> {
    match strategy {
        StrategySource::Native { .. } => Ok(None),
        StrategySource::Named(name) if name == Hold::NAME => Ok(None),
        StrategySource::Named(_) | StrategySource::File(_) | StrategySource::Bytes { .. } => {
            let bundle = cluster::pack(source::read(strategy)?, options);
            bundle.map(Some).map_err(|error| ClusterError::Refused(error.to_string()).into())
        }
    }
}

fn one_source(name: Option<String>, path: Option<PathBuf>) -> Result<StrategySource, Failure> {
    match (name, path) {
        (Some(name), None) => Ok(StrategySource::Named(name)),
        (None, Some(path)) => Ok(StrategySource::File(path)),
        _ => Err(Failure::new("syntax", "a swap has either a name or a path: give one of them")),
    }
}

fn of_cluster(error: ClusterError) -> Failure {
    let word = match error {
        ClusterError::NoCluster => "no-cluster",
        ClusterError::Ended => "ended",
        ClusterError::Overloaded => "overloaded",
        _ => "refused",
    };
    Failure::new(word, error.to_string())
}

/// Answers the control socket.
struct Desk(Arc<Inner>);

impl Desk {
    fn cluster(&self) -> Result<&Cluster, Failure> {
        self.0.cluster.get().ok_or_else(|| of_cluster(ClusterError::NoCluster))
    }
}

impl Controlled for Desk {
    fn control(&self, request: Request) -> Result<Answer, Failure> {
        let refused = |error: NodeError| Failure::new(word(&error), error.to_string());
        match request {
            Request::Status { journal, roots } => {
                let mut status = self.0.board.status(&self.0.heap, journal);
                let (first, count) = self.0.heap.first_named_roots(roots);
                status.roots_left_out = count - first.len() as u64;
                status.roots =
                    first.into_iter().map(|(name, handle)| RootRecord::new(name, handle)).collect();
                Ok(Answer::Status(Box::new(status)))
            }
            Request::Collect { without: Some(name), .. } => {
                self.cluster()?.without(&name).map(Answer::Without).map_err(of_cluster)
            }
            Request::Collect { dry_run: false, local: false, .. } if self.0.cluster.get().is_some() => {
                self.cluster()?.collect().map(|record| Answer::Over(Box::new(record))).map_err(of_cluster)
            }
            Request::Collect { dry_run, .. } => self
                .0
                .collect(Cause::Request, dry_run)
                .map(|record| Answer::Collect(Box::new(record)))
                .map_err(refused),
            Request::Cluster { retained } => {
                let cluster = self.cluster()?;
                let status = if retained { cluster.status_with_retained() } else { cluster.status() };
                Ok(Answer::Cluster(Box::new(status.map_err(of_cluster)?)))
            }
            Request::Exile { node } => self.cluster()?.exile(&node).map(Answer::Exile).map_err(of_cluster),
            Request::SwapCluster { name, path, options } => {
                let source = one_source(name, path)?;
                let component = source::read(&source).map_err(refused)?;
                let swapped = self.cluster()?.swap_with(&source.label(), component, options);
                swapped.map(Answer::SwapCluster).map_err(of_cluster)
            }
            Request::Swap { name, path, options, shadow } => {
                let source = one_source(name, path)?;
                let plan = shadow.map_or(Plan::Serve, |cycles| Plan::Shadow { cycles });
                self.0.swap(source, options, plan).map(Answer::Swap).map_err(refused)
            }
            Request::Why { handle } => {
                let handle: Handle = handle
                    .parse()
                    .map_err(|error: gc_heap::HandleSyntax| Failure::new("syntax", error.to_string()))?;
                match self.0.cluster.get() {
                    Some(cluster) => cluster.why(handle).map(Answer::Why).map_err(of_cluster),
                    None => Ok(Answer::Why(WhyRecord::new(handle, &self.0.heap.why(handle)))),
                }
            }
        }
    }
}

fn word(error: &NodeError) -> &'static str {
    match error {
        NodeError::SwapFailed { .. } => "swap-failed",
        NodeError::SwapBusy => "busy",
        NodeError::Overloaded => "overloaded",
        NodeError::Stopped => "stopped",
        _ => "refused",
    }
}

/// Sets up a node. Everything that it does not name is in [`NodeConfig`]: see [`Builder::configure`].
#[derive(Debug, Clone)]
pub struct Builder {
    config: NodeConfig,
}

impl Builder {
    /// The first strategy: the name of a built-in one, a path, or a [`StrategySource`].
    #[must_use]
    pub fn strategy(mut self, strategy: impl Into<StrategySource>) -> Builder {
        self.config.strategy = strategy.into();
        self
    }

    /// Sets an option of the first strategy.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Builder {
        self.config.options.insert(name.into(), value.into());
        self
    }

    /// Most bytes that cells and payloads may take together.
    #[must_use]
    pub fn heap_limit(mut self, bytes: u64) -> Builder {
        self.config.heap.limit_bytes = bytes;
        self
    }

    /// Everything else about the heap.
    #[must_use]
    pub fn heap(mut self, heap: HeapConfig) -> Builder {
        self.config.heap = heap;
        self
    }

    /// Where compiled code is kept between runs.
    #[must_use]
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Builder {
        self.config.cache_dir = Some(path.into());
        self
    }

    /// Serve the control socket here, so that `host status` and the others can talk to the program.
    #[must_use]
    pub fn control(mut self, path: impl AsRef<Path>) -> Builder {
        self.config.control = Some(path.as_ref().to_owned());
        self
    }

    /// Serve Prometheus metrics here.
    #[must_use]
    pub fn metrics(mut self, address: SocketAddr) -> Builder {
        self.config.metrics = Some(address);
        self
    }

    /// Begin a cycle when none did for this long.
    #[must_use]
    pub fn idle(mut self, idle: Option<Duration>) -> Builder {
        self.config.idle = idle;
        self
    }

    /// Cycles that are the same in every replay: see [`NodeConfig::deterministic`].
    #[must_use]
    pub fn deterministic(mut self) -> Builder {
        self.config.deterministic = true;
        self
    }

    /// Changes anything.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut NodeConfig)) -> Builder {
        change(&mut self.config);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub fn start(self) -> Result<Node, NodeError> {
        Node::start(self.config)
    }
}
