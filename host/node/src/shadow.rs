//! A shadow run, cell by cell: what each of two strategies would have freed, and when.
//!
//! Both are told the same and propose in the same cycle, so what either proposes was dead when that cycle began, and between the begin of the cycle before
//! and that it died: the middle is taken, as `host bench` does. From there on it is garbage until one proposes it.
//!
//! ```text
//!   begin n-1          begin n       verdict n                      verdict n+2
//!   ────┼────── ✝ ────────┼─────────────┼──────────────────────────────┼───▶
//!       └ died between ───┘  lag of who proposes it in cycle n         │
//!               └───────────────── lag of who proposes it only then ───┘
//! ```
//!
//! 1. Nothing on the node is marked for measuring's sake: what *neither* strategy has found is not in the figures. A strategy that marks the whole heap,
//!    on either side, makes them exact.
//! 2. What the serving strategy proposes is carried out, and is gone before a slower shadow can propose it. Such cells are *missed* by the shadow, and are
//!    counted as its garbage from then on: of that it would have left at most so much.
//! 3. What was proposed and kept (it was looked up meanwhile, or its proposer thought better of it) was not dead, and is forgotten.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gc_heap::{
    Change, CycleInfo, Fault, Graph, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict,
};

use crate::record::ShadowSide;
use crate::source::Footprint;

/// What a strategy proposed in a cycle: bit `i % 64` of word `i / 64`.
pub(crate) struct Proposal {
    at: Instant,
    words: Vec<u64>,
}

/// Stands around a strategy for one cycle and takes down what it proposes.
pub(crate) struct Overheard<'s> {
    inner: &'s mut dyn Strategy,
    graph: &'s Graph,
    roots: Vec<u32>,
    begun: Option<Instant>,
    proposal: Option<Proposal>,
}

impl<'s> Overheard<'s> {
    pub(crate) fn new(inner: &'s mut dyn Strategy, graph: &'s Graph) -> Overheard<'s> {
        Overheard { inner, graph, roots: Vec::new(), begun: None, proposal: None }
    }

    /// When the cycle began, and what was proposed in it; none if it did not come to that.
    pub(crate) fn end(self) -> Option<(Instant, Proposal)> {
        self.begun.zip(self.proposal)
    }

    /// What of a verdict may go: allocated, not young, no root.
    fn listen(&mut self, verdict: &Verdict) -> Vec<u64> {
        let may_go = |index: usize| {
            let allocated = self.graph.allocated()[index].load(Ordering::Acquire);
            allocated & !self.graph.young()[index].load(Ordering::Acquire)
        };
        let mut words = vec![0; self.graph.capacity() as usize / 64];
        match verdict {
            Verdict::KeepAll => {}
            Verdict::Survivors(survivors) => {
                for (index, (word, survivors)) in words.iter_mut().zip(survivors).enumerate() {
                    *word = may_go(index) & !survivors;
                }
            }
            Verdict::Condemned(cells) => {
                for &cell in cells.iter().filter(|&&cell| cell < self.graph.capacity()) {
                    let index = cell as usize / 64;
                    words[index] |= may_go(index) & 1 << (cell % 64);
                }
            }
        }
        for &cell in &self.roots {
            if let Some(word) = words.get_mut(cell as usize / 64) {
                *word &= !(1 << (cell % 64));
            }
        }
        words
    }
}

impl Strategy for Overheard<'_> {
    fn identity(&self) -> &StrategyIdentity {
        self.inner.identity()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        self.begun = Some(Instant::now());
        self.inner.begin(cycle)
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.roots.extend(cells);
        self.inner.roots(cells)
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.inner.changed(changes)
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.inner.retired(cells, grace_epochs)
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.roots.extend(cells);
        self.inner.shade(cells)
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        self.inner.step(budget)
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        self.inner.take_reached()
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        let verdict = self.inner.finish()?;
        let at = Instant::now();
        self.proposal = Some(Proposal { at, words: self.listen(&verdict) });
        Ok(verdict)
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.inner.settled(outcome)
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        self.inner.inspect()
    }
}

/// A cycle in which both proposed.
pub(crate) struct Look {
    pub(crate) begun: Instant,
    pub(crate) serving: Proposal,
    pub(crate) shadow: Proposal,
    /// Mean bytes that a cell and its payload take.
    pub(crate) bytes_per_cell: f64,
}

/// Of a cell that is dead and not gone.
#[derive(Debug, Clone, Copy)]
struct Death {
    cell: u32,
    /// Number of the look that saw it first.
    look: u32,
    /// Who has proposed it.
    serving: bool,
    shadow: bool,
}

/// One of the two.
#[derive(Debug, Default)]
struct Side {
    cells: u64,
    earlier_cells: u64,
    /// Cells by lag, in nanoseconds, rounded.
    lags: BTreeMap<u64, u64>,
    /// Garbage that it has not proposed, at the end of the latest look.
    left_bytes: f64,
    byte_seconds: f64,
    floating_bytes_max: f64,
    seen: Footprint,
    spent: Footprint,
}

impl Side {
    fn propose(&mut self, lag: Duration) {
        self.cells += 1;
        *self.lags.entry(rounded(lag.as_nanos() as u64)).or_default() += 1;
    }

    /// Garbage grows from what was left to what is found: a trapezium.
    fn floats(&mut self, since: Duration, found_bytes: f64, left_bytes: f64) {
        self.byte_seconds += (self.left_bytes + found_bytes) / 2.0 * since.as_secs_f64();
        self.floating_bytes_max = self.floating_bytes_max.max(found_bytes);
        self.left_bytes = left_bytes;
    }

    /// Another instance begins at 0.
    fn spend(&mut self, now: Footprint) {
        let since = |now: u64, seen: u64| now.checked_sub(seen).unwrap_or(now);
        self.spent.memory_bytes = self.spent.memory_bytes.max(now.memory_bytes);
        self.spent.crossings += since(now.crossings, self.seen.crossings);
        self.spent.fuel_used += since(now.fuel_used, self.seen.fuel_used);
        self.seen = now;
    }

    fn record(&self, seconds: f64) -> ShadowSide {
        let lags: u64 = self.lags.values().sum();
        let at = |share: f64| {
            let rank = (lags as f64 * share).ceil() as u64;
            let mut below = 0;
            let found = self.lags.iter().find(|&(_, count)| {
                below += count;
                below >= rank
            });
            found.map(|(&ns, _)| ns)
        };
        ShadowSide {
            cells: self.cells,
            earlier_cells: self.earlier_cells,
            lag_ns_p50: at(0.5),
            lag_ns_p99: at(0.99),
            lag_ns_max: self.lags.keys().next_back().copied(),
            floating_bytes_mean: (seconds > 0.0).then(|| (self.byte_seconds / seconds) as u64),
            floating_bytes_max: self.floating_bytes_max as u64,
            memory_bytes: self.spent.memory_bytes,
            crossings: self.spent.crossings,
            fuel: (self.spent.fuel_used > 0).then_some(self.spent.fuel_used),
        }
    }
}

/// To three digits of two, so that a table of them stays small.
fn rounded(ns: u64) -> u64 {
    let bits = 64 - ns.leading_zeros();
    let below = bits.saturating_sub(10);
    (ns >> below) << below
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    begins: Vec<Instant>,
    /// By cell.
    dead: Vec<Death>,
    missed_cells: u64,
    bytes_per_cell: f64,
    serving: Side,
    shadow: Side,
}

impl Comparison {
    /// Takes in what was proposed in a cycle.
    pub(crate) fn look(&mut self, look: &Look) {
        let since = self.begins.last().map_or(Duration::ZERO, |before| look.begun - *before);
        self.begins.push(look.begun);
        self.bytes_per_cell = look.bytes_per_cell;
        let number = self.begins.len() as u32 - 1;
        let (mut new_cells, mut left) = (0_u64, (0_u64, 0_u64));
        let known = std::mem::take(&mut self.dead);
        let mut known = known.into_iter().peekable();
        for (word, (&serving, &shadow)) in look.serving.words.iter().zip(&look.shadow.words).enumerate() {
            let mut either = serving | shadow;
            while either != 0 {
                let bit = either.trailing_zeros();
                either &= either - 1;
                let cell = word as u32 * 64 + bit;
                while let Some(earlier) = known.next_if(|death| death.cell < cell) {
                    self.keep_waiting(earlier, &mut left);
                }
                let death = known.next_if(|death| death.cell == cell).unwrap_or_else(|| {
                    new_cells += 1;
                    Death { cell, look: number, serving: false, shadow: false }
                });
                let proposed = (serving >> bit & 1 == 1, shadow >> bit & 1 == 1);
                let death = self.proposed(death, proposed, look);
                left.0 += u64::from(!death.serving);
                left.1 += u64::from(!death.shadow);
                self.dead.push(death);
            }
        }
        for earlier in known {
            self.keep_waiting(earlier, &mut left);
        }
        let bytes = |cells: u64| cells as f64 * look.bytes_per_cell;
        let found = |side: &Side| side.left_bytes + bytes(new_cells);
        self.serving.floats(since, found(&self.serving), bytes(left.0));
        self.shadow.floats(since, found(&self.shadow), bytes(left.1 + self.missed_cells));
    }

    /// A cell that nobody proposes this time. Who proposed it once thought better of it, unless that waits to be carried out.
    fn keep_waiting(&mut self, death: Death, left: &mut (u64, u64)) {
        if death.serving {
            left.1 += u64::from(!death.shadow);
            self.dead.push(death);
        }
    }

    fn proposed(&mut self, mut death: Death, (serving, shadow): (bool, bool), look: &Look) -> Death {
        let lag = |proposal: &Proposal| {
            let seen = self.begins[death.look as usize];
            let earlier = death.look.checked_sub(1).map_or(seen, |before| self.begins[before as usize]);
            proposal.at.saturating_duration_since(seen) + (seen - earlier) / 2
        };
        let (serving_lag, shadow_lag) = (lag(&look.serving), lag(&look.shadow));
        let first = !death.serving && !death.shadow;
        self.serving.earlier_cells += u64::from(first && serving && !shadow);
        self.shadow.earlier_cells += u64::from(first && shadow && !serving);
        if serving && !death.serving {
            self.serving.propose(serving_lag);
        }
        if shadow && !death.shadow {
            self.shadow.propose(shadow_lag);
        }
        death.serving |= serving;
        death.shadow |= shadow;
        death
    }

    /// The serving strategy's verdict was carried out: what it proposed is gone, or was kept for a reason.
    pub(crate) fn carried_out(&mut self, gone: impl Fn(u32) -> bool) {
        let missed = &mut self.missed_cells;
        self.dead.retain(|death| {
            *missed += u64::from(death.serving && !death.shadow && gone(death.cell));
            !death.serving
        });
    }

    /// What both instances have cost by the end of a cycle.
    pub(crate) fn spend(&mut self, serving: Footprint, shadow: Footprint) {
        self.serving.spend(serving);
        self.shadow.spend(shadow);
    }

    /// What the serving instance had cost before; the shadow's begins at 0.
    pub(crate) fn begin(&mut self, serving: Footprint) {
        self.serving.seen = serving;
    }

    /// The share of what the serving strategy found and the shadow did not, while it could; none where nothing was found.
    pub(crate) fn missed(&self) -> Option<f64> {
        (self.serving.cells > 0).then(|| self.missed_cells as f64 / self.serving.cells as f64)
    }

    /// Both sides, and the cells that the shadow missed.
    pub(crate) fn record(&self) -> (ShadowSide, ShadowSide, u64) {
        let seconds = match (self.begins.first(), self.begins.last()) {
            (Some(first), Some(last)) => (*last - *first).as_secs_f64(),
            _ => 0.0,
        };
        (self.serving.record(seconds), self.shadow.record(seconds), self.missed_cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cycles begin every 100 ms and end 10 ms later; a cell takes 10 bytes.
    struct Run {
        begin: Instant,
        cycle: u32,
        comparison: Comparison,
    }

    impl Run {
        fn new() -> Run {
            Run { begin: Instant::now(), cycle: 0, comparison: Comparison::default() }
        }

        fn propose(&mut self, serving: &[u32], shadow: &[u32]) {
            let begun = self.begin + Duration::from_millis(100) * self.cycle;
            self.cycle += 1;
            let proposal = |cells: &[u32]| {
                let mut words = vec![0; 4];
                cells.iter().for_each(|cell| words[*cell as usize / 64] |= 1 << (cell % 64));
                Proposal { at: begun + Duration::from_millis(10), words }
            };
            let (serving, shadow) = (proposal(serving), proposal(shadow));
            self.comparison.look(&Look { begun, serving, shadow, bytes_per_cell: 10.0 });
        }

        fn cycle(&mut self, serving: &[u32], shadow: &[u32]) {
            self.propose(serving, shadow);
            self.comparison.carried_out(|_| true);
        }

        fn sides(&self) -> (ShadowSide, ShadowSide) {
            let (serving, shadow, _) = self.comparison.record();
            (serving, shadow)
        }
    }

    fn about(ns: Option<u64>, ms: u64) -> bool {
        ns.is_some_and(|ns| (ns as f64 / (ms as f64 * 1e6) - 1.0).abs() < 0.01)
    }

    #[test]
    fn who_proposes_the_same_at_the_same_time_has_the_same_figures() {
        let mut run = Run::new();
        run.cycle(&[], &[]);
        run.cycle(&[1, 70, 200], &[1, 70, 200]);
        let (serving, shadow) = run.sides();
        assert_eq!(serving, shadow);
        assert_eq!((serving.cells, serving.earlier_cells, run.comparison.missed()), (3, 0, Some(0.0)));
        // Dead for half of the 100 ms before, and for 10 ms until the verdict.
        assert!(about(serving.lag_ns_p50, 60) && about(serving.lag_ns_max, 60), "{serving:?}");
        // From nothing to 30 bytes.
        assert_eq!((serving.floating_bytes_mean, serving.floating_bytes_max), (Some(15), 30));
    }

    #[test]
    fn who_proposes_later_lags_by_so_much() {
        let mut run = Run::new();
        run.cycle(&[], &[]);
        run.cycle(&[], &[5, 6]);
        run.cycle(&[5], &[5, 6]);
        let (serving, shadow) = run.sides();
        assert_eq!((serving.cells, shadow.cells, shadow.earlier_cells), (1, 2, 2));
        assert!(about(shadow.lag_ns_max, 60) && about(serving.lag_ns_max, 160), "{serving:?} {shadow:?}");
        // The serving one left both for 100 ms; the shadow left nothing.
        assert_eq!((serving.floating_bytes_mean, shadow.floating_bytes_mean), (Some(15), Some(5)));
    }

    #[test]
    fn what_is_gone_before_the_shadow_proposes_it_is_missed_and_stays_its_garbage() {
        let mut run = Run::new();
        run.cycle(&[], &[]);
        run.cycle(&[1, 2, 3, 4], &[1]);
        run.cycle(&[], &[]);
        let (serving, shadow, missed) = run.comparison.record();
        assert_eq!((serving.earlier_cells, missed, run.comparison.missed()), (3, 3, Some(0.75)));
        // 20 bytes on the average of the first interval for both, then nothing and 30.
        assert_eq!((serving.floating_bytes_mean, shadow.floating_bytes_mean), (Some(10), Some(25)));
    }

    #[test]
    fn what_was_kept_was_not_dead() {
        let mut run = Run::new();
        run.cycle(&[], &[]);
        // Proposed by the shadow and never again: it thought better of it.
        run.cycle(&[], &[9]);
        run.cycle(&[], &[]);
        // Proposed by both and withheld.
        run.propose(&[8], &[]);
        run.comparison.carried_out(|_| false);
        assert!(run.comparison.dead.is_empty());
        assert_eq!(run.comparison.missed_cells, 0);
    }

    #[test]
    fn what_waits_to_be_carried_out_is_found_once() {
        let mut run = Run::new();
        run.cycle(&[], &[]);
        run.propose(&[7], &[]);
        run.propose(&[], &[7]);
        run.comparison.carried_out(|_| true);
        let (serving, shadow) = run.sides();
        assert_eq!((serving.cells, shadow.cells, run.comparison.missed_cells), (1, 1, 0));
        assert!(about(serving.lag_ns_max, 60) && about(shadow.lag_ns_max, 160));
    }

    #[test]
    fn a_footprint_is_what_was_spent_meanwhile() {
        let mut comparison = Comparison::default();
        let cost = |crossings| Footprint { memory_bytes: 7, crossings, fuel_used: 0 };
        comparison.begin(cost(100));
        comparison.spend(cost(110), cost(5));
        // Another one serves.
        comparison.spend(cost(3), cost(9));
        let (serving, shadow, _) = comparison.record();
        assert_eq!((serving.crossings, shadow.crossings, serving.fuel), (13, 9, None));
    }
}
