//! Takes frames apart and counts what is in them, for each node as sender and as receiver.

use std::collections::BTreeMap;

use gc_protocol::wire::{HEADER_BYTES, Header, Message, decode, frame};
use gc_protocol::{NodeId, Object};
use gc_surroundings::place_of;

/// What a part of a frame is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Mark,
    /// What the cycle needs beside marks: waves, answers, decide, proved, votes, sweep, objections, abort.
    Control,
    /// Which stubs a verdict condemns.
    List,
    /// The header of a frame with any of these.
    Header,
    /// A frame that only acknowledges.
    Acknowledgement,
    /// References registered and let go, and headers of frames with nothing else.
    Release,
    /// Hellos, leases, digests, memberships, and headers of frames with nothing else.
    Background,
}

const KINDS: usize = Kind::Background as usize + 1;

/// How many, and how many bytes.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn plus(self, more: Tally) -> Tally {
        Tally { count: self.count + more.count, bytes: self.bytes + more.bytes }
    }
}

/// What went one way at one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Account([Tally; KINDS]);

impl Account {
    pub(super) fn of(&self, kind: Kind) -> Tally {
        self.0[kind as usize]
    }

    /// Bytes that are the cycle's.
    pub(super) fn cycle_bytes(&self) -> u64 {
        let kinds = [Kind::Mark, Kind::Control, Kind::List, Kind::Header, Kind::Acknowledgement];
        kinds.into_iter().map(|kind| self.of(kind).bytes).sum()
    }
}

/// A node, and an object of another node that it refers to.
pub(super) type Pair = (NodeId, NodeId, Object);

/// Everything that was counted.
#[derive(Debug)]
pub(super) struct Ledger {
    sent: Vec<Account>,
    received: Vec<Account>,
    marked: BTreeMap<Pair, u64>,
    waves: u32,
}

impl Ledger {
    pub(super) fn new(nodes: usize) -> Ledger {
        let empty = vec![Account::default(); nodes];
        Ledger { sent: empty.clone(), received: empty, marked: BTreeMap::new(), waves: 0 }
    }

    pub(super) fn sent(&self, place: usize) -> &Account {
        &self.sent[place]
    }

    pub(super) fn received(&self, place: usize) -> &Account {
        &self.received[place]
    }

    /// How often each pair was marked.
    pub(super) fn marked(&self) -> &BTreeMap<Pair, u64> {
        &self.marked
    }

    pub(super) fn waves(&self) -> u32 {
        self.waves
    }

    /// Counts a frame. Answers whether any of it is the cycle's.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<bool, String> {
        let (header, messages) = decode(bytes).map_err(|error| error.to_string())?;
        let mut whose = None;
        for message in &messages {
            let kind = kind(message);
            self.note(&header, message);
            let record = (frame(&header, std::slice::from_ref(message)).len() - HEADER_BYTES) as u64;
            self.count(&header, kind, Tally { count: entries(message), bytes: record });
            whose = whose.max(Some(rank(kind)));
        }
        let head = match whose {
            None => Kind::Acknowledgement,
            Some(0) => Kind::Background,
            Some(1) => Kind::Release,
            Some(_) => Kind::Header,
        };
        self.count(&header, head, Tally { count: 1, bytes: HEADER_BYTES as u64 });
        Ok(head == Kind::Header)
    }

    fn count(&mut self, header: &Header, kind: Kind, tally: Tally) {
        let ways = [(&mut self.sent, header.from), (&mut self.received, header.to)];
        for (accounts, life) in ways {
            let sum = &mut accounts[place_of(life.node)].0[kind as usize];
            *sum = sum.plus(tally);
        }
    }

    fn note(&mut self, header: &Header, message: &Message) {
        match message {
            Message::MarkRequest(request) => {
                for &object in &request.objects {
                    *self.marked.entry((header.from.node, header.to.node, object)).or_default() += 1;
                }
            }
            Message::Wave(wave) => self.waves = self.waves.max(wave.number),
            _ => {}
        }
    }
}

/// Whose the header of a frame is, with messages of several kinds in it.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Background => 0,
        Kind::Release => 1,
        Kind::Mark | Kind::Control | Kind::List | Kind::Header | Kind::Acknowledgement => 2,
    }
}

fn entries(message: &Message) -> u64 {
    match message {
        Message::MarkRequest(request) => request.objects.len() as u64,
        _ => 1,
    }
}

/// All kinds by name: one that is added has to be put somewhere.
fn kind(message: &Message) -> Kind {
    match message {
        Message::MarkRequest(_) | Message::StrategyBytes(_) => Kind::Mark,
        Message::Wave(_)
        | Message::SubtreeTotals(_)
        | Message::CycleDecide(_)
        | Message::SubtreeProved(_)
        | Message::CycleVote(_)
        | Message::SubtreeAgrees(_)
        | Message::CycleObjection(_)
        | Message::CycleSweep(_)
        | Message::CycleAbort(_) => Kind::Control,
        Message::CondemnedStubs(_) => Kind::List,
        Message::Copy(_)
        | Message::Dirty(_)
        | Message::DirtyAck(_)
        | Message::Gone(_)
        | Message::Clean(_)
        | Message::CleanAck(_)
        | Message::CopyAck(_) => Kind::Release,
        Message::Hello(_)
        | Message::Refused(_)
        | Message::Renew(_)
        | Message::Grant(_)
        | Message::DigestRoot(_)
        | Message::BucketHashes(_)
        | Message::BucketSet(_)
        | Message::FullSetEnd(_)
        | Message::FullSetTaken(_)
        | Message::ExileAck(_)
        | Message::SwapOffer(_)
        | Message::ModuleWanted(_)
        | Message::ModuleChunk(_)
        | Message::SwapPrepared(_)
        | Message::SwapPresent(_)
        | Message::SwapWithdrawn(_) => Kind::Background,
    }
}
