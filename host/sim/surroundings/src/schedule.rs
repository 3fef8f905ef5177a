//! What happens when. Things at the same time happen in the order in which they were planned, so a run is the same each time.

use std::collections::BTreeMap;

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;

/// Things that are going to happen.
pub struct Schedule<T> {
    now: u64,
    planned: u64,
    queue: BTreeMap<(u64, u64), T>,
}

impl<T> Default for Schedule<T> {
    fn default() -> Schedule<T> {
        Schedule { now: 0, planned: 0, queue: BTreeMap::new() }
    }
}

impl<T> Schedule<T> {
    /// The time of what happened last, in nanoseconds from the beginning.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Plans a thing.
    pub fn after(&mut self, delay: u64, thing: T) {
        self.planned += 1;
        self.queue.insert((self.now.saturating_add(delay), self.planned), thing);
    }
}

/// What happens next. The time goes on to it.
impl<T> Iterator for Schedule<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let ((at, _), thing) = self.queue.pop_first()?;
        self.now = at;
        Some(thing)
    }
}
