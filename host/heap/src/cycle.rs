//! The cycle driver: asks a strategy what is garbage, proves the answer, carries it out.
//!
//! ```text
//! open ─▶ tell (roots, changes, retired) ─▶ work ⇄ flush ─▶ judge ─▶ decide ─▶ close
//! ```
//!
//! 1. Whatever the strategy does, `close` is reached: barriers go back, nothing stays half condemned.
//! 2. Only [`crate::reclaim`] frees, and only what `decide` let through.
//! 3. The strategy is told of the heap; it is never asked for the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::decision::{DecisionRecord, Rule};
use crate::graph::{bit, cells_of, has};
use crate::handle::Handle;
use crate::heap::{Heap, Inner};
use crate::limits::{
    BATCH_CELLS, BATCH_CHANGES, BUDGET_MAX, DEFER_BELOW_SHARE, DEFERRED_CYCLES_MAX, FIRST_BUDGET, STEPS_MAX,
};
use crate::mutator::Pin;
use crate::mutator::shared::{Handshake, Record, mode};
use crate::proof::{Violation, Violations, scan, withhold};
use crate::reclaim::{Freed, Reclaimer};
use crate::report::{CycleEnd, CycleReport, ShadowReport};
use crate::strategy::{Cause, Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, Verdict};
use crate::sync::lock;

/// Words of a bitmap that the proof scans between two looks at the pace: 256 Ki cells, about a millisecond. Condemning and freeing are not sliced.
const PACE_WORDS: usize = 4096;

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
        self.heap.signal.cycle_ended();
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
        self.heap.totals.cycles.fetch_add(1, Ordering::Relaxed);
        if matches!(report.end, CycleEnd::Refused(_)) {
            self.heap.totals.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.heap.totals.withheld_cells.fetch_add(report.withheld_cells, Ordering::Relaxed);
        self.heap.signal.cycle_ended();
        report
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
    /// What it proposed, as a bitmap.
    proposed: Vec<AtomicU64>,
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
    pace: &'a mut dyn FnMut(Slice) -> Pace,
    report: CycleReport,
    /// Log epoch of this cycle.
    epoch: u32,
    /// Mode of mutators while the strategy works.
    working: u32,
    /// Everything that is a root of this cycle. Grows with every flush.
    roots: Vec<u32>,
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
            proposed: Vec::new(),
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
            pace,
            epoch: 0,
            working: 0,
            roots: Vec::new(),
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
        self.work()?;
        self.judge()
    }

    /// Whether the change log is kept, for the strategy or for its shadow.
    fn wants_log(&self) -> bool {
        self.needs.change_log || self.shadow.as_ref().is_some_and(|shadow| shadow.needs.change_log)
    }

    // Open: H1, H2, H3.

    fn open(&mut self) {
        for word in &self.heap.graph.young()[..self.heap.space.words_in_use()] {
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
        self.heap.grace.fetch_add(1, Ordering::Relaxed);
        let before = self.heap.phase().epoch;
        self.epoch = self.renew_stamps(before).wrapping_add(1);
        if !self.collector.logging {
            self.collector.rebuild |= self.needs.change_log;
            self.collector.shadow_rebuild = true;
        }
        let log = if self.wants_log() { mode::LOG | mode::LOG_NEW } else { 0 };
        self.working = mode::CYCLE | mode::LOG | log;
        self.handshake(mode::CYCLE | mode::SNOOP | log, self.epoch.wrapping_sub(1), false);
        self.handshake(self.working | mode::SNOOP, self.epoch, false);
        let named = self.heap.roots.cells();
        self.roots.extend(named);
        self.closed = std::mem::take(&mut self.collector.open);
        self.handshake(self.working, self.epoch, true);
        self.take();
    }

    /// Stamps are compared for equality; before the epoch number comes round, all of them are cleared. Then no cell counts as logged, which costs
    /// one record too many and loses none.
    fn renew_stamps(&mut self, epoch: u32) -> u32 {
        if epoch < u32::MAX - 2 {
            return epoch;
        }
        self.handshake(0, 1, false);
        for stamp in &self.heap.columns.stamp[..self.heap.space.words_in_use() * 64] {
            stamp.store(0, Ordering::Relaxed);
        }
        self.collector.rebuild = true;
        self.collector.shadow_rebuild = true;
        1
    }

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

    // Tell: what the strategy needs to know before it works.

    fn tell(&mut self) -> Result<(), Stop> {
        let info = CycleInfo {
            number: self.report.number,
            cause: self.request.cause,
            rebuild: self.collector.rebuild,
            allocated_cells: self.heap.usage.cells().min(u64::from(u32::MAX)) as u32,
            goal_cells: self.request.goal_cells,
            safe_grace_epoch: self.heap.oldest_scope().min(self.heap.grace.load(Ordering::Relaxed)),
        };
        let shadow_info = CycleInfo { rebuild: self.collector.shadow_rebuild, ..info };
        self.call(|strategy| strategy.begin(&info))?;
        self.call_shadow(|strategy| strategy.begin(&shadow_info));
        let roots = std::mem::take(&mut self.roots);
        for batch in roots.chunks(BATCH_CELLS) {
            self.both(|strategy| strategy.roots(batch))?;
        }
        self.report.roots = roots.len() as u64;
        self.roots = roots;
        if self.wants_log() {
            self.tell_changes()?;
        }
        self.tell_retired()?;
        self.collector.rebuild = false;
        // A shadow that comes after a cycle without one has missed that cycle.
        self.collector.shadow_rebuild = self.shadow.is_none();
        Ok(())
    }

    fn tell_changes(&mut self) -> Result<(), Stop> {
        let main = self.needs.change_log;
        let beside = self.shadow.as_ref().is_some_and(|shadow| shadow.needs.change_log);
        let (rebuild, shadow_rebuild) =
            (self.collector.rebuild && main, self.collector.shadow_rebuild && beside);
        let closed = std::mem::take(&mut self.closed);
        let last = std::mem::take(&mut self.collector.last_changes);
        let deaths = std::mem::take(&mut self.collector.shadow_changes);
        if (main && !rebuild) || (beside && !shadow_rebuild) {
            let mut changes = Vec::new();
            let befores = closed.iter().map(|record| (record.cell, record.old));
            self.complete(befores, &mut changes);
            self.report.changes = (last.len() + changes.len()) as u64;
            // In the order of the life of a cell: its last change, its death, its next life.
            for (batches, to_main) in [(last, main), (deaths, false), (changes, main)] {
                for batch in batches.chunks(BATCH_CHANGES) {
                    self.tell_some(to_main && !rebuild, beside && !shadow_rebuild, batch)?;
                }
            }
        }
        if rebuild || shadow_rebuild {
            self.tell_everything(rebuild, shadow_rebuild)?;
        }
        Ok(())
    }

    fn tell_some(&mut self, main: bool, beside: bool, batch: &[Change]) -> Result<(), Stop> {
        if main {
            self.call(|strategy| strategy.changed(batch))?;
        }
        if beside {
            self.call_shadow(|strategy| strategy.changed(batch));
        }
        Ok(())
    }

    /// The whole heap as changes from nothing.
    fn tell_everything(&mut self, main: bool, beside: bool) -> Result<(), Stop> {
        let words = self.heap.space.words_in_use();
        for from in (0..words).step_by(BATCH_CHANGES / 64) {
            let to = words.min(from + BATCH_CHANGES / 64);
            let heap = Arc::clone(&self.heap);
            let cells = (from..to).flat_map(|index| {
                let allocated = heap.graph.allocated()[index].load(Ordering::Acquire);
                // What is in quarantine is not allocated; what is pending is, and the strategy has forgotten that it proposed it.
                cells_of(index, allocated)
            });
            // What was allocated in the log epoch that has just begun was not there when the last one ended.
            let (graph, stamps, epoch) = (&heap.graph, &heap.columns.stamp, self.epoch);
            let cells = cells.filter(|&cell| {
                !(has(graph.young(), cell) && stamps[cell as usize].load(Ordering::Acquire) == epoch)
            });
            let mut changes = Vec::with_capacity(BATCH_CHANGES);
            self.complete(cells.map(|cell| (cell, [0; 4])), &mut changes);
            changes.retain(|change| change[5..] != [0; 4]);
            self.report.changes += changes.len() as u64;
            let begun = Instant::now();
            self.tell_some(main, beside, &changes)?;
            self.slice(begun.elapsed())?;
            self.take();
        }
        Ok(())
    }

    /// Adds to each cell and its references before those that it had at the end of the closed log epoch.
    fn complete(&mut self, befores: impl Iterator<Item = (u32, [u32; 4])>, changes: &mut Vec<Change>) {
        let mut later: Vec<usize> = Vec::new();
        for (cell, old) in befores {
            // First the references, then the stamp: see `handshake`, the change log.
            let new = self.heap.graph.references(cell);
            if self.heap.columns.stamp[cell as usize].load(Ordering::Acquire) == self.epoch {
                later.push(changes.len());
            }
            changes.push(change(cell, old, new));
        }
        if later.is_empty() {
            return;
        }
        self.handshake(self.working, self.epoch, false);
        self.take();
        let fresh = self.collector.open[self.indexed..].iter().map(|record| (record.cell, record.old));
        self.open_index.extend(fresh);
        self.indexed = self.collector.open.len();
        for at in later {
            let [cell, old @ .., _, _, _, _] = changes[at];
            // Stamped without a record: an allocation before the log was switched on, in a cycle that rebuilds.
            if let Some(&new) = self.open_index.get(&cell) {
                changes[at] = change(cell, old, new);
            }
        }
    }

    fn tell_retired(&mut self) -> Result<(), Stop> {
        let heap = Arc::clone(&self.heap);
        self.collector
            .retired
            .retain(|&(cell, _)| has(heap.graph.allocated(), cell) && heap.columns.is_retired(cell));
        let main = self.needs.retired;
        let beside = self.shadow.as_ref().is_some_and(|shadow| shadow.needs.retired);
        if !main && !beside {
            return Ok(());
        }
        let retired = std::mem::take(&mut self.collector.retired);
        let mut told = Ok(());
        for batch in retired.chunks(BATCH_CELLS) {
            let (cells, epochs): (Vec<u32>, Vec<u64>) = batch.iter().copied().unzip();
            if main && told.is_ok() {
                told = self.call(|strategy| strategy.retired(&cells, &epochs));
            }
            if beside {
                self.call_shadow(|strategy| strategy.retired(&cells, &epochs));
            }
        }
        self.collector.retired = retired;
        told
    }

    // Work: steps and flushes until nothing is left.

    fn work(&mut self) -> Result<(), Stop> {
        self.shade()?;
        loop {
            self.step_until_idle()?;
            self.handshake(self.working, self.epoch, false);
            self.take();
            self.report.flushes += 1;
            // What was shaded and known already led to no reading of references, so every reference was read before this flush: what is
            // overwritten from here on was seen. See `handshake`, the proof's scan; the same argument holds for the strategy's own reading.
            if !self.shade()? {
                return Ok(());
            }
        }
    }

    fn step_until_idle(&mut self) -> Result<(), Stop> {
        let mut idle = false;
        loop {
            let begun = Instant::now();
            if !idle {
                idle = self.step()? == Progress::Idle;
            }
            let beside_idle = self.step_shadow();
            self.slice(begun.elapsed())?;
            // Without a handshake: just so that logs do not fill.
            self.take();
            if idle && beside_idle {
                return Ok(());
            }
        }
    }

    /// Tells what mutators overwrote and looked up. Answers whether that brought new work.
    fn shade(&mut self) -> Result<bool, Stop> {
        let unshaded = std::mem::take(&mut self.unshaded);
        let mut learned = false;
        for batch in unshaded.chunks(BATCH_CELLS) {
            learned |= self.call(|strategy| strategy.shade(batch))?;
            learned |= self.call_shadow(|strategy| strategy.shade(batch)).unwrap_or(false);
        }
        self.report.shaded += unshaded.len() as u64;
        self.roots.extend(unshaded);
        Ok(learned)
    }

    fn step(&mut self) -> Result<Progress, Stop> {
        let budget = self.budget;
        let begun = Instant::now();
        let progress = self.call(|strategy| strategy.step(budget))?;
        self.report.steps += 1;
        if self.report.steps > self.steps_max() {
            return Err(Stop::Faulted(endless(self.report.steps)));
        }
        let took = begun.elapsed().max(Duration::from_nanos(1));
        let ratio = self.request.slice_target.as_secs_f64() / took.as_secs_f64();
        let next = f64::from(budget) * ratio.clamp(0.5, 2.0);
        self.budget = next.clamp(f64::from(FIRST_BUDGET) / 16.0, f64::from(BUDGET_MAX)) as u32;
        Ok(progress)
    }

    /// Steps after which a strategy is taken for one that does not end: enough to visit every cell many times in the smallest steps.
    fn steps_max(&self) -> u32 {
        STEPS_MAX + self.heap.capacity() / 16
    }

    fn step_shadow(&mut self) -> bool {
        let budget = self.budget;
        let most = self.steps_max();
        if let Some(shadow) = self.shadow.as_mut() {
            shadow.steps += 1;
            if shadow.steps > most {
                shadow.report.fault.get_or_insert(endless(shadow.steps));
            }
        }
        self.call_shadow(|strategy| strategy.step(budget)) != Some(Progress::More)
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

    fn slice(&mut self, busy: Duration) -> Result<(), Stop> {
        match (self.pace)(Slice { busy }) {
            Pace::Go => Ok(()),
            Pace::Abandon => Err(Stop::Abandoned),
        }
    }

    // Judge: verdict, proof, decision.

    fn judge(&mut self) -> Result<(), Stop> {
        let verdict = self.call(|strategy| strategy.finish())?;
        self.call(|strategy| strategy.inspect())?;
        let shadow_verdict = self.call_shadow(|strategy| strategy.finish());
        self.call_shadow(|strategy| strategy.inspect());
        let heap = Arc::clone(&self.heap);
        let condemned: &[AtomicU64] = &heap.columns.condemned;
        let list = matches!(verdict, Verdict::Condemned(_));
        let proposed = self.propose(&verdict, condemned)?;
        self.compare_shadow(shadow_verdict, condemned);
        if list && self.may_wait(proposed) {
            self.report.end = CycleEnd::Deferred;
            return Ok(());
        }
        for (&word, &bits) in &self.collector.pending {
            condemned[word as usize].fetch_or(bits, Ordering::Relaxed);
        }
        // What an earlier cycle proposed may have been looked up since.
        let revived: Vec<u32> = self.roots.iter().copied().filter(|&cell| has(condemned, cell)).collect();
        self.report.withheld_cells += withhold(&heap.graph, condemned, revived);
        let anything = proposed > 0 || !self.collector.pending.is_empty();
        let violations =
            if heap.config.proof && anything { self.prove(condemned)? } else { Violations::default() };
        let flush = self.working | if self.request.execute { mode::DECIDING } else { 0 };
        self.handshake(flush, self.epoch, false);
        self.take_late();
        self.excuse(condemned, &violations, flush)?;
        if self.request.execute {
            self.execute()
        } else {
            self.count_only(condemned)
        }
        Ok(())
    }

    /// Sets the bits of what the verdict proposes and may be condemned. Answers how many cells that is.
    fn propose(&mut self, verdict: &Verdict, condemned: &[AtomicU64]) -> Result<u64, Stop> {
        let heap = Arc::clone(&self.heap);
        let words = heap.space.words_in_use();
        let mut proposed = set_proposed(&heap, verdict, condemned, words)?;
        // `capacity` words were checked; roots are kept back.
        for &cell in &self.roots {
            if has(condemned, cell) {
                condemned[cell as usize / 64].fetch_and(!bit(cell), Ordering::Relaxed);
                proposed -= 1;
                self.report.rooted_cells += 1;
            }
        }
        Ok(proposed)
    }

    /// Whether a verdict of so few cells waits for later ones.
    fn may_wait(&mut self, proposed: u64) -> bool {
        let heap = Arc::clone(&self.heap);
        let waiting: u64 = self.collector.pending.values().map(|bits| u64::from(bits.count_ones())).sum();
        let allocated = heap.usage.cells();
        let wait = heap.config.share_proofs
            && heap.config.proof
            && self.request.execute
            && self.request.cause == Cause::Goal
            && proposed > 0
            && proposed + waiting < allocated / DEFER_BELOW_SHARE
            && self.collector.deferred_cycles < DEFERRED_CYCLES_MAX;
        if wait {
            self.collector.deferred_cycles += 1;
            for (word, bits) in drain_words(&heap.columns.condemned, heap.space.words_in_use()) {
                *self.collector.pending.entry(word).or_default() |= bits;
            }
        }
        wait
    }

    fn prove(&mut self, condemned: &[AtomicU64]) -> Result<Violations, Stop> {
        let heap = Arc::clone(&self.heap);
        let words = heap.space.words_in_use();
        let mut violations = Violations::default();
        for from in (0..words).step_by(PACE_WORDS) {
            let begun = Instant::now();
            scan(&heap.graph, condemned, from..words.min(from + PACE_WORDS), &mut violations);
            let busy = begun.elapsed();
            self.report.proof_ns += busy.as_nanos() as u64;
            self.slice(busy)?;
        }
        Ok(violations)
    }

    /// Takes what was looked up and logged since the scan began.
    fn take_late(&mut self) {
        let taken = self.heap.take();
        self.late_acquired.extend(taken.acquired);
        self.late_logged.extend(taken.open.iter().flat_map(|record| record.old).filter(|&cell| cell != 0));
        self.collector.open.extend(taken.open);
        self.collector.retired.extend(taken.retired);
        self.roots.extend(taken.roots);
    }

    /// Withholds what has an excuse, and refuses the verdict if anything is left.
    ///
    /// What is withheld may have been in the hands of a mutator, which may have taken references out of it; those are in its log. So after every
    /// withholding there is another flush, until one brings nothing that is condemned. The argument is that of the scan.
    fn excuse(&mut self, condemned: &[AtomicU64], violations: &Violations, flush: u32) -> Result<(), Stop> {
        let heap = Arc::clone(&self.heap);
        loop {
            let pending = &self.collector.pending;
            let excused = |cell: &u32| {
                heap.columns.is_retired(*cell)
                    || pending.get(&(cell / 64)).is_some_and(|bits| bits & bit(*cell) != 0)
            };
            let targets = violations.found.iter().map(|&(_, target)| target);
            let mut seeds: Vec<u32> = std::mem::take(&mut self.late_acquired);
            seeds.extend(targets.filter(|target| excused(target)));
            let all_logged = self.report.withheld_cells > 0 || seeds.iter().any(|&cell| has(condemned, cell));
            seeds.extend(self.late_logged.iter().filter(|cell| all_logged || excused(cell)));
            let withheld = withhold(&heap.graph, condemned, seeds);
            self.report.withheld_cells += withheld;
            if withheld == 0 {
                break;
            }
            self.handshake(flush, self.epoch, false);
            self.take_late();
        }
        let left = violations.found.iter().copied().find(|&(_, target)| has(condemned, target));
        // A reference that was overwritten during the cycle is a root of it; its holder is not known any more.
        let logged =
            self.late_logged.iter().copied().find(|&cell| has(condemned, cell)).map(|cell| (cell, cell));
        match left.or(logged) {
            None if !violations.too_many => Ok(()),
            found => {
                let (survivor, target) = found.unwrap_or_default();
                Err(Stop::Refused(Violation {
                    survivor: heap.handle(survivor),
                    condemned: heap.handle(target),
                    count: violations.found.len().max(1) as u64,
                }))
            }
        }
    }

    fn count_only(&mut self, condemned: &[AtomicU64]) {
        for (index, word) in condemned[..self.heap.space.words_in_use()].iter().enumerate() {
            for cell in cells_of(index, word.load(Ordering::Relaxed)) {
                self.report.condemned_cells += 1;
                self.report.condemned_objects += u64::from(!self.heap.columns.is_extension(cell));
            }
        }
        self.report.end = CycleEnd::DryRun;
    }

    fn execute(&mut self) {
        let begun = Instant::now();
        let heap = Arc::clone(&self.heap);
        if self.wants_log() {
            self.keep_last_changes();
        }
        let words = heap.space.words_in_use();
        let anything = heap.columns.condemned[..words].iter().any(|word| word.load(Ordering::Relaxed) != 0);
        let condemned = if anything { self.condemn(words) } else { Freed::default() };
        self.collector.pending.clear();
        self.collector.deferred_cycles = 0;
        self.report.condemned_objects = condemned.objects;
        self.report.condemned_cells = condemned.cells;
        self.report.condemned_bytes = condemned.bytes;
        self.report.end = CycleEnd::Settled;
        // Nobody waits for the decision any longer; what was condemned in earlier cycles can be freed at leisure.
        self.handshake(self.resting(), self.epoch, false);
        let fresh = usize::from(condemned.cells > 0);
        let freed = self.collector.reclaimer.after_proof(fresh, self.request.cause == Cause::Full);
        self.report.freed_objects = freed.objects;
        self.report.freed_bytes = freed.bytes;
        self.report.reclaim_ns += begun.elapsed().as_nanos() as u64;
    }

    fn condemn(&mut self, words: usize) -> Freed {
        let heap = Arc::clone(&self.heap);
        let decision = lock(&heap.decisions).keep(DecisionRecord {
            cycle: self.report.number,
            at: heap.started.elapsed(),
            strategy: self.report.strategy.clone(),
            rule: if heap.config.proof { Rule::Proved } else { Rule::Unproved },
            objects: 0,
            cells: 0,
        });
        let condemned = self.collector.reclaimer.condemn(decision, words);
        lock(&heap.decisions).amend(decision, condemned.objects, condemned.cells);
        // Before a cell can be used again: its next life may be retired too.
        self.collector.retired.retain(|&(cell, _)| has(heap.graph.allocated(), cell));
        condemned
    }

    /// The changes of cells that are about to go can be read now and not later.
    fn keep_last_changes(&mut self) {
        let heap = Arc::clone(&self.heap);
        let condemned: &[AtomicU64] = &heap.columns.condemned;
        let last = &mut self.collector.last_changes;
        self.collector.open.retain(|record| {
            let goes = has(condemned, record.cell);
            if goes {
                last.push(change(record.cell, record.old, heap.graph.references(record.cell)));
            }
            !goes
        });
        if self.shadow.as_ref().is_some_and(|shadow| shadow.needs.change_log) {
            for (index, word) in condemned[..heap.space.words_in_use()].iter().enumerate() {
                for cell in cells_of(index, word.load(Ordering::Relaxed)) {
                    let death = change(cell, heap.graph.references(cell), [0; 4]);
                    self.collector.shadow_changes.push(death);
                }
            }
        }
    }

    // The shadow's verdict.

    fn compare_shadow(&mut self, verdict: Option<Verdict>, condemned: &[AtomicU64]) {
        let heap = Arc::clone(&self.heap);
        let (Some(shadow), Some(verdict)) = (self.shadow.as_mut(), verdict) else { return };
        let words = heap.space.words_in_use();
        let proposed = std::iter::repeat_with(|| AtomicU64::new(0)).take(heap.capacity() as usize / 64);
        shadow.proposed = proposed.collect();
        if let Err(Stop::Faulted(fault)) = set_proposed(&heap, &verdict, &shadow.proposed, words) {
            shadow.report.fault = Some(fault);
            return;
        }
        for &cell in &self.roots {
            shadow.proposed[cell as usize / 64].fetch_and(!bit(cell), Ordering::Relaxed);
        }
        let mut violations = Violations::default();
        scan(&heap.graph, &shadow.proposed, 0..words, &mut violations);
        shadow.report.sound = violations.found.iter().all(|&(_, target)| heap.columns.is_retired(target));
        for (candidate, incumbent) in shadow.proposed.iter().zip(condemned) {
            let (candidate, incumbent) =
                (candidate.load(Ordering::Relaxed), incumbent.load(Ordering::Relaxed));
            shadow.report.proposed_cells += u64::from(candidate.count_ones());
            shadow.report.agreed_cells += u64::from((candidate & incumbent).count_ones());
            shadow.report.only_incumbent_cells += u64::from((incumbent & !candidate).count_ones());
        }
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
        self.settle(accepted);
        self.fill_in_totals();
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

    fn fill_in_totals(&mut self) {
        let stats = Heap { inner: Arc::clone(&self.heap) }.stats();
        self.report.live_objects = stats.live_objects;
        self.report.live_cells = stats.live_cells;
        self.report.live_bytes = stats.used_bytes;
        self.report.retired_waiting = self.collector.retired.len() as u64;
    }
}

fn endless(steps: u32) -> Fault {
    Fault::Nonsense(format!("work is left after {steps} steps, in a heap that has long been visited"))
}

fn change(cell: u32, old: [u32; 4], new: [u32; 4]) -> Change {
    [cell, old[0], old[1], old[2], old[3], new[0], new[1], new[2], new[3]]
}

/// Sets the bits of what a verdict proposes, as far as it is allocated and not young. Answers how many cells.
fn set_proposed(heap: &Inner, verdict: &Verdict, bitmap: &[AtomicU64], words: usize) -> Result<u64, Stop> {
    let graph = &heap.graph;
    let may_go = |index: usize| {
        // Young before allocated would miss a cell that becomes both in between; this order keeps it.
        let allocated = graph.allocated()[index].load(Ordering::Acquire);
        allocated & !graph.young()[index].load(Ordering::Acquire)
    };
    let mut count = 0;
    match verdict {
        Verdict::KeepAll => {}
        Verdict::Survivors(survivors) => {
            let wanted = graph.capacity() as usize / 64;
            if survivors.len() != wanted {
                let what =
                    format!("a survivor bitmap of {} words, and the heap has {wanted}", survivors.len());
                return Err(Stop::Faulted(Fault::Nonsense(what)));
            }
            for (index, survivors) in survivors.iter().enumerate().take(words) {
                let proposed = may_go(index) & !survivors;
                bitmap[index].store(proposed, Ordering::Relaxed);
                count += u64::from(proposed.count_ones());
            }
        }
        Verdict::Condemned(cells) => {
            for &cell in cells {
                if cell >= graph.capacity() {
                    let what = format!("cell {cell} is condemned, and the heap has {}", graph.capacity());
                    return Err(Stop::Faulted(Fault::Nonsense(what)));
                }
                let index = cell as usize / 64;
                let proposed = bit(cell) & may_go(index);
                count += u64::from(
                    bitmap[index].fetch_or(proposed, Ordering::Relaxed) & bit(cell) == 0 && proposed != 0,
                );
            }
        }
    }
    Ok(count)
}

/// Empties a bitmap. Answers the words that were not 0.
fn drain_words(bitmap: &[AtomicU64], words: usize) -> Vec<(u32, u64)> {
    let words = bitmap[..words].iter().enumerate();
    words
        .filter(|(_, word)| word.load(Ordering::Relaxed) != 0)
        .map(|(index, word)| (index as u32, word.swap(0, Ordering::Relaxed)))
        .collect()
}
