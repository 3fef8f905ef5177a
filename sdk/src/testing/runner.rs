//! Runs cycles of a strategy over a mock heap as the host does, with the host's proof and the oracle behind it.

use std::collections::BTreeSet;

use super::heap::{Access, MockHeap};
use super::nodes::check_safe_over_nodes;
use super::random::{Mutator, Random, random_heap};
use crate::graph::Cell;
use crate::info::{Completeness, Info, Need, Options};
use crate::strategy::{
    Cause, Changes, CycleInfo, Error, Outcome, Progress, RetiredCells, Shape, Strategy, Verdict,
};

/// Steps that a cycle may take on a heap of so many cells: as many as the host allows.
pub(super) fn steps_max(capacity: u32) -> u32 {
    10_000 + capacity / 16
}

/// What a cycle did.
#[derive(Debug, Clone)]
pub struct Report {
    /// The cells that were freed, in order.
    pub condemned: Vec<Cell>,
    /// Cells that were proposed and kept.
    pub withheld_cells: u32,
    /// Steps that the strategy took.
    pub steps: u32,
    /// The stubs that it told as reached, in a cycle over nodes: each once, in order.
    pub reached: Vec<Cell>,
}

/// What a strategy did that it may not do.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// The verdict condemns what a root reaches.
    #[error("cell {cell} is condemned, but a root reaches it: look for references that are not marked")]
    Reachable {
        /// The cell.
        cell: Cell,
    },
    /// The verdict condemns what a survivor refers to.
    #[error("cell {cell} is condemned, but cell {from} survives and refers to it: condemn both or neither")]
    Referenced {
        /// The condemned cell.
        cell: Cell,
        /// The survivor.
        from: Cell,
    },
    /// The verdict has the wrong size, or names a cell that does not exist.
    #[error("the verdict makes no sense: {0}")]
    Nonsense(String),
    /// The strategy returned an error.
    #[error("the strategy failed: {0}")]
    Failed(#[from] Error),
    /// The strategy never says that it is idle.
    #[error(
        "still not idle after as many steps as the host allows: say `Progress::Idle` when nothing is left"
    )]
    Endless,
    /// Promised garbage is still there.
    #[error("{left} cells of promised garbage are left after {cycles} cycles, cell {example} among them")]
    Incomplete {
        /// How many.
        left: usize,
        /// One of them.
        example: Cell,
        /// How many cycles were run.
        cycles: u32,
    },
    /// A stub survives a cycle over nodes, and the strategy did not tell it: what it stands for would not survive at its home.
    #[error(
        "stub {cell} survives and was not told: answer it from `take_reached` before nothing is left to do"
    )]
    Untold {
        /// The stub.
        cell: Cell,
    },
    /// What was told as reached is no stub.
    #[error("cell {cell} was told as reached and is no stub in use: tell stubs and nothing else")]
    NoStub {
        /// The cell.
        cell: Cell,
    },
    /// What was told as reached is garbage, in a heap that did not change.
    #[error(
        "stub {cell} was told as reached, but nothing reaches it: what it stands for is never found to be garbage"
    )]
    Unreached {
        /// The stub.
        cell: Cell,
    },
    /// Something went that the strategy's declaration does not cover.
    #[error("cell {cell} went, but was never retired: a strategy that promises `Retired` frees nothing else")]
    NotRetired {
        /// The cell.
        cell: Cell,
    },
}

/// A strategy, and where it stands between cycles.
pub struct Runner<S> {
    pub(super) strategy: S,
    cycle: u64,
    rebuild: bool,
    random: Random,
    budget: usize,
    postpone: bool,
    pub(super) postponed: Vec<Cell>,
}

impl<S: Strategy> Runner<S> {
    /// A fresh instance with default options.
    ///
    /// # Panics
    /// When the strategy refuses its own defaults.
    pub fn new(heap: &MockHeap) -> Runner<S> {
        Runner::with_options(heap, &Options::defaults(&S::INFO)).expect("a strategy accepts its own defaults")
    }

    /// A fresh instance.
    ///
    /// # Errors
    /// When the strategy refuses the options.
    pub fn with_options(heap: &MockHeap, options: &Options) -> Result<Runner<S>, Error> {
        let strategy = S::new(options, Shape { capacity: heap.capacity() })?;
        Ok(Runner {
            strategy,
            cycle: 0,
            rebuild: true,
            random: Random::new(1),
            budget: 64,
            postpone: false,
            postponed: Vec::new(),
        })
    }

    /// Sets the largest budget of a step (default 64: small, so that mutators get in between). Steps get 1 to this many.
    #[must_use]
    pub fn budget(mut self, cells: usize) -> Runner<S> {
        self.budget = cells.max(1);
        self
    }

    /// The strategy.
    pub fn strategy(&self) -> &S {
        &self.strategy
    }

    /// Makes the next cycle one with `rebuild` set, as after a swap or an abandoned cycle.
    pub fn forget(&mut self) {
        self.rebuild = true;
    }

    /// Puts the next verdict off, as the host does with small ones: what it condemns goes with the verdict after it.
    pub fn postpone(&mut self) {
        self.postpone = true;
    }

    /// Runs one cycle with no mutator.
    ///
    /// # Errors
    /// When the strategy misbehaves.
    pub fn cycle(&mut self, heap: &mut MockHeap) -> Result<Report, Violation> {
        self.cycle_with(heap, |_| {})
    }

    /// Runs one cycle and lets `mutate` at the heap between any two steps.
    ///
    /// # Errors
    /// When the strategy misbehaves.
    pub fn cycle_with(
        &mut self,
        heap: &mut MockHeap,
        mutate: impl FnMut(&mut MockHeap),
    ) -> Result<Report, Violation> {
        let snapshot = self.begin(heap, Cause::Request)?;
        let steps = self.mark(heap, mutate)?;
        let held: BTreeSet<Cell> = heap.roots().chain(heap.exports()).collect();
        let verdict = self.strategy.finish(heap)?;
        let judged = judge::<S>(heap, &snapshot, &held, verdict, &self.postponed);
        self.settle(heap, judged, steps)
    }

    /// Carries out what was judged, and tells the strategy.
    pub(super) fn settle(
        &mut self,
        heap: &mut MockHeap,
        judged: Result<(Vec<Cell>, u32), Violation>,
        steps: u32,
    ) -> Result<Report, Violation> {
        heap.running = false;
        let (condemned, withheld_cells) = match judged {
            Ok(judged) => judged,
            Err(violation) => {
                self.strategy.settled(&Outcome { accepted: false, condemned_cells: 0, withheld_cells: 0 });
                return Err(violation);
            }
        };
        let condemned = if std::mem::take(&mut self.postpone) {
            self.postponed = condemned;
            Vec::new()
        } else {
            self.postponed.clear();
            condemned
        };
        heap.reclaim(&condemned);
        let outcome = Outcome { accepted: true, condemned_cells: condemned.len() as u32, withheld_cells };
        self.strategy.settled(&outcome);
        self.rebuild = withheld_cells > 0 && S::INFO.needs(Need::ChangeLog);
        Ok(Report { condemned, withheld_cells, steps, reached: Vec::new() })
    }

    /// The handshake and what is delivered after it. Returns the roots of the snapshot.
    pub(super) fn begin(&mut self, heap: &mut MockHeap, cause: Cause) -> Result<BTreeSet<Cell>, Violation> {
        self.cycle += 1;
        let log = heap.begin_cycle();
        let info = CycleInfo {
            number: self.cycle,
            cause: cause.clone(),
            rebuild: self.rebuild,
            allocated_cells: heap.allocated().len() as u32,
            goal_cells: heap.capacity(),
            safe_grace_epoch: heap.safe_grace_epoch(),
        };
        self.strategy.begin(&info)?;
        let mut roots: Vec<Cell> = heap.roots().collect();
        if cause != Cause::Cluster {
            roots.extend(heap.exports());
        }
        roots.chunks(7).for_each(|batch| self.strategy.roots(batch));
        if S::INFO.needs(Need::ChangeLog) {
            let changes = if self.rebuild { heap.as_changes() } else { log };
            changes.chunks(5 * Changes::WORDS).for_each(|batch| self.strategy.changed(Changes::new(batch)));
        }
        if S::INFO.needs(Need::Retired) {
            let (cells, epochs): (Vec<Cell>, Vec<u64>) = heap.retired().iter().map(|(&c, &e)| (c, e)).unzip();
            for (cells, epochs) in cells.chunks(5).zip(epochs.chunks(5)) {
                self.strategy.retired(RetiredCells::new(cells, epochs));
            }
        }
        Ok(roots.into_iter().collect())
    }

    fn mark(&mut self, heap: &mut MockHeap, mut mutate: impl FnMut(&mut MockHeap)) -> Result<u32, Violation> {
        for steps in 1..=steps_max(heap.capacity()) {
            let progress = self.step(heap)?;
            mutate(heap);
            let fresh = self.shade(heap);
            if progress == Progress::Idle && !fresh {
                mutate(heap);
                return Ok(steps);
            }
        }
        Err(Violation::Endless)
    }

    /// A step of random size.
    pub(super) fn step(&mut self, heap: &MockHeap) -> Result<Progress, Violation> {
        let budget = 1 + self.random.below(self.budget) as u32;
        Ok(self.strategy.step(heap, budget)?)
    }

    /// Tells what mutators overwrote. Answers whether that brought new work.
    pub(super) fn shade(&mut self, heap: &mut MockHeap) -> bool {
        let shades = std::mem::take(&mut heap.shades);
        shades.chunks(6).fold(false, |fresh, batch| self.strategy.shade(batch) | fresh)
    }
}

/// The host's filter and proof, then the oracle. `snapshot` is what was a root when the cycle began, `held` what is one at its end. Returns what may
/// go, and how much was withheld.
pub(super) fn judge<S: Strategy>(
    heap: &MockHeap,
    snapshot: &BTreeSet<Cell>,
    held: &BTreeSet<Cell>,
    verdict: Verdict,
    postponed: &[Cell],
) -> Result<(Vec<Cell>, u32), Violation> {
    let mut proposed: BTreeSet<Cell> = proposed(heap, verdict)?.into_iter().collect();
    proposed.extend(postponed);
    let reachable = heap.closure(held.iter().copied().collect());
    let rooted = |cell: &Cell| held.contains(cell) || snapshot.contains(cell);
    let condemned: Vec<Cell> = proposed.iter().copied().filter(|cell| !rooted(cell)).collect();
    let going: BTreeSet<Cell> = condemned.iter().copied().collect();
    if let Completeness::Retired(_) = S::INFO.completeness {
        if let Some(&cell) = condemned.iter().find(|cell| !heap.retired().contains_key(cell)) {
            return Err(Violation::NotRetired { cell });
        }
        // Retiring is a promise of the mutator. Like the host, keep what it broke the promise for.
        let kept = heap.closure(heap.allocated().into_iter().filter(|cell| !going.contains(cell)).collect());
        let condemned: Vec<Cell> = condemned.into_iter().filter(|cell| !kept.contains(cell)).collect();
        let withheld = proposed.len() - condemned.len();
        return Ok((condemned, withheld as u32));
    }
    if let Some(&cell) = condemned.iter().find(|cell| reachable.contains(cell)) {
        return Err(Violation::Reachable { cell });
    }
    for from in heap.allocated().into_iter().filter(|cell| !going.contains(cell)) {
        if let Some(cell) = heap.load_all(from).into_iter().find(|cell| going.contains(cell)) {
            return Err(Violation::Referenced { cell, from });
        }
    }
    let withheld = proposed.len() - condemned.len();
    Ok((condemned, withheld as u32))
}

/// What the verdict proposes of allocated cells that are not young.
fn proposed(heap: &MockHeap, verdict: Verdict) -> Result<Vec<Cell>, Violation> {
    let old = |cell: &Cell| heap.is_allocated(*cell) && !heap.is_young(*cell);
    match verdict {
        Verdict::KeepAll => Ok(Vec::new()),
        Verdict::Survivors(words) if words.len() as u32 != heap.capacity() / 64 => {
            let expected = heap.capacity() / 64;
            Err(Violation::Nonsense(format!("{} words of survivors instead of {expected}", words.len())))
        }
        Verdict::Survivors(words) => {
            let dead = |cell: &Cell| words[*cell as usize / 64] >> (cell % 64) & 1 == 0;
            Ok((1..heap.capacity()).filter(dead).filter(old).collect())
        }
        Verdict::Condemned(cells) if cells.len() as u32 >= heap.capacity() => {
            let most = heap.capacity() - 1;
            Err(Violation::Nonsense(format!("{} cells are condemned, and there are {most}", cells.len())))
        }
        Verdict::Condemned(cells) => match cells.iter().find(|&&cell| cell == 0 || cell >= heap.capacity()) {
            Some(cell) => {
                let most = heap.capacity() - 1;
                Err(Violation::Nonsense(format!("cell {cell} is condemned, and there are cells 1 to {most}")))
            }
            None => Ok(cells.into_iter().filter(old).collect::<BTreeSet<_>>().into_iter().collect()),
        },
    }
}

/// Runs ten cycles with mutators between steps, on both access paths. A strategy that takes part in marking over nodes does so in as many more.
///
/// # Errors
/// When a verdict is unsafe.
pub fn check_safe<S: Strategy>(seed: u64) -> Result<(), Violation> {
    if S::INFO.needs(Need::ClusterMark) {
        check_safe_over_nodes::<S>(seed)?;
    }
    for access in [Access::Window, Access::Portable] {
        let mut heap = random_heap(seed, 20 + (seed as usize * 37) % 400, access);
        let mut mutator = Mutator::new(seed ^ 0xa5a5, &heap);
        let mut runner = Runner::<S>::new(&heap).budget(16);
        for cycle in 0..10 {
            if cycle == 6 {
                runner.forget();
            }
            runner.cycle_with(&mut heap, |heap| mutator.run(heap, 5))?;
            mutator.run(&mut heap, 40);
            heap.end_grace_epoch();
        }
    }
    Ok(())
}

/// Runs `cycles` cycles and looks for garbage that the strategy promises to propose and that was there before them.
///
/// # Errors
/// When some is left, or a verdict is unsafe.
pub fn check_complete<S: Strategy>(heap: &mut MockHeap, cycles: u32) -> Result<(), Violation> {
    let due = promised(heap, &S::INFO);
    let mut runner = Runner::<S>::new(heap);
    let mut gone = BTreeSet::new();
    for _ in 0..cycles {
        gone.extend(runner.cycle(heap)?.condemned);
    }
    match due.difference(&gone).next() {
        None => Ok(()),
        Some(&example) => Err(Violation::Incomplete { left: due.difference(&gone).count(), example, cycles }),
    }
}

/// The garbage that a strategy with this declaration promises to propose.
fn promised(heap: &MockHeap, info: &Info) -> BTreeSet<Cell> {
    match info.completeness {
        Completeness::Nothing => BTreeSet::new(),
        Completeness::Retired(_) => {
            let safe = |(_, epoch): &(&Cell, &u64)| **epoch < heap.safe_grace_epoch();
            heap.retired().iter().filter(safe).map(|(&cell, _)| cell).collect()
        }
        Completeness::Acyclic(_) => heap.acyclic_garbage(),
        Completeness::All(_) => heap.garbage(),
    }
}
