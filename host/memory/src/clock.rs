//! How long a thread has been running, as the kernel counts it: what tells waiting from work.

/// Nanoseconds for which the calling thread has been on a processor since it began. A system call, a few hundred nanoseconds. 0 where that cannot be
/// known: under Miri, which has no such clock, and in explored schedules, where time means nothing.
#[must_use]
pub fn running_ns() -> u64 {
    #[cfg(any(miri, feature = "shuttle"))]
    return 0;
    #[cfg(not(any(miri, feature = "shuttle")))]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}

#[cfg(all(test, not(any(miri, feature = "shuttle"))))]
mod tests {
    use super::*;

    #[test]
    fn sleeping_is_not_running() {
        let before = running_ns();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(running_ns() - before < 40_000_000);
        let mut sum = 0u64;
        while running_ns() - before < 1_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(sum > 0);
    }
}
