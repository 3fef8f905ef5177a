//! The rules of the protocol that a test can break, one at a time, to show that it would notice.
//!
//! Without the feature `faults` every rule is kept and the questions below are constants.

/// A rule, named for what is right. `distributed-notes` calls them pitfalls; each removes one.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Who sends a reference pins it until the receiver has acknowledged the copy.
    SenderPins,
    /// A copy is acknowledged once the receiver is registered at the home, not before.
    AcknowledgeAfterRegistration,
    /// A reference is passed on only by a node that is registered itself.
    ForwardWhenRegistered,
    /// The home ignores a mention that is not newer than the last one of that client.
    IgnoreOldMentions,
    /// The home remembers the number of a clean, so that an older dirty does not list the client again.
    CleansLeaveTombstones,
    /// A reference that comes back while it is being cleaned is registered anew.
    ReacquireRegisters,
    /// A drop by the local heap that is older than the last import of that reference is ignored.
    DropCarriesImport,
    /// A frame is admitted once.
    DedupeFrames,
    /// A frame to or from another life is not admitted.
    CheckIncarnations,
    /// A frame of a later membership waits until its receiver knows that membership.
    NoFramesFromTheFuture,
    /// What only an exiled life held is kept until every member has said what it admitted from it.
    WaitForExileAcks,
    /// The acknowledgement of an exile carries the references that are admitted and not yet registered.
    ExileAcksCarryAdmitted,
    /// An acknowledgement for an earlier membership says nothing about a later exile.
    ExileRestarts,
    /// Digests and retries heal what was lost.
    DigestsHeal,
    /// Healing removes only entries that are older than the set they are missing from.
    HealingHasWatermark,
    /// The holder of a lease counts from when it asked, and gives the drift away.
    HolderFencesFirst,
    /// A lease that a home has given up is not renewed before the membership has decided.
    LapsedLeaseIsNotRenewed,
    /// A marking cycle has ended when two waves agree, not one.
    TwoWaves,
    /// A scion goes only when its holder has said that the stub is condemned.
    ScionsNeedReports,
    /// A report of another cycle says nothing.
    ReportsNameTheirCycle,
    /// A reference that arrives after the proof vetoes the cycle that condemned it.
    ArrivalsVeto,
    /// What is pinned or newly mentioned is a root of the running cycle.
    PinsAreRoots,
    /// What a node says to its parent in a marking cycle it says for all below it, when they have said it.
    SubtreesSpeakAsOne,
    /// One vote against a sweep stops it.
    SweepIsUnanimous,
    /// A marking cycle ends with the membership that it began in, and nobody begins or joins one of another membership.
    CyclesEndWithMembership,
    /// A strategy is exchanged only when every member has prepared it.
    SwapIsUnanimous,
}

/// Which rules are broken. The default breaks none.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Faults(u32);

impl Faults {
    /// Breaks one rule.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn breaking(rule: Rule) -> Faults {
        Faults(1 << rule as u32)
    }

    #[inline]
    pub(crate) fn keeps(self, rule: Rule) -> bool {
        !cfg!(feature = "faults") || self.0 & (1 << rule as u32) == 0
    }
}
