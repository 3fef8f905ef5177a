//! Connections, memberships, and what goes wrong with processes and ways.

use super::*;

impl World {
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let ready = |host: usize| self.hosts[host].alive && !self.hosts[host].paused;
        let made = (ready(a) && ready(b)).then(|| self.network.connect(a, b)).flatten();
        match made {
            None => {
                let delay = self.random.between(20, 60);
                self.after(delay * MS, Thing::Connect { a, b });
            }
            Some(false) => {}
            Some(true) => {
                self.trace(|| format!("{a} and {b} are connected"));
                let wall_ms = self.schedule.now() / MS;
                self.feed(a, Event::Connected { peer: node_at(b), wall_ms });
                self.feed(b, Event::Connected { peer: node_at(a), wall_ms });
            }
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        if self.network.disconnect(a, b) {
            // What was sent last may arrive before the end of the connection is noticed.
            self.after(0, Thing::Disconnected { host: a, peer: b });
            let notice = self.random.between(0, 25);
            self.after(notice * MS, Thing::Disconnected { host: b, peer: a });
            let delay = self.random.between(30, 60);
            self.after(delay * MS, Thing::Connect { a, b });
        }
    }

    pub(super) fn close(&mut self, host: usize, peer: usize, reason: Refusal) {
        let told = matches!(reason, Refusal::ByPeer(6..=8) | Refusal::NotAMember);
        let life = self.hosts[host].life;
        if told && !self.coordinator.is_member(life) {
            // What a shell does whose node is at odds with another about who is a member: it asks the coordinator.
            self.after(5 * MS, Thing::Restart { host, life });
        }
        if matches!(reason, Refusal::Malformed(_) | Refusal::WrongAddress | Refusal::Misplaced) {
            self.fail(format!("host {host} closes for {reason}"));
        }
        self.disconnect(host, peer);
    }

    pub(super) fn change_membership(&mut self, change: impl FnOnce(&mut Coordinator)) {
        change(&mut self.coordinator);
        let (epoch, members) = (self.coordinator.epoch(), self.coordinator.members().clone());
        self.trace(|| format!("membership {epoch} {members:?}"));
        for host in 0..self.hosts.len() {
            if members.contains(&self.hosts[host].life) {
                let delay = self.random.between(0, self.settings.membership_ms_max * 1000) * 1000;
                self.after(delay, Thing::Membership { host, epoch, members: members.clone() });
            }
        }
    }

    pub(super) fn propose_exile(&mut self, host: usize, client: Life, epoch: u64) {
        let by = self.hosts[host].life;
        self.after(250 * MS, Thing::Decline { host, by, client });
        if !self.settings.exiles || !self.coordinator.propose(by, client, epoch) {
            return;
        }
        self.stats.exiles += 1;
        let place = place_of(client.node);
        let owner = &mut self.hosts[place];
        if owner.alive && !owner.paused && owner.life == client {
            // Whatever it did next, its leases would be looked at first.
            let (now, mut effects) = (owner.clock.shows(self.schedule.now()), Vec::new());
            owner.node.step(now, Event::Disconnected { peer: node_at(place) }, &mut effects);
            if !owner.node.is_fenced() {
                self.fail(format!("{client} is exiled and has not fenced itself"));
            }
        }
        self.change_membership(|coordinator| coordinator.exile(client));
    }

    pub(super) fn restart(&mut self, host: usize) {
        self.stats.restarts += 1;
        let mut life = self.hosts[host].life;
        life.incarnation.0 += 1;
        (0..self.hosts.len()).filter(|&peer| peer != host).for_each(|peer| self.disconnect(host, peer));
        self.hosts[host] = self.host(life);
        self.change_membership(|coordinator| coordinator.admit(life));
    }

    pub(super) fn trouble(&mut self) {
        if !self.active() {
            // Healing: everything that is stopped goes on.
            self.network.heal_all();
            let kept = (self.settings.seed % 2) as usize;
            for host in 0..self.hosts.len() {
                self.resume(host);
                // And most of what was held is let go.
                self.hosts[host].heap.roots.truncate(kept * usize::from(host == 0));
                if !self.hosts[host].alive {
                    self.restart(host);
                }
            }
            return;
        }
        let delay = self.random.between(20, 120);
        self.after(delay * MS, Thing::Trouble);
        let (host, peer) = (self.random.below(self.hosts.len()), self.random.below(self.hosts.len()));
        match self.random.below(10) {
            0..3 if self.settings.cuts && host != peer => {
                let both = self.random.percent(60);
                let length = self.random.between(20, 600) * MS;
                for cut in [(host, peer), (peer, host)].into_iter().take(1 + usize::from(both)) {
                    self.network.cut(cut);
                    self.after(length, Thing::Heal { cut });
                }
            }
            3 if self.settings.cuts => {
                let length = self.random.between(100, 700) * MS;
                for other in (0..self.hosts.len()).filter(|&other| other != host) {
                    for cut in [(host, other), (other, host)] {
                        self.network.cut(cut);
                        self.after(length, Thing::Heal { cut });
                    }
                }
            }
            4..6 if self.settings.cuts && host != peer => self.disconnect(host, peer),
            6..8 if self.settings.pauses && self.hosts[host].alive => {
                self.hosts[host].paused = true;
                let length = self.random.between(20, 600) * MS;
                self.after(length, Thing::Resume { host });
            }
            8..10 if self.settings.crashes && self.hosts[host].alive && self.counts(host) => {
                self.hosts[host].alive = false;
                let life = self.hosts[host].life;
                (0..self.hosts.len())
                    .filter(|&peer| peer != host)
                    .for_each(|peer| self.disconnect(host, peer));
                let stays_away = self.random.between(50, 900) * MS;
                self.after(stays_away, Thing::Restart { host, life });
            }
            // Whole structures become garbage while messages about them are under way.
            _ if self.settings.cycles && self.random.percent(40) => {
                self.hosts.iter_mut().for_each(|host| host.heap.roots.clear());
            }
            _ => {}
        }
    }

    pub(super) fn resume(&mut self, host: usize) {
        if !self.hosts[host].paused {
            return;
        }
        self.hosts[host].paused = false;
        if self.hosts[host].alive {
            self.feed(host, Event::Ticked);
            for thing in std::mem::take(&mut self.hosts[host].waiting) {
                self.after(0, thing);
            }
        }
    }
}
