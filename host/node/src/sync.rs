//! The lock of this crate.

use std::sync::{Mutex, MutexGuard};

/// Locks, also when a thread panicked while it held the lock: what the locks here guard is valid after every single assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
