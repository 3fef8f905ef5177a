//! Who is linked to this node, and which of two connections to the same peer stays.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::code;
use crate::preface::Seen;

/// One link that is up.
pub(super) struct Link {
    pub(super) connection: quinn::Connection,
    pub(super) queue: mpsc::Sender<Bytes>,
    /// Number of the node that began the connection.
    pub(super) initiator: u32,
    pub(super) incarnation: u64,
    pub(super) nonce: u64,
    pub(super) session: u64,
}

#[derive(Default)]
struct Peer {
    seen: Seen,
    link: Option<Link>,
}

/// Bounded by the certificates that the authority has issued: only who has one comes here.
#[derive(Default)]
pub(super) struct Peers {
    peers: BTreeMap<u32, Peer>,
    sessions: u64,
}

impl Peers {
    pub(super) fn seen(&self, peer: u32) -> Seen {
        self.peers.get(&peer).map(|peer| peer.seen).unwrap_or_default()
    }

    pub(super) fn queue(&self, peer: u32) -> Option<mpsc::Sender<Bytes>> {
        self.peers.get(&peer)?.link.as_ref().map(|link| link.queue.clone())
    }

    pub(super) fn connection(&self, peer: u32) -> Option<quinn::Connection> {
        self.peers.get(&peer)?.link.as_ref().map(|link| link.connection.clone())
    }

    pub(super) fn next_session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    /// Takes a link up, in the place of another one or not at all. Answers whether it stays.
    pub(super) fn take_up(&mut self, ours: u32, theirs: u32, link: Link) -> bool {
        let peer = self.peers.entry(theirs).or_default();
        if let Some(present) = &peer.link {
            let alive = present.connection.close_reason().is_none();
            let older_life = link.incarnation < present.incarnation;
            let same_life = link.incarnation == present.incarnation;
            if alive && (older_life || (same_life && stays(ours, theirs, present.initiator, link.initiator)))
            {
                link.connection.close(code::DUPLICATE.into(), b"there is a link already");
                return false;
            }
            present.connection.close(code::REPLACED.into(), b"a later link takes its place");
        }
        if link.incarnation > peer.seen.incarnation {
            peer.seen = Seen { incarnation: link.incarnation, nonce: link.nonce };
        }
        peer.link = Some(link);
        true
    }

    /// Forgets a link that broke, unless a later one has taken its place.
    pub(super) fn drop_link(&mut self, peer: u32, session: u64) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.link.take_if(|link| link.session == session);
        }
    }
}

/// Whether the present connection stays when another one comes up beside it. Both nodes decide alike, whatever order they see: of two that were begun from
/// different sides the one from the lower number stays; one from the same side means that this side has lost the earlier.
fn stays(ours: u32, theirs: u32, present: u32, other: u32) -> bool {
    present != other && present == ours.min(theirs)
}

#[cfg(test)]
mod tests {
    use super::stays;

    #[test]
    fn both_sides_keep_the_same_connection_in_any_order() {
        for (ours, theirs) in [(1, 2), (2, 1)] {
            for (first, second) in [(1, 2), (2, 1)] {
                let kept = if stays(ours, theirs, first, second) { first } else { second };
                assert_eq!(kept, 1, "node {ours} saw {first} first");
            }
        }
    }

    #[test]
    fn who_dials_again_has_lost_the_earlier_connection() {
        assert!(!stays(1, 2, 1, 1));
        assert!(!stays(1, 2, 2, 2));
    }
}
