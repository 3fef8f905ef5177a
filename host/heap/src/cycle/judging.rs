//! Judging: from a verdict to what is condemned, or to a refusal.
//!
//! ```text
//! verdict ─▶ proposed (allocated, not young, no root) ─▶ scan ─▶ H4 ─▶ excuses, withholding ⇄ flush ─▶ [the others agree] ─▶ it falls, or is refused whole
//! ```
//!
//! Small verdicts may wait for later ones before the scan, to share it. The shadow's verdict goes as far as the scan, and is compared.
//!
//! 1. Nothing is condemned that the scan did not see unreferenced, or that was looked up or logged until the decision; see [`crate::handshake`].
//! 2. What has an excuse (it was looked up in time, retired while something referred to it, or proposed cycles ago) is withheld, with all that it leads
//!    to. Whatever is left then refuses the verdict.
//! 3. The verdict falls in one step under the lock of [`crate::remote`]. Look-ups that wait for nobody are heard until then: what they found is withheld like
//!    anything else that was looked up in time, and after that the verdict tries to fall again. Each time at least one cell leaves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::telling::change;
use super::{Cycle, Stop};
use crate::decision::{DecisionRecord, Rule};
use crate::graph::{bit, cells_of, has};
use crate::heap::Inner;
use crate::holdup::Begun;
use crate::limits::{CELL_BYTES, DEFER_BELOW_SHARE, DEFERRED_CYCLES_MAX, DRY_RUN_NAMED};
use crate::mutator::shared::mode;
use crate::proof::{Violation, Violations, scan, withhold};
use crate::reclaim::Freed;
use crate::report::CycleEnd;
use crate::strategy::{Cause, Fault, Verdict};
use crate::sync::lock;

/// Words of a bitmap that the proof scans between two looks at the pace: 256 Ki cells, about a millisecond. Condemning and freeing are not sliced.
const PACE_WORDS: usize = 4096;

impl Cycle<'_> {
    // Judge: verdict, proof, decision.

    pub(super) fn judge(&mut self) -> Result<(), Stop> {
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
        heap.decided.store(false, Ordering::Relaxed);
        self.handshake(flush, self.epoch, false);
        self.take_late();
        self.excuse(condemned, &violations, flush)?;
        if self.over.is_some() {
            self.agree(condemned)?;
        }
        if self.request.execute {
            let decision = self.decide(condemned, flush)?;
            self.execute(decision)
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
            let begun = Begun::now();
            scan(&heap.graph, condemned, from..words.min(from + PACE_WORDS), &mut violations);
            self.report.proof_ns += begun.elapsed().0.as_nanos() as u64;
            self.slice(&begun)?;
        }
        Ok(violations)
    }

    /// Takes what was looked up and logged since the scan began.
    pub(super) fn take_late(&mut self) {
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

    /// The verdict falls. Whoever does not wait for that has looked nothing up that it condemns, or what was looked up is withheld before. Answers the number of
    /// the decision, if anything is left to condemn.
    fn decide(&mut self, condemned: &[AtomicU64], flush: u32) -> Result<Option<u16>, Stop> {
        let heap = Arc::clone(&self.heap);
        loop {
            let words = &condemned[..heap.space.words_in_use()];
            let anything = words.iter().any(|word| word.load(Ordering::Relaxed) != 0);
            let record = self.record();
            {
                let mut remote = lock(&heap.remote);
                if remote.fall(|cell| has(condemned, cell)) {
                    // Before anybody is told that something goes: the answer names the decision.
                    let decision = anything.then(|| lock(&heap.decisions).keep(record));
                    // Release: pairs with the Acquire load of look-ups. From here on they need not wait.
                    heap.decided.store(true, Ordering::Release);
                    return Ok(decision);
                }
            }
            self.take_late();
            self.excuse(condemned, &Violations::default(), flush)?;
        }
    }

    fn count_only(&mut self, condemned: &[AtomicU64]) {
        for (index, word) in condemned[..self.heap.space.words_in_use()].iter().enumerate() {
            for cell in cells_of(index, word.load(Ordering::Relaxed)) {
                self.report.condemned_cells += 1;
                let object = !self.heap.columns.is_extension(cell);
                if object && self.report.would_condemn.len() < DRY_RUN_NAMED {
                    self.report.would_condemn.push(self.heap.handle(cell));
                }
                self.report.condemned_objects += u64::from(object);
                self.report.condemned_bytes += CELL_BYTES + self.heap.block_bytes(cell);
            }
        }
        self.report.end = CycleEnd::DryRun;
    }

    fn record(&self) -> DecisionRecord {
        DecisionRecord {
            cycle: self.report.number,
            at: self.heap.started.elapsed(),
            strategy: self.report.strategy.clone(),
            rule: match (self.heap.config.proof, self.report.agreed_cells) {
                (false, _) => Rule::Unproved,
                (true, 0) => Rule::Proved,
                (true, _) => Rule::Agreed,
            },
            objects: 0,
            cells: 0,
        }
    }

    fn execute(&mut self, decision: Option<u16>) {
        let begun = Instant::now();
        let condemned = decision.map_or_else(Freed::default, |decision| self.condemn(decision));
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
        self.report.freed_cells = freed.cells;
        self.report.freed_bytes = freed.bytes;
        self.report.reclaim_ns += begun.elapsed().as_nanos() as u64;
    }

    fn condemn(&mut self, decision: u16) -> Freed {
        let heap = Arc::clone(&self.heap);
        let words = heap.space.words_in_use();
        let numbers = lock(&heap.decisions).numbers();
        self.collector.sweep.step(numbers, &heap.columns.decision[..words * 64]);
        if self.over.is_some() {
            heap.release_condemned(words);
        }
        if self.wants_log() {
            self.keep_last_changes();
        }
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
        let Some(verdict) = verdict else { return };
        let Some(mut shadow) = self.shadow.take() else { return };
        let proposed = std::iter::repeat_with(|| AtomicU64::new(0)).take(heap.capacity() as usize / 64);
        let proposed: Vec<AtomicU64> = proposed.collect();
        match set_proposed(&heap, &verdict, &proposed, heap.space.words_in_use()) {
            Err(Stop::Faulted(fault)) => shadow.report.fault = Some(fault),
            Err(_) | Ok(_) => {
                for &cell in &self.roots {
                    proposed[cell as usize / 64].fetch_and(!bit(cell), Ordering::Relaxed);
                }
                for (candidate, incumbent) in proposed.iter().zip(condemned) {
                    let (candidate, incumbent) =
                        (candidate.load(Ordering::Relaxed), incumbent.load(Ordering::Relaxed));
                    shadow.report.proposed_cells += u64::from(candidate.count_ones());
                    shadow.report.agreed_cells += u64::from((candidate & incumbent).count_ones());
                    shadow.report.only_incumbent_cells += u64::from((incumbent & !candidate).count_ones());
                }
                shadow.report.sound = self.would_be_sound(&proposed);
            }
        }
        self.shadow = Some(shadow);
    }

    /// Whether a verdict that will not be carried out would have passed: what was looked up after it, with all that it leads to, would have been withheld.
    fn would_be_sound(&mut self, proposed: &[AtomicU64]) -> bool {
        let heap = Arc::clone(&self.heap);
        let mut violations = Violations::default();
        scan(&heap.graph, proposed, 0..heap.space.words_in_use(), &mut violations);
        let blamed = |&(_, target): &(u32, u32)| has(proposed, target) && !heap.columns.is_retired(target);
        let mut withheld_before = false;
        while violations.found.iter().any(blamed) {
            self.handshake(self.working, self.epoch, false);
            self.take_late();
            let late = self
                .late_acquired
                .iter()
                .chain(withheld_before.then_some(&self.late_logged).into_iter().flatten());
            if withhold(&heap.graph, proposed, late.copied()) == 0 {
                return false;
            }
            withheld_before = true;
        }
        !violations.too_many
    }
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
pub(super) fn drain_words(bitmap: &[AtomicU64], words: usize) -> Vec<(u32, u64)> {
    let words = bitmap[..words].iter().enumerate();
    words
        .filter(|(_, word)| word.load(Ordering::Relaxed) != 0)
        .map(|(index, word)| (index as u32, word.swap(0, Ordering::Relaxed)))
        .collect()
}
