//! The seat: one node decides, and its disk is the memory of the cluster.
//!
//! Invariant: a membership is on disk before it is answered, told or taken. So a seat that crashes and comes back has what others have, or something newer.

use gc_protocol::Life;

use crate::kept::Kept;
use crate::membership::{Member, Membership};
use crate::refused::ChangeRefused;

/// The membership in the hands of the node that decides about it.
#[derive(Debug)]
pub(crate) struct Seat {
    kept: Kept,
    membership: Membership,
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
        Ok(Seat { kept, membership })
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
        let mut seat = Seat { kept, membership };
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

    fn decide(&mut self, next: Option<Membership>) -> Result<(), ChangeRefused> {
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
