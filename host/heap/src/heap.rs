//! The heap: the two planes, who works on them, and the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gc_memory::{Block, SlabConfig, Slabs};

use crate::cells::CellSpace;
use crate::columns::{Columns, flag};
use crate::decision::{DecisionRecord, Decisions};
use crate::error::{Gone, HeapError};
use crate::graph::Graph;
use crate::handle::Handle;
use crate::handshake::Registry;
use crate::holdup::HoldupCounts;
use crate::limits::{BLOCK_CELLS, CAPACITY_MAX, CAPACITY_MIN, CELL_BYTES};
use crate::mutator::Mutator;
use crate::pacer::{Amount, Brake};
use crate::remote::Remote;
use crate::roots::Roots;
use crate::signal::Signal;
use crate::sync::{Mutex, lock};
use crate::tape::Tape;

/// What of a free cell can be given back: references, stamp, locator, flags.
const RELEASED_CELL_BYTES: u64 = 25;

/// What happens to condemned cells before their memory is used again. A cycle for a full heap frees all of them at once, whatever this says.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Quarantine {
    /// They are freed in the cycle that condemned them. Nothing can be restored.
    Off,
    /// They wait until the next verdict was proved.
    UntilNextProof,
    /// They wait this long, and then for the next cycle.
    For(Duration),
}

/// What a heap is made with.
#[derive(Debug, Clone)]
pub struct HeapConfig {
    /// Most bytes that cells (32 each) and payload blocks may take together. Address space for all of it is reserved at once, memory is used
    /// as it is needed. Default 1 GiB.
    pub limit_bytes: u64,
    /// Most cells; default `limit_bytes / 32`. Rounded up to a multiple of 4096.
    pub cell_capacity: Option<u32>,
    /// This node's number in handles.
    pub node: u32,
    /// This node's incarnation in handles.
    pub incarnation: u64,
    /// Default [`Quarantine::UntilNextProof`].
    pub quarantine: Quarantine,
    /// Whether verdicts are proved before they are executed. Off is for measuring what the proof costs: a wrong strategy then loses objects.
    pub proof: bool,
    /// Whether a verdict of a few cells may wait for later ones, to share one proof with them.
    pub share_proofs: bool,
    /// How long an allocation, or a reference that has arrived, waits in a full heap while no collection frees anything, before it answers [`HeapError::Full`]. It does so as well after a
    /// few dozen collections that freed something which others took. Default 2 s.
    pub full_wait: Duration,
    /// Payload memory. Its arena is made as large as `limit_bytes`.
    pub slabs: SlabConfig,
    /// Where mutators write down what they do. Default none.
    pub tape: Option<Tape>,
}

impl Default for HeapConfig {
    fn default() -> HeapConfig {
        HeapConfig {
            limit_bytes: 1 << 30,
            cell_capacity: None,
            node: 0,
            incarnation: 1,
            quarantine: Quarantine::UntilNextProof,
            proof: true,
            share_proofs: true,
            full_wait: Duration::from_secs(2),
            slabs: SlabConfig::default(),
            tape: None,
        }
    }
}

impl HeapConfig {
    /// A heap of `limit_bytes` with defaults for the rest.
    #[must_use]
    pub fn with_limit(limit_bytes: u64) -> HeapConfig {
        HeapConfig { limit_bytes, ..HeapConfig::default() }
    }

    fn capacity(&self) -> Result<u32, HeapError> {
        let wanted = match self.cell_capacity {
            Some(cells) => u64::from(cells),
            None => self.limit_bytes / CELL_BYTES,
        };
        if self.limit_bytes < u64::from(CAPACITY_MIN) * CELL_BYTES {
            return Err(HeapError::Config {
                what: format!("a heap of {} bytes is too small", self.limit_bytes),
                remedy: "give it at least 128 KiB",
            });
        }
        let block = u64::from(BLOCK_CELLS);
        let capacity = wanted.clamp(block, u64::from(CAPACITY_MAX)).next_multiple_of(block);
        Ok(capacity.min(u64::from(CAPACITY_MAX)) as u32)
    }
}

/// What is in use as the pacer and the limit count it. Mutators add late and the collector subtracts at once, so the sums may be a little below
/// zero for a moment.
#[derive(Default)]
pub(crate) struct Usage {
    cells: AtomicI64,
    bytes: AtomicI64,
    /// Reaching one of these wakes the collector: see [`Heap::set_trigger`].
    trigger_cells: AtomicU64,
    trigger_bytes: AtomicU64,
    /// From one of these on mutators are slowed: see [`Heap::set_brake`].
    brake_cells: AtomicU64,
    brake_bytes: AtomicU64,
    brake_span_ns: AtomicU64,
}

impl Usage {
    pub(crate) fn cells(&self) -> u64 {
        self.cells.load(Ordering::Relaxed).max(0) as u64
    }

    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed).max(0) as u64
    }

    pub(crate) fn amount(&self) -> Amount {
        Amount { cells: self.cells(), bytes: self.bytes() }
    }

    pub(crate) fn add(&self, cells: u64, bytes: u64) {
        self.cells.fetch_add(cells as i64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as i64, Ordering::Relaxed);
    }

    pub(crate) fn trigger(&self) -> Amount {
        let (cells, bytes) = (&self.trigger_cells, &self.trigger_bytes);
        Amount { cells: cells.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
    }

    fn set_trigger(&self, trigger: Amount) {
        self.trigger_cells.store(trigger.cells, Ordering::Relaxed);
        self.trigger_bytes.store(trigger.bytes, Ordering::Relaxed);
    }

    pub(crate) fn brake(&self) -> Brake {
        let read = |field: &AtomicU64| field.load(Ordering::Relaxed);
        Brake {
            from: Amount { cells: read(&self.brake_cells), bytes: read(&self.brake_bytes) },
            span: Duration::from_nanos(read(&self.brake_span_ns)),
        }
    }

    fn set_brake(&self, Brake { from, span }: Brake) {
        self.brake_cells.store(from.cells, Ordering::Relaxed);
        self.brake_bytes.store(from.bytes, Ordering::Relaxed);
        self.brake_span_ns.store(span.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, cells: u64, bytes: u64) {
        self.cells.fetch_sub(cells as i64, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes as i64, Ordering::Relaxed);
    }
}

/// Counts over the life of a heap, kept by reclaim.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) condemned_objects: AtomicU64,
    pub(crate) condemned_cells: AtomicU64,
    pub(crate) condemned_bytes: AtomicU64,
    pub(crate) freed_objects: AtomicU64,
    pub(crate) freed_cells: AtomicU64,
    pub(crate) freed_bytes: AtomicU64,
    pub(crate) quarantined_cells: AtomicU64,
    pub(crate) cycles: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) withheld_cells: AtomicU64,
}

pub(crate) struct Inner {
    /// Told apart from other heaps of this process, so that a pin of one is not used in another.
    pub(crate) tag: u32,
    pub(crate) config: HeapConfig,
    pub(crate) started: Instant,
    pub(crate) graph: Arc<Graph>,
    pub(crate) columns: Columns,
    pub(crate) space: CellSpace,
    pub(crate) slabs: Arc<Slabs>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) roots: Roots,
    pub(crate) remote: Mutex<Remote>,
    /// There have been stubs: saves a lock where there were none.
    pub(crate) stubs: AtomicBool,
    pub(crate) decisions: Mutex<Decisions>,
    /// What the columns had of the system when that was last asked.
    pub(crate) resident: Mutex<Option<(Instant, u64)>>,
    /// The running grace epoch: rises once per cycle.
    pub(crate) grace: AtomicU64,
    pub(crate) usage: Usage,
    pub(crate) totals: Totals,
    /// The verdict has fallen for good: what is condemned at this moment goes, and whoever looks it up need not wait for that. Cleared before mutators
    /// are told that a verdict is about to fall.
    pub(crate) decided: AtomicBool,
    pub(crate) signal: Signal,
    pub(crate) holdups: Arc<HoldupCounts>,
}

/// A heap. Clones are the same heap.
#[derive(Clone)]
pub struct Heap {
    pub(crate) inner: Arc<Inner>,
}

impl Heap {
    /// Reserves the memory of a heap.
    ///
    /// # Errors
    ///
    /// [`HeapError::Config`] for a limit that is too small, [`HeapError::Memory`] when the system refuses the address space.
    pub fn new(config: HeapConfig) -> Result<Heap, HeapError> {
        static NEXT_TAG: AtomicU32 = AtomicU32::new(1);
        let capacity = config.capacity()?;
        let slabs = Slabs::new(SlabConfig { arena_bytes: config.limit_bytes, ..config.slabs.clone() })?;
        let holdups = Arc::new(HoldupCounts::default());
        let usage = Usage::default();
        usage.set_trigger(Amount::MAX);
        usage.set_brake(Brake::OFF);
        Ok(Heap {
            inner: Arc::new(Inner {
                tag: NEXT_TAG.fetch_add(1, Ordering::Relaxed),
                started: Instant::now(),
                graph: Graph::new(capacity)?,
                columns: Columns::new(capacity)?,
                space: CellSpace::new(capacity, Arc::clone(&holdups)),
                slabs,
                registry: Mutex::new(Registry::new()),
                roots: Roots::new(config.tape.as_ref()),
                remote: Mutex::default(),
                stubs: AtomicBool::new(false),
                decisions: Mutex::new(Decisions::default()),
                resident: Mutex::default(),
                grace: AtomicU64::new(1),
                usage,
                totals: Totals::default(),
                decided: AtomicBool::new(false),
                signal: Signal::default(),
                holdups,
                config,
            }),
        })
    }

    /// A mutator for the calling thread, or for one that it is sent to.
    #[must_use]
    pub fn mutator(&self) -> Mutator {
        Mutator::register(&self.inner)
    }

    /// The plane that strategies see.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.inner.graph
    }

    /// What the heap was made with.
    #[must_use]
    pub fn config(&self) -> &HeapConfig {
        &self.inner.config
    }

    /// Where the collector thread waits for work.
    #[must_use]
    pub fn signal(&self) -> &Signal {
        &self.inner.signal
    }

    /// The decision records that are kept, oldest first.
    #[must_use]
    pub fn decisions(&self) -> Vec<DecisionRecord> {
        let kept = lock(&self.inner.decisions).all();
        kept.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// The collector is woken when what is in use [reaches](Amount::reaches) this.
    pub fn set_trigger(&self, trigger: Amount) {
        self.inner.usage.set_trigger(trigger);
    }

    /// Where mutators are slowed, and by how much: see [`crate::pacer`].
    pub fn set_brake(&self, brake: Brake) {
        self.inner.usage.set_brake(brake);
    }

    /// Whether cells wait in quarantine that stand for objects of other nodes: those nodes keep the objects until the next proof here.
    #[must_use]
    pub fn has_quarantined_stubs(&self) -> bool {
        self.inner.quarantined_stubs().any(|(_, word)| word != 0)
    }

    /// In use, as the limit counts it. Up to 64 KiB per mutator may not be counted yet.
    #[must_use]
    pub fn used(&self) -> Amount {
        self.inner.usage.amount()
    }

    /// How much there may be.
    #[must_use]
    pub fn limit(&self) -> Amount {
        self.inner.limit()
    }

    /// Names of the named roots with the handles of what they hold.
    #[must_use]
    pub fn named_roots(&self) -> Vec<(String, Handle)> {
        let names = self.inner.roots.names().into_iter();
        names.map(|(name, cell)| (name, self.inner.handle(cell))).collect()
    }

    /// The first named roots in the order of their names, at most [`ROOTS_PIECE`](crate::limits::ROOTS_PIECE) of them, with the handles of what they hold; and how
    /// many named roots there are. Takes as long as what it answers, however many there are.
    #[must_use]
    pub fn first_named_roots(&self, most: usize) -> (Vec<(String, Handle)>, u64) {
        let (first, count) = self.inner.roots.first_names(most);
        (first.into_iter().map(|(name, cell)| (name, self.inner.handle(cell))).collect(), count as u64)
    }

    /// Hands over what is left on the tape. Mutators do so themselves when they go; what those that are still there have in their buffers is
    /// handed over later.
    pub fn end_recording(&self) {
        self.inner.roots.end_recording();
    }

    /// Lets the payload memory shrink when it has been idle. Call now and then; the collector thread of a node does.
    pub fn tick(&self) {
        self.inner.slabs.tick(self.inner.started.elapsed());
    }

    /// Gives the memory of cells back to the system where whole blocks of 4096 are free. Worth calling when a cycle has freed much.
    ///
    /// # Errors
    ///
    /// When the system does not take memory back. Nothing is lost then.
    pub fn trim(&self) -> Result<u64, HeapError> {
        let inner = &*self.inner;
        let mut released = 0;
        for block in 0..inner.space.blocks_in_use() {
            released += u64::from(inner.space.release_empty(block, &inner.graph, &inner.columns)?);
        }
        Ok(released * u64::from(BLOCK_CELLS) * RELEASED_CELL_BYTES)
    }
}

impl Inner {
    #[inline]
    pub(crate) fn capacity(&self) -> u32 {
        self.graph.capacity()
    }

    /// The name of an object: of a stub, what it stands for.
    pub(crate) fn handle(&self, cell: u32) -> Handle {
        if self.stubs.load(Ordering::Relaxed)
            && self.columns.is_stub(cell)
            && let Some(home) = self.home_handle(cell, &lock(&self.remote))
        {
            return home;
        }
        Handle {
            node: self.config.node,
            incarnation: self.config.incarnation,
            cell,
            generation: self.columns.generation[cell as usize].load(Ordering::Relaxed),
        }
    }

    /// What a stub stands for.
    pub(crate) fn home_handle(&self, stub: u32, remote: &Remote) -> Option<Handle> {
        remote.stubs.handle(self.columns.stamp[stub as usize].load(Ordering::Relaxed), stub)
    }

    /// Bytes of the block that the payload of a cell is in.
    #[inline]
    pub(crate) fn block_bytes(&self, cell: u32) -> u64 {
        let locator = self.columns.locator[cell as usize].load(Ordering::Relaxed);
        Block::from_index(locator).map_or(0, |block| self.slabs.block_bytes(block))
    }

    /// Whether a handle names an object of this heap, in this life.
    #[inline]
    pub(crate) fn is_home_of(&self, handle: Handle) -> bool {
        handle.node == self.config.node && handle.incarnation == self.config.incarnation
    }

    /// The cell of the live object that a handle of this heap names.
    #[inline]
    pub(crate) fn locate(&self, handle: Handle) -> Option<u32> {
        let cell = handle.cell;
        // The bit before the generation: whoever sees the bit of a later object in the same cell sees its generation too.
        (cell != 0
            && cell < self.capacity()
            && crate::graph::has(self.graph.allocated(), cell)
            && self.columns.generation[cell as usize].load(Ordering::Acquire) == handle.generation
            && self.columns.flags[cell as usize].load(Ordering::Relaxed) & (flag::EXTENSION | flag::STUB)
                == 0)
            .then_some(cell)
    }

    /// The cell of the live object that a handle names, or of the stub that stands for it.
    pub(crate) fn find(&self, handle: Handle) -> Option<u32> {
        if self.is_home_of(handle) {
            return self.locate(handle);
        }
        let remote = lock(&self.remote);
        let stub = remote.stubs.stub(remote.stubs.find(handle)?);
        crate::graph::has(self.graph.allocated(), stub).then_some(stub)
    }

    /// Says that a handle leads nowhere, and why if that is known.
    pub(crate) fn gone(&self, handle: Handle) -> Gone {
        Gone { handle, decision: self.decision_on(handle).map(Box::new) }
    }

    /// Says that what a handle leads to is about to go.
    pub(crate) fn going(&self, handle: Handle) -> Gone {
        let newest = self.holdups.lock(&self.decisions).newest();
        Gone { handle, decision: newest.map(|record| Box::new(DecisionRecord::clone(&record))) }
    }

    fn decision_on(&self, handle: Handle) -> Option<DecisionRecord> {
        if !self.is_home_of(handle) || handle.cell == 0 || handle.cell >= self.capacity() {
            return None;
        }
        let cell = handle.cell as usize;
        let generation = self.columns.generation[cell].load(Ordering::Acquire);
        let quarantined = crate::graph::has(&self.columns.quarantine, handle.cell);
        let condemned_last = match generation.checked_sub(handle.generation)? {
            0 => quarantined,
            // Freed, and its successor not condemned yet: the number in the column is still the one of this generation.
            1 => !quarantined,
            _ => false,
        };
        let number = self.columns.decision[cell].load(Ordering::Relaxed);
        let record = condemned_last.then(|| self.holdups.lock(&self.decisions).find(number)).flatten()?;
        Some(DecisionRecord::clone(&record))
    }

    /// Words of the bitmap of stubs, as far as they are in quarantine.
    pub(crate) fn quarantined_stubs(&self) -> impl Iterator<Item = (usize, u64)> {
        let len = if self.stubs.load(Ordering::Relaxed) { self.space.words_in_use() } else { 0 };
        let words = self.columns.quarantine[..len].iter().zip(self.graph.stub());
        words.map(|(one, other)| one.load(Ordering::Relaxed) & other.load(Ordering::Relaxed)).enumerate()
    }

    pub(crate) fn limit(&self) -> Amount {
        Amount { cells: u64::from(self.capacity()), bytes: self.config.limit_bytes }
    }

    pub(crate) fn full(&self, cycles: u64) -> HeapError {
        HeapError::Full {
            used_bytes: self.usage.bytes(),
            limit_bytes: self.config.limit_bytes,
            used_cells: self.usage.cells(),
            capacity_cells: u64::from(self.capacity()),
            cycles,
            payloads: None,
        }
    }
}
