//! Local collections, and the part of each heap in cycles over nodes.

use super::*;

impl World {
    pub(super) fn collect_again(&mut self, host: usize) {
        let delay = self.random.between(15, 50);
        self.after(delay * MS, Thing::Collect { host });
        if self.hosts[host].alive && !self.hosts[host].paused {
            let (objects, stubs) = self.hosts[host].heap.garbage();
            self.free(host, &objects, &stubs);
        }
    }

    pub(super) fn free(&mut self, host: usize, objects: &[Object], stubs: &[(Reference, u32)]) {
        let live = if objects.is_empty() { BTreeSet::new() } else { self.live() };
        for &object in objects {
            let reference = self.hosts[host].heap.own(object);
            if live.contains(&reference) && self.counts(host) {
                self.fail(format!("host {host} frees {reference}, which can be reached"));
            }
            self.stats.freed += u64::from(self.hosts[host].heap.free(object));
        }
        for &(reference, import) in stubs {
            if self.hosts[host].heap.stubs.remove(&reference).is_some() {
                let life = self.hosts[host].life;
                let delay = self.random.between(0, 6000) * 1000;
                self.after(delay, Thing::Drop { host, life, reference, import });
            }
        }
    }

    pub(super) fn mark(&mut self, host: usize) {
        if self.hosts[host].paused {
            return self.after(10 * MS, Thing::Mark { host });
        }
        let reached = self.hosts[host].heap.mark(16);
        let Some(marking) = &mut self.hosts[host].heap.marking else { return };
        let (cycle, worked_off) = (marking.cycle, marking.handed);
        let rests = marking.queue.is_empty() && !marking.proved;
        marking.rested = rests;
        self.tell_reached(host, cycle, reached);
        if rests {
            self.feed(host, Event::MarkingRested { cycle, worked_off });
        }
        self.after(MS * 3 / 10, Thing::Mark { host });
    }

    pub(super) fn tell_reached(&mut self, host: usize, cycle: gc_protocol::CycleId, reached: Vec<Reference>) {
        let lazy = self.settings.lazy_marker;
        let references: Vec<Reference> =
            reached.into_iter().filter(|_| !lazy || !self.random.percent(15)).collect();
        if !references.is_empty() {
            self.feed(host, Event::StubsReached { cycle, references });
        }
    }

    pub(super) fn decide_cycle(&mut self, host: usize, events: &mut VecDeque<Event>) {
        let owner = &mut self.hosts[host];
        let reached = owner.heap.mark(usize::MAX);
        let roots = owner.node.cycle_roots();
        let Some(cycle) = owner.heap.marking.as_ref().map(|marking| marking.cycle) else { return };
        if !reached.is_empty() {
            events.push_back(Event::StubsReached { cycle, references: reached });
        }
        match owner.heap.verdict(&roots) {
            Some(condemned) => {
                let me = owner.life;
                let (own, stubs): (BTreeSet<_>, BTreeSet<_>) =
                    condemned.into_iter().partition(|reference| reference.home == me);
                let objects = own.into_iter().map(|reference| reference.object);
                let objects = objects.filter(|object| owner.heap.external.contains(object)).collect();
                events.push_back(Event::Proved { cycle, objects, stubs });
            }
            None => events.push_back(Event::ProofFailed { cycle }),
        }
    }

    pub(super) fn sweep(&mut self, host: usize) {
        let heap = &self.hosts[host].heap;
        let Some(marking) = &heap.marking else { return };
        let (own, stubs): (Vec<Reference>, Vec<Reference>) =
            marking.condemned.iter().partition(|reference| reference.home == heap.life);
        let objects: Vec<Object> = own.into_iter().map(|reference| reference.object).collect();
        let objects: Vec<Object> =
            objects.into_iter().filter(|object| heap.objects.contains_key(object)).collect();
        let stubs: Vec<(Reference, u32)> =
            stubs.into_iter().filter_map(|stub| Some((stub, *heap.stubs.get(&stub)?))).collect();
        self.stats.swept_objects += objects.len() as u64;
        self.free(host, &objects, &stubs);
    }
}
