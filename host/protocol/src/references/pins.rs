//! Copies that are under way: who sends a reference holds it until the receiver has said that it is registered.
//!
//! Written when a reference is sent and when the copy is acknowledged; read wherever it is decided whether something may go.
//!
//! 1. A pin ends when its receiver acknowledges that very copy, or leaves the membership, or when there is no such object. Nothing else ends it.
//! 2. Copies have numbers and pins are a set: an acknowledgement that comes twice ends nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Life, Object, Reference};

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pins {
    last_copy: u64,
    copies: BTreeMap<u64, (Reference, Life)>,
    targets: BTreeSet<(Reference, u64)>,
    /// How many copies to each receiver.
    open: BTreeMap<Life, usize>,
}

impl Pins {
    /// Numbers for `count` copies that follow each other. Answers the first.
    pub(crate) fn number(&mut self, count: usize) -> u64 {
        let first = self.last_copy + 1;
        self.last_copy += count as u64;
        first
    }

    pub(crate) fn add(&mut self, copy: u64, target: Reference, to: Life) {
        self.copies.insert(copy, (target, to));
        self.targets.insert((target, copy));
        *self.open.entry(to).or_default() += 1;
    }

    /// The receiver has acknowledged a copy. Answers what it pinned.
    pub(crate) fn acknowledged(&mut self, copy: u64, by: Life) -> Option<Reference> {
        let &(target, to) = self.copies.get(&copy)?;
        (to == by).then(|| {
            self.remove(copy);
            target
        })
    }

    /// Takes the pins of one target away. Looks at those alone: a peer may mention as many objects that there are not as a frame holds.
    pub(crate) fn end_all_of(&mut self, target: Reference) {
        let copies: Vec<u64> =
            self.targets.range((target, 0)..=(target, u64::MAX)).map(|&(_, copy)| copy).collect();
        copies.into_iter().for_each(|copy| {
            self.remove(copy);
        });
    }

    /// Takes pins away that `gone` says are for nobody. Answers what they pinned. Looks at all.
    pub(crate) fn end(&mut self, gone: impl Fn(Reference, Life) -> bool) -> Vec<Reference> {
        let all = self.copies.iter();
        let ended: Vec<u64> =
            all.filter(|(_, (target, to))| gone(*target, *to)).map(|(&copy, _)| copy).collect();
        ended.into_iter().filter_map(|copy| self.remove(copy)).collect()
    }

    fn remove(&mut self, copy: u64) -> Option<Reference> {
        let (target, to) = self.copies.remove(&copy)?;
        self.targets.remove(&(target, copy));
        if let Some(open) = self.open.get_mut(&to) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&to);
            }
        }
        Some(target)
    }

    pub(crate) fn holds(&self, target: Reference) -> bool {
        self.targets.range((target, 0)..=(target, u64::MAX)).next().is_some()
    }

    /// What is pinned; more than once, if it is under way more than once.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Reference> + '_ {
        self.targets.iter().map(|&(target, _)| target)
    }

    /// Objects of this home that are pinned.
    pub(crate) fn objects_of(&self, home: Life) -> impl Iterator<Item = Object> + '_ {
        self.targets().filter(move |target| target.home == home).map(|target| target.object)
    }

    /// Copies to a receiver that it has not acknowledged.
    pub(crate) fn open(&self, to: Life) -> usize {
        self.open.get(&to).copied().unwrap_or(0)
    }

    pub(crate) fn count(&self) -> usize {
        self.copies.len()
    }
}
