//! Bitmaps of a region's quanta: which are used, which are withheld, and at which a run starts.
//!
//! The first two have a bit for each quantum from the last multiple of [`BLOCK`] positions before
//! the region on, so that the [`Tree`]'s blocks are whole words. What is before the region and
//! after it is used. Zeroes say "free", "not withheld", "no run": all but the ends costs nothing
//! until it is touched.
//!
//! # Invariants
//!
//! 1. A quantum is *used* if it is in a busy run, withheld, or outside the region.
//! 2. A quantum that is *withheld* is used, and in no run.
//! 3. A quantum is in `starts` if a run, free or busy, starts at it, or withheld quanta do that
//!    come after a run. So a run ends where the next start is. Among withheld quanta there may be
//!    more, and there is one after the last quantum.
//! 4. `withheld_count` quanta are withheld.
//! 5. Each block in which `used` changed since the tree was brought up to date is marked in it.

use std::ops::Range;

use super::marks::Marks;
#[cfg(all(test, not(loom)))]
use super::tree::Gaps;
use super::tree::{BLOCK, Tree, next_bit};

#[derive(Debug)]
pub(super) struct Map {
    /// The first quantum's bit.
    shift: u32,
    size: u32,
    /// The position of the first bit.
    base: u64,
    used: Vec<u64>,
    withheld: Vec<u64>,
    withheld_count: u32,
    starts: Marks,
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
        let words = 2 * blocks * (BLOCK as usize / 64) + Marks::words(n as usize + 1);
        words * size_of::<u64>() + Tree::bytes(origin as u64 / u64::from(BLOCK), blocks)
    }

    /// `n` quanta, all free, and no run; the first is at position `origin`.
    pub(super) fn new(n: u32, origin: usize) -> Self {
        let (shift, blocks) = (shift_of(origin), blocks_of(n, origin));
        let words = blocks * (BLOCK as usize / 64);
        let mut used = vec![0; words];
        if shift > 0 {
            each_word(0..shift as usize, |word, bits| used[word] |= bits);
        }
        each_word(shift as usize + n as usize..words * 64, |word, bits| used[word] |= bits);
        // So that each run has a start after it.
        let mut starts = Marks::new(n as usize + 1);
        starts.insert(n);
        Self {
            shift,
            size: n,
            base: origin as u64 - u64::from(shift),
            used,
            withheld: vec![0; words],
            withheld_count: 0,
            starts,
            tree: Tree::new(origin as u64 / u64::from(BLOCK), blocks),
        }
    }

    #[inline]
    fn bits(&self, quanta: &Range<u32>) -> Range<usize> {
        let shift = self.shift as usize;
        quanta.start as usize + shift..quanta.end as usize + shift
    }

    /// Whether the quantum is there and free. The one after the last may be asked for.
    #[inline]
    pub(super) fn is_free(&self, at: u32) -> bool {
        let bit = at as usize + self.shift as usize;
        self.used[bit / 64] & (1 << (bit % 64)) == 0
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
        each_word(bits, |word, bits| self.used[word] |= bits);
        self.touch(&quanta);
    }

    #[inline]
    pub(super) fn set_free(&mut self, quanta: Range<u32>) {
        let bits = self.bits(&quanta);
        each_word(bits, |word, bits| self.used[word] &= !bits);
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
        while let Some(start) = self.starts.next(quanta.start)
            && start < quanta.end
        {
            self.starts.remove(start);
        }
    }

    /// Whether the quantum is there and withheld. The one after the last may be asked for.
    #[inline]
    pub(super) fn is_withheld(&self, at: u32) -> bool {
        let bit = at as usize + self.shift as usize;
        self.withheld_count > 0 && self.withheld[bit / 64] & (1 << (bit % 64)) != 0
    }

    /// Of these quanta, those that are used and not withheld.
    pub(super) fn busy_in(&self, quanta: Range<u32>) -> u32 {
        let mut busy = 0;
        if !quanta.is_empty() {
            each_word(self.bits(&quanta), |word, bits| {
                busy += (self.used[word] & !self.withheld[word] & bits).count_ones();
            });
        }
        busy
    }

    /// The first longest range of free quanta within `quanta`.
    pub(super) fn next_free(&self, quanta: Range<u32>) -> Option<Range<u32>> {
        self.next_range(&self.used, u64::MAX, quanta)
    }

    /// The first longest range of withheld quanta within `quanta`.
    pub(super) fn next_withheld(&self, quanta: Range<u32>) -> Option<Range<u32>> {
        self.next_range(&self.withheld, 0, quanta)
    }

    fn next_range(&self, words: &[u64], flip: u64, quanta: Range<u32>) -> Option<Range<u32>> {
        let bits = self.bits(&quanta);
        let words = &words[..bits.end.div_ceil(64)];
        let start = next_bit(words, bits.start as u32, flip)? - self.shift;
        let end = next_bit(words, start + self.shift, !flip).map_or(u32::MAX, |bit| bit - self.shift);
        (start < quanta.end).then(|| start..end.min(quanta.end))
    }

    #[inline]
    pub(super) fn add_start(&mut self, at: u32) {
        self.starts.insert(at);
    }

    #[inline]
    pub(super) fn remove_start(&mut self, at: u32) {
        self.starts.remove(at);
    }

    /// Whether a busy run starts there.
    #[inline]
    pub(super) fn is_busy_start(&self, at: u32) -> bool {
        at < self.size && self.starts.contains(at) && !self.is_free(at) && !self.is_withheld(at)
    }

    /// Where the run ends that starts there.
    #[inline]
    pub(super) fn end_of(&self, start: u32) -> u32 {
        self.starts.next(start + 1).expect("one after the last quantum")
    }

    /// The last start that is no later than `at`.
    #[inline]
    pub(super) fn start_before(&self, at: u32) -> Option<u32> {
        self.starts.prev(at)
    }

    /// The first start that is no earlier than `at`.
    pub(super) fn start_after(&self, at: u32) -> Option<u32> {
        self.starts.next(at).filter(|&start| start < self.size)
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
        self.tree.first_fit(&self.used, from, len, log).map(|position| self.quantum(position))
    }

    /// How many quanta the longest free run has that starts at a multiple of 2^log.
    pub(super) fn longest(&mut self, log: u32) -> u32 {
        self.tree.longest(&self.used, log) as u32
    }

    /// The free runs, as the bitmap has them.
    #[cfg(all(test, not(loom)))]
    pub(super) fn gaps(&self) -> Vec<(u32, u32)> {
        Gaps::of(&self.used, 0).map(|(start, end)| (start - self.shift, end - start)).collect()
    }

    /// All but invariants 1 and 3, which need the runs.
    #[cfg(all(test, not(loom)))]
    pub(super) fn check(&self) {
        assert!(self.used.iter().zip(&self.withheld).all(|(used, withheld)| withheld & !used == 0));
        self.tree.check(&self.used);
    }
}
