//! A strategy with a stopwatch around it.
//!
//! Stands between the heap and the strategy that is measured, and writes down when which call came, what CPU time it took and what the strategy had
//! counted by then. That tells the parts of a cycle apart without a word in the heap or the node about measuring: what happens between two calls
//! is the host's. A reading of two clocks per call; calls are batches, so that is nothing.
//!
//! Written by the collector thread; read by whoever holds the [`Meter`], between cycles.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gc_heap::{Change, CycleInfo, Fault, Needs, Outcome, Progress, Strategy, StrategyIdentity, Verdict};

/// CPU time of the calling thread in nanoseconds.
pub type ThreadClock = fn() -> u64;

/// What a strategy has counted since it was attached.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Bytes of its own memory.
    pub memory_bytes: u64,
    /// Calls in both directions.
    pub crossings: u64,
    /// Fuel, where it is counted.
    pub fuel: Option<u64>,
}

/// When the parts of a cycle began and ended, as the strategy saw it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Number of the cycle.
    pub number: u64,
    /// The call to `begin`.
    pub begin: Instant,
    /// The first step; none if there was none.
    pub step: Option<Instant>,
    /// The call to `finish`, and its end; none if there was none.
    pub finish: Option<(Instant, Instant)>,
    /// The call to `settled`; none if there was none.
    pub settled: Option<Instant>,
    /// Time in calls before the first step, from there on, and in `finish`.
    pub busy_ns: [u64; 3],
}

/// CPU time of the collector thread, by what it was for. Sums since the first cycle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// In calls of the strategy.
    pub strategy_ns: u64,
    /// Between calls of a cycle up to `finish`: handshakes, logs, roots.
    pub between_ns: u64,
    /// From the verdict to what became of it: proof, condemning, freeing.
    pub decide_ns: u64,
    /// From there to the next cycle: bookkeeping, and handshakes that open it.
    pub after_ns: u64,
}

/// What was written down.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// The cycles, oldest first.
    pub cycles: Vec<Seen>,
    /// Who spent what.
    pub spent: Spent,
    /// What the strategy had counted after the latest call that ends a cycle.
    pub counted: Counted,
    /// Most bytes of its own memory.
    pub memory_bytes_max: u64,
}

/// Where a metered strategy writes.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Notes>>);

impl Meter {
    /// What was written down so far.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sums alone.
    #[must_use]
    pub fn sums(&self) -> (Spent, Counted) {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (notes.spent, notes.counted)
    }
}

/// The sums of several meters: one for each node.
#[must_use]
pub fn sums_of(meters: &[Meter]) -> (Spent, Counted) {
    let add = |(spent, counted): (Spent, Counted), meter: &Meter| {
        let (more, further) = meter.sums();
        let spent = Spent {
            strategy_ns: spent.strategy_ns + more.strategy_ns,
            between_ns: spent.between_ns + more.between_ns,
            decide_ns: spent.decide_ns + more.decide_ns,
            after_ns: spent.after_ns + more.after_ns,
        };
        let fuel = match (counted.fuel, further.fuel) {
            (None, fuel) | (fuel, None) => fuel,
            (Some(one), Some(other)) => Some(one + other),
        };
        let counted = Counted {
            memory_bytes: counted.memory_bytes + further.memory_bytes,
            crossings: counted.crossings + further.crossings,
            fuel,
        };
        (spent, counted)
    };
    meters.iter().fold((Spent::default(), Counted::default()), add)
}

/// What the collector thread did last.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Last {
    Nothing,
    Call,
    Finish,
    Settled,
}

/// A metered strategy.
pub struct Metered<S> {
    inner: S,
    count: fn(&S) -> Counted,
    clock: ThreadClock,
    meter: Meter,
    last: Last,
    left_ns: u64,
    seen: Option<Seen>,
    spent: Spent,
    memory_bytes_max: u64,
}

impl<S: Strategy> Metered<S> {
    /// Around `inner`, writing to `meter`. `count` says what the strategy has counted.
    pub fn new(inner: S, count: fn(&S) -> Counted, clock: ThreadClock, meter: Meter) -> Metered<S> {
        Metered {
            inner,
            count,
            clock,
            meter,
            last: Last::Nothing,
            left_ns: 0,
            seen: None,
            spent: Spent::default(),
            memory_bytes_max: 0,
        }
    }

    /// Makes a call; `part` is what it counts as in [`Seen::busy_ns`].
    fn call<R>(&mut self, part: usize, then: Last, call: impl FnOnce(&mut S) -> R) -> R {
        let entered_ns = (self.clock)();
        let outside_ns = entered_ns.saturating_sub(self.left_ns);
        match self.last {
            Last::Nothing => {}
            Last::Call => self.spent.between_ns += outside_ns,
            Last::Finish => self.spent.decide_ns += outside_ns,
            Last::Settled => self.spent.after_ns += outside_ns,
        }
        let answer = call(&mut self.inner);
        self.left_ns = (self.clock)();
        let inside_ns = self.left_ns.saturating_sub(entered_ns);
        self.spent.strategy_ns += inside_ns;
        if let Some(seen) = &mut self.seen {
            seen.busy_ns[part] += inside_ns;
        }
        self.last = then;
        answer
    }

    fn write(&mut self, cycle: Option<Seen>) {
        let counted = (self.count)(&self.inner);
        self.memory_bytes_max = self.memory_bytes_max.max(counted.memory_bytes);
        let mut notes = self.meter.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.cycles.extend(cycle);
        notes.spent = self.spent;
        notes.counted = counted;
        notes.memory_bytes_max = self.memory_bytes_max;
    }
}

const TELL: usize = 0;
const MARK: usize = 1;
const VERDICT: usize = 2;

impl<S: Strategy> Strategy for Metered<S> {
    fn identity(&self) -> &StrategyIdentity {
        self.inner.identity()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn begin(&mut self, cycle: &CycleInfo) -> Result<(), Fault> {
        // A cycle that was given up, deferred or refused has no end of its own.
        let unfinished = self.seen.take();
        self.write(unfinished);
        self.seen = Some(Seen {
            number: cycle.number,
            begin: Instant::now(),
            step: None,
            finish: None,
            settled: None,
            busy_ns: [0; 3],
        });
        if self.last == Last::Finish {
            self.last = Last::Settled;
        }
        self.call(TELL, Last::Call, |inner| inner.begin(cycle))
    }

    fn roots(&mut self, cells: &[u32]) -> Result<(), Fault> {
        self.call(TELL, Last::Call, |inner| inner.roots(cells))
    }

    fn changed(&mut self, changes: &[Change]) -> Result<(), Fault> {
        self.call(TELL, Last::Call, |inner| inner.changed(changes))
    }

    fn retired(&mut self, cells: &[u32], grace_epochs: &[u64]) -> Result<(), Fault> {
        self.call(TELL, Last::Call, |inner| inner.retired(cells, grace_epochs))
    }

    fn shade(&mut self, cells: &[u32]) -> Result<bool, Fault> {
        self.call(MARK, Last::Call, |inner| inner.shade(cells))
    }

    fn step(&mut self, budget: u32) -> Result<Progress, Fault> {
        if let Some(seen) = &mut self.seen {
            seen.step.get_or_insert_with(Instant::now);
        }
        self.call(MARK, Last::Call, |inner| inner.step(budget))
    }

    fn take_reached(&mut self) -> Result<Vec<u32>, Fault> {
        self.call(MARK, Last::Call, Strategy::take_reached)
    }

    fn finish(&mut self) -> Result<Verdict, Fault> {
        let begun = Instant::now();
        let verdict = self.call(VERDICT, Last::Finish, Strategy::finish);
        if let Some(seen) = &mut self.seen {
            seen.finish = Some((begun, Instant::now()));
        }
        verdict
    }

    fn settled(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        if let Some(seen) = &mut self.seen {
            seen.settled = Some(Instant::now());
        }
        let answer = self.call(VERDICT, Last::Settled, |inner| inner.settled(outcome));
        let seen = self.seen.take();
        self.write(seen);
        answer
    }

    fn inspect(&mut self) -> Result<(), Fault> {
        self.call(VERDICT, Last::Finish, Strategy::inspect)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use gc_heap::Cause;

    use super::*;

    thread_local! { static NOW_NS: Cell<u64> = const { Cell::new(0) } }

    fn work(ns: u64) {
        NOW_NS.set(NOW_NS.get() + ns);
    }

    /// Every call takes ten nanoseconds of this clock, `finish` a hundred.
    struct Steady(StrategyIdentity);

    impl Strategy for Steady {
        fn identity(&self) -> &StrategyIdentity {
            &self.0
        }
        fn needs(&self) -> Needs {
            Needs::default()
        }
        fn begin(&mut self, _: &CycleInfo) -> Result<(), Fault> {
            work(10);
            Ok(())
        }
        fn roots(&mut self, _: &[u32]) -> Result<(), Fault> {
            work(10);
            Ok(())
        }
        fn changed(&mut self, _: &[Change]) -> Result<(), Fault> {
            Ok(())
        }
        fn retired(&mut self, _: &[u32], _: &[u64]) -> Result<(), Fault> {
            Ok(())
        }
        fn shade(&mut self, _: &[u32]) -> Result<bool, Fault> {
            work(10);
            Ok(false)
        }
        fn step(&mut self, _: u32) -> Result<Progress, Fault> {
            work(10);
            Ok(Progress::Idle)
        }
        fn finish(&mut self) -> Result<Verdict, Fault> {
            work(100);
            Ok(Verdict::KeepAll)
        }
        fn settled(&mut self, _: &Outcome) -> Result<(), Fault> {
            work(10);
            Ok(())
        }
    }

    #[test]
    fn every_nanosecond_of_the_collector_is_somebodys() {
        let identity =
            StrategyIdentity { name: "steady".into(), version: "1".into(), digest: "native".into() };
        let meter = Meter::default();
        let count = |_: &Steady| Counted { memory_bytes: 7, crossings: 5, fuel: None };
        let mut metered = Metered::new(Steady(identity), count, || NOW_NS.get(), meter.clone());
        let info = CycleInfo {
            number: 1,
            cause: Cause::Goal,
            rebuild: false,
            allocated_cells: 0,
            goal_cells: 0,
            safe_grace_epoch: 0,
        };
        let outcome = Outcome { accepted: true, condemned_cells: 0, withheld_cells: 0 };
        for number in 1..=2 {
            metered.begin(&CycleInfo { number, ..info }).unwrap();
            work(1);
            metered.roots(&[]).unwrap();
            metered.step(1).unwrap();
            work(2);
            metered.shade(&[]).unwrap();
            metered.finish().unwrap();
            work(1000);
            metered.settled(&outcome).unwrap();
            work(30);
        }
        let (spent, counted) = sums_of(&[meter.clone(), meter.clone()]);
        assert_eq!((spent.strategy_ns, spent.after_ns, counted.crossings), (600, 60, 10));
        let notes = meter.notes();
        assert_eq!(notes.spent, Spent { strategy_ns: 300, between_ns: 6, decide_ns: 2000, after_ns: 30 });
        assert_eq!(notes.cycles.iter().map(|seen| seen.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(notes.cycles[0].busy_ns, [20, 20, 110]);
        assert!(notes.cycles[0].step.is_some() && notes.cycles[0].settled.is_some());
        assert_eq!((notes.memory_bytes_max, notes.counted.crossings), (7, 5));
        // A cycle that was given up leaves what there is of it.
        metered.begin(&CycleInfo { number: 3, ..info }).unwrap();
        metered.begin(&CycleInfo { number: 4, ..info }).unwrap();
        let cycles = meter.notes().cycles;
        assert!(cycles.len() == 3 && cycles[2].finish.is_none(), "{cycles:?}");
    }
}
