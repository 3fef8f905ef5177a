//! What happens because time has passed.

use crate::ids::{Nanos, NodeId};
use crate::lease::{HomeMode, LeaseChange};
use crate::mark::MarkOutput;
use crate::rules::Rule;
use crate::wire::{DigestRoot, Message};

use super::{Effect, Node};

impl Node {
    pub(super) fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.check_leases(effects);
        self.renew_leases(effects);
        let mut marks = MarkOutput::default();
        self.mark.tick(self.now, &mut marks);
        self.put_mark(marks, effects);
        let now = self.now;
        self.with_swap(effects, |swap, out| swap.tick(now, out));
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.greet(node, effects);
            self.compare_digests(node, effects);
            self.touched.insert(node);
        }
    }

    pub(super) fn check_leases(&mut self, effects: &mut Vec<Effect>) {
        let mut changes = Vec::new();
        self.leases.tick(self.now, &mut changes);
        self.put_leases(changes, effects);
    }

    pub(super) fn renew_leases(&mut self, effects: &mut Vec<Effect>) {
        for (home, renew) in self.leases.due(self.now) {
            self.say(home, Message::Renew(renew), effects);
        }
    }

    pub(super) fn put_leases(&mut self, changes: Vec<LeaseChange>, effects: &mut Vec<Effect>) {
        for change in changes {
            match change {
                LeaseChange::Suspect(home) => effects.push(Effect::Suspect(home)),
                LeaseChange::Trusted(home) => {
                    self.pump = true;
                    effects.push(Effect::Trust(home));
                }
                LeaseChange::Lapsed(client) => {
                    effects.push(Effect::LeaseLapsed(client));
                    self.with_mark(effects, |mark, _, out| mark.lost(client, out));
                    match self.config.lease.mode {
                        HomeMode::Hold => {}
                        HomeMode::FenceFree => {
                            effects.push(Effect::ProposeExile { client, epoch: self.exile.epoch() });
                        }
                        HomeMode::LeaseFree => {
                            self.leases.dropped_all(client);
                            // It says anew what it holds, all of it.
                            self.expect_sets(client, usize::MAX);
                            self.with_references(effects, |references, out| {
                                references.forget_client(client, out);
                            });
                        }
                    }
                }
            }
        }
        self.lease_ends_at = self.leases.next_end();
        self.update_fence(effects);
    }

    /// A node that reaches less than half of the members fences itself. So whoever half of the members have given up has stopped.
    pub(super) fn update_fence(&mut self, effects: &mut Vec<Effect>) {
        let members = self.exile.members().len();
        let fenced = members > 1 && 2 * (self.leases.trusted_count() + 1) <= members;
        if fenced != self.fenced {
            self.fenced = fenced;
            effects.push(if fenced { Effect::Fence } else { Effect::Unfence });
        }
    }

    fn compare_digests(&mut self, node: NodeId, effects: &mut Vec<Effect>) {
        if !self.config.faults.keeps(Rule::DigestsHeal) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.digest_at <= self.now) else { return };
        peer.digest_at = self.now.saturating_add(self.config.digest_every);
        // A link that is full, or down, has enough to say.
        if !peer.link.is_up() || !peer.link.is_flushed() {
            return;
        }
        let home = peer.link.peer;
        peer.asked = true;
        self.with_references(effects, |references, out| {
            references.retry(home, out);
            let hash = references.digest_root(home);
            out.messages.push((home, Message::DigestRoot(DigestRoot { hash })));
        });
    }

    /// When [`super::Event::Ticked`] is wanted, at the latest. Earlier than now says at once.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        let links = self.peers.values().filter_map(|peer| peer.link.next_wake());
        let digests = self.peers.values().map(|peer| peer.digest_at);
        let machines = [self.leases.next_wake(), self.mark.next_wake(), self.swap.next_wake()];
        links.chain(digests).chain(machines.into_iter().flatten()).min()
    }
}
