//! What is said between nodes about the membership, and what is made of it. What the seat makes of it is in [`super::decide`].

use bytes::Bytes;
use gc_protocol::{Life, Nanos};

use super::message::{Datagram, Message, read};
use super::{Link, Members, Role, pages};
use crate::limits::{BEACONS_PER_BEAT_MAX, PAGES_PER_ANSWER};
use crate::membership::{EPOCH_MAX, Membership};
use crate::refused::ChangeRefused;
use crate::transport::Event;

impl Members {
    /// Takes what happens on the links: every event of the transport, in order. Frames are somebody else's.
    pub fn handle(&mut self, event: &Event) {
        match event {
            Event::Up { peer, incarnation, session, .. } => {
                let life = Life::new(peer.number, *incarnation);
                self.links.insert(peer.number, Link { life, name: peer.name.clone(), session: *session });
                self.linked(life);
            }
            Event::Down { peer, session, .. } => {
                if self.links.get(peer).is_some_and(|link| link.session == *session) {
                    self.links.remove(peer);
                }
            }
            Event::Gossip { peer, bytes } => self.received(*peer, bytes),
            Event::Frame { .. } => {}
        }
    }

    fn linked(&mut self, life: Life) {
        let now = self.now();
        let peer = life.node.0;
        let Some(present) = &self.membership else { return self.say_join_to(peer) };
        if present.has(life) {
            let mut out = Vec::new();
            self.gossip.linked(now, life, &mut out);
            self.carry_out(out);
        }
        self.say(peer, &self.beacon());
        let waiting: Vec<Message> = self.asks.values().map(|ask| ask.message.clone()).collect();
        waiting.into_iter().for_each(|message| self.ask_seat(message));
    }

    fn received(&mut self, peer: u32, bytes: &[u8]) {
        // A datagram may come before its link was reported, or after: it is lost then.
        let Some(from) = self.links.get(&peer).map(|link| link.life) else { return };
        match read(bytes) {
            Some(Datagram::Foca(bytes)) => {
                let (now, mut out) = (self.now(), Vec::new());
                if !self.gossip.received(now, from, bytes, &mut out) && self.is_member(from) {
                    self.counters.gossip_refused += 1;
                }
                self.carry_out(out);
            }
            Some(Datagram::Ours(message)) => self.heard(from, message),
            None => self.counters.gossip_refused += 1,
        }
        if let Some(membership) = self.gossip.whole() {
            self.told(membership);
        }
    }

    pub(super) fn heard(&mut self, from: Life, message: Message) {
        match message {
            Message::Beacon { founding, epoch } => self.heard_beacon(from, founding, epoch),
            Message::Tell { epoch, page } => self.answer_with_pages(from.node.0, epoch, page),
            Message::Page(page) => {
                // Until this node is a member it hears whoever has a certificate.
                if self.membership.is_none() || self.may_show(from) {
                    self.gossip.page(page);
                }
            }
            Message::Join { address, nonce } => self.heard_join(from, address, nonce),
            Message::NotAdmitted(why) => {
                let known = self.membership.as_ref().or(self.seen.as_ref());
                if self.membership.is_none() && known.is_some_and(|known| known.seat == Some(from.node.0)) {
                    self.refuse(why);
                }
            }
            Message::Exile { token, node, incarnation } => {
                self.heard_exile(from, token, Life::new(node, incarnation));
            }
            Message::Leave { token } => self.heard_exile(from, token, from),
            Message::Answer { token, outcome } => {
                let seat = self.membership.as_ref().and_then(|present| present.seat);
                if seat == Some(from.node.0) {
                    self.answered(token, outcome);
                }
            }
        }
    }

    /// Whether this node takes a membership from somebody. A node that is a member does from the others; the seat from anybody, as proof that it has lost one.
    fn may_show(&self, from: Life) -> bool {
        let present = self.membership.as_ref();
        matches!(self.role, Role::Seat(_))
            || present.is_some_and(|present| present.members.contains_key(&from.node.0))
    }

    fn heard_beacon(&mut self, from: Life, founding: u64, epoch: u64) {
        let now = self.now();
        self.gossip.beacon(now, from);
        if epoch > EPOCH_MAX {
            self.counters.gossip_refused += 1;
            return;
        }
        let name = self.links.get(&from.node.0).map_or_else(String::new, |link| link.name.clone());
        let have = match &self.membership {
            Some(present) if present.founding != founding => {
                let is_seat = present.seat == Some(from.node.0);
                let why = if is_seat { ChangeRefused::SeatIsLost } else { ChangeRefused::FoundedElsewhere };
                return self.refuse(why(name));
            }
            Some(_) if !self.may_show(from) => return,
            Some(present) => present.epoch,
            None => self.seen.as_ref().map_or(0, |seen| seen.epoch),
        };
        if let Role::Seat(seat) = &mut self.role
            && seat.said(now, from.node.0, &name, epoch)
        {
            tracing::warn!(by = name, epoch, have, "somebody has a later membership than the seat: asking");
        }
        if have < epoch {
            self.say(from.node.0, &Message::Tell { epoch, page: self.gossip.missing(epoch) });
        }
    }

    pub(super) fn answer_with_pages(&self, to: u32, epoch: u64, page: u16) {
        let Some(present) = self.membership.as_ref().filter(|present| present.epoch >= epoch) else { return };
        let first = if present.epoch == epoch { usize::from(page) } else { 0 };
        for page in pages::cut(present).into_iter().skip(first).take(PAGES_PER_ANSWER) {
            self.say(to, &Message::Page(page));
        }
    }

    /// A membership that others told whole.
    fn told(&mut self, membership: Membership) {
        let Role::Seat(seat) = &mut self.role else { return self.take(membership) };
        // The seat knows better than anybody, unless it has forgotten.
        if let Some(why) = seat.shown(&membership) {
            self.refuse(why);
        }
    }

    /// Says what is to be said again and again.
    pub(super) fn beat(&mut self, now: Nanos) {
        if self.membership.is_none() {
            self.say_join();
        }
        let late: Vec<u64> =
            self.asks.iter().filter(|(_, ask)| ask.until <= now).map(|(&token, _)| token).collect();
        for token in late {
            let why = ChangeRefused::NoAnswer(self.seat_name());
            if let Some(ask) = self.asks.remove(&token) {
                let _ = ask.answer.send(Err(why));
            }
        }
        let waiting: Vec<Message> = self.asks.values().map(|ask| ask.message.clone()).collect();
        waiting.into_iter().for_each(|message| self.ask_seat(message));
        self.say_beacons();
    }

    fn say_beacons(&mut self) {
        if self.membership.is_none() {
            return;
        }
        let later = self.links.range(self.turn..).map(|(&peer, _)| peer);
        let peers: Vec<u32> = later.chain(self.links.range(..self.turn).map(|(&peer, _)| peer)).collect();
        self.turn = peers.get(BEACONS_PER_BEAT_MAX).copied().unwrap_or(0);
        let bytes = self.beacon().encode();
        for &peer in peers.iter().take(BEACONS_PER_BEAT_MAX) {
            self.transport.gossip(peer, bytes.clone());
        }
    }

    fn beacon(&self) -> Message {
        let (founding, epoch) =
            self.membership.as_ref().map_or((0, 0), |present| (present.founding, present.epoch));
        Message::Beacon { founding, epoch }
    }

    pub(super) fn say_join(&self) {
        let seat = self.seen.as_ref().and_then(|seen| seen.seat);
        match seat.filter(|seat| self.links.contains_key(seat)) {
            Some(seat) => self.say_join_to(seat),
            // Until the seat is reached, others may know of a later one.
            None => self.links.keys().take(BEACONS_PER_BEAT_MAX).for_each(|&peer| self.say_join_to(peer)),
        }
    }

    fn say_join_to(&self, peer: u32) {
        self.say(peer, &Message::Join { address: self.address, nonce: self.nonce() });
    }

    pub(super) fn say_to_seat(&self, message: &Message) {
        if let Some(seat) = self.membership.as_ref().and_then(|present| present.seat) {
            self.say(seat, message);
        }
    }

    pub(super) fn say(&self, peer: u32, message: &Message) {
        let bytes: Bytes = message.encode();
        self.transport.gossip(peer, bytes);
    }

    pub(super) fn seat_is_linked(&self) -> bool {
        let seat = self.membership.as_ref().and_then(|present| present.seat);
        seat.is_none_or(|seat| self.links.contains_key(&seat))
    }

    pub(super) fn seat_name(&self) -> String {
        let present = self.membership.as_ref().or(self.seen.as_ref());
        let seat = present.and_then(|present| Some(present.name_of(present.seat?)));
        seat.unwrap_or_else(|| "the seat".to_owned())
    }

    fn is_member(&self, life: Life) -> bool {
        self.membership.as_ref().is_some_and(|present| present.has(life))
    }

    pub(super) fn nonce(&self) -> u64 {
        self.transport.nonce()
    }
}
