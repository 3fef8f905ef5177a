//! What a node tells of its cluster: the shapes of `--json` and of the control protocol. Fields are only ever added.

use serde::{Deserialize, Serialize};

/// A cluster, seen from one of its nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of this node.
    pub node: String,
    /// Its number in handles.
    pub number: u32,
    /// Its life.
    pub incarnation: u64,
    /// Where it listens.
    pub address: String,
    /// Who decides about the membership, once there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decided_by: Option<String>,
    /// Number of the membership; 0 before the first.
    pub epoch: u64,
    /// It reaches less than half of the members, or is none yet: it sends nothing that others could rely on.
    pub fenced: bool,
    /// Why it is not let in, or why nothing can be decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
    /// How many cluster-wide swaps there have been.
    pub strategy_generation: u64,
    /// Digest of the strategy that the cluster runs; of the strategy and its options, where some were set.
    pub strategy_digest: String,
    /// All members, this node included.
    pub members: Vec<MemberRecord>,
    /// Objects of others that this node holds.
    pub stubs: u64,
    /// Holders of objects of this node, one by one: an object that two nodes hold counts twice.
    pub scions: u64,
    /// Entries that hold nothing and are kept for a round trip or two, so that an old message lists nobody again.
    #[serde(default)]
    pub tombstones: u64,
    /// Copies of references that are under way from here.
    pub pins: u64,
    /// Messages with references that have arrived and wait for room in this node's heap.
    #[serde(default)]
    pub waiting_for_room: u64,
    /// What objects of this node are held for.
    pub held: Vec<HeldRecord>,
    /// Counts since the start.
    pub counters: ClusterCounters,
    /// The last cycle over all nodes that ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_cycle: Option<OverRecord>,
    /// Peers that were not let in, by reason.
    #[serde(default)]
    pub refusals: std::collections::BTreeMap<String, u64>,
}

/// One member, seen from this node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Its name.
    pub name: String,
    /// Its number in handles.
    pub number: u32,
    /// Its life.
    pub incarnation: u64,
    /// Where it is.
    pub address: String,
    /// It is this node.
    pub me: bool,
    /// There is a connection, and it has said who it is.
    pub up: bool,
    /// How sure this node is that it is gone: minus the logarithm of the probability that it is not.
    pub phi: f64,
    /// For how long it has been suspected, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suspected_s: Option<f64>,
    /// `good` while its objects may be used from here, else `lapsed`. Empty for this node.
    pub lease: String,
    /// `good` while it may use objects of this node, else `lapsed`. Empty for this node.
    pub lease_given: String,
    /// Round-trip time in seconds, where there is a connection.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub round_trip_s: Option<f64>,
    /// Objects of it that this node holds.
    pub stubs: u64,
    /// Objects of this node that it holds.
    pub scions: u64,
    /// Bytes of those themselves, and not of what they lead to.
    pub scion_bytes: u64,
    /// Objects of this node that it holds and no other node does.
    pub only_objects: u64,
    /// Bytes of those themselves, and not of what they lead to.
    pub only_bytes: u64,
    /// Objects of this node that would go if it were gone: those of `only_objects` that nothing here keeps, and what only they lead to. Where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retained_objects: Option<u64>,
    /// Bytes of those.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retained_bytes: Option<u64>,
    /// Bytes that wait to be sent to it, or to be acknowledged by it.
    pub pending_bytes: u64,
    /// What it has said of its references to objects of this node that does not go with what it has said before, since it is a member: cleans of what it is not listed
    /// for, numbers that cannot be, objects that there are not. It has changed nothing. One now and then comes of a lost message, many of a member that lies.
    #[serde(default)]
    pub unfounded: u64,
}

/// Objects of a node that are held for the same reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldRecord {
    /// `scion` (another node holds it), `pin` (a reference to it is under way), `absent` (only nodes hold it that are suspected or
    /// whose lease has lapsed), `leaving` (only nodes hold it that were exiled, and not everybody has said so yet).
    pub reason: String,
    /// How many.
    pub objects: u64,
    /// Bytes of their first cells and payloads, and not of what they lead to.
    pub bytes: u64,
    /// Bytes that would go if they were not held: of those that nothing here keeps, and of what only they lead to. Where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retained_bytes: Option<u64>,
}

/// Counts over a node's life.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterCounters {
    /// Frames sent, those that were sent again included.
    pub frames_sent: u64,
    /// Bytes of them.
    pub bytes_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Bytes of them.
    pub bytes_received: u64,
    /// Frames that were not admitted: repeated, overtaking, for another life.
    pub frames_dropped: u64,
    /// Small messages sent, counted as if there were no batches.
    pub messages_sent: u64,
    /// Messages with references sent for the application.
    pub copies_sent: u64,
    /// Messages with references delivered to the application.
    pub copies_received: u64,
    /// Entries that digests healed: something was lost that should not have been.
    pub healed: u64,
    /// Connections closed over what came through them.
    pub refusals: u64,
    /// Mentions of objects of this node that do not go with what their senders have said before: see [`MemberRecord::unfounded`].
    #[serde(default)]
    pub unfounded: u64,
    /// Leases of others that lapsed.
    pub leases_lapsed: u64,
    /// Messages for this node's program that were dropped because it took none.
    pub deliveries_dropped: u64,
    /// Times that this node fenced itself.
    pub fences: u64,
    /// Cycles over all nodes that were swept.
    pub cycles_swept: u64,
    /// Those that ended otherwise.
    pub cycles_given_up: u64,
}

/// How a cycle over all nodes ended here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OverRecord {
    /// Its name: the membership that it is bound to, and its number in that.
    pub cycle: String,
    /// `swept`, `voted-down`, `timed-out`, `membership-changed`, `abandoned`.
    pub ending: String,
    /// From begin to end.
    pub duration_s: f64,
    /// The part of this node, once its collector is through.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub here: Option<Box<crate::record::CycleRecord>>,
}

/// What would go if a node were gone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WithoutRecord {
    /// The node.
    pub without: String,
    /// What each of the other nodes would lose; a node that does not answer is named with why.
    pub nodes: Vec<WithoutNode>,
}

/// What would go on one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WithoutNode {
    /// Its name.
    pub node: String,
    /// Its objects that would go: held by the missing node alone and kept by nothing here, and what only those lead to here. What those in turn lead to on other nodes
    /// goes after that.
    pub objects: u64,
    /// Bytes of their cells and payloads.
    pub bytes: u64,
    /// Its objects that only the missing node holds, whatever else leads to them.
    #[serde(default)]
    pub held: u64,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unknown: Option<String>,
}

/// How a cluster-wide swap ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterSwapReport {
    /// The strategy.
    pub strategy: String,
    /// SHA-256 of its bytes, or with options of both.
    pub digest: String,
    /// How many cluster-wide swaps there have been, with this one.
    pub generation: u64,
    /// The options that it runs with. The digest is that of the strategy and of these.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty", default)]
    pub options: std::collections::BTreeMap<String, String>,
}

/// How an exile came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExileReport {
    /// Who is no member any more.
    pub node: String,
    /// Number of the membership without it.
    pub epoch: u64,
}
