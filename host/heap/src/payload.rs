//! Payloads: one word with the length, then the bytes. Only ever touched as relaxed atomics, so that no mistake elsewhere can make a
//! read undefined.

use std::sync::atomic::{AtomicU64, Ordering};

const HEADER_BYTES: u64 = 8;

/// Bytes that the block of a payload must have.
#[inline]
pub(crate) fn block_bytes(len: usize) -> u64 {
    if len == 0 { 0 } else { HEADER_BYTES + (len as u64).next_multiple_of(8) }
}

#[inline]
pub(crate) fn write(words: &[AtomicU64], bytes: &[u8]) {
    words[0].store(bytes.len() as u64, Ordering::Relaxed);
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, eight) in words[1..].iter().zip(whole) {
        word.store(u64::from_le_bytes(*eight), Ordering::Relaxed);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        words[1 + whole.len()].store(last, Ordering::Relaxed);
    }
}

#[inline]
pub(crate) fn len(words: &[AtomicU64]) -> usize {
    words[0].load(Ordering::Relaxed) as usize
}

#[inline]
pub(crate) fn read(words: &[AtomicU64], out: &mut Vec<u8>) {
    let len = len(words).min((words.len() - 1) * 8);
    let end = out.len() + len;
    out.reserve(len.next_multiple_of(8));
    for word in &words[1..1 + len.div_ceil(8)] {
        out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for len in [1, 7, 8, 9, 63, 64, 65, 1000] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let words: Vec<AtomicU64> = (0..block_bytes(len) / 8).map(|_| AtomicU64::new(u64::MAX)).collect();
            write(&words, &bytes);
            let mut out = b"before".to_vec();
            read(&words, &mut out);
            assert_eq!(out[6..], bytes);
        }
    }
}
