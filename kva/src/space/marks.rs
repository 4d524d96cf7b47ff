//! A set of numbers below a bound, in words of 64, and above these words of their words.
//!
//! A bit of an upper level is set while the word below it is not zero, so that the next and the
//! previous member are found in a step or two a level, six levels for all of `u32`. Adding and
//! taking out touch an upper level only where a word was, or becomes, zero.

/// 64^6 is more than any `u32`.
const LEVELS: usize = 6;

#[derive(Debug)]
pub(super) struct Marks {
    words: Vec<u64>,
    /// Where each level begins in `words`, and, after the last one, where it ends.
    at: [usize; LEVELS + 1],
}

fn layout(bound: usize) -> [usize; LEVELS + 1] {
    let mut at = [0; LEVELS + 1];
    let mut bits = bound.max(1);
    for level in 0..LEVELS {
        let words = bits.div_ceil(64);
        at[level + 1] = at[level] + words;
        bits = words;
        if words == 1 {
            let end = at[level + 1];
            at[level + 1..].fill(end);
            break;
        }
    }
    at
}

impl Marks {
    /// How many bytes a set of numbers below `bound` takes.
    pub(super) fn bytes(bound: usize) -> usize {
        layout(bound)[LEVELS] * size_of::<u64>()
    }

    /// An empty set of numbers below `bound`.
    pub(super) fn new(bound: usize) -> Self {
        let at = layout(bound);
        Self { words: vec![0; at[LEVELS]], at }
    }

    #[cfg(all(test, not(loom)))]
    #[inline]
    pub(super) fn contains(&self, i: u32) -> bool {
        self.words[i as usize / 64] & (1 << (i % 64)) != 0
    }

    #[inline]
    pub(super) fn insert(&mut self, i: u32) {
        let word = &mut self.words[i as usize / 64];
        let before = *word;
        *word |= 1 << (i % 64);
        if before == 0 {
            self.note(i, |word, bit| *word |= bit);
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, i: u32) {
        let word = &mut self.words[i as usize / 64];
        *word &= !(1 << (i % 64));
        if *word == 0 {
            self.note(i, |word, bit| *word &= !bit);
        }
    }

    /// The word of `i` is no longer zero, or is zero: tells the levels above, up to the first
    /// that knew of another word anyway.
    #[cold]
    fn note(&mut self, i: u32, change: impl Fn(&mut u64, u64)) {
        let mut i = i as usize / 64;
        for level in 1..LEVELS {
            if self.at[level] == self.at[level + 1] {
                return;
            }
            let word = &mut self.words[self.at[level] + i / 64];
            let others = *word & !(1 << (i % 64));
            change(word, 1 << (i % 64));
            if others != 0 {
                return;
            }
            i /= 64;
        }
    }

    /// The largest member that is not above `i`.
    #[inline]
    pub(super) fn prev(&self, i: u32) -> Option<u32> {
        let word = self.words[i as usize / 64] & (u64::MAX >> (63 - i % 64));
        if word != 0 {
            return Some((i | 63) - word.leading_zeros());
        }
        self.prev_above(i as usize / 64)
    }

    /// The largest member in a word before `word`.
    fn prev_above(&self, word: usize) -> Option<u32> {
        let (mut level, mut i) = (1, word.checked_sub(1)?);
        loop {
            let bits = self.words[self.at[level] + i / 64] & (u64::MAX >> (63 - i % 64));
            if bits != 0 {
                i = (i | 63) - bits.leading_zeros() as usize;
                break;
            }
            (level, i) = (level + 1, (i / 64).checked_sub(1)?);
        }
        while level > 0 {
            level -= 1;
            i = i * 64 + 63 - self.words[self.at[level] + i].leading_zeros() as usize;
        }
        Some(i as u32)
    }

    /// The smallest member that is not below `i`, which may be the bound.
    #[inline]
    pub(super) fn next(&self, i: u32) -> Option<u32> {
        if i as usize / 64 >= self.at[1] {
            return None;
        }
        let word = self.words[i as usize / 64] & (u64::MAX << (i % 64));
        if word != 0 {
            return Some((i & !63) + word.trailing_zeros());
        }
        self.next_above(i as usize / 64)
    }

    /// The smallest member in a word after `word`.
    fn next_above(&self, word: usize) -> Option<u32> {
        let (mut level, mut i) = (1, word + 1);
        loop {
            if level == LEVELS || self.at[level] + i / 64 >= self.at[level + 1] {
                return None;
            }
            let bits = self.words[self.at[level] + i / 64] & (u64::MAX << (i % 64));
            if bits != 0 {
                i = i / 64 * 64 + bits.trailing_zeros() as usize;
                break;
            }
            (level, i) = (level + 1, i / 64 + 1);
        }
        while level > 0 {
            level -= 1;
            i = i * 64 + self.words[self.at[level] + i].trailing_zeros() as usize;
        }
        Some(i as u32)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Beside a set of the standard library, at bounds with one, two and three levels.
        #[test]
        fn agrees_with_a_set(
            bound in prop_oneof![1u32..200, 4000u32..4200, 262_000u32..263_000],
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..60),
        ) {
            let mut marks = Marks::new(bound as usize);
            let mut set = BTreeSet::new();
            for (i, insert) in steps {
                let i = i.index(bound as usize) as u32;
                if insert {
                    marks.insert(i);
                    set.insert(i);
                } else if let Some(&j) = set.range(i..).next() {
                    marks.remove(j);
                    set.remove(&j);
                }
                for at in [0, i, i.saturating_sub(1), (i + 1).min(bound - 1), bound - 1] {
                    prop_assert_eq!(marks.contains(at), set.contains(&at));
                    prop_assert_eq!(marks.prev(at), set.range(..=at).next_back().copied());
                    prop_assert_eq!(marks.next(at), set.range(at..).next().copied());
                }
            }
            prop_assert_eq!(marks.next(bound), None);
        }
    }
}
