//! An oracle around a strategy: says what was garbage when a cycle began, whatever the strategy knows of it.
//!
//! It marks the graph by itself, naively and to the end, from the roots and shaded references that the strategy is told too. What is allocated,
//! neither young nor marked was dead when the cycle began. So garbage is known exactly at every cycle, and how long each cell has been dead at its
//! condemnation up to one interval between cycles: it died somewhere between the look that saw it live and the look that saw it dead, and the middle
//! of that is taken. A strategy whose cycles are rare is measured coarsely; the interval stands in the result.
//!
//! Marking costs time on the collector thread: runs with an oracle are for [`Quality`] and for nothing else. Its share of the run is in the result.
//!
//! A run with an oracle in it goes on as one without: the strategy is called in the same order with the same arguments and its answers are passed on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gc_heap::{
    Change, CycleInfo, Fault, Graph, Heap, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};

use crate::bench::histogram::{Counts, recorder};
use crate::bench::model::Quality;

/// What an oracle saw at one cycle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// When the cycle began.
    pub at: Instant,
    /// Garbage then.
    pub floating_cells: u64,
    /// The same in bytes, at the mean size of an object.
    pub floating_bytes: f64,
    /// What the strategy left of it.
    pub left_bytes: f64,
    /// What looking cost.
    pub busy_ns: u64,
}

/// Cells that were condemned together and had been seen dead together.
#[derive(Debug, Clone, Copy)]
struct Burial {
    at: Instant,
    lag_ns: u64,
    lag_bytes: u64,
    cells: u64,
}

/// What an oracle has to say.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Cycle by cycle.
    pub looks: Vec<Look>,
    burials: Vec<Burial>,
    /// Cells dead at the last look and not condemned.
    waiting_cells: u64,
}

/// Where an oracle writes.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<Mutex<Findings>>);

impl Witness {
    /// What was found from `begin` to `end`; none without two looks.
    #[must_use]
    pub fn quality(&self, begin: Instant, end: Instant) -> Option<Quality> {
        let findings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks: Vec<Look> =
            findings.looks.iter().filter(|look| (begin..=end).contains(&look.at)).copied().collect();
        let within = |burial: &&Burial| (begin..=end).contains(&burial.at);
        let burials: Vec<Burial> = findings.burials.iter().filter(within).copied().collect();
        let wall_ns = end.saturating_duration_since(begin).as_nanos().max(1) as f64;
        let period_ns = (looks.last()?.at - looks.first()?.at).as_nanos() / (looks.len() as u128 - 1).max(1);
        if looks.len() < 2 {
            return None;
        }
        Some(Quality {
            looks: looks.len() as u32,
            cost_share: looks.iter().map(|look| look.busy_ns).sum::<u64>() as f64 / wall_ns,
            period_ns: period_ns as u64,
            floating_bytes_mean: mean_over_time(&looks),
            floating_bytes_max: looks.iter().map(|look| look.floating_bytes).fold(0.0, f64::max) as u64,
            lag: lags(&burials, |burial| burial.lag_ns),
            lag_allocated_bytes: lags(&burials, |burial| burial.lag_bytes),
            never_condemned_cells: findings.waiting_cells,
        })
    }

    /// What was seen cycle by cycle.
    #[must_use]
    pub fn looks(&self) -> Vec<Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).looks.clone()
    }
}

fn lags(burials: &[Burial], of: fn(&Burial) -> u64) -> Counts {
    let mut histogram = recorder();
    let (mut max, mut sum) = (0, 0_u64);
    for burial in burials {
        let lag = of(burial).max(1);
        histogram.saturating_record_n(lag, burial.cells);
        max = max.max(lag);
        sum = sum.saturating_add(lag.saturating_mul(burial.cells));
    }
    Counts { max, sum, ..Counts::from(&histogram) }
}

/// Garbage grows from what a cycle has left to what the next one finds: a trapezium per interval.
fn mean_over_time(looks: &[Look]) -> f64 {
    let (mut area, mut time) = (0.0, 0.0);
    for pair in looks.windows(2) {
        let seconds = (pair[1].at - pair[0].at).as_secs_f64();
        area += (pair[0].left_bytes + pair[1].floating_bytes) / 2.0 * seconds;
        time += seconds;
    }
    if time > 0.0 { area / time } else { 0.0 }
}

/// Of a cell that is dead: between which two looks it died.
#[derive(Debug, Clone, Copy)]
struct Death {
    cell: u32,
    /// Number of the look that saw it dead first.
    look: u32,
}

/// A moment on both scales.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Instant,
    allocated_bytes: u64,
}

/// What an oracle asks of the heap, beside the graph.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stock {
    /// Bytes ever allocated.
    pub allocated_bytes: u64,
    /// Mean bytes that a cell and its payload take.
    pub bytes_per_cell: f64,
}

impl Stock {
    /// Of a heap at this moment.
    #[must_use]
    pub fn of(heap: &Heap) -> Stock {
        let stats = heap.stats();
        let cells = (stats.live_cells + stats.quarantined_cells).max(1);
        Stock {
            allocated_bytes: stats.allocated_bytes_total,
            bytes_per_cell: stats.used_bytes as f64 / cells as f64,
        }
    }
}

/// Looks at the heap.
pub type TakeStock = Box<dyn Fn() -> Stock + Send>;

/// A strategy with an oracle around it.
pub struct Watched<S> {
    inner: S,
    stock: TakeStock,
    graph: Arc<Graph>,
    witness: Witness,
    /// When each look was.
    moments: Vec<Moment>,
    marks: Vec<u64>,
    stack: Vec<u32>,
    /// Dead at the latest look, by cell.
    dead: Vec<Death>,
    proposed: Option<Verdict>,
    look: Option<Look>,
    busy_ns: u64,
}

impl<S: Strategy> Watched<S> {
    /// Around `inner`, which collects the heap of this graph.
    pub fn new(inner: S, stock: TakeStock, graph: Arc<Graph>, witness: Witness) -> Watched<S> {
        let words = graph.capacity() as usize / 64;
        Watched {
            inner,
            stock,
            graph,
            witness,
            moments: Vec::new(),
            marks: vec![0; words],
            stack: Vec::new(),
            dead: Vec::new(),
            proposed: None,
            look: None,
            busy_ns: 0,
        }
    }

    /// The strategy that is watched.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn moment(&self) -> Moment {
        Moment { at: Instant::now(), allocated_bytes: (self.stock)().allocated_bytes }
    }

    fn add(&mut self, cells: &[u32]) {
        for &cell in cells {
            push(&mut self.marks, &mut self.stack, cell);
        }
    }

    /// Marks everything that is reachable from what was added.
    fn mark(&mut self) {
        let begun = Instant::now();
        while let Some(cell) = self.stack.pop() {
            let from = cell as usize * 4;
            for slot in &self.graph.cells()[from..from + 4] {
                push(&mut self.marks, &mut self.stack, slot.load(Ordering::Relaxed));
            }
        }
        self.busy_ns += begun.elapsed().as_nanos() as u64;
    }

    /// Looks which cells are dead, and keeps of those that were dead before when that was.
    fn see(&mut self) {
        let begun = Instant::now();
        let number = self.moments.len() as u32 - 1;
        let before = std::mem::take(&mut self.dead);
        let mut before = before.iter().peekable();
        for (word, marks) in self.marks.iter().enumerate() {
            let allocated = self.graph.allocated()[word].load(Ordering::Relaxed);
            let young = self.graph.young()[word].load(Ordering::Relaxed);
            let mut dead = allocated & !young & !marks;
            while dead != 0 {
                let cell = word as u32 * 64 + dead.trailing_zeros();
                dead &= dead - 1;
                while before.next_if(|death| death.cell < cell).is_some() {}
                let known = before.next_if(|death| death.cell == cell);
                self.dead.push(known.copied().unwrap_or(Death { cell, look: number }));
            }
        }
        let floating_bytes = self.dead.len() as f64 * (self.stock)().bytes_per_cell;
        self.look = Some(Look {
            at: self.moments[number as usize].at,
            floating_cells: self.dead.len() as u64,
            floating_bytes,
            left_bytes: floating_bytes,
            busy_ns: 0,
        });
        self.busy_ns += begun.elapsed().as_nanos() as u64;
    }

    /// The verdict was carried out: the dead that it names are gone, and have lagged so long.
    fn bury(&mut self, verdict: &Verdict) {
        let begun = Instant::now();
        let condemned = |cell: u32| match verdict {
            Verdict::KeepAll => false,
            Verdict::Survivors(words) => {
                words.get(cell as usize / 64).is_some_and(|word| word >> (cell % 64) & 1 == 0)
            }
            // Sorted before, see `settled`.
            Verdict::Condemned(cells) => cells.binary_search(&cell).is_ok(),
        };
        let here = self.moment();
        // What the verdict names and the heap kept back is still allocated.
        let graph = &self.graph;
        let gone = |cell: u32| {
            condemned(cell)
                && graph.allocated()[cell as usize / 64].load(Ordering::Relaxed) >> (cell % 64) & 1 == 0
        };
        let (buried, left): (Vec<Death>, Vec<Death>) =
            std::mem::take(&mut self.dead).into_iter().partition(|death| gone(death.cell));
        let mut findings = self.witness.0.lock().unwrap_or_else(PoisonError::into_inner);
        for by_look in buried.chunk_by(|a, b| a.look == b.look) {
            let (lag_ns, lag_bytes) = lag(&self.moments, by_look[0].look, here);
            findings.burials.push(Burial { at: here.at, lag_ns, lag_bytes, cells: by_look.len() as u64 });
        }
        drop(findings);
        if let Some(look) = &mut self.look {
            look.left_bytes *= left.len() as f64 / (left.len() + buried.len()).max(1) as f64;
        }
        self.dead = left;
        self.busy_ns += begun.elapsed().as_nanos() as u64;
    }

    fn write(&mut self) {
        let mut findings = self.witness.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = self.look.take() {
            findings.looks.push(Look { busy_ns: std::mem::take(&mut self.busy_ns), ..look });
        }
        findings.waiting_cells = self.dead.len() as u64;
    }
}

fn push(marks: &mut [u64], stack: &mut Vec<u32>, cell: u32) {
    let Some(word) = marks.get_mut(cell as usize / 64) else { return };
    let bit = 1 << (cell % 64);
    if cell != 0 && *word & bit == 0 {
        *word |= bit;
        stack.push(cell);
    }
}

/// How long what was first seen dead at this look has been dead: from the middle between that look and the one before it.
fn lag(moments: &[Moment], look: u32, here: Moment) -> (u64, u64) {
    let seen = moments[look as usize];
    let earlier = look.checked_sub(1).map_or(seen, |before| moments[before as usize]);
    let ns = (here.at - seen.at + (seen.at - earlier.at) / 2).as_nanos() as u64;
    let since = here.allocated_bytes.saturating_sub(seen.allocated_bytes);
    (ns, since + seen.allocated_bytes.saturating_sub(earlier.allocated_bytes) / 2)
}

impl<S: Strategy> Strategy for Watched<S> {
    fn identity(&self) -> &StrategyIdentity {
        self.inner.identity()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.write();
        let moment = self.moment();
        self.moments.push(moment);
        self.marks.fill(0);
        self.stack.clear();
        self.inner.begin(cycle)
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.add(cells);
        self.inner.roots(cells)
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.inner.changed(changes)
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.inner.retired(cells, grace_epochs)
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.add(cells);
        // Before the strategy is asked whether it learned anything: if it did not, this was the last chance to read these cells in time.
        self.mark();
        self.inner.shade(cells)
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        let progress = self.inner.step(budget)?;
        // Only at the end of a sweep of steps, so that the heap's measure of a step is that of the strategy for most of them.
        if progress == Progress::Idle {
            self.mark();
        }
        Ok(progress)
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        self.inner.take_reached()
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        self.mark();
        self.see();
        let verdict = self.inner.finish()?;
        // A list that was deferred is carried out with a later one.
        self.proposed = Some(match (self.proposed.take(), verdict.clone()) {
            (Some(Verdict::Condemned(mut earlier)), Verdict::Condemned(cells)) => {
                earlier.extend(cells);
                Verdict::Condemned(earlier)
            }
            (_, verdict) => verdict,
        });
        Ok(verdict)
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        if outcome.accepted && outcome.condemned_cells > 0 {
            let mut verdict = self.proposed.take().unwrap_or(Verdict::KeepAll);
            if let Verdict::Condemned(cells) = &mut verdict {
                cells.sort_unstable();
                cells.dedup();
            }
            self.bury(&verdict);
        }
        self.write();
        self.inner.settled(outcome)
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        self.inner.inspect()
    }
}

#[cfg(test)]
mod tests {
    use gc_heap::{Cause, Collector, CycleRequest, HeapConfig, Pace};

    use super::*;

    /// Marks from the roots, and proposes what is not marked in every `every`th cycle.
    struct Lazy {
        identity: StrategyIdentity,
        graph: Arc<Graph>,
        marks: Vec<u64>,
        stack: Vec<u32>,
        every: u64,
        number: u64,
    }

    impl Strategy for Lazy {
        fn identity(&self) -> &StrategyIdentity {
            &self.identity
        }
        fn needs(&self) -> Needs {
            Needs::default()
        }
        fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
            self.number += 1;
            self.marks.fill(0);
            Ok(())
        }
        fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
            cells.iter().for_each(|&cell| push(&mut self.marks, &mut self.stack, cell));
            Ok(())
        }
        fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
            Ok(())
        }
        fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
            Ok(())
        }
        fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
            self.roots(cells)?;
            Ok(!self.stack.is_empty())
        }
        fn step(&mut self, _: u32) -> Result<Progress, Fault> {
            while let Some(cell) = self.stack.pop() {
                for slot in 0..4 {
                    let target = self.graph.cells()[cell as usize * 4 + slot].load(Ordering::Relaxed);
                    push(&mut self.marks, &mut self.stack, target);
                }
            }
            Ok(Progress::Idle)
        }
        fn finish(&mut self) -> Result<Verdict, Fault> {
            let keep = !self.number.is_multiple_of(self.every);
            Ok(if keep { Verdict::KeepAll } else { Verdict::Survivors(self.marks.clone()) })
        }
        fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
            Ok(())
        }
    }

    /// Drops 100 objects per cycle, for so many cycles, under a strategy that reclaims in every `every`th one.
    fn watch(every: u64, cycles: u32) -> (Witness, Instant) {
        let heap = Heap::new(HeapConfig::with_limit(8 << 20)).unwrap();
        let graph = Arc::clone(heap.graph());
        let lazy = Lazy {
            identity: StrategyIdentity { name: "lazy".into(), version: "1".into(), digest: "native".into() },
            marks: vec![0; graph.capacity() as usize / 64],
            stack: Vec::new(),
            graph: Arc::clone(&graph),
            every,
            number: 0,
        };
        let begin = Instant::now();
        let witness = Witness::default();
        let stock = {
            let heap = heap.clone();
            Box::new(move || Stock::of(&heap))
        };
        let mut watched = Watched::new(lazy, stock, graph, witness.clone());
        let mut collector = Collector::new(&heap);
        let mut mutator = heap.mutator();
        for _ in 0..cycles {
            mutator.scope(|scope| {
                let kept = scope.alloc(&[], b"").unwrap();
                let list = (0..99).fold(kept, |next, _| scope.alloc(&[Some(next)], b"").unwrap());
                // Takes the place of the list before it, which dies.
                scope.set_root("list", Some(list));
            });
            let report =
                collector.run(&CycleRequest::new(Cause::Request), &mut watched, None, &mut |_| Pace::Go);
            assert_eq!(report.end.word(), "settled");
        }
        (witness, begin)
    }

    #[test]
    fn garbage_that_is_left_is_counted_and_what_goes_at_once_is_not() {
        let (prompt, begin) = watch(1, 12);
        let looks = prompt.looks();
        assert!(
            looks[1..].iter().all(|look| look.floating_cells == 100 && look.left_bytes == 0.0),
            "{looks:?}"
        );
        assert_eq!(prompt.quality(begin, Instant::now()).unwrap().never_condemned_cells, 0);
        let (lazy, begin) = watch(4, 12);
        let cells: Vec<u64> = lazy.looks().iter().map(|look| look.floating_cells).collect();
        assert_eq!(cells, [0, 100, 200, 300, 100, 200, 300, 400, 100, 200, 300, 400]);
        let quality = lazy.quality(begin, Instant::now()).unwrap();
        assert_eq!(quality.lag.count(), 1100);
        // What was condemned before the time that is asked about is no part of the answer.
        let late = lazy.quality(lazy.looks()[6].at, Instant::now()).unwrap();
        assert_eq!((late.lag.count(), late.looks), (800, 6));
        assert_eq!(quality.looks, 12);
    }

    #[test]
    fn who_waits_longer_lags_more() {
        let lag = |every| {
            let (witness, begin) = watch(every, 24);
            witness.quality(begin, Instant::now()).unwrap().lag_allocated_bytes.mean().unwrap()
        };
        let (prompt, lazy) = (lag(1), lag(4));
        // A round allocates 100 cells; the mean wait of the lazy one is a round and a half longer.
        assert!(lazy > prompt + 100.0 * 32.0, "{prompt} {lazy}");
    }

    #[test]
    fn a_single_look_says_nothing() {
        let (witness, begin) = watch(1, 1);
        assert_eq!(witness.quality(begin, Instant::now()), None);
    }
}
