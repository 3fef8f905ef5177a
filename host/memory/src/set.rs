//! A set of slab numbers that gives its lowest and highest member fast.

/// Numbers below a fixed bound, one bit each. Lowest and highest are found from hints, which only scans over what was removed move.
#[derive(Clone, Debug, Default)]
pub(crate) struct NumberSet {
    words: Vec<u64>,
    count: u32,
    /// No word below holds a member.
    low: usize,
    /// No word from here on holds a member.
    high: usize,
}

impl NumberSet {
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// Adds a number that is not in the set.
    pub(crate) fn insert(&mut self, number: u32) {
        let at = number as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        assert!(!self.contains(number), "slab {number} is in the set already");
        self.words[at] |= 1 << (number % 64);
        self.low = if self.count == 0 { at } else { self.low.min(at) };
        self.high = self.high.max(at + 1);
        self.count += 1;
    }

    /// Takes a number out that is in the set.
    pub(crate) fn remove(&mut self, number: u32) {
        assert!(self.contains(number), "slab {number} is not in the set");
        self.words[number as usize / 64] &= !(1 << (number % 64));
        self.count -= 1;
        while self.low < self.high && self.words[self.low] == 0 {
            self.low += 1;
        }
        while self.high > self.low && self.words[self.high - 1] == 0 {
            self.high -= 1;
        }
    }

    pub(crate) fn first(&self) -> Option<u32> {
        let word = *self.words[..self.high].get(self.low)?;
        Some(self.low as u32 * 64 + word.trailing_zeros())
    }

    /// Members from the highest down.
    pub(crate) fn descending(&self) -> impl Iterator<Item = u32> {
        let words = self.words[self.low..self.high].iter().enumerate().rev();
        words.flat_map(|(at, &word)| {
            let base = (self.low + at) as u32 * 64;
            (0..64).rev().filter(move |bit| word >> bit & 1 != 0).map(move |bit| base + bit)
        })
    }

    /// The highest run of `length` members in a row: its first number.
    pub(crate) fn highest_run(&self, length: u32) -> Option<u32> {
        let mut run = 0;
        let mut previous = None;
        for number in self.descending() {
            run = if previous == Some(number + 1) { run + 1 } else { 1 };
            if run == length {
                return Some(number);
            }
            previous = Some(number);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_set(numbers in prop::collection::vec(0_u32..300, 0..300), length in 1_u32..5) {
            let (mut set, mut model) = (NumberSet::default(), BTreeSet::new());
            for number in numbers {
                if model.insert(number) {
                    set.insert(number);
                } else {
                    model.remove(&number);
                    set.remove(number);
                }
                prop_assert_eq!(set.first(), model.first().copied());
                prop_assert_eq!(set.len() as usize, model.len());
            }
            prop_assert!(set.descending().eq(model.iter().rev().copied()));
            let run = (0..300).rev().find(|&first| (first..first + length).all(|n| model.contains(&n)));
            prop_assert_eq!(set.highest_run(length), run);
        }
    }
}
