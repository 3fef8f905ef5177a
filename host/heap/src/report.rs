//! What a cycle reports, and the counts of a heap.

use crate::columns;
use crate::graph::PlaneLayout;
use crate::handle::Handle;
use crate::heap::{Heap, Inner};
use crate::holdup::{HeldUp, Holdups};
use crate::limits::{CELL_BYTES, RESIDENT_EVERY};
use crate::proof::Violation;
use crate::strategy::{Cause, Fault, StrategyIdentity};
use crate::sync::lock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How a cycle ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CycleEnd {
    /// The verdict was proved and carried out.
    Settled,
    /// The verdict was proved, counted, and not carried out, as was asked.
    DryRun,
    /// The verdict is small and waits for later ones, to share their proof.
    Deferred,
    /// The pace callback gave the cycle up; or, in a cycle over nodes, the others did, or the heap because it was full.
    Abandoned,
    /// The strategy failed.
    Faulted(Fault),
    /// The proof failed.
    Refused(Violation),
}

impl CycleEnd {
    /// The word used in log lines and metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            CycleEnd::Settled => "settled",
            CycleEnd::DryRun => "dry-run",
            CycleEnd::Deferred => "deferred",
            CycleEnd::Abandoned => "abandoned",
            CycleEnd::Faulted(_) => "faulted",
            CycleEnd::Refused(_) => "refused",
        }
    }
}

/// One cycle. Counts are of this cycle where they are not called live. Times are wall clock in nanoseconds.
#[derive(Debug, Clone)]
pub struct CycleReport {
    /// Number of the cycle.
    pub number: u64,
    /// Why it was begun.
    pub cause: Cause,
    /// Who decided.
    pub strategy: StrategyIdentity,
    /// How it ended.
    pub end: CycleEnd,
    /// Objects condemned, or in a dry run those that would have been.
    pub condemned_objects: u64,
    /// Cells condemned.
    pub condemned_cells: u64,
    /// Bytes condemned, cells and payload blocks together; in a dry run those that would have been.
    pub condemned_bytes: u64,
    /// In a dry run: the first objects that would have been condemned, at most [`DRY_RUN_NAMED`](crate::limits::DRY_RUN_NAMED).
    pub would_condemn: Vec<Handle>,
    /// Objects whose memory can be used again, mostly condemned in earlier cycles.
    pub freed_objects: u64,
    /// Their cells.
    pub freed_cells: u64,
    /// Bytes that can be used again.
    pub freed_bytes: u64,
    /// Cells that were proposed and kept because they were looked up, or retired and still referenced.
    pub withheld_cells: u64,
    /// Cells that were proposed and kept because they are roots.
    pub rooted_cells: u64,
    /// As [`HeapStats::live_objects`], at the end.
    pub live_objects: u64,
    /// As [`HeapStats::live_cells`], at the end.
    pub live_cells: u64,
    /// As [`HeapStats::live_bytes`], at the end.
    pub live_bytes: u64,
    /// Retired cells that have not gone.
    pub retired_waiting: u64,
    /// Stubs that the strategy has reached, in a cycle over nodes.
    pub reached_stubs: u64,
    /// Stubs that were condemned in a cycle over nodes, and objects that were held for other nodes.
    pub agreed_cells: u64,
    /// Roots that the strategy was told at the beginning, duplicates included.
    pub roots: u64,
    /// References shaded.
    pub shaded: u64,
    /// Changes told.
    pub changes: u64,
    /// Steps of the strategy.
    pub steps: u32,
    /// Flush handshakes until it stayed idle.
    pub flushes: u32,
    /// Time spent waiting for mutators to answer.
    pub handshake_ns: u64,
    /// Time inside the strategy.
    pub mark_ns: u64,
    /// Time of the scan.
    pub proof_ns: u64,
    /// Time in which the others had to say something, in a cycle over nodes: there was nothing to mark, or the verdict was proved here.
    pub others_ns: u64,
    /// Time of condemning and freeing.
    pub reclaim_ns: u64,
    /// From begin to end, pauses between slices included.
    pub total_ns: u64,
    /// What the shadow did, if there was one.
    pub shadow: Option<ShadowReport>,
}

impl CycleReport {
    pub(crate) fn new(number: u64, cause: Cause, strategy: StrategyIdentity) -> CycleReport {
        CycleReport {
            number,
            cause,
            strategy,
            end: CycleEnd::Abandoned,
            condemned_objects: 0,
            condemned_cells: 0,
            condemned_bytes: 0,
            would_condemn: Vec::new(),
            freed_objects: 0,
            freed_cells: 0,
            freed_bytes: 0,
            withheld_cells: 0,
            rooted_cells: 0,
            live_objects: 0,
            live_cells: 0,
            live_bytes: 0,
            retired_waiting: 0,
            reached_stubs: 0,
            agreed_cells: 0,
            roots: 0,
            shaded: 0,
            changes: 0,
            steps: 0,
            flushes: 0,
            handshake_ns: 0,
            mark_ns: 0,
            proof_ns: 0,
            others_ns: 0,
            reclaim_ns: 0,
            total_ns: 0,
            shadow: None,
        }
    }

    pub(crate) fn fill_in_totals(&mut self, heap: &Arc<Inner>, retired_waiting: usize) {
        let stats = Heap { inner: Arc::clone(heap) }.stats();
        self.live_objects = stats.live_objects;
        self.live_cells = stats.live_cells;
        self.live_bytes = stats.live_bytes;
        self.retired_waiting = retired_waiting as u64;
    }
}

/// What a candidate would have done in a cycle.
#[derive(Debug, Clone)]
pub struct ShadowReport {
    /// The candidate.
    pub strategy: StrategyIdentity,
    /// Cells that it proposed and that are neither roots nor young.
    pub proposed_cells: u64,
    /// Cells that both proposed.
    pub agreed_cells: u64,
    /// Cells that only the incumbent proposed.
    pub only_incumbent_cells: u64,
    /// Whether nothing that would have survived refers to anything that it proposed.
    pub sound: bool,
    /// Time inside the candidate, in nanoseconds.
    pub mark_ns: u64,
    /// How it failed, if it did.
    pub fault: Option<Fault>,
}

impl ShadowReport {
    pub(crate) fn new(strategy: StrategyIdentity) -> ShadowReport {
        ShadowReport {
            strategy,
            proposed_cells: 0,
            agreed_cells: 0,
            only_incumbent_cells: 0,
            sound: true,
            mark_ns: 0,
            fault: None,
        }
    }
}

/// Counts of a heap at one moment, kept as sums of births and deaths. Taken without stopping anybody: while mutators run, counts may be a few objects apart. When
/// nobody works on the heap they are exact: [`Heap::recount`] comes to the same.
///
/// *Live* is what no verdict has condemned: what survived the last cycle and everything made since, so garbage too, as long as no cycle has found it. A stub is an object
/// of one cell; an object with many slots is one object of several cells.
#[derive(Debug, Clone, Default)]
pub struct HeapStats {
    /// Objects that are neither condemned nor free, stubs included.
    pub live_objects: u64,
    /// Their cells, extension cells included.
    pub live_cells: u64,
    /// Bytes of those cells, 32 each, and of their payload blocks.
    pub live_bytes: u64,
    /// Cells that the heap can hold.
    pub capacity_cells: u64,
    /// Cells that wait in quarantine: condemned, and not freed yet.
    pub quarantined_cells: u64,
    /// Bytes of those cells and of their payload blocks.
    pub quarantined_bytes: u64,
    /// Bytes in use: live and quarantined. What allocations are held against ([`Heap::used`]) lags behind this by at most 64 KiB per mutator.
    pub used_bytes: u64,
    /// The limit.
    pub limit_bytes: u64,
    /// Bytes that the heap has taken from the system: columns, as they were a tenth of a second ago at most, and slabs.
    pub committed_bytes: u64,
    /// Bytes in payload blocks.
    pub payload_bytes: u64,
    /// Bytes in slabs for payload blocks, used and free.
    pub payload_committed_bytes: u64,
    /// The share of those that is free and cannot be given back, because something lives beside it, from 0 to 1: see
    /// [`SlabStats::fragmentation`](gc_memory::SlabStats::fragmentation).
    pub payload_fragmentation: f64,
    /// The share of bytes in payload blocks that rounding up to block sizes wastes, estimated, from 0 to 1.
    pub payload_rounding: f64,
    /// Objects allocated since the start.
    pub allocated_objects_total: u64,
    /// Bytes allocated since the start.
    pub allocated_bytes_total: u64,
    /// Objects condemned since the start; less what was restored.
    pub condemned_objects_total: u64,
    /// Objects freed since the start.
    pub freed_objects_total: u64,
    /// Bytes freed since the start.
    pub freed_bytes_total: u64,
    /// Cycles since the start.
    pub cycles_total: u64,
    /// Verdicts refused since the start.
    pub refused_total: u64,
    /// Cells withheld since the start.
    pub withheld_cells_total: u64,
    /// Mutators at work.
    pub mutators: u64,
    /// Named roots and pins.
    pub roots: u64,
    /// Objects that are held for other nodes.
    pub held_objects: u64,
    /// Cells that stand for objects of other nodes, those in quarantine included. They count as objects too.
    pub stubs: u64,
    /// How long mutators were held up.
    pub holdups: Holdups,
}

impl Heap {
    /// Counts of this heap.
    #[must_use]
    pub fn stats(&self) -> HeapStats {
        let inner = &*self.inner;
        let totals = &inner.totals;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // The later in life the earlier here: what is counted as freed is counted as condemned too, and that as born.
        let (freed_objects, freed_bytes) = (read(&totals.freed_objects), read(&totals.freed_bytes));
        let condemned_objects = read(&totals.condemned_objects);
        let condemned_cells = read(&totals.condemned_cells);
        let condemned_bytes = read(&totals.condemned_bytes);
        let (allocated, mutators) = lock(&inner.registry).allocated();
        let slabs = inner.slabs.stats();
        let (held_objects, stubs) = {
            let remote = lock(&inner.remote);
            (remote.held, u64::from(remote.stubs.count()))
        };
        HeapStats {
            live_objects: allocated.objects.saturating_sub(condemned_objects),
            live_cells: allocated.cells.saturating_sub(condemned_cells),
            live_bytes: allocated.bytes.saturating_sub(condemned_bytes),
            capacity_cells: u64::from(inner.capacity()),
            quarantined_cells: read(&totals.quarantined_cells),
            quarantined_bytes: condemned_bytes.saturating_sub(freed_bytes),
            used_bytes: allocated.bytes.saturating_sub(freed_bytes),
            limit_bytes: inner.config.limit_bytes,
            committed_bytes: inner.resident_bytes() + slabs.committed_bytes,
            payload_bytes: slabs.used_bytes(),
            payload_committed_bytes: slabs.committed_bytes,
            payload_fragmentation: slabs.fragmentation(),
            payload_rounding: slabs.rounding(),
            allocated_objects_total: allocated.objects,
            allocated_bytes_total: allocated.bytes,
            condemned_objects_total: condemned_objects,
            freed_objects_total: freed_objects,
            freed_bytes_total: freed_bytes,
            cycles_total: read(&totals.cycles),
            refused_total: read(&totals.refused),
            withheld_cells_total: read(&totals.withheld_cells),
            mutators,
            roots: inner.roots.count() as u64,
            held_objects,
            stubs,
            holdups: inner.holdups.present(),
        }
    }
}

impl Inner {
    /// What the columns have of the system. The kernel looks at every page for that, so it is not asked in every cycle.
    fn resident_bytes(&self) -> u64 {
        let mut resident = lock(&self.resident);
        match *resident {
            Some((at, bytes)) if at.elapsed() < RESIDENT_EVERY => bytes,
            _ => {
                let bytes = self.graph.resident_bytes() + self.columns.resident_bytes();
                *resident = Some((Instant::now(), bytes));
                bytes
            }
        }
    }
}

impl Heap {
    /// How long operations were held up since the start, or since this was asked last.
    #[must_use]
    pub fn take_holdups(&self) -> Holdups {
        self.inner.holdups.take()
    }

    /// Lists each hold-up from here on, for who needs to know when it was: at most [`HOLDUPS_LISTED_MAX`](crate::limits::HOLDUPS_LISTED_MAX)
    /// until [`Heap::take_holdup_list`]. Costs a lock per hold-up.
    pub fn list_holdups(&self) {
        self.inner.holdups.list();
    }

    /// The hold-ups that were listed since this was asked last, in the order of their ends.
    #[must_use]
    pub fn take_holdup_list(&self) -> Vec<HeldUp> {
        self.inner.holdups.take_list()
    }
}

/// Bytes of all columns of a heap for so many cells: those that strategies see and the host's own. What is never touched has no memory behind it.
#[must_use]
pub fn column_bytes(capacity: u32) -> u64 {
    PlaneLayout::of(capacity).bytes + columns::bytes(u64::from(capacity))
}

/// Bytes that cells cost, as the limit counts them.
#[must_use]
pub fn cell_bytes(cells: u64) -> u64 {
    cells * CELL_BYTES
}
