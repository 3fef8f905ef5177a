//! Allocate and free, against jemalloc and mimalloc, side by side in one process.
//!
//! `cargo bench -p gc-memory --bench allocators [-- [--json] [--smoke] [--rounds N]]`
//!
//! Each row is measured in rounds; in each round every allocator does the same work once, in turn (and in turn who begins). Printed are the medians
//! in nanoseconds per allocate + free pair, and ours as a share of the better peer. The peers are called through their C functions, not as global
//! allocators. With `touch`, the first word of each block is written after it was allocated; without, payloads are left alone.
//! `--json` prints one object per row instead; `--smoke` does a hundredth of the work.
//!
//! | row | work |
//! |---|---|
//! | hot | allocate one, free it |
//! | live | 1 M blocks live; a random one is freed and another allocated, in bursts of 1 to 1024 frees |
//! | pair | `hot` on two threads at once |
//! | remote | one thread allocates, another frees; handed over 256 at a time |

use std::hint::black_box;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use gc_memory::{Block, Cache, SlabConfig, Slabs};

/// One thread's end of an allocator. A block is a number that is not 0.
trait Allocator {
    fn allocate(&mut self, bytes: usize) -> usize;
    fn free(&mut self, block: usize);
    fn touch(&self, block: usize, value: u64);
}

struct Ours(Cache, Arc<Slabs>);

impl Allocator for Ours {
    #[inline(always)]
    fn allocate(&mut self, bytes: usize) -> usize {
        self.0.allocate(bytes as u64).expect("the arena is large enough").index() as usize
    }

    #[inline(always)]
    fn free(&mut self, block: usize) {
        self.0.free(Block::from_index(block as u32).expect("blocks are not 0"));
    }

    #[inline(always)]
    fn touch(&self, block: usize, value: u64) {
        let block = Block::from_index(block as u32).expect("blocks are not 0");
        self.1.words(block)[0].store(value, Relaxed);
    }
}

macro_rules! peer {
    ($name:ident, $malloc:path, $free:path) => {
        struct $name;

        impl Allocator for $name {
            #[inline(always)]
            fn allocate(&mut self, bytes: usize) -> usize {
                // SAFETY: malloc takes any size.
                let block = unsafe { $malloc(bytes) }.expose_provenance();
                assert!(block != 0, "out of memory");
                block
            }

            #[inline(always)]
            fn free(&mut self, block: usize) {
                // SAFETY: the block comes from `allocate` of the same allocator and is freed once.
                unsafe { $free(std::ptr::with_exposed_provenance_mut(block)) };
            }

            #[inline(always)]
            fn touch(&self, block: usize, value: u64) {
                let word: *mut u64 = std::ptr::with_exposed_provenance_mut(block);
                // SAFETY: the block is live, has at least 64 bytes, and only its holder writes to it.
                unsafe { word.write_volatile(value) };
            }
        }
    };
}
peer!(Jemalloc, tikv_jemalloc_sys::malloc, tikv_jemalloc_sys::free);
peer!(Mimalloc, libmimalloc_sys::mi_malloc, libmimalloc_sys::mi_free);

#[derive(Clone, Copy)]
enum Work {
    Hot,
    Live,
    Pair,
    Remote,
}

#[derive(Clone, Copy)]
struct Row {
    work: Work,
    bytes: usize,
    touch: bool,
}

const LIVE: usize = 1_000_000;
const BURST_MAX: usize = 1024;
const HANDOVER: usize = 256;

/// What a row keeps from round to round: the live blocks of one allocator.
struct Standing<A> {
    allocator: A,
    live: Vec<usize>,
    random: u64,
}

impl<A: Allocator> Standing<A> {
    fn next(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as usize
    }

    /// One round; returns nanoseconds per pair.
    fn round(&mut self, row: Row, scale: usize, another: &(dyn Fn() -> A + Sync)) -> f64 {
        match row.work {
            Work::Hot => per_pair(2_000_000 / scale, |pairs| hot(&mut self.allocator, row, pairs)),
            Work::Live => per_pair(400_000 / scale, |pairs| self.churn(row, pairs)),
            Work::Pair => per_pair(2_000_000 / scale, |pairs| pair(another, row, pairs)),
            Work::Remote => per_pair(500_000 / scale, |pairs| remote(another, row, pairs)),
        }
    }

    fn fill(&mut self, row: Row, count: usize) {
        for value in 0..count {
            let block = self.allocator.allocate(row.bytes);
            if row.touch {
                self.allocator.touch(block, value as u64);
            }
            self.live.push(block);
        }
        // Neighbours in memory are not neighbours in time.
        for at in (1..count).rev() {
            let other = self.next() % (at + 1);
            self.live.swap(at, other);
        }
    }

    fn churn(&mut self, row: Row, pairs: usize) {
        let mut done = 0;
        let mut gone = Vec::with_capacity(BURST_MAX);
        while done < pairs {
            let burst = 1 + self.next() % BURST_MAX;
            for _ in 0..burst {
                let at = self.next() % self.live.len();
                if self.live[at] != 0 {
                    self.allocator.free(std::mem::take(&mut self.live[at]));
                    gone.push(at);
                }
            }
            done += gone.len();
            for at in gone.drain(..) {
                let block = self.allocator.allocate(row.bytes);
                if row.touch {
                    self.allocator.touch(block, at as u64);
                }
                self.live[at] = block;
            }
        }
    }

    fn clear(&mut self) {
        for block in std::mem::take(&mut self.live) {
            self.allocator.free(block);
        }
    }
}

fn per_pair(pairs: usize, work: impl FnOnce(usize)) -> f64 {
    let pairs = pairs.max(1);
    let start = Instant::now();
    work(pairs);
    start.elapsed().as_nanos() as f64 / pairs as f64
}

fn hot(allocator: &mut impl Allocator, row: Row, pairs: usize) {
    for value in 0..pairs {
        let block = allocator.allocate(black_box(row.bytes));
        if row.touch {
            allocator.touch(block, value as u64);
        }
        allocator.free(black_box(block));
    }
}

fn pair<A: Allocator>(another: &(dyn Fn() -> A + Sync), row: Row, pairs: usize) {
    let start = Barrier::new(2);
    let run = || {
        let mut allocator = another();
        start.wait();
        hot(&mut allocator, row, pairs);
    };
    std::thread::scope(|threads| {
        threads.spawn(run);
        run();
    });
}

fn remote<A: Allocator>(another: &(dyn Fn() -> A + Sync), row: Row, pairs: usize) {
    let (full, arriving) = sync_channel::<Vec<usize>>(16);
    let (empty, returning) = sync_channel::<Vec<usize>>(32);
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut allocator = another();
            while let Ok(mut blocks) = arriving.recv() {
                blocks.drain(..).for_each(|block| allocator.free(block));
                let _ = empty.try_send(blocks);
            }
        });
        let mut allocator = another();
        for start in (0..pairs).step_by(HANDOVER) {
            let mut blocks = returning.try_recv().unwrap_or_else(|_| Vec::with_capacity(HANDOVER));
            for value in start..pairs.min(start + HANDOVER) {
                let block = allocator.allocate(black_box(row.bytes));
                if row.touch {
                    allocator.touch(block, value as u64);
                }
                blocks.push(block);
            }
            full.send(blocks).expect("the other thread takes all");
        }
        drop(full);
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Medians of ours, jemalloc, mimalloc.
fn measure(row: Row, scale: usize, rounds: usize) -> [f64; 3] {
    let live = if matches!(row.work, Work::Live) { LIVE / scale } else { 0 };
    let arena_bytes = (2 * live * row.bytes).max(256 << 20) as u64;
    let slabs =
        Slabs::new(SlabConfig { arena_bytes, ..SlabConfig::default() }).expect("memory for the benchmark");
    let open = || Ours(slabs.cache(), Arc::clone(&slabs));
    let mut ours = Standing { allocator: open(), live: Vec::new(), random: 88_172_645_463_325_252 };
    let mut jemalloc = Standing { allocator: Jemalloc, live: Vec::new(), random: ours.random };
    let mut mimalloc = Standing { allocator: Mimalloc, live: Vec::new(), random: ours.random };
    ours.fill(row, live);
    jemalloc.fill(row, live);
    mimalloc.fill(row, live);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    // The first round warms up.
    for round in 0..=rounds {
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let time = match who {
                0 => ours.round(row, scale, &open),
                1 => jemalloc.round(row, scale, &|| Jemalloc),
                _ => mimalloc.round(row, scale, &|| Mimalloc),
            };
            if round > 0 {
                times[who].push(time);
            }
        }
    }
    ours.clear();
    jemalloc.clear();
    mimalloc.clear();
    times.map(median)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let scale = if given("--smoke") || given("--test") { 100 } else { 1 };
    let rounds = value("--rounds").unwrap_or(if scale > 1 { 1 } else { 9 });
    if !given("--json") {
        println!(
            "{:22} {:>8} {:>9} {:>9} {:>7} {:>6}",
            "ns per pair", "ours", "jemalloc", "mimalloc", "ratio", "goal"
        );
    }
    for (name, work, goal) in [
        ("hot", Work::Hot, 1.0),
        ("live", Work::Live, 0.5),
        ("pair", Work::Pair, 1.0),
        ("remote", Work::Remote, 1.0),
    ] {
        for (bytes, touch) in [64, 256, 4096].into_iter().flat_map(|bytes| [(bytes, false), (bytes, true)]) {
            let [ours, jemalloc, mimalloc] = measure(Row { work, bytes, touch }, scale, rounds);
            let ratio = ours / jemalloc.min(mimalloc);
            let name = format!("{name} {bytes} B{}", if touch { " touch" } else { "" });
            if given("--json") {
                let line = serde_json::json!({
                    "name": format!("allocate + free, {name}"), "ours_ns": ours, "jemalloc_ns": jemalloc, "mimalloc_ns": mimalloc,
                    "value": ratio, "unit": "ratio to the better peer", "goal": goal, "met": ratio <= goal,
                });
                println!("{line}");
            } else {
                let verdict = if ratio <= goal { "" } else { "  missed" };
                println!(
                    "{name:22} {ours:8.1} {jemalloc:9.1} {mimalloc:9.1} {ratio:7.2} {goal:6.1}{verdict}"
                );
            }
        }
    }
}
