//! Who seems to be there: foca (SWIM) for what the cluster says, and the phi-accrual estimator for what this node hears itself.
//!
//! A member is *suspected* when both agree. foca alone gives up somebody who lost a few datagrams; the estimator alone somebody whose link to this node is cut,
//! while others hear of it. Nothing is freed because of a suspicion.
//!
//! No clock, no IO, and the random numbers come from a seed: the same calls give the same datagrams.
//!
//! 1. foca knows a node by its life. A node that was given up by mistake comes back under the same life with a higher `renewal`.
//! 2. A datagram is read only from a member, and only if it names itself as its sender.
//! 3. At most [`IDENTITIES_MAX`] nodes are kept, whatever a peer makes up.
//!
//! Paper: Das, Gupta, Motivala, *SWIM*, DSN 2002.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use foca::{
    AccumulatingRuntime, BroadcastHandler, Codec, Foca, Invalidates, PeriodicParams, PostcardCodec, State,
};
use gc_protocol::phi::Phi;
use gc_protocol::{Life, Nanos, NodeId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::message::FOCA_BYTES_MAX;
use super::pages::{Assembly, Page, Taken};
use crate::limits::{BEACONS_PER_BEAT_MAX, BEAT, IDENTITIES_MAX, RECOVER_PHI, SUSPECT_PHI};
use crate::membership::Membership;

/// Who a node is to foca.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Peer {
    node: u32,
    incarnation: u64,
    renewal: u32,
}

impl foca::Identity for Peer {
    type Addr = u32;

    fn renew(&self) -> Option<Peer> {
        Some(Peer { renewal: self.renewal.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> u32 {
        self.node
    }

    fn win_addr_conflict(&self, other: &Peer) -> bool {
        (self.incarnation, self.renewal) > (other.incarnation, other.renewal)
    }
}

impl From<Life> for Peer {
    fn from(life: Life) -> Peer {
        Peer { node: life.node.0, incarnation: life.incarnation.0, renewal: 0 }
    }
}

/// What has come by gossip about the membership. Shared with the handler that foca calls.
#[derive(Debug, Default)]
struct Inbox {
    cluster: String,
    /// The epoch that this node has, and its founding; 0 for none.
    have: (u64, u64),
    assembly: Assembly,
    whole: Option<Membership>,
}

#[derive(Debug, Clone)]
struct Pages(Arc<Mutex<Inbox>>);

/// Names a page that is passed on.
#[derive(Debug, PartialEq)]
pub(super) struct PageKey(u64, u16);

impl Invalidates for PageKey {
    fn invalidates(&self, other: &PageKey) -> bool {
        self.0 > other.0 || self == other
    }
}

impl Pages {
    fn take(&self, page: Page) -> bool {
        let mut inbox = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (epoch, founding) = inbox.have;
        if epoch != 0 && page.founding != founding {
            return false;
        }
        let Inbox { cluster, assembly, whole, .. } = &mut *inbox;
        match assembly.take(cluster, epoch, page) {
            Taken::Known => false,
            Taken::More => true,
            Taken::Whole(membership) => {
                *whole = Some(membership);
                true
            }
        }
    }
}

impl BroadcastHandler<Peer> for Pages {
    type Key = PageKey;
    type Error = postcard::Error;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&Peer>,
    ) -> Result<Option<PageKey>, postcard::Error> {
        let page: Page = postcard::from_bytes(data)?;
        let key = PageKey(page.epoch, page.page);
        // Without a sender it is this node that passes it on.
        Ok((sender.is_none() || self.take(page)).then_some(key))
    }
}

/// What this node hears of one member.
#[derive(Debug)]
struct Heard {
    life: Life,
    phi: Phi,
    /// foca has given it up.
    given_up: bool,
    /// foca has, and the estimator did not agree; counted once each time.
    gated: bool,
    suspected_at: Option<Nanos>,
}

/// What follows from gossip.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Send this to a node; may be lost.
    Send(u32, Bytes),
    Suspected(Life, f64),
    Recovered(Life),
    /// foca gave a member up, and the estimator did not agree.
    Gated(Life),
}

/// The failure detector of one node.
pub(super) struct Gossip {
    me: Life,
    foca: Foca<Peer, PostcardCodec, StdRng, Pages>,
    runtime: AccumulatingRuntime<Peer>,
    timers: BTreeMap<(Nanos, u64), foca::Timer<Peer>>,
    timer_count: u64,
    pages: Pages,
    heard: BTreeMap<u32, Heard>,
}

impl Gossip {
    pub(super) fn new(me: Life, cluster: &str, seed: u64) -> Gossip {
        let inbox = Inbox { cluster: cluster.to_owned(), ..Inbox::default() };
        let pages = Pages(Arc::new(Mutex::new(inbox)));
        let foca = Foca::with_custom_broadcast(
            me.into(),
            config(),
            StdRng::seed_from_u64(seed),
            PostcardCodec,
            pages.clone(),
        );
        let runtime = AccumulatingRuntime::new();
        let (timers, heard) = (BTreeMap::new(), BTreeMap::new());
        Gossip { me, foca, runtime, timers, timer_count: 0, pages, heard }
    }

    /// A membership was taken: watch its members, and no others.
    pub(super) fn members(&mut self, now: Nanos, membership: &Membership, out: &mut Vec<Effect>) {
        {
            let mut inbox = self.pages.0.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.have = (membership.epoch, membership.founding);
        }
        let lives: Vec<Life> = membership.lives().into_keys().filter(|&life| life != self.me).collect();
        self.heard.retain(|_, heard| membership.has(heard.life));
        let expected = rhythm(lives.len());
        for &life in &lives {
            self.heard.entry(life.node.0).or_insert_with(|| {
                let mut phi = Phi::new(expected);
                // The silence of somebody that never says anything counts from here.
                phi.resumed(now);
                Heard { life, phi, given_up: false, gated: false, suspected_at: None }
            });
        }
        let gone = self.foca.iter_members().filter(|member| {
            let peer = member.id();
            membership.life_of(peer.node).is_none_or(|life| life.incarnation.0 != peer.incarnation)
        });
        let gone: Vec<_> = gone.map(|member| foca::Member::down(*member.id())).collect();
        let there = lives.into_iter().map(|life| foca::Member::alive(Peer::from(life)));
        let updates: Vec<_> = gone.into_iter().chain(there).collect();
        let done = self.foca.apply_many(updates.into_iter(), false, &mut self.runtime);
        self.settle(now, done, out);
    }

    /// Passes the pages of a membership on.
    pub(super) fn tell(&mut self, now: Nanos, pages: &[Page], out: &mut Vec<Effect>) {
        for page in pages {
            if let Ok(bytes) = postcard::to_allocvec(page)
                && let Err(error) = self.foca.add_broadcast(&bytes)
            {
                tracing::debug!(%error, "a page of the membership is not passed on");
            }
        }
        let done = self.foca.gossip(&mut self.runtime);
        self.settle(now, done, out);
    }

    /// There is a link to a member.
    pub(super) fn linked(&mut self, now: Nanos, life: Life, out: &mut Vec<Effect>) {
        let done = self.foca.announce(life.into(), &mut self.runtime);
        self.settle(now, done, out);
    }

    /// A member has shown that it is there.
    pub(super) fn beacon(&mut self, now: Nanos, life: Life) {
        if let Some(heard) = self.heard.get_mut(&life.node.0).filter(|heard| heard.life == life) {
            heard.phi.arrived(now);
        }
    }

    /// Takes a page that was sent to this node.
    pub(super) fn page(&mut self, page: Page) {
        self.pages.take(page);
    }

    /// The membership that has come together since this was last asked.
    pub(super) fn whole(&mut self) -> Option<Membership> {
        self.pages.0.lock().unwrap_or_else(PoisonError::into_inner).whole.take()
    }

    /// The first page that is missing of a membership.
    pub(super) fn missing(&self, epoch: u64) -> u16 {
        self.pages.0.lock().unwrap_or_else(PoisonError::into_inner).assembly.missing(epoch)
    }

    /// Takes what came from a member over its link. Answers whether it was right.
    pub(super) fn received(&mut self, now: Nanos, from: Life, bytes: &[u8], out: &mut Vec<Effect>) -> bool {
        let watched = self.heard.get(&from.node.0).is_some_and(|heard| heard.life == from);
        if !(watched && self.fits(from, bytes)) {
            return false;
        }
        let done = self.foca.handle_data(bytes, &mut self.runtime);
        let right = done.is_ok();
        self.settle(now, done, out);
        right
    }

    /// Whether a datagram is from whom it says, and does not make up more nodes than can be.
    fn fits(&self, from: Life, mut bytes: &[u8]) -> bool {
        let Ok(header) = Codec::<Peer>::decode_header(&mut PostcardCodec, &mut bytes) else { return false };
        let itself = (header.src.node, header.src.incarnation) == (from.node.0, from.incarnation.0);
        let updates = if bytes.len() >= 2 { usize::from(bytes.get_u16()) } else { 0 };
        itself && self.foca.iter_membership_state().len() + updates <= IDENTITIES_MAX
    }

    /// Runs what is due.
    pub(super) fn tick(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let done = self.foca.handle_timer(entry.remove(), &mut self.runtime);
            self.settle(now, done, out);
        }
    }

    /// When [`tick`](Gossip::tick) is wanted.
    pub(super) fn next_wake(&self) -> Option<Nanos> {
        self.timers.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Once in a beat: what both say of each member.
    pub(super) fn judge(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.pages.0.lock().unwrap_or_else(PoisonError::into_inner).assembly.beat();
        for heard in self.heard.values_mut() {
            let phi = heard.phi.phi(now);
            match heard.suspected_at {
                None if heard.given_up && phi >= SUSPECT_PHI => {
                    heard.suspected_at = Some(now);
                    out.push(Effect::Suspected(heard.life, phi));
                }
                None if heard.given_up && !heard.gated => {
                    heard.gated = true;
                    out.push(Effect::Gated(heard.life));
                }
                Some(_) if !heard.given_up || phi < RECOVER_PHI => {
                    heard.suspected_at = None;
                    out.push(Effect::Recovered(heard.life));
                }
                None | Some(_) => {}
            }
        }
    }

    /// Says good-bye.
    pub(super) fn leave(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let done = self.foca.leave_cluster(&mut self.runtime);
        self.settle(now, done, out);
    }

    /// The suspicion of a member, and since when it is suspected.
    pub(super) fn status(&self, now: Nanos, node: NodeId) -> (f64, Option<Nanos>) {
        let heard = self.heard.get(&node.0);
        heard.map_or((0.0, None), |heard| (heard.phi.phi(now), heard.suspected_at))
    }

    /// Takes up what foca wants done.
    fn settle(&mut self, now: Nanos, done: Result<(), foca::Error>, out: &mut Vec<Effect>) {
        if let Err(error) = done {
            tracing::debug!(%error, "gossip");
        }
        while let Some((to, bytes)) = self.runtime.to_send() {
            out.push(Effect::Send(to.node, super::message::wrap(&bytes)));
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timer_count += 1;
            let at = now.saturating_add(after.as_nanos() as Nanos);
            self.timers.insert((at, self.timer_count), timer);
        }
        let mut changed = false;
        while self.runtime.to_notify().is_some() {
            changed = true;
        }
        if changed {
            self.look_again();
        }
    }

    fn look_again(&mut self) {
        for member in self.foca.iter_membership_state() {
            let peer = member.id();
            let same = |heard: &&mut Heard| heard.life.incarnation.0 == peer.incarnation;
            if let Some(heard) = self.heard.get_mut(&peer.node).filter(same) {
                heard.given_up = member.state() == State::Down;
                heard.gated &= heard.given_up;
            }
        }
    }
}

/// How often a member is heard of, in a cluster with so many others.
fn rhythm(others: usize) -> Nanos {
    BEAT.as_nanos() as Nanos * others.div_ceil(BEACONS_PER_BEAT_MAX).max(1) as Nanos
}

/// A member that dies is given up after two to four seconds. foca's own settings for a local network take twice that.
fn config() -> foca::Config {
    let some = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    let often = |milliseconds, members| {
        Some(PeriodicParams { frequency: Duration::from_millis(milliseconds), num_members: some(members) })
    };
    foca::Config {
        probe_period: Duration::from_millis(500),
        probe_rtt: Duration::from_millis(200),
        num_indirect_probes: some(3),
        max_transmissions: NonZeroU8::new(12).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: Duration::from_secs(2),
        // What is kept is bounded by the nodes, not by how often they come and go.
        remove_down_after: None,
        max_packet_size: some(FOCA_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: often(10_000, 1),
        periodic_announce_to_down_members: often(5_000, 1),
        periodic_gossip: often(200, 3),
    }
}

#[cfg(test)]
mod tests;
