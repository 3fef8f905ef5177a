//! CPU time of this process and of its threads.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread in nanoseconds.
pub(crate) fn thread_ns() -> u64 {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of this process in nanoseconds.
pub(crate) fn process_ns() -> u64 {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A thread of this process that can be asked how much CPU time it has used. The kernel brings the figure up to date at its clock tick, so it is a few
/// milliseconds old.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    path: String,
}

impl Thread {
    /// The threads that there are, with their names.
    pub(crate) fn all() -> Vec<(String, Thread)> {
        let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
        let thread = |entry: std::fs::DirEntry| {
            let folder = entry.path();
            let name = std::fs::read_to_string(folder.join("comm")).ok()?;
            let path = folder.join("schedstat").to_str()?.to_owned();
            Some((name.trim().to_owned(), Thread { path }))
        };
        entries.flatten().filter_map(thread).collect()
    }

    /// CPU time in nanoseconds; none where the kernel does not count it, or the thread has ended.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        std::fs::read_to_string(&self.path).ok()?.split_whitespace().next()?.parse().ok()
    }
}

/// Most physical memory that this process has had, in bytes.
pub(crate) fn resident_bytes_max() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_while_there_is_work() {
        // In this order: what is done between the two counts for the process as well.
        let process = process_ns();
        let thread = thread_ns();
        let mut sum = 0_u64;
        while thread_ns() < thread + 2_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(process_ns() >= process + 2_000_000);
        assert!(resident_bytes_max() > 1 << 20);
        assert!(!Thread::all().is_empty());
    }
}
