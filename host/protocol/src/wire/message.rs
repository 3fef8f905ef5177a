//! Everything that nodes say to each other: one record per message, `kind` (16 bits), `length` (32 bits), body.
//!
//! A kind of 0x8000 and above that is not known is skipped: it can add, never change. Any other unknown kind closes the connection. A record is taken
//! whole or not at all: bytes that its fields do not account for are an error.
//!
//! Lists of the same kind that wait for the same frame are merged, so a batch of a thousand cleans is one record: of 3 KB where they are neighbours, of 20 KB at most.

use crate::ids::{CycleId, Object, Reference};
use crate::limits::{ENTRIES_PER_MESSAGE_MAX, PAYLOAD_BYTES_MAX, REFERENCES_PER_COPY_MAX};

use super::WireError;
use super::codec::{Field, Payload, fields, layout};

/// Kinds from here on may be skipped by who does not know them.
pub(crate) const SKIPPABLE: u16 = 0x8000;

/// What names a module: SHA-256 of its bytes. The shell computes it.
pub type ModuleDigest = [u8; 32];

layout! {
    /// Says who is there. First on every connection, both ways, until the other side has said it too.
    Hello {
        /// Which cluster this node belongs to.
        cluster: u64,
        /// Random, drawn when the life began: tells apart two nodes that took the same life.
        nonce: u64,
        /// Wall clock of the sender when the connection was made, in milliseconds.
        wall_ms: u64,
        /// Whether the sender has heard the receiver's hello on this connection.
        heard: bool,
    }

    /// A stub or a scion, and the number under which its client mentions it. Numbers rise for each client and home.
    Mention {
        /// The object, on the home of the pair.
        object: Object,
        /// The number of the mention.
        seq: u64,
    }

    /// A message of the application with references.
    Copy {
        /// The copies have the numbers `first`, `first + 1` and so on. Numbers rise for each sender.
        first: u64,
        /// What is handed over.
        references: Vec<Reference>,
        /// The message.
        payload: Payload,
    }

    /// Asks for a lease, or for more time.
    Renew {
        /// The lease that the holder has, 0 for none.
        lease: u64,
        /// The holder's clock.
        sent_at: u64,
    }

    /// Grants a lease.
    Grant {
        /// Its number. Another one than the holder's says that the home has let everything go that the holder held.
        lease: u64,
        /// The clock of the holder when it asked.
        sent_at: u64,
    }

    /// What the client believes the home lists for it.
    DigestRoot {
        /// Hash over the hashes of all buckets.
        hash: u64,
    }

    /// All that the client has in one bucket between two objects, both included: what is missing from it is to be removed.
    BucketSet {
        /// The bucket.
        bucket: u8,
        /// First object that it speaks of.
        low: Object,
        /// Last object that it speaks of.
        high: Object,
        /// The last mention number that the client had used.
        watermark: u64,
        /// What is there.
        mentions: Vec<Mention>,
    }

    /// The sender is at this membership, admits nothing from anybody who left before, and has mentioned or mentions here everything that it admitted.
    ExileAck {
        /// The membership.
        epoch: u64,
        /// Stubs whose registration is not answered.
        admitted: Vec<Mention>,
    }

    /// Objects of the receiver that the cycle has reached.
    MarkRequest {
        /// The cycle.
        cycle: CycleId,
        /// What was reached.
        objects: Vec<Object>,
    }

    /// Something that the strategies of two nodes say to each other in a cycle. It is counted like a mark.
    StrategyBytes {
        /// The cycle.
        cycle: CycleId,
        /// What they say.
        bytes: Payload,
    }

    /// Asks a node and all below it for their marks, when nothing is left to do. The first one begins the cycle.
    Wave {
        /// The cycle.
        cycle: CycleId,
        /// The wave.
        number: u32,
    }

    /// Answers a wave, for the sender and all below it in the tree.
    SubtreeTotals {
        /// The cycle.
        cycle: CycleId,
        /// The wave.
        number: u32,
        /// How many nodes it speaks for. Each had nothing left to do when it was asked, or when that had come to be so.
        nodes: u32,
        /// Marks that they have sent in this cycle.
        sent: u64,
        /// Marks that they have received in this cycle.
        received: u64,
    }

    /// The sender's stubs for objects of the receiver that its verdict condemns, after its proof.
    CondemnedStubs {
        /// The cycle.
        cycle: CycleId,
        /// The objects of the receiver that the stubs stand for.
        objects: Vec<Object>,
        /// Nothing follows.
        last: bool,
    }

    /// The sender and all below it in the tree have proved their verdicts.
    SubtreeProved {
        /// The cycle.
        cycle: CycleId,
        /// How many nodes it speaks for.
        nodes: u32,
    }

    /// The parts of the verdict of the sender and all below it in the tree stand against all that they were told.
    SubtreeAgrees {
        /// The cycle.
        cycle: CycleId,
        /// How many nodes it speaks for.
        nodes: u32,
    }

    /// Offers a strategy to the cluster.
    SwapOffer {
        /// The generation that it would have: one above the present one.
        generation: u64,
        /// Names the module.
        digest: ModuleDigest,
    }

    /// Asks for a piece of a module.
    ModuleWanted {
        /// Names the module.
        digest: ModuleDigest,
        /// First byte.
        offset: u64,
    }

    /// A piece of a module.
    ModuleChunk {
        /// Names the module.
        digest: ModuleDigest,
        /// First byte.
        offset: u64,
        /// Bytes of the whole module.
        total: u64,
        /// The piece.
        bytes: Payload,
    }

    /// Whether a node could load and rehearse a strategy.
    SwapPrepared {
        /// The generation that was offered.
        generation: u64,
        /// Names the module.
        digest: ModuleDigest,
        /// It could.
        ready: bool,
    }

    /// The strategy of the cluster, as the sender knows it. Also how a commit is told, and how a node that was away hears of it.
    SwapPresent {
        /// The generation.
        generation: u64,
        /// Names the module.
        digest: ModuleDigest,
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $kind:literal $name:ident($content:ty),)*) => {
        /// A message.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Message { $($(#[$doc])* $name($content),)* }

        impl Message {
            fn kind(&self) -> u16 {
                match self { $(Message::$name(_) => $kind,)* }
            }

            fn put_content(&self, out: &mut Vec<u8>) {
                match self { $(Message::$name(content) => content.put(out),)* }
            }

            fn take_content(kind: u16, content: &mut &[u8]) -> Result<Option<Message>, WireError> {
                match kind {
                    $($kind => <$content>::take(content).map(|content| Some(Message::$name(content))),)*
                    SKIPPABLE.. => { *content = &[]; Ok(None) }
                    _ => Err(WireError::UnknownKind(kind)),
                }
            }
        }
    };
}

messages! {
    /// Who is there.
    0x01 Hello(Hello),
    /// The sender closes the connection: a [`crate::Refusal`] by its code.
    0x02 Refused(u8),
    /// The holder of a lease asks for time.
    0x03 Renew(Renew),
    /// The home grants it.
    0x04 Grant(Grant),
    /// References for the application.
    0x10 Copy(Copy),
    /// The client holds stubs for these.
    0x11 Dirty(Vec<Mention>),
    /// The home lists the client for these.
    0x12 DirtyAck(Vec<Mention>),
    /// These objects are gone.
    0x13 Gone(Vec<Mention>),
    /// The client has let these stubs go.
    0x14 Clean(Vec<Mention>),
    /// The home does not list the client for these.
    0x15 CleanAck(Vec<Mention>),
    /// The receiver of these copies is registered.
    0x16 CopyAck(Vec<u64>),
    /// The client's digest.
    0x20 DigestRoot(DigestRoot),
    /// The home's hash of each bucket, where the root differs.
    0x21 BucketHashes(Vec<u64>),
    /// A bucket of the client.
    0x22 BucketSet(BucketSet),
    /// The whole set was sent, for this lease.
    0x23 FullSetEnd(u64),
    /// The home lists what is left of the full set: the lease is good.
    0x24 FullSetTaken(u64),
    /// The sender has left earlier memberships behind.
    0x30 ExileAck(ExileAck),
    /// Marks.
    0x41 MarkRequest(MarkRequest),
    /// Marks of the strategies' own.
    0x42 StrategyBytes(StrategyBytes),
    /// A wave, down the tree.
    0x43 Wave(Wave),
    /// Marking has ended everywhere: prove. Down the tree.
    0x45 CycleDecide(CycleId),
    /// Stubs that a verdict condemns.
    0x46 CondemnedStubs(CondemnedStubs),
    /// All agreed: reclaim. Down the tree.
    0x48 CycleSweep(CycleId),
    /// The cycle is given up. Down the tree.
    0x49 CycleAbort(CycleId),
    /// All have proved: vote. Down the tree.
    0x4b CycleVote(CycleId),
    /// The answer to a wave, up the tree.
    0x4c SubtreeTotals(SubtreeTotals),
    /// All in a subtree have proved.
    0x4d SubtreeProved(SubtreeProved),
    /// All in a subtree agree.
    0x4e SubtreeAgrees(SubtreeAgrees),
    /// Somebody in a subtree does not go along.
    0x4f CycleObjection(CycleId),
    /// A strategy is offered.
    0x50 SwapOffer(SwapOffer),
    /// A piece of its module is wanted.
    0x51 ModuleWanted(ModuleWanted),
    /// A piece of its module.
    0x52 ModuleChunk(ModuleChunk),
    /// A node is prepared, or cannot be.
    0x53 SwapPrepared(SwapPrepared),
    /// The strategy of the cluster.
    0x54 SwapPresent(SwapPresent),
    /// The offer is withdrawn.
    0x55 SwapWithdrawn(SwapPresent),
}

impl Copy {
    /// Whether it is as large as a message of the application may be.
    fn is_allowed(&self) -> bool {
        self.references.len() <= REFERENCES_PER_COPY_MAX && self.payload.0.len() <= PAYLOAD_BYTES_MAX
    }
}

/// Puts `next` behind `list` if there is room.
fn merged<Entry>(list: &mut Vec<Entry>, next: &mut Vec<Entry>) -> bool {
    let fits = list.len() + next.len() <= ENTRIES_PER_MESSAGE_MAX;
    if fits {
        list.append(next);
    }
    fits
}

impl Message {
    /// Takes the content of `next` in, where both are lists of the same kind and there is room.
    pub(crate) fn absorb(&mut self, next: &mut Message) -> bool {
        match (self, next) {
            (Message::Dirty(list), Message::Dirty(next))
            | (Message::DirtyAck(list), Message::DirtyAck(next))
            | (Message::Gone(list), Message::Gone(next))
            | (Message::Clean(list), Message::Clean(next))
            | (Message::CleanAck(list), Message::CleanAck(next)) => merged(list, next),
            (Message::CopyAck(list), Message::CopyAck(next)) => merged(list, next),
            (Message::MarkRequest(list), Message::MarkRequest(next)) => {
                list.cycle == next.cycle && merged(&mut list.objects, &mut next.objects)
            }
            _ => false,
        }
    }

    /// Appends the record of this message.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.kind().put(out);
        let at = out.len();
        0u32.put(out);
        self.put_content(out);
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Takes one record off. None for a record of an unknown kind that may be skipped.
    pub(crate) fn take(bytes: &mut &[u8]) -> Result<Option<Message>, WireError> {
        let kind = u16::take(bytes)?;
        let length = u32::take(bytes)? as usize;
        let (mut content, rest) = bytes.split_at_checked(length).ok_or(WireError::Truncated)?;
        *bytes = rest;
        let message = Message::take_content(kind, &mut content)?;
        match message {
            _ if !content.is_empty() => Err(WireError::Trailing),
            Some(Message::Copy(copy)) if !copy.is_allowed() => Err(WireError::Value),
            Some(message) if message.list_len() > ENTRIES_PER_MESSAGE_MAX => Err(WireError::Value),
            message => Ok(message),
        }
    }

    /// How many messages it would be if nothing were merged.
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Message::Dirty(list)
            | Message::DirtyAck(list)
            | Message::Gone(list)
            | Message::Clean(list)
            | Message::CleanAck(list) => list.len() as u64,
            Message::CopyAck(list) => list.len() as u64,
            Message::MarkRequest(marks) => marks.objects.len() as u64,
            _ => 1,
        }
    }

    /// Entries of its list. References of a copy have a bound of their own.
    fn list_len(&self) -> usize {
        match self {
            Message::Dirty(list)
            | Message::DirtyAck(list)
            | Message::Gone(list)
            | Message::Clean(list)
            | Message::CleanAck(list) => list.len(),
            Message::CopyAck(list) | Message::BucketHashes(list) => list.len(),
            Message::MarkRequest(marks) => marks.objects.len(),
            Message::BucketSet(set) => set.mentions.len(),
            Message::ExileAck(ack) => ack.admitted.len(),
            Message::CondemnedStubs(stubs) => stubs.objects.len(),
            _ => 0,
        }
    }

    /// About how many bytes the message takes while it waits. The record takes as many, or fewer where the entries of a list are neighbours.
    pub(crate) fn bytes(&self) -> usize {
        6 + match self {
            Message::Dirty(list)
            | Message::DirtyAck(list)
            | Message::Gone(list)
            | Message::Clean(list)
            | Message::CleanAck(list) => 4 + 16 * list.len(),
            Message::CopyAck(list) | Message::BucketHashes(list) => 4 + 8 * list.len(),
            Message::Copy(copy) => 16 + 20 * copy.references.len() + copy.payload.0.len(),
            Message::MarkRequest(marks) => 12 + 8 * marks.objects.len(),
            Message::BucketSet(set) => 29 + 16 * set.mentions.len(),
            Message::ExileAck(ack) => 12 + 16 * ack.admitted.len(),
            Message::CondemnedStubs(stubs) => 13 + 8 * stubs.objects.len(),
            Message::StrategyBytes(said) => 12 + said.bytes.0.len(),
            Message::ModuleChunk(chunk) => 52 + chunk.bytes.0.len(),
            _ => 48,
        }
    }
}
