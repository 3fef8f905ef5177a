//! How many blocks a pool keeps committed: a pure decision, without memory, locks or clock.
//!
//! The numbers (all configurable, defaults from the design):
//!
//! | when | then |
//! |---|---|
//! | at least 80 % of the committed blocks are in use | commit another 10 % of the maximum |
//! | more than 50 % of them have been free for the idle time, one minute | release 10 % of the committed ones, and start the minute anew |
//! | closed | release all, grow no more |
//!
//! **Invariants.**
//! 1. `initial <= committed <= maximum` from [`Elastic::new`] to [`Elastic::close`] (growth and release are rounded to whole slabs; the bounds are too).
//! 2. No flapping: a release leaves the pool at most halfway between the two thresholds in use (65 % with the defaults), and only happens
//!    when the load was low at every look for the whole idle time. So between a release and a growth the load must rise by the gap, and between a
//!    growth and a release the idle time must pass.
//! 3. The policy never blocks an allocation: it says how much to commit ahead of need, the pool commits more when it must.

use std::time::Duration;

use crate::MemoryError;

/// The numbers of an elastic pool. Counts are blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct ElasticConfig {
    /// Committed at creation, and never fewer until close. Default 0.
    pub initial: u64,
    /// Never more. Default: no bound of its own, what the arena holds.
    pub maximum: u64,
    /// Grow when this share of the committed blocks is in use. Default 80.
    pub grow_at_percent: u8,
    /// By how much of the maximum to grow. Default 10.
    pub grow_by_percent: u8,
    /// Grow by no more than is committed already, so that a pool that is hardly used commits little, where many pools share one arena.
    /// Makes no difference from a tenth of the maximum on. Default true.
    pub ramp: bool,
    /// Shrink when more than this share of the committed blocks is free. Default 50.
    pub shrink_over_percent: u8,
    /// By how much of what is committed to shrink. Default 10.
    pub shrink_by_percent: u8,
    /// How long the load must have been low, and how long to wait from one release to the next. Default one minute.
    pub idle: Duration,
}

impl Default for ElasticConfig {
    fn default() -> ElasticConfig {
        ElasticConfig {
            initial: 0,
            maximum: u64::MAX,
            grow_at_percent: 80,
            grow_by_percent: 10,
            ramp: true,
            shrink_over_percent: 50,
            shrink_by_percent: 10,
            idle: Duration::from_secs(60),
        }
    }
}

impl ElasticConfig {
    /// Refuses numbers that contradict each other.
    pub fn check(&self) -> Result<(), MemoryError> {
        let refuse = |reason| Err(MemoryError::Config { reason });
        let percents =
            [self.grow_at_percent, self.grow_by_percent, self.shrink_over_percent, self.shrink_by_percent];
        if percents.iter().any(|percent| !(1..=100).contains(percent)) {
            return refuse("a percentage of an elastic pool is not between 1 and 100: correct it");
        }
        if self.initial > self.maximum {
            return refuse("the initial count of an elastic pool is above its maximum: lower it");
        }
        if u32::from(self.grow_at_percent) + u32::from(self.shrink_over_percent) <= 100 {
            return refuse(
                "an elastic pool would shrink as soon as it has grown: raise grow_at or shrink_over above 100 % together",
            );
        }
        Ok(())
    }
}

/// The state of one pool: how much is committed, and since when the load has been low.
#[derive(Clone, Debug)]
pub struct Elastic {
    config: ElasticConfig,
    /// Blocks per slab: what is committed and released at once.
    unit: u64,
    committed: u64,
    low_since: Option<Duration>,
    closed: bool,
}

impl Elastic {
    /// A pool with nothing committed yet ([`Elastic::grow`] asks for the initial blocks). `unit` is the number of blocks that are committed
    /// and released at once; counts are rounded up to it, the maximum down.
    pub fn new(config: ElasticConfig, unit: u64) -> Result<Elastic, MemoryError> {
        config.check()?;
        if unit == 0 {
            return Err(MemoryError::Config {
                reason: "a slab holds no block: make the slab larger or the block smaller",
            });
        }
        let maximum = config.maximum / unit * unit;
        let initial = round_up(config.initial, unit).min(maximum);
        let config = ElasticConfig { initial, maximum, ..config };
        Ok(Elastic { config, unit, committed: 0, low_since: None, closed: false })
    }

    /// Blocks committed.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The bounds and shares in force; counts are rounded to whole slabs.
    pub fn config(&self) -> &ElasticConfig {
        &self.config
    }

    /// How many more blocks to commit when `used` are in use: 0 below the threshold, otherwise whole slabs. Report what was done to [`Elastic::grown`].
    pub fn grow(&self, used: u64) -> u64 {
        if self.closed {
            return 0;
        }
        if self.committed < self.config.initial {
            return self.config.initial - self.committed;
        }
        if used == 0 || percent_of(self.config.grow_at_percent, self.committed) > u128::from(used) * 100 {
            return 0;
        }
        let step = (percent_of(self.config.grow_by_percent, self.config.maximum) / 100) as u64;
        let step = if self.config.ramp { step.min(self.committed) } else { step };
        // The room is whole slabs (invariant 1), so rounding up does not pass it.
        round_up(step.max(1), self.unit).min(self.config.maximum - self.committed)
    }

    /// Blocks were committed, whether the policy asked for them or an allocation could not wait.
    pub fn grown(&mut self, blocks: u64) {
        assert!(blocks <= self.config.maximum - self.committed, "a pool grew beyond its maximum");
        self.committed += blocks;
        self.low_since = None;
    }

    /// A look at the load at time `now` (since any fixed origin): how many blocks to release, whole slabs. Report what was done to [`Elastic::shrunk`].
    pub fn tick(&mut self, now: Duration, used: u64) -> u64 {
        let free = self.committed.saturating_sub(used);
        if u128::from(free) * 100 <= percent_of(self.config.shrink_over_percent, self.committed) {
            self.low_since = None;
            return 0;
        }
        let since = *self.low_since.get_or_insert(now);
        if now.saturating_sub(since) < self.config.idle {
            return 0;
        }
        self.low_since = Some(now);
        let step = (percent_of(self.config.shrink_by_percent, self.committed) / 100) as u64;
        let step = round_up(step.max(1), self.unit);
        step.min(self.committed.saturating_sub(self.least(used))) / self.unit * self.unit
    }

    /// Blocks were released.
    pub fn shrunk(&mut self, blocks: u64) {
        assert!(blocks <= self.committed, "a pool released more than it had");
        self.committed -= blocks;
    }

    /// Stops growth and timer; returns how many blocks to release: all.
    pub fn close(&mut self) -> u64 {
        self.closed = true;
        self.low_since = None;
        std::mem::take(&mut self.committed)
    }

    /// What a release must leave: the initial blocks, and room enough that the load is not at the edge of growth (invariant 2).
    fn least(&self, used: u64) -> u64 {
        let low = 100 - u128::from(self.config.shrink_over_percent);
        let full_at = (low + u128::from(self.config.grow_at_percent)) / 2;
        let least = (u128::from(used) * 100).div_ceil(full_at.max(1)) as u64;
        round_up(least, self.unit).max(self.config.initial)
    }
}

/// A hundred times `percent` per cent of `of`, without rounding.
fn percent_of(percent: u8, of: u64) -> u128 {
    u128::from(percent) * u128::from(of)
}

fn round_up(blocks: u64, unit: u64) -> u64 {
    blocks.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests;
