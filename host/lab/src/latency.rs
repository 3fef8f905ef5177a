//! Requests of a workload: when each was to begin, when it began, when it was done.
//!
//! Two things are kept. A histogram ([HdrHistogram](http://hdrhistogram.org)) counts every request. Beside it
//! stand the requests themselves, for what a histogram cannot say: metered latency puts each request's begin
//! where it would have been had requests come evenly, and needs their order in time for that (Blackburn et
//! al., *Rethinking Java Performance Analysis*, ASPLOS 2025; the DaCapo Chopin benchmarks). Memory stays
//! bounded: when a thread has its share of [`REQUESTS_MAX`], every second one is dropped and from then on
//! half as many are taken.
//!
//! A recorder belongs to one thread and is written once per request: a reading of the clock, a counter of the
//! histogram, and at most one push.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::limits::{LATENCY_DIGITS, LATENCY_NS_MAX, REQUESTS_MAX};

/// The requests of a run.
#[derive(Debug, Clone)]
pub struct LatencyLog {
    /// What one request is: "request", "tree", "item", "edit", "step".
    pub unit: &'static str,
    /// From begin to end of each request, in nanoseconds. All requests.
    pub simple: Histogram<u64>,
    /// From the time at which a request was to begin to its end, in nanoseconds, all requests; for workloads
    /// in which requests come by a clock (an open loop). What waits behind a slow request is in here.
    pub from_intended: Option<Histogram<u64>>,
    /// Every [`stride`](Self::stride)-th request of each thread, by begin.
    pub requests: Vec<Request>,
    /// How many requests one in `requests` stands for.
    pub stride: u64,
}

/// One request. Times are nanoseconds since [`WorkloadReport::mutate_begun`](crate::WorkloadReport).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it was to begin. In a closed loop that is when it began.
    pub intended_ns: u64,
    /// When it began.
    pub start_ns: u64,
    /// When it was done.
    pub end_ns: u64,
    /// Which thread of the workload served it.
    pub thread: u32,
}

impl LatencyLog {
    /// Requests that were recorded, whether they are still in [`requests`](Self::requests) or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.simple.len()
    }

    /// Puts what the threads recorded together; none when nobody recorded anything.
    pub(crate) fn merge(unit: &'static str, recorders: Vec<Recorder>) -> Option<LatencyLog> {
        let stride = recorders.iter().map(|recorder| recorder.stride).max()?;
        let mut log = LatencyLog {
            unit,
            simple: histogram(),
            from_intended: None,
            requests: Vec::with_capacity(recorders.iter().map(|recorder| recorder.requests.len()).sum()),
            stride,
        };
        for recorder in recorders {
            add(&mut log.simple, &recorder.simple);
            if let Some(own) = &recorder.from_intended {
                add(log.from_intended.get_or_insert_with(histogram), own);
            }
            let step = (stride / recorder.stride) as usize;
            log.requests.extend(recorder.requests.iter().step_by(step));
        }
        log.requests.sort_by_key(|request| (request.start_ns, request.thread));
        (log.count() > 0).then_some(log)
    }
}

/// What one thread records.
pub(crate) struct Recorder {
    begun: Instant,
    thread: u32,
    keep: usize,
    seen: u64,
    stride: u64,
    /// When the latest request was done, or the recorder was made.
    last_ns: u64,
    simple: Histogram<u64>,
    from_intended: Option<Histogram<u64>>,
    requests: Vec<Request>,
}

impl Recorder {
    /// A recorder for one of `threads` threads. Times count from `begun`.
    pub(crate) fn new(begun: Instant, thread: u32, threads: u32) -> Recorder {
        let mut recorder = Recorder {
            begun,
            thread,
            keep: (REQUESTS_MAX / threads.max(1) as usize).max(2),
            seen: 0,
            stride: 1,
            last_ns: 0,
            simple: histogram(),
            from_intended: None,
            requests: Vec::new(),
        };
        recorder.last_ns = recorder.now_ns();
        recorder
    }

    /// Nanoseconds since the begin.
    pub(crate) fn now_ns(&self) -> u64 {
        nanoseconds(self.begun.elapsed())
    }

    /// The next request begins here and not where the latest one ended.
    pub(crate) fn restart(&mut self) {
        self.last_ns = self.now_ns();
    }

    /// A request of a closed loop is done: it began where the latest one ended.
    pub(crate) fn lap(&mut self) {
        let (start_ns, end_ns) = (self.last_ns, self.now_ns());
        self.last_ns = end_ns;
        self.record(start_ns, start_ns, end_ns);
    }

    /// A request that came by the clock at `intended_ns` and began at `start_ns` is done.
    pub(crate) fn done(&mut self, intended_ns: u64, start_ns: u64) {
        let end_ns = self.now_ns();
        self.last_ns = end_ns;
        let waited = end_ns.saturating_sub(intended_ns);
        self.from_intended.get_or_insert_with(histogram).saturating_record(waited);
        self.record(intended_ns, start_ns, end_ns);
    }

    fn record(&mut self, intended_ns: u64, start_ns: u64, end_ns: u64) {
        self.simple.saturating_record(end_ns - start_ns);
        if self.seen.is_multiple_of(self.stride) {
            if self.requests.len() == self.keep {
                self.thin_out();
            }
            if self.seen.is_multiple_of(self.stride) {
                self.requests.push(Request { intended_ns, start_ns, end_ns, thread: self.thread });
            }
        }
        self.seen += 1;
    }

    #[cold]
    fn thin_out(&mut self) {
        let mut odd = true;
        self.requests.retain(|_| {
            odd = !odd;
            !odd
        });
        self.stride *= 2;
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        .expect("the bounds of a histogram are constants")
}

fn add(sum: &mut Histogram<u64>, own: &Histogram<u64>) {
    sum.add(own).expect("histograms of the same bounds can be added");
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(thread: u32, threads: u32, requests: u64) -> Recorder {
        let mut recorder = Recorder::new(Instant::now(), thread, threads);
        (0..requests).for_each(|at| recorder.record(at * 10, at * 10 + 1, at * 10 + 5));
        recorder
    }

    #[test]
    fn what_is_kept_is_bounded_and_every_so_manyth() {
        let threads = (REQUESTS_MAX / 8) as u32;
        let recorder = recorded(0, threads, 100);
        assert_eq!((recorder.stride, recorder.simple.len()), (16, 100));
        let starts: Vec<u64> = recorder.requests.iter().map(|request| request.start_ns).collect();
        assert_eq!(starts, [1, 161, 321, 481, 641, 801, 961]);
    }

    #[test]
    fn threads_that_kept_more_are_thinned_out_to_the_others() {
        let threads = (REQUESTS_MAX / 8) as u32;
        let log =
            LatencyLog::merge("request", vec![recorded(0, threads, 100), recorded(1, threads, 8)]).unwrap();
        assert_eq!((log.stride, log.count()), (16, 108));
        let from_second = log.requests.iter().filter(|request| request.thread == 1).count();
        assert_eq!((log.requests.len(), from_second), (8, 1));
        assert!(log.requests.is_sorted_by_key(|request| request.start_ns));
    }

    #[test]
    fn waiting_counts_from_the_time_that_was_meant() {
        let mut recorder = Recorder::new(Instant::now(), 0, 1);
        std::thread::sleep(Duration::from_millis(2));
        let start = recorder.now_ns();
        recorder.done(0, start);
        let log = LatencyLog::merge("request", vec![recorder]).unwrap();
        assert!(log.from_intended.unwrap().max() >= 2_000_000);
        assert!(log.simple.max() < 2_000_000);
        assert!(LatencyLog::merge("request", vec![Recorder::new(Instant::now(), 0, 1)]).is_none());
    }
}
