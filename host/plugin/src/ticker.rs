//! The thread that lets calls be interrupted: while a call runs, it advances the engine's interrupt tick.
//!
//! A call may take `deadline`; its store is told to trap after so many ticks. When no call has run for a while the thread sleeps, so that an idle node
//! wakes nobody.
//!
//! Sleeping and waking: a caller counts itself in, then looks whether the ticker sleeps. The ticker says that it sleeps, then looks whether a caller has counted
//! itself in. Both sides are sequentially consistent, so at least one sees the other, and no call runs without ticks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Ticks without a call after which the thread sleeps.
const IDLE_TICKS: u32 = 50;

/// Ticks while calls run; ends with its last owner.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    tick: Duration,
}

#[derive(Default)]
struct Shared {
    /// Calls that have begun, ever.
    begun: AtomicU64,
    /// Calls that run.
    running: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// While this lives, the ticker ticks.
pub(crate) struct Watch<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread. A tick is a hundredth of the deadline, at least 1 ms, at most 10 ms.
    pub(crate) fn start(engine: &Engine, deadline: Duration) -> io::Result<Ticker> {
        let tick = (deadline / 100).clamp(Duration::from_millis(1), Duration::from_millis(10));
        let shared = Arc::new(Shared::default());
        let (engine, for_thread) = (engine.clone(), Arc::clone(&shared));
        let thread =
            thread::Builder::new().name("gc-ticker".into()).spawn(move || for_thread.run(&engine, tick))?;
        Ok(Ticker { shared, thread: Some(thread), tick })
    }

    /// How many ticks a store may see before a call of this length is interrupted: never fewer than the deadline asks for.
    pub(crate) fn ticks(&self, deadline: Duration) -> u64 {
        let ticks = deadline.as_nanos().div_ceil(self.tick.as_nanos());
        u64::try_from(ticks).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) + 1
    }

    /// Ticks until the answer is dropped.
    pub(crate) fn watch(&self) -> Watch<'_> {
        self.shared.running.fetch_add(1, SeqCst);
        self.shared.begun.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Watch(&self.shared)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the ticker has been printed; there is nothing else to do with it here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, engine: &Engine, tick: Duration) {
        let (mut seen, mut idle) = (0, 0);
        while !self.stop.load(SeqCst) {
            thread::sleep(tick);
            engine.increment_epoch();
            let begun = self.begun.load(SeqCst);
            idle = if begun == seen && self.running.load(SeqCst) == 0 { idle + 1 } else { 0 };
            seen = begun;
            if idle >= IDLE_TICKS {
                self.sleep(seen);
                idle = 0;
            }
        }
    }

    fn sleep(&self, seen: u64) {
        self.asleep.store(true, SeqCst);
        while self.begun.load(SeqCst) == seen && !self.stop.load(SeqCst) {
            thread::park();
        }
        self.asleep.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_never_gets_fewer_ticks_than_its_deadline() {
        let ticker = Ticker::start(&Engine::default(), Duration::from_secs(1)).unwrap();
        assert_eq!(ticker.tick, Duration::from_millis(10));
        assert_eq!(ticker.ticks(Duration::from_secs(1)), 101);
        assert_eq!(ticker.ticks(Duration::from_millis(1)), 2);
        assert!(ticker.ticks(Duration::MAX) > 1 << 40);
    }

    #[test]
    fn a_call_wakes_a_ticker_that_sleeps() {
        let ticker = Ticker::start(&Engine::default(), Duration::from_millis(100)).unwrap();
        for _ in 0..3 {
            while !ticker.shared.asleep.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            let watch = ticker.watch();
            while ticker.shared.asleep.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            drop(watch);
        }
    }
}
