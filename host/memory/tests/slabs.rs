//! Blocks from outside: against a naive model, when full, when stale, when idle, when closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gc_memory::{Block, Cache, ElasticConfig, MemoryError, SlabConfig, Slabs};
use proptest::prelude::*;

const KIB: u64 = 1 << 10;

fn slabs(arena_bytes: u64) -> Arc<Slabs> {
    Slabs::new(SlabConfig { arena_bytes, batch_blocks: 8, ..SlabConfig::default() }).unwrap()
}

/// What is live: first byte, then (bytes of the block, mark written to its first and last word).
#[derive(Default)]
struct Model(BTreeMap<u64, (u64, u64)>);

impl Model {
    fn allocated(&mut self, slabs: &Slabs, block: Block, asked: u64, mark: u64) {
        let (start, bytes) = (u64::from(block.index()) * 64, slabs.block_bytes(block));
        let words = slabs.words(block);
        assert!(bytes >= asked.max(1) && words.len() as u64 * 8 == bytes, "{asked} -> {bytes}");
        assert_eq!(words.as_ptr().addr() % 64, 0);
        if let Some((before, (length, _))) = self.0.range(..=start).next_back() {
            assert!(before + length <= start, "overlaps the block before");
        }
        if let Some((after, _)) = self.0.range(start..).next() {
            assert!(start + bytes <= *after, "overlaps the block after");
        }
        words[0].store(mark, Relaxed);
        words[words.len() - 1].store(mark, Relaxed);
        self.0.insert(start, (bytes, mark));
    }

    fn take(&mut self, slabs: &Slabs, nth: usize) -> Option<Block> {
        let (&start, _) = self.0.iter().nth(nth % self.0.len().max(1))?;
        let (bytes, mark) = self.0.remove(&start).unwrap();
        let block = Block::from_index((start / 64) as u32).unwrap();
        let words = slabs.words(block);
        assert_eq!((words[0].load(Relaxed), words[words.len() - 1].load(Relaxed)), (mark, mark));
        assert_eq!(slabs.block_bytes(block), bytes);
        Some(block)
    }

    fn check(&self, slabs: &Slabs) {
        let stats = slabs.stats();
        assert_eq!(stats.used_bytes(), self.0.values().map(|(bytes, _)| bytes).sum::<u64>());
        assert!(stats.used_bytes() + stats.cached_bytes() <= stats.committed_bytes);
        assert!(stats.committed_bytes <= stats.reserved_bytes);
        assert!((0.0..=1.0).contains(&stats.fragmentation()) && (0.0..=1.0).contains(&stats.rounding()));
    }
}

/// Every second time by `allocate_words`, which must give the words that `words` gives.
fn allocate_some_way(
    slabs: &Slabs,
    cache: &mut Cache,
    bytes: u64,
    turn: usize,
) -> Result<Block, MemoryError> {
    if turn.is_multiple_of(2) {
        return cache.allocate(bytes);
    }
    let (block, words) = cache.allocate_words(bytes)?;
    let again = slabs.words(block);
    assert_eq!((words.as_ptr(), words.len()), (again.as_ptr(), again.len()), "of {bytes} bytes");
    Ok(block)
}

#[derive(Clone, Debug)]
enum Step {
    Allocate { cache: usize, bytes: u64 },
    Free { cache: usize, nth: usize },
    Flush { cache: usize },
    Trim,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![6 => 0_u64..300, 3 => 0_u64..5000, 2 => 0_u64..40_000, 1 => 0_u64..200_000];
    let step = prop_oneof![
        12 => (0_usize..2, bytes).prop_map(|(cache, bytes)| Step::Allocate { cache, bytes }),
        10 => (0_usize..2, 0_usize..1000).prop_map(|(cache, nth)| Step::Free { cache, nth }),
        1 => (0_usize..2).prop_map(|cache| Step::Flush { cache }),
        1 => Just(Step::Trim),
        1 => Just(Step::Tick),
    ];
    prop::collection::vec(step, if cfg!(miri) { 1..12 } else { 1..600 })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 1 } else { 200 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// No two live blocks overlap, nobody writes into a live block, the accounting is exact, everything comes back.
    #[test]
    fn blocks_are_as_a_naive_model_says(steps in steps()) {
        let slabs = slabs(if cfg!(miri) { 512 } else { 4096 } * KIB);
        let mut caches = [slabs.cache(), slabs.cache()];
        let (mut model, mut minute) = (Model::default(), 0);
        for (mark, step) in steps.into_iter().enumerate() {
            match step {
                Step::Allocate { cache, bytes } => match allocate_some_way(&slabs, &mut caches[cache], bytes, mark) {
                    Ok(block) => model.allocated(&slabs, block, bytes, mark as u64 + 1),
                    Err(error) => prop_assert!(matches!(error, MemoryError::Full { .. }), "{error}"),
                },
                Step::Free { cache, nth } => {
                    if let Some(block) = model.take(&slabs, nth) {
                        caches[cache].free(block);
                    }
                }
                Step::Flush { cache } => caches[cache].flush(),
                Step::Trim => { slabs.trim(); }
                Step::Tick => {
                    minute += 1;
                    slabs.tick(Duration::from_secs(60 * minute));
                }
            }
            model.check(&slabs);
        }
        while let Some(block) = model.take(&slabs, 0) {
            caches[0].free(block);
        }
        drop(caches);
        slabs.trim();
        let stats = slabs.stats();
        prop_assert_eq!((stats.used_bytes(), stats.cached_bytes(), stats.committed_bytes), (0, 0, 0));
    }
}

fn fill(cache: &mut Cache, bytes: u64) -> (Vec<Block>, MemoryError) {
    let mut blocks = Vec::new();
    loop {
        match cache.allocate(bytes) {
            Ok(block) => blocks.push(block),
            Err(error) => return (blocks, error),
        }
    }
}

#[test]
fn a_full_arena_says_how_full_and_has_room_again_after_a_free() {
    let slabs = slabs(256 * KIB);
    let mut cache = slabs.cache();
    let (blocks, error) = fill(&mut cache, 4096);
    assert_eq!(blocks.len(), 64);
    let message = error.to_string();
    assert!(
        message.contains("no room for 4096 bytes: 262144 of 262144 bytes of the arena are in use"),
        "{message}"
    );
    assert!(cache.allocate(1 << 40).unwrap_err().to_string().contains("no room for 1099511627776 bytes"));
    blocks.into_iter().for_each(|block| cache.free(block));
    // Another class finds the room that this one held.
    let (blocks, _) = fill(&mut cache, 8192);
    assert_eq!(blocks.len(), 32);
    assert!(cache.allocate(100 * KIB).is_err());
    blocks.into_iter().for_each(|block| cache.free(block));
    let large = cache.allocate(100 * KIB).unwrap();
    assert_eq!((slabs.block_bytes(large), slabs.words(large).len()), (128 * KIB, 16384));
    cache.free(large);
}

#[test]
fn the_maximum_of_a_pool_is_named_when_it_is_reached() {
    let pool = ElasticConfig { maximum: 1024, ..ElasticConfig::default() };
    let slabs =
        Slabs::new(SlabConfig { arena_bytes: 16 << 20, pool, batch_blocks: 8, ..SlabConfig::default() })
            .unwrap();
    let mut cache = slabs.cache();
    let (blocks, error) = fill(&mut cache, 64);
    assert_eq!(blocks.len(), 1024);
    assert!(error.to_string().contains("65536 of 65536 bytes of the pool of this block size"), "{error}");
}

#[test]
fn an_arena_larger_than_the_machine_is_refused_with_both_sizes() {
    let error = Slabs::new(SlabConfig { arena_bytes: 200 << 30, ..SlabConfig::default() }).unwrap_err();
    assert!(error.to_string().contains("214748364800 bytes is more than the"), "{error}");
}

#[test]
fn a_stale_block_reads_zero_or_something_and_never_faults() {
    let slabs = slabs(if cfg!(miri) { 512 } else { 1024 } * KIB);
    let mut cache = slabs.cache();
    let blocks: Vec<Block> =
        [64, 4032, 32 * KIB, 200 * KIB].map(|bytes| cache.allocate(bytes).unwrap()).into();
    for block in &blocks {
        slabs.words(*block).iter().for_each(|word| word.store(7, Relaxed));
        cache.free(*block);
    }
    cache.flush();
    slabs.trim();
    assert_eq!(slabs.stats().committed_bytes, 0);
    let skip = if cfg!(miri) { 997 } else { 1 };
    for index in (1..slabs.stats().reserved_bytes as u32 / 64).step_by(skip) {
        let words = slabs.words(Block::from_index(index).unwrap());
        assert!(!words.is_empty() && words.iter().all(|word| word.load(Relaxed) == 0));
    }
    // Taken over by blocks of another size: still inside the arena.
    while cache.allocate(32 * KIB).is_ok() {}
    let last =
        Block::from_index((slabs.stats().reserved_bytes + slabs.block_bytes(blocks[0])) as u32 / 64).unwrap();
    assert!(!slabs.words(last).is_empty());
}

#[test]
fn there_are_blocks_of_the_sizes_that_were_asked_for_and_of_no_others() {
    let sizes = [64, 512, 4 * KIB, 16 * KIB];
    let config = SlabConfig {
        arena_bytes: 16 << 20,
        slab_bytes: Some(64 * KIB),
        block_bytes: Some(sizes.into()),
        pool: ElasticConfig { initial: 1, ..ElasticConfig::default() },
        ..SlabConfig::default()
    };
    let slabs = Slabs::new(config).unwrap();
    // One slab for each size, and none for what there are no blocks of.
    assert_eq!(slabs.stats().committed_bytes, sizes.len() as u64 * 64 * KIB);
    let mut cache = slabs.cache();
    let mut model = Model::default();
    for round in 0..3 {
        for (asked, given) in [
            (0, 64),
            (64, 64),
            (65, 512),
            (512, 512),
            (513, 4 * KIB),
            (2048, 4 * KIB),
            (4097, 16 * KIB),
            (16 * KIB, 16 * KIB),
            (16 * KIB + 1, 64 * KIB),
            (64 * KIB + 1, 128 * KIB),
        ] {
            let block = cache.allocate(asked).unwrap();
            assert_eq!(slabs.block_bytes(block), given, "{asked}");
            model.allocated(&slabs, block, asked, asked + round);
            let (block, words) = cache.allocate_words(asked).unwrap();
            assert_eq!(words.len() as u64 * 8, given, "{asked}");
            model.allocated(&slabs, block, asked, asked + round);
        }
        for nth in (0..7).rev() {
            model.take(&slabs, nth * 2).into_iter().for_each(|block| cache.free(block));
        }
    }
    let stats = slabs.stats();
    assert_eq!(stats.classes.iter().map(|class| class.block_bytes).collect::<Vec<_>>(), sizes);
    model.check(&slabs);
    // A slab has 128 blocks of the smaller of these sizes.
    for (maximum, is_enough) in [(127, false), (128, true)] {
        let pool = ElasticConfig { maximum, ..ElasticConfig::default() };
        let sizes = Some(vec![512, 1024]);
        let config =
            SlabConfig { block_bytes: sizes, slab_bytes: Some(64 * KIB), pool, ..SlabConfig::default() };
        assert_eq!(Slabs::new(config).is_ok(), is_enough, "{maximum}");
    }
    for wrong in [vec![], vec![512, 64], vec![100], vec![64 * KIB]] {
        let config =
            SlabConfig { block_bytes: Some(wrong), slab_bytes: Some(64 * KIB), ..SlabConfig::default() };
        assert!(matches!(Slabs::new(config), Err(MemoryError::Config { .. })));
    }
}

#[test]
fn a_block_has_its_size_in_every_part_of_a_large_slab() {
    // Slabs of four entries of the class map, under Miri of two.
    let slab_bytes = if cfg!(miri) { 128 } else { 256 } * KIB;
    let config = SlabConfig {
        arena_bytes: 4 * slab_bytes,
        slab_bytes: Some(slab_bytes),
        batch_blocks: 8,
        huge_pages: false,
        ..SlabConfig::default()
    };
    let slabs = Slabs::new(config).unwrap();
    let mut cache = slabs.cache();
    let bytes = if cfg!(miri) { 3000 } else { 192 };
    let words = (bytes as usize).next_multiple_of(64) / 8;
    let large = cache.allocate(slab_bytes + 1).unwrap();
    assert_eq!(slabs.words(large).len() as u64 * 8, 2 * slab_bytes);
    let (blocks, _) = fill(&mut cache, bytes);
    assert!(blocks.len() as u64 * bytes > slab_bytes, "two slabs: {}", blocks.len());
    for block in &blocks {
        assert_eq!(slabs.words(*block).len(), words, "{block:?}");
    }
    // Inside the large block, in both halves of both of its slabs, there is nothing to be freed.
    let insides = [1, slab_bytes / 2, slab_bytes - 64, slab_bytes, 2 * slab_bytes - 64];
    for inside in insides.into_iter().skip(if cfg!(miri) { 3 } else { 0 }) {
        let index = large.index() + inside.div_ceil(64) as u32;
        let free = || slabs.cache().free(Block::from_index(index).unwrap());
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(free)).is_err(), "{inside} bytes in");
    }
    cache.free(large);
    blocks.into_iter().for_each(|block| cache.free(block));
    cache.flush();
    slabs.trim();
    assert_eq!(slabs.stats().committed_bytes, 0);
}

/// A cache makes its magazines while another thread counts what they hold.
#[test]
fn counts_are_possible_ones_while_caches_come_and_go() {
    let slabs = slabs(4096 * KIB);
    let (rounds, stop) = (if cfg!(miri) { 1 } else { 100 }, AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Relaxed) {
                for class in slabs.stats().classes {
                    assert!(class.cached_blocks <= 16, "{class:?}");
                }
                std::thread::yield_now();
            }
        });
        for _ in 0..rounds {
            let mut cache = slabs.cache();
            for bytes in (64..=4096).step_by(if cfg!(miri) { 512 } else { 64 }) {
                let block = cache.allocate(bytes).unwrap();
                cache.free(block);
            }
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn close_returns_everything_and_refuses() {
    let slabs = slabs(if cfg!(miri) { 256 } else { 1024 } * KIB);
    let mut cache = slabs.cache();
    let block = cache.allocate(100).unwrap();
    slabs.words(block)[0].store(7, Relaxed);
    slabs.close().unwrap();
    #[cfg(not(miri))]
    assert_eq!(slabs.resident_bytes(), 0);
    assert_eq!(slabs.words(block)[0].load(Relaxed), 0);
    cache.free(block);
    cache.flush();
    assert!(matches!(cache.allocate(64), Err(MemoryError::Closed)));
}

#[test]
#[should_panic(expected = "freed")]
fn a_block_freed_twice_is_noticed() {
    let slabs = slabs(if cfg!(miri) { 256 } else { 1024 } * KIB);
    let mut cache = slabs.cache();
    let block = cache.allocate(64).unwrap();
    cache.free(block);
    cache.free(block);
    cache.flush();
    slabs.trim();
}

#[test]
fn blocks_move_between_threads_without_overlap() {
    let (slabs, rounds) =
        (slabs(if cfg!(miri) { 512 } else { 4096 } * KIB), if cfg!(miri) { 60 } else { 50_000 });
    let (to, from) = std::sync::mpsc::sync_channel::<(Block, u64)>(64);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut cache = slabs.cache();
            for (block, mark) in from {
                assert!(
                    slabs.words(block).iter().all(|word| word.load(Relaxed) == mark),
                    "written by somebody else"
                );
                cache.free(block);
            }
        });
        let mut cache = slabs.cache();
        for mark in 0..rounds {
            let block = cache.allocate(64 * (1 + mark % 7)).unwrap();
            slabs.words(block).iter().for_each(|word| word.store(mark, Relaxed));
            to.send((block, mark)).unwrap();
        }
        drop(to);
    });
    assert_eq!((slabs.stats().used_bytes(), slabs.stats().cached_bytes()), (0, 0));
}

#[cfg(not(miri))]
#[test]
fn idle_shrinking_lowers_what_the_kernel_says_is_resident() {
    fn rss_bytes() -> u64 {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * KIB
    }
    const BYTES: u64 = 256 << 20;
    let slabs = Slabs::new(SlabConfig { arena_bytes: 2 * BYTES, ..SlabConfig::default() }).unwrap();
    let mut cache = slabs.cache();
    let before = rss_bytes();
    let blocks: Vec<Block> = (0..BYTES / 4096)
        .map(|_| {
            let block = cache.allocate(4096).unwrap();
            slabs.words(block)[0].store(1, Relaxed);
            block
        })
        .collect();
    let full = rss_bytes();
    assert!(full >= before + BYTES / 10 * 9, "{before} -> {full}");
    blocks.into_iter().for_each(|block| cache.free(block));
    cache.flush();
    let committed = slabs.stats().committed_bytes;
    slabs.tick(Duration::from_secs(0));
    slabs.tick(Duration::from_secs(59));
    assert_eq!(slabs.stats().committed_bytes, committed, "the minute is not over");
    slabs.tick(Duration::from_secs(60));
    let once = slabs.stats().committed_bytes;
    assert!(once < committed && once >= committed / 10 * 8, "a tenth: {committed} -> {once}");
    (2..60).for_each(|minute| slabs.tick(Duration::from_secs(60 * minute)));
    let idle = rss_bytes();
    assert!(idle < before + BYTES / 10, "{before} -> {full} -> {idle}");
}
