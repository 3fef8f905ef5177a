//! When to begin a cycle, and how hard to work at it. Pure arithmetic; the caller has the clock.
//!
//! Like Go's pacer in its outer shape: the heap may grow by a percentage over what survived (100 by default), a cycle is begun so early that it ends
//! at about that goal, and the collector takes a fixed share of one processor (25 %) unless allocation overtakes it. Near the hard limit the
//! share may rise to a half, and to all that it can get only where mutators are slowed or wait: a heap that is full of live objects makes allocation fail, it does not make
//! the program stand still (Go issue 42805 and OpenJDK's GCTimeLimit have the same rule for the same reason).
//!
//! Growth is counted in bytes. What can run out are bytes and cells, each by itself, and what lies in quarantine still takes both: so a cycle begins at
//! the growth trigger (quarantine left out, since it goes with the next proof anyway) or at the limit's trigger of bytes or of cells, whichever
//! comes first.
//!
//! A cycle that takes longer than the ones before it would still let the heap run full, and mutators would wait for its end. So in the last tenth of
//! what was left they are slowed, in steps far below a millisecond: each may use up what is left at a pace at which it would last for four cycles like the last
//! one, and what they do not take of the processors the collector does. So little is left in the end that nobody waits, however long the cycle takes.
//! Shenandoah's pacer slows mutators in all of a cycle; here it is the exception.

use std::time::Duration;

/// Cells and bytes of a heap. The bytes are those of cells and payloads together.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Amount {
    /// Cells.
    pub cells: u64,
    /// Bytes of cells and payloads.
    pub bytes: u64,
}

impl Amount {
    /// More than any heap holds.
    pub const MAX: Amount = Amount { cells: u64::MAX, bytes: u64::MAX };

    /// Whether there is as much of one of the two as there.
    #[must_use]
    pub fn reaches(self, other: Amount) -> bool {
        self.cells >= other.cells || self.bytes >= other.bytes
    }
}

/// What the pacer is told to aim at.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct PacerConfig {
    /// How much the heap may grow over what survived, in percent. Default 100.
    pub growth_percent: u32,
    /// The collector's share of one processor while a cycle runs, above 0 and at most 1. Default 0.25.
    pub share: f64,
    /// The largest share, for when the heap is past its goal or nears its limit, up to where mutators are slowed. Default 0.5.
    pub share_max: f64,
    /// No cycle is begun by growth while fewer bytes are in use. Default 4 MiB.
    pub minimum_bytes: u64,
    /// The heap's hard limit.
    pub limit: Amount,
}

impl PacerConfig {
    /// The defaults, for a heap of this limit.
    #[must_use]
    pub fn for_limit(limit: Amount) -> PacerConfig {
        PacerConfig { growth_percent: 100, share: 0.25, share_max: 0.5, minimum_bytes: 4 << 20, limit }
    }
}

/// What a cycle that ended tells the pacer.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct CycleEnded {
    /// In use at its end, quarantine included.
    pub used: Amount,
    /// How much of that lies in quarantine.
    pub quarantined_bytes: u64,
    /// Allocated while it ran.
    pub allocated: Amount,
    /// How long it took.
    pub took: Duration,
}

/// Where mutators are slowed, and by how much.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Brake {
    /// Slowed is who allocates when what is in use reaches this.
    pub from: Amount,
    /// How long what is left is to last for one mutator, at every moment.
    pub span: Duration,
}

impl Brake {
    /// Nobody is slowed.
    pub const OFF: Brake = Brake { from: Amount::MAX, span: Duration::ZERO };
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Pacer {
    config: PacerConfig,
    /// In use when the last cycle ended, and how much of it was in quarantine.
    used: Amount,
    quarantined_bytes: u64,
    /// What is expected to be allocated while the next cycle runs.
    head_start: Amount,
    /// How long the last cycle took.
    took: Duration,
}

impl Pacer {
    /// A pacer for an empty heap.
    #[must_use]
    pub fn new(config: PacerConfig) -> Pacer {
        Pacer {
            config,
            used: Amount::default(),
            quarantined_bytes: 0,
            head_start: Amount::default(),
            took: FIRST_TAKES,
        }
    }

    /// Learns from a cycle.
    pub fn cycle_ended(&mut self, ended: CycleEnded) {
        self.used = ended.used;
        self.quarantined_bytes = ended.quarantined_bytes;
        self.took = ended.took;
        // Half of the old, half of the new: one odd cycle neither rules nor is lost.
        let middle = |old: u64, new: u64| old / 2 + new / 2;
        self.head_start = Amount {
            cells: middle(self.head_start.cells, ended.allocated.cells),
            bytes: middle(self.head_start.bytes, ended.allocated.bytes),
        };
    }

    /// The quarantine was emptied between cycles.
    pub fn quarantine_released(&mut self, used: Amount) {
        self.used = used;
        self.quarantined_bytes = 0;
    }

    /// How far the heap may grow, in bytes, quarantine left out.
    #[must_use]
    pub fn goal_bytes(&self) -> u64 {
        let live = self.live_bytes();
        let growth = u128::from(live) * u128::from(self.config.growth_percent) / 100;
        let goal = u64::try_from(u128::from(live) + growth).unwrap_or(u64::MAX);
        goal.max(self.config.minimum_bytes).min(self.config.limit.bytes)
    }

    /// The next cycle begins when what is in use reaches this, in bytes or in cells.
    #[must_use]
    pub fn trigger(&self) -> Amount {
        let limit = self.limit_trigger();
        let growth = self.growth_trigger().saturating_add(self.quarantined_bytes);
        Amount { cells: limit.cells, bytes: growth.min(limit.bytes) }
    }

    /// How long to rest after a piece of work that took so long and was on a processor for `busy` of that, when so much is in use and a mutator waits for
    /// room or not. Where mutators keep the collector from its share, it does not rest on top of that.
    #[must_use]
    pub fn rest(&self, took: Duration, busy: Duration, used: Amount, waited_for: bool) -> Duration {
        if waited_for || used.reaches(self.brake().from) {
            return Duration::ZERO;
        }
        busy.div_f64(self.share(used)).saturating_sub(took)
    }

    /// The share of one processor: the configured one up to the goal, rising to the largest at a tenth past it or where the brake begins.
    #[must_use]
    pub fn share(&self, used: Amount) -> f64 {
        let goal = self.goal_bytes().saturating_add(self.quarantined_bytes);
        let (near, brake) = (self.limit_trigger(), self.brake().from);
        let past = way(used.bytes, goal, goal.saturating_add(goal / 10))
            .max(way(used.bytes, near.bytes, brake.bytes))
            .max(way(used.cells, near.cells, brake.cells));
        self.config.share + (self.config.share_max.max(self.config.share) - self.config.share) * past
    }

    fn live_bytes(&self) -> u64 {
        self.used.bytes.saturating_sub(self.quarantined_bytes)
    }

    /// Ahead of the goal by what is allocated meanwhile, but not before a tenth of the way to the goal is gone, so that a cycle always has something
    /// to find.
    fn growth_trigger(&self) -> u64 {
        let (live, goal) = (self.live_bytes(), self.goal_bytes());
        let earliest = live + goal.saturating_sub(live) / 10;
        goal.saturating_sub(self.head_start.bytes).max(earliest)
    }

    /// A cycle that begins later than this makes mutators wait for room. A goal may be overrun and a limit may not, so a tenth of what is left
    /// stays in reserve.
    #[must_use]
    pub fn limit_trigger(&self) -> Amount {
        let before = |limit: u64, used: u64, head_start: u64| {
            let reserve = reserve(limit, used);
            (limit - reserve).saturating_sub(head_start).max(used.min(limit) + reserve)
        };
        let limit = self.config.limit;
        Amount {
            cells: before(limit.cells, self.used.cells, self.head_start.cells),
            bytes: before(limit.bytes, self.used.bytes, self.head_start.bytes),
        }
    }

    /// From the reserve on mutators are slowed.
    #[must_use]
    pub fn brake(&self) -> Brake {
        let limit = self.config.limit;
        let from = Amount {
            cells: limit.cells - reserve(limit.cells, self.used.cells),
            bytes: limit.bytes - reserve(limit.bytes, self.used.bytes),
        };
        Brake { from, span: 4 * self.took }
    }
}

/// How long the first cycle is taken to take.
const FIRST_TAKES: Duration = Duration::from_millis(100);

/// A tenth of what is left.
fn reserve(limit: u64, used: u64) -> u64 {
    limit.saturating_sub(used) / 10
}

/// How much of the way from `from` to `to` is gone, 0 to 1.
fn way(at: u64, from: u64, to: u64) -> f64 {
    let (gone, whole) = (at.saturating_sub(from), to.saturating_sub(from).max(1));
    (gone as f64 / whole as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const LIMIT: Amount = Amount { cells: 32 * MIB, bytes: 1024 * MIB };

    fn pacer() -> Pacer {
        Pacer::new(PacerConfig::for_limit(LIMIT))
    }

    fn bytes(bytes: u64) -> Amount {
        Amount { cells: 0, bytes }
    }

    fn ended(used: Amount, allocated: Amount) -> CycleEnded {
        CycleEnded { used, quarantined_bytes: 0, allocated, took: Duration::from_secs(1) }
    }

    #[test]
    fn the_goal_is_twice_what_survived_between_the_minimum_and_the_limit() {
        let mut pacer = pacer();
        assert_eq!(pacer.goal_bytes(), 4 * MIB);
        pacer.cycle_ended(ended(bytes(100 * MIB), bytes(0)));
        assert_eq!(pacer.goal_bytes(), 200 * MIB);
        pacer.cycle_ended(ended(bytes(900 * MIB), bytes(0)));
        assert_eq!(pacer.goal_bytes(), 1024 * MIB);
    }

    #[test]
    fn a_steady_load_ends_its_cycles_at_the_goal() {
        let mut pacer = pacer();
        for _ in 0..40 {
            pacer.cycle_ended(ended(bytes(100 * MIB), bytes(30 * MIB)));
        }
        let end = pacer.trigger().bytes + 30 * MIB;
        assert!(end.abs_diff(pacer.goal_bytes()) < MIB, "{end}");
    }

    #[test]
    fn quarantine_is_no_growth_but_takes_room_under_the_limit() {
        let quarantined = |used: u64, quarantined: u64| {
            let mut pacer = pacer();
            let ended = CycleEnded { quarantined_bytes: quarantined, ..ended(bytes(used), bytes(0)) };
            pacer.cycle_ended(ended);
            pacer.trigger().bytes
        };
        assert_eq!(quarantined(150 * MIB, 50 * MIB), 250 * MIB);
        assert!(quarantined(824 * MIB, 400 * MIB) <= 1004 * MIB, "a fifth of what is left would stay");
    }

    /// Cells of 32 bytes in a heap that has room for more bytes than cells: cells run out first.
    #[test]
    fn cells_that_run_out_before_bytes_begin_a_cycle_in_time() {
        let mut pacer = pacer();
        let live = Amount { cells: 16 * MIB, bytes: 400 * MIB };
        let allocated = Amount { cells: 6 * MIB, bytes: 60 * MIB };
        for _ in 0..40 {
            pacer.cycle_ended(ended(live, allocated));
        }
        let trigger = pacer.trigger();
        assert!(trigger.cells + allocated.cells < LIMIT.cells, "{trigger:?}");
        assert!(trigger.cells > live.cells + MIB, "{trigger:?}");
        let used = Amount { cells: trigger.cells, ..live };
        assert!(used.reaches(trigger) && !live.reaches(trigger));
        assert_eq!(pacer.share(used), 0.25);
        assert_eq!(pacer.share(Amount { cells: LIMIT.cells, ..live }), 0.5);
    }

    #[test]
    fn resting_keeps_the_share_and_nobody_rests_while_a_mutator_waits_or_is_slowed() {
        let mut pacer = pacer();
        let rest = |pacer: &Pacer, took: u64, used: Amount, waited_for: bool| {
            pacer.rest(Duration::from_millis(took), Duration::from_millis(1), used, waited_for).as_millis()
        };
        assert_eq!([1, 2, 4, 5].map(|took| rest(&pacer, took, bytes(0), false)), [3, 2, 0, 0]);
        pacer.cycle_ended(ended(bytes(24 * MIB), bytes(100 * MIB)));
        let Brake { from: brake, span } = pacer.brake();
        assert_eq!(brake, Amount { cells: LIMIT.cells - LIMIT.cells / 10, bytes: 924 * MIB });
        assert_eq!(span, Duration::from_secs(4));
        assert_eq!(rest(&pacer, 1, bytes(brake.bytes - 1), false), 1);
        assert_eq!((rest(&pacer, 1, brake, false), rest(&pacer, 1, bytes(0), true)), (0, 0));
    }

    proptest! {
        #[test]
        fn the_trigger_lies_between_what_is_used_and_the_limit(
            used in (0..64 * MIB, 0..2048 * MIB), allocated in (0..64 * MIB, 0..4096 * MIB), part in 0.0..1.0,
        ) {
            let mut pacer = pacer();
            let used = Amount { cells: used.0, bytes: used.1 };
            let quarantined_bytes = (used.bytes as f64 * part) as u64;
            let allocated = Amount { cells: allocated.0, bytes: allocated.1 };
            pacer.cycle_ended(CycleEnded { used, quarantined_bytes, ..ended(used, allocated) });
            let trigger = pacer.trigger();
            prop_assert!(trigger.cells <= LIMIT.cells && trigger.bytes <= LIMIT.bytes);
            prop_assert!(trigger.cells >= used.cells.min(LIMIT.cells));
            prop_assert!(trigger.bytes >= used.bytes.min(pacer.goal_bytes()));
            let live = used.bytes - quarantined_bytes;
            prop_assert!(trigger.bytes <= pacer.goal_bytes().max(live) + quarantined_bytes);
            prop_assert!(pacer.goal_bytes() <= LIMIT.bytes);
            let (latest, brake) = (pacer.limit_trigger(), pacer.brake().from);
            prop_assert!(latest.cells <= brake.cells && brake.cells <= LIMIT.cells);
            prop_assert!(latest.bytes <= brake.bytes && brake.bytes <= LIMIT.bytes);
            let share = pacer.share(used);
            prop_assert!((0.25..=0.5).contains(&share));
        }
    }
}
