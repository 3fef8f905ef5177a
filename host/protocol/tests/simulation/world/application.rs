//! What mutators do: make objects, link them, hand references over, and let go.

use super::*;

impl World {
    pub(super) fn deliver(&mut self, host: usize, reference: Reference, import: u32) {
        self.stats.delivered += 1;
        if self.counts(host) && self.is_home_there(reference) && !self.exists(reference) {
            self.fail(format!("{reference} was delivered to host {host} and is gone"));
        }
        let known = reference.home == self.hosts[host].life || import > 0;
        if !known && self.counts(host) && self.is_home_there(reference) {
            return self
                .fail(format!("{reference} was delivered to host {host} as dead, and its home lives"));
        }
        let heap = &mut self.hosts[host].heap;
        if reference.home != heap.life && import > 0 {
            heap.stubs.insert(reference, import);
        }
        if known {
            // Into a slot of an object, or kept as a root.
            let life = heap.life;
            let own: Vec<Reference> = heap.roots.iter().copied().filter(|root| root.home == life).collect();
            let holder = self.random.pick(&own).filter(|_| self.random.percent(60));
            let holder = holder.filter(|holder| {
                self.settings.cycles || self.stamps.get(holder) > self.stamps.get(&reference)
            });
            let heap = &mut self.hosts[host].heap;
            match holder.and_then(|holder| heap.objects.get_mut(&holder.object)) {
                Some(slots) => slots.push(reference),
                None => heap.roots.push(reference),
            }
            heap.shade(reference);
            self.resume_marking(host);
        }
    }

    pub(super) fn resume_marking(&mut self, host: usize) {
        if let Some(marking) = self.hosts[host].heap.marking.as_mut().filter(|marking| marking.rested) {
            marking.rested = false;
            let cycle = marking.cycle;
            self.feed(host, Event::MarkingResumed { cycle });
        }
    }

    pub(super) fn stub_dead(&mut self, host: usize, reference: Reference, why: StubLoss) {
        let heap = &mut self.hosts[host].heap;
        let had = heap.stubs.remove(&reference).is_some();
        let roots = heap.roots.clone();
        let used = had && heap.closure(roots).contains(&reference);
        if used && why == StubLoss::Gone && self.counts(host) && self.is_home_there(reference) {
            self.fail(format!("host {host} uses {reference} and is told that it is gone"));
        }
    }

    pub(super) fn operate_again(&mut self, host: usize) {
        if !self.active() {
            return;
        }
        let delay = self.random.between(200, self.settings.pace_us);
        self.after(delay * 1000, Thing::Operate { host });
        if self.hosts[host].alive && !self.hosts[host].paused && self.counts(host) {
            self.operate(host);
        }
    }

    pub(super) fn operate(&mut self, host: usize) {
        let choice = self.random.below(100);
        let roots = self.hosts[host].heap.roots.clone();
        let root = self.random.pick(&roots);
        match (choice, root) {
            (0..20, _) | (_, None) => {
                let references: Vec<Reference> = root.into_iter().collect();
                let new = self.hosts[host].heap.alloc(references);
                let stamp = self.stamps.len() as u64;
                self.stamps.insert(new, stamp);
                self.hosts[host].heap.roots.push(new);
            }
            (20..32, Some(root)) => self.link(host, root),
            (32..37, Some(root)) => {
                if let Some((holder, at)) = self.slot(host, root) {
                    self.hosts[host].heap.unlink(holder, at);
                    self.resume_marking(host);
                }
            }
            (37..45, Some(root)) => {
                // A load: what is in a slot becomes a root.
                if let Some((holder, at)) = self.slot(host, root) {
                    let loaded = self.hosts[host].heap.objects[&holder][at];
                    let mine = loaded.home == self.hosts[host].life;
                    if mine || self.hosts[host].heap.stubs.contains_key(&loaded) {
                        self.hosts[host].heap.roots.push(loaded);
                    }
                }
            }
            (45..60, Some(root)) if self.settings.cycles => self.entangle(host, root),
            (45..82, Some(root)) => {
                let to = self.random.below(self.hosts.len());
                if to != host {
                    let references: Vec<Reference> =
                        std::iter::once(root).chain(self.random.pick(&roots)).collect();
                    let sent =
                        Event::SendRequested { to: node_at(to), references, payload: Vec::new(), token: 0 };
                    self.feed(host, sent);
                }
            }
            (_, Some(_)) => {
                let at = self.random.below(roots.len());
                self.hosts[host].heap.roots.swap_remove(at);
            }
        }
        while self.hosts[host].heap.roots.len() > 10 {
            let at = self.random.below(self.hosts[host].heap.roots.len());
            self.hosts[host].heap.roots.swap_remove(at);
        }
    }

    /// Makes an object here and one elsewhere refer to each other.
    pub(super) fn entangle(&mut self, host: usize, stub: Reference) {
        let life = self.hosts[host].life;
        let own = self.hosts[host].heap.roots.iter().copied().filter(|root| root.home == life);
        let own: Vec<Reference> = own.collect();
        let Some(own) = self.random.pick(&own).filter(|_| stub.home != life) else { return };
        if let Some(references) = self.hosts[host].heap.objects.get_mut(&own.object) {
            references.push(stub);
            let references = vec![stub, own];
            let sent = Event::SendRequested { to: stub.home.node, references, payload: vec![1], token: 0 };
            self.feed(host, sent);
        }
    }

    /// A slot that the mutator can reach from a root.
    pub(super) fn slot(&mut self, host: usize, root: Reference) -> Option<(Object, usize)> {
        let mut at = root;
        loop {
            let heap = &self.hosts[host].heap;
            let references = heap.objects.get(&at.object).filter(|_| at.home == heap.life)?;
            if references.is_empty() {
                return None;
            }
            let slot = self.random.below(references.len());
            let next = references[slot];
            if next.home != heap.life || self.random.percent(50) {
                return Some((at.object, slot));
            }
            at = next;
        }
    }

    pub(super) fn link(&mut self, host: usize, holder: Reference) {
        let roots = self.hosts[host].heap.roots.clone();
        let Some(target) = self.random.pick(&roots) else { return };
        let allowed = self.settings.cycles || self.stamps.get(&holder) > self.stamps.get(&target);
        let heap = &mut self.hosts[host].heap;
        let mine = holder.home == heap.life;
        if let Some(references) = heap.objects.get_mut(&holder.object).filter(|_| allowed && mine) {
            references.push(target);
        }
    }
}
