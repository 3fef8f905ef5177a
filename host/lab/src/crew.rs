//! The threads of a workload: each with a mutator of its own, all ended by the first that fails, by the clock
//! or by the driver's wish.
//!
//! The calling thread tells the driver how far they are, by counters that the threads write, and adds nothing
//! to what they do.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use gc_heap::{Heap, Mutator};

use crate::cost::Effort;
use crate::driver::{Driver, Phase, Progress};
use crate::error::WorkloadError;
use crate::latency::{LatencyLog, Recorder};
use crate::limits::PROGRESS_EVERY;
use crate::report::WorkloadReport;

/// What a crew is for.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Task {
    /// What the driver is told.
    pub(crate) phase: Phase,
    /// Steps of all threads together, where that is known.
    pub(crate) total: Option<u64>,
    /// When it is over, whatever is done by then.
    pub(crate) duration: Option<Duration>,
}

/// A thread's place in its crew.
#[derive(Clone, Copy)]
pub(crate) struct Post<'c> {
    driver: &'c dyn Driver,
    over: &'c AtomicBool,
    done: &'c AtomicU64,
    /// When the crew began.
    pub(crate) begun: Instant,
    /// Number of the thread, from 0.
    pub(crate) thread: u32,
    /// How many threads there are.
    pub(crate) threads: u32,
}

impl Post<'_> {
    /// Whether the thread is to end. Cheap enough to ask every few microseconds.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.driver.stop_requested()
    }

    /// Whether the end came early, by the driver's wish or by another thread's failure; the clock is none of both.
    pub(crate) fn is_stopped(&self) -> bool {
        self.driver.stop_requested()
    }

    /// The thread's part of a number of steps; of no number there is no end.
    pub(crate) fn share(&self, all: Option<u64>) -> u64 {
        all.map_or(u64::MAX, |all| share(all, self.thread, self.threads))
    }

    /// What times the requests of the thread.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder::new(self.begun, self.thread, self.threads)
    }

    /// Says how many steps the thread has done.
    pub(crate) fn tell(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }
}

/// The part of one of `threads` in a number of steps: all parts together are all of them.
pub(crate) fn share(all: u64, thread: u32, threads: u32) -> u64 {
    all / u64::from(threads) + u64::from(u64::from(thread) < all % u64::from(threads))
}

/// Members of a crew whose threads bring nothing along.
pub(crate) fn each(threads: u32) -> Vec<()> {
    vec![(); threads as usize]
}

/// Lets go of what a workload that failed has built.
pub(crate) fn or_let_go<T>(
    result: Result<T, WorkloadError>,
    heap: &Heap,
    roots: impl IntoIterator<Item: AsRef<str>>,
) -> Result<T, WorkloadError> {
    if result.is_err() {
        heap.mutator().scope(|scope| {
            roots.into_iter().for_each(|root| scope.set_root(root.as_ref(), None));
        });
    }
    result
}

/// What a crew brings home.
pub(crate) struct Done<T> {
    /// What each thread returned, in the order of the threads.
    pub(crate) results: Vec<T>,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
}

impl<T> Done<(T, Recorder)> {
    /// What the threads returned, and the report of what they did as the measured part: `unit` is what one of their requests is.
    pub(crate) fn measured(self, unit: &'static str) -> (Vec<T>, WorkloadReport) {
        let threads = self.results.len() as u32;
        let (results, recorders) = self.results.into_iter().unzip();
        let latency = LatencyLog::merge(unit, recorders);
        let report = WorkloadReport {
            threads,
            mutate_begun: Some(self.begun),
            mutate_time: self.took,
            requests: latency.as_ref().map_or(0, LatencyLog::count),
            request_unit: unit,
            latency,
            ..WorkloadReport::default()
        };
        (results, report)
    }
}

impl WorkloadReport {
    /// The same with what all threads of all parts have done.
    pub(crate) fn with_efforts(self, efforts: impl IntoIterator<Item = Effort>) -> WorkloadReport {
        let Effort { objects, references, payload_bytes, operations } = efforts.into_iter().sum();
        WorkloadReport { objects, references, payload_bytes, operations, ..self }
    }
}

/// Runs a thread for each of `members`, which is what the thread works with.
///
/// # Errors
///
/// The first thread's that failed, in the order of the threads.
pub(crate) fn run<M: Send, T: Send>(
    heap: &Heap,
    driver: &dyn Driver,
    task: Task,
    members: Vec<M>,
    work: impl Fn(M, Post<'_>, &mut Mutator) -> Result<T, WorkloadError> + Sync,
) -> Result<Done<T>, WorkloadError> {
    let counters: Vec<AtomicU64> = members.iter().map(|_| AtomicU64::new(0)).collect();
    let over = AtomicBool::new(false);
    let threads = members.len() as u32;
    let working = AtomicU32::new(threads);
    let parent = std::thread::current();
    let begun = Instant::now();
    let tell = || {
        let done = counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        driver.progress(Progress { phase: task.phase, done, total: task.total });
    };
    tell();
    std::thread::scope(|scope| {
        let mut workers = Vec::with_capacity(members.len());
        for (thread, (member, done)) in (0..threads).zip(members.into_iter().zip(&counters)) {
            let post = Post { driver, over: &over, done, begun, thread, threads };
            let leave = Leave { over: &over, working: &working, parent: &parent, failed: true };
            let work = &work;
            workers.push(scope.spawn(move || {
                let mut leave = leave;
                let result = work(member, post, &mut heap.mutator());
                leave.failed = result.is_err();
                result
            }));
        }
        // Acquire: pairs with the Release in `Leave`; what the threads counted is seen.
        while working.load(Ordering::Acquire) > 0 {
            let left = task.duration.map(|duration| duration.saturating_sub(begun.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                over.store(true, Ordering::Relaxed);
            }
            let pending = left.filter(|left| !left.is_zero());
            std::thread::park_timeout(pending.map_or(PROGRESS_EVERY, |left| left.min(PROGRESS_EVERY)));
            tell();
        }
        let took = begun.elapsed();
        let results = workers.into_iter().map(|worker| worker.join().unwrap_or(Err(WorkloadError::Panicked)));
        Ok(Done { results: results.collect::<Result<_, _>>()?, begun, took })
    })
}

/// Signs a thread off, and tells the others to end when it fails or panics.
struct Leave<'c> {
    over: &'c AtomicBool,
    working: &'c AtomicU32,
    parent: &'c Thread,
    failed: bool,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.failed {
            self.over.store(true, Ordering::Relaxed);
        }
        self.working.fetch_sub(1, Ordering::Release);
        self.parent.unpark();
    }
}

#[cfg(test)]
mod tests {
    use gc_heap::HeapConfig;

    use super::*;
    use crate::driver::CollectFailed;

    struct Nobody;

    impl Driver for Nobody {
        fn collect(&self) -> Result<u64, CollectFailed> {
            Ok(0)
        }
        fn stop_requested(&self) -> bool {
            false
        }
        fn progress(&self, _: Progress) {}
    }

    fn crew(
        duration: Option<Duration>,
        work: impl Fn(u32, Post<'_>) -> Result<u32, WorkloadError> + Sync,
    ) -> Result<Vec<u32>, WorkloadError> {
        let heap = Heap::new(HeapConfig::with_limit(1 << 20)).unwrap();
        let task = Task { phase: Phase::Mutate, total: None, duration };
        run(&heap, &Nobody, task, vec![10, 20, 30], |member, post, _| work(member, post))
            .map(|done| done.results)
    }

    #[test]
    fn results_come_in_the_order_of_the_threads() {
        let results = crew(None, |member, post| Ok(member + post.thread)).unwrap();
        assert_eq!(results, [10, 21, 32]);
    }

    #[test]
    fn who_fails_ends_the_others() {
        for panics in [false, true] {
            let result = crew(None, |_, post| {
                assert!(!panics || post.thread != 1, "on purpose");
                if post.thread == 1 {
                    return Err(WorkloadError::Wrong { what: "this".into() });
                }
                while !post.is_over() {
                    std::thread::yield_now();
                }
                Ok(0)
            });
            match result {
                Err(WorkloadError::Panicked) => assert!(panics),
                Err(WorkloadError::Wrong { .. }) => assert!(!panics),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_clock_ends_all_of_them() {
        let begun = Instant::now();
        crew(Some(Duration::from_millis(50)), |_, post| {
            while !post.is_over() {
                std::thread::yield_now();
            }
            Ok(0)
        })
        .unwrap();
        assert!((0.05..2.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    }
}
