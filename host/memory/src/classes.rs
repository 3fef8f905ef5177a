//! Which size class serves a request, and where its blocks lie in a slab: pure arithmetic.
//!
//! Sizes are multiples of 64 bytes (a *granule*, one cache line) up to a page, then powers of two up to half a slab. What is larger spans whole slabs.
//! So a block of up to a page wastes at most 63 bytes, a larger one less than half.
//!
//! Which of the sizes there are blocks of is a setting; by default of all. Numbers stay as they are: what has no blocks of its own is served by the next class
//! that has some, which the magazines need not know.
//!
//! Classes are numbered from 1, so that a zeroed map of classes says "none" everywhere; up to a page the number is the size in granules.

use crate::MemoryError;

/// What an address in the arena is a multiple of: one cache line.
pub(crate) const GRANULE_BYTES: u64 = 64;

/// Up to here there is a class for every multiple of a granule.
const FINE_BYTES: u64 = 4096;
const FINE_CLASSES: u8 = (FINE_BYTES / GRANULE_BYTES) as u8;

/// Class of what nobody has.
pub(crate) const NO_CLASS: u8 = 0;
/// The highest class that any slab size gives: slabs are at most 32 MiB, so its blocks have 16 MiB.
pub(crate) const CLASS_MAX: u8 = FINE_CLASSES + 12;
/// Class of the first slab of a block of whole slabs.
pub(crate) const LARGE: u8 = u8::MAX;
/// Class of the other slabs of such a block.
pub(crate) const LARGE_REST: u8 = u8::MAX - 1;

pub(crate) const SLAB_BYTES_MIN: u64 = 64 << 10;
pub(crate) const SLAB_BYTES_MAX: u64 = 32 << 20;

/// Blocks of one size, and how they lie in a slab: side by side from its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Size of a block in granules.
    pub(crate) granules: u32,
    /// Blocks in a slab.
    pub(crate) per_slab: u32,
    /// 2^40 / granules, rounded up: a multiplication instead of a division.
    reciprocal: u64,
}

impl Shape {
    pub(crate) fn new(granules: u32, slab_bytes: u64) -> Shape {
        assert!((SLAB_BYTES_MIN..=SLAB_BYTES_MAX).contains(&slab_bytes) && granules > 0);
        let per_slab = (slab_bytes / GRANULE_BYTES) as u32 / granules;
        Shape { granules, per_slab, reciprocal: (1 << 40) / u64::from(granules) + 1 }
    }

    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.granules) * GRANULE_BYTES
    }

    /// Which block of the slab begins at this granule of it; `None` if none does.
    ///
    /// Exact: a slab has at most 2^19 granules `g`, the reciprocal is too large by at most 1, so the product by at most `g` < 2^40 / granules.
    #[inline]
    pub(crate) fn number(&self, granule: u32) -> Option<u32> {
        let number = ((u64::from(granule) * self.reciprocal) >> 40) as u32;
        (number < self.per_slab && number * self.granules == granule).then_some(number)
    }
}

/// The class whose blocks are the smallest that hold this many bytes, if there is one for slabs of this size.
pub(crate) fn class_of(bytes: u64, class_count: usize) -> Option<u8> {
    let bytes = bytes.max(1);
    let class = fine_class(bytes).unwrap_or_else(|| {
        let log = u64::BITS - (bytes - 1).leading_zeros();
        FINE_CLASSES + (log - FINE_BYTES.ilog2()) as u8
    });
    (usize::from(class) <= class_count).then_some(class)
}

/// The class of 1 to 4096 bytes, in three instructions; `None` for anything else.
#[inline(always)]
pub(crate) fn fine_class(bytes: u64) -> Option<u8> {
    let below = bytes.wrapping_sub(1) / GRANULE_BYTES;
    // Written so that the compiler sees that a class is not zero.
    (below < u64::from(FINE_CLASSES)).then(|| below as u8 + 1)
}

/// The shapes of all classes for slabs of this size, from class 1 on.
pub(crate) fn shapes(slab_bytes: u64) -> Vec<Shape> {
    let fine = (1..=u32::from(FINE_CLASSES)).map(|granules| Shape::new(granules, slab_bytes));
    let coarse = (13..)
        .map(|log| 1_u64 << log)
        .take_while(|bytes| bytes * 2 <= slab_bytes)
        .map(|bytes| Shape::new((bytes / GRANULE_BYTES) as u32, slab_bytes));
    fine.chain(coarse).collect()
}

/// By class less one, the class that serves it where there are blocks of these sizes alone: the smallest that holds it, or [`NO_CLASS`].
pub(crate) fn serving(sizes: Option<&[u64]>, shapes: &[Shape]) -> Result<Vec<u8>, MemoryError> {
    let Some(sizes) = sizes else { return Ok((1..=shapes.len() as u8).collect()) };
    let refuse = |reason| Err(MemoryError::Config { reason });
    if sizes.is_empty() || !sizes.is_sorted_by(|one, other| one < other) {
        return refuse("block sizes are none, or do not rise: give at least one, the smallest first");
    }
    if !sizes.iter().all(|&size| shapes.iter().any(|shape| shape.bytes() == size)) {
        return refuse(
            "a block size is neither a multiple of 64 up to 4096 nor a power of two up to half a slab: correct it",
        );
    }
    let serves = |shape: &Shape| {
        let size = sizes.iter().find(|&&size| size >= shape.bytes());
        let at = size.and_then(|&size| shapes.iter().position(|shape| shape.bytes() == size));
        at.map_or(NO_CLASS, |at| at as u8 + 1)
    };
    Ok(shapes.iter().map(serves).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_some_sizes_the_smallest_that_holds_it_serves() {
        let shapes = shapes(SLAB_BYTES_MIN);
        let all = serving(None, &shapes).unwrap();
        assert_eq!(all, (1..=shapes.len() as u8).collect::<Vec<_>>());
        let some = serving(Some(&[64, 256, 8192]), &shapes).unwrap();
        assert_eq!((some[0], &some[1..4]), (1, &[4, 4, 4][..]));
        // Classes 65 to 67 are of 8, 16 and 32 KiB.
        assert!(some[4..65].iter().all(|&class| class == 65), "{some:?}");
        assert_eq!(some[65..], [NO_CLASS, NO_CLASS]);
        for wrong in [&[][..], &[64, 64], &[128, 64], &[100], &[0], &[5000], &[SLAB_BYTES_MIN]] {
            assert!(serving(Some(wrong), &shapes).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        let shapes = shapes(2 << 20);
        assert_eq!(shapes.len(), 64 + 8);
        assert!(self::shapes(SLAB_BYTES_MAX).len() == usize::from(CLASS_MAX));
        let most = if cfg!(miri) { 9000 } else { 1 << 20 };
        for bytes in 0..=most {
            let class = class_of(bytes, shapes.len()).unwrap();
            let at = usize::from(class) - 1;
            assert!(shapes[at].bytes() >= bytes);
            assert!(at == 0 || shapes[at - 1].bytes() < bytes, "{bytes} in class {class}");
            assert!(class > FINE_CLASSES || shapes[at].granules == u32::from(class));
            assert_eq!(fine_class(bytes), (1..=4096).contains(&bytes).then_some(class));
        }
        assert_eq!(class_of((1 << 20) + 1, shapes.len()), None);
        assert_eq!(class_of(u64::MAX, shapes.len()), None);
    }

    #[test]
    fn a_block_is_found_by_its_first_granule_and_by_no_other() {
        let sizes: &[u64] =
            if cfg!(miri) { &[SLAB_BYTES_MIN] } else { &[SLAB_BYTES_MIN, 2 << 20, SLAB_BYTES_MAX] };
        for &slab_bytes in sizes {
            let skip = if cfg!(miri) { 13 } else { 1 };
            for shape in shapes(slab_bytes).iter().step_by(skip) {
                for granule in 0..(slab_bytes / GRANULE_BYTES) as u32 {
                    let number = granule / shape.granules;
                    let expected = granule.is_multiple_of(shape.granules) && number < shape.per_slab;
                    assert_eq!(shape.number(granule), expected.then_some(number));
                }
            }
        }
    }
}
