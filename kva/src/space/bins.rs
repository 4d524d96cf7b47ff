//! Free runs in lists by length: segregated fit in two levels, as in TLSF (Masmano, Ripoll,
//! Crespo and Real, "TLSF: a new dynamic memory allocator for real-time systems", 2004).
//!
//! Lengths below 32 have a bin each; above that there are sixteen bins a power of two. Bit masks
//! say which bins have a run, so that the smallest one that will do is found in a few steps.
//!
//! The lists are threaded through the table of the runs. The first entry's `PREV` means nothing:
//! that an entry is first is known by its bin. So taking the first one out touches no other.

use super::runs::{Entry, NEXT, PREV};
use crate::list::NIL;

/// 16 a power of two and one row before: the bin of the longest run, 2^31 - 1, is the last.
const BINS: usize = 448;
const WORDS: usize = BINS / 64;

#[derive(Debug)]
pub(super) struct Bins {
    heads: [u32; BINS],
    /// Bit `b` is set while bin `b` has a run.
    occupied: [u64; WORDS],
    /// Bit `w` is set while `occupied[w]` is not zero.
    words: u8,
}

/// The bin of runs of `len` quanta. It never falls as `len` grows.
#[inline]
pub(super) const fn bin_of(len: u32) -> usize {
    let shift = (len | 16).ilog2() - 4;
    ((shift << 4) + (len >> shift)) as usize
}

/// The first bin in which all runs have at least `len` quanta.
#[inline]
pub(super) const fn sure_bin(len: u32) -> usize {
    bin_of(len - 1) + 1
}

impl Bins {
    pub(super) const fn new() -> Self {
        Self { heads: [NIL; BINS], occupied: [0; WORDS], words: 0 }
    }

    /// Adds the run at `start`, which has `len` quanta.
    #[inline]
    pub(super) fn insert(&mut self, entries: &mut [Entry], start: u32, len: u32) {
        let bin = bin_of(len);
        let head = self.heads[bin];
        let entry = &mut entries[start as usize];
        entry[NEXT] = head;
        self.heads[bin] = start;
        if head == NIL {
            self.occupied[bin / 64] |= 1 << (bin % 64);
            self.words |= 1 << (bin / 64);
        } else {
            entries[head as usize][PREV] = start;
        }
    }

    /// Takes the run at `start`, which has `len` quanta, out of its list.
    #[inline]
    pub(super) fn remove(&mut self, entries: &mut [Entry], start: u32, len: u32) {
        let bin = bin_of(len);
        let entry = entries[start as usize];
        if self.heads[bin] == start {
            return self.pop(bin, entry[NEXT]);
        }
        entries[entry[PREV] as usize][NEXT] = entry[NEXT];
        if entry[NEXT] != NIL {
            entries[entry[NEXT] as usize][PREV] = entry[PREV];
        }
    }

    /// Takes out the first run of a bin, after which comes `next`.
    #[inline]
    pub(super) fn pop(&mut self, bin: usize, next: u32) {
        self.heads[bin] = next;
        if next == NIL {
            self.occupied[bin / 64] &= !(1 << (bin % 64));
            if self.occupied[bin / 64] == 0 {
                self.words &= !(1 << (bin / 64));
            }
        }
    }

    /// The first run of a bin.
    #[inline]
    pub(super) fn first_of(&self, bin: usize) -> Option<u32> {
        self.heads.get(bin).copied().filter(|&run| run != NIL)
    }

    /// The first bin from `bin` on that has a run, and its first run.
    #[inline]
    pub(super) fn first_from(&self, bin: usize) -> Option<(usize, u32)> {
        let mut word = bin / 64;
        let mut bits = self.occupied.get(word)? & (u64::MAX << (bin % 64));
        if bits == 0 {
            let words = self.words & (0xfeu32 << word) as u8;
            if words == 0 {
                return None;
            }
            word = words.trailing_zeros() as usize;
            bits = self.occupied[word];
        }
        let bin = word * 64 + bits.trailing_zeros() as usize;
        Some((bin, self.heads[bin]))
    }

    /// The runs of the bins from `first` up to `end`, smallest bin first.
    pub(super) fn runs<'a>(
        &'a self,
        entries: &'a [Entry],
        first: usize,
        end: usize,
    ) -> impl Iterator<Item = u32> + 'a {
        let bin = move |from| self.first_from(from).filter(|&(bin, _)| bin < end);
        std::iter::successors(bin(first), move |&(at, run)| match entries[run as usize][NEXT] {
            NIL => bin(at + 1),
            next => Some((at, next)),
        })
        .map(|(_, run)| run)
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn check(&self, entries: &[Entry], len_of: impl Fn(u32) -> u32) {
        for bin in 0..BINS {
            assert_eq!(self.occupied[bin / 64] & (1 << (bin % 64)) != 0, self.heads[bin] != NIL);
            let (mut prev, mut run) = (NIL, self.heads[bin]);
            while run != NIL {
                let entry = entries[run as usize];
                assert_eq!(bin_of(len_of(run)), bin, "the run at {run} is in the wrong bin");
                assert!(prev == NIL || entry[PREV] == prev, "the links at {run} disagree");
                (prev, run) = (run, entry[NEXT]);
            }
        }
        for (word, &bits) in self.occupied.iter().enumerate() {
            assert_eq!(self.words & (1 << word) != 0, bits != 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_partition_the_lengths_in_order() {
        assert!((0..32).all(|len| bin_of(len) == len as usize), "short ones have a bin each");
        for len in (1..5000).chain((12..31).flat_map(|log| [(1 << log) - 1, 1 << log, (1 << log) + 1])) {
            let (bin, sure) = (bin_of(len), sure_bin(len));
            assert!(bin_of(len - 1) <= bin && bin <= bin_of(len - 1) + 1);
            // All that are in a sure bin are long enough, and no smaller bin is sure.
            assert!(bin_of(len - 1) < sure && sure <= bin + 1);
            assert_eq!(sure == bin, bin_of(len - 1) < bin, "{len}");
        }
        assert_eq!(bin_of((1 << 31) - 1), BINS - 1);
    }
}
