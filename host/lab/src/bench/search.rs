//! The smallest heap in which a strategy gets through: bisection, without running anything itself.
//!
//! Whether a run gets through is not monotonous near the edge, where it depends on timing. So the answer is a heap in which a run did get through, with
//! one that failed not more than the precision below it; both stand in the result.

/// Sizes are tried in these steps.
const GRANULE_BYTES: u64 = 64 << 10;

/// A search under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    guess: u64,
    min: u64,
    max: u64,
    precision: f64,
    failed: Option<u64>,
    passed: Option<u64>,
}

impl Search {
    /// Begins at `guess` and stays between `min` and `max` bytes. Ends when what passed is at most `precision` above what failed.
    #[must_use]
    pub fn new(guess: u64, min: u64, max: u64, precision: f64) -> Search {
        let round = |bytes: u64| bytes.max(GRANULE_BYTES) / GRANULE_BYTES * GRANULE_BYTES;
        let (min, max) = (round(min), round(max.max(min)));
        Search { guess: round(guess).clamp(min, max), min, max, precision, failed: None, passed: None }
    }

    /// The same, for a strategy that is only of interest if it gets through in less than `bytes`, which another one does.
    #[must_use]
    pub fn below(bytes: u64, min: u64, precision: f64) -> Search {
        Search::new((bytes as f64 / (1.0 + precision)) as u64, min, bytes, precision)
    }

    /// The size to try next; none when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let step = |bytes: f64| (bytes as u64).next_multiple_of(GRANULE_BYTES);
        let next = match (self.failed, self.passed) {
            (None, None) => self.guess,
            (Some(failed), None) => step(failed as f64 * 2.0).min(self.max),
            (None, Some(passed)) => step(passed as f64 / 1.5).max(self.min),
            (Some(failed), Some(passed)) if passed as f64 <= failed as f64 * (1.0 + self.precision) => {
                return None;
            }
            (Some(failed), Some(passed)) => step((failed as f64 * passed as f64).sqrt()),
        };
        (Some(next) != self.failed && Some(next) != self.passed).then_some(next)
    }

    /// Takes in how an attempt went.
    pub fn learn(&mut self, bytes: u64, passed: bool) {
        match passed {
            true => self.passed = Some(self.passed.map_or(bytes, |known| known.min(bytes))),
            false => self.failed = Some(self.failed.map_or(bytes, |known| known.max(bytes))),
        }
        // It failed in more than it passed in: timing. What passed last is not to be relied on.
        if let (Some(failed), Some(passed)) = (self.failed, self.passed)
            && failed >= passed
        {
            self.passed = None;
        }
    }

    /// The smallest size in which a run got through.
    #[must_use]
    pub fn minimum(&self) -> Option<u64> {
        self.passed
    }

    /// How far it can be off, as a share of it.
    #[must_use]
    pub fn error(&self) -> f64 {
        match (self.failed, self.passed) {
            (Some(failed), Some(passed)) => (passed - failed) as f64 / passed as f64,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(mut search: Search, mut passes: impl FnMut(u64) -> bool) -> (Option<u64>, u32) {
        let mut tries = 0;
        while let Some(bytes) = search.next() {
            search.learn(bytes, passes(bytes));
            tries += 1;
            assert!(tries < 100, "it does not end: {search:?}");
        }
        (search.minimum(), tries)
    }

    proptest! {
        #[test]
        fn what_is_found_passes_and_a_little_less_does_not(
            edge in MIB..1000 * MIB, guess in MIB..2000 * MIB, precision in 0.02..0.2,
        ) {
            let (found, tries) = run(Search::new(guess, MIB, 4000 * MIB, precision), |bytes| bytes >= edge);
            let found = found.unwrap();
            prop_assert!(found >= edge && found as f64 <= edge as f64 * (1.0 + precision) + 2.0 * GRANULE_BYTES as f64);
            prop_assert!(tries <= 26, "{tries}");
        }

        #[test]
        fn a_flickering_edge_does_not_keep_it_going(answers in prop::collection::vec(any::<bool>(), 100)) {
            let mut answers = answers.into_iter().cycle();
            run(Search::new(64 * MIB, MIB, 1000 * MIB, 0.05), |bytes| {
                bytes >= 50 * MIB && (bytes > 80 * MIB || answers.next().unwrap())
            });
        }
    }

    #[test]
    fn what_passed_in_less_than_what_fails_is_not_relied_on() {
        let mut search = Search::new(50 * MIB, MIB, 100 * MIB, 0.05);
        search.learn(50 * MIB, true);
        search.learn(60 * MIB, false);
        assert_eq!(search.minimum(), None);
        assert!(search.next().is_some_and(|bytes| bytes > 60 * MIB));
    }

    #[test]
    fn what_never_passes_is_not_found() {
        assert_eq!(run(Search::new(MIB, MIB, 100 * MIB, 0.05), |_| false).0, None);
    }

    #[test]
    fn a_strategy_that_needs_more_than_another_is_given_up_at_once() {
        let (found, tries) = run(Search::below(100 * MIB, MIB, 0.05), |bytes| bytes >= 200 * MIB);
        assert_eq!((found, tries), (None, 2));
    }
}
