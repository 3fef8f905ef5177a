//! An asymmetric fence: the hot side pays nothing, the rare side pays a system call.
//!
//! Two threads that each write their own flag and then read the other's need a full fence between the write and the read on *both* sides,
//! or each may miss the other's write (Dekker). Where one side runs millions of times a second and the other a few times per cycle, the rare side
//! can pay for both: [`heavy`] makes the kernel run a full fence on every processor that runs a thread of this process
//! (`membarrier(2)`, private expedited), so [`Light::fence`] only has to keep the compiler from reordering.
//!
//! What holds: if a thread runs `A; light.fence(); B` and another runs `C; heavy(); D`, then B sees C or D sees A (or both).
//!
//! **Invariants.** (1) The mode leaves `UNDECIDED` once and never changes again. (2) A [`Light`] is made after that: it knows the mode, and in `SYMMETRIC`
//! mode its fence is a full one. (3) [`heavy`] is always at least a full fence of its own thread, and in `ASYMMETRIC` mode of all threads.
//!
//! Source: Dice, Huang, Yang, "Asymmetric Dekker Synchronization" (2001); P1202R5 (C++ `asymmetric_thread_fence`).

use std::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

const UNDECIDED: u8 = 0;
const ASYMMETRIC: u8 = 1;
const SYMMETRIC: u8 = 2;

static MODE: AtomicU8 = AtomicU8::new(UNDECIDED);

/// The hot side. Whoever runs it all the time keeps one beside what else it needs: the mode itself is a static of this crate, and another crate that is
/// linked without optimisation takes two loads to get at that.
#[derive(Debug, Clone, Copy)]
pub struct Light {
    asymmetric: bool,
}

impl Light {
    /// For this process; [`prepare`]s it.
    #[must_use]
    pub fn new() -> Light {
        Light { asymmetric: prepare() }
    }

    /// Orders what stands before it before what stands after it, as seen by a thread that runs [`heavy`].
    ///
    /// A compiler fence where the kernel helps, a full fence elsewhere.
    #[inline(always)]
    pub fn fence(self) {
        if self.asymmetric {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }
}

impl Default for Light {
    fn default() -> Light {
        Light::new()
    }
}

/// The rare side: a full fence in this thread, and in every thread of the process that is between two instructions. A few microseconds.
pub fn heavy() {
    fence(Ordering::SeqCst);
    if prepare() {
        kernel::everywhere();
    }
    fence(Ordering::SeqCst);
}

/// Registers this process with the kernel, so that [`Light::fence`] is cheap; returns whether it is. Idempotent.
///
/// [`Region`](crate::Region)s call it too: the earlier, the fewer threads the kernel has to tell.
pub fn prepare() -> bool {
    let mode = match MODE.load(Ordering::Relaxed) {
        UNDECIDED => decide(),
        decided => decided,
    };
    mode == ASYMMETRIC
}

#[cold]
fn decide() -> u8 {
    let found = if kernel::register() { ASYMMETRIC } else { SYMMETRIC };
    // Two threads may get here at once: the first answer stands for both.
    match MODE.compare_exchange(UNDECIDED, found, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => found,
        Err(standing) => standing,
    }
}

#[cfg(not(any(miri, feature = "shuttle")))]
mod kernel {
    use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

    pub(super) fn register() -> bool {
        membarrier_query().contains_command(MembarrierCommand::PrivateExpedited)
            && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
    }

    pub(super) fn everywhere() {
        if membarrier(MembarrierCommand::PrivateExpedited).is_ok() {
            return;
        }
        // A child after fork may have lost the registration.
        let registered = register() && membarrier(MembarrierCommand::PrivateExpedited).is_ok();
        assert!(
            registered,
            "the kernel took membarrier back: threads that rely on light fences cannot go on"
        );
    }
}

/// Under Miri there is no such system call, under shuttle only one thread runs at a time: both sides use full fences.
#[cfg(any(miri, feature = "shuttle"))]
mod kernel {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn everywhere() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU32;

    /// Store buffering: without a fence on either side both threads read 0 within a few thousand rounds on x86-64.
    #[test]
    fn no_thread_misses_the_other() {
        let light = Light::new();
        let rounds: usize = if cfg!(miri) { 20 } else { 20_000 };
        let flags: Vec<[AtomicU32; 2]> = (0..rounds).map(|_| Default::default()).collect();
        let seen: Vec<[AtomicU32; 2]> = (0..rounds).map(|_| Default::default()).collect();
        let start = Barrier::new(2);
        let run = |me: usize, fence: &dyn Fn()| {
            start.wait();
            for (flag, seen) in flags.iter().zip(&seen) {
                flag[me].store(1, Ordering::Relaxed);
                fence();
                seen[me].store(flag[1 - me].load(Ordering::Relaxed), Ordering::Relaxed);
            }
        };
        std::thread::scope(|threads| {
            threads.spawn(|| run(0, &|| light.fence()));
            threads.spawn(|| run(1, &heavy));
        });
        let missed = seen
            .iter()
            .filter(|s| s[0].load(Ordering::Relaxed) == 0 && s[1].load(Ordering::Relaxed) == 0)
            .count();
        assert_eq!(missed, 0);
    }
}
