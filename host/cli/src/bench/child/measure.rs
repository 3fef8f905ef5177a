//! One run: a node, a workload on it, and what there was to measure.
//!
//! ```text
//!  order ─▶ load, attach ─▶ node ─▶ warm-up ─▶ timed iteration ─▶ measures
//!                             │                      │
//!                      sampler, events        marks of the driver
//! ```
//!
//! The strategy is handed to the node as native code that stands around the Wasm instance ([`Metered`]), because only there the times of single calls are
//! known. In runs that measure a swap the node gets the strategies as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use gc_heap::{Graph, Heap, HeapError, Strategy};
use gc_lab::bench::meter::{Counted, Meter, Metered, Notes};
use gc_lab::bench::model::{Failure, Kind, Measures, StartCost};
use gc_lab::bench::oracle::{Stock, Watched, Witness};
use gc_lab::bench::protocol::{Order, Player};
use gc_lab::{WorkloadError, WorkloadReport, WorkloadSpec};
use gc_node::{Hold, Node, NodeConfig, NodeError, StrategySource};
use gc_plugin::{Access, CodeOrigin, Limits, LoadedStrategy, Loader, LoaderConfig, WasmStrategy};

use crate::bench::child::assemble::{self, Timed};
use crate::bench::child::clocks;
use crate::bench::child::driver::{Marks, Watch};
use crate::bench::child::nodes::Nodes;
use crate::bench::child::sampler::Sampler;
use crate::run::Company;

/// Why a run has no figures.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) how: Failure,
    pub(crate) why: String,
}

impl Failed {
    pub(crate) fn new(how: Failure, why: impl Into<String>) -> Failed {
        Failed { how, why: why.into() }
    }
}

impl From<NodeError> for Failed {
    fn from(error: NodeError) -> Failed {
        Failed::new(Failure::Strategy, error.to_string())
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Failed {
        Failed::new(Failure::Workload, format!("{error:#}"))
    }
}

impl From<WorkloadError> for Failed {
    fn from(error: WorkloadError) -> Failed {
        let how = match &error {
            WorkloadError::Heap(HeapError::Full { .. } | HeapError::TooManySlots { .. })
            | WorkloadError::NoRoom { .. } => Failure::HeapFull,
            WorkloadError::Lost(_) | WorkloadError::Corrupted { .. } | WorkloadError::Collect(_) => {
                Failure::Strategy
            }
            WorkloadError::Panicked => Failure::Crashed,
            _ => Failure::Workload,
        };
        Failed::new(how, error.to_string())
    }
}

/// Makes the run.
pub(crate) fn measure(order: &Order) -> Result<Measures, Failed> {
    let mut spec: WorkloadSpec = order
        .workload
        .parse()
        .map_err(|error: gc_lab::SpecError| Failed::new(Failure::Workload, error.to_string()))?;
    spec.set_seed(order.seed);
    if order.kind == Kind::Oracle && spec.nodes() > 1 {
        spec.write_down_lives();
    }
    let stand = Stand::new(order, spec.nodes())?;
    let (nodes, start) = stand.nodes(order)?;
    let watch = Watch::new(&nodes, stand.meters.clone());
    let mut sampler = Sampler::new(&nodes.first);
    let swap = order.swap.as_ref().map(|(player, after_ns)| (player, Duration::from_nanos(*after_ns)));
    let done = run(&spec, order.warmup_iterations, &nodes, &watch, &mut sampler, swap);
    sampler.end();
    // A strategy that failed is the reason for whatever happened to the workload after it.
    if let Some(reason) = sampler.failure.take().or_else(|| nodes.failure()) {
        return Err(Failed::new(Failure::Strategy, reason));
    }
    let (marks, report, swapped) = done?;
    let timed = Timed::new(&spec, &marks, &report, watch.mark());
    let mut measures = assemble::measures(order, &timed, &report, &sampler, &stand, &nodes);
    measures.start = start;
    if order.kind == Kind::Oracle {
        match spec.nodes() {
            1 => assemble::quality(&mut measures, &stand.witness, &timed),
            _ => assemble::quality_over_nodes(&mut measures, &report, &timed)?,
        }
    }
    if let Some(asked) = swapped {
        measures.swap = assemble::swap(order, &timed, &sampler, asked)?;
    }
    nodes.shutdown();
    Ok(measures)
}

type Done = (Marks, WorkloadReport, Option<Asked>);

/// When a swap was asked for, and how it was answered.
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) done_at: Instant,
    pub(crate) operations_at: u64,
    pub(crate) operations_done: u64,
    /// The longest hold-up in between.
    pub(crate) pause_ns_max: u64,
}

/// Runs the workload beside the sampler: the warm-up iterations, then the timed one.
fn run(
    spec: &WorkloadSpec,
    warmup: u32,
    nodes: &Nodes,
    watch: &Watch<'_>,
    sampler: &mut Sampler,
    swap: Option<(&Player, Duration)>,
) -> Result<Done, Failed> {
    let work = || {
        for _ in 0..warmup {
            watch.begin();
            nodes.run(spec, watch)?;
        }
        watch.begin();
        nodes.run(spec, watch)
    };
    let cannot =
        |error: std::io::Error| Failed::new(Failure::Crashed, format!("cannot start a thread: {error}"));
    std::thread::scope(|threads| {
        let load = std::thread::Builder::new()
            .name("bench-load".into())
            .spawn_scoped(threads, work)
            .map_err(cannot)?;
        let swapping =
            swap.map(|(player, after)| threads.spawn(move || exchange(&nodes.first, watch, player, after)));
        while !load.is_finished() {
            sampler.turn(nodes);
        }
        let report = load.join().map_err(|_| Failed::new(Failure::Crashed, "the workload panicked"))?;
        let swapped = swapping.map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Failed::new(Failure::Crashed, "the swap panicked")))
        });
        Ok((watch.marks(), report?, swapped.transpose()?))
    })
}

/// Waits for the timed part, lets it go on for a while, and swaps.
fn exchange(node: &Node, watch: &Watch<'_>, player: &Player, after: Duration) -> Result<Asked, Failed> {
    let begin = loop {
        let marks = watch.marks();
        if marks.collect.is_some() {
            return Err(Failed::new(
                Failure::Workload,
                "the workload ended before the swap: choose an earlier --swap-at",
            ));
        }
        if let Some(mark) = marks.mutate.or(marks.build) {
            break mark.at;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    std::thread::sleep(after.saturating_sub(begin.elapsed()));
    let done = || watch.marks().progress.map_or(0, |progress| progress.done);
    let _ = node.heap().take_holdups();
    let (at, operations_at) = (Instant::now(), done());
    node.swap_with(StrategySource::from(player.source.as_str()), player.options.clone())?;
    let (done_at, operations_done) = (Instant::now(), done());
    let pause_ns_max = node.heap().take_holdups().max_ns;
    Ok(Asked { at, done_at, operations_at, operations_done, pause_ns_max })
}

/// Why a strategy could not be attached.
type Trouble = Arc<Mutex<Option<String>>>;

/// The strategy on its stand, ready to be attached.
pub(crate) struct Stand {
    loaded: Option<Arc<LoadedStrategy>>,
    load: Duration,
    /// One for each node.
    pub(crate) meters: Vec<Meter>,
    witness: Witness,
    /// That of the first node, known once it is.
    heap: Arc<OnceLock<Heap>>,
}

impl Stand {
    fn new(order: &Order, nodes: u32) -> Result<Stand, Failed> {
        let begun = Instant::now();
        let source = StrategySource::from(order.strategy.source.as_str());
        let loaded = match order.strategy.source.as_str() {
            Hold::NAME => None,
            _ => Some(load(&source, order)?),
        };
        Ok(Stand {
            loaded,
            load: begun.elapsed(),
            meters: (0..nodes.max(1)).map(|_| Meter::default()).collect(),
            witness: Witness::default(),
            heap: Arc::default(),
        })
    }

    /// Of the strategy that a run begins with.
    pub(crate) fn digest(&self) -> &str {
        self.loaded.as_ref().map_or("native", |loaded| loaded.digest())
    }

    /// What was noted on the first node, with the most memory that its strategy had.
    pub(crate) fn notes(&self) -> Notes {
        self.meters.first().map(Meter::notes).unwrap_or_default()
    }

    fn config(&self, order: &Order, node: usize, trouble: &Trouble) -> Result<NodeConfig, Failed> {
        let mut config = NodeConfig { cache_dir: order.cache.clone(), idle: None, ..NodeConfig::default() };
        config.heap.limit_bytes = order.heap_bytes;
        match (&self.loaded, order.kind) {
            (Some(loaded), kind) if kind != Kind::Swap => {
                config.strategy = self.metered(loaded, order, node, trouble)?;
            }
            _ => {
                config.strategy = StrategySource::from(order.strategy.source.as_str());
                config.options = order.strategy.options.clone();
            }
        }
        Ok(config)
    }

    /// Starts the nodes with the strategy in each.
    fn nodes(&self, order: &Order) -> Result<(Nodes, StartCost), Failed> {
        let trouble = Trouble::default();
        let mut config = self.config(order, 0, &trouble)?;
        let several = self.meters.len() > 1;
        let mut company = several.then(Company::prepare).transpose()?;
        if let Some(company) = &mut company {
            config.cluster = Some(company.seat(1, None)?);
        }
        let begun = Instant::now();
        let node = Node::start(config)?;
        let attach = begun.elapsed();
        if let Some(company) = &mut company {
            let others = |number: usize| self.config(order, number - 1, &trouble);
            company.start::<Failed>(&node, self.meters.len() as u32, others)?;
        }
        if let Some(trouble) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Failed::new(Failure::Strategy, trouble));
        }
        let _ = self.heap.set(node.heap().clone());
        let cached =
            self.loaded.as_ref().is_some_and(|loaded| matches!(loaded.code_origin(), CodeOrigin::Cached));
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        let nodes = Nodes { company, first: node };
        Ok((nodes, StartCost { load_ns: nanoseconds(self.load), cached, attach_ns: nanoseconds(attach) }))
    }

    fn metered(
        &self,
        loaded: &Arc<LoadedStrategy>,
        order: &Order,
        node: usize,
        trouble: &Trouble,
    ) -> Result<StrategySource, Failed> {
        let options = gc_node::typed(loaded.description(), &order.strategy.options)?;
        let (loaded, trouble) = (Arc::clone(loaded), Arc::clone(trouble));
        let (meter, witness, heap) =
            (self.meters[node].clone(), self.witness.clone(), Arc::clone(&self.heap));
        // Over several nodes they write down themselves what an oracle of one heap cannot see.
        let watched = order.kind == Kind::Oracle && self.meters.len() == 1;
        let maker = move |graph: &Arc<Graph>| -> Box<dyn Strategy + Send> {
            let strategy = match loaded.attach(graph, &options, Access::Auto) {
                Ok(strategy) => strategy,
                Err(error) => {
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                    return Box::new(Hold::new());
                }
            };
            if !watched {
                return Box::new(Metered::new(strategy, counted, clocks::thread_ns, meter.clone()));
            }
            let heap = Arc::clone(&heap);
            let stock = Box::new(move || heap.get().map(Stock::of).unwrap_or_default());
            let watched = Watched::new(strategy, stock, Arc::clone(graph), witness.clone());
            let inner = |watched: &Watched<WasmStrategy>| counted(watched.inner());
            Box::new(Metered::new(watched, inner, clocks::thread_ns, meter.clone()))
        };
        Ok(StrategySource::Native { name: order.strategy.source.clone(), maker: Arc::new(maker) })
    }
}

fn load(source: &StrategySource, order: &Order) -> Result<Arc<LoadedStrategy>, Failed> {
    let plugin = |error: gc_plugin::PluginError| Failed::new(Failure::Strategy, error.to_string());
    let fuel = order.kind == Kind::Fuel;
    let config = LoaderConfig { cache_dir: order.cache.clone(), limits: Limits::default(), fuel };
    // A cache that cannot be used costs time and no more.
    let loader = Loader::new(config)
        .or_else(|_| Loader::new(LoaderConfig { fuel, ..LoaderConfig::default() }))
        .map_err(plugin)?;
    loader.load(gc_node::read(source)?, &source.label()).map_err(plugin)
}

fn counted(strategy: &WasmStrategy) -> Counted {
    Counted {
        memory_bytes: strategy.memory_bytes(),
        crossings: strategy.crossings(),
        fuel: strategy.fuel_used(),
    }
}

/// What an empty crossing costs here, in nanoseconds: cycles on a heap with nothing in it, where all a strategy does is to be called.
pub(crate) fn crossing_ns(order: &Order) -> Option<f64> {
    let source = StrategySource::from(order.strategy.source.as_str());
    let loaded = load(&source, order).ok()?;
    let heap = Heap::new(gc_heap::HeapConfig::with_limit(1 << 20)).ok()?;
    let options = gc_node::typed(loaded.description(), &BTreeMap::new()).ok()?;
    let strategy = loaded.attach(heap.graph(), &options, Access::Auto).ok()?;
    let meter = Meter::default();
    let mut metered = Metered::new(strategy, counted, clocks::thread_ns, meter.clone());
    let mut collector = gc_heap::Collector::new(&heap);
    let mut cycle = || {
        let request = gc_heap::CycleRequest::new(gc_heap::Cause::Request);
        collector.run(&request, &mut metered, None, &mut |_| gc_heap::Pace::Go);
        meter.sums()
    };
    let (spent, counted) = (0..20).map(|_| cycle()).last()?;
    let (spent_later, counted_later) = (0..200).map(|_| cycle()).last()?;
    let crossings = counted_later.crossings.checked_sub(counted.crossings).filter(|&count| count > 0)?;
    Some((spent_later.strategy_ns - spent.strategy_ns) as f64 / crossings as f64)
}
