//! The table of stubs: which cell stands for which object of another node, and back.
//!
//! A stub is a cell without references. What it stands for is here, in an entry of 20 bytes whose number the cell keeps in its stamp (a stub is never stored
//! to, so the barrier has no use for that column). The other way leads a table of entry numbers with open addressing. So a stub costs 32 bytes as a cell,
//! 20 here, and between 5 1/3 and 10 2/3 for the way back: at most 62 2/3 together.
//!
//! 1. An entry belongs to one cell from the import that made it until that cell is freed. The freeing is put down in the same step, so it is reported
//!    exactly once for each cell.
//! 2. A handle is found at one cell at most: the newest. Older ones are in quarantine, and leave when they are freed.
//! 3. What a peer chooses (the handles) does not choose where it lies: the hash has a random key.
//!
//! Doubling the way back takes some ten nanoseconds per stub, under the lock that look-ups of stubs need.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use crate::handle::Handle;
use crate::limits::STUBS_CHUNK;

/// A stub whose cell was freed.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct FreedStub {
    /// The object that it stood for.
    pub handle: Handle,
    /// The number that came with its last [import](crate::Scope::import).
    pub import: u32,
}

#[derive(Copy, Clone, Default)]
struct Entry {
    /// The cell; 0 for an entry that is free.
    stub: u32,
    home: u32,
    /// The object's cell at its home; the number of the next free entry where this one is free.
    cell: u32,
    generation: u32,
    import: u32,
}

/// A life of a node that objects belong to.
struct Home {
    node: u32,
    incarnation: u64,
    entries: u32,
}

/// See the top of this file. Numbers of entries begin at 1.
#[derive(Default)]
pub(crate) struct Stubs {
    homes: Vec<Home>,
    home_numbers: BTreeMap<(u32, u64), u32>,
    free_homes: Vec<u32>,
    /// In pieces, so that growing moves nothing.
    entries: Vec<Vec<Entry>>,
    made: u32,
    free: u32,
    count: u32,
    /// Numbers of entries, 0 where there is none. A power of two long, or empty.
    places: Vec<u32>,
    placed: usize,
    key: RandomKey,
    freed: Vec<FreedStub>,
}

struct RandomKey(u64);

impl Default for RandomKey {
    fn default() -> RandomKey {
        RandomKey(RandomState::new().hash_one(0u8))
    }
}

impl Stubs {
    /// How many cells are stubs, those in quarantine included.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The entry of the newest stub for a handle.
    pub(crate) fn find(&self, handle: Handle) -> Option<u32> {
        let home = *self.home_numbers.get(&(handle.node, handle.incarnation))?;
        let place = self.place(home, handle.cell, handle.generation)?;
        Some(self.places[place])
    }

    /// The cell of an entry.
    pub(crate) fn stub(&self, number: u32) -> u32 {
        self.entry(number).stub
    }

    /// What a cell stands for, if this is its entry.
    pub(crate) fn handle(&self, number: u32, stub: u32) -> Option<Handle> {
        let known = number != 0 && number <= self.made;
        known
            .then(|| self.entry(number))
            .filter(|entry| entry.stub == stub)
            .map(|entry| self.handle_of(entry))
    }

    /// The cell at which the handle of an entry is found.
    pub(crate) fn newest(&self, number: u32) -> u32 {
        let Entry { stub, home, cell, generation, .. } = *self.entry(number);
        self.place(home, cell, generation).map_or(stub, |place| self.stub(self.places[place]))
    }

    /// Notes the number of the last import.
    pub(crate) fn imported(&mut self, number: u32, import: u32) {
        self.entry_mut(number).import = import;
    }

    /// Makes a cell the stub for a handle; if there is another, that is not found from here on. Answers the number of the entry.
    pub(crate) fn insert(&mut self, handle: Handle, stub: u32, import: u32) -> u32 {
        let home = self.enter_home(handle.node, handle.incarnation);
        let number = self.take_entry();
        let Handle { cell, generation, .. } = handle;
        *self.entry_mut(number) = Entry { stub, home, cell, generation, import };
        self.count += 1;
        match self.place(home, cell, generation) {
            Some(place) => self.places[place] = number,
            None => self.put(number),
        }
        number
    }

    /// The cell of an entry is freed.
    pub(crate) fn free(&mut self, number: u32) {
        let entry = *self.entry(number);
        self.freed.push(FreedStub { handle: self.handle_of(&entry), import: entry.import });
        if let Some(place) = self.place(entry.home, entry.cell, entry.generation)
            && self.places[place] == number
        {
            self.unplace(place);
        }
        self.leave_home(entry.home);
        *self.entry_mut(number) = Entry { cell: self.free, ..Entry::default() };
        self.free = number;
        self.count -= 1;
    }

    pub(crate) fn take_freed(&mut self) -> Vec<FreedStub> {
        std::mem::take(&mut self.freed)
    }

    /// Handles of stubs, oldest entries first, at most `most`, from the entry after `last`. Answers them and the last entry that was looked at.
    pub(crate) fn handles_after(&self, last: u32, most: usize) -> (Vec<Handle>, u32) {
        let mut found = Vec::new();
        let mut number = last;
        while number < self.made && found.len() < most {
            number += 1;
            let entry = self.entry(number);
            if entry.stub != 0 && self.newest(number) == entry.stub {
                found.push(self.handle_of(entry));
            }
        }
        (found, number)
    }

    fn entry(&self, number: u32) -> &Entry {
        let at = number as usize - 1;
        &self.entries[at / STUBS_CHUNK][at % STUBS_CHUNK]
    }

    fn entry_mut(&mut self, number: u32) -> &mut Entry {
        let at = number as usize - 1;
        &mut self.entries[at / STUBS_CHUNK][at % STUBS_CHUNK]
    }

    fn take_entry(&mut self) -> u32 {
        if self.free != 0 {
            let number = self.free;
            self.free = self.entry(number).cell;
            return number;
        }
        if self.made as usize == self.entries.len() * STUBS_CHUNK {
            self.entries.push(vec![Entry::default(); STUBS_CHUNK]);
        }
        self.made += 1;
        self.made
    }

    fn handle_of(&self, entry: &Entry) -> Handle {
        let Home { node, incarnation, .. } = self.homes[entry.home as usize];
        Handle { node, incarnation, cell: entry.cell, generation: entry.generation }
    }

    fn enter_home(&mut self, node: u32, incarnation: u64) -> u32 {
        let number = match self.home_numbers.get(&(node, incarnation)) {
            Some(&number) => number,
            None => {
                let fresh = Home { node, incarnation, entries: 0 };
                let number = self.free_homes.pop().unwrap_or(self.homes.len() as u32);
                match self.homes.get_mut(number as usize) {
                    Some(home) => *home = fresh,
                    None => self.homes.push(fresh),
                }
                self.home_numbers.insert((node, incarnation), number);
                number
            }
        };
        self.homes[number as usize].entries += 1;
        number
    }

    fn leave_home(&mut self, number: u32) {
        let home = &mut self.homes[number as usize];
        home.entries -= 1;
        if home.entries == 0 {
            self.home_numbers.remove(&(home.node, home.incarnation));
            self.free_homes.push(number);
        }
    }

    // The way back: linear probing, at most three quarters full.

    /// Where a search for this begins.
    fn begin(&self, home: u32, cell: u32, generation: u32) -> usize {
        let mut hash = (u64::from(cell) << 32 | u64::from(generation)) ^ self.key.0;
        for part in [u64::from(home), self.key.0.rotate_left(32)] {
            hash = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        hash as usize & (self.places.len() - 1)
    }

    fn place(&self, home: u32, cell: u32, generation: u32) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut at = self.begin(home, cell, generation);
        loop {
            let number = self.places[at];
            if number == 0 {
                return None;
            }
            let entry = self.entry(number);
            if (entry.home, entry.cell, entry.generation) == (home, cell, generation) {
                return Some(at);
            }
            at = (at + 1) & (self.places.len() - 1);
        }
    }

    /// Where the search for an entry begins.
    fn home_place(&self, number: u32) -> usize {
        let entry = self.entry(number);
        self.begin(entry.home, entry.cell, entry.generation)
    }

    fn put(&mut self, number: u32) {
        if (self.placed + 1) * 4 > self.places.len() * 3 {
            let before = std::mem::take(&mut self.places);
            self.places = vec![0; (before.len() * 2).max(64)];
            before.into_iter().filter(|&number| number != 0).for_each(|number| self.put_in_gap(number));
        }
        self.placed += 1;
        self.put_in_gap(number);
    }

    fn put_in_gap(&mut self, number: u32) {
        let mut at = self.home_place(number);
        while self.places[at] != 0 {
            at = (at + 1) & (self.places.len() - 1);
        }
        self.places[at] = number;
    }

    /// Empties a place, and moves up what was put behind it for want of it.
    fn unplace(&mut self, place: usize) {
        let mask = self.places.len() - 1;
        let (mut gap, mut at) = (place, place);
        loop {
            at = (at + 1) & mask;
            let number = self.places[at];
            if number == 0 {
                break;
            }
            // It may move up if its search passes the gap before it comes here.
            let wanted = self.home_place(number);
            if (at.wrapping_sub(wanted) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.places[gap] = number;
                gap = at;
            }
        }
        self.places[gap] = 0;
        self.placed -= 1;
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn handle(number: u64) -> Handle {
        let cell = (number % 40) as u32;
        Handle {
            node: 1 + (number % 3) as u32,
            incarnation: 1 + number % 5,
            cell,
            generation: number as u32 % 2,
        }
    }

    fn next(random: &mut u64) -> u64 {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *random >> 33
    }

    /// Against a map: stubs come and go, are replaced while they wait for being freed, and every freeing is put down once.
    #[test]
    fn a_handle_is_found_at_its_newest_stub_and_each_freeing_is_put_down_once() {
        let mut stubs = Stubs::default();
        let mut newest: BTreeMap<Handle, u32> = BTreeMap::new();
        let mut all: Vec<(Handle, u32, u32)> = Vec::new();
        let mut random = 7;
        for step in 1..=if cfg!(miri) { 300 } else { 60_000u32 } {
            let handle = handle(next(&mut random));
            if next(&mut random).is_multiple_of(2) {
                let number = stubs.insert(handle, step, step);
                newest.insert(handle, step);
                all.push((handle, number, step));
            } else if !all.is_empty() {
                let (handle, number, stub) = all.swap_remove(next(&mut random) as usize % all.len());
                stubs.free(number);
                assert_eq!(stubs.take_freed(), [FreedStub { handle, import: stub }]);
                if newest.get(&handle) == Some(&stub) {
                    newest.remove(&handle);
                }
            }
            assert_eq!(stubs.find(handle).map(|number| stubs.stub(number)), newest.get(&handle).copied());
            assert_eq!(stubs.count() as usize, all.len());
        }
        assert!(all.len() > 10);
        for (handle, number, stub) in all {
            assert_eq!(stubs.handle(number, stub), Some(handle));
            assert_eq!(stubs.handle(number, stub + 1), None);
            stubs.free(number);
        }
        assert_eq!((stubs.count(), stubs.placed, stubs.home_numbers.len()), (0, 0, 0));
        assert!(stubs.homes.len() <= 15, "homes that nothing leads to are used again");
    }

    #[test]
    fn a_stub_costs_no_more_than_is_said() {
        let mut stubs = Stubs::default();
        for number in 0..100_000u32 {
            stubs.insert(Handle { node: 1, incarnation: 1, cell: number + 1, generation: 0 }, number + 1, 0);
            let table = stubs.places.len() * 4 + stubs.made as usize * size_of::<Entry>();
            assert!(number < 64 || table <= (number as usize + 1) * 31, "{table} bytes for {number}");
        }
        let (first, last) = stubs.handles_after(0, 70_000);
        let (rest, end) = stubs.handles_after(last, 70_000);
        assert_eq!((first.len(), rest.len(), end), (70_000, 30_000, 100_000));
        assert_eq!(rest[0].cell, 70_001);
    }
}
