//! What a node is made with, what it is told, and what it wants done.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::exile::MembershipRefused;
use crate::ids::{CycleId, Life, MembershipEpoch, Nanos, NodeId, Object, Reference};
use crate::lease::{HomeMode, LeaseConfig};
use crate::limits::MILLISECOND;
use crate::mark::{CycleEnding, MarkConfig};
use crate::references::{Delivered, StubLoss};
use crate::rules::Faults;
use crate::session::LinkConfig;
use crate::swap::{Present, SwapConfig, SwapEnding};
use crate::wire::{ModuleDigest, WireError};

/// What a node is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node in this life. The incarnation must be above every earlier one of this node, and durable *before* the node is made.
    pub me: Life,
    /// Names the cluster. Nodes of another are refused.
    pub cluster: u64,
    /// Drawn at random when the life begins: tells apart two nodes that were started as the same life.
    pub nonce: u64,
    /// Times of links.
    pub link: LinkConfig,
    /// Times and mode of leases.
    pub lease: LeaseConfig,
    /// Times of marking cycles.
    pub mark: MarkConfig,
    /// Times of swaps.
    pub swap: SwapConfig,
    /// How often digests are compared.
    pub digest_every: Nanos,
    /// By how much the wall clocks of two nodes may differ. They are compared for people's sake; no decision rests on them.
    pub skew_ms_max: u64,
    /// The strategy that this node runs.
    pub strategy: Present,
    /// Its module, for those who join.
    pub module: Arc<Vec<u8>>,
    /// Rules that are broken on purpose. Only with the feature `faults`.
    pub faults: Faults,
}

impl Config {
    /// The defaults: a batch each 2 ms, leases of 5 s with 0.1 % drift, homes that propose an exile, digests every 5 s.
    #[must_use]
    pub fn new(me: Life, cluster: u64, nonce: u64) -> Config {
        Config {
            me,
            cluster,
            nonce,
            link: LinkConfig {
                flush_after: 2 * MILLISECOND,
                resend_after: 1000 * MILLISECOND,
                acknowledge_after: 25 * MILLISECOND,
                hello_every: 500 * MILLISECOND,
                in_order: true,
            },
            lease: LeaseConfig {
                duration: 5000 * MILLISECOND,
                drift_ppm: 1000,
                guard: 500 * MILLISECOND,
                renew_every: 1000 * MILLISECOND,
                mode: HomeMode::FenceFree,
            },
            mark: MarkConfig { wave_every: 2 * MILLISECOND, timeout: 30_000 * MILLISECOND },
            swap: SwapConfig { ask_again_after: 2000 * MILLISECOND, timeout: 120_000 * MILLISECOND },
            digest_every: 5000 * MILLISECOND,
            skew_ms_max: 60_000,
            strategy: Present::default(),
            module: Arc::new(Vec::new()),
            faults: Faults::default(),
        }
    }
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Time has passed. Feed it when [`Node::next_wake`](super::Node::next_wake) says so; more often does no harm.
    Ticked,
    /// There is a connection to this node, and the certificate at its other end is that node's.
    Connected {
        /// The node.
        peer: NodeId,
        /// Our wall clock in milliseconds.
        wall_ms: u64,
    },
    /// The connection has gone.
    Disconnected {
        /// The node.
        peer: NodeId,
    },
    /// A frame has come over the connection to this node.
    Received {
        /// The node.
        peer: NodeId,
        /// The whole frame ([`crate::wire::frame_bytes`] cuts a stream).
        frame: Vec<u8>,
    },
    /// The application sends a message with references. It must hold all of them (in a scope, or as a root) until this step is over and its effects are done.
    SendRequested {
        /// To this node.
        to: NodeId,
        /// What is handed over: objects of this node, or stubs.
        references: Vec<Reference>,
        /// The message. At most 512 KiB.
        payload: Vec<u8>,
        /// Comes back if the message could not be taken or is dropped.
        token: u64,
    },
    /// The local heap has freed stubs. Those of one collection in one event travel together.
    StubsDropped {
        /// Each with the last `import` that it was delivered with.
        stubs: Vec<(Reference, u32)>,
    },
    /// An [`Effect::Root`] could not be done: there is no such object.
    RootRefused {
        /// The object.
        object: Object,
    },
    /// The membership is another one, as the coordinator says.
    MembershipChanged {
        /// Its number.
        epoch: MembershipEpoch,
        /// Its members, this node included.
        members: BTreeSet<Life>,
    },
    /// A proposed exile was declined: the client may renew its lease.
    ExileDeclined {
        /// The client.
        client: Life,
    },
    /// A marking cycle of the cluster is wanted.
    CycleRequested,
    /// The heap has reached these stubs in this cycle.
    StubsReached {
        /// The cycle.
        cycle: CycleId,
        /// What they stand for.
        references: Vec<Reference>,
    },
    /// The heap has nothing left to mark.
    MarkingRested {
        /// The cycle.
        cycle: CycleId,
        /// The number of the last [`Effect::Shade`] or [`Effect::StrategySaid`] that was worked off, 0 for none.
        worked_off: u64,
    },
    /// The heap has something to mark again, by its own barrier.
    MarkingResumed {
        /// The cycle.
        cycle: CycleId,
    },
    /// The strategy says something to the one of another node.
    StrategySays {
        /// The cycle.
        cycle: CycleId,
        /// The other node.
        to: NodeId,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// The heap has a verdict, proved with the scions of `objects` ignored.
    Proved {
        /// The cycle.
        cycle: CycleId,
        /// Exported objects that it condemns.
        objects: BTreeSet<Object>,
        /// Stubs that it condemns.
        stubs: BTreeSet<Reference>,
    },
    /// The heap has no verdict for the cycle, could not prove it, or something that it condemned was looked up since.
    ProofFailed {
        /// The cycle.
        cycle: CycleId,
    },
    /// The cluster is to run another strategy.
    SwapRequested {
        /// SHA-256 of the module.
        digest: ModuleDigest,
        /// The module.
        bytes: Arc<Vec<u8>>,
    },
    /// A strategy was loaded and rehearsed, or could not be.
    StrategyPrepared {
        /// SHA-256 of the module.
        digest: ModuleDigest,
        /// It could.
        ready: bool,
    },
}

/// What is to be done, in the order given, before the next event is fed in.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send this frame over the connection to this node. May be dropped if the connection is going down.
    Transmit {
        /// The node.
        peer: NodeId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Close the connection to this node. The node counts it as closed from here on.
    Close {
        /// The node.
        peer: NodeId,
        /// Why: for the log, for a metric, and for how long to wait before the next attempt.
        reason: Refusal,
    },
    /// Give the application a message. Every stub in it becomes a stub of the local heap if it is none, and is held on behalf of the receiver before
    /// this effect is over.
    Deliver {
        /// Who sent it.
        from: Life,
        /// The references in it.
        references: Vec<Delivered>,
        /// The message.
        payload: Vec<u8>,
    },
    /// A message of the application was not taken, or is dropped. Nothing of it is kept.
    NotSent {
        /// Which one.
        token: u64,
        /// Why.
        reason: Refusal,
    },
    /// Keep this object until [`Effect::Unroot`]. If there is no such object answer [`Event::RootRefused`].
    Root(Object),
    /// Other nodes do not hold this object any more.
    Unroot(Object),
    /// This stub leads nowhere any more. The local heap may keep it until it is unreachable; uses answer so.
    StubDead {
        /// The stub.
        reference: Reference,
        /// Why.
        why: StubLoss,
    },
    /// The lease of this home has lapsed: calls over its stubs fail until it is trusted again.
    Suspect(Life),
    /// The lease of this home is good.
    Trust(Life),
    /// This node reaches less than half of the members: whatever it serves to others it must not serve any more.
    Fence,
    /// It reaches more than half again.
    Unfence,
    /// The lease of this client has lapsed. What it holds stays, or has been let go, as the mode says.
    LeaseLapsed(Life),
    /// The same, and whoever coordinates the membership should decide about it. Until the membership changes or the exile is declined, this home renews no lease
    /// of that client; so a proposal counts only in the membership that it was made in.
    ProposeExile {
        /// The client.
        client: Life,
        /// The membership of this node.
        epoch: MembershipEpoch,
    },
    /// All members have left these behind: what only they held was unrooted.
    Forgotten(Life),
    /// The membership was not taken.
    MembershipRefused(MembershipRefused),
    /// This life is not a member any more. Everything that it did with others is over: end it, and come back with a higher incarnation.
    Exiled,
    /// Healing changed the listing of this client. Worth a metric and a look: something was lost that should not have been.
    Healed {
        /// The client.
        client: Life,
        /// The object.
        object: Object,
        /// An entry was missing; else there was one too many.
        added: bool,
    },
    /// A marking cycle cannot be started here.
    CycleRefused {
        /// Where it can. None while a cycle runs, without a membership, or when [the numbers are used up](super::Node::cycles_are_used_up).
        ask: Option<Life>,
    },
    /// A marking cycle begins: barrier on, then take as roots the local ones and [`Node::cycle_roots`](super::Node::cycle_roots).
    BeginCycle(CycleId),
    /// These objects have been reached from elsewhere.
    Shade {
        /// The cycle.
        cycle: CycleId,
        /// The objects.
        objects: Vec<Object>,
        /// Number of the hand-over, for [`Event::MarkingRested`].
        number: u64,
    },
    /// The strategy of another node says something to ours.
    StrategySaid {
        /// The cycle.
        cycle: CycleId,
        /// Who.
        from: Life,
        /// What.
        bytes: Vec<u8>,
        /// Number of the hand-over, for [`Event::MarkingRested`].
        number: u64,
    },
    /// Marking has ended everywhere: ask the strategy for its verdict, prove it, answer [`Event::Proved`] or [`Event::ProofFailed`].
    DecideCycle(CycleId),
    /// What was proved in this cycle may be condemned and reclaimed, although its scions are still listed.
    Sweep(CycleId),
    /// The cycle has ended. If it was not swept, drop its verdict.
    CycleEnded(CycleId, CycleEnding),
    /// Check the digest, load and rehearse this module; answer [`Event::StrategyPrepared`].
    PrepareStrategy {
        /// SHA-256 of the module.
        digest: ModuleDigest,
        /// The module.
        bytes: Arc<Vec<u8>>,
    },
    /// Install this strategy, which is prepared, at the next cycle boundary.
    InstallStrategy(Present),
    /// Forget this prepared strategy.
    DiscardStrategy(ModuleDigest),
    /// A swap that was requested here has ended.
    SwapEnded(ModuleDigest, SwapEnding),
    /// A swap cannot be started: one is under way, or the module is too large.
    SwapRefused(ModuleDigest),
}

/// Why somebody or something is refused.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// A frame is malformed.
    #[error("{0}")]
    Malformed(WireError),
    /// A frame names another sender than the connection's certificate, or another receiver than this node.
    #[error("a frame is not between the nodes of its connection: look at certificates and addresses")]
    WrongAddress,
    /// A message stands in a frame where it must not.
    #[error("a message in a frame of the wrong class: its sender is broken")]
    Misplaced,
    /// The peer belongs to another cluster.
    #[error("the peer is of another cluster: look at --join")]
    OtherCluster,
    /// Another node runs as the same life.
    #[error("two nodes run as one life: one of them was started from a copy of the other's data")]
    TwinLife,
    /// An earlier life of a member.
    #[error("the peer is an earlier life of a member: an old process still runs, or frames are replayed")]
    ReplayedIncarnation,
    /// A life that is no member yet.
    #[error("the peer is no member yet: it joins when the coordinator has admitted it")]
    NotAMember,
    /// A life that has left.
    #[error("the peer was exiled: it must come back with a higher incarnation")]
    ExiledLife,
    /// The wall clocks differ too much.
    #[error("the clocks of the peer and this node differ by {0} ms: set them")]
    ClockSkew(u64),
    /// The peer has refused this node: the code of its reason.
    #[error("the peer has refused this node (code {0}): see its log")]
    ByPeer(u8),
    /// The receiver is no member.
    #[error("the receiver is no member: nothing was sent")]
    NoSuchMember,
    /// Too many messages wait for this receiver.
    #[error("too many messages wait for this receiver: send again later")]
    Full,
    /// The message is too large.
    #[error("the message is too large: at most 512 KiB and 4096 references")]
    TooLarge,
    /// This node does not hold the reference.
    #[error("{0} is not held by this node: nothing was sent")]
    UnknownReference(Reference),
    /// The lease of the reference's home has lapsed.
    #[error("the lease of the home of {0} has lapsed: wait until it is trusted again")]
    LeaseLost(Reference),
    /// This node reaches less than half of the members.
    #[error("this node is fenced: it reaches less than half of the members")]
    Fenced,
}

impl Refusal {
    /// The code that tells a peer why its connection is closed.
    pub(crate) fn code(self) -> u8 {
        match self {
            Refusal::Malformed(_) => 1,
            Refusal::WrongAddress => 2,
            Refusal::Misplaced => 3,
            Refusal::OtherCluster => 4,
            Refusal::TwinLife => 5,
            Refusal::ReplayedIncarnation => 6,
            Refusal::NotAMember => 7,
            Refusal::ExiledLife => 8,
            Refusal::ClockSkew(_) => 9,
            Refusal::ByPeer(_)
            | Refusal::NoSuchMember
            | Refusal::Full
            | Refusal::TooLarge
            | Refusal::UnknownReference(_)
            | Refusal::LeaseLost(_)
            | Refusal::Fenced => 0,
        }
    }
}
