//! What a cluster agrees on: a numbered list of lives. Pure: each change answers the next membership, or why there is none.
//!
//! ```text
//! found ─▶ 1 ─ admit n2.1 ─▶ 2 ─ admit n2.2 (n2.1 has left) ─▶ 3 ─ exile n2.2 ─▶ 4
//! ```
//!
//! 1. Each change raises the epoch by one. Whoever decides makes the next membership durable before anybody hears of it.
//! 2. A node is in it in one life at most. A life that has left never comes back ([`Membership::left`]).
//! 3. A node that comes back in a higher life takes the place of its earlier one: admitting the new is exiling the old. That the old one is dead is known from its
//!    state folder: it was locked by the old process, and the number of the new life was written into it. Should somebody have copied the folder, the later life
//!    stays, and the earlier one learns that it is out.
//! 4. The seat, where there is one, is always in it.
//! 5. An exile by proposals needs those who make half of the present membership, and half of every one that the client may believe in: then the client, which
//!    hears from less than half, has fenced itself (driving rule 8 of [`gc_protocol::node`]). Which ones it may believe in is known from what it has taken; what has
//!    not been heard of, or is older than what is kept ([`HISTORY_MAX`]), counts as not enough.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gc_protocol::limits::NODES_MAX;
use gc_protocol::{CycleId, Life, MembershipEpoch};
use serde::{Deserialize, Serialize};

use crate::identity::is_name;
use crate::limits::HISTORY_MAX;
use crate::refused::ChangeRefused;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
    /// Drawn by its process: tells two processes of one life apart.
    pub(crate) nonce: u64,
    /// The membership that admitted it. It cannot believe in an earlier one.
    pub(crate) since: u64,
}

/// The highest number of a membership: marking cycles carry it.
pub(crate) const EPOCH_MAX: u64 = CycleId::EPOCH_MAX;

/// The lives of a past membership.
type Lives = BTreeSet<(u32, u64)>;

/// The last membership that each node is known to have taken, with the life that took it.
pub(crate) type Taken = BTreeMap<u32, (u64, u64)>;

/// A membership, and what must be known to make the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    pub(crate) cluster: String,
    /// Drawn when the cluster was founded: memberships of two foundings are never mixed.
    pub(crate) founding: u64,
    /// The node that decides. None with etcd.
    pub(crate) seat: Option<u32>,
    pub(crate) epoch: u64,
    pub(crate) members: BTreeMap<u32, Member>,
    /// The highest life of each node that has left.
    #[serde(default)]
    pub(crate) left: BTreeMap<u32, u64>,
    /// Earlier memberships that some member may believe in. Kept where proposals decide.
    #[serde(default)]
    history: BTreeMap<u64, Lives>,
    /// Who proposes the exile of which node, in this membership.
    #[serde(default)]
    proposals: BTreeMap<u32, Lives>,
}

/// What a proposal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proposed {
    /// Another membership is there, or the client is gone already: nothing to do.
    Moot,
    /// It was counted, and is not enough.
    Counted(Membership),
    /// The client is out.
    Exiled(Membership),
}

impl Membership {
    /// The first membership of a cluster.
    pub(crate) fn found(
        (cluster, founding): (&str, u64),
        decides_here: bool,
        number: u32,
        me: Member,
    ) -> Membership {
        Membership {
            cluster: cluster.to_owned(),
            founding,
            seat: decides_here.then_some(number),
            epoch: 1,
            members: BTreeMap::from([(number, Member { since: 1, ..me })]),
            left: BTreeMap::new(),
            history: BTreeMap::new(),
            proposals: BTreeMap::new(),
        }
    }

    /// A membership as others tell it. It decides nothing: who has left is not in it.
    pub(crate) fn told(
        (cluster, founding): (&str, u64),
        seat: Option<u32>,
        epoch: u64,
        members: BTreeMap<u32, Member>,
    ) -> Membership {
        let (left, history, proposals) = Default::default();
        let cluster = cluster.to_owned();
        Membership { cluster, founding, seat, epoch, members, left, history, proposals }
    }

    /// The life in which a node is a member.
    pub(crate) fn life_of(&self, number: u32) -> Option<Life> {
        self.members.get(&number).map(|member| Life::new(number, member.incarnation))
    }

    /// Whether a life is a member.
    pub(crate) fn has(&self, life: Life) -> bool {
        self.life_of(life.node.0) == Some(life)
    }

    /// The member of this name.
    pub(crate) fn named(&self, name: &str) -> Option<Life> {
        let (&number, member) = self.members.iter().find(|(_, member)| member.name == name)?;
        Some(Life::new(number, member.incarnation))
    }

    /// The name of a node, for people.
    pub(crate) fn name_of(&self, number: u32) -> String {
        self.members.get(&number).map_or_else(|| format!("n{number}"), |member| member.name.clone())
    }

    /// What the protocol is fed.
    pub(crate) fn lives(&self) -> BTreeMap<Life, SocketAddr> {
        self.members.iter().map(|(&n, member)| (Life::new(n, member.incarnation), member.address)).collect()
    }

    /// Its number.
    pub(crate) fn epoch(&self) -> MembershipEpoch {
        MembershipEpoch(self.epoch)
    }

    /// The membership with a newcomer, or none if it is in already.
    ///
    /// # Errors
    ///
    /// Why it is not let in.
    pub(crate) fn admit(&self, number: u32, newcomer: &Member) -> Result<Option<Membership>, ChangeRefused> {
        let name = &newcomer.name;
        let theirs = newcomer.incarnation;
        let namesake = |(n, member): &(&u32, &Member)| (**n == number) != (member.name == *name);
        if let Some((_, other)) = self.members.iter().find(namesake) {
            return Err(ChangeRefused::SameName { name: name.clone(), other: other.name.clone() });
        }
        if let Some(member) = self.members.get(&number) {
            let present = member.incarnation;
            if theirs < present {
                return Err(ChangeRefused::OlderLife { name: name.clone(), present, theirs });
            }
            if theirs == present {
                let same = member.nonce == newcomer.nonce;
                return if same { Ok(None) } else { Err(ChangeRefused::Twin(name.clone())) };
            }
        } else if self.members.len() >= NODES_MAX {
            return Err(ChangeRefused::Full);
        }
        if let Some(&left) = self.left.get(&number).filter(|&&left| theirs <= left) {
            return Err(ChangeRefused::LifeOver { name: name.clone(), left, theirs });
        }
        let mut members = self.members.clone();
        members.insert(number, Member { since: self.epoch + 1, ..newcomer.clone() });
        Ok(Some(self.next(members)))
    }

    /// The membership without a life, or none if it is out already.
    ///
    /// # Errors
    ///
    /// It was never in, or it is the seat.
    pub(crate) fn exile(&self, life: Life) -> Result<Option<Membership>, ChangeRefused> {
        let number = life.node.0;
        if self.seat == Some(number) {
            return Err(ChangeRefused::IsTheSeat(self.name_of(number)));
        }
        if self.left.get(&number).is_some_and(|&left| life.incarnation.0 <= left) {
            return Ok(None);
        }
        if !self.has(life) {
            return Err(ChangeRefused::NoSuchMember(life.to_string()));
        }
        let mut members = self.members.clone();
        members.remove(&number);
        Ok(Some(self.next(members)))
    }

    fn next(&self, members: BTreeMap<u32, Member>) -> Membership {
        let mut left = self.left.clone();
        for (&number, member) in &self.members {
            if members.get(&number).is_none_or(|present| present.incarnation != member.incarnation) {
                left.insert(number, member.incarnation);
            }
        }
        let mut history = self.history.clone();
        if self.seat.is_none() {
            history.insert(self.epoch, self.present());
            while history.len() > HISTORY_MAX {
                history.pop_first();
            }
        }
        Membership {
            cluster: self.cluster.clone(),
            founding: self.founding,
            seat: self.seat,
            epoch: self.epoch + 1,
            members,
            left,
            history,
            proposals: BTreeMap::new(),
        }
    }

    fn present(&self) -> Lives {
        self.members.iter().map(|(&number, member)| (number, member.incarnation)).collect()
    }

    /// What is wrong with a membership that was read from somewhere.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let names: BTreeSet<&str> = self.members.values().map(|member| member.name.as_str()).collect();
        let members = || self.members.iter();
        if !is_name(&self.cluster) {
            Some("it names no cluster")
        } else if self.epoch == 0 || self.epoch > EPOCH_MAX {
            Some("its number cannot be")
        } else if self.members.len() > NODES_MAX {
            Some("it has too many members")
        } else if names.len() != self.members.len() || names.iter().any(|name| !is_name(name)) {
            Some("names in it are missing, wrong or twice there")
        } else if members().any(|(&number, member)| number == 0 || member.incarnation == 0) {
            Some("a member has no number or no life")
        } else if members().any(|(number, member)| self.left.get(number) >= Some(&member.incarnation)) {
            Some("a member has left already")
        } else if self.seat.is_some_and(|seat| !self.members.contains_key(&seat)) {
            Some("its seat is no member")
        } else {
            None
        }
    }
}

#[cfg_attr(
    not(any(feature = "etcd", test)),
    expect(dead_code, reason = "without etcd nobody counts proposals")
)]
impl Membership {
    /// A member says that a client must be exiled. `epoch` is the membership that it says so in.
    pub(crate) fn propose(&self, client: Life, epoch: u64, by: Life, taken: &Taken) -> Proposed {
        if epoch != self.epoch || !self.has(client) || !self.has(by) || client == by {
            return Proposed::Moot;
        }
        let mut counted = self.clone();
        counted.proposals.entry(client.node.0).or_default().insert((by.node.0, by.incarnation.0));
        counted.forget(taken);
        if !counted.enough(client, taken) {
            return Proposed::Counted(counted);
        }
        match counted.exile(client) {
            Ok(Some(next)) => Proposed::Exiled(next),
            Ok(None) | Err(_) => Proposed::Moot,
        }
    }

    /// The membership without a proposal, or none if it was not there.
    pub(crate) fn withdraw(&self, client: Life, by: Life) -> Option<Membership> {
        let mut without = self.clone();
        let proposers = without.proposals.get_mut(&client.node.0)?;
        let was_there = proposers.remove(&(by.node.0, by.incarnation.0));
        if proposers.is_empty() {
            without.proposals.remove(&client.node.0);
        }
        was_there.then_some(without)
    }

    fn enough(&self, client: Life, taken: &Taken) -> bool {
        let Some(proposers) = self.proposals.get(&client.node.0) else { return false };
        let half = |lives: &Lives| 2 * lives.intersection(proposers).count() >= lives.len();
        let since = self.believes(client.node.0, taken);
        let known = (since..self.epoch).all(|epoch| self.history.get(&epoch).is_some_and(half));
        known && half(&self.present())
    }

    /// The oldest membership that a member may believe in.
    fn believes(&self, number: u32, taken: &Taken) -> u64 {
        let Some(member) = self.members.get(&number) else { return self.epoch };
        let told = taken.get(&number).filter(|(life, _)| *life == member.incarnation);
        told.map_or(member.since, |&(_, epoch)| epoch.max(member.since))
    }

    /// Forgets memberships that nobody believes in any more.
    fn forget(&mut self, taken: &Taken) {
        let oldest = self.members.keys().map(|&number| self.believes(number, taken)).min();
        self.history = self.history.split_off(&oldest.unwrap_or(self.epoch));
    }
}

#[cfg(test)]
mod tests;
