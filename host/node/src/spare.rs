//! When the memory of cells that nobody uses goes back to the system: a pure decision.
//!
//! The pools of payloads shrink by a policy of their own. Cells lie in columns, of which whole blocks can be given back at once, and cost page faults
//! when they are used again; so that is done seldom: when less than half of what was in use at most since the last time has been in use for a whole
//! idle time.

use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// Most cells in use since memory was given back last.
    peak: u64,
    /// Since when less than half of that is in use, as time since any fixed origin.
    low_since: Option<Duration>,
}

impl Spare {
    /// So many cells were in use, between two looks.
    pub(crate) fn saw(&mut self, used: u64) {
        self.peak = self.peak.max(used);
    }

    /// A look at `used` cells at time `now`. Whether to give memory back.
    pub(crate) fn is_due(&mut self, now: Duration, used: u64, idle: Duration) -> bool {
        self.saw(used);
        if used >= self.peak.div_ceil(2) {
            self.low_since = None;
            return false;
        }
        let since = *self.low_since.get_or_insert(now);
        let due = now.saturating_sub(since) >= idle;
        if due {
            *self = Spare { peak: used, low_since: None };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn look(spare: &mut Spare, seconds: u64, used: u64) -> bool {
        spare.is_due(Duration::from_secs(seconds), used, IDLE)
    }

    #[test]
    fn memory_goes_back_once_after_an_idle_time_below_half() {
        let mut spare = Spare::default();
        assert!(!look(&mut spare, 0, 1000));
        assert!(!look(&mut spare, 1, 499), "the time begins");
        assert!(!look(&mut spare, 60, 499));
        assert!(look(&mut spare, 61, 499));
        assert!(!look(&mut spare, 500, 499), "there is nothing more to give back");
        assert!(!look(&mut spare, 501, 249));
        assert!(look(&mut spare, 561, 0));
    }

    #[test]
    fn what_came_and_went_between_two_looks_counts() {
        let mut spare = Spare::default();
        assert!(!look(&mut spare, 0, 10));
        spare.saw(1000);
        assert!(!look(&mut spare, 1, 10));
        assert!(look(&mut spare, 61, 10));
    }

    #[test]
    fn a_load_that_comes_back_keeps_its_memory() {
        let mut spare = Spare::default();
        for round in 0..100 {
            assert!(!look(&mut spare, round * 100, 1000));
            assert!(!look(&mut spare, round * 100 + 1, 10));
            assert!(!look(&mut spare, round * 100 + 59, 10));
            assert!(!look(&mut spare, round * 100 + 60, 500));
        }
        assert!(!look(&mut Spare::default(), 0, 0), "an empty heap has nothing to give back");
    }
}
