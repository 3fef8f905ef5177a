//! Peers that were not let in: counted, remembered, and told to people without filling their log.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use crate::identity::Identity;
use crate::limits::{REFUSAL_AGAIN, REFUSALS_KEPT};
use crate::preface::Refusal;

/// A peer that was not let in.
#[derive(Debug, Clone)]
pub struct Refused {
    /// When.
    pub at: SystemTime,
    /// From where, or whereto.
    pub address: SocketAddr,
    /// Who it said it was, if its certificate was verified.
    pub peer: Option<Identity>,
    /// Why.
    pub why: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Some(peer) => write!(f, "no link with {} at {}: {}", peer.name, self.address, self.why),
            None => write!(f, "no link with {}: {}", self.address, self.why),
        }
    }
}

#[derive(Default)]
pub(super) struct Refusals {
    last: VecDeque<Refused>,
    counts: BTreeMap<&'static str, u64>,
    /// Nobody has been told of these.
    news: Vec<Refused>,
    /// What has been news lately, oldest first.
    told: VecDeque<(Instant, Like)>,
}

/// What makes two refusals alike.
type Like = (SocketAddr, Option<Identity>, &'static str);

impl Refusals {
    pub(super) fn push(&mut self, now: Instant, refused: Refused) {
        *self.counts.entry(refused.why.word()).or_default() += 1;
        if self.last.len() == REFUSALS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(refused.clone());
        if self.is_news(now, &refused) {
            self.news.push(refused);
        }
    }

    /// At most so many are told in a while that the log stays readable, whoever knocks how often.
    fn is_news(&mut self, now: Instant, refused: &Refused) -> bool {
        while self.told.front().is_some_and(|(at, _)| now.duration_since(*at) >= REFUSAL_AGAIN) {
            self.told.pop_front();
        }
        let like = (refused.address, refused.peer.clone(), refused.why.word());
        let is_news = self.told.len() < REFUSALS_KEPT && self.told.iter().all(|(_, told)| *told != like);
        if is_news {
            self.told.push_back((now, like));
        }
        is_news
    }

    pub(super) fn last(&self) -> &VecDeque<Refused> {
        &self.last
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub(super) fn take_news(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(port: u16, why: Refusal) -> Refused {
        Refused { at: SystemTime::now(), address: ([127, 0, 0, 1], port).into(), peer: None, why }
    }

    #[test]
    fn who_knocks_again_and_again_is_told_once_in_a_while() {
        let (mut refusals, begun) = (Refusals::default(), Instant::now());
        for _ in 0..1000 {
            refusals.push(begun, refused(1, Refusal::Busy));
        }
        refusals.push(begun, refused(1, Refusal::NotANode));
        refusals.push(begun, refused(2, Refusal::Busy));
        let words = |news: Vec<Refused>| -> Vec<_> {
            news.iter().map(|refused| (refused.address.port(), refused.why.word())).collect()
        };
        assert_eq!(words(refusals.take_news()), [(1, "busy"), (1, "not_a_node"), (2, "busy")]);
        assert_eq!(refusals.counts(), &BTreeMap::from([("busy", 1001), ("not_a_node", 1)]));
        assert!(refusals.take_news().is_empty());
        refusals.push(begun + REFUSAL_AGAIN, refused(2, Refusal::Busy));
        assert_eq!(words(refusals.take_news()), [(2, "busy")]);
    }

    #[test]
    fn strangers_from_everywhere_do_not_fill_the_log() {
        let (mut refusals, begun) = (Refusals::default(), Instant::now());
        for port in 1..10_000 {
            refusals.push(begun, refused(port, Refusal::NotANode));
        }
        assert_eq!((refusals.take_news().len(), refusals.last().len()), (REFUSALS_KEPT, REFUSALS_KEPT));
        assert_eq!(refusals.last().back().unwrap().address.port(), 9_999);
        refusals.push(begun + REFUSAL_AGAIN, refused(1, Refusal::NotANode));
        assert_eq!(refusals.take_news().len(), 1);
    }
}
