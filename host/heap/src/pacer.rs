//! When to begin a cycle, and how hard to work at it. Pure arithmetic; the caller has the clock.
//!
//! Like Go's pacer in its outer shape: the heap may grow by a percentage over what survived (100 by default), a cycle is begun so early that it ends
//! at about that goal, and the collector takes a fixed share of one processor (25 %) unless allocation overtakes it. Under the hard limit the
//! share may rise to a half and no further, and cycles do not follow each other without a pause: a heap that is full of live objects makes allocation fail, it does not make
//! the program stand still (Go issue 42805 and OpenJDK's GCTimeLimit have the same rule for the same reason).

use std::time::Duration;

/// What the pacer is told to aim at.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct PacerConfig {
    /// How much the heap may grow over what survived, in percent. Default 100.
    pub growth_percent: u32,
    /// The collector's share of one processor while a cycle runs, above 0 and at most 1. Default 0.25.
    pub share: f64,
    /// The largest share, for when the heap is past its goal. Default 0.5.
    pub share_max: f64,
    /// No cycle is begun by growth while fewer bytes are in use. Default 4 MiB.
    pub minimum_bytes: u64,
    /// The heap's hard limit.
    pub limit_bytes: u64,
}

impl PacerConfig {
    /// The defaults, for a heap of this limit.
    #[must_use]
    pub fn for_limit(limit_bytes: u64) -> PacerConfig {
        PacerConfig { growth_percent: 100, share: 0.25, share_max: 0.5, minimum_bytes: 4 << 20, limit_bytes }
    }
}

/// What a cycle that ended tells the pacer.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct CycleEnded {
    /// Bytes in use when it began.
    pub begun_bytes: u64,
    /// Bytes that are still wanted at its end: used, less quarantine.
    pub live_bytes: u64,
    /// Bytes allocated while it ran.
    pub allocated_bytes: u64,
    /// Time the collector worked.
    pub busy: Duration,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Pacer {
    config: PacerConfig,
    live_bytes: u64,
    /// Bytes expected to be allocated while the next cycle runs.
    head_start_bytes: f64,
}

impl Pacer {
    /// A pacer for an empty heap.
    #[must_use]
    pub fn new(config: PacerConfig) -> Pacer {
        Pacer { config, live_bytes: 0, head_start_bytes: 0.0 }
    }

    /// Learns from a cycle.
    pub fn cycle_ended(&mut self, ended: CycleEnded) {
        self.live_bytes = ended.live_bytes;
        // Half of the old, half of the new: one odd cycle neither rules nor is lost.
        self.head_start_bytes = (self.head_start_bytes + ended.allocated_bytes as f64) / 2.0;
    }

    /// How far the heap may grow, in bytes.
    #[must_use]
    pub fn goal_bytes(&self) -> u64 {
        let growth = u128::from(self.live_bytes) * u128::from(self.config.growth_percent) / 100;
        let goal = u128::from(self.live_bytes) + growth;
        let goal = u64::try_from(goal).unwrap_or(u64::MAX).max(self.config.minimum_bytes);
        goal.min(self.config.limit_bytes)
    }

    /// Bytes in use at which the next cycle begins: ahead of the goal by what is allocated meanwhile, but not before a tenth of the way to the goal
    /// is gone, so that a cycle always has something to find.
    #[must_use]
    pub fn trigger_bytes(&self) -> u64 {
        let goal = self.goal_bytes();
        let way = goal.saturating_sub(self.live_bytes);
        let earliest = self.live_bytes + way / 10;
        goal.saturating_sub(self.head_start_bytes as u64).max(earliest)
    }

    /// How long to rest after `busy` of work, when `used_bytes` are in use and a mutator waits for room or not.
    #[must_use]
    pub fn rest(&self, busy: Duration, used_bytes: u64, waited_for: bool) -> Duration {
        if waited_for {
            return Duration::ZERO;
        }
        let share = self.share(used_bytes);
        busy.mul_f64((1.0 - share) / share)
    }

    /// The share of one processor: the configured one up to the goal, rising to the largest at a tenth past it.
    #[must_use]
    pub fn share(&self, used_bytes: u64) -> f64 {
        let goal = self.goal_bytes().max(1) as f64;
        let past = ((used_bytes as f64 - goal) / (goal / 10.0)).clamp(0.0, 1.0);
        self.config.share + (self.config.share_max.max(self.config.share) - self.config.share) * past
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn pacer() -> Pacer {
        Pacer::new(PacerConfig::for_limit(1024 * MIB))
    }

    fn ended(live: u64, allocated: u64) -> CycleEnded {
        CycleEnded { begun_bytes: live, live_bytes: live, allocated_bytes: allocated, busy: Duration::ZERO }
    }

    #[test]
    fn the_goal_is_twice_what_survived_between_the_minimum_and_the_limit() {
        let mut pacer = pacer();
        assert_eq!(pacer.goal_bytes(), 4 * MIB);
        pacer.cycle_ended(ended(100 * MIB, 0));
        assert_eq!(pacer.goal_bytes(), 200 * MIB);
        pacer.cycle_ended(ended(900 * MIB, 0));
        assert_eq!(pacer.goal_bytes(), 1024 * MIB);
    }

    #[test]
    fn a_steady_load_ends_its_cycles_at_the_goal() {
        let mut pacer = pacer();
        for _ in 0..20 {
            pacer.cycle_ended(ended(100 * MIB, 30 * MIB));
        }
        let end = pacer.trigger_bytes() + 30 * MIB;
        assert!(end.abs_diff(pacer.goal_bytes()) < MIB, "{end}");
    }

    #[test]
    fn resting_keeps_the_share_and_nobody_rests_while_a_mutator_waits() {
        let pacer = pacer();
        let busy = Duration::from_millis(1);
        assert_eq!(pacer.rest(busy, 0, false), Duration::from_millis(3));
        assert_eq!(pacer.rest(busy, 1024 * MIB, false), Duration::from_millis(1));
        assert_eq!(pacer.rest(busy, 0, true), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn the_trigger_lies_between_what_survived_and_the_goal(live in 0..2048 * MIB, allocated in 0..4096 * MIB) {
            let mut pacer = pacer();
            pacer.cycle_ended(ended(live, allocated));
            let (trigger, goal) = (pacer.trigger_bytes(), pacer.goal_bytes());
            prop_assert!(trigger <= goal.max(live));
            prop_assert!(trigger >= live.min(goal));
            prop_assert!(goal <= 1024 * MIB);
        }
    }
}
