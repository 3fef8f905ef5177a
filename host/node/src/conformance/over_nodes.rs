//! Marking over nodes, on one heap: the other nodes are played. What they hold and what they reach is known, so all that the strategy says can be checked.
//!
//! A strategy must tell every stub that it keeps: a stub that it keeps and does not tell makes the proof of all nodes fail, so that garbage is never found.
//! It may tell more than it has reached. Only if it promises to find everything unreachable must it tell nothing that is garbage, because what
//! one node tells another keeps.

use std::collections::BTreeSet;

use gc_heap::{Cause, Handle, Heap, Heard, Others};
use gc_plugin::Completeness;

use crate::conformance::bench::{Bench, Rig};
use crate::conformance::checks::{Done, passed, promised_cycles};
use crate::conformance::model::{Model, seed};

/// The other nodes.
struct Elsewhere<'a> {
    heap: &'a Heap,
    model: &'a mut Model,
    /// What they reach of this heap, in the order in which this heap hears of it, last first.
    waves: Vec<Vec<Handle>>,
    /// Whether mutators work while nodes wait for each other.
    busy: bool,
    told: BTreeSet<Handle>,
    condemned: Vec<Handle>,
    failed: Result<(), String>,
}

impl Others for Elsewhere<'_> {
    fn roots(&mut self) -> Vec<Handle> {
        Vec::new()
    }

    fn reached(&mut self, stubs: Vec<Handle>) {
        self.told.extend(stubs);
    }

    fn rest(&mut self) -> Heard {
        if self.busy && self.failed.is_ok() {
            self.failed = self.model.mutate(self.heap, 20);
        }
        self.waves.pop().map_or(Heard::Decide, Heard::Shade)
    }

    fn prove(&mut self, objects: Vec<Handle>, stubs: Vec<Handle>) -> bool {
        self.condemned = [objects, stubs].concat();
        true
    }
}

/// What one cycle over nodes showed.
struct Seen {
    told: BTreeSet<Handle>,
    /// Stubs that were there before it and are there after it.
    kept: BTreeSet<Handle>,
}

/// Runs a cycle in which the others reach `marks`, and checks what must hold after any.
fn cycle(model: &mut Model, rig: &mut Rig, marks: &BTreeSet<usize>, busy: bool) -> Result<Seen, String> {
    let stubs: Vec<usize> = (0..model.objects.len()).filter(|&at| model.objects[at].stub).collect();
    let marked: Vec<Handle> = marks.iter().map(|&at| model.objects[at].handle).collect();
    let waves = marked.chunks(marked.len().div_ceil(3).max(1)).map(<[Handle]>::to_vec).collect();
    let heap = rig.heap.clone();
    let mut others = Elsewhere {
        heap: &heap,
        model: &mut *model,
        waves,
        busy,
        told: BTreeSet::new(),
        condemned: Vec::new(),
        failed: Ok(()),
    };
    rig.over_nodes(&mut others)?;
    let Elsewhere { told, condemned, failed, .. } = others;
    failed?;
    let condemned: BTreeSet<Handle> = condemned.into_iter().collect();
    let is_condemned = |at: &usize| condemned.contains(&model.objects[*at].handle);
    if let Some(at) = model.reachable_here(marks).into_iter().find(is_condemned) {
        return Err(format!("object {at} is condemned, and it is reachable, or was reached by another node"));
    }
    // Its holders have condemned it too, or so it is assumed.
    let left = model.exports.iter().copied().filter(|at| !is_condemned(at)).collect();
    model.exports = left;
    model.verify(&rig.heap)?;
    let kept = model.present(&rig.heap, stubs).into_iter().map(|at| model.objects[at].handle).collect();
    let seen = Seen { told, kept };
    untold(&seen)?;
    Ok(seen)
}

/// Whether a stub was kept that was not told.
fn untold(seen: &Seen) -> Result<(), String> {
    match seen.kept.difference(&seen.told).count() {
        0 => Ok(()),
        count => Err(format!(
            "{count} of {} stubs survive and were not told as reached: no node frees anything after that",
            seen.kept.len()
        )),
    }
}

/// Whether, in a heap that did not change, something was told that no root reaches.
fn told_garbage(seen: &Seen, reachable: &BTreeSet<Handle>) -> Result<(), String> {
    match seen.told.difference(reachable).count() {
        0 => Ok(()),
        count => Err(format!(
            "{count} stubs were told as reached that nothing reaches: what they stand for is never found to be garbage"
        )),
    }
}

/// See the module.
pub(crate) fn marking(bench: &Bench) -> Result<Done, String> {
    let accesses = bench.accesses();
    if !bench.rig(1 << 20, accesses[0].1)?.needs().cluster_mark {
        return Ok(Done::Skipped("it takes no part in it".into()));
    }
    let graphs = if bench.quick { 4 } else { 16 };
    let mut stubs = 0;
    for n in 0..graphs {
        let (name, access) = accesses[n as usize % accesses.len()];
        let mut rig = bench.rig(4 << 20, access)?;
        let mut model = Model::new(seed(bench.seed, 3000 + n), false);
        graph(bench, &mut model, &mut rig).map_err(|why| format!("graph {n} ({name}): {why}"))?;
        stubs += model.objects.iter().filter(|object| object.stub).count();
    }
    passed(format!("{graphs} graphs, {stubs} stubs"))
}

fn graph(bench: &Bench, model: &mut Model, rig: &mut Rig) -> Result<(), String> {
    for round in 0..4 {
        model.mutate(&rig.heap, 150)?;
        model.trade(&rig.heap, 12)?;
        // What others hold is a root of every cycle but those over nodes.
        rig.cycle(Cause::Goal)?;
        model.verify(&rig.heap)?;
        let marks = model.some_exports(2);
        cycle(model, rig, &marks, round % 2 == 0)?;
    }
    let reachable = model.reachable_here(&BTreeSet::new());
    let cycles = promised_cycles(bench) + 1;
    for last in (1..=cycles).rev() {
        let seen = cycle(model, rig, &BTreeSet::new(), false)?;
        if last == 1 && matches!(bench.promise(), Completeness::All(_)) {
            let handles = reachable.iter().map(|&at| model.objects[at].handle).collect();
            told_garbage(&seen, &handles)?;
            let unreachable = (0..model.objects.len()).filter(|at| !reachable.contains(at));
            let left = model.present(&rig.heap, unreachable).len();
            if left > 0 {
                return Err(format!("{left} objects are left that no node has reached in {cycles} cycles"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handles(cells: &[u32]) -> BTreeSet<Handle> {
        cells.iter().map(|&cell| Handle { node: 9, incarnation: 1, cell, generation: 0 }).collect()
    }

    #[test]
    fn a_stub_that_is_kept_must_be_told_and_one_that_is_told_need_not_be_kept() {
        let seen = |told: &[u32], kept: &[u32]| Seen { told: handles(told), kept: handles(kept) };
        assert_eq!(untold(&seen(&[1, 2, 3], &[1, 3])), Ok(()));
        assert!(untold(&seen(&[1], &[1, 2, 3])).unwrap_err().contains("2 of 3 stubs"));
        assert_eq!(told_garbage(&seen(&[1, 2], &[]), &handles(&[1, 2, 3])), Ok(()));
        assert!(told_garbage(&seen(&[1, 4], &[1]), &handles(&[1, 2])).unwrap_err().contains("1 stubs"));
    }
}
