//! What people see of the membership.

use std::net::SocketAddr;
use std::time::Duration;

use gc_protocol::{Life, MembershipEpoch};

/// The membership as this node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MembersStatus {
    /// The present membership; 0 when there is none yet.
    pub epoch: MembershipEpoch,
    /// Who decides: the name of the seat, or `etcd`. None before the first membership.
    pub decided_by: Option<String>,
    /// Why this node is not a member yet, or why nothing can be decided at the moment.
    pub trouble: Option<String>,
    /// All members, this node included, by number.
    pub members: Vec<MemberStatus>,
    /// What was counted since the node was started.
    pub counters: MembersCounters,
}

/// One member as this node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberStatus {
    /// Its number and life.
    pub life: Life,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// It is this node.
    pub me: bool,
    /// There is a link to it.
    pub linked: bool,
    /// Round-trip time of the link.
    pub round_trip: Option<Duration>,
    /// How likely it is that it is dead: `-log10` of the probability that it is not. 0 for this node.
    pub phi: f64,
    /// For how long it has been suspected.
    pub suspected_for: Option<Duration>,
}

/// What was counted since the node was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MembersCounters {
    /// Memberships that this node has taken.
    pub memberships: u64,
    /// Times that a member came to be suspected.
    pub suspicions: u64,
    /// Times that the failure detector gave a member up and the estimator did not agree.
    pub gated: u64,
    /// Exiles that this node proposed.
    pub proposals: u64,
    /// Proposals that were declined.
    pub declined: u64,
    /// Datagrams that were no gossip, or not from whom they said.
    pub gossip_refused: u64,
}
