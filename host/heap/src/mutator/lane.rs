//! A lane: what one mutator puts down and the collector takes away, neither ever waiting for the other.
//!
//! ```text
//!            older (read, or being read)              current
//! writer ─▶ [ chunk ] ──next──▶ [ chunk ] ──next──▶ [ chunk ··· ]
//!                        ▲ reader
//! ```
//!
//! A chain of chunks of words. The writer fills the last one and publishes how many items there are; the reader goes from chunk to chunk behind
//! it. Chunks that have been read are filled again, so a lane that is emptied now and then needs no memory beyond its first chunks.
//! The writer alone allocates and frees: an allocator has locks too, and the reader must not hold one of them that the writer's thread needs.
//!
//! 1. `pushed` counts items that are complete: words and links behind it were written before.
//! 2. The reader holds the chunk that it reads and no other; the writer holds all. A chunk that only the writer holds has been read.
//! 3. A lane has no bound of its own. The log has at most one record per cell and log epoch; what is remembered or looked up is as much as the
//!    mutator does in one slice of the collector.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::limits::{CHUNK_ITEMS, FIRST_CHUNK_ITEMS, SPARE_CHUNKS};
use crate::sync::{Mutex, lock, point};

struct Chunk {
    words: Box<[AtomicU32]>,
    next: OnceLock<Arc<Chunk>>,
}

impl Chunk {
    fn new(words: usize) -> Chunk {
        let words = std::iter::repeat_with(|| AtomicU32::new(0)).take(words).collect();
        Chunk { words, next: OnceLock::new() }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // One after the other: a long chain that nobody read would be dropped in as many nested calls.
        let mut next = self.next.take();
        while let Some(mut chunk) = next.and_then(Arc::into_inner) {
            next = chunk.next.take();
        }
    }
}

/// The writing end, of items of `N` words. Of the mutator alone.
pub(crate) struct Writer<const N: usize> {
    current: Arc<Chunk>,
    /// Words of the current chunk that are filled.
    filled: usize,
    /// Oldest first.
    older: VecDeque<Arc<Chunk>>,
    count: usize,
    /// Chunks begun since the last look at how many are needed, and between the two looks before.
    begun: usize,
    begun_before: usize,
}

/// What both ends see, and the reading end, behind a lock that only the collector takes.
pub(crate) struct Lane<const N: usize> {
    /// Items put down since the beginning. Written by the writer alone.
    pushed: AtomicUsize,
    /// Items taken away. Written by the reader alone.
    taken: AtomicUsize,
    reader: Mutex<Reader>,
}

struct Reader {
    chunk: Arc<Chunk>,
    /// Words of the chunk that were read.
    at: usize,
}

/// An empty lane with both its ends. Takes no memory for items before the first.
pub(crate) fn lane<const N: usize>() -> (Writer<N>, Lane<N>) {
    let nothing = Arc::new(Chunk::new(0));
    let reader = Mutex::new(Reader { chunk: Arc::clone(&nothing), at: 0 });
    let lane = Lane { pushed: AtomicUsize::new(0), taken: AtomicUsize::new(0), reader };
    let writer =
        Writer { current: nothing, filled: 0, older: VecDeque::new(), count: 0, begun: 0, begun_before: 0 };
    (writer, lane)
}

impl<const N: usize> Writer<N> {
    /// Whether the next item needs another chunk.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.filled == self.current.words.len()
    }

    /// Puts an item down.
    #[inline]
    pub(crate) fn push(&mut self, lane: &Lane<N>, item: [u32; N]) {
        if self.is_full() {
            self.turn();
        }
        let words = &self.current.words[self.filled..self.filled + N];
        for (word, value) in words.iter().zip(item) {
            word.store(value, Ordering::Relaxed);
        }
        self.filled += N;
        self.count += 1;
        // Release: pairs with the Acquire load in `take`.
        lane.pushed.store(self.count, Ordering::Release);
        point();
    }

    /// Items put down since the beginning.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether the oldest chunk was read: nobody else holds it, see invariant 2. The one before, which linked to it, was taken out already.
    pub(crate) fn can_fill_again(&mut self) -> bool {
        self.older.front_mut().is_some_and(|oldest| Arc::get_mut(oldest).is_some())
    }

    /// Begins another chunk.
    #[cold]
    pub(crate) fn turn(&mut self) {
        self.begun += 1;
        let again = if self.can_fill_again() { self.older.pop_front() } else { None };
        let next = match again {
            Some(mut chunk) => {
                Arc::get_mut(&mut chunk).expect("only this thread holds it").next = OnceLock::new();
                chunk
            }
            None if self.count == 0 => Arc::new(Chunk::new(FIRST_CHUNK_ITEMS * N)),
            None => Arc::new(Chunk::new(CHUNK_ITEMS * N)),
        };
        let linked = self.current.next.set(Arc::clone(&next));
        assert!(linked.is_ok(), "the last chunk of a lane has no next");
        let full = std::mem::replace(&mut self.current, next);
        // The first two are small, and the reader's when it has read them.
        if full.words.len() == CHUNK_ITEMS * N {
            self.older.push_back(full);
        }
        self.filled = 0;
    }

    /// Lets go of a few chunks that have been read and are more than were needed lately. Called now and then.
    pub(crate) fn shrink(&mut self) {
        let needed = self.begun.max(self.begun_before) + SPARE_CHUNKS;
        self.begun_before = std::mem::take(&mut self.begun);
        for _ in 0..SPARE_CHUNKS {
            if self.older.len() <= needed || !self.can_fill_again() {
                return;
            }
            self.older.pop_front();
        }
    }
}

impl<const N: usize> Lane<N> {
    /// Items put down so far.
    pub(crate) fn pushed(&self) -> usize {
        // Acquire: pairs with the Release store in `push`.
        self.pushed.load(Ordering::Acquire)
    }

    /// Whether everything put down was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.pushed() == self.taken.load(Ordering::Relaxed)
    }

    /// Takes what was put down, each item with its number. Only the collector.
    pub(crate) fn take(&self, mut each: impl FnMut(usize, [u32; N])) {
        let taken = self.taken.load(Ordering::Relaxed);
        let pushed = self.pushed();
        if taken == pushed {
            return;
        }
        let mut reader = lock(&self.reader);
        for number in taken..pushed {
            if reader.at == reader.chunk.words.len() {
                let next = reader.chunk.next.get().map(Arc::clone);
                *reader = Reader { chunk: next.expect("an item that was put down is in a chunk"), at: 0 };
            }
            let words = &reader.chunk.words[reader.at..reader.at + N];
            each(number, std::array::from_fn(|at| words[at].load(Ordering::Relaxed)));
            reader.at += N;
        }
        self.taken.store(pushed, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_down_is_taken_once_and_in_order_while_both_ends_run() {
        let count: u32 = if cfg!(miri) { 3000 } else { 2_000_000 };
        let (mut writer, lane) = lane::<3>();
        std::thread::scope(|threads| {
            let lane = &lane;
            threads.spawn(move || {
                (0..count).for_each(|number| writer.push(lane, [number, !number, 7]));
                assert_eq!(writer.count(), count as usize);
            });
            let mut next = 0;
            while next < count {
                lane.take(|number, item| {
                    assert_eq!((number, item), (next as usize, [next, !next, 7]));
                    next += 1;
                });
            }
            assert!(lane.is_empty());
        });
    }

    #[test]
    fn a_lane_that_is_emptied_fills_its_chunks_again() {
        let (mut writer, lane) = lane::<5>();
        let mut allocated = 0;
        for _ in 0..20 {
            for _ in 0..CHUNK_ITEMS * 3 {
                allocated += usize::from(writer.is_full() && !writer.can_fill_again());
                writer.push(&lane, [1; 5]);
            }
            lane.take(|_, _| {});
        }
        assert!(allocated <= 6, "{allocated} chunks");
    }

    #[test]
    fn memory_of_a_burst_is_let_go_when_it_has_been_taken() {
        let (mut writer, lane) = lane::<1>();
        (0..CHUNK_ITEMS as u32 * 100).for_each(|item| writer.push(&lane, [item]));
        let mut sum = 0;
        lane.take(|_, [item]| sum += u64::from(item));
        let count = CHUNK_ITEMS as u64 * 100;
        assert_eq!(sum, count * (count - 1) / 2);
        (0..60).for_each(|_| writer.shrink());
        assert!(writer.older.len() <= SPARE_CHUNKS, "{} chunks are left", writer.older.len());
        writer.push(&lane, [9]);
        lane.take(|number, item| assert_eq!((number, item), (count as usize, [9])));
    }
}
