//! Deferred, coalesced reference counting with trial deletion for cycles.
//!
//! Counts come from the change log: one change per cell and log epoch, however often it was written (Levanoni and Petrank 2001). Roots are
//! not counted (deferred, Deutsch and Bobrow 1976): a cell with count zero goes unless it is a root of this cycle. What it referred to is
//! decremented, and so on.
//!
//! Cycles are found by trial deletion (Bacon and Rajan 2001). Counts are those of the end of a log epoch, while references are read from
//! the live heap, so a trial may be fooled by a store that came in between. It is therefore only a suspicion, and is checked against the
//! whole next log epoch:
//!
//! 1. The trial in cycle N reads every cell once and keeps what it read. What is left white forms a set in which every count equals the
//!    references that were read inside the set.
//! 2. In cycle N + 1 a suspect that was written, whose count changed, or that is a root or was shaded, is dropped, and with it all that the
//!    trial had seen it reach. What remains was not written since epoch N ended, so what was read are the references of that moment; its
//!    counts were complete then and have not changed since; none of them is a root: nothing outside refers to the set when epoch N + 1
//!    ends. It is garbage, and garbage stays so.
//!
//! Which trials are needed: of every cell whose count or references changed, and of every former root. A cycle that dies without either was
//! not there before. So a cycle goes in the second cycle after its death, everything else in the first.
//!
//! What was proposed counts as gone from then on, also if the host puts the verdict off to share one proof among several: it goes without a
//! free-record. A verdict that is not carried out is followed by a rebuild.
//!
//! Memory: nine bytes per cell in use, and 24 bytes per cell that a trial reads.

mod counts;
mod doom;
mod per_cell;
mod trial;

use gc_sdk::{
    Bitmap, Cell, Changes, Completeness, CycleInfo, Error, Graph, Info, Need, Options, Progress, Shape,
    Strategy, Verdict,
};

use counts::Counts;
use doom::Doomed;
use trial::Trial;

/// Where a cycle stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The messages are in: look at which cells exist.
    Prepare,
    /// After a rebuild every cell is a candidate, from this word of `allocated` on: cells without references came in no message.
    Survey(usize),
    /// The suspicions of the last cycle are confirmed or dropped.
    Confirm,
    /// Cells with count zero go, and what only they referred to.
    Zeros,
    /// Candidates are tried.
    Trial,
    /// Nothing is left to do.
    Idle,
}

/// The collector.
pub struct Refcount {
    counts: Counts,
    doomed: Doomed,
    trial: Trial,
    phase: Phase,
    /// Cells that existed when the cycle began, as of the first step.
    allocated: Vec<u64>,
    /// Whether the running cycle is a rebuild.
    rebuild: bool,
}

impl Strategy for Refcount {
    const INFO: Info = Info {
        needs: &[Need::ChangeLog],
        completeness: Completeness::All(2),
        ..Info::new(
            "refcount",
            env!("CARGO_PKG_VERSION"),
            "Counts references from the change log, and finds cycles by trial deletion.",
        )
    };

    fn new(_options: &Options, _shape: Shape) -> Result<Refcount, Error> {
        Ok(Refcount {
            counts: Counts::default(),
            doomed: Doomed::default(),
            trial: Trial::new(),
            phase: Phase::Idle,
            allocated: Vec::new(),
            rebuild: false,
        })
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Error> {
        if cycle.rebuild {
            self.counts.clear();
            self.trial.clear();
            self.doomed.clear();
        }
        self.counts.begin_cycle(&self.doomed);
        self.doomed.clear();
        self.rebuild = cycle.rebuild;
        self.phase = Phase::Prepare;
        Ok(())
    }

    fn roots(&mut self, cells: &[Cell]) {
        cells.iter().for_each(|&cell| self.counts.hold(cell));
    }

    fn changed(&mut self, changes: Changes<'_>) {
        changes.iter().for_each(|change| self.counts.apply(&change));
    }

    /// Never brings new work: what a trial or a cascade has to take back, it has kept.
    fn shade(&mut self, cells: &[Cell]) -> bool {
        cells.iter().filter(|&&cell| cell != 0).for_each(|&cell| self.counts.hold(cell));
        false
    }

    fn step(&mut self, graph: &impl Graph, budget: u32) -> Result<Progress, Error> {
        match self.phase {
            Phase::Prepare => {
                self.look(graph);
                self.trial.begin_confirm();
                self.phase = if self.rebuild { Phase::Survey(0) } else { Phase::Confirm };
            }
            Phase::Survey(from) => {
                let to = self.allocated.len().min(from + budget as usize / 64 + 1);
                for (index, &word) in self.allocated.iter().enumerate().take(to).skip(from) {
                    let cells =
                        (0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| index as Cell * 64 + bit);
                    cells.for_each(|cell| self.counts.touch(cell));
                }
                self.phase = if to < self.allocated.len() { Phase::Survey(to) } else { Phase::Confirm };
            }
            Phase::Confirm => {
                if self.trial.run(&self.counts, graph, budget as usize) == Progress::Idle {
                    self.doomed.add_suspects(&self.trial.take_confirmed(), graph, &mut self.counts);
                    self.phase = Phase::Zeros;
                }
            }
            Phase::Zeros => {
                if self.doomed.cascade(&mut self.counts, &self.allocated, graph, budget as usize)
                    == Progress::Idle
                {
                    self.trial.begin(&mut self.counts, &self.allocated);
                    self.phase = Phase::Trial;
                }
            }
            Phase::Trial => {
                if self.trial.run(&self.counts, graph, budget as usize) == Progress::Idle {
                    self.phase = Phase::Idle;
                }
            }
            Phase::Idle => return Ok(Progress::Idle),
        }
        Ok(Progress::More)
    }

    fn finish(&mut self, _graph: &impl Graph) -> Result<Verdict, Error> {
        self.doomed.spare_held(&mut self.counts);
        match self.doomed.cells() {
            cells if cells.is_empty() => Ok(Verdict::KeepAll),
            cells => Ok(Verdict::Condemned(cells)),
        }
    }
}

impl Refcount {
    /// Which cells exist and are not young. First the allocated ones, then the young: what is allocated in between is in neither.
    fn look(&mut self, graph: &impl Graph) {
        let mut young = Vec::new();
        graph.read_bitmap(Bitmap::Allocated, 0, graph.capacity() / 64, &mut self.allocated);
        graph.read_bitmap(Bitmap::Young, 0, graph.capacity() / 64, &mut young);
        self.allocated.iter_mut().zip(young).for_each(|(allocated, young)| *allocated &= !young);
    }
}

gc_sdk::export_strategy!(Refcount);
