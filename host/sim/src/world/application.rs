//! What mutators do: make objects, store and load, hand references to other nodes, let go, and look up what they remember.

use gc_heap::{HeapError, Local, Pin, Scope};
use gc_protocol::{Reference, StubLoss};
use gc_remote::{Delivery, Lost, Standing, handle_of, reference_of};
use gc_surroundings::{node_at, place_of};

use super::{Thing, World};

/// Slots of an object that has a tree of extension cells, and of one that has not.
const MANY: usize = 11;
const FEW: usize = 4;

/// In the payload of a message: its second reference is to be stored in its first.
const ENTANGLE: u8 = 1;

/// Most roots of a mutator.
const ROOTS_MAX: usize = 10;

impl World {
    pub(super) fn operate_again(&mut self, site: usize) {
        if !self.active() {
            return;
        }
        let delay = self.random.between(200, self.settings.pace_us);
        self.schedule.after(delay * 1000, Thing::Operate { site });
        if self.sites[site].runs() && self.counts(site) {
            self.operate(site);
        }
    }

    pub(super) fn operate(&mut self, site: usize) {
        let choice = self.random.below(100);
        let count = self.sites[site].roots.len();
        let at = self.random.below(count);
        match choice {
            _ if count == 0 => self.allocate(site, None),
            0..20 => self.allocate(site, Some(at)),
            20..32 => self.link(site, at),
            32..38 => self.unlink(site, at),
            38..46 => self.load(site, at),
            46..50 => self.look_up(site),
            50..62 if self.settings.cycles => self.entangle(site, at),
            50..84 => self.hand_over(site, at),
            _ => self.let_go(site, at),
        }
        while self.sites[site].roots.len() > ROOTS_MAX {
            let at = self.random.below(self.sites[site].roots.len());
            self.sites[site].roots.swap_remove(at);
        }
    }

    /// A root goes. Its handle may be looked up before anybody finds that nothing leads to it.
    fn let_go(&mut self, site: usize, at: usize) {
        let (_, reference) = self.sites[site].roots.swap_remove(at);
        self.remember(site, reference);
    }

    /// Does something with the heap of a site, and with the object that it holds there.
    fn with_root<R>(
        &mut self,
        site: usize,
        at: usize,
        work: impl for<'s> FnOnce(&mut Scope<'s>, Local<'s>) -> R,
    ) -> R {
        let owner = &mut self.sites[site];
        let pin = &owner.roots[at].0;
        owner.mutator.scope(|scope| {
            let local = scope.pinned(pin);
            work(scope, local)
        })
    }

    fn root(&self, site: usize, at: usize) -> Reference {
        self.sites[site].roots[at].1
    }

    fn hold(&mut self, site: usize, pin: Pin) -> Reference {
        let reference = reference_of(pin.handle());
        self.sites[site].roots.push((pin, reference));
        reference
    }

    fn allocate(&mut self, site: usize, at: Option<usize>) {
        let slots = if self.random.percent(15) { MANY } else { FEW };
        let filled = self.random.below(slots);
        let owner = &mut self.sites[site];
        let referred = at.map(|at| &owner.roots[at].0);
        let made = owner.mutator.scope(|scope| {
            let mut refs = vec![None; slots];
            refs[filled] = referred.map(|pin| scope.pinned(pin));
            scope.alloc(&refs, b"made").map(|local| (scope.pin(local), scope.slot_count(local)))
        });
        let (pin, slot_count) = match made {
            Ok(made) => made,
            Err(HeapError::Full { .. }) => return,
            Err(error) => return self.fail(format!("site {site} cannot allocate: {error}")),
        };
        let mut values = vec![None; slot_count as usize];
        values[filled] = at.map(|at| self.root(site, at));
        let object = self.hold(site, pin);
        self.stats.allocated += 1;
        self.order.insert(object, self.stats.allocated);
        if let Some(before) = self.oracle.made(object, values)
            && self.live().contains(&before)
        {
            self.fail(format!("{object} was made in the cell of {before}, which can be reached"));
        }
        self.remember(site, object);
    }

    fn remember(&mut self, site: usize, reference: Reference) {
        let handles = &mut self.sites[site].handles;
        if handles.len() >= 30 {
            handles.remove(0);
        }
        handles.push(reference);
    }

    /// Whether a store keeps what was agreed: without cycles, only what was made later refers to what was made earlier.
    fn may_refer(&self, holder: Reference, target: Reference) -> bool {
        self.settings.cycles || self.order.get(&holder) > self.order.get(&target)
    }

    fn store(&mut self, site: usize, holder: usize, slot: usize, value: Option<usize>) {
        let owner = &mut self.sites[site];
        let holder_pin = &owner.roots[holder].0;
        let value_pin = value.map(|value| &owner.roots[value].0);
        let stored = owner.mutator.scope(|scope| {
            let value = value_pin.map(|pin| scope.pinned(pin));
            scope.store(scope.pinned(holder_pin), slot as u32, value)
        });
        let object = self.root(site, holder);
        match stored {
            Ok(()) => {
                let value = value.map(|value| self.root(site, value));
                self.oracle.stored(object, slot, value);
            }
            Err(error) => self.fail(format!("site {site} cannot store into {object}: {error}")),
        }
    }

    fn link(&mut self, site: usize, holder: usize) {
        let value = self.random.below(self.sites[site].roots.len());
        let (object, target) = (self.root(site, holder), self.root(site, value));
        let slots = self.oracle.slots(object).len();
        if object.home == self.sites[site].life && self.may_refer(object, target) {
            let slot = self.random.below(slots);
            self.store(site, holder, slot, Some(value));
        }
    }

    /// Walks from a root to some object, which becomes a root too. Answers its place.
    fn descend(&mut self, site: usize, at: usize) -> usize {
        let mut reached = at;
        while self.random.percent(60) && self.root(site, reached).home == self.sites[site].life {
            let object = self.root(site, reached);
            let slots = self.oracle.slots(object);
            let filled: Vec<usize> = (0..slots.len()).filter(|&slot| slots[slot].is_some()).collect();
            let Some(slot) = self.random.pick(&filled) else { break };
            let wanted = self.oracle.slots(object)[slot];
            let loaded = self.with_root(site, reached, |scope, local| {
                scope.load(local, slot as u32).map(|loaded| loaded.map(|loaded| scope.pin(loaded)))
            });
            match loaded {
                Ok(Some(pin)) => {
                    let found = self.hold(site, pin);
                    if Some(found) != wanted {
                        self.fail(format!(
                            "slot {slot} of {object} leads to {found}, and {wanted:?} was stored"
                        ));
                    }
                    reached = self.sites[site].roots.len() - 1;
                }
                other => {
                    let other = other.map(|_| "nothing");
                    self.fail(format!("slot {slot} of {object} has {other:?}, and {wanted:?} was stored"));
                    break;
                }
            }
        }
        reached
    }

    fn load(&mut self, site: usize, at: usize) {
        self.descend(site, at);
    }

    fn unlink(&mut self, site: usize, at: usize) {
        let before = self.sites[site].roots.len();
        let holder = self.descend(site, at);
        let object = self.root(site, holder);
        let slots = self.oracle.slots(object).len();
        if object.home == self.sites[site].life && slots > 0 {
            let slot = self.random.below(slots);
            self.store(site, holder, slot, None);
        }
        self.sites[site].roots.truncate(before);
    }

    /// Looks up something that was known once. Nothing may hold it any more.
    fn look_up(&mut self, site: usize) {
        let remembered = self.random.pick(&self.sites[site].handles);
        // A mutator that waits for a verdict would wait for this very thread.
        let Some(reference) = remembered.filter(|_| !self.sites[site].awaits) else { return };
        if matches!(self.sites[site].member.standing(reference), Standing::Lost(_)) {
            return;
        }
        let handle = handle_of(reference);
        let found =
            self.sites[site].mutator.scope(|scope| scope.resolve(handle).map(|local| scope.pin(local)));
        let Ok(pin) = found else {
            if self.counts(site) && self.is_home_there(reference) && self.held_at(site, reference) {
                self.fail(format!("site {site} looks {reference} up, holds it, and is told that it is gone"));
            }
            return;
        };
        self.stats.revived += 1;
        let found = self.hold(site, pin);
        if found != reference {
            self.fail(format!("site {site} looks {reference} up and finds {found}"));
        }
    }

    fn held_at(&self, site: usize, reference: Reference) -> bool {
        let me = self.sites[site].life;
        self.oracle.reachable(self.sites[site].held(), |home| home == me).contains(&reference)
            || self.sites[site].held().contains(&reference)
    }

    fn hand_over(&mut self, site: usize, at: usize) {
        let to = self.random.below(self.sites.len());
        let other = self.random.below(self.sites[site].roots.len());
        if to != site {
            self.send(site, to, &[at, other], 0);
        }
    }

    /// Makes an object here and one elsewhere refer to each other.
    fn entangle(&mut self, site: usize, stub: usize) {
        let (me, remote) = (self.sites[site].life, self.root(site, stub));
        let roots = self.sites[site].roots.iter().enumerate();
        let own: Vec<usize> = roots.filter(|(_, (_, root))| root.home == me).map(|(at, _)| at).collect();
        let Some(own) = self.random.pick(&own).filter(|_| remote.home != me) else { return };
        let slot = self.random.below(self.oracle.slots(self.root(site, own)).len());
        self.store(site, own, slot, Some(stub));
        self.send(site, place_of(remote.home.node), &[stub, own], ENTANGLE);
    }

    fn send(&mut self, site: usize, to: usize, roots: &[usize], kind: u8) {
        let owner = &mut self.sites[site];
        let held: Vec<&Pin> = roots.iter().map(|&at| &owner.roots[at].0).collect();
        let pins: Vec<Pin> =
            owner.mutator.scope(|scope| held.iter().map(|pin| scope.pin(scope.pinned(pin))).collect());
        self.drive(site, |member, now| member.send(now, node_at(to), &pins, vec![kind], 0));
    }

    pub(super) fn delivered(&mut self, site: usize, delivery: Delivery) {
        let mut kept = Vec::new();
        for arrival in delivery.references {
            let reference = arrival.reference;
            self.stats.delivered += 1;
            self.digest(&reference.object.cell.to_le_bytes());
            let matters = self.counts(site) && self.is_home_there(reference);
            if matters && let Err(wrong) = self.there(reference) {
                self.fail(format!("{reference} was delivered to site {site}: {wrong}"));
            }
            match arrival.pin {
                Ok(pin) => {
                    let found = self.hold(site, pin);
                    if found != reference {
                        self.fail(format!("{reference} was delivered to site {site}, which has {found}"));
                    }
                    self.remember(site, reference);
                    kept.push(self.sites[site].roots.len() - 1);
                }
                Err(Lost::Gone) if matters => {
                    self.fail(format!(
                        "{reference} was delivered to site {site} as gone, and its home lives"
                    ));
                }
                Err(Lost::Gone | Lost::NoRoom) => {}
            }
        }
        let me = self.sites[site].life;
        let entangle = delivery.payload == [ENTANGLE];
        if let (true, &[own, stub]) = (entangle, kept.as_slice())
            && self.root(site, own).home == me
        {
            let slot = self.random.below(self.oracle.slots(self.root(site, own)).len());
            self.store(site, own, slot, Some(stub));
        } else if let Some(&new) = kept.first() {
            self.put_away(site, new);
        }
        if entangle {
            let before = self.sites[site].roots.len() - kept.len();
            self.sites[site].roots.truncate(before);
        }
    }

    /// Stores something that arrived in an object, more often than not.
    fn put_away(&mut self, site: usize, new: usize) {
        let holder = self.random.below(self.sites[site].roots.len());
        let (object, target) = (self.root(site, holder), self.root(site, new));
        let mine = object.home == self.sites[site].life;
        if mine && self.random.percent(60) && self.may_refer(object, target) {
            let slot = self.random.below(self.oracle.slots(object).len());
            self.store(site, holder, slot, Some(new));
        }
    }

    /// Whether an object is there, at its home.
    fn there(&self, reference: Reference) -> Result<(), String> {
        self.oracle.look(&self.sites[place_of(reference.home.node)].heap, reference)
    }

    pub(super) fn stub_dead(&mut self, site: usize, reference: Reference, why: StubLoss) {
        let used = self.held_at(site, reference);
        if used && why == StubLoss::Gone && self.counts(site) && self.is_home_there(reference) {
            self.fail(format!("site {site} uses {reference} and is told that it is gone"));
        }
    }
}
