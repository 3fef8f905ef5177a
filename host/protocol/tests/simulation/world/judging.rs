//! The oracle: what counts, what can be reached, and that nothing else is left at the end.

use super::*;

impl World {
    /// Whether what this host has matters: its life is a member.
    pub(super) fn counts(&self, host: usize) -> bool {
        self.hosts[host].alive && self.coordinator.is_member(self.hosts[host].life)
    }

    pub(super) fn is_home_there(&self, reference: Reference) -> bool {
        let host = place_of(reference.home.node);
        self.hosts[host].life == reference.home && self.counts(host)
    }

    pub(super) fn exists(&self, reference: Reference) -> bool {
        let host = place_of(reference.home.node);
        self.hosts[host].heap.objects.contains_key(&reference.object)
    }

    /// Everything that somebody who counts can reach.
    pub(super) fn live(&self) -> BTreeSet<Reference> {
        let mut live = BTreeSet::new();
        let hosts = (0..self.hosts.len()).filter(|&host| self.counts(host));
        let mut work: Vec<Reference> = hosts.flat_map(|host| self.hosts[host].heap.roots.clone()).collect();
        while let Some(reference) = work.pop() {
            if self.is_home_there(reference) && live.insert(reference) {
                let home = &self.hosts[place_of(reference.home.node)];
                work.extend(home.heap.objects.get(&reference.object).into_iter().flatten());
            }
        }
        live
    }

    /// All is healed and has been for a while: whatever is left is reachable, and the tables say what the heaps have.
    pub(super) fn check_end(&mut self) {
        self.check_strategies();
        let live = self.live();
        for host in 0..self.hosts.len() {
            let owner = &self.hosts[host];
            if !self.counts(host) {
                return self.fail(format!("host {host} has not come back"));
            }
            let own = owner.heap.objects.keys().map(|&object| owner.heap.own(object));
            let left: Vec<Reference> = own.filter(|reference| !live.contains(reference)).collect();
            let tables = owner.node.references();
            if !left.is_empty() {
                let held: Vec<_> = left.iter().map(|left| owner.node.held_by(left.object)).collect();
                return self.fail(format!("garbage is left on host {host}: {left:?}, held by {held:?}"));
            }
            let open = tables.cleaning_count() + tables.pin_count();
            if tables.stub_count() != owner.heap.stubs.len() || open != 0 {
                let (stubs, pins) = (tables.stub_count(), open);
                let text = format!(
                    "host {host} has {} stubs, its tables {stubs} and {pins} pins and cleanings",
                    owner.heap.stubs.len()
                );
                return self.fail(text);
            }
            let missing = owner.node.membership().leaving().len();
            if missing != 0 || owner.node.is_fenced() {
                return self.fail(format!("host {host} still waits for {missing} exiles, or is fenced"));
            }
        }
    }
}
