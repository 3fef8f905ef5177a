//! When to stop: a signal, or the end of the time that was given. A second signal ends the process at once.
//!
//! A terminal that is closed is a signal too, but not a second one: the shell and the kernel both tell of it. Under `nohup` it is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

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
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            let listen =
                |kind| signal(kind).context("cannot wait for signals: raise the limit on open files");
            // A file at its limit is an error of whoever writes it, not the end of the process.
            drop(listen(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
            let hangup = (!is_ignored(Signal::HUP)).then(|| listen(SignalKind::hangup())).transpose()?;
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, hangup)
        };
        let wait = move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        () = closed(&mut hangup) => {
                            seen.store(true, Ordering::Relaxed);
                            continue;
                        }
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

/// The terminal has gone.
async fn closed(hangup: &mut Option<unix::Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether whoever started this process has told it to ignore a signal.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, signal)
}

fn ignores(status: &str, signal: Signal) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
    ignored >> (signal.as_raw() - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_set() {
        let status = "SigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(
            ignores(status, Signal::HUP) && !ignores(status, Signal::INT) && ignores(status, Signal::PIPE)
        );
        assert!(!ignores("", Signal::HUP));
        // Rust's own start does that.
        assert!(is_ignored(Signal::PIPE) && !is_ignored(Signal::TERM));
    }
}
