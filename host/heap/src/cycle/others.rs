//! A cycle over nodes: all nodes mark together, and what is held for other nodes is no root.
//!
//! ```text
//! open ─▶ tell ─▶ work ⇄ rest: the others have reached something here ─▶ judge ─▶ prove: said to the others ─▶ they agree: decide ─▶ close
//! ```
//!
//! Garbage cycles that span nodes are held by nothing but scions. To find them, this heap leaves its scions out of the roots, says which stubs the strategy
//! reaches, and takes as reached what the other nodes reach here. When nothing is left to mark anywhere, the verdict is proved here with the scions of what it
//! condemns ignored. The rest of the proof is among the nodes (the essay of gc-protocol's `mark` module): a scion may be ignored if its holder's stub is condemned in
//! the same cycle. Only when all have agreed does the verdict fall.
//!
//! 1. The strategy is believed no more than in any other cycle. If it says too little of what it reaches, another node's proof contradicts it.
//! 2. What is in quarantine can come back, so its stubs count as reached: what they lead to stays for as long.
//! 3. Until the verdict is out, giving up is safe: when a mutator waits for room, when the pace says so, when the others say so. After that the others decide alone.
//!    They may have swept what this heap's part leads to, so that must not be looked up by anybody before their answer is known.
//! 4. What concerns nobody else does not wait for the others: then the verdict falls here, and they are told of an empty one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Collector, Cycle, CycleRequest, Pace, Slice, Stop};
use crate::graph::{bit, cells_of, has};
use crate::handle::Handle;
use crate::heap::Inner;
use crate::holdup::Begun;
use crate::limits::{BATCH_CELLS, ROOTS_COMPACTED_AT};
use crate::report::{CycleEnd, CycleReport};
use crate::strategy::{Cause, Fault, Strategy};
use crate::sync::lock;

/// What a cycle over nodes hears of the other nodes, and tells them. Called by the thread that collects.
///
/// The calls come in this order: `roots` once; `reached` and `rest` in any order until the answer is [`Heard::Decide`]; perhaps `reached` again; `prove` once. After
/// [`Heard::GiveUp`] there is no further call. The heap may give the cycle up between any two calls before `prove`; then
/// [`Collector::run_over_nodes`] returns without that call, and its report says so.
pub trait Others {
    /// Objects of this heap that are roots of this cycle beside those that the heap knows: pinned by messages under way, or held for nodes that take no part. All
    /// else that is held for other nodes is no root.
    fn roots(&mut self) -> Vec<Handle>;
    /// Stubs that were reached, as their homes call them, each at most once in a cycle. What follows a rest means that there is work again.
    fn reached(&mut self, stubs: Vec<Handle>);
    /// Nothing is left to do here, and everything that was heard before is worked off. Waits for a moment at most, of some milliseconds, and is called again and again.
    fn rest(&mut self) -> Heard;
    /// The verdict was proved here, with what is held for other nodes ignored as far as it is condemned. These are the objects among the condemned that are held, and
    /// the stubs among them. Waits until it is known what became of it, and answers whether it is carried out. While this waits, nobody gets hold of any of that but by
    /// [`Scope::import`](crate::Scope::import) and [`Heap::hold`](crate::Heap::hold), and mutators that look it up wait. So nothing may end this early: whoever cannot wait, because
    /// [the heap is full](crate::Signal::is_full), votes against it and waits for the answer to that.
    ///
    /// Where both are empty this need not wait, and the answer is not asked.
    fn prove(&mut self, objects: Vec<Handle>, stubs: Vec<Handle>) -> bool;
}

/// What the others say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing yet.
    Wait,
    /// These objects of this heap have been reached. Those that are gone are passed over.
    Shade(Vec<Handle>),
    /// Marking has ended everywhere: the verdict is wanted.
    Decide,
    /// The cycle has ended.
    GiveUp,
}

/// What a cycle over nodes has beside the others.
pub(super) struct Over<'a> {
    pub(super) others: &'a mut dyn Others,
    /// Cells of stubs that were said to be reached: a bitmap.
    said: Vec<u64>,
}

impl Collector {
    /// Runs this heap's part in a cycle over nodes. The verdict is carried out when all have agreed; `cause` and `execute` of the request are not asked.
    ///
    /// A strategy that does not [take part](crate::Needs::cluster_mark) is not asked either: then every stub counts as reached, nothing is condemned, and the other
    /// nodes can go on.
    ///
    /// The report says [`CycleEnd::Settled`] when this heap's part was carried out, also if it was nothing. Whatever else it says, the others must hear that
    /// this node has no verdict.
    pub fn run_over_nodes(
        &mut self,
        request: &CycleRequest,
        strategy: &mut dyn Strategy,
        others: &mut dyn Others,
        pace: &mut dyn FnMut(Slice) -> Pace,
    ) -> CycleReport {
        self.number += 1;
        let begun = Instant::now();
        let request = &CycleRequest { cause: Cause::Cluster, execute: true, ..*request };
        let mut report = if strategy.needs().cluster_mark {
            if !self.pending.is_empty() {
                // What an earlier verdict proposed was held for nobody then; it may be since.
                self.forget();
            }
            let said = vec![0; self.heap.capacity() as usize / 64];
            let mut cycle = Cycle::new(self, request, strategy, None, pace);
            cycle.over = Some(Over { others: &mut *others, said });
            let stop = cycle.run().err();
            cycle.close(stop)
        } else {
            let mut report = CycleReport::new(self.number, Cause::Cluster, strategy.identity().clone());
            if stand_by(&self.heap, others, pace, &mut report) {
                report.end = CycleEnd::Settled;
            }
            report.fill_in_totals(&self.heap, self.retired.len());
            report
        };
        if report.end == CycleEnd::Settled && report.agreed_cells == 0 {
            let begun = Instant::now();
            others.prove(Vec::new(), Vec::new());
            report.others_ns += begun.elapsed().as_nanos() as u64;
        }
        report.total_ns = begun.elapsed().as_nanos() as u64;
        self.count(&report);
        report
    }
}

/// Takes part without a mark. Answers whether the cycle came to its end.
fn stand_by(
    heap: &Arc<Inner>,
    others: &mut dyn Others,
    pace: &mut dyn FnMut(Slice) -> Pace,
    report: &mut CycleReport,
) -> bool {
    let mut last = 0;
    loop {
        let (stubs, end) = lock(&heap.remote).stubs.handles_after(last, BATCH_CELLS);
        if stubs.is_empty() {
            break;
        }
        report.reached_stubs += stubs.len() as u64;
        others.reached(stubs);
        last = end;
    }
    let begun = Instant::now();
    let is_over = loop {
        if heap.signal.is_full()
            || pace(Slice { took: Duration::ZERO, busy: Duration::ZERO }) == Pace::Abandon
        {
            break false;
        }
        match others.rest() {
            Heard::Wait | Heard::Shade(_) => {}
            Heard::Decide => break true,
            Heard::GiveUp => break false,
        }
    };
    report.others_ns = begun.elapsed().as_nanos() as u64;
    is_over
}

impl Cycle<'_> {
    /// Adds the roots that the others know, or in a cycle of this heap alone everything that is held for them.
    pub(super) fn add_held(&mut self) {
        match &mut self.over {
            None => self.heap.held_cells(&mut self.roots),
            Some(over) => {
                let handles = over.others.roots();
                self.roots.extend(handles.into_iter().filter_map(|handle| self.heap.find(handle)));
            }
        }
    }

    /// Works until nothing is left to mark anywhere.
    pub(super) fn work_with_others(&mut self) -> Result<(), Stop> {
        self.say_quarantined();
        self.work()?;
        loop {
            match self.rest()? {
                // What mutators shade by their barriers means work again.
                Heard::Wait => self.flush(),
                Heard::Shade(handles) => {
                    let heap = &self.heap;
                    self.unshaded.extend(handles.into_iter().filter_map(|handle| heap.find(handle)));
                }
                // What mutators have overwritten since is marked too; that ends without the others.
                Heard::Decide => return self.work(),
                Heard::GiveUp => return Err(Stop::Abandoned),
            }
            if self.shade()? {
                self.work()?;
            }
            self.compact_roots();
        }
    }

    fn rest(&mut self) -> Result<Heard, Stop> {
        self.slice(&Begun::now())?;
        let begun = Instant::now();
        let heard = self.over.as_mut().map_or(Heard::GiveUp, |over| over.others.rest());
        self.report.others_ns += begun.elapsed().as_nanos() as u64;
        Ok(heard)
    }

    /// Throws duplicates out when there are many.
    fn compact_roots(&mut self) {
        if self.roots.len() >= ROOTS_COMPACTED_AT.max(self.roots_compacted * 2) {
            self.roots.sort_unstable();
            self.roots.dedup();
            self.roots_compacted = self.roots.len();
        }
    }

    /// Asks the strategy which stubs it has reached, and passes that on. Nothing in a cycle of this heap alone.
    pub(super) fn pass_reached(&mut self) -> Result<(), Stop> {
        if self.over.is_none() {
            return Ok(());
        }
        let cells = self.call(|strategy| strategy.take_reached())?;
        let is_stub = |&cell: &u32| {
            cell < self.heap.capacity()
                && has(self.heap.graph.stub(), cell)
                && has(self.heap.graph.allocated(), cell)
        };
        if let Some(cell) = cells.iter().find(|cell| !is_stub(cell)) {
            return Err(Stop::Faulted(Fault::Nonsense(format!(
                "cell {cell} was reached as a stub, and is none"
            ))));
        }
        self.say_reached(cells);
        Ok(())
    }

    /// Quarantined stubs: whoever restores what refers to them finds what they stand for.
    fn say_quarantined(&mut self) {
        let heap = Arc::clone(&self.heap);
        let cells = heap.quarantined_stubs().flat_map(|(index, word)| cells_of(index, word));
        self.say_reached(cells.collect());
    }

    fn say_reached(&mut self, cells: Vec<u32>) {
        let Some(over) = &mut self.over else { return };
        for batch in cells.chunks(BATCH_CELLS) {
            let is_news = |cell: &u32| {
                let word = &mut over.said[*cell as usize / 64];
                let is_news = *word & bit(*cell) == 0;
                *word |= bit(*cell);
                is_news
            };
            let batch: Vec<u32> = batch.iter().copied().filter(is_news).collect();
            let stubs = handles(&self.heap, &batch);
            if !stubs.is_empty() {
                self.report.reached_stubs += stubs.len() as u64;
                over.others.reached(stubs);
            }
        }
    }

    /// Tells the others what is condemned here, and waits until all have agreed.
    pub(super) fn agree(&mut self, condemned: &[AtomicU64]) -> Result<(), Stop> {
        let heap = Arc::clone(&self.heap);
        let among = |bitmap: &[AtomicU64]| -> Vec<u32> {
            let words = bitmap.iter().zip(condemned).take(heap.space.words_in_use());
            let both = words.map(|(one, other)| one.load(Ordering::Acquire) & other.load(Ordering::Relaxed));
            both.enumerate().flat_map(|(index, word)| cells_of(index, word)).collect()
        };
        let objects: Vec<Handle> =
            among(&heap.columns.held).into_iter().map(|cell| heap.handle(cell)).collect();
        let stubs = handles(&heap, &among(heap.graph.stub()));
        let Some(over) = self.over.as_mut().filter(|_| !(objects.is_empty() && stubs.is_empty())) else {
            return Ok(());
        };
        self.report.agreed_cells = (objects.len() + stubs.len()) as u64;
        lock(&heap.remote).judge();
        let begun = Instant::now();
        let agreed = over.others.prove(objects, stubs);
        self.report.others_ns += begun.elapsed().as_nanos() as u64;
        if agreed { Ok(()) } else { Err(Stop::Abandoned) }
    }
}

/// What these stubs stand for.
fn handles(heap: &Inner, stubs: &[u32]) -> Vec<Handle> {
    let remote = lock(&heap.remote);
    stubs.iter().filter_map(|&stub| heap.home_handle(stub, &remote)).collect()
}
