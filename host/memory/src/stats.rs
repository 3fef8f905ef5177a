//! Where the bytes of payload memory are, and how much of it is lost to fragmentation: plain values.

/// A look at [`Slabs`](crate::Slabs).
#[derive(Clone, Debug, PartialEq)]
pub struct SlabStats {
    /// Bytes that can be committed at most.
    pub reserved_bytes: u64,
    /// Bytes in slabs that a size class or a large block has.
    pub committed_bytes: u64,
    /// Bytes in blocks of whole slabs.
    pub large_bytes: u64,
    /// The size classes, smallest first.
    pub classes: Vec<ClassStats>,
}

/// A look at one size class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassStats {
    /// Size of a block.
    pub block_bytes: u64,
    /// Blocks in the slabs of this class.
    pub committed_blocks: u64,
    /// Blocks that somebody has allocated and not freed.
    pub used_blocks: u64,
    /// Free blocks in the caches of threads.
    pub cached_blocks: u64,
    /// Free blocks in slabs that could be given back as a whole.
    pub releasable_blocks: u64,
    /// What requests asked for, sampled: one request stands for the batch that it fetched.
    pub sampled_asked_bytes: u64,
    /// What the same requests got.
    pub sampled_given_bytes: u64,
}

impl SlabStats {
    /// Bytes in blocks that somebody has allocated and not freed.
    pub fn used_bytes(&self) -> u64 {
        self.large_bytes + self.sum(|class| class.used_blocks)
    }

    /// Free bytes in the caches of threads.
    pub fn cached_bytes(&self) -> u64 {
        self.sum(|class| class.cached_blocks)
    }

    /// Free bytes that cannot be given back, because something in their slab is in use or cached: external fragmentation.
    pub fn trapped_bytes(&self) -> u64 {
        let releasable = self.sum(|class| class.releasable_blocks);
        self.committed_bytes.saturating_sub(self.used_bytes() + self.cached_bytes() + releasable)
    }

    /// Trapped bytes as a share of the committed ones, 0 to 1.
    pub fn fragmentation(&self) -> f64 {
        share(self.trapped_bytes(), self.committed_bytes)
    }

    /// The share of used bytes that rounding up to a class wastes, estimated from samples, 0 to 1: internal fragmentation.
    pub fn rounding(&self) -> f64 {
        let asked: u64 = self.classes.iter().map(|class| class.sampled_asked_bytes).sum();
        let given: u64 = self.classes.iter().map(|class| class.sampled_given_bytes).sum();
        share(given.saturating_sub(asked), given)
    }

    fn sum(&self, blocks: impl Fn(&ClassStats) -> u64) -> u64 {
        self.classes.iter().map(|class| blocks(class) * class.block_bytes).sum()
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
