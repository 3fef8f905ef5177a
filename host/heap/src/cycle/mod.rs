//! The cycle driver: asks a strategy what is garbage, proves the answer, carries it out.
//!
//! ```text
//! open ─▶ tell (roots, changes, retired) ─▶ work ⇄ flush ─▶ judge ─▶ decide ─▶ close
//!        telling                            working         judging            here
//! ```
//!
//! 1. Whatever the strategy does, `close` is reached: barriers go back, nothing stays half condemned.
//! 2. Only [`crate::reclaim`] frees, and only what `decide` let through.
//! 3. The strategy is told of the heap; it is never asked for the truth.

mod judging;
mod others;
mod telling;
mod working;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use self::judging::drain_words;
use self::others::Over;
pub use self::others::{Heard, Others};
use crate::decision::Sweep;
use crate::graph::has;
use crate::handle::Handle;
use crate::heap::{Heap, Inner};
use crate::holdup::Begun;
use crate::limits::FIRST_BUDGET;
use crate::mutator::Pin;
use crate::mutator::shared::{Handshake, Record, mode};
use crate::pacer::Amount;
use crate::proof::Violation;
use crate::reclaim::{Freed, Reclaimer};
use crate::report::{CycleEnd, CycleReport, ShadowReport};
use crate::strategy::{Cause, Change, Fault, Needs, Outcome, Strategy};
use crate::sync::lock;

/// What a cycle is to do.
#[derive(Debug, Copy, Clone)]
pub struct CycleRequest {
    /// Why it is begun.
    pub cause: Cause,
    /// False for a rehearsal or a dry run: the verdict is proved and counted, and nothing is condemned.
    pub execute: bool,
    /// How long one step of the strategy should take.
    pub slice_target: Duration,
    /// Where the pacer wants the heap to be at the end of the next cycle.
    pub goal_cells: u32,
}

impl CycleRequest {
    /// A cycle for this reason that executes its verdict, with steps of a millisecond.
    #[must_use]
    pub fn new(cause: Cause) -> CycleRequest {
        CycleRequest {
            cause,
            execute: cause != Cause::Rehearsal,
            slice_target: Duration::from_millis(1),
            goal_cells: 0,
        }
    }
}

/// A piece of collector work that was just done.
#[derive(Debug, Copy, Clone)]
pub struct Slice {
    /// How long it took.
    pub took: Duration,
    /// How long the collector was on a processor in that time: less, where mutators go first.
    pub busy: Duration,
}

/// What to do after a slice. The callback sleeps by itself to keep the collector's share.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Pace {
    /// Go on.
    Go,
    /// Give the cycle up: nothing is condemned.
    Abandon,
}

/// How a cycle can end before its verdict.
enum Stop {
    Abandoned,
    Faulted(Fault),
    Refused(Violation),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Faulted(fault)
    }
}

/// Runs cycles on a heap. One per heap, owned by the one thread that collects.
pub struct Collector {
    heap: Arc<Inner>,
    reclaimer: Reclaimer,
    number: u64,
    /// The strategy of the next cycle has seen nothing yet, or must forget what it has seen.
    rebuild: bool,
    shadow_rebuild: bool,
    /// Mutators keep a log between cycles.
    logging: bool,
    /// Records of the running log epoch that are already here.
    open: Vec<Record>,
    /// Changes of cells that were condemned since they were logged.
    last_changes: Vec<Change>,
    /// The death of each condemned cell, for a shadow: none of its own proposals was carried out on its word.
    shadow_changes: Vec<Change>,
    /// Retired and not gone yet.
    retired: Vec<(u32, u64)>,
    /// Proposed in earlier cycles, and waiting to share a proof: words of a bitmap that are not 0.
    pending: BTreeMap<u32, u64>,
    deferred_cycles: u32,
    sweep: Sweep,
}

impl Collector {
    /// The collector of a heap. A second one for the same heap is a mistake.
    #[must_use]
    pub fn new(heap: &Heap) -> Collector {
        heap.inner.signal.set_served(true);
        Collector {
            reclaimer: Reclaimer::new(&heap.inner),
            heap: Arc::clone(&heap.inner),
            number: 0,
            rebuild: true,
            shadow_rebuild: true,
            logging: false,
            open: Vec::new(),
            last_changes: Vec::new(),
            shadow_changes: Vec::new(),
            retired: Vec::new(),
            pending: BTreeMap::new(),
            deferred_cycles: 0,
            sweep: Sweep::default(),
        }
    }

    /// The next cycle has another strategy, or one that must begin anew: it is told to rebuild.
    pub fn forget(&mut self) {
        self.rebuild = true;
        self.pending.clear();
        self.deferred_cycles = 0;
    }

    /// The same for the shadow.
    pub fn forget_shadow(&mut self) {
        self.shadow_rebuild = true;
    }

    /// Frees everything in quarantine. It was proved when it was condemned.
    pub fn release_quarantine(&mut self) -> Freed {
        let freed = self.reclaimer.free_all();
        self.heap.signal.cycle_ended(freed.amount(), self.heap.limit());
        freed
    }

    /// Brings a quarantined object back, with all that it leads to, and pins it.
    ///
    /// # Errors
    ///
    /// [`Gone`](crate::Gone) when the object is not in quarantine any more.
    pub fn restore(&mut self, handle: Handle) -> Result<(Pin, Freed), crate::Gone> {
        let heap = Arc::clone(&self.heap);
        let place = (handle.node, handle.incarnation) == (heap.config.node, heap.config.incarnation);
        let cell = handle.cell;
        let quarantined = place
            && cell != 0
            && cell < heap.capacity()
            && has(&heap.columns.quarantine, cell)
            && !heap.columns.is_extension(cell)
            && heap.columns.generation[cell as usize].load(Ordering::Relaxed) == handle.generation;
        if !quarantined {
            return Err(heap.gone(handle));
        }
        let restored = self.reclaimer.restore(cell);
        self.forget();
        self.shadow_rebuild = true;
        let (place, _) = heap.roots.pin(cell, &heap.holdups);
        let cell = cell.try_into().expect("cell 0 is never in quarantine");
        Ok((Pin { heap, place, cell }, restored))
    }

    /// Runs one cycle from begin to end. A `shadow` is told the same and asked the same; its verdict is compared, never executed. `pace` is
    /// called between slices of about `slice_target`.
    pub fn run(
        &mut self,
        request: &CycleRequest,
        strategy: &mut dyn Strategy,
        shadow: Option<&mut dyn Strategy>,
        pace: &mut dyn FnMut(Slice) -> Pace,
    ) -> CycleReport {
        self.number += 1;
        let begun = Instant::now();
        // One by one, because a trait object behind an option is not made shorter-lived by itself.
        let shadow = shadow.map(|shadow| shadow as &mut dyn Strategy);
        let mut cycle = Cycle::new(self, request, strategy, shadow, pace);
        let stop = cycle.run().err();
        let mut report = cycle.close(stop);
        report.total_ns = begun.elapsed().as_nanos() as u64;
        self.count(&report);
        report
    }

    /// A cycle is over.
    fn count(&self, report: &CycleReport) {
        self.heap.totals.cycles.fetch_add(1, Ordering::Relaxed);
        if matches!(report.end, CycleEnd::Refused(_)) {
            self.heap.totals.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.heap.totals.withheld_cells.fetch_add(report.withheld_cells, Ordering::Relaxed);
        if report.cause == Cause::Cluster && report.freed_cells == 0 {
            // It is for what spans nodes, and says nothing about whether there is room to be had here.
            return;
        }
        let freed = Amount { cells: report.freed_cells, bytes: report.freed_bytes };
        self.heap.signal.cycle_ended(freed, self.heap.limit());
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.reclaimer.free_all();
        if self.logging {
            let epoch = self.heap.phase().epoch;
            self.heap.handshake(Handshake { mode: 0, epoch, publish: false }, &mut Vec::new());
        }
        // Whoever waits for room would wait in vain.
        self.heap.signal.set_served(false);
    }
}

/// A candidate that is watched beside the strategy.
struct Shadow<'a> {
    strategy: &'a mut dyn Strategy,
    report: ShadowReport,
    needs: Needs,
    steps: u32,
}

/// One cycle under way.
struct Cycle<'a> {
    collector: &'a mut Collector,
    heap: Arc<Inner>,
    request: &'a CycleRequest,
    strategy: &'a mut dyn Strategy,
    needs: Needs,
    shadow: Option<Shadow<'a>>,
    /// In a cycle over nodes.
    over: Option<Over<'a>>,
    pace: &'a mut dyn FnMut(Slice) -> Pace,
    report: CycleReport,
    /// Log epoch of this cycle.
    epoch: u32,
    /// Mode of mutators while the strategy works.
    working: u32,
    /// Everything that is a root of this cycle. Grows with every flush.
    roots: Vec<u32>,
    /// How many there were when duplicates were thrown out last.
    roots_compacted: usize,
    /// Records of the log epoch that this cycle closed.
    closed: Vec<Record>,
    /// References from the log and from look-ups that the strategy was not told yet.
    unshaded: Vec<u32>,
    /// What was looked up and logged after the scan.
    late_acquired: Vec<u32>,
    late_logged: Vec<u32>,
    budget: u32,
    /// Old references by cell, of the first `indexed` records of the running log epoch.
    open_index: HashMap<u32, [u32; 4]>,
    indexed: usize,
}

impl<'a> Cycle<'a> {
    fn new(
        collector: &'a mut Collector,
        request: &'a CycleRequest,
        strategy: &'a mut dyn Strategy,
        shadow: Option<&'a mut dyn Strategy>,
        pace: &'a mut dyn FnMut(Slice) -> Pace,
    ) -> Cycle<'a> {
        let shadow = shadow.map(|strategy| Shadow {
            report: ShadowReport::new(strategy.identity().clone()),
            needs: strategy.needs(),
            steps: 0,
            strategy,
        });
        Cycle {
            heap: Arc::clone(&collector.heap),
            report: CycleReport::new(collector.number, request.cause, strategy.identity().clone()),
            needs: strategy.needs(),
            collector,
            request,
            strategy,
            shadow,
            over: None,
            pace,
            epoch: 0,
            working: 0,
            roots: Vec::new(),
            roots_compacted: 0,
            closed: Vec::new(),
            unshaded: Vec::new(),
            late_acquired: Vec::new(),
            late_logged: Vec::new(),
            budget: FIRST_BUDGET,
            open_index: HashMap::new(),
            indexed: 0,
        }
    }

    fn run(&mut self) -> Result<(), Stop> {
        self.open();
        self.tell()?;
        match self.over {
            None => self.work()?,
            Some(_) => self.work_with_others()?,
        }
        self.judge()
    }

    /// Whether the change log is kept, for the strategy or for its shadow.
    fn wants_log(&self) -> bool {
        self.needs.change_log || self.shadow.as_ref().is_some_and(|shadow| shadow.needs.change_log)
    }

    // What every part of a cycle uses.

    fn handshake(&mut self, mode: u32, epoch: u32, publish: bool) {
        let begun = Instant::now();
        self.heap.handshake(Handshake { mode, epoch, publish }, &mut self.roots);
        self.report.handshake_ns += begun.elapsed().as_nanos() as u64;
    }

    /// Takes what mutators have put down. All of it is a root of this cycle.
    fn take(&mut self) {
        let taken = self.heap.take();
        self.closed.extend(taken.closed);
        self.roots.extend(taken.roots);
        let logged = taken.open.iter().flat_map(|record| record.old).filter(|&cell| cell != 0);
        self.unshaded.extend(logged);
        self.unshaded.extend(taken.acquired);
        self.collector.open.extend(taken.open);
        self.collector.retired.extend(taken.retired);
    }

    fn slice(&mut self, begun: &Begun) -> Result<(), Stop> {
        let (took, running) = begun.elapsed();
        let pace = (self.pace)(Slice { took, busy: running.unwrap_or(took) });
        match pace {
            // Who waits for room waits for this heap alone.
            Pace::Go if self.over.is_some() && self.heap.signal.is_full() => Err(Stop::Abandoned),
            Pace::Go => Ok(()),
            Pace::Abandon => Err(Stop::Abandoned),
        }
    }

    // Calls, with their time and their faults.

    fn call<R>(&mut self, call: impl FnOnce(&mut dyn Strategy) -> Result<R, Fault>) -> Result<R, Stop> {
        let begun = Instant::now();
        let answer = call(self.strategy);
        self.report.mark_ns += begun.elapsed().as_nanos() as u64;
        Ok(answer?)
    }

    fn call_shadow<R>(&mut self, call: impl FnOnce(&mut dyn Strategy) -> Result<R, Fault>) -> Option<R> {
        let shadow = self.shadow.as_mut()?;
        if shadow.report.fault.is_some() {
            return None;
        }
        let begun = Instant::now();
        let answer = call(shadow.strategy);
        shadow.report.mark_ns += begun.elapsed().as_nanos() as u64;
        answer.map_err(|fault| shadow.report.fault = Some(fault)).ok()
    }

    fn both(&mut self, call: impl Fn(&mut dyn Strategy) -> Result<(), Fault>) -> Result<(), Stop> {
        self.call(&call)?;
        self.call_shadow(&call);
        Ok(())
    }

    // Close.

    /// Mode of mutators between cycles.
    fn resting(&self) -> u32 {
        if self.wants_log() { mode::LOG | mode::LOG_NEW } else { 0 }
    }

    fn close(mut self, stop: Option<Stop>) -> CycleReport {
        let heap = Arc::clone(&self.heap);
        let accepted = stop.is_none();
        if let Some(stop) = stop {
            drop(drain_words(&heap.columns.condemned, heap.space.words_in_use()));
            self.collector.forget();
            self.collector.shadow_rebuild = true;
            self.report.end = match stop {
                Stop::Abandoned => CycleEnd::Abandoned,
                Stop::Faulted(fault) => CycleEnd::Faulted(fault),
                Stop::Refused(violation) => CycleEnd::Refused(violation),
            };
        } else if self.report.end == CycleEnd::DryRun {
            drop(drain_words(&heap.columns.condemned, heap.space.words_in_use()));
        }
        if !self.request.execute && accepted {
            // A strategy that counts has proposed cells and they stay: it must not count on their going.
            self.collector.rebuild |= self.needs.change_log;
        }
        self.handshake(self.resting(), self.epoch, false);
        self.collector.logging = self.wants_log();
        if self.collector.logging {
            self.take();
        } else {
            self.collector.open.clear();
            self.collector.last_changes.clear();
        }
        if self.report.withheld_cells + self.report.rooted_cells > 0 && self.needs.change_log {
            self.collector.forget();
        }
        lock(&heap.remote).end();
        self.settle(accepted);
        self.report.fill_in_totals(&heap, self.collector.retired.len());
        self.report
    }

    fn settle(&mut self, accepted: bool) {
        let faulted = matches!(self.report.end, CycleEnd::Faulted(_) | CycleEnd::Abandoned);
        let outcome = Outcome {
            accepted,
            condemned_cells: if self.request.execute { self.report.condemned_cells as u32 } else { 0 },
            withheld_cells: (self.report.withheld_cells + self.report.rooted_cells) as u32,
        };
        if !faulted {
            // The cycle is over; a strategy that fails here fails at the next.
            if let Err(Stop::Faulted(fault)) = self.call(|strategy| strategy.settled(&outcome)) {
                self.report.end = CycleEnd::Faulted(fault);
                self.collector.forget();
            }
        }
        if !faulted {
            // Nothing of what a shadow proposed was carried out on its word.
            let nothing = Outcome { accepted: true, condemned_cells: 0, withheld_cells: 0 };
            self.call_shadow(|strategy| strategy.settled(&nothing));
            // What a shadow alone proposed stays alive, and it takes it for gone.
            let alone = |shadow: &Shadow<'_>| shadow.report.proposed_cells > shadow.report.agreed_cells;
            self.collector.shadow_rebuild |= self.shadow.as_ref().is_some_and(alone);
        }
        self.report.shadow = self.shadow.take().map(|shadow| shadow.report);
    }
}
