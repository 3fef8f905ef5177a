//! Wall time and the CPU time of the whole process, taken around one piece of work.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What a piece of work cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Time on the wall.
    pub wall: Duration,
    /// CPU time of all threads of the process, those included that ended meanwhile.
    pub cpu: Duration,
}

/// Runs `work` and says what it cost the process.
pub fn spent<R>(work: impl FnOnce() -> R) -> (R, Spent) {
    let (wall, cpu) = (Instant::now(), process_cpu());
    let result = work();
    let spent = Spent { wall: wall.elapsed(), cpu: process_cpu() - cpu };
    (result, spent)
}

/// CPU time of all threads of this process since its start.
pub fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
