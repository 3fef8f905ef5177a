//! Exile: when what only a dead node held may go.
//!
//! The home may not forget a dead client X as soon as it is out of the membership: X may have sent a reference on before it died, and the dirty of whoever
//! got it may be under way. So every survivor first says what it admitted.
//!
//! 1. The membership moves to m+1 without X. Whoever coordinates it decides that (see [`crate::lease`] for when it may).
//! 2. Each survivor, on hearing of m+1, admits nothing from X any more, and then sends every home an *exile acknowledgement* for m+1. It comes after all dirties for what
//!    it admitted from X on the same ordered link, and carries those that are not yet sent.
//! 3. A home forgets X when *all* members of m+1 have acknowledged m+1 or later. Then nobody can mention anything on X's word any more.
//! 4. If another node dies meanwhile, that is m+2: everybody acknowledges anew, and all who have left since are forgotten together. An acknowledgement
//!    of m+2 says all that one of m+1 said.
//! 5. A life that has left never comes back: the node returns with a higher incarnation.
//!
//! One number for each peer, the membership that it acknowledged, carries all of that, however many exiles overlap.
//!
//! Paper: the admitted records are those of Plyukhin, Agha, Montesi, *CRGC*, PLDI 2025, there for counts, here for sets.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Incarnation, Life, MembershipEpoch, NodeId};
use crate::limits::NODES_MAX;
use crate::rules::{Faults, Rule};

/// Why a membership is not taken.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum MembershipRefused {
    /// It is the present one or an older one.
    #[error("membership {} is not newer than ours: nothing to do", .0.0)]
    Old(MembershipEpoch),
    /// It has a life in it that had left.
    #[error("{0} has left the cluster: it must come back with a higher incarnation")]
    Returned(Life),
    /// It has a node in it twice.
    #[error("{0} is in the membership twice: exile one life of it first")]
    Twice(NodeId),
    /// It has too many nodes.
    #[error("a cluster has at most 1024 nodes: the membership names {0}")]
    TooMany(usize),
}

/// Who is a member, who has left, and whom it is safe to forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exile {
    epoch: MembershipEpoch,
    members: BTreeSet<Life>,
    /// The highest incarnation of each node that has left.
    left: BTreeMap<NodeId, Incarnation>,
    /// Who has left and is still listed.
    leaving: BTreeSet<Life>,
    /// The membership that each member has acknowledged.
    acknowledged: BTreeMap<Life, MembershipEpoch>,
    faults: Faults,
}

impl Exile {
    /// No membership yet.
    #[must_use]
    pub fn new(faults: Faults) -> Exile {
        Exile { faults, ..Exile::default() }
    }

    /// A new membership. Answers who has left.
    ///
    /// # Errors
    ///
    /// See [`MembershipRefused`]; nothing has changed then.
    pub fn change(
        &mut self,
        epoch: MembershipEpoch,
        members: BTreeSet<Life>,
    ) -> Result<Vec<Life>, MembershipRefused> {
        if epoch <= self.epoch {
            return Err(MembershipRefused::Old(epoch));
        }
        if members.len() > NODES_MAX {
            return Err(MembershipRefused::TooMany(members.len()));
        }
        if let Some(&life) = members.iter().find(|&&life| self.has_left(life)) {
            return Err(MembershipRefused::Returned(life));
        }
        let twice = members.iter().zip(members.iter().skip(1)).find(|(life, next)| life.node == next.node);
        if let Some((life, _)) = twice {
            return Err(MembershipRefused::Twice(life.node));
        }
        let departed: Vec<Life> = self.members.difference(&members).copied().collect();
        for life in &departed {
            self.left.insert(life.node, life.incarnation);
            self.leaving.insert(*life);
        }
        self.acknowledged.retain(|life, _| members.contains(life));
        self.epoch = epoch;
        self.members = members;
        Ok(departed)
    }

    /// A member is at this membership, and has mentioned all that it admitted before.
    pub fn acknowledged(&mut self, from: Life, epoch: MembershipEpoch) {
        if self.members.contains(&from) {
            let last = self.acknowledged.entry(from).or_default();
            *last = (*last).max(epoch);
        }
    }

    /// Who can be forgotten: answered once.
    pub fn forgettable(&mut self) -> BTreeSet<Life> {
        let enough = |life: &Life| {
            let said = self.acknowledged.get(life).copied().unwrap_or_default();
            said >= self.epoch || (!self.faults.keeps(Rule::ExileRestarts) && said.0 > 0)
        };
        if self.members.iter().all(enough) || !self.faults.keeps(Rule::WaitForExileAcks) {
            std::mem::take(&mut self.leaving)
        } else {
            BTreeSet::new()
        }
    }

    /// The present membership.
    #[must_use]
    pub fn epoch(&self) -> MembershipEpoch {
        self.epoch
    }

    /// Who is in it.
    #[must_use]
    pub fn members(&self) -> &BTreeSet<Life> {
        &self.members
    }

    /// Whether a life is a member.
    #[must_use]
    pub fn is_member(&self, life: Life) -> bool {
        self.members.contains(&life)
    }

    /// Whether a life has left for good.
    #[must_use]
    pub fn has_left(&self, life: Life) -> bool {
        self.left.get(&life.node).is_some_and(|&left| life.incarnation <= left)
    }

    /// The life of a node that is a member.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<Life> {
        let first = Life { node, incarnation: Incarnation(0) };
        self.members.range(first..).next().copied().filter(|life| life.node == node)
    }

    /// Who has left and is still listed, because not every member has acknowledged it.
    #[must_use]
    pub fn leaving(&self) -> &BTreeSet<Life> {
        &self.leaving
    }

    /// Members that have not acknowledged the present membership.
    pub fn missing(&self) -> impl Iterator<Item = Life> + '_ {
        let said = |life: &Life| self.acknowledged.get(life).copied().unwrap_or_default();
        self.members.iter().copied().filter(move |life| said(life) < self.epoch)
    }
}
