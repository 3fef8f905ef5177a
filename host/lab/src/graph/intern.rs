//! Numbers for words: the same word always gets the same number, counted from 0.
//!
//! A word of up to 15 bytes is its own key, so that looking it up touches the table alone; that is nearly
//! every id there is. A longer word has its hash for a key and is compared with the arena.
//!
//! With millions of words each look-up is a cache miss or two. [`Interner::numbers`] looks many short words
//! up in one tight loop, so that the processor waits for several of them at a time: a graph of a million
//! objects loads 1.5 times as fast as word by word.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::ids::Words;

/// Longest word that is its own key.
const SHORT: usize = 15;

/// In the place of the length, for words that are longer.
const LONG: u8 = 0xff;

/// No word has this number: there are fewer than `limits::OBJECTS_MAX`.
const UNKNOWN: u32 = u32::MAX;

#[derive(Copy, Clone)]
struct Entry {
    key: [u64; 2],
    number: u32,
}

#[derive(Default)]
pub(crate) struct Interner {
    table: HashTable<Entry>,
    words: Words,
}

/// A word of up to 15 bytes: the word itself, zeroes, its length.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Short([u64; 2]);

impl Short {
    /// None when the word is longer.
    #[inline]
    pub(crate) fn new(word: &[u8]) -> Option<Short> {
        (word.len() <= SHORT).then(|| Short(key(word)))
    }

    fn with_word<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0[0].to_le_bytes());
        bytes[8..].copy_from_slice(&self.0[1].to_le_bytes());
        work(&bytes[..usize::from(bytes[SHORT])])
    }
}

impl Interner {
    /// The number of a word; a new one when the word is. None when there are `max` words already.
    #[inline]
    pub(crate) fn number(&mut self, word: &[u8], max: usize) -> Option<u32> {
        let key = key(word);
        let hash = mix(key);
        let words = &self.words;
        let found = self.table.find(hash, |entry| {
            entry.key == key && (word.len() <= SHORT || words.word(entry.number) == word)
        });
        match found {
            Some(entry) => Some(entry.number),
            None => self.insert(key, hash, word, max),
        }
    }

    /// The numbers of many words, appended to `numbers` in their order. False when there are more than `max`
    /// words.
    pub(crate) fn numbers(&mut self, shorts: &[Short], numbers: &mut Vec<u32>, max: usize) -> bool {
        let begin = numbers.len();
        numbers.extend(shorts.iter().map(|short| {
            self.table.find(mix(short.0), |entry| entry.key == short.0).map_or(UNKNOWN, |entry| entry.number)
        }));
        for (short, number) in shorts.iter().zip(&mut numbers[begin..]) {
            if *number == UNKNOWN {
                // The same word may have come before it in this call.
                match short.with_word(|word| self.number(word, max)) {
                    Some(new) => *number = new,
                    None => return false,
                }
            }
        }
        true
    }

    fn insert(&mut self, key: [u64; 2], hash: u64, word: &[u8], max: usize) -> Option<u32> {
        if self.words.len() >= max {
            return None;
        }
        let number = self.words.len() as u32;
        self.words.push(word);
        self.table.insert_unique(hash, Entry { key, number }, |entry| mix(entry.key));
        Some(number)
    }

    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    pub(crate) fn into_words(self) -> Words {
        self.words
    }
}

#[inline]
fn key(word: &[u8]) -> [u64; 2] {
    let mut bytes = [0; 16];
    if word.len() <= SHORT {
        bytes[..word.len()].copy_from_slice(word);
        bytes[SHORT] = word.len() as u8;
    } else {
        let mut hasher = FxHasher::default();
        hasher.write(word);
        bytes[..8].copy_from_slice(&hasher.finish().to_le_bytes());
        bytes[SHORT] = LONG;
    }
    let (low, high) = bytes.split_at(8);
    [low, high].map(|half| u64::from_le_bytes(half.try_into().expect("half of sixteen is eight")))
}

/// Folded multiplication: every bit of the key reaches the high and the low bits of the hash, which the table
/// uses both.
#[inline]
fn mix(key: [u64; 2]) -> u64 {
    let product = u128::from(key[0] ^ 0x9e37_79b9_7f4a_7c15) * u128::from(key[1] ^ 0xd1b5_4a32_d192_ed03);
    let folded = product as u64 ^ (product >> 64) as u64;
    folded.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ folded.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_and_only_those_share_a_number() {
        let mut interner = Interner::default();
        let long = "x".repeat(40);
        let words: Vec<Vec<u8>> = (0..5000_u32)
            .flat_map(|i| {
                [format!("{i}"), format!("{i}\0"), format!("{long}{i}"), "y".repeat(i as usize % 20)]
            })
            .map(String::into_bytes)
            .collect();
        let numbers: Vec<u32> = words.iter().map(|word| interner.number(word, usize::MAX).unwrap()).collect();
        for (word, &number) in words.iter().zip(&numbers) {
            assert_eq!(interner.words().word(number), &word[..]);
            assert_eq!(interner.number(word, 0), Some(number));
        }
        assert_eq!(interner.words().len(), 15_020);
        assert_eq!(interner.number(b"one more", 15_020), None);
    }

    #[test]
    fn many_words_get_the_numbers_that_they_would_get_one_by_one() {
        let words: Vec<Vec<u8>> =
            (0..3000_u32).map(|i| format!("{}", i.wrapping_mul(2_654_435_761) % 700).into_bytes()).collect();
        let (mut one_by_one, mut together) = (Interner::default(), Interner::default());
        let wanted: Vec<u32> =
            words.iter().map(|word| one_by_one.number(word, usize::MAX).unwrap()).collect();
        let mut found = Vec::new();
        for words in words.chunks(97) {
            let shorts: Vec<Short> = words.iter().filter_map(|word| Short::new(word)).collect();
            assert!(together.numbers(&shorts, &mut found, usize::MAX));
        }
        assert_eq!(found, wanted);
        assert!(Short::new(&[b'x'; 15]).is_some() && Short::new(&[b'x'; 16]).is_none());
        assert!(!together.numbers(&[Short::new(b"new").unwrap()], &mut found, 700));
    }

    #[test]
    fn short_numeric_ids_spread_over_the_table() {
        let low_bits = |hash: u64| hash & 0xfff;
        let mut seen = std::collections::HashSet::new();
        for i in 0..4096 {
            seen.insert(low_bits(mix(key(format!("{i}").as_bytes()))));
        }
        // A random function hits about 63 % of the places.
        assert!(seen.len() > 2400, "{}", seen.len());
    }
}
