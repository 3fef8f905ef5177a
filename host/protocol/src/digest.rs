//! What a set of objects is, in 256 numbers: client and home compare them, and see in which bucket they differ.
//!
//! Written by whoever changes the set, one exclusive-or per change. Each number is the exclusive-or of the hashes of the objects in its bucket, so order
//! and history do not matter. Two sets that differ are taken for equal with probability 2^-64; a client that lies can only hurt itself.
//!
//! This is the "live" message of stub-scion-pair chains (Shapiro, Dickman, Plainfossé 1992): idempotent, and indifferent to loss and order. Lost
//! messages therefore cost one interval, where a counting protocol would leak for good.

use std::hash::{Hash, Hasher};

use crate::ids::Object;
use crate::limits::BUCKETS;

/// Hashes of the buckets of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    buckets: Box<[u64; BUCKETS]>,
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.buckets.iter().fold(0, |all, bucket| all ^ bucket));
    }
}

impl Default for Digest {
    fn default() -> Digest {
        Digest { buckets: Box::new([0; BUCKETS]) }
    }
}

/// Spreads 64 bits over 64 bits, one to one (splitmix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

fn hash(object: Object) -> u64 {
    mix(u64::from(object.cell) << 32 | u64::from(object.generation))
}

/// The bucket that an object is in.
#[must_use]
pub fn bucket_of(object: Object) -> u8 {
    (hash(object) >> 56) as u8
}

impl Digest {
    /// Puts an object in, or takes it out.
    pub fn toggle(&mut self, object: Object) {
        let hash = hash(object);
        // The hash decides the bucket too: mixed once more, its upper byte says something.
        self.buckets[(hash >> 56) as usize] ^= mix(hash);
    }

    /// One number for all buckets.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.buckets.iter().fold(0, |root, &bucket| mix(root ^ bucket))
    }

    /// The numbers of the buckets.
    #[must_use]
    pub fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    /// Buckets that differ from these numbers. Missing numbers differ.
    pub fn differing<'a>(&'a self, theirs: &'a [u64]) -> impl Iterator<Item = u8> + 'a {
        (0..BUCKETS).filter(|&at| theirs.get(at) != Some(&self.buckets[at])).map(|at| at as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(cell: u32) -> Object {
        Object { cell, generation: 0 }
    }

    #[test]
    fn a_digest_is_of_the_set_not_of_its_history() {
        let (mut left, mut right) = (Digest::default(), Digest::default());
        for cell in 0..1000 {
            left.toggle(object(cell));
            right.toggle(object(999 - cell));
        }
        right.toggle(object(5000));
        assert_ne!(left.root(), right.root());
        assert_eq!(left.differing(right.buckets()).collect::<Vec<_>>(), [bucket_of(object(5000))]);
        right.toggle(object(5000));
        assert_eq!(left, right);
    }

    #[test]
    fn every_bucket_is_used() {
        let mut digest = Digest::default();
        (0..10_000).for_each(|cell| digest.toggle(object(cell)));
        assert!(digest.buckets().iter().all(|&bucket| bucket != 0));
        assert_eq!(digest.differing(&[]).count(), 256);
    }
}
