//! Who decides who is a member: one place that never fails, as etcd would be. It follows rule 8 of [`gc_protocol::node`].

use std::collections::{BTreeMap, BTreeSet};

use gc_protocol::Life;

/// The coordinator.
#[derive(Debug, Default)]
pub struct Coordinator {
    epoch: u64,
    members: BTreeSet<Life>,
    /// Every membership that there was.
    memberships: BTreeMap<u64, BTreeSet<Life>>,
    /// The last membership that each life is known to have taken.
    taken: BTreeMap<Life, u64>,
    proposals: BTreeMap<Life, BTreeSet<Life>>,
}

impl Coordinator {
    /// The number of the present membership.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who is a member.
    #[must_use]
    pub fn members(&self) -> &BTreeSet<Life> {
        &self.members
    }

    /// Whether a life is one.
    #[must_use]
    pub fn is_member(&self, life: Life) -> bool {
        self.members.contains(&life)
    }

    /// Another membership. Proposals were made in the last one.
    pub fn change(&mut self, members: BTreeSet<Life>) {
        self.epoch += 1;
        self.memberships.insert(self.epoch, members.clone());
        self.members = members;
        self.proposals.clear();
    }

    /// A life takes the place of whatever life of its node there was.
    pub fn admit(&mut self, life: Life) {
        let mut members = self.members.clone();
        members.retain(|member| member.node != life.node);
        members.insert(life);
        self.change(members);
    }

    /// A life has learned of a membership.
    pub fn has_taken(&mut self, life: Life, epoch: u64) {
        let taken = self.taken.entry(life).or_default();
        *taken = epoch.max(*taken);
    }

    /// A member proposes to exile a client, in this membership. Answers whether that decides it.
    pub fn propose(&mut self, by: Life, client: Life, epoch: u64) -> bool {
        if epoch == self.epoch {
            self.proposals.entry(client).or_default().insert(by);
        }
        let Some(by) = self.proposals.get(&client).filter(|_| self.is_member(client)) else { return false };
        // Half of every membership that the client may believe in.
        let taken = self.taken.get(&client).copied().unwrap_or(0);
        let half = |members: &BTreeSet<Life>| by.intersection(members).count() >= members.len().div_ceil(2);
        half(&self.members) && self.memberships.range(taken..).all(|(_, members)| half(members))
    }

    /// The proposal of this member is declined.
    pub fn decline(&mut self, by: Life, client: Life) {
        if let Some(proposers) = self.proposals.get_mut(&client) {
            proposers.remove(&by);
        }
    }

    /// A life is out.
    pub fn exile(&mut self, life: Life) {
        let members = self.members.iter().copied().filter(|&member| member != life).collect();
        self.change(members);
    }
}
