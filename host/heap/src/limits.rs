//! Every bound of this crate, with the arithmetic that ties them.

use std::time::Duration;

/// References in one cell.
pub const CELL_SLOTS: usize = 4;

/// Bytes that one cell costs in all columns together: 16 of references, 15 in host-only columns, 6 bits in bitmaps, rounded up. The heap's
/// limit counts cells at this price.
pub const CELL_BYTES: u64 = 32;

/// Cells that a mutator claims at a time: 64 words of a bitmap, 64 KiB of references.
pub const BLOCK_CELLS: u32 = 4096;

/// Largest capacity of a heap in cells: indices are 32 bits, and a capacity is a multiple of [`BLOCK_CELLS`].
pub const CAPACITY_MAX: u32 = u32::MAX - (BLOCK_CELLS - 1);

/// Smallest capacity of a heap in cells: one block.
pub const CAPACITY_MIN: u32 = BLOCK_CELLS;

/// Items in a chunk of a lane, after the first: 10 KiB of records, so that getting one takes a microsecond or two.
pub const CHUNK_ITEMS: usize = 512;

/// Items in the first chunk of a lane: most mutators of a session put down less.
pub const FIRST_CHUNK_ITEMS: usize = 64;

/// Chunks that a lane keeps beyond what it needed lately, and lets go of at a time.
pub const SPARE_CHUNKS: usize = 8;

/// Cells per batch handed to a strategy in `roots`, `shade` and `retired`.
pub const BATCH_CELLS: usize = 16 * 1024;

/// Changes per batch handed to a strategy: 9 words each, 576 KiB.
pub const BATCH_CHANGES: usize = 16 * 1024;

/// Locals that the scopes of one mutator may hold at once.
pub const LOCALS_MAX: usize = 64 << 20;

/// Names or pins that are copied under one lock: a few microseconds.
pub const ROOTS_PIECE: usize = 256;

/// Objects that a dry run names, of those that would go.
pub const DRY_RUN_NAMED: usize = 8;

/// In a heap of fewer blocks of cells than this (8 MiB at the price of a cell), mutators keep a block only while they are in a scope.
pub const SMALL_BLOCKS: u32 = 64;

/// Blocks of cells whose free cells are counted under one lock.
pub const FREED_BLOCKS: usize = 32;

/// Locals in a piece of their chain, beyond the first pieces: 64 KiB.
pub const LOCALS_PIECE: usize = 16 * 1024;

/// Length of one payload in bytes: its length is kept in 32 bits.
pub const PAYLOAD_MAX: usize = u32::MAX as usize - 16;

/// Decision records that are kept.
pub const DECISIONS_MAX: usize = 32_000;

/// Numbers of decisions: a cell names the one that condemned it last in 16 bits, 0 means none. Then they are used again.
pub const DECISION_NUMBERS: u64 = u16::MAX as u64;

/// Decisions in which all cells are looked at once, to clear numbers of decisions that are not kept any more. Where the heap has grown meanwhile it may
/// take twice as many, and still no number is used again before.
pub const DECISION_SWEEP: usize = 16 * 1024;

const _: () = assert!(DECISIONS_MAX + 2 * DECISION_SWEEP < DECISION_NUMBERS as usize);

/// Bytes of allocation after which a mutator adds its own counts to the heap's.
pub const ACCOUNT_BYTES: u64 = 64 * 1024;

/// How long a mutator stands still at a time while it is slowed. Shorter sleeps come out longer.
pub const BRAKE_STEP: Duration = Duration::from_micros(250);

/// Cells that the first step of a cycle is asked to visit; later steps are sized by their time.
pub const FIRST_BUDGET: u32 = 4096;

/// Steps that any strategy may take in a cycle; one more for every 16 cells of the heap.
pub const STEPS_MAX: u32 = 10_000;

/// Most cells that one step is asked to visit.
pub const BUDGET_MAX: u32 = 1 << 30;

/// Cycles over which verdicts of a few cells may share one proof.
pub const DEFERRED_CYCLES_MAX: u32 = 8;

/// A verdict that condemns fewer than one in this many allocated cells may wait for the next one, to share its proof.
pub const DEFER_BELOW_SHARE: u64 = 256;

/// Entries in a piece of the table of stubs: 20 KiB.
pub const STUBS_CHUNK: usize = 1024;

/// Roots of a cycle over nodes, duplicates included, at which duplicates are thrown out: such a cycle may take long, and mutators look things up all the time.
pub const ROOTS_COMPACTED_AT: usize = 1 << 20;

/// How often an allocation waits for the collector and tries again before it answers that the heap is full.
pub const ALLOC_ATTEMPTS: u32 = 8;

/// How old a figure of the columns' pages may be.
pub const RESIDENT_EVERY: Duration = Duration::from_millis(100);

/// Hold-ups that are listed until somebody takes them: 48 bytes each, 12 MiB.
pub const HOLDUPS_LISTED_MAX: usize = 256 * 1024;
