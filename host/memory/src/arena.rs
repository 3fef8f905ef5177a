//! The arena: one reserved range of addresses, handed out and taken back in whole slabs.
//!
//! Address space is reserved once and stays mapped until the arena goes. Committing a slab is bookkeeping (its pages become resident when they are
//! touched); releasing one gives its pages back to the kernel. So whoever reads a stale address inside the arena reads a zero or somebody
//! else's words, and never faults.
//!
//! Single slabs are taken from the low end, runs of slabs from the high end, so that the two do not cut each other up.
//!
//! **Invariants.** (1) A slab is in `free` or part of exactly one [`Span`]. (2) Slab 0 is never handed out, so that block index 0 means none.
//! (3) A released slab reads as zero.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::classes::{GRANULE_BYTES, SLAB_BYTES_MAX, SLAB_BYTES_MIN};
use crate::os::{HUGE_PAGE_BYTES, machine_bytes};
use crate::set::NumberSet;
use crate::sync::{Mutex, lock};
use crate::{Column, MemoryError, Region};

/// Size of an arena and of its slabs.
#[derive(Clone, Debug, PartialEq)]
pub struct ArenaConfig {
    /// Bytes that can be committed at most; rounded down to whole slabs. Default 1 GiB; at most what the machine has, and at most 255 GiB.
    pub bytes: u64,
    /// Bytes of a slab: a power of two from 64 KiB to 32 MiB. Default: a 512th of the arena, from 64 KiB to 2 MiB.
    pub slab_bytes: Option<u64>,
    /// Whether slabs of 2 MiB or more may ask for huge pages. Default true.
    pub huge_pages: bool,
}

impl Default for ArenaConfig {
    fn default() -> ArenaConfig {
        ArenaConfig { bytes: 1 << 30, slab_bytes: None, huge_pages: true }
    }
}

impl ArenaConfig {
    fn checked_slab_bytes(&self) -> Result<u64, MemoryError> {
        let slab_bytes = self
            .slab_bytes
            .unwrap_or_else(|| (self.bytes / 512).next_power_of_two().clamp(SLAB_BYTES_MIN, HUGE_PAGE_BYTES));
        if !slab_bytes.is_power_of_two() || !(SLAB_BYTES_MIN..=SLAB_BYTES_MAX).contains(&slab_bytes) {
            return Err(MemoryError::Config {
                reason: "slab_bytes is not a power of two from 64 KiB to 32 MiB: correct it",
            });
        }
        if self.bytes < slab_bytes {
            return Err(MemoryError::Config {
                reason: "the arena is smaller than one slab (64 KiB at least): enlarge it",
            });
        }
        // One slab less because of slab 0, and another so that no block has the highest number, which stands for something else in caches.
        let most = (u64::from(u32::MAX) + 1) * GRANULE_BYTES - 2 * SLAB_BYTES_MAX;
        if self.bytes > most {
            return Err(MemoryError::ArenaTooLarge {
                asked: self.bytes,
                most,
                limit: "32-bit block indices can reach",
            });
        }
        let machine = machine_bytes();
        if self.bytes > machine {
            return Err(MemoryError::ArenaTooLarge {
                asked: self.bytes,
                most: machine,
                limit: "this machine or container has",
            });
        }
        Ok(slab_bytes)
    }
}

/// Slabs in a row that were committed together. Not `Clone`: who holds it owns the memory.
#[derive(Debug, PartialEq)]
pub struct Span {
    first: u32,
    slabs: u32,
}

impl Span {
    /// For owners that keep only the numbers of their slabs; invariant 1 is in their hands.
    pub(crate) fn of(first: u32, slabs: u32) -> Span {
        Span { first, slabs }
    }

    /// Number of the first slab.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// How many slabs.
    pub fn slabs(&self) -> u32 {
        self.slabs
    }
}

/// A reserved range of addresses in slabs.
#[derive(Debug)]
pub struct Arena {
    region: Arc<Region>,
    words: Column<AtomicU64>,
    slab_bytes: u64,
    slabs: u32,
    huge_pages: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: NumberSet,
    closed: bool,
}

impl Arena {
    /// Reserves the addresses. Nothing is resident yet.
    pub fn new(config: &ArenaConfig) -> Result<Arc<Arena>, MemoryError> {
        let slab_bytes = config.checked_slab_bytes()?;
        let slabs = (config.bytes / slab_bytes) as u32;
        let bytes = (u64::from(slabs) + 1) * slab_bytes;
        let region = Region::private_small_pages(bytes)?;
        let words = region.column(0, (bytes / 8) as usize)?;
        let mut free = NumberSet::default();
        (1..=slabs).for_each(|slab| free.insert(slab));
        let huge_pages = config.huge_pages && slab_bytes >= HUGE_PAGE_BYTES;
        let state = Mutex::new(State { free, closed: false });
        Ok(Arc::new(Arena { region, words, slab_bytes, slabs, huge_pages, state }))
    }

    /// Takes `slabs` slabs in a row. With `huge`, they become resident 2 MiB at a time (if the arena allows it), else page by page.
    pub fn commit(&self, slabs: u32, huge: bool) -> Result<Span, MemoryError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(MemoryError::Closed);
        }
        let found = if slabs == 1 { state.free.first() } else { state.free.highest_run(slabs.max(1)) };
        let Some(first) = found else {
            let free = state.free.len();
            drop(state);
            return Err(self.full(slabs, free));
        };
        let span = Span { first, slabs: slabs.max(1) };
        (first..first + span.slabs).for_each(|slab| state.free.remove(slab));
        drop(state);
        if self.huge_pages {
            self.region.advise_huge(self.bytes_of(&span), huge);
        }
        Ok(span)
    }

    /// Gives the pages of a span back to the kernel and its addresses to the next one who asks.
    pub fn release(&self, span: Span) -> Result<(), MemoryError> {
        assert!(span.first > 0 && span.first + span.slabs <= self.slabs + 1, "{span:?} is not of this arena");
        // Pages first: nobody else has them yet.
        let released = self.region.release(self.bytes_of(&span));
        let mut state = lock(&self.state);
        (span.first..span.first + span.slabs).for_each(|slab| state.free.insert(slab));
        released
    }

    /// The words of a span.
    pub fn words(&self, span: &Span) -> &[AtomicU64] {
        let bytes = self.bytes_of(span);
        &self.words[(bytes.start / 8) as usize..(bytes.end / 8) as usize]
    }

    /// All words of the arena, from address 0 of it.
    pub(crate) fn all_words(&self) -> &Column<AtomicU64> {
        &self.words
    }

    /// Makes the pages of a span resident ahead of use.
    pub fn populate(&self, span: &Span) {
        self.region.populate(self.bytes_of(span));
    }

    /// Returns every page to the kernel and refuses to commit from here on. The addresses stay mapped, and zero, until the arena is dropped.
    pub fn close(&self) -> Result<(), MemoryError> {
        lock(&self.state).closed = true;
        self.region.release(0..self.region.len())
    }

    /// Bytes of a slab.
    pub fn slab_bytes(&self) -> u64 {
        self.slab_bytes
    }

    /// Slabs that can be committed at most. They are numbered from 1.
    pub fn slabs(&self) -> u32 {
        self.slabs
    }

    /// Bytes that can be committed at most.
    pub fn reserved_bytes(&self) -> u64 {
        u64::from(self.slabs) * self.slab_bytes
    }

    /// Bytes in spans.
    pub fn committed_bytes(&self) -> u64 {
        self.reserved_bytes() - u64::from(lock(&self.state).free.len()) * self.slab_bytes
    }

    /// Bytes that occupy physical memory. Asks the kernel; linear in the size of the arena.
    pub fn resident_bytes(&self) -> u64 {
        self.region.resident_bytes()
    }

    fn bytes_of(&self, span: &Span) -> Range<u64> {
        let start = u64::from(span.first) * self.slab_bytes;
        start..start + u64::from(span.slabs) * self.slab_bytes
    }

    fn full(&self, slabs: u32, free: u32) -> MemoryError {
        MemoryError::Full {
            asked: u64::from(slabs) * self.slab_bytes,
            used: u64::from(self.slabs - free) * self.slab_bytes,
            committed: u64::from(self.slabs - free) * self.slab_bytes,
            limit: self.reserved_bytes(),
            which: "the arena",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    fn arena(slabs: u64) -> Arc<Arena> {
        Arena::new(&ArenaConfig { bytes: slabs * SLAB_BYTES_MIN, ..ArenaConfig::default() }).unwrap()
    }

    #[test]
    fn it_hands_out_every_slab_once_then_says_how_full_it_is() {
        let arena = arena(4);
        let run = arena.commit(2, false).unwrap();
        let mut spans: Vec<Span> = (0..2).map(|_| arena.commit(1, false).unwrap()).collect();
        assert_eq!((run.first(), spans[0].first(), spans[1].first()), (3, 1, 2));
        let message = arena.commit(1, false).unwrap_err().to_string();
        assert!(message.contains("262144 of 262144 bytes") && message.contains("the arena"), "{message}");
        spans.remove(0);
        arena.words(&run)[5].store(1, Relaxed);
        let first = run.first();
        arena.release(run).unwrap();
        assert_eq!(arena.committed_bytes(), 2 * SLAB_BYTES_MIN);
        let again = arena.commit(2, true).unwrap();
        assert_eq!(again.first(), first);
        assert!(arena.words(&again)[..64].iter().all(|word| word.load(Relaxed) == 0));
    }

    #[test]
    fn a_closed_arena_is_empty_and_refuses() {
        let arena = arena(4);
        let span = arena.commit(1, false).unwrap();
        arena.words(&span)[0].store(1, Relaxed);
        arena.close().unwrap();
        assert_eq!(arena.resident_bytes(), if cfg!(miri) { 5 * SLAB_BYTES_MIN } else { 0 });
        assert_eq!(arena.words(&span)[0].load(Relaxed), 0);
        assert!(matches!(arena.commit(1, false), Err(MemoryError::Closed)));
    }

    #[test]
    fn sizes_that_cannot_be_are_refused_with_the_limit() {
        let refused = |bytes, slab_bytes| {
            Arena::new(&ArenaConfig { bytes, slab_bytes, huge_pages: true }).unwrap_err().to_string()
        };
        assert!(
            refused(1 << 37, None).contains("this machine or container has"),
            "{}",
            refused(1 << 37, None)
        );
        let most = (1 << 38) - (64 << 20);
        assert!(refused(most + 1, None).contains("32-bit block indices"));
        assert!(refused(most, None).contains("this machine or container has"));
        assert!(refused(1000, None).contains("smaller than one slab"));
        assert!(refused(1 << 30, Some(100_000)).contains("power of two"));
    }

    #[test]
    fn the_default_slab_is_a_512th_of_the_arena() {
        let slab = |bytes| ArenaConfig { bytes, ..ArenaConfig::default() }.checked_slab_bytes().unwrap();
        assert_eq!((slab(1 << 20), slab(1 << 26), slab(1 << 29)), (64 << 10, 128 << 10, 1 << 20));
        #[cfg(not(miri))]
        assert_eq!((slab(1 << 30), slab(1 << 32)), (2 << 20, 2 << 20));
    }
}
