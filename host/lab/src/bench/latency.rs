//! Simple and metered latency from the requests of a workload.
//!
//! A closed loop hides what waits: while the collector holds a request up, none that would have come meanwhile is counted. *Metered* latency puts each
//! begin where it would have been had requests come evenly over a window, and takes the longer of both, so a pause is paid by all who would have
//! stood behind it (Blackburn et al., *Rethinking Java Performance Analysis*, ASPLOS 2025).

use crate::bench::histogram::Counts;
use crate::bench::model::Latency;
use crate::latency::{LatencyLog, Request};

/// The shorter of the two windows.
pub const WINDOW_NS: u64 = 100_000_000;

impl Latency {
    /// Of what a workload recorded.
    #[must_use]
    pub fn of(log: &LatencyLog) -> Latency {
        Latency {
            of: log.unit.to_owned(),
            simple: Counts::from(&log.simple),
            metered_100ms: metered(&log.requests, Some(WINDOW_NS)),
            metered_whole: metered(&log.requests, None),
            from_intended: log.from_intended.as_ref().map(Counts::from),
        }
    }
}

/// Metered latency, with begins spread evenly over windows of that length, or over everything. Begins are those of all threads together: whoever is free
/// takes the next request.
#[must_use]
pub fn metered(requests: &[Request], window_ns: Option<u64>) -> Counts {
    let mut sorted: Vec<Request> = requests.to_vec();
    sorted.sort_unstable_by_key(|request| request.start_ns);
    let starts: Vec<u64> = sorted.iter().map(|request| request.start_ns).collect();
    let even = match window_ns {
        Some(window) => smoothed(&starts, window),
        None => spread(&starts),
    };
    Counts::of(
        sorted
            .iter()
            .zip(even)
            .map(|(request, even)| request.end_ns.saturating_sub(even.min(request.start_ns))),
    )
}

/// Begins spread evenly from the first to the last.
fn spread(starts: &[u64]) -> Vec<u64> {
    let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { return Vec::new() };
    let gaps = (starts.len() as u64 - 1).max(1);
    (0..starts.len() as u64)
        .map(|at| first + ((last - first) as u128 * u128::from(at) / u128::from(gaps)) as u64)
        .collect()
}

/// Each begin is the mean of the begins around it within the window, moved to where its rank among them puts it: the line through the first and the last
/// of them, at its own place.
fn smoothed(starts: &[u64], window_ns: u64) -> Vec<u64> {
    let half = window_ns / 2;
    let (mut low, mut high) = (0, 0);
    let mut even = Vec::with_capacity(starts.len());
    for (at, &start) in starts.iter().enumerate() {
        while starts[low] < start.saturating_sub(half) {
            low += 1;
        }
        while high + 1 < starts.len() && starts[high + 1] <= start.saturating_add(half) {
            high += 1;
        }
        // An empty stretch inside of the window counts as time in which requests would have come.
        let from = start.saturating_sub(half).max(starts[0]);
        let to = start.saturating_add(half).min(starts[starts.len() - 1]);
        let gaps = (high - low).max(1) as u128;
        let into = u128::from(to - from) * (at - low) as u128 / gaps;
        even.push(if high == low { start } else { from + into as u64 });
    }
    even
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn request(start_ns: u64, end_ns: u64) -> Request {
        Request { intended_ns: start_ns, start_ns, end_ns, thread: 0 }
    }

    /// A request per 100 us, and a pause of 20 ms in the middle of one of them.
    fn with_pause() -> Vec<Request> {
        let mut now = 0;
        (0..10_000)
            .map(|at| {
                let length = if at == 5000 { 20 * MS } else { MS / 10 };
                now += length;
                request(now - length, now)
            })
            .collect()
    }

    #[test]
    fn requests_that_came_evenly_are_as_they_were() {
        let even: Vec<Request> = (0..1000).map(|at| request(at * MS, at * MS + MS / 2)).collect();
        for window in [Some(WINDOW_NS), None] {
            let counts = metered(&even, window);
            assert_eq!(counts.quantile(0.999), Some(MS / 2), "{window:?}");
        }
    }

    #[test]
    fn a_pause_is_paid_by_all_who_would_have_stood_behind_it() {
        let requests = with_pause();
        let simple = Counts::of(requests.iter().map(|request| request.end_ns - request.start_ns));
        assert!(simple.quantile(0.999).unwrap() < MS);
        for window in [Some(WINDOW_NS), None] {
            let counts = metered(&requests, window);
            assert!(counts.quantile(0.99).unwrap() > 5 * MS, "{window:?}: {:?}", counts.quantile(0.99));
            assert!(counts.max <= 41 * MS, "{window:?}: {}", counts.max);
        }
    }

    #[test]
    fn metered_is_never_less_than_simple() {
        let requests = with_pause();
        let simple = Counts::of(requests.iter().map(|request| request.end_ns - request.start_ns));
        for share in [0.1, 0.5, 0.9, 0.99, 1.0] {
            assert!(metered(&requests, Some(WINDOW_NS)).quantile(share) >= simple.quantile(share));
        }
        assert_eq!(metered(&[], None).count(), 0);
        assert_eq!(metered(&[request(5, 9)], Some(WINDOW_NS)).max, 4);
    }
}
