//! Cycles over nodes on one mock heap: what the other nodes do is up to the test.

use std::collections::BTreeSet;

use super::heap::{Access, MockHeap};
use super::random::{Mutator, Random, random_member};
use super::runner::{Report, Runner, Violation, judge, steps_max};
use crate::graph::Cell;
use crate::info::Completeness;
use crate::strategy::{Cause, Progress, Strategy};

impl<S: Strategy> Runner<S> {
    /// Runs one cycle over nodes. After every step `others` gets the stubs that were told since, for the most part none, and answers the
    /// cells that other nodes have reached meanwhile; it may use the heap. The cycle ends when nobody has anything left.
    ///
    /// # Errors
    /// When the strategy misbehaves.
    pub fn cycle_over_nodes(
        &mut self,
        heap: &mut MockHeap,
        mut others: impl FnMut(&mut MockHeap, &[Cell]) -> Vec<Cell>,
    ) -> Result<Report, Violation> {
        let snapshot = self.begin(heap, Cause::Cluster)?;
        let (mut told, mut marks) = (Vec::new(), BTreeSet::new());
        for steps in 1..=steps_max(heap.capacity()) {
            let progress = self.step(heap)?;
            let before = told.len();
            self.take_reached(heap, &mut told)?;
            let marked = others(heap, &told[before..]);
            let mut fresh = self.shade(heap);
            fresh |= !marked.is_empty() && self.strategy.shade(&marked);
            self.take_reached(heap, &mut told)?;
            marks.extend(marked);
            if progress == Progress::Idle && !fresh {
                return self.decide(heap, snapshot, marks, told, steps);
            }
        }
        Err(Violation::Endless)
    }

    /// Adds what was reached to what was `told`, each stub once.
    fn take_reached(&mut self, heap: &MockHeap, told: &mut Vec<Cell>) -> Result<(), Violation> {
        for cell in self.strategy.take_reached() {
            if cell >= heap.capacity() || !heap.is_allocated(cell) || !heap.is_stub(cell) {
                return Err(Violation::NoStub { cell });
            }
            if !told.contains(&cell) {
                told.push(cell);
            }
        }
        Ok(())
    }

    fn decide(
        &mut self,
        heap: &mut MockHeap,
        snapshot: BTreeSet<Cell>,
        marks: BTreeSet<Cell>,
        told: Vec<Cell>,
        steps: u32,
    ) -> Result<Report, Violation> {
        let held: BTreeSet<Cell> = heap.roots().chain(marks).collect();
        let verdict = self.strategy.finish(heap)?;
        let judged = judge::<S>(heap, &snapshot, &held, verdict, &self.postponed).and_then(|judged| {
            let kept = |cell: &Cell| heap.is_stub(*cell) && !heap.is_young(*cell) && !judged.0.contains(cell);
            match heap.allocated().into_iter().filter(kept).find(|cell| !told.contains(cell)) {
                Some(cell) => Err(Violation::Untold { cell }),
                None => Ok(judged),
            }
        });
        let report = self.settle(heap, judged, steps)?;
        Ok(Report { reached: told, ..report })
    }
}

/// Runs ten cycles over nodes, with mutators between steps, deliveries, and other nodes that reach what they hold, on both access paths.
///
/// # Errors
/// When a verdict is unsafe, or a stub survives that was not told.
pub fn check_safe_over_nodes<S: Strategy>(seed: u64) -> Result<(), Violation> {
    for access in [Access::Window, Access::Portable] {
        let mut heap = random_member(seed, 20 + (seed as usize * 37) % 400, access);
        let mut mutator = Mutator::new(seed ^ 0xa5a5, &heap);
        let mut random = Random::new(seed ^ 0x5a5a);
        let mut runner = Runner::<S>::new(&heap).budget(16);
        for _ in 0..10 {
            let mut waves = 4;
            runner.cycle_over_nodes(&mut heap, |heap, _| {
                mutator.run(heap, 5);
                deliver(heap, &mut random);
                let wave = waves > 0 && random.below(4) == 0;
                waves -= usize::from(wave);
                let held = heap.exports().filter(|_| wave && random.below(4) == 0);
                held.collect()
            })?;
            mutator.run(&mut heap, 40);
        }
    }
    Ok(())
}

/// A message arrives with a reference to an object of another node, and is put down where a root is.
fn deliver(heap: &mut MockHeap, random: &mut Random) {
    let roots: Vec<Cell> = heap.roots().filter(|&cell| !heap.is_stub(cell)).collect();
    if random.below(4) == 0 && !roots.is_empty() && heap.free_cells() > 8 {
        let stub = heap.import();
        heap.store(random.pick(&roots), random.below(4), stub);
    }
}

/// Runs `cycles` cycles over nodes in which no other node reaches anything here. Nothing changes meanwhile, so exactly what the roots of this node
/// reach must be left, and no other stub may have been told, if the strategy promises everything.
///
/// # Errors
/// When garbage is left, what is garbage was told as reached, or a verdict is unsafe.
pub fn check_complete_over_nodes<S: Strategy>(heap: &mut MockHeap, cycles: u32) -> Result<(), Violation> {
    let reachable = heap.closure(heap.roots().collect());
    let mut runner = Runner::<S>::new(heap);
    let mut told = Vec::new();
    for _ in 0..cycles {
        told = runner.cycle_over_nodes(heap, |_, _| Vec::new())?.reached;
    }
    if !matches!(S::INFO.completeness, Completeness::All(_)) {
        return Ok(());
    }
    let left: Vec<Cell> = heap.allocated().into_iter().filter(|cell| !reachable.contains(cell)).collect();
    if let Some(&example) = left.first() {
        return Err(Violation::Incomplete { left: left.len(), example, cycles });
    }
    match told.into_iter().find(|cell| !reachable.contains(cell)) {
        Some(cell) => Err(Violation::Unreached { cell }),
        None => Ok(()),
    }
}
