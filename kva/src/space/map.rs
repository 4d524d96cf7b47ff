//! Bitmaps of a region's quanta: which are used, which are withheld, and at which a run starts.
//!
//! There is a bit for each quantum from the last multiple of [`BLOCK`] positions before the region
//! on, so that the [`Tree`]'s blocks are whole words. What is before the region and after it is
//! used. Zeroes say "free", "not withheld", "no run": all but the ends costs nothing until it is
//! touched. Used quanta and starts lie word by word side by side, since who wants one wants the
//! other.
//!
//! # Invariants
//!
//! 1. A quantum is *used* if it is in a busy run, withheld, or outside the region.
//! 2. A quantum that is *withheld* is used, and in no run.
//! 3. A quantum is a *start* if a run, free or busy, starts at it, or withheld quanta do that
//!    come after a run. So a run ends where the next start is. Among withheld quanta there may be
//!    more, and there is one after the last quantum.
//! 4. `withheld_count` quanta are withheld.
//! 5. Each block in which `used` changed since the tree was brought up to date is marked in it.

use std::ops::Range;

use super::marks::Marks;
#[cfg(all(test, not(loom)))]
use super::tree::Gaps;
use super::tree::{BLOCK, Tree, next_bit};

/// 64 quanta: which are used, at which there is a start.
pub(super) type Word = [u64; 2];
pub(super) const USED: usize = 0;
const STARTS: usize = 1;

#[derive(Debug)]
pub(super) struct Map {
    /// The first quantum's bit.
    shift: u32,
    size: u32,
    /// The position of the first bit.
    base: u64,
    words: Vec<Word>,
    /// The words that have a start.
    with_starts: Marks,
    withheld: Vec<u64>,
    withheld_count: u32,
    tree: Tree,
}

fn shift_of(origin: usize) -> u32 {
    origin as u32 % BLOCK
}

/// One bit after the last quantum's is there to be looked at, and used.
fn blocks_of(n: u32, origin: usize) -> usize {
    (shift_of(origin) as usize + n as usize) / BLOCK as usize + 1
}

/// Each word that has some of the bits, and which of its bits these are.
#[inline]
fn each_word(bits: Range<usize>, mut act: impl FnMut(usize, u64)) {
    let (first, last) = (bits.start / 64, (bits.end - 1) / 64);
    let (head, tail) = (u64::MAX << (bits.start % 64), u64::MAX >> (63 - (bits.end - 1) % 64));
    if first == last {
        return act(first, head & tail);
    }
    act(first, head);
    for word in first + 1..last {
        act(word, u64::MAX);
    }
    act(last, tail);
}

impl Map {
    pub(super) fn bytes(n: u32, origin: usize) -> usize {
        let blocks = blocks_of(n, origin);
        let words = blocks * (BLOCK as usize / 64);
        let withheld = words * size_of::<u64>();
        words * size_of::<Word>()
            + withheld
            + Marks::bytes(words)
            + Tree::bytes(origin as u64 / u64::from(BLOCK), blocks)
    }

    /// `n` quanta, all free, and no run; the first is at position `origin`.
    pub(super) fn new(n: u32, origin: usize) -> Self {
        let (shift, blocks) = (shift_of(origin), blocks_of(n, origin));
        let count = blocks * (BLOCK as usize / 64);
        let mut words = vec![[0; 2]; count];
        let end = shift as usize + n as usize;
        if shift > 0 {
            each_word(0..shift as usize, |word, bits| words[word][USED] |= bits);
        }
        each_word(end..count * 64, |word, bits| words[word][USED] |= bits);
        let mut map = Self {
            shift,
            size: n,
            base: origin as u64 - u64::from(shift),
            words,
            with_starts: Marks::new(count),
            withheld: vec![0; count],
            withheld_count: 0,
            tree: Tree::new(origin as u64 / u64::from(BLOCK), blocks),
        };
        // So that each run has a start after it.
        map.add_start(n);
        map
    }

    #[inline]
    fn bits(&self, quanta: &Range<u32>) -> Range<usize> {
        let shift = self.shift as usize;
        quanta.start as usize + shift..quanta.end as usize + shift
    }

    /// The word of a quantum, and its bit there.
    #[inline]
    fn bit(&self, at: u32) -> (usize, u64) {
        let bit = at as usize + self.shift as usize;
        (bit / 64, 1 << (bit % 64))
    }

    /// Whether the quantum is there and free. The one after the last may be asked for.
    #[inline]
    pub(super) fn is_free(&self, at: u32) -> bool {
        let (word, bit) = self.bit(at);
        self.words[word][USED] & bit == 0
    }

    #[inline]
    fn touch(&mut self, quanta: &Range<u32>) {
        let bits = self.bits(quanta);
        let (first, last) = (bits.start as u32 / BLOCK, (bits.end - 1) as u32 / BLOCK);
        self.tree.touch(first);
        for block in (first + 1)..=last {
            self.tree.touch(block);
        }
    }

    #[inline]
    pub(super) fn set_used(&mut self, quanta: Range<u32>) {
        let bits = self.bits(&quanta);
        each_word(bits, |word, bits| self.words[word][USED] |= bits);
        self.touch(&quanta);
    }

    #[inline]
    pub(super) fn set_free(&mut self, quanta: Range<u32>) {
        let bits = self.bits(&quanta);
        each_word(bits, |word, bits| self.words[word][USED] &= !bits);
        self.touch(&quanta);
    }

    /// These quanta, which are used and not withheld, are.
    pub(super) fn withhold(&mut self, quanta: Range<u32>) {
        self.withheld_count += quanta.end - quanta.start;
        each_word(self.bits(&quanta), |word, bits| self.withheld[word] |= bits);
    }

    /// These quanta, which are withheld, are only used, and no run starts among them.
    pub(super) fn let_go(&mut self, quanta: Range<u32>) {
        self.withheld_count -= quanta.end - quanta.start;
        each_word(self.bits(&quanta), |word, bits| self.withheld[word] &= !bits);
        while let Some(start) = self.start_after(quanta.start)
            && start < quanta.end
        {
            self.remove_start(start);
        }
    }

    /// Whether the quantum is there and withheld. The one after the last may be asked for.
    #[inline]
    pub(super) fn is_withheld(&self, at: u32) -> bool {
        let (word, bit) = self.bit(at);
        self.withheld_count > 0 && self.withheld[word] & bit != 0
    }

    /// Of these quanta, those that are used and not withheld.
    pub(super) fn busy_in(&self, quanta: Range<u32>) -> u32 {
        let mut busy = 0;
        if !quanta.is_empty() {
            each_word(self.bits(&quanta), |word, bits| {
                busy += (self.words[word][USED] & !self.withheld[word] & bits).count_ones();
            });
        }
        busy
    }

    /// As far as nothing is busy around `quanta`, but no further than `reach` on each side.
    pub(super) fn idle_around(&self, quanta: Range<u32>, reach: u32) -> Range<u32> {
        let (low, high) =
            (quanta.start.saturating_sub(reach), self.size.min(quanta.end.saturating_add(reach)));
        let (mut start, mut end) = (low, high);
        let busy = |word: usize, bits: u64| self.words[word][USED] & !self.withheld[word] & bits;
        let quantum = |word: usize, bit: u32| (word * 64) as u32 + bit - self.shift;
        if low < quanta.start {
            each_word(self.bits(&(low..quanta.start)), |word, bits| {
                let busy = busy(word, bits);
                if busy != 0 {
                    start = quantum(word, busy.ilog2()) + 1;
                }
            });
        }
        if quanta.end < high {
            each_word(self.bits(&(quanta.end..high)), |word, bits| {
                let busy = busy(word, bits);
                if busy != 0 {
                    end = end.min(quantum(word, busy.trailing_zeros()));
                }
            });
        }
        start..end
    }

    /// The first longest range of free quanta within `quanta`.
    pub(super) fn next_free(&self, quanta: Range<u32>) -> Option<Range<u32>> {
        self.next_range(|word| !self.words[word][USED], quanta)
    }

    /// The first longest range of withheld quanta within `quanta`.
    pub(super) fn next_withheld(&self, quanta: Range<u32>) -> Option<Range<u32>> {
        self.next_range(|word| self.withheld[word], quanta)
    }

    fn next_range(&self, word: impl Fn(usize) -> u64, quanta: Range<u32>) -> Option<Range<u32>> {
        let bits = self.bits(&quanta);
        let end = bits.end.div_ceil(64);
        let start = next_bit(&word, bits.start as u32, end)? - self.shift;
        let end = next_bit(|at| !word(at), start + self.shift, end).map_or(u32::MAX, |bit| bit - self.shift);
        (start < quanta.end).then(|| start..end.min(quanta.end))
    }

    #[inline]
    pub(super) fn add_start(&mut self, at: u32) {
        let (word, bit) = self.bit(at);
        let starts = &mut self.words[word][STARTS];
        if *starts == 0 {
            self.with_starts.insert(word as u32);
        }
        *starts |= bit;
    }

    #[inline]
    pub(super) fn remove_start(&mut self, at: u32) {
        let (word, bit) = self.bit(at);
        let starts = &mut self.words[word][STARTS];
        *starts &= !bit;
        if *starts == 0 {
            self.with_starts.remove(word as u32);
        }
    }

    /// Whether a busy run starts there.
    #[inline]
    pub(super) fn is_busy_start(&self, at: u32) -> bool {
        let (word, bit) = self.bit(at);
        at < self.size
            && self.words[word][STARTS] & self.words[word][USED] & bit != 0
            && !self.is_withheld(at)
    }

    /// Where the run ends that starts there.
    #[inline]
    pub(super) fn end_of(&self, start: u32) -> u32 {
        let (word, bit) = self.bit(start);
        // All bits above that one; none where it is the last.
        let after = self.words[word][STARTS] & !(bit | (bit - 1));
        if after != 0 {
            return word as u32 * 64 + after.trailing_zeros() - self.shift;
        }
        self.start_in_word_after(word).expect("one after the last quantum")
    }

    fn start_in_word_after(&self, word: usize) -> Option<u32> {
        let word = self.with_starts.next(word as u32 + 1)?;
        Some(word * 64 + self.words[word as usize][STARTS].trailing_zeros() - self.shift)
    }

    /// The last start that is no later than `at`.
    #[inline]
    pub(super) fn start_before(&self, at: u32) -> Option<u32> {
        let (word, bit) = self.bit(at);
        let before = self.words[word][STARTS] & (bit | (bit - 1));
        if before != 0 {
            return Some(word as u32 * 64 + 63 - before.leading_zeros() - self.shift);
        }
        let word = self.with_starts.prev((word as u32).checked_sub(1)?)?;
        Some(word * 64 + 63 - self.words[word as usize][STARTS].leading_zeros() - self.shift)
    }

    /// The first start that is no earlier than `at`, which is at most one after the last quantum.
    pub(super) fn start_after(&self, at: u32) -> Option<u32> {
        let (word, bit) = self.bit(at);
        let after = self.words[word][STARTS] & !(bit - 1);
        let start = if after == 0 {
            self.start_in_word_after(word)?
        } else {
            word as u32 * 64 + after.trailing_zeros() - self.shift
        };
        (start < self.size).then_some(start)
    }

    fn quantum(&self, position: u64) -> u32 {
        (position - self.base) as u32 - self.shift
    }

    /// The first quantum from `from` on with `len` free ones from it on whose position is a
    /// multiple of 2^log.
    pub(super) fn first_fit(&mut self, from: u32, len: u32, log: u32) -> Option<u32> {
        if from >= self.size {
            return None;
        }
        let from = self.base + u64::from(self.shift) + u64::from(from);
        self.tree.first_fit(&self.words, from, len, log).map(|position| self.quantum(position))
    }

    /// How many quanta the longest free run has that starts at a multiple of 2^log.
    pub(super) fn longest(&mut self, log: u32) -> u32 {
        self.tree.longest(&self.words, log) as u32
    }

    /// The free runs, as the bitmap has them.
    #[cfg(all(test, not(loom)))]
    pub(super) fn gaps(&self) -> Vec<(u32, u32)> {
        Gaps::of(&self.words, 0).map(|(start, end)| (start - self.shift, end - start)).collect()
    }

    /// All but invariants 1 and 3, which need the runs.
    #[cfg(all(test, not(loom)))]
    pub(super) fn check(&self) {
        assert!(self.words.iter().zip(&self.withheld).all(|(word, withheld)| withheld & !word[USED] == 0));
        let withheld: u32 = self.withheld.iter().map(|word| word.count_ones()).sum();
        assert_eq!(withheld, self.withheld_count);
        for (at, word) in self.words.iter().enumerate() {
            assert_eq!(self.with_starts.contains(at as u32), word[STARTS] != 0);
        }
        self.tree.check(&self.words);
    }
}
