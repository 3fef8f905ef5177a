//! When a cycle over all nodes is due: a pure state machine.
//!
//! Local cycles find all garbage but that which other nodes hold. So what matters is how much is held for others: every node looks at its own
//! scions, and asks the first member for a cycle when they have grown.
//!
//! 1. Whoever asks gets one, as soon as the one that runs has ended.
//! 2. One is due when there are twice as many scions as the last cycle over nodes left, and at least [`SCIONS_GROWN`] more.
//! 3. The first member begins one when there was none for as long as the node's `idle` and somebody holds something of anybody.
//! 4. After one that came to nothing the next of kind 2 or 3 waits, twice as long each time up to a bound: a node that is away for long
//!    does not keep the others marking.

use std::time::Duration;

use gc_protocol::ids::Nanos;

use crate::limits::{OVER_WAIT_FIRST, OVER_WAIT_MAX, SCIONS_GROWN};

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace {
    idle: Option<Duration>,
    scions_left: u64,
    ended_at: Nanos,
    wait: Duration,
    not_before: Nanos,
}

/// What there is to look at.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Held {
    /// Listed holders of objects of this node.
    pub(crate) scions: u64,
    /// Objects of others that it holds.
    pub(crate) stubs: u64,
    /// It is the one that begins cycles.
    pub(crate) first: bool,
}

impl Pace {
    pub(crate) fn new(idle: Option<Duration>, now: Nanos) -> Pace {
        Pace { idle, scions_left: 0, ended_at: now, wait: OVER_WAIT_FIRST, not_before: now }
    }

    /// Whether to ask for a cycle. Asking counts as the beginning of the wait, so that one is asked for once.
    pub(crate) fn is_due(&mut self, now: Nanos, held: Held) -> bool {
        if now < self.not_before {
            return false;
        }
        let grown = held.scions >= (2 * self.scions_left).max(self.scions_left + SCIONS_GROWN);
        let since = Duration::from_nanos(now.saturating_sub(self.ended_at));
        let idle = self.idle.is_some_and(|idle| since >= idle) && held.first && held.scions + held.stubs > 0;
        if grown || idle {
            self.not_before = after(now, self.wait);
        }
        grown || idle
    }

    /// A cycle has ended, and left this much.
    pub(crate) fn ended(&mut self, now: Nanos, swept: bool, scions: u64) {
        self.ended_at = now;
        if swept {
            self.scions_left = scions;
            self.wait = OVER_WAIT_FIRST;
        } else {
            self.wait = (self.wait * 2).min(OVER_WAIT_MAX);
        }
        self.not_before = after(now, self.wait);
    }
}

fn after(now: Nanos, wait: Duration) -> Nanos {
    now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn held(scions: u64, first: bool) -> Held {
        Held { scions, stubs: 0, first }
    }

    #[test]
    fn a_cycle_is_due_when_scions_have_doubled() {
        let mut pace = Pace::new(None, 0);
        assert!(!pace.is_due(SECOND, held(SCIONS_GROWN - 1, false)));
        assert!(pace.is_due(SECOND, held(SCIONS_GROWN, false)));
        assert!(!pace.is_due(SECOND, held(SCIONS_GROWN, false)), "it was asked for");
        pace.ended(2 * SECOND, true, 10 * SCIONS_GROWN);
        assert!(!pace.is_due(100 * SECOND, held(20 * SCIONS_GROWN - 1, false)));
        assert!(pace.is_due(100 * SECOND, held(20 * SCIONS_GROWN, false)));
    }

    #[test]
    fn the_first_begins_one_when_nothing_happens() {
        let mut pace = Pace::new(Some(Duration::from_secs(60)), 0);
        assert!(!pace.is_due(59 * SECOND, held(1, true)));
        assert!(!pace.is_due(61 * SECOND, held(1, false)), "another one is first");
        assert!(!pace.is_due(61 * SECOND, held(0, true)), "nobody holds anything");
        assert!(pace.is_due(61 * SECOND, held(1, true)));
    }

    #[test]
    fn cycles_that_come_to_nothing_become_rare() {
        let mut pace = Pace::new(Some(Duration::from_secs(1)), 0);
        let (mut now, mut begun) = (0, 0);
        while now < 1000 * SECOND {
            now += SECOND / 10;
            if pace.is_due(now, held(1, true)) {
                begun += 1;
                pace.ended(now, false, 1);
            }
        }
        assert!((5..60).contains(&begun), "{begun}");
        pace.ended(now, true, 1);
        assert!(pace.is_due(now + 2 * SECOND, held(1, true)));
    }
}
