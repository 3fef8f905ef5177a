//! When collectors work.

use gc_heap::{CycleEnd, CycleReport};
use gc_protocol::{CycleId, Event, Life};
use gc_surroundings::{MS, place_of};

use super::{Thing, World};
use crate::collecting::{Task, Turn};
use crate::site::cause;

impl World {
    pub(super) fn start_cycle(&mut self) {
        let first = self.coordinator.members().first().map(|life| place_of(life.node));
        if let Some(site) = first.filter(|&site| self.sites[site].runs()) {
            self.feed(site, Event::CycleRequested);
        }
        let delay = self.random.between(60, 160);
        self.schedule.after(delay * MS, Thing::StartCycle);
    }

    pub(super) fn collect_again(&mut self, site: usize) {
        // Often, as long as mutators work: much is to happen while a cycle runs.
        let delay = if self.active() { self.random.between(1, 12) } else { self.random.between(15, 50) };
        self.schedule.after(delay * MS, Thing::Collect { site });
        if self.sites[site].runs() && !self.sites[site].collecting.is_busy() {
            let active = self.active();
            let cause = cause(&mut self.random, active);
            let turn = self.sites[site].collecting.begin(Task::Collect(cause));
            self.took(site, turn);
            self.plan_turn(site);
        }
    }

    fn plan_turn(&mut self, site: usize) {
        let owner = &self.sites[site];
        if owner.collecting.is_busy() || owner.called.is_some() {
            let life = owner.life;
            let idle = owner.rests || owner.awaits;
            let delay_us = if idle { self.random.between(400, 2500) } else { self.random.between(50, 600) };
            self.schedule.after(delay_us * 1000, Thing::Turn { site, life });
        }
    }

    /// The collector is called to a cycle over nodes. If it works its turn comes anyway.
    pub(super) fn called(&mut self, site: usize, cycle: CycleId) {
        self.sites[site].called = Some(cycle);
        if !self.sites[site].collecting.is_busy() {
            self.plan_turn(site);
        }
    }

    /// The collector of a site goes on by one step, or begins what it was called to.
    pub(super) fn turn(&mut self, site: usize, life: Life) {
        let owner = &mut self.sites[site];
        if owner.life != life || !owner.alive {
            return;
        }
        if owner.paused {
            return self.schedule.after(10 * MS, Thing::Turn { site, life });
        }
        let turn = if owner.collecting.is_busy() {
            if self.settings.abandons && self.active() && self.random.below(200) == 0 {
                self.sites[site].collecting.give_up()
            } else {
                self.sites[site].collecting.go_on()
            }
        } else {
            let Some(cycle) = owner.called.take() else { return };
            let Some(seat) = owner.member.desk().sit(cycle, &owner.heap) else { return };
            owner.over_nodes = true;
            owner.collecting.begin(Task::OverNodes(seat))
        };
        self.took(site, turn);
        self.plan_turn(site);
    }

    fn took(&mut self, site: usize, turn: Result<Turn, String>) {
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => return self.fail(format!("site {site}: {error}")),
        };
        self.sites[site].awaits = matches!(turn, Turn::Awaits);
        self.sites[site].rests = matches!(turn, Turn::Rests);
        let works = matches!(turn, Turn::Working);
        if let Turn::Done(report) = turn {
            self.report(site, &report);
        }
        // What it has left on the desk, and what it has freed.
        self.drive(site, |member, now| member.poll(now));
        if works && self.active() && self.counts(site) && self.random.percent(25) {
            self.operate(site);
        }
    }

    fn report(&mut self, site: usize, report: &CycleReport) {
        self.trace(|| {
            let (cause, end) = (report.cause.word(), report.end.word());
            format!("{site}: {cause} cycle {end}, {} cells condemned", report.condemned_cells)
        });
        let counts = [report.condemned_cells, report.freed_cells, report.withheld_cells, report.roots];
        counts.into_iter().for_each(|count| self.digest(&count.to_le_bytes()));
        let over_nodes = std::mem::take(&mut self.sites[site].over_nodes);
        self.stats.collections += u64::from(!over_nodes);
        self.stats.condemned += report.condemned_cells;
        self.stats.withheld += report.withheld_cells;
        if over_nodes {
            self.stats.swept_cells += report.condemned_cells;
        }
        if matches!(report.end, CycleEnd::Faulted(_) | CycleEnd::Refused(_)) {
            self.fail(format!("site {site}: the {} strategy: {:?}", report.strategy.name, report.end));
        }
        if report.condemned_cells + report.freed_cells > 0 {
            self.check_all();
        }
    }
}
