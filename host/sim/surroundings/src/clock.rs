//! The clocks of one node. The monotonic one has another beginning and runs a little wrong; the one on the wall may be set at any time.
//!
//! A monotonic clock that jumps ahead while its process runs is not simulated: it is broken beyond the drift that leases allow for. A process that sleeps while its clock goes on is.

use crate::random::Random;
use crate::schedule::MS;

/// The clocks of a node.
#[derive(Debug, Copy, Clone)]
pub struct Clock {
    offset: u64,
    rate_ppm: i64,
    /// For how long it stood still.
    slept: u64,
    /// By how much the clock on the wall is ahead of the true one.
    pub wall_ahead_ms: i64,
}

impl Clock {
    /// A clock that drifts by at most this.
    pub fn new(random: &mut Random, drift_ppm: u64) -> Clock {
        let offset = random.between(0, 1000) * MS;
        Clock {
            offset,
            rate_ppm: random.between(0, 2 * drift_ppm) as i64 - drift_ppm as i64,
            slept: 0,
            wall_ahead_ms: 0,
        }
    }

    /// The monotonic clock has stood still for so long.
    pub fn stood_still(&mut self, nanos: u64) {
        self.slept += nanos;
    }

    /// What the monotonic clock shows at this true time.
    #[must_use]
    pub fn shows(&self, now: u64) -> u64 {
        let now = now.saturating_sub(self.slept);
        self.offset + (now as i64 + now as i64 / 1_000_000 * self.rate_ppm) as u64
    }

    /// A true time at which it shows this, at the earliest.
    #[must_use]
    pub fn true_time(&self, shown: u64) -> u64 {
        let shown = shown.saturating_sub(self.offset).min(1 << 50);
        (u128::from(shown) * 1_000_000 / (1_000_000 + self.rate_ppm) as u128) as u64 + 1_000_000 + self.slept
    }

    /// What the clock on the wall shows at this true time, in milliseconds.
    #[must_use]
    pub fn wall_ms(&self, now: u64) -> u64 {
        // Far from 0, so that it can be behind.
        (1_000_000_000 + now / MS).saturating_add_signed(self.wall_ahead_ms)
    }
}
