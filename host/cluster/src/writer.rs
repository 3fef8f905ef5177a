//! Writes memberships down on threads of their own: a disk that hangs holds nobody up but those who wait for it.
//!
//! 1. One is written at a time. Of those that come meanwhile the last is written next.
//! 2. Who drops it waits for what is being written. After that nobody writes into the folder any more, so its lock may go.

use std::io;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::kept::Kept;
use crate::membership::Membership;

/// What the thread is called, for people.
const THREAD: &str = "gc-membership";

/// The file in the hands of an event loop.
pub(crate) struct Writer {
    kept: Kept,
    under_way: Option<UnderWay>,
    next: Option<Membership>,
    #[cfg(test)]
    pub(crate) gate: tests::Gate,
}

struct UnderWay {
    /// None where there is no thread to be had.
    thread: Option<JoinHandle<()>>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    pub(crate) fn new(kept: Kept) -> Writer {
        Writer {
            kept,
            under_way: None,
            next: None,
            #[cfg(test)]
            gate: tests::Gate::default(),
        }
    }

    /// The file.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Begins to write, or does so when what is being written is. [`written`](Writer::written) says how it came out.
    pub(crate) fn write(&mut self, membership: Membership) {
        if self.under_way.is_some() {
            self.next = Some(membership);
            return;
        }
        let (say, done) = oneshot::channel();
        let kept = self.kept.clone();
        #[cfg(test)]
        let gate = self.gate.clone();
        let work = move || {
            #[cfg(test)]
            gate.pass();
            // Nobody may want to know any more.
            let _ = say.send(kept.write(&membership));
        };
        let thread = std::thread::Builder::new().name(THREAD.into()).spawn(work).ok();
        self.under_way = Some(UnderWay { thread, done });
    }

    /// Waits until something has been written, durably, or could not be. Never comes back while there is nothing to write. Cancel-safe.
    pub(crate) async fn written(&mut self) -> io::Result<()> {
        let Some(under_way) = &mut self.under_way else { return std::future::pending().await };
        let outcome = (&mut under_way.done).await;
        self.under_way = None;
        if let Some(next) = self.next.take() {
            self.write(next);
        }
        outcome.unwrap_or_else(|_| Err(io::Error::other("no thread to write with")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.under_way.take().and_then(|under_way| under_way.thread) {
            // A thread that panicked has written nothing that counts.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::identity::Identity;
    use crate::membership::Member;

    /// A disk that hangs while it is shut. Not for ever: a test that fails ends.
    #[derive(Clone, Default)]
    pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

    impl Gate {
        pub(crate) fn shut(&self, shut: bool) {
            *self.0.0.lock().unwrap() = shut;
            self.0.1.notify_all();
        }

        pub(super) fn pass(&self) {
            let shut = self.0.0.lock().unwrap();
            drop(self.0.1.wait_timeout_while(shut, Duration::from_secs(10), |shut| *shut));
        }
    }

    fn membership(epoch: u64) -> Membership {
        let address = "127.0.0.1:7000".parse().unwrap();
        let member = Member { name: "n1".into(), incarnation: 1, address, nonce: 1, since: 1 };
        Membership::told(("shop", 7), Some(1), epoch, [(1, member)].into())
    }

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { cluster: "shop".into(), name: "n1".into(), number: 1 };
        let (kept, _) = Kept::open(folder.path(), &identity).unwrap();
        (folder, Writer::new(kept))
    }

    fn on_disk(writer: &Writer) -> String {
        std::fs::read_to_string(writer.kept().path()).unwrap_or_default()
    }

    #[tokio::test]
    async fn what_comes_while_the_disk_hangs_is_written_after_it() {
        let (_folder, mut writer) = writer();
        writer.gate.shut(true);
        (1..=4).for_each(|epoch| writer.write(membership(epoch)));
        let hangs = tokio::time::timeout(Duration::from_millis(50), writer.written()).await;
        assert!(hangs.is_err() && on_disk(&writer).is_empty());
        writer.gate.shut(false);
        for _ in ["the first", "the last"] {
            tokio::time::timeout(Duration::from_secs(20), writer.written()).await.unwrap().unwrap();
        }
        assert!(on_disk(&writer).contains("\"epoch\": 4"), "{}", on_disk(&writer));
        let idle = tokio::time::timeout(Duration::from_millis(50), writer.written()).await;
        assert!(idle.is_err(), "there is nothing to write");
    }

    #[test]
    fn whoever_drops_it_finds_the_file_at_rest() {
        let (_folder, mut writer) = writer();
        let (gate, kept) = (writer.gate.clone(), writer.kept().clone());
        gate.shut(true);
        writer.write(membership(5));
        let opens = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            gate.shut(false);
        });
        drop(writer);
        assert!(std::fs::read_to_string(kept.path()).unwrap().contains("\"epoch\": 5"));
        opens.join().unwrap();
    }
}
