//! Looking whether what ought to be there is there, and at the end, that nothing else is.

use std::collections::BTreeSet;

use gc_heap::Why;
use gc_protocol::{Reference, StubLoss};
use gc_remote::{Standing, handle_of};
use gc_surroundings::place_of;

use super::World;

impl World {
    /// Whether what a site has matters: its life is a member.
    pub(super) fn counts(&self, site: usize) -> bool {
        self.sites[site].alive && self.coordinator.is_member(self.sites[site].life)
    }

    pub(super) fn is_home_there(&self, reference: Reference) -> bool {
        let site = place_of(reference.home.node);
        self.sites[site].life == reference.home && self.counts(site)
    }

    /// Everything that a mutator of a member can reach.
    pub(super) fn live(&self) -> BTreeSet<Reference> {
        let sites = (0..self.sites.len()).filter(|&site| self.counts(site));
        let roots = sites.flat_map(|site| self.sites[site].held());
        self.oracle.reachable(roots, |home| {
            let site = place_of(home.node);
            self.sites[site].life == home && self.counts(site)
        })
    }

    /// After every step, one site by turns: a cheap look.
    pub(super) fn glance(&mut self) {
        if self.stats.events.is_multiple_of(8) {
            let site = (self.stats.events / 8) as usize % self.sites.len();
            self.walk(site);
        }
    }

    /// Everything that can be reached, in all heaps.
    pub(super) fn check_all(&mut self) {
        self.stats.checks += 1;
        let live = self.live();
        for &object in &live {
            let home = &self.sites[place_of(object.home.node)];
            if let Err(wrong) = self.oracle.look(&home.heap, object) {
                return self.fail(wrong);
            }
            let stubs = self.oracle.slots(object).iter().flatten();
            for &stub in stubs.filter(|stub| stub.home != object.home && live.contains(stub)) {
                if let Err(wrong) = self.stands(place_of(object.home.node), stub) {
                    return self.fail(format!("{wrong}, and {object} refers to it"));
                }
            }
        }
        (0..self.sites.len()).for_each(|site| self.walk(site));
    }

    /// What a mutator finds when it walks from what it holds.
    fn walk(&mut self, site: usize) {
        if !self.counts(site) {
            return;
        }
        let owner = &mut self.sites[site];
        let (roots, oracle, me) = (&owner.roots, &self.oracle, owner.life);
        let walked = owner.mutator.scope(|scope| {
            let held: Vec<_> = roots.iter().map(|(pin, reference)| (scope.pinned(pin), *reference)).collect();
            oracle.walk(me, scope, held)
        });
        let mut stubs = self.sites[site].held().into_iter().filter(|root| root.home != me);
        let stand = stubs.try_for_each(|stub| self.stands(site, stub));
        if let Err(wrong) = walked.and(stand) {
            self.fail(format!("site {site}: {wrong}"));
        }
    }

    /// A stub that is reachable is registered, if its home is there.
    fn stands(&self, site: usize, stub: Reference) -> Result<(), String> {
        let standing = self.sites[site].member.standing(stub);
        let lost = matches!(standing, Standing::Lost(StubLoss::Gone)) && self.is_home_there(stub);
        if lost { Err(format!("site {site} can reach {stub} and is not registered for it")) } else { Ok(()) }
    }

    /// All is healed and has been for a while: whatever is left is reachable, and the tables say what the heaps have.
    pub(super) fn check_end(&mut self) {
        self.check_all();
        let live = self.live();
        let wrong = (0..self.sites.len()).find_map(|site| self.untidy(site, &live).err());
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }

    fn untidy(&self, site: usize, live: &BTreeSet<Reference>) -> Result<(), String> {
        let owner = &self.sites[site];
        let me = owner.life;
        if !self.counts(site) {
            return Err(format!("site {site} has not come back"));
        }
        let (node, tables) = (owner.member.node(), owner.member.node().references());
        for object in self.oracle.objects().filter(|object| object.home == me && !live.contains(object)) {
            let why = owner.heap.why(handle_of(object));
            if !matches!(why, Why::Gone(_) | Why::Quarantined(_)) {
                let held_by = node.held_by(object.object);
                return Err(format!("garbage is left: {object}, {why:?}, held by {held_by:?}"));
            }
        }
        let own = live.iter().filter(|object| object.home == me);
        let slots = own.flat_map(|&object| self.oracle.slots(object)).flatten().copied();
        let stubs: BTreeSet<Reference> = slots.chain(owner.held()).filter(|it| it.home != me).collect();
        let there = stubs.iter().filter(|&&stub| self.is_home_there(stub)).count();
        let (stubs, pins) = (tables.stub_count(), tables.cleaning_count() + tables.pin_count());
        if stubs != there || pins != 0 {
            return Err(format!(
                "site {site} can reach {there} stubs; its tables have {stubs}, and {pins} pins and cleanings"
            ));
        }
        let leaving = node.membership().leaving().len();
        if leaving != 0 || node.is_fenced() {
            return Err(format!("site {site} still waits for {leaving} exiles, or is fenced"));
        }
        Ok(())
    }
}
