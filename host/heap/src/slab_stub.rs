//! Temporary.
#![allow(missing_docs, reason = "temporary")]
use gc_memory::{Column, MemoryError, Region};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
#[derive(Clone, Debug, Default)]
pub struct SlabConfig {
    pub arena_bytes: u64,
}
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Block(NonZeroU32);
impl Block {
    pub fn index(self) -> u32 {
        self.0.get()
    }
    pub fn from_index(i: u32) -> Option<Block> {
        NonZeroU32::new(i).map(Block)
    }
}
pub struct Slabs {
    words: Column<AtomicU64>,
    sizes: Column<AtomicU32>,
    state: Mutex<(u64, std::collections::HashMap<u64, Vec<u32>>)>,
    used: AtomicU64,
}
pub struct Cache(Arc<Slabs>);
pub struct SlabStats {
    pub committed_bytes: u64,
    pub used_bytes: u64,
}
impl Slabs {
    pub fn new(c: SlabConfig) -> Result<Arc<Slabs>, MemoryError> {
        let n = (c.arena_bytes / 64 + 1) * 64;
        Ok(Arc::new(Slabs {
            words: Region::private(n)?.column(0, n as usize / 8)?,
            sizes: Region::private(n / 16)?.column(0, n as usize / 64)?,
            state: Mutex::new((1, Default::default())),
            used: AtomicU64::new(0),
        }))
    }
    pub fn cache(self: &Arc<Self>) -> Cache {
        Cache(self.clone())
    }
    pub fn words(&self, b: Block) -> &[AtomicU64] {
        let at = b.index() as usize * 8;
        &self.words[at..at + self.block_bytes(b) as usize / 8]
    }
    pub fn block_bytes(&self, b: Block) -> u64 {
        self.sizes[b.index() as usize].load(Ordering::Relaxed) as u64
    }
    pub fn stats(&self) -> SlabStats {
        SlabStats { committed_bytes: 0, used_bytes: self.used.load(Ordering::Relaxed) }
    }
    pub fn tick(&self, _: Duration) {}
}
impl Cache {
    pub fn allocate(&mut self, bytes: u64) -> Result<Block, MemoryError> {
        let size = bytes.next_multiple_of(64);
        let mut s = self.0.state.lock().unwrap();
        self.0.used.fetch_add(size, Ordering::Relaxed);
        if let Some(i) = s.1.get_mut(&size).and_then(|v| v.pop()) {
            return Ok(Block::from_index(i).unwrap());
        }
        let at = s.0;
        s.0 += size / 64;
        self.0.sizes[at as usize].store(size as u32, Ordering::Relaxed);
        Ok(Block::from_index(at as u32).unwrap())
    }
    pub fn free(&mut self, b: Block) {
        let z = self.0.block_bytes(b);
        self.0.used.fetch_sub(z, Ordering::Relaxed);
        self.0.state.lock().unwrap().1.entry(z).or_default().push(b.index());
    }
}
