//! What a heap has to do with other nodes: stubs (cells for objects elsewhere) and scions (objects here that are held for others).
//!
//! Both are looked up by handle by the thread that drives the protocol between the nodes. It must never wait for a verdict, because the verdict of a cycle over
//! nodes waits for it. So its look-ups go through one lock, beside the handshakes:
//!
//! 1. While a cycle runs, what is looked up here is put down in `late`, under the lock. The collector takes it as it takes what mutators looked up.
//! 2. The verdict falls under the lock, and only if nothing that it condemns stands in `late`. Whoever looks up before that is heard; whoever comes after
//!    finds that it has fallen.
//!
//! The lock is held for a few instructions, never across a handshake or a call.

use crate::stubs::Stubs;

/// See the module.
#[derive(Default)]
pub(crate) struct Remote {
    pub(crate) stubs: Stubs,
    /// Objects that are held for other nodes: bits set in the column *held*.
    pub(crate) held: u64,
    /// Looked up since it was last taken.
    late: Vec<u32>,
    /// A cycle runs: look-ups are put down.
    running: bool,
    /// Its verdict is out, and does not grow any more: only look-ups of what it condemns matter.
    judged: bool,
    /// Its verdict has fallen: what is condemned at this moment goes.
    fallen: bool,
}

impl Remote {
    /// A cycle begins, before its first handshake.
    pub(crate) fn begin(&mut self) {
        self.end();
        self.running = true;
    }

    /// The cycle is over, and nothing is condemned.
    pub(crate) fn end(&mut self) {
        self.late = Vec::new();
        (self.running, self.judged, self.fallen) = (false, false, false);
    }

    /// What is condemned is so for the rest of the cycle, or is withheld: from here on nothing else needs to be put down.
    pub(crate) fn judge(&mut self) {
        self.judged = true;
    }

    /// Puts down that a cell was looked up, and whether it is condemned at the moment.
    pub(crate) fn looked_up(&mut self, cell: u32, is_condemned: bool) {
        if self.running && (is_condemned || !self.judged) {
            self.late.push(cell);
        }
    }

    pub(crate) fn has_fallen(&self) -> bool {
        self.fallen
    }

    /// The verdict falls, unless something that it condemns was looked up since that was last taken.
    pub(crate) fn fall(&mut self, is_condemned: impl Fn(u32) -> bool) -> bool {
        self.fallen = !self.late.iter().any(|&cell| is_condemned(cell));
        self.fallen
    }

    pub(crate) fn take_late(&mut self, into: &mut Vec<u32>) {
        into.append(&mut self.late);
    }
}
