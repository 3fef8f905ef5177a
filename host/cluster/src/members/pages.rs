//! A membership in pieces that fit a datagram, and how they are put together again.
//!
//! 1. All pages of one epoch and founding say the same, whoever sends them: the membership is made durable before its first page is sent.
//! 2. What is kept while pages are missing is one epoch, at most [`PAGES_MAX`] pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::identity::NAME_MAX;
use crate::limits::{PAGE_BYTES_MAX, PAGE_ENTRY_BYTES_MAX, PAGES_MAX};
use crate::membership::{EPOCH_MAX, Member, Membership};

/// A part of a membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Page {
    pub(super) founding: u64,
    pub(super) epoch: u64,
    seat: Option<u32>,
    pub(super) page: u16,
    pages: u16,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    number: u32,
    incarnation: u64,
    nonce: u64,
    since: u64,
    address: SocketAddr,
    name: String,
}

/// Cuts a membership into pages.
pub(super) fn cut(membership: &Membership) -> Vec<Page> {
    let entries = membership.members.iter().map(|(&number, member)| Entry {
        number,
        incarnation: member.incarnation,
        nonce: member.nonce,
        since: member.since,
        address: member.address,
        name: member.name.clone(),
    });
    let entries: Vec<Entry> = entries.collect();
    let chunks: Vec<&[Entry]> = entries.chunks(PAGE_BYTES_MAX / PAGE_ENTRY_BYTES_MAX).collect();
    let page = |(page, entries): (usize, &&[Entry])| Page {
        founding: membership.founding,
        epoch: membership.epoch,
        seat: membership.seat,
        page: page as u16,
        pages: chunks.len() as u16,
        entries: entries.to_vec(),
    };
    chunks.iter().enumerate().map(page).collect()
}

/// Pages of one membership that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    founding: u64,
    epoch: u64,
    pages: Vec<Option<Page>>,
    /// Beats since a page was added.
    idle_beats: u32,
}

const _: () = assert!(PAGE_ENTRY_BYTES_MAX >= 5 + 3 * 10 + 20 + 1 + NAME_MAX);

/// Beats after which pages that came are forgotten, if no others come.
const IDLE_BEATS_MAX: u32 = 10;

/// What a page comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// It was there already, or belongs to something older.
    Known,
    /// Others are missing.
    More,
    /// The membership is whole.
    Whole(Membership),
}

impl Assembly {
    /// Takes a page. `have` is the epoch that this node has.
    pub(super) fn take(&mut self, cluster: &str, have: u64, page: Page) -> Taken {
        let count = usize::from(page.pages);
        let possible = count <= PAGES_MAX && page.page < page.pages && page.epoch <= EPOCH_MAX;
        if !possible || page.epoch <= have || page.epoch < self.epoch {
            return Taken::Known;
        }
        if page.epoch > self.epoch || page.founding != self.founding || count != self.pages.len() {
            let pages = vec![None; count];
            *self = Assembly { founding: page.founding, epoch: page.epoch, pages, idle_beats: 0 };
        }
        let at = usize::from(page.page);
        if self.pages[at].is_some() {
            return Taken::Known;
        }
        self.pages[at] = Some(page);
        self.idle_beats = 0;
        if self.pages.iter().any(Option::is_none) {
            return Taken::More;
        }
        match std::mem::take(self).join(cluster) {
            Some(membership) => Taken::Whole(membership),
            None => Taken::Known,
        }
    }

    /// A beat has passed. What does not become whole is forgotten: there may be no such membership.
    pub(super) fn beat(&mut self) {
        self.idle_beats += 1;
        if self.idle_beats > IDLE_BEATS_MAX {
            *self = Assembly::default();
        }
    }

    /// The first page of this epoch that is missing.
    pub(super) fn missing(&self, epoch: u64) -> u16 {
        if self.epoch != epoch {
            return 0;
        }
        self.pages.iter().position(Option::is_none).unwrap_or(0) as u16
    }

    fn join(self, cluster: &str) -> Option<Membership> {
        let pages: Vec<Page> = self.pages.into_iter().flatten().collect();
        let seat = pages.first()?.seat;
        let mut members = BTreeMap::new();
        for entry in pages.into_iter().flat_map(|page| page.entries) {
            let Entry { number, incarnation, nonce, since, address, name } = entry;
            members.insert(number, Member { name, incarnation, address, nonce, since });
        }
        let membership = Membership::told((cluster, self.founding), seat, self.epoch, members);
        membership.fault().is_none().then_some(membership)
    }
}

#[cfg(test)]
mod tests;
