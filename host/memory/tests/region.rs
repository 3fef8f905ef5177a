//! Regions and columns from outside: what is zero, what is shared, what is given back, what is refused.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use gc_memory::{MemoryError, Region};

const MIB: u64 = 1 << 20;

#[test]
fn a_region_is_zero_and_keeps_what_is_written() {
    for region in [Region::private(10_000).unwrap(), Region::shared("test", 10_000).unwrap()] {
        assert_eq!(region.len(), 12_288);
        let words = region.column::<AtomicU64>(4096, 1024).unwrap();
        assert!(words.iter().all(|word| word.load(Relaxed) == 0));
        words[1023].store(7, Relaxed);
        let again = region.column::<AtomicU64>(4096, 1024).unwrap();
        drop(words);
        drop(region);
        assert_eq!(again[1023].load(Relaxed), 7, "the column keeps the memory alive");
    }
}

#[test]
fn released_pages_read_as_zero_and_can_be_written_again() {
    for region in [Region::private(16_384).unwrap(), Region::shared("test", 16_384).unwrap()] {
        let cells = region.column::<AtomicU32>(0, 4096).unwrap();
        cells.iter().for_each(|cell| cell.store(9, Relaxed));
        region.release(4096..8192).unwrap();
        for (index, cell) in cells.iter().enumerate() {
            let expected = if (1024..2048).contains(&index) { 0 } else { 9 };
            assert_eq!(cell.load(Relaxed), expected, "cell {index}");
        }
        cells[1024].store(3, Relaxed);
        assert_eq!(cells[1024].load(Relaxed), 3);
    }
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let region = Region::private(4096).unwrap();
    let refused = |result: Result<_, MemoryError>| result.map(|_: ()| ()).unwrap_err().to_string();
    assert_eq!(
        refused(region.column::<AtomicU32>(0, 1025).map(|_| ())),
        "bytes 0..4100 are outside the region of 4096 bytes: check offset and length"
    );
    assert!(refused(region.column::<AtomicU64>(u64::MAX, 1).map(|_| ())).contains("outside"));
    assert!(refused(region.column::<AtomicU64>(8, usize::MAX).map(|_| ())).contains("outside"));
    assert!(refused(region.column::<AtomicU64>(4, 1).map(|_| ())).contains("not a multiple of 8"));
    let _low = region.column::<AtomicU64>(0, 8).unwrap();
    assert!(refused(region.column::<AtomicU8>(63, 1).map(|_| ())).contains("another element size"));
    assert_eq!(region.column::<AtomicU8>(64, 1).unwrap().len(), 1);
    assert!(refused(region.release(1..4096)).contains("not a multiple of 4096"));
    assert!(refused(region.release(0..8192)).contains("outside"));
}

#[test]
fn a_region_of_nothing_or_of_more_than_an_address_is_refused() {
    for bytes in [0, (1 << 47) + 1, u64::MAX] {
        let error = Region::private(bytes).unwrap_err();
        assert!(matches!(error, MemoryError::RegionSize { .. }), "{error}");
    }
    assert!(matches!(Region::private(4096).unwrap().read_only_fd(), Err(MemoryError::NotShared)));
}

#[cfg(not(miri))]
mod with_a_kernel {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn the_read_only_descriptor_sees_later_writes_and_cannot_write() {
        let region = Region::shared("gc-test", MIB).unwrap();
        let words = region.column::<AtomicU64>(0, 8).unwrap();
        let mut file = std::fs::File::from(region.read_only_fd().unwrap());
        words[0].store(0x0102_0304, Relaxed);
        let mut seen = [0; 8];
        file.read_exact(&mut seen).unwrap();
        assert_eq!(u64::from_ne_bytes(seen), 0x0102_0304);
        assert!(file.write_all(&seen).is_err());
        assert!(file.set_len(0).is_err(), "sealed against shrinking");
    }

    #[test]
    fn pages_appear_on_touch_and_leave_on_release() {
        for region in [Region::private(64 * MIB).unwrap(), Region::shared("test", 64 * MIB).unwrap()] {
            assert_eq!(region.resident_bytes(), 0);
            let words = region.column::<AtomicU64>(0, (64 * MIB / 8) as usize).unwrap();
            assert_eq!(words.as_ptr().addr() % (2 << 20), 0, "aligned to a huge page");
            for page in 0..(8 * MIB / 4096) as usize {
                words[page * 512].store(1, Relaxed);
            }
            assert_eq!(region.resident_bytes(), 8 * MIB);
            region.release(0..4 * MIB).unwrap();
            assert_eq!(region.resident_bytes(), 4 * MIB);
            assert_eq!((words[0].load(Relaxed), words[(4 * MIB / 8) as usize].load(Relaxed)), (0, 1));
            region.release(0..64 * MIB).unwrap();
            assert_eq!(region.resident_bytes(), 0, "also no trace of the read");
        }
    }
}
