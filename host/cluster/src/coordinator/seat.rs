//! The seat: one node decides, and its disk is the memory of the cluster.
//!
//! 1. A membership is on disk before it is answered, told or taken. So a seat that crashes and comes back has what others have, or something newer.
//! 2. A seat that hears of a later membership of its own than it has was started from an old copy of its folder. It decides nothing: two memberships of one number
//!    would be the end of the cluster.

use gc_protocol::Life;

use crate::kept::Kept;
use crate::membership::{Member, Membership};
use crate::refused::ChangeRefused;

/// The membership in the hands of the node that decides about it.
#[derive(Debug)]
pub(crate) struct Seat {
    kept: Kept,
    membership: Membership,
    /// A later membership that others have.
    later: Option<u64>,
}

impl Seat {
    /// Founds a cluster.
    ///
    /// # Errors
    ///
    /// It cannot be written down: there is no cluster then.
    pub(crate) fn found(
        kept: Kept,
        (cluster, founding): (&str, u64),
        (number, me): (u32, Member),
    ) -> Result<Seat, ChangeRefused> {
        let membership = Membership::found((cluster, founding), true, number, me);
        write(&kept, &membership)?;
        Ok(Seat { kept, membership, later: None })
    }

    /// Goes on with a cluster in a later life.
    ///
    /// # Errors
    ///
    /// The life is no later one, or cannot be written down.
    pub(crate) fn resume(
        kept: Kept,
        membership: Membership,
        (number, me): (u32, Member),
    ) -> Result<Seat, ChangeRefused> {
        let mut seat = Seat { kept, membership, later: None };
        seat.admit(number, &me)?;
        Ok(seat)
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
    pub(crate) fn admit(&mut self, number: u32, newcomer: &Member) -> Result<(), ChangeRefused> {
        let next = self.membership.admit(number, newcomer)?;
        self.decide(next)
    }

    /// Takes a life out. One that is out already stays so.
    ///
    /// # Errors
    ///
    /// Why it stays; nothing has changed.
    pub(crate) fn exile(&mut self, life: Life) -> Result<u64, ChangeRefused> {
        let next = self.membership.exile(life)?;
        self.decide(next)?;
        Ok(self.membership.epoch)
    }

    /// Others have a later membership than the seat: it must have lost it, and decides nothing any more.
    pub(crate) fn is_behind(&mut self, later: u64) -> ChangeRefused {
        self.later = self.later.max(Some(later));
        ChangeRefused::SeatIsBehind { present: self.membership.epoch, later }
    }

    fn decide(&mut self, next: Option<Membership>) -> Result<(), ChangeRefused> {
        if let (Some(_), Some(later)) = (&next, self.later) {
            return Err(self.is_behind(later));
        }
        if let Some(next) = next {
            write(&self.kept, &next)?;
            self.membership = next;
        }
        Ok(())
    }
}

fn write(kept: &Kept, membership: &Membership) -> Result<(), ChangeRefused> {
    kept.write(membership).map_err(|error| {
        let what = format!("{}: {error}", kept.path().display());
        ChangeRefused::NotWritten(what.chars().take(200).collect())
    })
}
