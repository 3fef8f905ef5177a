//! What the driver knows, in figures: the status of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use gc_heap::Handle;
use gc_protocol::{Life, NodeId, Object};
use gc_remote::handle_of;

use crate::cluster::clock;
use crate::cluster::driver::Driver;
use crate::cluster::handle::{HeldSets, Ledger, hex};
use crate::cluster::record::{ClusterCounters, ClusterStatus, HeldRecord, MemberRecord};

/// Objects of this node that other nodes hold, by why.
#[derive(Default)]
struct Holding {
    /// Who holds each.
    listed: BTreeMap<Object, Vec<Life>>,
    pinned: BTreeSet<Object>,
}

impl Driver {
    fn holding(&self) -> Holding {
        let references = self.parts.member.node().references();
        let mut holding = Holding { pinned: references.pinned_objects().collect(), ..Holding::default() };
        for (object, client) in references.listed() {
            holding.listed.entry(object).or_default().push(client);
        }
        holding
    }

    fn bytes<'o>(&self, objects: impl IntoIterator<Item = &'o Object>) -> u64 {
        let (member, home) = (&self.parts.member, self.parts.member.node().me());
        let handles = objects.into_iter().map(|&object| handle_of(gc_protocol::Reference { home, object }));
        handles.filter_map(|handle| member.heap().bytes_of(handle)).sum()
    }

    fn handles<'o>(&self, objects: impl IntoIterator<Item = &'o Object>) -> Vec<Handle> {
        let home = self.parts.member.node().me();
        objects.into_iter().map(|&object| handle_of(gc_protocol::Reference { home, object })).collect()
    }

    /// Objects that only this node holds.
    pub(crate) fn only(&self, node: u32) -> Vec<Handle> {
        self.handles(&self.parts.member.node().held_only_by(NodeId(node)))
    }

    /// What is held, sorted by which node alone holds it, and by why.
    pub(crate) fn held_sets(&self) -> HeldSets {
        let holding = self.holding();
        let mut members: BTreeMap<(u32, u64), Vec<Handle>> = BTreeMap::new();
        for (object, clients) in &holding.listed {
            if let [client] = clients[..]
                && !holding.pinned.contains(object)
            {
                let life = (client.node.0, client.incarnation.0);
                members.entry(life).or_default().extend(self.handles([object]));
            }
        }
        let reasons = self.by_reason(&holding).into_iter();
        let reasons = reasons.map(|(reason, objects)| (reason.to_owned(), self.handles(objects))).collect();
        HeldSets { members, reasons }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let node = self.parts.member.node();
        let references = node.references();
        let pending = node.peers(clock::now()).any(|peer| peer.pending_bytes > 0);
        Ledger {
            stubs: references.stub_count() as u64,
            scions: references.scion_count() as u64,
            unsettled: pending || references.pin_count() + references.cleaning_count() > 0,
        }
    }

    pub(crate) fn status(&self) -> ClusterStatus {
        let parts = &self.parts;
        let (node, seen) = (parts.member.node(), parts.members.status());
        let references = node.references();
        let holding = self.holding();
        let strategy = node.strategy();
        ClusterStatus {
            cluster: parts.shared.me.cluster.clone(),
            node: parts.shared.me.name.clone(),
            number: parts.shared.me.number,
            incarnation: parts.shared.incarnation,
            address: parts.transport.address().map_or_else(|_| String::new(), |address| address.to_string()),
            decided_by: seen.decided_by.clone(),
            epoch: node.membership().epoch().0,
            fenced: node.is_fenced(),
            trouble: seen.trouble.clone(),
            strategy_generation: strategy.generation,
            strategy_digest: hex(&strategy.digest),
            members: self.members(&seen.members, &holding),
            stubs: references.stub_count() as u64,
            scions: references.scion_count() as u64,
            tombstones: references.tombstone_count() as u64,
            pins: references.pin_count() as u64,
            waiting_for_room: parts.member.waiting_for_room() as u64,
            held: self.held(&holding),
            counters: self.counted(),
            last_cycle: self.overs.last().cloned(),
            refusals: parts
                .transport
                .refusal_counts()
                .into_iter()
                .map(|(reason, times)| (reason.to_owned(), times))
                .collect(),
        }
    }

    fn members(&self, seen: &[gc_cluster::MemberStatus], holding: &Holding) -> Vec<MemberRecord> {
        let node = self.parts.member.node();
        let peers: BTreeMap<Life, _> = node.peers(clock::now()).map(|peer| (peer.life, peer)).collect();
        let member = |seen: &gc_cluster::MemberStatus| {
            let life = seen.life;
            let theirs = || {
                let listed = holding.listed.iter().filter(move |(_, clients)| clients.contains(&life));
                listed
                    .map(|(object, clients)| (object, clients.len() == 1 && !holding.pinned.contains(object)))
            };
            let only = || theirs().filter(|(_, only)| *only).map(|(object, _)| object);
            let mut record = MemberRecord {
                name: seen.name.clone(),
                number: life.node.0,
                incarnation: life.incarnation.0,
                address: seen.address.to_string(),
                me: seen.me,
                up: seen.me || seen.linked,
                phi: seen.phi,
                suspected_s: seen.suspected_for.map(|since| since.as_secs_f64()),
                round_trip_s: seen.round_trip.map(|time| time.as_secs_f64()),
                scions: theirs().count() as u64,
                scion_bytes: self.bytes(theirs().map(|(object, _)| object)),
                only_objects: only().count() as u64,
                only_bytes: self.bytes(only()),
                stubs: node.references().stubs_of(life).count() as u64,
                ..MemberRecord::default()
            };
            if let Some(peer) = peers.get(&life) {
                let word = |good: bool| if good { "good" } else { "lapsed" }.to_owned();
                record.up &= peer.up;
                record.lease = word(peer.trusted);
                record.lease_given = word(!peer.lapsed && !self.silent.contains(&life.node.0));
                record.pending_bytes = peer.pending_bytes as u64;
                record.unfounded = peer.unfounded;
            }
            record
        };
        seen.iter().map(member).collect()
    }

    fn held(&self, holding: &Holding) -> Vec<HeldRecord> {
        let record = |(reason, objects): (&str, Vec<&Object>)| HeldRecord {
            reason: reason.into(),
            objects: objects.len() as u64,
            bytes: self.bytes(objects),
            retained_bytes: None,
        };
        self.by_reason(holding).into_iter().map(record).collect()
    }

    /// What is held, by reason; each object once, for the strongest.
    fn by_reason<'h>(&self, holding: &'h Holding) -> BTreeMap<&'static str, Vec<&'h Object>> {
        let node = self.parts.member.node();
        let silent = |life: Life| self.silent.contains(&life.node.0);
        let away = node.peers(clock::now()).filter(|peer| peer.lapsed || !peer.up || silent(peer.life));
        let away: BTreeSet<Life> = away.map(|peer| peer.life).collect();
        let reason = |(object, clients): (&Object, &Vec<Life>)| match () {
            () if holding.pinned.contains(object) => "pin",
            () if clients.iter().all(|&client| !node.membership().is_member(client)) => "leaving",
            () if clients.iter().all(|client| away.contains(client)) => "absent",
            () => "scion",
        };
        let mut found: BTreeMap<&'static str, Vec<&Object>> =
            ["scion", "pin", "absent", "leaving"].map(|reason| (reason, Vec::new())).into();
        for listed in &holding.listed {
            found.entry(reason(listed)).or_default().push(listed.0);
        }
        let unlisted = holding.pinned.iter().filter(|object| !holding.listed.contains_key(object));
        found.entry("pin").or_default().extend(unlisted);
        found
    }

    fn counted(&self) -> ClusterCounters {
        let counted = self.parts.member.node().counters();
        ClusterCounters {
            frames_sent: counted.frames_sent,
            bytes_sent: counted.bytes_sent,
            frames_received: counted.frames_received,
            bytes_received: counted.bytes_received,
            frames_dropped: counted.frames_dropped,
            messages_sent: counted.messages_sent,
            copies_sent: counted.copies_sent,
            copies_received: counted.copies_received,
            healed: counted.healed,
            refusals: counted.refusals,
            unfounded: counted.unfounded,
            ..self.counters
        }
    }
}
