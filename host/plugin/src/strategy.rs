//! A running instance, as the heap sees it.

use std::fmt;
use std::mem;
use std::sync::Arc;

use gc_heap::{
    Cause, Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};

use crate::attach::own_error;
use crate::bindings::{Guest, types};
use crate::limits;
use crate::loader::LoadedStrategy;
use crate::log::Log;
use crate::session::Session;
use crate::window::{GuestMemory, PageKind, Window};

/// The cause of a cycle over nodes, in the words of the contract.
const CLUSTER: &str = "cluster";

/// One instance of a strategy, attached to one heap. Everything it has goes with it when it is dropped.
///
/// After a fault of a call (a trap, a deadline, nonsense, a written window) every further call answers that fault, and the instance is not entered again.
/// An error that the strategy returned by itself ([`Fault::Error`], [`Fault::OutOfMemory`] of its own saying) does not do that; the heap replaces it all
/// the same.
pub struct WasmStrategy {
    loaded: Arc<LoadedStrategy>,
    session: Session,
    guest: Guest,
    memories: Vec<Arc<GuestMemory>>,
    window: Option<Window>,
    capacity: u32,
    /// Changes in a row, as the generated call takes them.
    words: Vec<u32>,
}

impl WasmStrategy {
    pub(crate) fn new(
        loaded: Arc<LoadedStrategy>,
        session: Session,
        guest: Guest,
        memories: Vec<Arc<GuestMemory>>,
        window: Option<Window>,
        capacity: u32,
    ) -> WasmStrategy {
        WasmStrategy { loaded, session, guest, memories, window, capacity, words: Vec::new() }
    }

    /// The code that this is an instance of.
    #[must_use]
    pub fn loaded(&self) -> &Arc<LoadedStrategy> {
        &self.loaded
    }

    /// Whether it reads the graph through a window.
    #[must_use]
    pub fn windowed(&self) -> bool {
        self.window.is_some()
    }

    /// Bytes of linear memory that it has, beside its window.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let all: u64 = self.memories.iter().map(|memory| memory.size() as u64).sum();
        all - self.window.as_ref().map_or(0, |window| limits::reserved_bytes(window.bytes()))
    }

    /// Calls in both directions since it was attached.
    #[must_use]
    pub fn crossings(&self) -> u64 {
        self.session.crossings()
    }

    /// What it has executed, in the engine's units; nothing unless the loader counts fuel.
    #[must_use]
    pub fn fuel_used(&self) -> Option<u64> {
        self.session.fuel_used()
    }

    /// With which pages the kernel shows it the graph; nothing without a window. Reads a table of the kernel: milliseconds.
    #[must_use]
    pub fn pages(&self) -> Option<PageKind> {
        self.window.as_ref()?.pages().ok()
    }

    /// The lines that it wrote since this was last asked, at most 100 per cycle.
    pub fn take_log(&mut self) -> Log {
        mem::take(&mut self.session.store().data_mut().log)
    }

    fn own<R>(&self, function: &str, answer: Result<R, types::Error>) -> Result<R, Fault> {
        answer.map_err(|error| own_error(self.session.name(), function, error))
    }

    /// A verdict whose shape is right: sizes and indices. Whether it is true is for the heap to prove.
    fn checked(&mut self, verdict: types::Verdict) -> Result<Verdict, Fault> {
        match shape_of(verdict, self.capacity) {
            Ok(verdict) => Ok(verdict),
            Err(reason) => {
                let fault = Fault::Nonsense(format!("{} in `finish`: {reason}", self.session.name()));
                Err(self.session.poison(fault))
            }
        }
    }
}

fn shape_of(verdict: types::Verdict, capacity: u32) -> Result<Verdict, String> {
    match verdict {
        types::Verdict::KeepAll => Ok(Verdict::KeepAll),
        types::Verdict::Survivors(words) => {
            let expected = capacity as usize / 64;
            if words.len() != expected {
                return Err(format!("{} words of survivors, {expected} are needed", words.len()));
            }
            Ok(Verdict::Survivors(words))
        }
        types::Verdict::Condemned(cells) => {
            if cells.len() >= capacity as usize {
                return Err(format!("it condemned {} cells of {}", cells.len(), capacity - 1));
            }
            if let Some(cell) = cells.iter().find(|cell| **cell == 0 || **cell >= capacity) {
                return Err(format!("it condemned cell {cell}, there are cells 1 to {}", capacity - 1));
            }
            Ok(Verdict::Condemned(cells))
        }
    }
}

impl Strategy for WasmStrategy {
    fn identity(&self) -> &StrategyIdentity {
        self.loaded.identity()
    }

    fn needs(&self) -> Needs {
        self.loaded.description().needs
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        // The bound of the log is per cycle: lines that nobody has taken make room.
        let state = self.session.store().data_mut();
        state.log.begin_cycle();
        state.reached.close();
        let over_nodes = cycle.cause == Cause::Cluster && self.needs().cluster_mark;
        let cycle = types::CycleInfo {
            number: cycle.number,
            cause: cause(cycle.cause),
            rebuild: cycle.rebuild,
            allocated_cells: cycle.allocated_cells,
            goal_cells: cycle.goal_cells,
            safe_grace_epoch: cycle.safe_grace_epoch,
        };
        let answer = self.session.call("begin", |store| self.guest.call_begin(store, &cycle))?;
        self.own("begin", answer)?;
        if over_nodes {
            self.session.store().data_mut().reached.open(self.capacity);
        }
        Ok(())
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.session.call("roots", |store| self.guest.call_roots(store, cells))
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.words.clear();
        self.words.extend_from_slice(changes.as_flattened());
        self.session.call("changed", |store| self.guest.call_changed(store, &self.words))
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.session.call("retired", |store| self.guest.call_retired(store, cells, grace_epochs))
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.session.call("shade", |store| self.guest.call_shade(store, cells))
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        let answer = self.session.call("step", |store| self.guest.call_step(store, budget))?;
        Ok(match self.own("step", answer)? {
            types::Progress::More => Progress::More,
            types::Progress::Idle => Progress::Idle,
        })
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        self.session.check()?;
        Ok(self.session.store().data_mut().reached.take())
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.session.store().data_mut().reached.close();
        let answer = self.session.call("finish", |store| self.guest.call_finish(store))?;
        let verdict = self.own("finish", answer)?;
        self.checked(verdict)
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        let outcome = types::Outcome {
            accepted: outcome.accepted,
            condemned_cells: outcome.condemned_cells,
            withheld_cells: outcome.withheld_cells,
        };
        self.session.call("settled", |store| self.guest.call_settled(store, outcome))
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        let Some(window) = &self.window else { return Ok(()) };
        let fault = match window.written_pages() {
            Ok(0) => return Ok(()),
            Ok(pages) => Fault::WindowWritten(pages),
            // What cannot be watched cannot be trusted.
            Err(error) => {
                Fault::Error(format!("the window of {} cannot be inspected: {error}", self.session.name()))
            }
        };
        Err(self.session.poison(fault))
    }
}

fn cause(cause: Cause) -> types::Cause {
    match cause {
        Cause::Goal => types::Cause::Goal,
        Cause::Full => types::Cause::Full,
        Cause::Request => types::Cause::Request,
        Cause::Idle => types::Cause::Idle,
        Cause::Rehearsal => types::Cause::Rehearsal,
        Cause::Cluster => types::Cause::Other(CLUSTER.to_owned()),
    }
}

impl fmt::Debug for WasmStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmStrategy")
            .field("identity", self.identity())
            .field("windowed", &self.windowed())
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_of_another_shape_is_nonsense() {
        let refused = |verdict| shape_of(verdict, 128).unwrap_err();
        for words in [0, 1, 3] {
            assert!(refused(types::Verdict::Survivors(vec![0; words])).contains("2 are needed"));
        }
        assert!(refused(types::Verdict::Condemned(vec![5, 0])).contains("cell 0"));
        assert!(refused(types::Verdict::Condemned(vec![127, 128])).contains("cell 128"));
        assert_eq!(shape_of(types::Verdict::Condemned(vec![127]), 128), Ok(Verdict::Condemned(vec![127])));
        assert_eq!(shape_of(types::Verdict::Survivors(vec![1, 2]), 128), Ok(Verdict::Survivors(vec![1, 2])));
    }
}
