//! Allocate and free, against jemalloc and mimalloc, side by side in one process.
//!
//! `cargo run --release --manifest-path host/memory/allocators/Cargo.toml [-- [--json] [--smoke] [--rounds N] [ROW..]]`
//!
//! Each row is measured in rounds; in each round every allocator does the same work once, in turn (and in turn who begins). Printed are the medians
//! in nanoseconds per allocate + free pair, and ours as a share of the better peer.
//!
//! What is measured is processor time, user and kernel, of all threads of the row; in `remote` that of the allocating and freeing alone, without the
//! channel. A round of two threads is over in 3 ms, and where other programs run beside it, the clock on the wall says how long the two waited for a
//! processor (one allocator had rounds of 5 and of 90 ns per pair by the clock that took 5 and 7 ns of processor time). What processor time does not
//! see is a thread that sleeps until a lock is free; so the ratio by the clock, with everything, stands beside it (`clock`). On a quiet machine the
//! two say the same.
//!
//! The peers are called through their C functions, not as global allocators: what a program in Rust or C gets from them. With `touch`, the first word
//! of each block is written after it was allocated, by all three through a reference that comes from the allocation; without, payloads are left
//! alone. Blocks are kept as each allocator names them: numbers of 32 bits, or addresses.
//!
//! `--json` prints one object per row instead; `--smoke` does a hundredth of the work; `ROW` is a part of the names of the rows to measure.
//!
//! | row | work |
//! |---|---|
//! | hot | allocate one, free it |
//! | live | 1 M blocks live; a random one is freed and another allocated, in bursts of 1 to 1024 frees |
//! | pair | `hot` on two threads at once |
//! | remote | one thread allocates, another frees; handed over 256 at a time |

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use gc_memory::{Block, Cache, SlabConfig, Slabs};

/// One thread's end of an allocator.
trait Allocator {
    type Block: Copy + Send;

    fn allocate(&mut self, bytes: usize) -> Self::Block;
    /// The same, and writes the first word.
    fn allocate_touched(&mut self, bytes: usize, value: u64) -> Self::Block;
    fn free(&mut self, block: Self::Block);
}

struct Ours(Cache);

impl Allocator for Ours {
    type Block = Block;

    #[inline(always)]
    fn allocate(&mut self, bytes: usize) -> Block {
        self.0.allocate(bytes as u64).expect("the arena is large enough")
    }

    #[inline(always)]
    fn allocate_touched(&mut self, bytes: usize, value: u64) -> Block {
        let (block, words) = self.0.allocate_words(bytes as u64).expect("the arena is large enough");
        words[0].store(value, Relaxed);
        block
    }

    #[inline(always)]
    fn free(&mut self, block: Block) {
        self.0.free(block);
    }
}

macro_rules! peer {
    ($name:ident, $malloc:path, $free:path) => {
        struct $name;

        impl Allocator for $name {
            /// The address.
            type Block = NonZeroUsize;

            #[inline(always)]
            fn allocate(&mut self, bytes: usize) -> NonZeroUsize {
                // SAFETY: malloc takes any size.
                let block = unsafe { $malloc(bytes) };
                NonZeroUsize::new(block.expose_provenance()).expect("out of memory")
            }

            #[inline(always)]
            fn allocate_touched(&mut self, bytes: usize, value: u64) -> NonZeroUsize {
                let block = self.allocate(bytes);
                let word: *mut u64 = std::ptr::with_exposed_provenance_mut(block.get());
                // SAFETY: the block is live, has at least 64 bytes, and only its holder writes to it.
                unsafe { word.write_volatile(value) };
                block
            }

            #[inline(always)]
            fn free(&mut self, block: NonZeroUsize) {
                // SAFETY: the block comes from `allocate` of the same allocator and is freed once.
                unsafe { $free(std::ptr::with_exposed_provenance_mut(block.get())) };
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

impl Row {
    #[inline(always)]
    fn allocate<A: Allocator>(self, allocator: &mut A, value: usize) -> A::Block {
        let bytes = black_box(self.bytes);
        if self.touch { allocator.allocate_touched(bytes, value as u64) } else { allocator.allocate(bytes) }
    }
}

const LIVE: usize = 1_000_000;
const BURST_MAX: usize = 1024;
const HANDOVER: usize = 256;

/// What a row keeps from round to round: the live blocks of one allocator.
struct Standing<A: Allocator> {
    allocator: A,
    live: Vec<Option<A::Block>>,
    random: u64,
}

impl<A: Allocator> Standing<A> {
    fn next(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as usize
    }

    fn round(&mut self, row: Row, scale: usize, another: &(dyn Fn() -> A + Sync)) -> Cost {
        match row.work {
            Work::Hot => cost(2_000_000 / scale, |pairs| hot(&mut self.allocator, row, pairs)),
            Work::Live => cost(400_000 / scale, |pairs| self.churn(row, pairs)),
            Work::Pair => cost(4_000_000 / scale, |pairs| pair(another, row, pairs / 2)),
            Work::Remote => {
                let mut processor = 0.0;
                let whole =
                    cost(500_000 / scale, |pairs| processor = remote(another, row, pairs) / pairs as f64);
                Cost { processor, ..whole }
            }
        }
    }

    fn fill(&mut self, row: Row, count: usize) {
        for value in 0..count {
            self.live.push(Some(row.allocate(&mut self.allocator, value)));
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
                if let Some(block) = self.live[at].take() {
                    self.allocator.free(block);
                    gone.push(at);
                }
            }
            done += gone.len();
            for at in gone.drain(..) {
                self.live[at] = Some(row.allocate(&mut self.allocator, at));
            }
        }
    }

    fn clear(&mut self) {
        for block in std::mem::take(&mut self.live).into_iter().flatten() {
            self.allocator.free(block);
        }
    }
}

/// Of one round, in nanoseconds per pair.
#[derive(Clone, Copy)]
struct Cost {
    processor: f64,
    clock: f64,
}

fn cost(pairs: usize, work: impl FnOnce(usize)) -> Cost {
    let pairs = pairs.max(2);
    let (start, processor) = (Instant::now(), processor_ns(libc::CLOCK_PROCESS_CPUTIME_ID));
    work(pairs);
    let processor = processor_ns(libc::CLOCK_PROCESS_CPUTIME_ID) - processor;
    Cost { processor: processor / pairs as f64, clock: start.elapsed().as_nanos() as f64 / pairs as f64 }
}

/// Processor time of this process or this thread so far.
fn processor_ns(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(status, 0, "the kernel keeps this clock for every process and thread");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Does the work and adds the processor time that this thread needed for it.
#[inline(always)]
fn add_time(sum: &mut f64, work: impl FnOnce()) {
    let start = processor_ns(libc::CLOCK_THREAD_CPUTIME_ID);
    work();
    *sum += processor_ns(libc::CLOCK_THREAD_CPUTIME_ID) - start;
}

fn hot(allocator: &mut impl Allocator, row: Row, pairs: usize) {
    for value in 0..pairs {
        let block = row.allocate(allocator, value);
        allocator.free(black_box(block));
    }
}

/// So many pairs on each of two threads.
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

/// Returns the processor time of all allocating and freeing; the channel between them, which spins and yields while it is empty, does not count.
fn remote<A: Allocator>(another: &(dyn Fn() -> A + Sync), row: Row, pairs: usize) -> f64 {
    let (full, arriving) = sync_channel::<Vec<A::Block>>(16);
    let (empty, returning) = sync_channel::<Vec<A::Block>>(32);
    std::thread::scope(|threads| {
        let freeing = threads.spawn(move || {
            let (mut allocator, mut processor) = (another(), 0.0);
            while let Ok(mut blocks) = arriving.recv() {
                add_time(&mut processor, || blocks.drain(..).for_each(|block| allocator.free(block)));
                let _ = empty.try_send(blocks);
            }
            processor
        });
        let (mut allocator, mut processor) = (another(), 0.0);
        for start in (0..pairs).step_by(HANDOVER) {
            let mut blocks = returning.try_recv().unwrap_or_else(|_| Vec::with_capacity(HANDOVER));
            add_time(&mut processor, || {
                for value in start..pairs.min(start + HANDOVER) {
                    blocks.push(row.allocate(&mut allocator, value));
                }
            });
            full.send(blocks).expect("the other thread takes all");
        }
        drop(full);
        processor + freeing.join().expect("the other thread ends")
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Medians of ours, jemalloc, mimalloc.
fn measure(row: Row, scale: usize, rounds: usize) -> [Cost; 3] {
    let live = if matches!(row.work, Work::Live) { LIVE / scale } else { 0 };
    let arena_bytes = (2 * live * row.bytes).max(256 << 20) as u64;
    let slabs =
        Slabs::new(SlabConfig { arena_bytes, ..SlabConfig::default() }).expect("memory for the benchmark");
    let open = || Ours(slabs.cache());
    let mut ours = Standing { allocator: open(), live: Vec::new(), random: 88_172_645_463_325_252 };
    let mut jemalloc = Standing { allocator: Jemalloc, live: Vec::new(), random: ours.random };
    let mut mimalloc = Standing { allocator: Mimalloc, live: Vec::new(), random: ours.random };
    ours.fill(row, live);
    jemalloc.fill(row, live);
    mimalloc.fill(row, live);
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    // The first round warms up.
    for round in 0..=rounds {
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let cost = match who {
                0 => ours.round(row, scale, &open),
                1 => jemalloc.round(row, scale, &|| Jemalloc),
                _ => mimalloc.round(row, scale, &|| Mimalloc),
            };
            if round > 0 {
                costs[who].push(cost);
            }
        }
    }
    ours.clear();
    jemalloc.clear();
    mimalloc.clear();
    costs.map(|costs| Cost {
        processor: median(costs.iter().map(|cost| cost.processor)),
        clock: median(costs.iter().map(|cost| cost.clock)),
    })
}

/// What the command line asks for.
struct Asked {
    json: bool,
    /// The work is divided by this.
    scale: usize,
    rounds: usize,
    /// Parts of the names of the rows; all rows if empty.
    rows: Vec<String>,
}

impl Asked {
    fn from_arguments() -> Asked {
        let mut asked = Asked { json: false, scale: 1, rounds: 0, rows: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => asked.json = true,
                "--smoke" | "--test" => asked.scale = 100,
                "--rounds" => asked.rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0),
                // Cargo adds `--bench`.
                flag if flag.starts_with("--") => {}
                row => asked.rows.push(row.to_owned()),
            }
        }
        if asked.rounds == 0 {
            asked.rounds = if asked.scale > 1 { 1 } else { 15 };
        }
        asked
    }

    fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| name.contains(row))
    }
}

fn print_row(json: bool, name: &str, costs: [Cost; 3], goal: f64) {
    let share = |[ours, jemalloc, mimalloc]: [f64; 3]| ours / jemalloc.min(mimalloc);
    let times = costs.map(|cost| cost.processor);
    let (ratio, clock_ratio) = (share(times), share(costs.map(|cost| cost.clock)));
    let [ours, jemalloc, mimalloc] = times;
    if json {
        let line = serde_json::json!({
            "name": format!("allocate + free, {name}"), "ours_ns": ours, "jemalloc_ns": jemalloc, "mimalloc_ns": mimalloc,
            "value": ratio, "unit": "ratio to the better peer", "goal": goal, "met": ratio <= goal, "clock_ratio": clock_ratio,
        });
        println!("{line}");
    } else {
        let verdict = if ratio <= goal { "" } else { "  missed" };
        println!(
            "{name:22} {ours:8.1} {jemalloc:9.1} {mimalloc:9.1} {ratio:7.2} {clock_ratio:7.2} {goal:6.1}{verdict}"
        );
    }
}

fn main() {
    let asked = Asked::from_arguments();
    if !asked.json {
        println!(
            "{:22} {:>8} {:>9} {:>9} {:>7} {:>7} {:>6}",
            "ns per pair", "ours", "jemalloc", "mimalloc", "ratio", "clock", "goal"
        );
    }
    for (name, work, goal) in [
        ("hot", Work::Hot, 1.0),
        ("live", Work::Live, 0.5),
        ("pair", Work::Pair, 1.0),
        ("remote", Work::Remote, 1.0),
    ] {
        for (bytes, touch) in [64, 256, 4096].into_iter().flat_map(|bytes| [(bytes, false), (bytes, true)]) {
            let name = format!("{name} {bytes} B{}", if touch { " touch" } else { "" });
            if asked.wants(&name) {
                let costs = measure(Row { work, bytes, touch }, asked.scale, asked.rounds);
                print_row(asked.json, &name, costs, goal);
            }
        }
    }
}
