//! The seat: one node decides, and its disk is the memory of the cluster.
//!
//! 1. A membership is on disk before it is answered, told or taken. So a seat that crashes and comes back has what others have, or something newer. While one is being written,
//!    nothing else is decided.
//! 2. A seat that is shown a later membership of its own than it has was started from an old copy of its folder. It decides nothing: two memberships of one number
//!    would be the end of the cluster.
//! 3. That there is a later one is *shown* by all of its pages, by whoever has them: its members may be nobody that the old copy knows. Who only *says* so stops the seat for
//!    [`CLAIM_STANDS`], once: long enough to show it, and a number that somebody made up stops nothing for good.

use std::collections::BTreeMap;
use std::io;

use gc_protocol::limits::NODES_MAX;
use gc_protocol::{Life, Nanos};

use crate::kept::Kept;
use crate::limits::CLAIM_STANDS;
use crate::membership::{Member, Membership};
use crate::refused::ChangeRefused;

/// The membership in the hands of the node that decides about it.
#[derive(Debug)]
pub(crate) struct Seat {
    membership: Membership,
    /// Decided, and being written down.
    next: Option<Membership>,
    /// A later membership that others have.
    later: Option<u64>,
    /// Who has said that there is one, by number. Kept after its time, because it counts once.
    claims: BTreeMap<u32, Claim>,
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is so.
    Stands,
    /// It will be so once this is written down, and the seat told so: [`Seat::written`].
    Write(Membership),
    /// Another change is being written down: ask again after that.
    Later,
}

/// Somebody's word that there is a later membership.
#[derive(Debug)]
struct Claim {
    by: String,
    later: u64,
    until: Nanos,
}

impl Seat {
    fn new(membership: Membership) -> Seat {
        Seat { membership, next: None, later: None, claims: BTreeMap::new() }
    }

    /// Founds a cluster. Waits for the disk.
    ///
    /// # Errors
    ///
    /// It cannot be written down: there is no cluster then.
    pub(crate) fn found(
        kept: &Kept,
        (cluster, founding): (&str, u64),
        (number, me): (u32, Member),
    ) -> Result<Seat, ChangeRefused> {
        let membership = Membership::found((cluster, founding), true, number, me);
        kept.write(&membership).map_err(|error| not_written(kept, &error))?;
        Ok(Seat::new(membership))
    }

    /// Goes on with a cluster in a later life. Waits for the disk.
    ///
    /// # Errors
    ///
    /// The life is no later one, or cannot be written down.
    pub(crate) fn resume(
        kept: &Kept,
        membership: Membership,
        (number, me): (u32, Member),
    ) -> Result<Seat, ChangeRefused> {
        let Some(next) = membership.admit(number, &me)? else { return Ok(Seat::new(membership)) };
        kept.write(&next).map_err(|error| not_written(kept, &error))?;
        Ok(Seat::new(next))
    }

    /// The present membership.
    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Lets a life in. One that is in already stays.
    ///
    /// # Errors
    ///
    /// Why it is not let in; nothing has changed.
    pub(crate) fn admit(
        &mut self,
        now: Nanos,
        number: u32,
        newcomer: &Member,
    ) -> Result<Decision, ChangeRefused> {
        let next = self.membership.admit(number, newcomer)?;
        self.decide(now, next)
    }

    /// Takes a life out. One that is out already stays so.
    ///
    /// # Errors
    ///
    /// Why it stays; nothing has changed.
    pub(crate) fn exile(&mut self, now: Nanos, life: Life) -> Result<Decision, ChangeRefused> {
        let next = self.membership.exile(life)?;
        self.decide(now, next)
    }

    /// What was to be written is on disk, or could not be written: then the change is dropped.
    ///
    /// # Errors
    ///
    /// Why nothing has changed.
    pub(crate) fn written(&mut self, outcome: Result<(), ChangeRefused>) -> Result<(), ChangeRefused> {
        let next = self.next.take();
        outcome?;
        if let Some(later) = self.later {
            // Shown meanwhile. Nobody has heard of what was written.
            return Err(ChangeRefused::SeatIsBehind { present: self.membership.epoch, later });
        }
        self.membership = next.unwrap_or_else(|| self.membership.clone());
        Ok(())
    }

    /// A node says which membership there is. Answers whether that is a claim which was not heard before.
    pub(crate) fn said(&mut self, now: Nanos, number: u32, name: &str, epoch: u64) -> bool {
        let known = self.claims.get_mut(&number);
        if epoch <= self.membership.epoch {
            // It had it wrong, and knows better.
            known.into_iter().for_each(|claim| claim.until = 0);
            return false;
        }
        if known.is_some() || self.claims.len() >= NODES_MAX {
            return false;
        }
        let until = now.saturating_add(CLAIM_STANDS.as_nanos() as Nanos);
        self.claims.insert(number, Claim { by: name.to_owned(), later: epoch, until });
        true
    }

    /// Somebody shows a membership. If it is a later one of this seat, the seat must have lost it, and decides nothing any more.
    pub(crate) fn shown(&mut self, membership: &Membership) -> Option<ChangeRefused> {
        let present = &self.membership;
        let ours = membership.founding == present.founding && membership.seat == present.seat;
        if !ours || membership.epoch <= present.epoch {
            return None;
        }
        let later = self.later.max(Some(membership.epoch)).unwrap_or_default();
        self.later = Some(later);
        Some(ChangeRefused::SeatIsBehind { present: present.epoch, later })
    }

    /// Why nothing can be decided.
    fn stopped(&self, now: Nanos) -> Option<ChangeRefused> {
        let present = self.membership.epoch;
        if let Some(later) = self.later {
            return Some(ChangeRefused::SeatIsBehind { present, later });
        }
        let claim = self.claims.values().find(|claim| now < claim.until)?;
        Some(ChangeRefused::Doubted { by: claim.by.clone(), present, later: claim.later })
    }

    fn decide(&mut self, now: Nanos, next: Option<Membership>) -> Result<Decision, ChangeRefused> {
        let Some(next) = next else { return Ok(Decision::Stands) };
        if let Some(why) = self.stopped(now) {
            return Err(why);
        }
        if self.next.is_some() {
            return Ok(Decision::Later);
        }
        self.next = Some(next.clone());
        Ok(Decision::Write(next))
    }
}

/// What is said when the disk refuses.
pub(crate) fn not_written(kept: &Kept, error: &io::Error) -> ChangeRefused {
    let what = format!("{}: {error}", kept.path().display());
    ChangeRefused::NotWritten(what.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn member(name: &str) -> Member {
        let address = "127.0.0.1:7000".parse().unwrap();
        Member { name: name.into(), incarnation: 1, address, nonce: 1, since: 0 }
    }

    /// The seat of a cluster of one, with its folder.
    fn founded() -> (tempfile::TempDir, Seat) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { cluster: "shop".into(), name: "n1".into(), number: 1 };
        let (kept, _) = Kept::open(folder.path(), &identity).unwrap();
        let seat = Seat::found(&kept, ("shop", 7), (1, member("n1"))).unwrap();
        (folder, seat)
    }

    /// Lets a node in, and says that it is on disk.
    fn admit(seat: &mut Seat, now: Nanos, number: u32, name: &str) -> Result<(), ChangeRefused> {
        match seat.admit(now, number, &member(name))? {
            Decision::Stands => Ok(()),
            Decision::Write(_) => seat.written(Ok(())),
            Decision::Later => unreachable!("nothing is being written"),
        }
    }

    #[test]
    fn nothing_is_decided_before_it_is_written() {
        let (_folder, mut seat) = founded();
        let Ok(Decision::Write(next)) = seat.admit(0, 2, &member("n2")) else {
            panic!("it is written first")
        };
        assert_eq!((next.epoch, seat.membership().epoch), (2, 1));
        // Neither the same nor another change is decided meanwhile.
        assert_eq!(seat.admit(0, 2, &member("n2")), Ok(Decision::Later));
        assert_eq!(seat.admit(0, 3, &member("n3")), Ok(Decision::Later));
        assert_eq!(seat.written(Ok(())), Ok(()));
        assert_eq!(seat.membership(), &next);
        assert_eq!(seat.admit(0, 2, &member("n2")), Ok(Decision::Stands));
        // What could not be written has not happened, and is decided anew.
        let gone = seat.exile(0, Life::new(2, 1));
        let full = ChangeRefused::NotWritten("full".into());
        assert_eq!(seat.written(Err(full.clone())), Err(full));
        assert_eq!(seat.membership(), &next);
        assert_eq!(seat.exile(0, Life::new(2, 1)), gone);
    }

    #[test]
    fn a_claim_stops_the_seat_once_and_for_a_while() {
        let (_folder, mut seat) = founded();
        let stands = CLAIM_STANDS.as_nanos() as Nanos;
        assert!(seat.said(100, 5, "n5", 9));
        let doubted = ChangeRefused::Doubted { by: "n5".into(), present: 1, later: 9 };
        assert_eq!(admit(&mut seat, 100 + stands - 1, 2, "n2"), Err(doubted));
        // Said again, it does not begin again.
        assert!(!seat.said(100 + stands - 1, 5, "n5", 10));
        assert_eq!(admit(&mut seat, 100 + stands, 2, "n2"), Ok(()));
        // Another one's word is another one's.
        assert!(seat.said(200 + stands, 6, "n6", 9));
        assert!(seat.admit(200 + stands, 3, &member("n3")).is_err());
        assert!(!seat.said(200 + stands, 6, "n6", 2));
        assert_eq!(admit(&mut seat, 200 + stands, 3, "n3"), Ok(()));
    }

    #[test]
    fn a_later_membership_of_its_own_stops_the_seat_for_good() {
        let (_folder, mut seat) = founded();
        let shown = |founding, seat, epoch| {
            Membership::told(("shop", founding), Some(seat), epoch, [(1, member("n1"))].into())
        };
        for other in [shown(8, 1, 5), shown(7, 2, 5), shown(7, 1, 1)] {
            assert_eq!(seat.shown(&other), None, "{other:?}");
        }
        assert_eq!(admit(&mut seat, 0, 2, "n2"), Ok(()));
        assert!(matches!(seat.admit(0, 3, &member("n3")), Ok(Decision::Write(_))));
        let behind = ChangeRefused::SeatIsBehind { present: 2, later: 5 };
        assert_eq!(seat.shown(&shown(7, 1, 5)), Some(behind.clone()));
        assert_eq!(seat.written(Ok(())), Err(behind.clone()), "what is being written is not told");
        assert_eq!(admit(&mut seat, Nanos::MAX, 3, "n3"), Err(behind));
        // Who is in already is answered.
        assert_eq!(admit(&mut seat, Nanos::MAX, 2, "n2"), Ok(()));
    }
}
