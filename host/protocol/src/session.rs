//! The link to one peer: frames with numbers, each admitted once and in order, for as long as both lives last.
//!
//! A connection comes and goes; a link stays. What was sent and is not acknowledged is kept and sent again on the next connection, so nothing that
//! stands above has to ask what became of a message when a connection broke. Only the end of a life ends a link, and then everything that it carried is
//! dealt with by [`crate::exile`].
//!
//! 1. Between two lives frames are admitted exactly once, in the order in which they were sent, and only between *these* lives.
//! 2. A frame keeps the membership and the cycle that it was first sent in, however often it is sent.
//! 3. At most [`WINDOW_FRAMES_MAX`] frames are unacknowledged. Further messages wait in `pending`; those of the application wait before that and are refused
//!    when there are too many. What this node has to say of its own accord is bounded by its heap; what a peer makes it say is bounded by 6. So memory for a peer that never reads is bounded.
//! 4. At most one frame per `flush_after`, or full ones. Over connections that keep the order the first message after a pause goes at once and those behind it share the next
//!    frame: waiting for company before the first would save one frame per pause, and cost every hop of a question and its answer that long.
//! 5. Unsequenced frames (hello, leases, acknowledgements alone) may be lost, repeated and overtaken, and say nothing that may not.
//! 6. While more than [`PENDING_BYTES_MAX`] waits for a peer, its frames are admitted in the measure in which it admits ours, and [`AHEAD_BYTES_MAX`] beyond. The others are dropped, and it
//!    sends them again. No connection is closed for it: what waits after a long absence goes as soon as the peer takes it.
//!
//! Two that have too much for each other cannot wait for each other (6): each counts the bytes that it has admitted since so much waits, less those that the other has admitted. What the
//! one adds the other takes away, so both counts cannot stand above the bound, as long as a frame is smaller than that.
//!
//! Over QUIC nothing is lost while the connection lasts, and the time-out is only a net. Frames that overtake each other are dropped and sent again
//! (go-back-n): simple, and on an ordered stream it never happens.

use std::collections::VecDeque;

use crate::ids::{CycleId, Life, MembershipEpoch, Nanos};
use crate::limits::{ACK_FRAMES, AHEAD_BYTES_MAX, BATCH_BYTES, PENDING_BYTES_MAX, WINDOW_FRAMES_MAX};
use crate::rules::{Faults, Rule};
use crate::wire::{Header, Message, encode};

/// What stands in the header of the next frame.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Stamps {
    pub(crate) me: Life,
    pub(crate) epoch: MembershipEpoch,
    pub(crate) cycle: CycleId,
    pub(crate) settled: u64,
}

/// Times of a link.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkConfig {
    /// How long a message waits for others to share its frame. See `in_order`.
    pub flush_after: Nanos,
    /// How long a frame may be unacknowledged before it is sent again.
    pub resend_after: Nanos,
    /// How long an acknowledgement waits for a frame to travel in.
    pub acknowledge_after: Nanos,
    /// How often the hello is repeated until it is answered.
    pub hello_every: Nanos,
    /// Connections keep the order of frames, as streams of QUIC do. Then only messages that come within `flush_after` of the last frame wait, and those after a pause go at
    /// once. Where frames overtake each other, each that does costs `resend_after`, and all messages wait.
    pub in_order: bool,
}

#[derive(Debug, Clone)]
struct Sent {
    sequence: u64,
    epoch: MembershipEpoch,
    cycle: CycleId,
    settled: u64,
    body: Vec<u8>,
    /// Bytes that its messages took while they waited.
    waited_bytes: usize,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Phase {
    Offline,
    /// Connected, and the peer has not said who it is.
    Greeting,
    Up,
}

/// What is to be done with a frame.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    Admit,
    /// It was admitted before, or its turn has not come, or too much waits for the peer.
    Drop,
}

#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) peer: Life,
    phase: Phase,
    /// The nonce that this life of the peer said first.
    nonce: Option<u64>,
    pub(crate) hello_at: Option<Nanos>,
    /// The peer has said on this connection that it heard our hello.
    pub(crate) heard: bool,
    sent: u64,
    admitted: u64,
    unacknowledged: VecDeque<Sent>,
    resend_at: Option<Nanos>,
    resends: u32,
    pending: VecDeque<Message>,
    pending_bytes: usize,
    /// Bytes admitted since too much waits, less those that the peer has admitted. See invariant 6.
    ahead_bytes: usize,
    flush_at: Option<Nanos>,
    /// Before this the next frame is not begun, unless it is full.
    rests_until: Nanos,
    acknowledge_at: Option<Nanos>,
    unanswered_frames: u64,
    faults: Faults,
}

impl Link {
    pub(crate) fn new(peer: Life, faults: Faults) -> Link {
        Link {
            peer,
            phase: Phase::Offline,
            nonce: None,
            hello_at: None,
            heard: false,
            sent: 0,
            admitted: 0,
            unacknowledged: VecDeque::new(),
            resend_at: None,
            resends: 0,
            pending: VecDeque::new(),
            pending_bytes: 0,
            ahead_bytes: 0,
            flush_at: None,
            rests_until: 0,
            acknowledge_at: None,
            unanswered_frames: 0,
            faults,
        }
    }

    pub(crate) fn connected(&mut self, now: Nanos) {
        self.phase = Phase::Greeting;
        self.hello_at = Some(now);
        self.heard = false;
    }

    pub(crate) fn disconnected(&mut self) {
        self.phase = Phase::Offline;
        self.hello_at = None;
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.phase != Phase::Offline
    }

    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// The peer has said who it is. False when it is not the one that this life was so far.
    pub(crate) fn greeted(&mut self, nonce: u64, now: Nanos) -> bool {
        if *self.nonce.get_or_insert(nonce) != nonce {
            return false;
        }
        if self.phase == Phase::Greeting {
            self.phase = Phase::Up;
            self.resends = 0;
            self.resend_at = (!self.unacknowledged.is_empty()).then_some(now);
        }
        true
    }

    /// Queues a message.
    pub(crate) fn queue(&mut self, now: Nanos, mut message: Message, config: &LinkConfig) {
        let (alone, before) = (message.bytes(), self.pending.back().map_or(0, Message::bytes));
        if self.pending.back_mut().is_some_and(|last| last.absorb(&mut message)) {
            // As many as are taken off when it is sent.
            self.pending_bytes += self.pending.back().map_or(0, Message::bytes) - before;
        } else {
            self.pending_bytes += alone;
            self.pending.push_back(message);
        }
        let wait = if config.in_order { self.rests_until } else { now.saturating_add(config.flush_after) };
        self.flush_at.get_or_insert(now.max(wait));
    }

    /// Whether everything that was queued has been put into frames.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// A frame with a number has come. Its messages would take so many bytes if they waited.
    pub(crate) fn admit(
        &mut self,
        now: Nanos,
        sequence: u64,
        bytes: usize,
        config: &LinkConfig,
    ) -> Admission {
        self.acknowledge_at.get_or_insert(now.saturating_add(config.acknowledge_after));
        let next = sequence == self.admitted + 1;
        let again = sequence <= self.admitted && !self.faults.keeps(Rule::DedupeFrames);
        if (next || again) && self.may_add(bytes) {
            self.admitted = self.admitted.max(sequence);
            self.unanswered_frames += 1;
            if self.unanswered_frames >= ACK_FRAMES {
                self.acknowledge_at = Some(now);
            }
            return Admission::Admit;
        }
        Admission::Drop
    }

    /// Whether the peer may add to what waits for it (invariant 6).
    fn may_add(&mut self, bytes: usize) -> bool {
        if self.pending_bytes <= PENDING_BYTES_MAX {
            self.ahead_bytes = 0;
            return true;
        }
        let may = self.ahead_bytes <= AHEAD_BYTES_MAX;
        if may {
            self.ahead_bytes += bytes;
        }
        may
    }

    /// The peer has admitted everything up to here.
    pub(crate) fn acknowledged(&mut self, now: Nanos, sequence: u64, config: &LinkConfig) {
        let before = self.unacknowledged.len();
        while let Some(sent) = self.unacknowledged.pop_front_if(|sent| sent.sequence <= sequence) {
            self.ahead_bytes = self.ahead_bytes.saturating_sub(sent.waited_bytes);
        }
        if self.unacknowledged.len() < before {
            self.resends = 0;
            self.resend_at =
                (!self.unacknowledged.is_empty()).then_some(now.saturating_add(config.resend_after));
        } else if self.resends > 0 {
            // The peer is heard again: what it lacks need not wait until the back-off ends.
            self.resends = 0;
            let soon = now.saturating_add(config.resend_after);
            self.resend_at = self.resend_at.map(|at| at.min(soon));
        }
    }

    /// Frames to send now.
    pub(crate) fn flush(
        &mut self,
        now: Nanos,
        stamps: &Stamps,
        config: &LinkConfig,
        mut transmit: impl FnMut(Vec<u8>),
    ) {
        if self.phase != Phase::Up {
            return;
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            for sent in &self.unacknowledged {
                transmit(self.frame(stamps.me, sent));
            }
            self.resends = (self.resends + 1).min(6);
            self.resend_at = Some(now.saturating_add(config.resend_after << self.resends));
            self.acknowledge_at = None;
        }
        let due = self.flush_at.is_some_and(|at| at <= now) || self.pending_bytes >= BATCH_BYTES;
        while due && !self.pending.is_empty() && self.unacknowledged.len() < WINDOW_FRAMES_MAX {
            let (body, waited_bytes) = self.next_body();
            self.sent += 1;
            let sent = Sent {
                sequence: self.sent,
                epoch: stamps.epoch,
                cycle: stamps.cycle,
                settled: stamps.settled,
                body,
                waited_bytes,
            };
            transmit(self.frame(stamps.me, &sent));
            self.unacknowledged.push_back(sent);
            self.rests_until = now.saturating_add(config.flush_after);
            self.resend_at.get_or_insert(now.saturating_add(config.resend_after));
            self.answered();
        }
        if self.pending.is_empty() {
            self.flush_at = None;
            self.pending_bytes = 0;
        }
        if self.acknowledge_at.is_some_and(|at| at <= now) {
            transmit(self.unsequenced(stamps, &[]));
            self.answered();
        }
    }

    fn answered(&mut self) {
        self.acknowledge_at = None;
        self.unanswered_frames = 0;
    }

    /// Messages for one frame, up to and with the one that fills it, and the bytes that they took while they waited.
    fn next_body(&mut self) -> (Vec<u8>, usize) {
        let (mut body, mut waited_bytes) = (Vec::new(), 0);
        while let Some(message) = self.pending.front() {
            if !body.is_empty() && body.len() + message.bytes() > BATCH_BYTES {
                break;
            }
            message.put(&mut body);
            waited_bytes += message.bytes();
            self.pending.pop_front();
        }
        self.pending_bytes = self.pending_bytes.saturating_sub(waited_bytes);
        (body, waited_bytes)
    }

    fn frame(&self, me: Life, sent: &Sent) -> Vec<u8> {
        let header = Header {
            from: me,
            to: self.peer,
            epoch: sent.epoch,
            cycle: sent.cycle,
            sequence: sent.sequence,
            acknowledged: self.admitted,
            settled: sent.settled,
        };
        encode(&header, &sent.body)
    }

    /// A frame that is not kept.
    pub(crate) fn unsequenced(&self, stamps: &Stamps, messages: &[Message]) -> Vec<u8> {
        let header = Header {
            from: stamps.me,
            to: self.peer,
            epoch: stamps.epoch,
            cycle: CycleId::NONE,
            sequence: 0,
            acknowledged: self.admitted,
            settled: 0,
        };
        crate::wire::frame(&header, messages)
    }

    /// When something is to be sent next.
    pub(crate) fn next_wake(&self) -> Option<Nanos> {
        let window = self.unacknowledged.len() < WINDOW_FRAMES_MAX;
        let flush = self.flush_at.filter(|_| window && self.phase == Phase::Up);
        let resend = self.resend_at.filter(|_| self.phase == Phase::Up);
        let acknowledge = self.acknowledge_at.filter(|_| self.phase == Phase::Up);
        [flush, resend, acknowledge, self.hello_at].into_iter().flatten().min()
    }
}
