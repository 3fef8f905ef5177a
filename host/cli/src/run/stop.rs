//! When to stop: a signal, or the end of the time that was given. A second signal ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// See the module.
pub(crate) struct Stop {
    signalled: Arc<AtomicBool>,
    until: Option<Instant>,
}

impl Stop {
    pub(crate) fn on_signals(duration: Option<Duration>) -> anyhow::Result<Stop> {
        let signalled = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&signalled);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("cannot wait for signals: raise the limit on open files")?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            let listen =
                |kind| signal(kind).context("cannot wait for signals: raise the limit on open files");
            // A file at its limit is an error of whoever writes it, not the end of the process.
            drop(listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
        };
        let wait = move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if seen.swap(true, Ordering::Relaxed) {
                        std::process::exit(INTERRUPTED);
                    }
                }
            });
        };
        // It waits for as long as the process lives.
        std::thread::Builder::new()
            .name("host-signals".into())
            .spawn(wait)
            .context("cannot start a thread: raise the limit on processes and threads")?;
        let until = duration.and_then(|duration| Instant::now().checked_add(duration));
        Ok(Stop { signalled, until })
    }

    /// As if somebody had signalled.
    pub(crate) fn request(&self) {
        self.signalled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn requested(&self) -> bool {
        self.signalled.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until)
    }
}
