//! Managers: whom they know, and what they do at a ping.

use std::collections::BTreeSet;

use gc_heap::{Local, Scope};
use rand::RngExt;

use crate::error::WorkloadError;

use super::post::Letter;
use super::spec::{AT_ONCE, KNOWN_MAX};
use super::word::Word;
use super::worker::Shop;

/// The root that keeps whom the manager knows.
pub(super) const BOOK: &str = "random-workers";

/// Slots of the book for workers of this node, and as many for others: what a manager knows at most, and what comes before it looks at how many that are.
const SIDE: u32 = KNOWN_MAX + 2 * AT_ONCE;

/// Whom a manager knows: workers of this node in the first half of an object's slots, others in its second half, both without gaps.
#[derive(Debug, Default)]
pub(super) struct Book {
    locals: u32,
    remotes: u32,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Side {
    Local,
    Remote,
}

impl Book {
    /// Opens an empty book.
    pub(super) fn new(scope: &Scope<'_>) -> Result<Book, WorkloadError> {
        let book = scope.alloc(&[None; 2 * SIDE as usize], &[])?;
        scope.set_root(BOOK, Some(book));
        Ok(Book::default())
    }

    /// Everybody that it knows.
    pub(super) fn known<'s>(
        &self,
        scope: &Scope<'s>,
        shop: &mut Shop,
    ) -> Result<Vec<Local<'s>>, WorkloadError> {
        let mut known = self.side(scope, shop, Side::Local)?;
        known.extend(self.side(scope, shop, Side::Remote)?);
        Ok(known)
    }

    fn side<'s>(
        &self,
        scope: &Scope<'s>,
        shop: &mut Shop,
        side: Side,
    ) -> Result<Vec<Local<'s>>, WorkloadError> {
        let book = book(scope)?;
        let (first, count) = self.place(side);
        (first..first + count)
            .map(|slot| shop.effort.load(scope, book, slot, "a worker that the manager knows"))
            .collect()
    }

    fn place(&self, side: Side) -> (u32, u32) {
        match side {
            Side::Local => (0, self.locals),
            Side::Remote => (SIDE, self.remotes),
        }
    }

    fn count(&mut self, side: Side) -> &mut u32 {
        match side {
            Side::Local => &mut self.locals,
            Side::Remote => &mut self.remotes,
        }
    }

    fn add(
        &mut self,
        scope: &Scope<'_>,
        shop: &mut Shop,
        side: Side,
        worker: Local<'_>,
    ) -> Result<(), WorkloadError> {
        let (first, count) = self.place(side);
        shop.effort.store(scope, book(scope)?, first + count, Some(worker))?;
        *self.count(side) += 1;
        Ok(())
    }

    /// Forgets up to [`AT_ONCE`] of a side, drawn as often.
    fn forget_some(&mut self, scope: &Scope<'_>, shop: &mut Shop, side: Side) -> Result<(), WorkloadError> {
        let (first, count) = self.place(side);
        if count == 0 {
            return Ok(());
        }
        let drawn: BTreeSet<u32> = (0..AT_ONCE).map(|_| shop.random.random_range(0..count)).collect();
        let book = book(scope)?;
        for (gone, &place) in drawn.iter().rev().enumerate() {
            self.leaves(scope, shop, first + place)?;
            // The last one takes the place of who goes.
            let last = first + count - 1 - gone as u32;
            let moved = shop.effort.load(scope, book, last, "a worker that the manager knows")?;
            shop.effort.store(scope, book, first + place, Some(moved))?;
            shop.effort.store(scope, book, last, None)?;
        }
        *self.count(side) -= drawn.len() as u32;
        Ok(())
    }

    fn forget_all(&mut self, scope: &Scope<'_>, shop: &mut Shop) -> Result<(), WorkloadError> {
        let book = book(scope)?;
        for side in [Side::Local, Side::Remote] {
            let (first, count) = self.place(side);
            for slot in first..first + count {
                self.leaves(scope, shop, slot)?;
                shop.effort.store(scope, book, slot, None)?;
            }
            *self.count(side) = 0;
        }
        Ok(())
    }

    /// Writes down, if lives are, that who is in this slot leaves.
    fn leaves(&self, scope: &Scope<'_>, shop: &mut Shop, slot: u32) -> Result<(), WorkloadError> {
        if shop.lives.is_some()
            && let Some(worker) = scope.load(book(scope)?, slot)?
        {
            shop.leaves(scope.handle(worker));
        }
        Ok(())
    }

    /// Another manager has made these known. As in the original that is reason to act, also for one that nobody pings.
    pub(super) fn meet(
        &mut self,
        scope: &mut Scope<'_>,
        shop: &mut Shop,
        workers: &[Local<'_>],
    ) -> Result<(), WorkloadError> {
        if shop.closing {
            return Ok(());
        }
        for &worker in workers {
            // What is handed back to its home is no worker of another node; the original does not look.
            self.add(scope, shop, Side::Remote, worker)?;
        }
        self.act(scope, shop)
    }

    /// What a manager does at a ping.
    pub(super) fn act(&mut self, scope: &mut Scope<'_>, shop: &mut Shop) -> Result<(), WorkloadError> {
        let chances = shop.chances;
        if shop.roll(chances.spawn) {
            for _ in 0..shop.times() {
                let worker = shop.spawn(scope)?;
                self.add(scope, shop, Side::Local, worker)?;
            }
        }
        let locals = self.side(scope, shop, Side::Local)?;
        let remotes = self.side(scope, shop, Side::Remote)?;
        for (chance, workers) in [(chances.local_send, &locals), (chances.remote_send, &remotes)] {
            if shop.roll(chance) && !workers.is_empty() {
                let work = shop.work();
                for _ in 0..shop.times() {
                    let to = shop.select(workers);
                    shop.write(scope, to, &[], Word::Work(work.clone()));
                }
            }
        }
        for (chance, workers) in [(chances.local_acquaint, &locals), (chances.remote_acquaint, &remotes)] {
            if shop.roll(chance) && !locals.is_empty() && !workers.is_empty() {
                let owner = shop.select(&locals);
                let whom = shop.select_some(scope, workers, Some(owner));
                shop.write(scope, owner, &whom, Word::Acquaint);
            }
        }
        if shop.roll(chances.publish) {
            let whom = shop.select_some(scope, &locals, None);
            let home = shop.others[shop.random.random_range(0..shop.others.len())];
            let references = whom.into_iter().map(|worker| scope.pin(worker)).collect();
            shop.out.push(Letter { home, references, word: Word::Publish });
        }
        if shop.roll(chances.forget) {
            self.forget_some(scope, shop, Side::Local)?;
            self.forget_some(scope, shop, Side::Remote)?;
        }
        if shop.roll(chances.forget_all) || self.locals + self.remotes > KNOWN_MAX {
            self.forget_all(scope, shop)?;
        }
        Ok(())
    }
}

fn book<'s>(scope: &Scope<'s>) -> Result<Local<'s>, WorkloadError> {
    scope.root(BOOK).ok_or_else(|| WorkloadError::lost("whom the manager knows"))
}

#[cfg(test)]
mod tests {
    use gc_heap::{Heap, HeapConfig};

    use super::*;
    use crate::random_workers::spec::RandomWorkersSpec;

    #[test]
    fn a_manager_forgets_and_never_knows_too_many() {
        let heap = Heap::new(HeapConfig { node: 1, ..HeapConfig::with_limit(64 << 20) }).unwrap();
        let mut shop = Shop::new(&RandomWorkersSpec::default(), 1, vec![2, 3]);
        let mut mutator = heap.mutator();
        let mut manager = mutator.scope(|scope| Book::new(scope)).unwrap();
        let (mut most, mut emptied) = (0, 0);
        for _ in 0..2000 {
            mutator.scope(|scope| manager.act(scope, &mut shop)).unwrap();
            shop.out.clear();
            let known = mutator.scope(|scope| manager.known(scope, &mut shop).unwrap().len());
            most = most.max(known);
            emptied += usize::from(known == 0);
        }
        assert!((5..=KNOWN_MAX as usize).contains(&most), "{most}");
        assert!(emptied > 100, "{emptied}");
        assert!((500..2000).contains(&shop.spawned.len()), "{}", shop.spawned.len());
    }
}
