//! How the seat answers what it is asked: who comes in, who goes.
//!
//! ```text
//!  asked ─▶ stands already? ──▶ answered
//!             │ no
//!             ▼
//!           held, and written down ──▶ on disk ─▶ taken, told ─▶ what was held is asked again: it stands, or is written next
//!                                  └─▶ not ─────▶ what was held is refused
//! ```

use std::io;
use std::net::SocketAddr;

use gc_protocol::{Life, MembershipEpoch};

use super::message::Message;
use super::{Members, Notice, Role, pages};
use crate::coordinator::seat::{Decision, not_written};
use crate::limits::BEACONS_PER_BEAT_MAX;
use crate::membership::Member;
use crate::refused::ChangeRefused;

impl Members {
    pub(super) fn heard_join(&mut self, from: Life, address: SocketAddr, nonce: u64) {
        let (peer, now) = (from.node.0, self.now());
        let Some(name) = self.links.get(&peer).map(|link| link.name.clone()) else { return };
        let Role::Seat(seat) = &mut self.role else { return self.answer_with_pages(peer, 0, 0) };
        let newcomer = Member { name, incarnation: from.incarnation.0, address, nonce, since: 0 };
        let message = Message::Join { address, nonce };
        match seat.admit(now, peer, &newcomer) {
            Ok(Decision::Stands) => self.answer_with_pages(peer, 0, 0),
            Ok(decision) => self.hold(decision, from, message),
            Err(why) => self.turn_down(from, &message, why),
        }
    }

    pub(super) fn heard_exile(&mut self, from: Life, token: u64, life: Life) {
        let present = self.membership.as_ref();
        let known = present.is_some_and(|present| present.members.contains_key(&from.node.0));
        let now = self.now();
        let Role::Seat(seat) = &mut self.role else { return };
        // Who leaves and asks again, because the answer was lost, is no member any more.
        if !known && from != life {
            return;
        }
        let message = if from == life { Message::Leave { token } } else { Message::exile(token, life) };
        match seat.exile(now, life) {
            Ok(Decision::Stands) => {
                let epoch = seat.membership().epoch;
                tracing::warn!(%life, by = %from, "exiled");
                self.answer(from, token, Ok(epoch));
            }
            Ok(decision) => self.hold(decision, from, message),
            Err(why) => self.turn_down(from, &message, why),
        }
    }

    /// Keeps a question until something has been written.
    fn hold(&mut self, decision: Decision, from: Life, message: Message) {
        if let Decision::Write(next) = decision {
            self.writer.write(next);
        }
        self.held.insert(from.node.0, (from, message));
    }

    fn turn_down(&mut self, from: Life, message: &Message, why: ChangeRefused) {
        match *message {
            Message::Exile { token, .. } | Message::Leave { token } => self.answer(from, token, Err(why)),
            _ => {
                // Where the seat is, the newcomer must know to believe its refusal.
                self.answer_with_pages(from.node.0, 0, 0);
                tracing::warn!(%from, "not let in: {why}");
                self.say(from.node.0, &Message::NotAdmitted(why));
            }
        }
    }

    /// A membership is on disk, or could not be written there.
    pub(super) fn written(&mut self, outcome: io::Result<()>) {
        let (kept, role) = (self.writer.kept(), &mut self.role);
        let Role::Seat(seat) = role else {
            if let Err(error) = outcome {
                let what = format!("{}: {error}", kept.path().display());
                tracing::warn!(what, "the membership is not kept");
                self.notices.push_back(Notice::NotKept(what));
            }
            return;
        };
        let outcome = seat.written(outcome.map_err(|error| not_written(kept, &error)));
        let held = std::mem::take(&mut self.held).into_values();
        match outcome {
            Ok(()) => {
                // Should the disk be full again, that is another time.
                self.refused.take_if(|(why, _)| matches!(why, ChangeRefused::NotWritten(_)));
                self.tell_decision();
                held.for_each(|(from, message)| self.heard(from, message));
            }
            Err(why) => {
                self.refuse(why.clone());
                held.for_each(|(from, message)| self.turn_down(from, &message, why.clone()));
            }
        }
    }

    /// Takes what the seat, if this is it, has decided, and tells all.
    pub(super) fn tell_decision(&mut self) {
        let Role::Seat(seat) = &self.role else { return };
        let decided = seat.membership();
        if self.membership.as_ref().is_some_and(|present| present.epoch == decided.epoch) {
            return;
        }
        let decided = decided.clone();
        let pages = pages::cut(&decided);
        self.take(decided);
        let mut out = Vec::new();
        self.gossip.tell(self.now(), &pages, &mut out);
        self.carry_out(out);
        // Those who are out are told too: they hear nothing else any more.
        let peers: Vec<u32> = self.links.keys().copied().take(BEACONS_PER_BEAT_MAX).collect();
        peers.into_iter().for_each(|peer| self.answer_with_pages(peer, 0, 0));
    }

    /// Asks the seat, which may be this node.
    pub(super) fn ask_seat(&mut self, message: Message) {
        if matches!(self.role, Role::Seat(_)) {
            self.heard(self.life, message);
        } else {
            self.say_to_seat(&message);
        }
    }

    fn answer(&mut self, to: Life, token: u64, outcome: Result<u64, ChangeRefused>) {
        if to == self.life {
            self.answered(token, outcome);
        } else {
            self.say(to.node.0, &Message::Answer { token, outcome });
        }
    }

    /// The seat has answered a question of this node.
    pub(super) fn answered(&mut self, token: u64, outcome: Result<u64, ChangeRefused>) {
        if let Some(ask) = self.asks.remove(&token) {
            // Whoever asked may have gone.
            let _ = ask.answer.send(outcome.map(MembershipEpoch));
        }
    }
}
