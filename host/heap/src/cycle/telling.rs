//! Opening a cycle, and telling the strategy what it needs to know before it works: roots, changes, what was retired.
//!
//! The handshakes H1 to H3 are here, in the order on which the proof in [`crate::handshake`] rests. The change log is told as the chain of what each
//! cell had at the beginning and at the end of the log epoch that this cycle closed; a strategy that has seen nothing yet is told the whole heap as changes
//! from nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Cycle, Stop};
use crate::graph::{cells_of, has};
use crate::holdup::Begun;
use crate::limits::{BATCH_CELLS, BATCH_CHANGES};
use crate::mutator::shared::mode;
use crate::strategy::{Change, CycleInfo};
use crate::sync::lock;

impl Cycle<'_> {
    // Open: H1, H2, H3.

    pub(super) fn open(&mut self) {
        // From here on look-ups beside the handshakes are put down.
        lock(&self.heap.remote).begin();
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
        self.add_held();
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

    // Tell: what the strategy needs to know before it works.

    pub(super) fn tell(&mut self) -> Result<(), Stop> {
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
            // What was allocated in the log epoch that has just begun was not there when the last one ended: its record says so.
            let mut changes = Vec::with_capacity(BATCH_CHANGES);
            self.complete(cells.map(|cell| (cell, [0; 4])), &mut changes);
            changes.retain(|change| change[5..] != [0; 4]);
            self.report.changes += changes.len() as u64;
            let begun = Begun::now();
            self.tell_some(main, beside, &changes)?;
            self.slice(&begun)?;
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
}

pub(super) fn change(cell: u32, old: [u32; 4], new: [u32; 4]) -> Change {
    [cell, old[0], old[1], old[2], old[3], new[0], new[1], new[2], new[3]]
}
