//! Frames that come in: whose they are, whether they are admitted, and to whom each message goes.

use crate::ids::{Incarnation, Life, MembershipEpoch, NodeId};
use crate::lease::Granting;
use crate::limits::{OUTBOX_BYTES_MAX, SET_READS_MAX};
use crate::mark::MarkOutput;
use crate::rules::Rule;
use crate::session::Admission;
use crate::swap::SwapOutput;
use crate::wire::{BucketSet, Grant, Header, Hello, Mention, Message, Renew, decode};

use super::{Effect, Node, Refusal};

impl Node {
    pub(super) fn connected(&mut self, node: NodeId, wall_ms: u64) {
        self.connections.insert(node, (wall_ms, self.now));
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.link.connected(self.now);
            peer.phi.resumed(self.now);
        }
    }

    /// Our wall clock, as far as this connection knows it.
    fn wall_ms(&self, node: NodeId) -> u64 {
        let (wall_ms, since) = self.connections.get(&node).copied().unwrap_or((0, self.now));
        wall_ms.saturating_add(self.now.saturating_sub(since) / crate::limits::MILLISECOND)
    }

    /// Whose frame it is, or why it is nobody's.
    fn sender(&self, node: NodeId, header: &Header) -> Result<Life, Refusal> {
        let me = self.config.me;
        if header.from.node != node || header.to.node != me.node {
            return Err(Refusal::WrongAddress);
        }
        let member = self.exile.member(node);
        match member {
            Some(life) if life == header.from => Ok(life),
            Some(life) if !self.config.faults.keeps(Rule::CheckIncarnations) => Ok(life),
            _ if self.exile.has_left(header.from) => Err(Refusal::ExiledLife),
            Some(life) if header.from.incarnation < life.incarnation => Err(Refusal::ReplayedIncarnation),
            _ => Err(Refusal::NotAMember),
        }
    }

    pub(super) fn received(&mut self, node: NodeId, frame: &[u8], effects: &mut Vec<Effect>) {
        self.counters.frames_received += 1;
        self.counters.bytes_received += frame.len() as u64;
        let (header, messages) = match decode(frame) {
            Ok(decoded) => decoded,
            Err(error) => return self.close(node, Refusal::Malformed(error), effects),
        };
        let from = match self.sender(node, &header) {
            Ok(from) => from,
            Err(reason) => return self.refuse(node, &header, reason, effects),
        };
        let mine = header.to.incarnation == self.config.me.incarnation
            || !self.config.faults.keeps(Rule::CheckIncarnations);
        let unknown = header.to.incarnation == Incarnation(0) && header.sequence == 0;
        let config = self.config.link;
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.link.is_connected()) else { return };
        if !mine && !unknown {
            // For an earlier life of this node. The hello that this connection began with tells the peer.
            self.counters.frames_dropped += 1;
            return;
        }
        self.touched.insert(node);
        if mine {
            peer.link.acknowledged(self.now, header.acknowledged, &config);
        }
        if header.sequence == 0 {
            messages.into_iter().for_each(|message| self.unsequenced(from, message, effects));
            return;
        }
        let early =
            header.epoch > self.exile.epoch() && self.config.faults.keeps(Rule::NoFramesFromTheFuture);
        let bytes = messages.iter().map(Message::bytes).sum();
        if !peer.link.is_up()
            || early
            || peer.link.admit(self.now, header.sequence, bytes, &config) == Admission::Drop
        {
            self.counters.frames_dropped += 1;
            return;
        }
        self.admitted(from, &header, messages, effects);
    }

    fn admitted(&mut self, from: Life, header: &Header, messages: Vec<Message>, effects: &mut Vec<Effect>) {
        let mut marks = MarkOutput::default();
        self.mark.seen(self.now, header.cycle, &self.references, &mut marks);
        self.put_mark(marks, effects);
        self.references.settle(from, header.settled);
        // Sets that follow each other are read together: each reading goes over the scions of all clients. An honest frame has them in one piece; more pieces wait until the end of the frame and
        // are one. Sets may be read later than they were sent: numbers decide.
        let (mut sets, mut are_read) = (Vec::new(), false);
        for message in messages {
            match message {
                Message::BucketSet(set) => sets.push(set),
                message => {
                    if !sets.is_empty() && !are_read {
                        are_read = true;
                        self.sets(from, &std::mem::take(&mut sets), effects);
                    }
                    self.message(from, message, effects);
                }
            }
        }
        self.sets(from, &sets, effects);
    }

    /// Sets of buckets that this node has asked for.
    fn sets(&mut self, from: Life, sets: &[BucketSet], effects: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(&from.node).filter(|_| !sets.is_empty()) else { return };
        let Some(left) = peer.set_reads_left.checked_sub(1) else { return };
        peer.set_reads_left = left;
        self.with_references(effects, |references, out| references.take_buckets(from, sets, out));
    }

    /// Sets of the peer may be read so often.
    pub(super) fn expect_sets(&mut self, client: Life, reads: usize) {
        if let Some(peer) = self.peers.get_mut(&client.node) {
            peer.set_reads_left = peer.set_reads_left.max(reads);
        }
    }

    /// The client's digest has come. Where it differs the answer makes both read their tables, so a peer is answered once in half an interval, and only if it
    /// takes what it asks for.
    fn compare(&mut self, from: Life, hash: u64, effects: &mut Vec<Effect>) {
        let (now, pause) = (self.now, self.config.digest_every / 2);
        let takes = self.takes(from);
        let Some(peer) = self.peers.get_mut(&from.node).filter(|peer| takes && peer.compares_at <= now)
        else {
            return;
        };
        peer.compares_at = now.saturating_add(pause);
        self.expect_sets(from, SET_READS_MAX);
        self.with_references(effects, |references, out| references.compare(from, hash, out));
    }

    /// Whether a peer has taken most of what was sent to it: what it asks for beyond that it asks for again.
    fn takes(&self, from: Life) -> bool {
        self.peers.get(&from.node).is_some_and(|peer| peer.link.pending_bytes() < OUTBOX_BYTES_MAX)
    }

    /// Closes a connection whose other end is not the member that it should be, and tells it why, whoever it is.
    fn refuse(&mut self, node: NodeId, header: &Header, reason: Refusal, effects: &mut Vec<Effect>) {
        let answer = Header {
            from: self.config.me,
            to: header.from,
            epoch: self.exile.epoch(),
            sequence: 0,
            acknowledged: 0,
            settled: 0,
            cycle: crate::ids::CycleId::NONE,
        };
        let frame = crate::wire::frame(&answer, &[Message::Refused(reason.code())]);
        effects.push(Effect::Transmit { peer: node, frame });
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.link.disconnected();
        }
        self.connections.remove(&node);
        self.counters.refusals += 1;
        effects.push(Effect::Close { peer: node, reason });
    }

    fn unsequenced(&mut self, from: Life, message: Message, effects: &mut Vec<Effect>) {
        self.heard(from.node, &message);
        match message {
            Message::Hello(hello) => self.greeted(from, &hello, effects),
            Message::Refused(code) => {
                self.connections.remove(&from.node);
                if let Some(peer) = self.peers.get_mut(&from.node) {
                    peer.link.disconnected();
                }
                effects.push(Effect::Close { peer: from.node, reason: Refusal::ByPeer(code) });
            }
            Message::Renew(renew) => self.renew(from, &renew, effects),
            Message::Grant(grant) => self.granted(from, &grant, effects),
            _ => self.close(from.node, Refusal::Misplaced, effects),
        }
    }

    /// A peer that says anything but hello has heard ours.
    fn heard(&mut self, node: NodeId, message: &Message) {
        if !matches!(message, Message::Hello(_))
            && let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.link.is_up())
        {
            peer.link.hello_at = None;
        }
    }

    fn greeted(&mut self, from: Life, hello: &Hello, effects: &mut Vec<Effect>) {
        if hello.cluster != self.config.cluster {
            return self.close(from.node, Refusal::OtherCluster, effects);
        }
        let skew = self.wall_ms(from.node).abs_diff(hello.wall_ms);
        if skew > self.config.skew_ms_max {
            return self.close(from.node, Refusal::ClockSkew(skew), effects);
        }
        let Some(peer) = self.peers.get_mut(&from.node) else { return };
        let was_up = peer.link.is_up();
        if !peer.link.greeted(hello.nonce, self.now) {
            return self.close(from.node, Refusal::TwinLife, effects);
        }
        // Whoever has not heard of us is told at once.
        peer.link.hello_at = (!hello.heard).then_some(self.now);
        peer.link.heard = true;
        self.greet(from.node, effects);
        if !was_up {
            self.leases.hurry(from, self.now);
            self.renew_leases(effects);
            self.with_swap(effects, |swap, out| swap.linked(from, out));
        }
    }

    /// Says who is here, where it is time to.
    pub(super) fn greet(&mut self, node: NodeId, effects: &mut Vec<Effect>) {
        let (stamps, wall_ms) = (self.stamps(node), self.wall_ms(node));
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.link.hello_at.is_none_or(|at| at > self.now) {
            return;
        }
        let hello =
            Hello { cluster: self.config.cluster, nonce: self.config.nonce, wall_ms, heard: peer.link.heard };
        peer.link.hello_at = Some(self.now.saturating_add(self.config.link.hello_every));
        let frame = peer.link.unsequenced(&stamps, &[Message::Hello(hello)]);
        effects.push(Effect::Transmit { peer: node, frame });
    }

    /// Sends something that may be lost.
    pub(super) fn say(&mut self, to: Life, message: Message, effects: &mut Vec<Effect>) {
        let stamps = self.stamps(to.node);
        if let Some(peer) = self.peers.get(&to.node).filter(|peer| peer.link.is_up()) {
            let frame = peer.link.unsequenced(&stamps, &[message]);
            self.counters.frames_sent += 1;
            self.counters.bytes_sent += frame.len() as u64;
            effects.push(Effect::Transmit { peer: to.node, frame });
        }
    }

    fn renew(&mut self, from: Life, renew: &Renew, effects: &mut Vec<Effect>) {
        if let Some(peer) = self.peers.get_mut(&from.node) {
            peer.phi.arrived(self.now);
        }
        if let Some(grant) = self.leases.renew(from, renew, self.now) {
            self.say(from, Message::Grant(grant), effects);
        }
    }

    fn granted(&mut self, from: Life, grant: &Grant, effects: &mut Vec<Effect>) {
        let mut changes = Vec::new();
        let granting = self.leases.granted(from, grant, self.now, &mut changes);
        self.put_leases(changes, effects);
        let Granting::Reregister(number) = granting else { return };
        // A home that does not take what it asks for asks again.
        let takes = self.takes(from);
        let Some(peer) = self.peers.get_mut(&from.node).filter(|peer| takes && peer.reregistering < number)
        else {
            return;
        };
        peer.reregistering = number;
        self.with_references(effects, |references, out| {
            references.send_buckets(from, &[], out);
            out.messages.push((from, Message::FullSetEnd(number)));
        });
    }

    /// A message of a member, in its order; or of this node to itself.
    pub(super) fn message(&mut self, from: Life, message: Message, effects: &mut Vec<Effect>) {
        match message {
            Message::Copy(copy) => {
                let exile = &self.exile;
                let mut delivered = Vec::new();
                let mut out = crate::references::Output::default();
                delivered.extend(self.references.admit(from, &copy, |life| exile.is_member(life), &mut out));
                effects.push(Effect::Deliver { from, references: delivered, payload: copy.payload.0 });
                self.counters.copies_received += 1;
                self.put_references(out, effects);
            }
            Message::Dirty(mentions) => self.mentions(&mentions, effects, |references, mention, out| {
                references.mentioned(from, mention, true, out);
            }),
            Message::Clean(mentions) => self.mentions(&mentions, effects, |references, mention, out| {
                references.mentioned(from, mention, false, out);
            }),
            Message::DirtyAck(mentions) => self.mentions(&mentions, effects, |references, mention, out| {
                references.dirty_acknowledged(from, mention, out);
            }),
            Message::CleanAck(mentions) => self.mentions(&mentions, effects, |references, mention, out| {
                references.clean_acknowledged(from, mention, out);
            }),
            Message::Gone(mentions) => self.mentions(&mentions, effects, |references, mention, out| {
                references.gone(from, mention, out);
            }),
            Message::CopyAck(copies) => self.with_references(effects, |references, out| {
                copies.iter().for_each(|&copy| references.copy_acknowledged(from, copy, out));
            }),
            Message::DigestRoot(digest) => self.compare(from, digest.hash, effects),
            Message::BucketHashes(hashes) => {
                let asked =
                    self.peers.get_mut(&from.node).is_some_and(|peer| std::mem::take(&mut peer.asked));
                if asked {
                    self.with_references(effects, |references, out| {
                        references.send_buckets(from, &hashes, out);
                    });
                }
            }
            Message::BucketSet(set) => self.sets(from, &[set], effects),
            Message::FullSetEnd(number) => {
                if number == self.leases.number_for(from) {
                    self.queue(from, Message::FullSetTaken(number));
                }
            }
            Message::FullSetTaken(number) => {
                self.leases.reregistered(from, number, self.now);
                self.renew_leases(effects);
            }
            Message::ExileAck(ack) => {
                self.mentions(&ack.admitted, effects, |references, mention, out| {
                    references.mentioned(from, mention, true, out);
                });
                self.exile.acknowledged(from, MembershipEpoch(ack.epoch));
                self.forget(effects);
            }
            Message::Hello(_) | Message::Refused(_) | Message::Renew(_) | Message::Grant(_) => {
                self.close(from.node, Refusal::Misplaced, effects);
            }
            _ => self.marking_or_swap(from, message, effects),
        }
    }

    fn mentions(
        &mut self,
        mentions: &[Mention],
        effects: &mut Vec<Effect>,
        mut take: impl FnMut(&mut crate::references::References, &Mention, &mut crate::references::Output),
    ) {
        self.with_references(effects, |references, out| {
            mentions.iter().for_each(|mention| take(references, mention, out));
        });
    }

    fn marking_or_swap(&mut self, from: Life, message: Message, effects: &mut Vec<Effect>) {
        let now = self.now;
        let mut marks = MarkOutput::default();
        let mut swaps = SwapOutput::default();
        match message {
            Message::MarkRequest(request) => {
                self.mark.requested(from, request, &self.references, &mut marks);
            }
            Message::StrategyBytes(said) => self.mark.strategy_said(from, said, &mut marks),
            Message::Wave(wave) => self.mark.wave(now, from, &wave, &self.references, &mut marks),
            Message::SubtreeTotals(totals) => self.mark.totals(now, from, &totals, &mut marks),
            Message::CycleDecide(cycle) => self.mark.decide(from, cycle, &mut marks),
            Message::CondemnedStubs(report) => {
                self.mark.reported(from, report, &self.references, &mut marks);
            }
            Message::SubtreeProved(proved) => {
                self.mark.subtree_proved(from, &proved, &self.references, &mut marks);
            }
            Message::CycleVote(cycle) => self.mark.votes_called(from, cycle, &self.references, &mut marks),
            Message::SubtreeAgrees(agrees) => {
                self.mark.subtree_agrees(from, &agrees, &self.references, &mut marks);
            }
            Message::CycleObjection(cycle) => self.mark.objected(from, cycle, &mut marks),
            Message::CycleSweep(cycle) => self.mark.swept(from, cycle, &mut marks),
            Message::CycleAbort(cycle) => self.mark.aborted(from, cycle, &mut marks),
            Message::SwapOffer(offer) => self.swap.offered(now, from, &offer, &mut swaps),
            Message::ModuleWanted(wanted) if self.takes(from) => self.swap.wanted(from, &wanted, &mut swaps),
            Message::ModuleWanted(_) => {}
            Message::ModuleChunk(chunk) => self.swap.chunk(now, from, &chunk, &mut swaps),
            Message::SwapPrepared(answer) => self.swap.member_prepared(from, &answer, &mut swaps),
            Message::SwapPresent(fact) => self.swap.told(now, from, &fact, &mut swaps),
            Message::SwapWithdrawn(fact) => self.swap.withdrawn(from, &fact, &mut swaps),
            // Taken by `message` before.
            Message::Hello(_)
            | Message::Refused(_)
            | Message::Renew(_)
            | Message::Grant(_)
            | Message::Copy(_)
            | Message::Dirty(_)
            | Message::DirtyAck(_)
            | Message::Gone(_)
            | Message::Clean(_)
            | Message::CleanAck(_)
            | Message::CopyAck(_)
            | Message::DigestRoot(_)
            | Message::BucketHashes(_)
            | Message::BucketSet(_)
            | Message::FullSetEnd(_)
            | Message::FullSetTaken(_)
            | Message::ExileAck(_) => {}
        }
        self.put_mark(marks, effects);
        self.put_swap(swaps, effects);
    }
}
