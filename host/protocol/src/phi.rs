//! How likely it is that a peer is dead: the phi-accrual estimator, as numbers in and a number out.
//!
//! `phi` is `-log10` of the probability that a heartbeat comes this late although the peer lives: 1 is one false alarm in ten, 8 one in a hundred
//! million. It routes, gates membership and is shown to people; it never decides that memory may go (leases and exile do).
//!
//! Arrivals are taken as normally distributed with the mean and deviation of the last hundred; the tail is the logistic approximation that Akka and
//! Cassandra use. A floor for the deviation keeps a very regular peer from being suspected after the first hiccup.
//!
//! Paper: Hayashibara, Défago, Yared, Katayama, *The φ accrual failure detector*, SRDS 2004.

use crate::ids::Nanos;

/// Arrivals that are remembered.
const WINDOW: usize = 100;

/// `phi` beyond this says no more.
const PHI_MAX: f64 = 300.0;

/// The estimator for one peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Phi {
    last: Option<Nanos>,
    /// Intervals, the oldest at `next` once there are `WINDOW`.
    intervals: Vec<Nanos>,
    next: usize,
    expected: Nanos,
}

impl Phi {
    /// An estimator that expects heartbeats this often until it has seen some.
    #[must_use]
    pub fn new(expected: Nanos) -> Phi {
        Phi { last: None, intervals: Vec::new(), next: 0, expected: expected.max(1) }
    }

    /// A heartbeat has come.
    pub fn arrived(&mut self, now: Nanos) {
        if let Some(last) = self.last.replace(now) {
            let interval = now.saturating_sub(last);
            if self.intervals.len() < WINDOW {
                self.intervals.push(interval);
            } else {
                self.intervals[self.next] = interval;
                self.next = (self.next + 1) % WINDOW;
            }
        }
    }

    /// The peer is somebody else, or the connection is: what was learnt of its rhythm stays, the silence does not count.
    pub fn resumed(&mut self, now: Nanos) {
        self.last = Some(now);
    }

    /// The suspicion at this time. 0 before the first heartbeat.
    #[must_use]
    pub fn phi(&self, now: Nanos) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let silence = now.saturating_sub(last) as f64;
        let (mean, deviation) = self.rhythm();
        let late = (silence - mean) / deviation;
        let exponent = -late * (1.5976 + 0.070_566 * late * late);
        let tail = if late > 0.0 {
            let odds = exponent.exp();
            odds / (1.0 + odds)
        } else {
            1.0 - 1.0 / (1.0 + exponent.exp())
        };
        if tail > 0.0 { (-tail.log10()).clamp(0.0, PHI_MAX) } else { PHI_MAX }
    }

    fn rhythm(&self) -> (f64, f64) {
        let expected = self.expected as f64;
        if self.intervals.is_empty() {
            return (expected, expected / 2.0);
        }
        let count = self.intervals.len() as f64;
        let mean = self.intervals.iter().map(|&interval| interval as f64).sum::<f64>() / count;
        let square = |&interval: &Nanos| (interval as f64 - mean) * (interval as f64 - mean);
        let variance = self.intervals.iter().map(square).sum::<f64>() / count;
        (mean, variance.sqrt().max(expected / 4.0).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MILLISECOND;

    fn regular() -> Phi {
        let mut phi = Phi::new(100 * MILLISECOND);
        (1..=200).for_each(|beat| phi.arrived(beat * 100 * MILLISECOND));
        phi
    }

    #[test]
    fn suspicion_rises_with_silence() {
        let phi = regular();
        let at = |ms: Nanos| phi.phi((20_000 + ms) * MILLISECOND);
        assert!(at(0) < 0.1 && at(100) < 0.5, "{} {}", at(0), at(100));
        assert!(at(300) > 8.0, "{}", at(300));
        let rising = (0..100).map(|step| at(step * 10));
        assert!(rising.clone().zip(rising.skip(1)).all(|(early, late)| early <= late));
        assert_eq!(at(1_000_000), PHI_MAX);
    }

    #[test]
    fn an_irregular_peer_is_given_more_time() {
        let mut phi = Phi::new(100 * MILLISECOND);
        let mut now = 0;
        for beat in 0..200u64 {
            now += if beat % 2 == 0 { 20 } else { 180 } * MILLISECOND;
            phi.arrived(now);
        }
        assert!(phi.phi(now + 250 * MILLISECOND) < regular().phi((20_000 + 250) * MILLISECOND));
    }

    #[test]
    fn a_clock_that_goes_back_is_no_silence() {
        let mut phi = regular();
        assert!(phi.phi(5 * MILLISECOND) < 0.1);
        phi.arrived(1);
        assert!(phi.phi(0).is_finite());
    }
}
