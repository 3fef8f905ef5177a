//! The locks of this crate, and the places where another thread may run.
//!
//! Built with the feature `shuttle`, locks are shuttle's and [`point`] lets its scheduler switch threads, so that the real code is explored.
//! The atomics are the standard ones in both builds: shuttle runs one thread at a time, and a switch can only be seen where `point` stands.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use std::sync::{TryLockError, TryLockResult};

/// A place where another thread may run.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(feature = "shuttle")]
    {
        use shuttle::rand::Rng;
        // Now and then a long stall: a thread that is put aside in the middle of an operation while the others get far is what goes wrong in
        // practice, and what evenly random schedules hardly ever show.
        let stall = if shuttle::rand::thread_rng().gen_bool(1.0 / 32.0) { 40 } else { 1 };
        (0..stall).for_each(|_| shuttle::thread::yield_now());
    }
}

/// Waits a little for another thread, longer the more often it was called in a row: at last 50 microseconds at a time.
pub(crate) fn back_off(round: &mut u32) {
    back_off_to(round, 0);
}

/// The same for what may take seconds: at last a millisecond and a half at a time.
pub(crate) fn back_off_long(round: &mut u32) {
    back_off_to(round, 5);
}

fn back_off_to(round: &mut u32, doublings: u32) {
    #[cfg(feature = "shuttle")]
    {
        let _ = (round, doublings);
        shuttle::thread::yield_now();
    }
    #[cfg(not(feature = "shuttle"))]
    {
        match *round {
            0..16 => std::hint::spin_loop(),
            16..32 => std::thread::yield_now(),
            _ => {
                let doubled = ((*round - 32) / 32).min(doublings);
                std::thread::sleep(std::time::Duration::from_micros(50 << doubled));
            }
        }
        *round = round.saturating_add(1);
    }
}

/// Locks, also when a thread panicked while it held the lock: what these locks guard is valid after every single assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Reads, beside other readers.
pub(crate) fn read<T>(shared: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    shared.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What one of these locks gives at once, if it does.
pub(crate) fn at_once<G>(tried: TryLockResult<G>) -> Option<G> {
    match tried {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
