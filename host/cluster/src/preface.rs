//! The first bytes of a connection: which wire version, which life, what time it is.
//!
//! ```text
//! 0      4        6         8             16      24             32
//! | "gcn1" | version | 0       | incarnation | nonce | unix millis  |      little endian
//! ```
//!
//! Who the peer is stands in its certificate; what stands here is believed only from a peer whose certificate was verified. The layout of these 32 bytes
//! never changes: a node of any version can say which version it speaks.

use std::time::Duration;

use crate::identity::Identity;
use crate::limits::CLOCK_SKEW_MAX;

/// Version of what follows the preface.
pub const WIRE_VERSION: u16 = 1;

pub(crate) const BYTES: usize = 32;
const MAGIC: [u8; 4] = *b"gcn1";

/// What one side says about itself.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Preface {
    pub(crate) version: u16,
    pub(crate) incarnation: u64,
    /// Drawn anew by each process: tells a node that talks to itself from two nodes of one name.
    pub(crate) nonce: u64,
    /// Wall clock, in milliseconds since 1970.
    pub(crate) unix_millis: u64,
}

/// Why a peer is not talked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// TLS or QUIC failed: no certificate, one of another authority, or no node at all.
    #[error(
        "the connection could not be made ({0}): check the address, and that both certificates are of one authority and have not ended"
    )]
    NoConnection(String),
    /// The other side does not want this node.
    #[error("it refuses this node: {0}")]
    ByPeer(String),
    /// The certificate names no node.
    #[error("its certificate does not say who it is ({0}): make it with `host cert issue`")]
    NoIdentity(String),
    /// A node of another cluster, certified by the same authority.
    #[error("it belongs to the cluster '{theirs}', this node to '{ours}': check the addresses after --join")]
    OtherCluster {
        /// The peer's.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// What was said first is no preface.
    #[error("it does not speak this protocol: check the address")]
    NotANode,
    /// Another wire version.
    #[error("it speaks wire version {theirs}, this node {ours}: bring both to one release")]
    OtherVersion {
        /// The peer's.
        theirs: u16,
        /// Ours.
        ours: u16,
    },
    /// Somebody else with our certificate.
    #[error("{0} has this node's name and number: give every node a certificate of its own")]
    SameName(String),
    /// This very process.
    #[error("it is this node itself: leave its own address out of --join")]
    Myself,
    /// A life that is over.
    #[error(
        "{peer} comes with incarnation {theirs}, and incarnation {seen} has been seen: its --state folder was lost or is an old copy; start it with its own, or write {seen} into the file 'incarnation' of a new one"
    )]
    OldIncarnation {
        /// The peer.
        peer: String,
        /// What it says.
        theirs: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// Another process is in the same life.
    #[error(
        "another process was here as {peer} in incarnation {incarnation}: stop the one that was started from a copy of the other's --state folder; if the folder was lost, write {incarnation} into the file 'incarnation' of a new one"
    )]
    Twin {
        /// The peer.
        peer: String,
        /// The life that both claim.
        incarnation: u64,
    },
    /// Its clock is off.
    #[error(
        "its clock is {seconds} s away from this node's, more than {max_seconds} s: set the clocks (NTP)"
    )]
    ClockSkew {
        /// How far.
        seconds: u64,
        /// How far it may be.
        max_seconds: u64,
    },
    /// It did not say anything in time.
    #[error("nothing was heard from there for {0:?}: check the address, and that a node runs there")]
    Silent(Duration),
    /// Too many connections at the same moment.
    #[error("too many connections are being made at this moment: it will try again")]
    Busy,
}

impl Refusal {
    /// A short stable word, for metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::NoConnection(_) => "no_connection",
            Refusal::ByPeer(_) => "by_peer",
            Refusal::NoIdentity(_) => "no_identity",
            Refusal::OtherCluster { .. } => "other_cluster",
            Refusal::NotANode => "not_a_node",
            Refusal::OtherVersion { .. } => "other_version",
            Refusal::SameName(_) => "same_name",
            Refusal::Myself => "myself",
            Refusal::OldIncarnation { .. } => "old_incarnation",
            Refusal::Twin { .. } => "twin",
            Refusal::ClockSkew { .. } => "clock_skew",
            Refusal::Silent(_) => "silent",
            Refusal::Busy => "busy",
        }
    }
}

impl Preface {
    pub(crate) fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.version.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[24..].copy_from_slice(&self.unix_millis.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; BYTES]) -> Result<Preface, Refusal> {
        if bytes[..4] != MAGIC {
            return Err(Refusal::NotANode);
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        Ok(Preface { version, incarnation: word(8), nonce: word(16), unix_millis: word(24) })
    }
}

/// The highest life of a peer that was let in, and the nonce of its process.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) incarnation: u64,
    pub(crate) nonce: u64,
}

/// What is checked about a peer before anything else of it is read.
pub(crate) fn check(
    (our_identity, ours): (&Identity, &Preface),
    (their_identity, theirs): (&Identity, &Preface),
    seen: Seen,
) -> Result<(), Refusal> {
    if their_identity.cluster != our_identity.cluster {
        return Err(Refusal::OtherCluster {
            theirs: their_identity.cluster.clone(),
            ours: our_identity.cluster.clone(),
        });
    }
    if theirs.version != ours.version {
        return Err(Refusal::OtherVersion { theirs: theirs.version, ours: ours.version });
    }
    if their_identity.number == our_identity.number || their_identity.name == our_identity.name {
        let same = theirs.nonce == ours.nonce;
        return Err(if same { Refusal::Myself } else { Refusal::SameName(their_identity.to_string()) });
    }
    let (peer, incarnation) = (their_identity.name.clone(), theirs.incarnation);
    if incarnation < seen.incarnation || incarnation == 0 {
        return Err(Refusal::OldIncarnation { peer, theirs: incarnation, seen: seen.incarnation });
    }
    if incarnation == seen.incarnation && theirs.nonce != seen.nonce {
        return Err(Refusal::Twin { peer, incarnation });
    }
    let skew = Duration::from_millis(theirs.unix_millis.abs_diff(ours.unix_millis));
    if skew > CLOCK_SKEW_MAX {
        let max_seconds = CLOCK_SKEW_MAX.as_secs();
        return Err(Refusal::ClockSkew { seconds: skew.as_secs(), max_seconds });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster: &str, name: &str, number: u32) -> Identity {
        Identity { cluster: cluster.into(), name: name.into(), number }
    }

    const OURS: Preface = Preface { version: 1, incarnation: 7, nonce: 1, unix_millis: 1_000_000 };
    const THEIRS: Preface = Preface { version: 1, incarnation: 3, nonce: 2, unix_millis: 1_020_000 };

    fn checked(theirs: Preface, identity_of_theirs: &Identity, seen: u64) -> &'static str {
        let ours = identity("shop", "n1", 1);
        match check((&ours, &OURS), (identity_of_theirs, &theirs), Seen { incarnation: seen, nonce: 2 }) {
            Ok(()) => "welcome",
            Err(refusal) => refusal.word(),
        }
    }

    #[test]
    fn the_layout_of_the_preface_stays() {
        let preface =
            Preface { version: 0x0201, incarnation: 3, nonce: 0x0807_0605_0403_0201, unix_millis: 9 };
        let golden = *b"gcn1\x01\x02\0\0\x03\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\0\0\0\0\0\0\0";
        assert_eq!(preface.encode(), golden);
        assert_eq!(Preface::decode(&golden), Ok(preface));
        assert_eq!(Preface::decode(b"GET / HTTP/1.1\r\nHost: example.or"), Err(Refusal::NotANode));
    }

    #[test]
    fn each_kind_of_stranger_is_refused_for_what_it_is() {
        let n2 = identity("shop", "n2", 2);
        assert_eq!(checked(THEIRS, &n2, 3), "welcome");
        assert_eq!(checked(THEIRS, &identity("bank", "n2", 2), 0), "other_cluster");
        assert_eq!(checked(Preface { version: 2, ..THEIRS }, &n2, 0), "other_version");
        assert_eq!(checked(THEIRS, &identity("shop", "n1", 1), 0), "same_name");
        assert_eq!(checked(THEIRS, &identity("shop", "n1", 5), 0), "same_name");
        assert_eq!(checked(THEIRS, &identity("shop", "n5", 1), 0), "same_name");
        assert_eq!(checked(Preface { nonce: 1, ..THEIRS }, &identity("shop", "n1", 1), 0), "myself");
        assert_eq!(checked(Preface { nonce: 3, ..THEIRS }, &n2, 2), "welcome");
        assert_eq!(checked(Preface { nonce: 3, ..THEIRS }, &n2, 3), "twin");
        assert_eq!(checked(THEIRS, &n2, 4), "old_incarnation");
        assert_eq!(checked(Preface { incarnation: 0, ..THEIRS }, &n2, 0), "old_incarnation");
        assert_eq!(checked(Preface { unix_millis: 1_030_001, ..THEIRS }, &n2, 0), "clock_skew");
        assert_eq!(checked(Preface { unix_millis: u64::MAX, ..THEIRS }, &n2, 0), "clock_skew");
        assert_eq!(checked(Preface { unix_millis: 970_000, ..THEIRS }, &n2, 0), "welcome");
    }
}
