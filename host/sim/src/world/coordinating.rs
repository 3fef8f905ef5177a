//! Connections, memberships, and what goes wrong with processes and ways.

use gc_protocol::{Event, Life, Refusal};
use gc_surroundings::{Coordinator, MS, node_at, place_of};

use super::{Thing, World};
use crate::site::Site;

impl World {
    // Connections.

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let ready = self.sites[a].runs() && self.sites[b].runs();
        match ready.then(|| self.network.connect(a, b)).flatten() {
            None => {
                let delay = self.random.between(20, 60);
                self.schedule.after(delay * MS, Thing::Connect { a, b });
            }
            Some(false) => {}
            Some(true) => {
                self.trace(|| format!("{a} and {b} are connected"));
                let now = self.schedule.now();
                for (site, peer) in [(a, b), (b, a)] {
                    let wall_ms = self.sites[site].clock.wall_ms(now);
                    self.feed(site, Event::Connected { peer: node_at(peer), wall_ms });
                }
            }
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        if self.network.disconnect(a, b) {
            // What was sent last may arrive before the end of the connection is noticed.
            self.schedule.after(0, Thing::Disconnected { site: a, peer: b });
            let notice = self.random.between(0, 25);
            self.schedule.after(notice * MS, Thing::Disconnected { site: b, peer: a });
            let delay = self.random.between(30, 60);
            self.schedule.after(delay * MS, Thing::Connect { a, b });
        }
    }

    pub(super) fn close(&mut self, site: usize, peer: usize, reason: Refusal) {
        let told = matches!(reason, Refusal::ByPeer(6..=8) | Refusal::NotAMember);
        let life = self.sites[site].life;
        if told && !self.coordinator.is_member(life) {
            // What a shell does whose node is at odds with another about who is a member: it asks the coordinator.
            self.schedule.after(5 * MS, Thing::Restart { site, life });
        }
        if matches!(reason, Refusal::Malformed(_) | Refusal::WrongAddress | Refusal::Misplaced) {
            self.fail(format!("site {site} closes for {reason}"));
        }
        self.disconnect(site, peer);
    }

    // Memberships.

    pub(super) fn change_membership(&mut self, change: impl FnOnce(&mut Coordinator)) {
        change(&mut self.coordinator);
        let (epoch, members) = (self.coordinator.epoch(), self.coordinator.members().clone());
        self.trace(|| format!("membership {epoch} {members:?}"));
        for site in 0..self.sites.len() {
            if members.contains(&self.sites[site].life) {
                let delay = self.random.between(0, self.settings.membership_ms_max * 1000) * 1000;
                self.schedule.after(delay, Thing::Membership { site, epoch, members: members.clone() });
            }
        }
    }

    pub(super) fn propose_exile(&mut self, site: usize, client: Life, epoch: u64) {
        let by = self.sites[site].life;
        self.schedule.after(250 * MS, Thing::Decline { site, by, client });
        if !self.settings.exiles || !self.coordinator.propose(by, client, epoch) {
            return;
        }
        self.stats.exiles += 1;
        let place = place_of(client.node);
        if self.sites[place].runs() && self.sites[place].life == client {
            // Whatever it did next, its leases would be looked at first.
            self.feed(place, Event::Disconnected { peer: node_at(place) });
            if !self.sites[place].member.node().is_fenced() {
                self.fail(format!("{client} is exiled and has not fenced itself"));
            }
        }
        self.change_membership(|coordinator| coordinator.exile(client));
    }

    pub(super) fn restart(&mut self, site: usize) {
        self.stats.restarts += 1;
        let mut life = self.sites[site].life;
        // Nothing is durable but the number of the life; and if that is lost as well, whoever coordinates has it.
        life.incarnation.0 += if self.random.percent(30) { self.random.between(1, 1 << 40) } else { 1 };
        (0..self.sites.len()).filter(|&peer| peer != site).for_each(|peer| self.disconnect(site, peer));
        self.sites[site] = Site::new(&self.settings, site, life, &mut self.random);
        self.change_membership(|coordinator| coordinator.admit(life));
    }

    // Trouble.

    pub(super) fn trouble(&mut self) {
        if !self.active() {
            return self.heal();
        }
        let delay = self.random.between(20, 120);
        self.schedule.after(delay * MS, Thing::Trouble);
        let (site, peer) = (self.random.below(self.sites.len()), self.random.below(self.sites.len()));
        match self.random.below(11) {
            0..3 if self.settings.cuts && site != peer => {
                let both = self.random.percent(60);
                let length = self.random.between(20, 600) * MS;
                for way in [(site, peer), (peer, site)].into_iter().take(1 + usize::from(both)) {
                    self.cut(way, length);
                }
            }
            3 if self.settings.cuts => {
                let length = self.random.between(100, 700) * MS;
                for other in (0..self.sites.len()).filter(|&other| other != site) {
                    [(site, other), (other, site)].into_iter().for_each(|way| self.cut(way, length));
                }
            }
            4..6 if self.settings.cuts && site != peer => self.disconnect(site, peer),
            6..8 if self.settings.pauses && self.sites[site].alive => {
                // Who is stopped already goes on when it would have.
                if self.sites[site].runs() {
                    self.sites[site].paused_at = self.schedule.now();
                }
                self.sites[site].paused = true;
                let length = self.random.between(20, 600) * MS;
                self.schedule.after(length, Thing::Resume { site });
            }
            8..10 if self.settings.crashes && self.counts(site) => self.crash(site),
            10 if self.settings.clock_jumps => {
                // Beyond a minute the others refuse to talk, until it is set right.
                self.sites[site].clock.wall_ahead_ms = self.random.between(0, 140_000) as i64 - 70_000;
            }
            // Whole structures become garbage while messages about them are under way.
            _ if self.settings.cycles && self.random.percent(40) => {
                self.sites.iter_mut().for_each(|site| site.roots.clear());
            }
            _ => {}
        }
    }

    fn cut(&mut self, way: (usize, usize), length: u64) {
        self.network.cut(way);
        self.schedule.after(length, Thing::Heal { way });
    }

    fn crash(&mut self, site: usize) {
        self.sites[site].alive = false;
        let life = self.sites[site].life;
        (0..self.sites.len()).filter(|&peer| peer != site).for_each(|peer| self.disconnect(site, peer));
        let stays_away = self.random.between(50, 900) * MS;
        self.schedule.after(stays_away, Thing::Restart { site, life });
    }

    /// Everything that is stopped goes on, and most of what was held is let go.
    fn heal(&mut self) {
        self.network.heal_all();
        let kept = (self.settings.seed % 3) as usize;
        for site in 0..self.sites.len() {
            self.sites[site].clock.wall_ahead_ms = 0;
            self.resume(site);
            self.sites[site].roots.truncate(if site == 0 { kept } else { 0 });
            if !self.sites[site].alive {
                self.restart(site);
            }
        }
    }

    pub(super) fn resume(&mut self, site: usize) {
        if !self.sites[site].paused {
            return;
        }
        self.sites[site].paused = false;
        if self.settings.clocks_sleep {
            let slept = self.schedule.now() - self.sites[site].paused_at;
            self.sites[site].clock.stood_still(slept);
        }
        if self.sites[site].alive {
            self.feed(site, Event::Ticked);
            for thing in std::mem::take(&mut self.sites[site].waiting) {
                self.schedule.after(0, thing);
            }
        }
    }
}
