//! The clock of the protocol: monotonic, and counting while the machine sleeps.

use gc_protocol::Nanos;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME` in nanoseconds. A process that is stopped and goes on, and a machine that was asleep, find the time gone.
pub(crate) fn now() -> Nanos {
    let time = clock_gettime(ClockId::Boottime);
    (time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

/// The wall clock in milliseconds, which nothing is decided by.
pub(crate) fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
