//! Who is in the cluster, in which life, and where: how a node comes in, goes, and is given up.
//!
//! ```text
//!  links, gossip      ┌─────────┐  who seems to be there   ┌─────────┐  MembershipChanged, Suspected,
//!  ─────────────────▶ │  foca   │ ────────────────────────▶│ Members │  Recovered, ExileDeclined
//!                     └─────────┘                          │         │ ───────────────────────────────▶ node
//!  seat or etcd ──────────────────────────────────────────▶│         │ ◀─────────────────────────────── propose_exile,
//!                      who is a member                     └─────────┘                                  exile, leave
//! ```
//!
//! # How to drive it
//!
//! ```text
//! let mut members = Members::start(config, transport.clone())?;      // on a tokio runtime
//! loop {
//!     tokio::select! {
//!         Some(event) = events.recv() => { members.handle(&event); /* then the frames, for the protocol */ }
//!         notice = members.next() => { /* cancel-safe; runs timers; feed the notice to the protocol */ }
//!     }
//! }
//! members.propose_exile(client, epoch);        // on Effect::ProposeExile
//! members.ask_again();                         // on Effect::Close for reasons of membership
//! let answer: Answer = members.exile("n3");    // an operator's word; await it elsewhere, while the loop goes on
//! let answer: Answer = members.leave();
//! let status: MembersStatus = members.status();
//! ```
//!
//! 1. **Coming in.** A node without a membership says *join* to whoever it is linked to. Whoever has a membership answers with it, and so it learns who the seat is;
//!    the seat admits it. It is in when a membership names its life and its nonce.
//! 2. **Learning.** A membership goes out in pages, which foca passes on. Every beat each node says which one it has, and who has an older one asks: what was lost
//!    costs a beat. A member is believed about the membership, like all members; nobody else is.
//! 3. **Links.** Every member keeps a link to every other ([`Transport::keep`]). Who is a member no more is not dialled any more.
//! 4. **Asking.** What an operator wants is said to the seat until it answers. It names a life, so that nobody is exiled who has come back meanwhile.
//! 5. **Disk.** Nothing here waits for it once a node has begun. The seat's decisions are on disk before anybody hears of them, and whoever wants another meanwhile waits; of what a
//!    member writes nobody waits for the end.
//! 6. Calling [`Members::next`] again says that the protocol has taken what the last notice said. etcd is told so, and may judge proposals by it.

mod config;
mod decide;
mod gossip;
mod message;
mod notice;
mod pages;
mod start;
mod status;
mod talk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use gc_protocol::{Life, MembershipEpoch, Nanos, NodeId};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use config::{Decides, MembersConfig, MembersError};
pub use notice::{Answer, Notice};
pub use status::{MemberStatus, MembersCounters, MembersStatus};

#[cfg(feature = "etcd")]
use crate::coordinator::etcd::{Etcd, EtcdSays};
use crate::coordinator::seat::Seat;
use crate::identity::Identity;
use crate::limits::{ASK_FOR, ASKS_MAX, BEAT};
use crate::membership::Membership;
use crate::refused::ChangeRefused;
use crate::transport::Transport;
use crate::writer::Writer;
use gossip::{Effect, Gossip};
use message::Message;

/// The membership of one node. See the top of this file for how to drive it.
pub struct Members {
    transport: Transport,
    identity: Identity,
    life: Life,
    address: SocketAddr,
    begun: Instant,
    writer: Writer,
    /// Who waits until the seat has written something down, and what for: the last of each node, which says it again anyway.
    held: BTreeMap<u32, (Life, Message)>,
    role: Role,
    /// What this node has taken. It has been in it, or is.
    membership: Option<Membership>,
    /// A membership without this node: it says where the seat is.
    seen: Option<Membership>,
    links: BTreeMap<u32, Link>,
    dialled: BTreeSet<SocketAddr>,
    gossip: Gossip,
    notices: VecDeque<Notice>,
    /// Handed out with the last notice.
    told: Option<MembershipEpoch>,
    asks: BTreeMap<u64, Ask>,
    beat_at: Nanos,
    /// Where the next beat goes on, when not all peers are told in one.
    turn: u32,
    /// Why this node was not let in, or not listened to, and when it last was not.
    refused: Option<(ChangeRefused, Nanos)>,
    counters: MembersCounters,
}

/// How this node comes by decisions.
enum Role {
    /// It makes them.
    Seat(Box<Seat>),
    /// It asks the seat.
    Member,
    #[cfg(feature = "etcd")]
    Etcd(Etcd),
}

/// A link that is up.
struct Link {
    life: Life,
    name: String,
    session: u64,
}

/// What an operator wants of the seat.
struct Ask {
    message: Message,
    until: Nanos,
    answer: oneshot::Sender<Result<MembershipEpoch, ChangeRefused>>,
}

impl Members {
    /// Waits for the next notice, and runs what is due meanwhile. Cancel-safe: a notice is either answered or kept.
    pub async fn next(&mut self) -> Notice {
        if let Some(epoch) = self.told.take() {
            self.say_taken(epoch);
        }
        loop {
            if let Some(notice) = self.notices.pop_front() {
                if let Notice::MembershipChanged { epoch, .. } = notice {
                    self.told = Some(epoch);
                }
                return notice;
            }
            let wake = self.gossip.next_wake().map_or(self.beat_at, |at| at.min(self.beat_at));
            let wake = self.begun + Duration::from_nanos(wake);
            #[cfg(feature = "etcd")]
            if let Role::Etcd(etcd) = &mut self.role {
                tokio::select! {
                    () = tokio::time::sleep_until(wake) => self.tick(),
                    written = self.writer.written() => self.written(written),
                    said = etcd.next() => self.etcd_says(said),
                }
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(wake) => self.tick(),
                written = self.writer.written() => self.written(written),
            }
        }
    }

    /// A home wants a client exiled: on [`gc_protocol::Effect::ProposeExile`]. The answer is a membership without the client, or [`Notice::ExileDeclined`].
    pub fn propose_exile(&mut self, client: Life, epoch: MembershipEpoch) {
        self.counters.proposals += 1;
        #[cfg(feature = "etcd")]
        if let Role::Etcd(etcd) = &self.role {
            return etcd.propose(client, epoch.0);
        }
        if self.membership.as_ref().is_some_and(|present| present.epoch() == epoch) {
            self.decline(client, ChangeRefused::AsksAnOperator { name: self.name_of(client.node) });
        }
    }

    fn decline(&mut self, client: Life, why: ChangeRefused) {
        tracing::info!(%client, "{why}");
        self.counters.declined += 1;
        self.notices.push_back(Notice::ExileDeclined { client, why });
    }

    /// An operator exiles a member. What only it held is let go once all others have taken the membership without it.
    pub fn exile(&mut self, name: &str) -> Answer {
        let Some(present) = &self.membership else { return answered(Err(ChangeRefused::NoMembership)) };
        match present.named(name) {
            Some(life) => self.remove(life, false),
            None => answered(Err(ChangeRefused::NoSuchMember(name.to_owned()))),
        }
    }

    /// This node leaves for good. When the answer is there, it is out.
    pub fn leave(&mut self) -> Answer {
        if self.membership.as_ref().is_none_or(|present| !present.has(self.life)) {
            return answered(Err(ChangeRefused::NoMembership));
        }
        let answer = self.remove(self.life, true);
        if !matches!(self.role, Role::Seat(_)) {
            let mut out = Vec::new();
            self.gossip.leave(self.now(), &mut out);
            self.carry_out(out);
        }
        answer
    }

    fn remove(&mut self, life: Life, itself: bool) -> Answer {
        #[cfg(feature = "etcd")]
        if let Role::Etcd(etcd) = &mut self.role {
            return etcd.exile(life);
        }
        let token = rand::random();
        let message = if itself { Message::Leave { token } } else { Message::exile(token, life) };
        self.ask(token, message)
    }

    fn ask(&mut self, token: u64, message: Message) -> Answer {
        if self.asks.len() >= ASKS_MAX {
            return answered(Err(ChangeRefused::NoAnswer(self.seat_name())));
        }
        let (answer, wait) = oneshot::channel();
        let until = self.now() + ASK_FOR.as_nanos() as Nanos;
        self.asks.insert(token, Ask { message: message.clone(), until, answer });
        self.ask_seat(message);
        wait
    }

    /// The protocol closed a connection over who is a member: asks for the present membership at once.
    pub fn ask_again(&mut self) {
        let epoch = self.membership.as_ref().map_or(0, |present| present.epoch);
        let message = Message::Tell { epoch: epoch + 1, page: self.gossip.missing(epoch + 1) };
        self.say_to_seat(&message);
        let some: Vec<u32> = self.links.keys().copied().take(3).collect();
        some.into_iter().for_each(|peer| self.say(peer, &message));
        #[cfg(feature = "etcd")]
        if let Role::Etcd(etcd) = &self.role {
            etcd.look_again();
        }
    }

    /// The membership as this node sees it.
    #[must_use]
    pub fn status(&self) -> MembersStatus {
        let now = self.now();
        let present = self.membership.as_ref();
        let member = |(life, address): (Life, SocketAddr)| {
            let (phi, suspected_at) = self.gossip.status(now, life.node);
            MemberStatus {
                life,
                name: self.name_of(life.node),
                address,
                me: life == self.life,
                linked: self.links.get(&life.node.0).is_some_and(|link| link.life == life),
                round_trip: self.transport.round_trip(life.node.0),
                phi,
                suspected_for: suspected_at.map(|at| Duration::from_nanos(now.saturating_sub(at))),
            }
        };
        MembersStatus {
            epoch: present.map(Membership::epoch).unwrap_or_default(),
            decided_by: self.decided_by(),
            trouble: self.trouble(),
            members: present.into_iter().flat_map(Membership::lives).map(member).collect(),
            counters: self.counters,
        }
    }

    fn decided_by(&self) -> Option<String> {
        #[cfg(feature = "etcd")]
        if let Role::Etcd(_) = &self.role {
            return Some("etcd".to_owned());
        }
        let known = self.membership.as_ref().or(self.seen.as_ref())?;
        Some(known.name_of(known.seat?))
    }

    fn trouble(&self) -> Option<String> {
        #[cfg(feature = "etcd")]
        if let Role::Etcd(etcd) = &self.role
            && let Some(trouble) = etcd.trouble()
        {
            return Some(trouble);
        }
        let lately = self.now().saturating_sub(ASK_FOR.as_nanos() as Nanos);
        if let Some((refused, _)) = self.refused.as_ref().filter(|(_, at)| *at >= lately) {
            return Some(refused.to_string());
        }
        match (&self.membership, &self.role) {
            (None, _) => {
                // Whoever it tried to reach last, if it had to try.
                let tried = self.transport.refusals().pop().map(|refused| format!("; {refused}"));
                Some(format!("{}{}", ChangeRefused::NoMembership, tried.unwrap_or_default()))
            }
            (Some(_), Role::Member) if !self.seat_is_linked() => Some(format!(
                "the seat {} is not reached: nobody comes in or goes until it is",
                self.seat_name()
            )),
            (Some(_), _) => None,
        }
    }

    fn name_of(&self, node: NodeId) -> String {
        let known = self.membership.as_ref().or(self.seen.as_ref());
        known.map_or_else(|| node.to_string(), |known| known.name_of(node.0))
    }

    fn now(&self) -> Nanos {
        self.begun.elapsed().as_nanos() as Nanos
    }

    fn tick(&mut self) {
        let now = self.now();
        let mut out = Vec::new();
        self.gossip.tick(now, &mut out);
        if self.beat_at <= now {
            self.beat_at = now + BEAT.as_nanos() as Nanos;
            self.gossip.judge(now, &mut out);
            self.beat(now);
        }
        self.carry_out(out);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(to, bytes) => {
                    self.transport.gossip(to, bytes);
                }
                Effect::Suspected(life, phi) => {
                    tracing::warn!(%life, phi, "seems to be gone");
                    self.counters.suspicions += 1;
                    self.notices.push_back(Notice::Suspected { life, phi });
                }
                Effect::Recovered(life) => {
                    tracing::info!(%life, "is there again");
                    self.notices.push_back(Notice::Recovered(life));
                }
                Effect::Gated(life) => {
                    tracing::debug!(%life, "others gave it up, and it keeps its rhythm");
                    self.counters.gated += 1;
                }
            }
        }
    }

    /// Takes a membership up: watches, dials, keeps and tells it.
    fn take(&mut self, membership: Membership) {
        let mine = membership.members.get(&self.life.node.0);
        let itself =
            mine.is_some_and(|me| me.incarnation == self.life.incarnation.0 && me.nonce == self.nonce());
        let Some(present) = &self.membership else {
            if itself {
                self.refused = None;
                self.take_up(membership);
            } else if self.seen.as_ref().is_none_or(|seen| seen.epoch < membership.epoch) {
                if membership.seat == Some(self.life.node.0) {
                    self.refuse(ChangeRefused::SeatIsLost(self.identity.name.clone()));
                }
                self.dial(&membership);
                self.seen = Some(membership);
                self.say_join();
            }
            return;
        };
        let later = present.founding == membership.founding && present.epoch < membership.epoch;
        if later && (itself || !membership.has(self.life)) {
            self.take_up(membership);
        } else if later {
            self.refuse(ChangeRefused::Twin(self.identity.name.clone()));
        }
    }

    fn take_up(&mut self, membership: Membership) {
        let now = self.now();
        let mut out = Vec::new();
        self.counters.memberships += 1;
        let (epoch, members) = (membership.epoch(), membership.lives());
        tracing::info!(epoch = epoch.0, members = members.len(), "another membership");
        self.gossip.members(now, &membership, &mut out);
        for link in self.links.values().filter(|link| membership.has(link.life)) {
            self.gossip.linked(now, link.life, &mut out);
        }
        self.carry_out(out);
        self.dial(&membership);
        // The seat's file is written before the membership comes here.
        if !matches!(self.role, Role::Seat(_)) {
            self.writer.write(membership.clone());
        }
        self.seen = None;
        self.membership = Some(membership);
        self.notices.push_back(Notice::MembershipChanged { epoch, members });
    }

    fn dial(&mut self, membership: &Membership) {
        let others = membership.members.iter().filter(|&(&number, _)| number != self.life.node.0);
        let wanted: BTreeSet<SocketAddr> = others.clone().map(|(_, member)| member.address).collect();
        self.dialled.difference(&wanted).for_each(|&address| self.transport.forget(address));
        others.for_each(|(&number, member)| self.transport.keep(number, member.address));
        self.dialled = wanted;
    }

    fn say_taken(&self, epoch: MembershipEpoch) {
        #[cfg(feature = "etcd")]
        if let Role::Etcd(etcd) = &self.role {
            etcd.taken(epoch.0);
        }
        tracing::trace!(epoch = epoch.0, "taken");
    }

    /// Told once for each reason.
    fn refuse(&mut self, why: ChangeRefused) {
        let now = self.now();
        let known = self.refused.replace((why.clone(), now));
        if known.is_none_or(|(known, _)| known != why) {
            tracing::warn!("not let in: {why}");
            self.notices.push_back(Notice::NotAdmitted(why));
        }
    }

    #[cfg(feature = "etcd")]
    fn etcd_says(&mut self, said: EtcdSays) {
        match said {
            EtcdSays::Membership(membership) => self.take(membership),
            EtcdSays::NotAdmitted(why) => self.refuse(why),
            EtcdSays::Declined(client, why) => self.decline(client, why),
        }
    }
}

fn answered(outcome: Result<MembershipEpoch, ChangeRefused>) -> Answer {
    let (answer, wait) = oneshot::channel();
    // The receiver is here: it cannot have gone.
    let _ = answer.send(outcome);
    wait
}

#[cfg(test)]
mod tests;
