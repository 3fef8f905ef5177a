//! What a node can be asked.

use std::collections::BTreeSet;

use crate::exile::Exile;
use crate::ids::{CycleId, Life, Nanos, NodeId, Object};
use crate::references::References;
use crate::swap::Present;

use super::{Config, Node};

/// Counts over a node's life.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames handed to connections, those that were sent again included.
    pub frames_sent: u64,
    /// Bytes of them.
    pub bytes_sent: u64,
    /// Frames that came.
    pub frames_received: u64,
    /// Bytes of them.
    pub bytes_received: u64,
    /// Frames that were not admitted: repeated, overtaking, for another life, too early.
    pub frames_dropped: u64,
    /// Small messages queued, counted one by one as if there were no batches; those of the application not included.
    pub messages_sent: u64,
    /// Messages of the application taken.
    pub copies_sent: u64,
    /// Messages of the application delivered.
    pub copies_received: u64,
    /// Entries that digests healed.
    pub healed: u64,
    /// Connections closed by this node.
    pub refusals: u64,
    /// Mentions of clients that do not go with what they have said before: cleans of what they are not listed for, numbers that cannot be, objects that there are not. They
    /// change nothing. A clean that was lost, healed by a digest and said again is one too; more come only of a client that lies about its stubs.
    pub unfounded: u64,
}

/// What is known of one member.
#[derive(Debug, Copy, Clone, PartialEq)]
pub struct PeerStatus {
    /// Who it is.
    pub life: Life,
    /// There is a connection, and it has said who it is.
    pub up: bool,
    /// Suspicion, from its renewals.
    pub phi: f64,
    /// Its lease for us is good: stubs of its objects may be used.
    pub trusted: bool,
    /// Our lease for it has lapsed.
    pub lapsed: bool,
    /// Objects of ours that it is listed for.
    pub listed_count: u64,
    /// Bytes that wait to be sent to it.
    pub pending_bytes: usize,
    /// Its share of [`Counters::unfounded`] in this membership.
    pub unfounded: u64,
}

impl Node {
    /// What the node was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This node in this life.
    #[must_use]
    pub fn me(&self) -> Life {
        self.config.me
    }

    /// Stubs, scions and pins.
    #[must_use]
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The membership, and who is leaving it.
    #[must_use]
    pub fn membership(&self) -> &Exile {
        &self.exile
    }

    /// This node reaches less than half of the members, or has no membership yet.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.fenced || self.exile.members().is_empty()
    }

    /// Whether stubs of this home may be used and passed on.
    #[must_use]
    pub fn trusts(&self, home: Life) -> bool {
        self.leases.trusts(home)
    }

    /// The strategy of the cluster, as this node knows it.
    #[must_use]
    pub fn strategy(&self) -> Present {
        self.swap.present()
    }

    /// The marking cycle that runs, or none.
    #[must_use]
    pub fn cycle(&self) -> CycleId {
        self.mark.cycle()
    }

    /// No marking cycle can be started any more, anywhere, until the membership changes: this one has had 2^32 of them, or its own number is above [`CycleId::EPOCH_MAX`]. What is
    /// garbage over several nodes stays until then, so somebody has to be told.
    #[must_use]
    pub fn cycles_are_used_up(&self) -> bool {
        self.mark.is_used_up()
    }

    /// The counts.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Suspicion of a peer, or none if it is no member.
    #[must_use]
    pub fn phi(&self, node: NodeId, now: Nanos) -> Option<f64> {
        Some(self.peers.get(&node)?.phi.phi(now))
    }

    /// What is known of each other member.
    pub fn peers(&self, now: Nanos) -> impl Iterator<Item = PeerStatus> + '_ {
        self.peers.values().map(move |peer| PeerStatus {
            life: peer.link.peer,
            up: peer.link.is_up(),
            phi: peer.phi.phi(now),
            trusted: self.leases.trusts(peer.link.peer),
            lapsed: self.leases.has_lapsed(peer.link.peer),
            listed_count: self.references.listed_count(peer.link.peer),
            pending_bytes: peer.link.pending_bytes(),
            unfounded: peer.unfounded,
        })
    }

    /// Objects of ours that are roots of a marking cycle of the cluster: a copy is under way, or somebody holds them who is not in the cycle.
    #[must_use]
    pub fn cycle_roots(&self) -> BTreeSet<Object> {
        let outside = self.references.listed().filter(|&(_, client)| !self.exile.is_member(client));
        self.references.pinned_objects().chain(outside.map(|(object, _)| object)).collect()
    }

    /// Objects of ours that only this node holds, as far as other nodes are concerned: what its exile would let go. Reads the whole table.
    #[must_use]
    pub fn held_only_by(&self, node: NodeId) -> BTreeSet<Object> {
        let (theirs, others): (Vec<_>, Vec<_>) =
            self.references.listed().partition(|(_, client)| client.node == node);
        let mut held: BTreeSet<Object> = theirs.into_iter().map(|(object, _)| object).collect();
        others.iter().for_each(|(object, _)| {
            held.remove(object);
        });
        held.retain(|&object| !self.references.is_pinned(object));
        held
    }

    /// Who keeps an object of ours alive from outside: listed clients, and whether a copy is under way.
    #[must_use]
    pub fn held_by(&self, object: Object) -> (Vec<Life>, bool) {
        (self.references.clients_of(object).collect(), self.references.is_pinned(object))
    }
}
