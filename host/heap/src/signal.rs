//! Where mutators wake the collector, and where they wait for it when the heap is full.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::pacer::Amount;
use crate::strategy::Cause;
use crate::sync::{Condvar, Mutex, lock};

/// What woke the collector.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Begin a cycle for this reason.
    Cycle(Cause),
    /// Somebody called [`Signal::ring`].
    Bell,
    /// Nothing happened for as long as was asked.
    TimedOut,
}

#[derive(Default)]
struct State {
    goal: bool,
    full: bool,
    bell: bool,
    /// Mutators that wait for room.
    waiting: u32,
    /// Cycles that ended, those among them that freed next to nothing, when the last one ended that freed anything, and whether a collector serves
    /// this heap at all.
    cycles: u64,
    poor_cycles: u64,
    freed: Option<Instant>,
    served: bool,
}

impl State {
    /// Whether there is no point in waiting for room since then: nobody collects, four cycles freed next to nothing, or nothing at all was freed for as long as
    /// `patience`.
    fn is_in_vain(&self, begun: Instant, poor_before: u64, patience: Duration) -> bool {
        !self.served
            || self.poor_cycles - poor_before >= POOR_CYCLES_MAX
            || self.left(begun, patience).is_zero()
    }

    /// For how long whoever waits since then is patient, if nothing more is freed.
    fn left(&self, begun: Instant, patience: Duration) -> Duration {
        let since = self.freed.map_or(begun, |freed| freed.max(begun));
        left_until(since.checked_add(patience))
    }
}

/// That somebody wants room who does not stand still for it, and what he has seen of the collector.
pub(crate) struct Wish {
    begun: Instant,
    cycles: u64,
    poor_before: u64,
}

/// See the module. One collector thread waits here.
#[derive(Default)]
pub struct Signal {
    state: Mutex<State>,
    collector: Condvar,
    mutators: Condvar,
    /// `state.goal` was set and not taken yet: saves the lock.
    goal_set: AtomicBool,
}

impl Signal {
    /// Waits until a cycle is wanted, the bell rings, or `patience` is over. A full heap goes before the goal.
    pub fn wait(&self, patience: Duration) -> Wake {
        let until = Instant::now().checked_add(patience);
        let mut state = lock(&self.state);
        loop {
            if std::mem::take(&mut state.bell) {
                return Wake::Bell;
            }
            if std::mem::take(&mut state.full) {
                state.goal = false;
                self.goal_set.store(false, Ordering::Relaxed);
                return Wake::Cycle(Cause::Full);
            }
            if std::mem::take(&mut state.goal) {
                self.goal_set.store(false, Ordering::Relaxed);
                return Wake::Cycle(Cause::Goal);
            }
            let left = left_until(until);
            if left.is_zero() {
                return Wake::TimedOut;
            }
            state =
                self.collector.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Wakes the collector for something other than a cycle.
    pub fn ring(&self) {
        lock(&self.state).bell = true;
        self.collector.notify_one();
    }

    /// Whether somebody waits for room at this moment, so that a cycle should not dawdle.
    #[must_use]
    pub fn is_full(&self) -> bool {
        lock(&self.state).waiting > 0
    }

    /// Says whether a collector serves this heap: without one, nobody shall wait for it.
    pub(crate) fn set_served(&self, served: bool) {
        lock(&self.state).served = served;
        self.mutators.notify_all();
    }

    /// The pacer's trigger is reached.
    pub(crate) fn goal(&self) {
        if !self.goal_set.swap(true, Ordering::Relaxed) {
            lock(&self.state).goal = true;
            self.collector.notify_one();
        }
    }

    pub(crate) fn cycle_ended(&self, freed: Amount, limit: Amount) {
        let now = Instant::now();
        {
            let mut state = lock(&self.state);
            state.cycles += 1;
            let poor = Amount { cells: limit.cells / POOR_PART, bytes: limit.bytes / POOR_PART };
            if !freed.reaches(poor) {
                state.poor_cycles += 1;
            }
            if freed.bytes > 0 {
                state.freed = Some(now);
            }
        }
        self.mutators.notify_all();
    }

    /// Asks for a cycle because the heap is full and waits until `room` says that there is some again. Answers the number of cycles waited for when
    /// there is none after four of them that freed less than a fiftieth of the heap, or when nothing at all was freed for as long as `patience`: who
    /// waits while others take what is freed is not in a heap that is full for good.
    pub(crate) fn wait_for_room(&self, patience: Duration, room: impl Fn() -> bool) -> Result<(), u64> {
        let begun = Instant::now();
        let mut state = lock(&self.state);
        let (before, poor_before) = (state.cycles, state.poor_cycles);
        state.waiting += 1;
        let result = loop {
            let waited = state.cycles - before;
            if waited > 0 && room() {
                break Ok(());
            }
            // The first cycle to end may have begun before the heap was full, and what it condemned may rest until the next proof.
            if state.is_in_vain(begun, poor_before, patience) {
                break Err(waited);
            }
            state.full = true;
            self.collector.notify_one();
            let left = state.left(begun, patience);
            state =
                self.mutators.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        };
        state.waiting -= 1;
        result
    }

    // The same for whoever goes on with other things meanwhile.

    /// The heap is full for somebody, until [`Signal::unwish`].
    pub(crate) fn wish(&self) -> Wish {
        let mut state = lock(&self.state);
        state.waiting += 1;
        Wish { begun: Instant::now(), cycles: state.cycles, poor_before: state.poor_cycles }
    }

    pub(crate) fn unwish(&self, _: &Wish) {
        lock(&self.state).waiting -= 1;
    }

    /// Asks for a cycle. False where that is in vain.
    pub(crate) fn ask(&self, wish: &mut Wish, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        if state.is_in_vain(wish.begun, wish.poor_before, patience) {
            return false;
        }
        wish.cycles = state.cycles;
        state.full = true;
        self.collector.notify_one();
        true
    }

    /// Whether a cycle has ended since that was asked, or will be waited for in vain.
    pub(crate) fn has_news(&self, wish: &Wish, patience: Duration) -> bool {
        let state = lock(&self.state);
        state.cycles != wish.cycles || state.is_in_vain(wish.begun, wish.poor_before, patience)
    }
}

/// Cycles in vain that an allocation waits for at most before it says that the heap is full.
const POOR_CYCLES_MAX: u64 = 4;
/// In vain is a cycle that frees less than this part of the limit: 2 %, as OpenJDK's GCHeapFreeLimit.
const POOR_PART: u64 = 50;

/// Time left until a deadline; a day where there is none.
fn left_until(until: Option<Instant>) -> Duration {
    until.map_or(Duration::from_secs(86_400), |until| until.saturating_duration_since(Instant::now()))
}

#[cfg(all(test, not(any(miri, feature = "shuttle"))))]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const LIMIT: Amount = Amount { cells: 100, bytes: 10_000 };

    /// Three cycles that take longer together than anybody waits in vain; there is room after the third.
    fn wait(freed: Amount) -> Result<(), u64> {
        let (patience, cycle) = (Duration::from_millis(1000), Duration::from_millis(600));
        let (signal, cycles) = (&Signal::default(), &AtomicU32::new(0));
        signal.set_served(true);
        std::thread::scope(|threads| {
            let room = move || cycles.load(Ordering::Relaxed) == 3;
            let waiting = threads.spawn(move || signal.wait_for_room(patience, room));
            for _ in 0..3 {
                std::thread::sleep(cycle);
                cycles.fetch_add(1, Ordering::Relaxed);
                signal.cycle_ended(freed, LIMIT);
            }
            waiting.join().expect("waiting does not panic")
        })
    }

    #[test]
    fn who_waits_for_room_is_patient_while_something_is_freed() {
        assert_eq!(wait(Amount { cells: 0, bytes: 1 }), Ok(()));
        assert!(wait(Amount::default()).is_err());
    }

    /// Room only after six cycles, because others took what the first five freed.
    fn outwait(freed: Amount) -> Result<(), u64> {
        let (signal, cycles) = (&Signal::default(), &AtomicU32::new(0));
        signal.set_served(true);
        std::thread::scope(|threads| {
            let room = move || cycles.load(Ordering::Relaxed) >= 6;
            let waiting = threads.spawn(move || signal.wait_for_room(Duration::from_secs(60), room));
            while !waiting.is_finished() {
                if signal.wait(Duration::from_millis(1)) == Wake::Cycle(Cause::Full) {
                    cycles.fetch_add(1, Ordering::Relaxed);
                    signal.cycle_ended(freed, LIMIT);
                }
            }
            waiting.join().expect("waiting does not panic")
        })
    }

    #[test]
    fn a_heap_is_full_after_cycles_in_vain_and_not_after_cycles_that_others_gained_from() {
        assert_eq!(outwait(Amount { cells: 2, bytes: 1 }), Ok(()));
        assert_eq!(outwait(Amount { cells: 1, bytes: 1 }), Err(4));
    }
}
