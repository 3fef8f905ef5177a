//! Leases: one for each pair of lives, not one for each reference.
//!
//! A home cannot wait for a silent client for ever, and must not decide about its references while the client uses them. So the client holds a lease of
//! the home, and *fences itself first*: the time at which it stops is, on any two clocks that drift less than the bound, before the time at which the
//! home may act.
//!
//! ```text
//!  holder   t_send ──────── L·(1−ρ) ───────▶ stops
//!                \                                    ╲  real time
//!  home           t_recv ───────── L·(1+ρ) + guard ────▶ may act
//! ```
//!
//! 1. The holder counts from when it *asked*, the home from when it *was asked*, which is later: no clock is compared with another.
//! 2. The holder takes ρ away, the home adds it: clocks may drift by ρ each.
//! 3. Clocks count suspend. A process that is stopped and goes on finds its lease lapsed before it does anything else, because every step is given the time.
//! 4. A lease has a number. It changes when the home has let everything of the client go; the client then says anew what it holds, all of it, and what is
//!    gone by then is answered so. Until that is done its stubs of that home stay suspect.
//! 5. A home that has asked for an exile does not renew: else the client would be exiled with a good lease.
//!
//! What a home does when a lease lapses is its mode:
//!
//! | mode | at the lapse | sound for |
//! |---|---|---|
//! | [`HomeMode::Hold`] | keeps everything and counts it | everybody |
//! | [`HomeMode::FenceFree`] | proposes an exile, keeps everything until the membership has decided | everybody who is not exiled |
//! | [`HomeMode::LeaseFree`] | lets go at once (Java RMI) | memory; a client that was away too long can find its objects gone |
//!
//! Papers: Gray and Cheriton, *Leases*, SOSP 1989. Java RMI counts from the sending too, and on the wall clock: a clock step expires everything at once.

use std::collections::BTreeMap;

use crate::ids::{Life, Nanos};
use crate::rules::{Faults, Rule};
use crate::wire::{Grant, Renew};

/// What a home does when the lease of a client has lapsed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HomeMode {
    /// Nothing: everything stays until the client comes back or somebody exiles it.
    Hold,
    /// It proposes an exile, and waits for the membership.
    FenceFree,
    /// It lets everything of that client go.
    LeaseFree,
}

/// Times of leases.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseConfig {
    /// How long a lease is good, before drift is taken off.
    pub duration: Nanos,
    /// Bound of the drift of one clock, in millionths.
    pub drift_ppm: u64,
    /// What the home waits beyond that.
    pub guard: Nanos,
    /// How often it is renewed.
    pub renew_every: Nanos,
    /// What happens at a lapse.
    pub mode: HomeMode,
}

impl LeaseConfig {
    fn drift(&self) -> Nanos {
        (u128::from(self.duration) * u128::from(self.drift_ppm) / 1_000_000).min(u128::from(self.duration))
            as Nanos
    }

    fn holder_stops(&self, sent_at: Nanos) -> Nanos {
        sent_at.saturating_add(self.duration - self.drift())
    }

    fn home_acts(&self, received_at: Nanos) -> Nanos {
        received_at.saturating_add(self.duration).saturating_add(self.drift()).saturating_add(self.guard)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Held {
    number: u64,
    valid_until: Nanos,
    suspect: bool,
    renew_at: Nanos,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Granted {
    number: u64,
    expires: Nanos,
    lapsed: bool,
}

/// What became of a lease.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseChange {
    /// Stubs of this home are not to be relied on.
    Suspect(Life),
    /// They are again.
    Trusted(Life),
    /// This client's lease has lapsed.
    Lapsed(Life),
}

/// What a grant asks the holder to do.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Granting {
    /// Nothing but what is in the changes.
    Taken,
    /// The home has let go: say anew what is held, for the lease of this number.
    Reregister(u64),
}

/// The leases of one node, as holder and as home.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leases {
    config: LeaseConfig,
    held: BTreeMap<Life, Held>,
    granted: BTreeMap<Life, Granted>,
    faults: Faults,
}

impl Leases {
    /// No leases.
    #[must_use]
    pub fn new(config: LeaseConfig, faults: Faults) -> Leases {
        Leases { config, held: BTreeMap::new(), granted: BTreeMap::new(), faults }
    }

    /// A life has become a member.
    pub fn joined(&mut self, life: Life, now: Nanos) {
        self.held.entry(life).or_insert(Held { number: 0, valid_until: 0, suspect: true, renew_at: now });
        let expires = self.config.home_acts(now);
        self.granted.entry(life).or_insert(Granted { number: 1, expires, lapsed: false });
    }

    /// A life has left.
    pub fn departed(&mut self, life: Life) {
        self.held.remove(&life);
        self.granted.remove(&life);
    }

    /// It was decided that a client stays although its lease has lapsed: it may renew.
    pub fn pardoned(&mut self, client: Life, now: Nanos) {
        if let Some(granted) = self.granted.get_mut(&client) {
            granted.lapsed = false;
            granted.expires = self.config.home_acts(now);
        }
    }

    /// Homes to ask now.
    pub fn due(&mut self, now: Nanos) -> Vec<(Life, Renew)> {
        let every = self.config.renew_every.max(1);
        let due = self.held.iter_mut().filter(|(_, held)| held.renew_at <= now);
        due.map(|(&home, held)| {
            held.renew_at = now.saturating_add(every);
            (home, Renew { lease: held.number, sent_at: now })
        })
        .collect()
    }

    /// A link to this home is up: it is asked at once.
    pub fn hurry(&mut self, home: Life, now: Nanos) {
        if let Some(held) = self.held.get_mut(&home) {
            held.renew_at = held.renew_at.min(now);
        }
    }

    /// A client asks.
    pub fn renew(&mut self, client: Life, renew: &Renew, now: Nanos) -> Option<Grant> {
        let granted = self.granted.get_mut(&client)?;
        let waits = granted.lapsed
            && self.config.mode == HomeMode::FenceFree
            && self.faults.keeps(Rule::LapsedLeaseIsNotRenewed);
        if waits {
            return None;
        }
        granted.lapsed = false;
        granted.expires = granted.expires.max(self.config.home_acts(now));
        Some(Grant { lease: granted.number, sent_at: renew.sent_at })
    }

    /// The home has granted.
    pub fn granted(
        &mut self,
        home: Life,
        grant: &Grant,
        now: Nanos,
        changes: &mut Vec<LeaseChange>,
    ) -> Granting {
        let Some(held) = self.held.get_mut(&home) else { return Granting::Taken };
        if grant.sent_at > now {
            // The holder's own clock was never there.
            return Granting::Taken;
        }
        if held.number == 0 && grant.lease == 1 {
            held.number = 1;
        }
        if held.number != grant.lease {
            return if grant.lease > held.number {
                Granting::Reregister(grant.lease)
            } else {
                Granting::Taken
            };
        }
        let until = if self.faults.keeps(Rule::HolderFencesFirst) {
            self.config.holder_stops(grant.sent_at)
        } else {
            self.config.home_acts(now)
        };
        held.valid_until = held.valid_until.max(until);
        if held.suspect && held.valid_until > now {
            held.suspect = false;
            changes.push(LeaseChange::Trusted(home));
        }
        Granting::Taken
    }

    /// The home has taken the whole set for the lease of this number.
    pub fn reregistered(&mut self, home: Life, number: u64, now: Nanos) {
        if let Some(held) = self.held.get_mut(&home)
            && number > held.number
        {
            held.number = number;
            held.renew_at = now;
        }
    }

    /// The home side lets everything of a client go: its lease has another number from here on.
    pub fn dropped_all(&mut self, client: Life) {
        if let Some(granted) = self.granted.get_mut(&client) {
            granted.number += 1;
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Nanos, changes: &mut Vec<LeaseChange>) {
        for (&home, held) in &mut self.held {
            if !held.suspect && held.valid_until <= now {
                held.suspect = true;
                changes.push(LeaseChange::Suspect(home));
            }
        }
        for (&client, granted) in &mut self.granted {
            if !granted.lapsed && granted.expires <= now {
                granted.lapsed = true;
                changes.push(LeaseChange::Lapsed(client));
            }
        }
    }

    /// The number of the lease that the home has granted to a client.
    #[must_use]
    pub fn number_for(&self, client: Life) -> u64 {
        self.granted.get(&client).map_or(0, |granted| granted.number)
    }

    /// Whether stubs of this home may be used and passed on.
    #[must_use]
    pub fn trusts(&self, home: Life) -> bool {
        self.held.get(&home).is_some_and(|held| !held.suspect)
    }

    /// Whether the lease of this client has lapsed.
    #[must_use]
    pub fn has_lapsed(&self, client: Life) -> bool {
        self.granted.get(&client).is_some_and(|granted| granted.lapsed)
    }

    /// Homes whose leases are good.
    #[must_use]
    pub fn trusted_count(&self) -> usize {
        self.held.values().filter(|held| !held.suspect).count()
    }

    /// When the next good lease of this node runs out.
    #[must_use]
    pub fn next_end(&self) -> Nanos {
        let good = self.held.values().filter(|held| !held.suspect);
        good.map(|held| held.valid_until).min().unwrap_or(Nanos::MAX)
    }

    /// When something is to be done next.
    #[must_use]
    pub fn next_wake(&self) -> Option<Nanos> {
        let held = self.held.values();
        let stops = held.clone().filter(|held| !held.suspect).map(|held| held.valid_until);
        let expires = self.granted.values().filter(|granted| !granted.lapsed).map(|granted| granted.expires);
        held.map(|held| held.renew_at).chain(stops).chain(expires).min()
    }
}
