//! One region's free and busy runs.
//!
//! Bitmaps say where runs start, and so where they end, and which quanta are free: what is known
//! of a run otherwise is in a table, at its first quantum. There are no boundary tags. The bitmaps
//! are a thirtieth of the table, and in the cache when the table is not; of a busy neighbour no
//! entry is touched.
//!
//! # Invariants
//!
//! 1. Each quantum is in a run, free or busy, or is withheld; no two free runs touch.
//! 2. At the quanta where a run starts the bitmap of starts has a bit, and within runs it has none.
//! 3. The entry of a free run: `[previous, next]`; it is in the list of its bin.
//! 4. The entry of a busy run: `[serial, client]`.
//! 5. The quanta of free runs are not used in the bitmap; all others are.
//!
//! The entries of quanta where no run starts mean nothing.

#![allow(
    clippy::inline_always,
    reason = "most takings and frees: their stores are read back at once, in one frame"
)]

use std::ops::Range;

use super::MAX_QUANTA;
use super::bins::{Bins, bin_of, sure_bin};
use super::map::Map;
use crate::placement::{Fit, Placement};
use crate::shape::Shape;

/// An array, so that a zeroed table costs nothing until it is touched.
pub(super) type Entry = [u32; 2];
/// Of a free run, among those of its bin.
pub(super) const PREV: usize = 0;
pub(super) const NEXT: usize = 1;
/// Of a busy run: the number of its taking.
const SERIAL: usize = 0;
/// Of a busy run: who has it.
const CLIENT: usize = 1;

/// How many runs instant fit looks at that may do, before it searches.
const LOOKS_INSTANT: usize = 4;
/// How many best fit looks at.
const LOOKS_BEST: usize = 64;

/// One region: `n` quanta, next to each other.
#[derive(Debug)]
pub(crate) struct Runs {
    /// The position of the first quantum.
    origin: u64,
    n: u32,
    entries: Vec<Entry>,
    bins: Bins,
    map: Map,
}

/// What is sought, with the quanta it may have counted from the region's first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) placement: Placement,
    min: u32,
    max: u32,
    /// A run that is long enough to be aligned in has it: there are no constraints but these.
    sure: bool,
}

/// A free run, and where in it what is sought fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    run: u32,
    run_end: u32,
    pub(super) at: u32,
}

impl Found {
    /// The length of the run.
    pub(super) fn run_len(&self) -> u32 {
        self.run_end - self.run
    }
}

/// What came of looking at some of the runs that may do.
pub(super) enum Look {
    Found(Found),
    /// There is no other, and none of them did.
    None,
    /// There are more.
    Unknown,
}

impl Want {
    /// In a region whose first quantum is `first`, and which has `n`.
    #[inline]
    pub(super) fn new(placement: &Placement, first: u32, n: u32) -> Self {
        let room = placement.room();
        let (min, max) = (room.start.saturating_sub(first), room.end.saturating_sub(first).min(n));
        let sure = min == 0 && max == n && placement.nocross_boundary() == 0;
        Self { placement: *placement, min, max, sure }
    }

    fn len(&self) -> u32 {
        self.placement.shape().len()
    }

    /// The first bin all of whose runs have room for this.
    #[inline]
    fn sure_bin(&self) -> Option<usize> {
        let enough = self.len().checked_add(self.placement.shape().align() - 1)?;
        (self.sure && enough <= MAX_QUANTA).then(|| sure_bin(enough))
    }

    pub(super) fn quanta(&self) -> Range<u32> {
        self.min..self.max
    }
}

impl Runs {
    /// `n` free quanta, the first of which is at position `origin`. `None`: there is no memory
    /// for its tables.
    pub(crate) fn new(n: u32, origin: usize) -> Option<Self> {
        debug_assert!(0 < n && n <= MAX_QUANTA);
        // Zeroed vectors cost nothing until they are touched, but cannot be had fallibly:
        // so whether there is room for them is tried first.
        let bytes = size_of::<Entry>().checked_mul(n as usize)?.checked_add(Map::bytes(n, origin))?;
        Vec::<u8>::new().try_reserve_exact(bytes).ok()?;
        let mut runs = Self {
            origin: origin as u64,
            n,
            entries: vec![[0; 2]; n as usize],
            bins: Bins::new(),
            map: Map::new(n, origin),
        };
        runs.map.add_start(0);
        runs.bins.insert(&mut runs.entries, 0, n);
        Some(runs)
    }

    pub(crate) fn size(&self) -> u32 {
        self.n
    }

    pub(super) fn origin(&self) -> u64 {
        self.origin
    }

    pub(super) fn map(&self) -> &Map {
        &self.map
    }

    /// Where in the quanta `start..end` it fits first.
    #[inline]
    pub(super) fn fit(&self, start: u32, end: u32, want: &Want) -> Option<u32> {
        let placement = &want.placement;
        if placement.is_plain() {
            let shape = placement.shape();
            let pad = self.pad(start, shape.align());
            return (u64::from(pad) + u64::from(shape.len()) <= u64::from(end - start)).then(|| start + pad);
        }
        let (start, end) = (start.max(want.min), end.min(want.max));
        let at = placement.first_from(self.origin + u64::from(start))? - self.origin;
        (at + u64::from(want.len()) <= u64::from(end)).then_some(at as u32)
    }

    fn found(&self, run: u32, want: &Want) -> Option<Found> {
        let run_end = self.map.end_of(run);
        let at = self.fit(run, run_end, want)?;
        Some(Found { run, run_end, at })
    }

    /// In constant time: the first run of the smallest bin in which all are sure to do.
    #[inline]
    pub(super) fn find_sure(&self, want: &Want) -> Option<Found> {
        let (_, run) = self.bins.first_from(want.sure_bin()?)?;
        let found = self.found(run, want);
        debug_assert!(found.is_some(), "sure to fit");
        found
    }

    /// Among the first few runs that may do, in the smallest bins.
    pub(super) fn find_near(&self, want: &Want) -> Look {
        let looks = match want.placement.policy() {
            Fit::Instant => LOOKS_INSTANT,
            Fit::Best => LOOKS_BEST,
        };
        let end = want.sure_bin().unwrap_or(usize::MAX);
        let mut runs = self.bins.runs(&self.entries, bin_of(want.len()), end);
        let found = runs.by_ref().take(looks).find_map(|run| self.found(run, want));
        match found {
            Some(found) => Look::Found(found),
            None if runs.next().is_none() => Look::None,
            None => Look::Unknown,
        }
    }

    /// The leftmost place in any run. O(log n) with no constraint but the shape and the quanta it
    /// may have; with a phase, or a boundary not to be crossed, times the runs that are long
    /// enough and do not do.
    pub(super) fn search(&mut self, want: &Want) -> Option<Found> {
        let (len, align) = (want.len(), want.placement.shape().align());
        let at = if want.placement.is_aligned_only() {
            self.map.first_fit(want.min, len, align.trailing_zeros())
        } else {
            self.search_good(want)
        };
        let at = at.filter(|at| u64::from(*at) + u64::from(len) <= u64::from(want.max))?;
        let run = self.map.start_before(at).expect("a free quantum is in a run");
        Some(Found { run, run_end: self.map.end_of(run), at })
    }

    fn search_good(&mut self, want: &Want) -> Option<u32> {
        let len = want.len();
        let mut free = self.map.first_fit(want.min, len, 0)?;
        loop {
            let good = want.placement.first_from(self.origin + u64::from(free))? - self.origin;
            let good = u32::try_from(good).ok().filter(|&good| good < want.max)?;
            if free == good {
                return Some(good);
            }
            // Where it is not free from `good` on, this is another run.
            free = self.map.first_fit(good, len, 0)?;
        }
    }

    /// Finds a free run, and where in it.
    #[inline]
    pub(super) fn find(&mut self, want: &Want) -> Option<Found> {
        if want.placement.policy() == Fit::Instant
            && let Some(found) = self.find_sure(want)
        {
            return Some(found);
        }
        match self.find_near(want) {
            Look::Found(found) => Some(found),
            Look::None => self.find_sure(want),
            Look::Unknown => self.find_sure(want).or_else(|| self.search(want)),
        }
    }

    /// The free run that all of `quanta` is in, if there is one.
    pub(super) fn find_at(&self, quanta: Range<u32>) -> Option<Found> {
        if !self.map.is_free(quanta.start) {
            return None;
        }
        let run = self.map.start_before(quanta.start)?;
        let run_end = self.map.end_of(run);
        (quanta.end <= run_end).then_some(Found { run, run_end, at: quanta.start })
    }

    /// Where it takes what has that shape and no constraint, in constant time, if it can.
    ///
    /// What was given with the same shape a moment ago is the first of its bin, and may be good
    /// again although its bin is not a sure one. To take it is to break up no other run.
    #[inline]
    pub(super) fn take_sure(&mut self, shape: Shape) -> Option<u32> {
        let (len, align) = (shape.len(), shape.align());
        if align > 1
            && let bin = bin_of(len)
            && let Some(run) = self.bins.first_of(bin)
            && let run_end = self.map.end_of(run)
            && self.pad(run, align) + len <= run_end - run
        {
            return Some(self.take_first(bin, run, run_end, shape));
        }
        let enough = len.checked_add(align - 1)?;
        let (bin, run) = self.bins.first_from(sure_bin(enough))?;
        Some(self.take_first(bin, run, self.map.end_of(run), shape))
    }

    /// How many quanta from `start` on a multiple of `align` is.
    #[inline]
    fn pad(&self, start: u32, align: u32) -> u32 {
        (self.origin as u32).wrapping_add(start).wrapping_neg() & (align - 1)
    }

    /// Takes from the first run of a bin, in which there is room.
    #[inline]
    fn take_first(&mut self, bin: usize, run: u32, run_end: u32, shape: Shape) -> u32 {
        let at = run + self.pad(run, shape.align());
        debug_assert!(at + shape.len() <= run_end, "sure to fit");
        self.bins.pop(bin, self.entries[run as usize][NEXT]);
        self.cut_out(Found { run, run_end, at }, shape.len());
        at
    }

    /// Takes `len` quanta out of a free run. They start where they do in the bitmap, but what
    /// they are now is the caller's to say.
    pub(super) fn cut(&mut self, found: Found, len: u32) {
        self.bins.remove(&mut self.entries, found.run, found.run_len());
        self.cut_out(found, len);
    }

    /// As [`cut`](Self::cut), of a run that is in no list any more.
    #[inline]
    fn cut_out(&mut self, found: Found, len: u32) {
        let Found { run, run_end, at } = found;
        if at > run {
            self.bins.insert(&mut self.entries, run, at - run);
            self.map.add_start(at);
        }
        let end = at + len;
        if run_end > end {
            self.bins.insert(&mut self.entries, end, run_end - end);
            self.map.add_start(end);
        }
        self.map.set_used(at..end);
    }

    /// Says whose the used quanta are that start there.
    #[inline]
    pub(super) fn mark(&mut self, start: u32, serial: u32, client: u32) {
        let entry = &mut self.entries[start as usize];
        entry[SERIAL] = serial;
        entry[CLIENT] = client;
    }

    /// Cuts a busy run in two.
    pub(super) fn split(&mut self, at: u32) {
        self.map.add_start(at);
    }

    /// Length, serial and client of the busy run that starts there, if one does.
    #[inline(always)]
    pub(super) fn busy_at(&self, start: u32) -> Option<(u32, u32, u32)> {
        if !self.map.is_busy_start(start) {
            return None;
        }
        let entry = self.entries[start as usize];
        Some((self.map.end_of(start) - start, entry[SERIAL], entry[CLIENT]))
    }

    /// Another client for a busy run.
    pub(super) fn set_client(&mut self, start: u32, client: u32) {
        self.entries[start as usize][CLIENT] = client;
    }

    /// The last start no later than `at`, or the first one.
    pub(super) fn start_around(&self, at: u32) -> Option<u32> {
        self.map.start_before(at).or_else(|| self.map.start_after(at))
    }

    /// The first start after `start`.
    pub(super) fn start_after(&self, start: u32) -> Option<u32> {
        self.map.start_after(start + 1)
    }

    /// Frees a busy run, or what was one, and joins it with its free neighbours.
    #[inline]
    pub(super) fn free(&mut self, quanta: Range<u32>) {
        let Range { mut start, mut end } = quanta;
        self.map.set_free(start..end);
        if self.map.is_free(end) {
            self.map.remove_start(end);
            let next = end;
            end = self.map.end_of(next);
            self.bins.remove(&mut self.entries, next, end - next);
        }
        if start > 0 && self.map.is_free(start - 1) {
            self.map.remove_start(start);
            let before = self.map.start_before(start - 1).expect("a free quantum is in a run");
            self.bins.remove(&mut self.entries, before, start - before);
            start = before;
        }
        self.bins.insert(&mut self.entries, start, end - start);
    }

    /// Gives back a busy run: what is `inside` of it is withheld, the rest free.
    pub(super) fn free_around(&mut self, quanta: Range<u32>, inside: Range<u32>) {
        if inside.end < quanta.end {
            self.map.add_start(inside.end);
            self.free(inside.end..quanta.end);
        }
        if !inside.is_empty() {
            self.map.add_start(inside.start);
            self.map.withhold(inside.clone());
        }
        if quanta.start < inside.start {
            self.free(quanta.start..inside.start);
        }
    }

    /// Withholds what is free of these quanta; how many.
    pub(super) fn withhold_free(&mut self, quanta: Range<u32>) -> u32 {
        let mut count = 0;
        let mut rest = quanta;
        while let Some(free) = self.map.next_free(rest.clone()) {
            let found = self.find_at(free.clone()).expect("free quanta in a row are one run's");
            self.cut(found, free.end - free.start);
            self.map.withhold(free.clone());
            count += free.end - free.start;
            rest.start = free.end;
        }
        count
    }

    /// Frees what is withheld of these quanta; how many.
    pub(super) fn free_withheld(&mut self, quanta: Range<u32>) -> u32 {
        let mut count = 0;
        let mut rest = quanta;
        while let Some(withheld) = self.map.next_withheld(rest.clone()) {
            if self.map.is_withheld(withheld.end) {
                self.map.add_start(withheld.end);
            }
            self.let_go(withheld.clone());
            self.free(withheld.clone());
            count += withheld.end - withheld.start;
            rest.start = withheld.end;
        }
        count
    }

    /// Withheld quanta become a busy run, whose it is is the caller's to say.
    pub(super) fn let_go(&mut self, quanta: Range<u32>) {
        let start = quanta.start;
        self.map.let_go(quanta);
        self.map.add_start(start);
    }

    pub(super) fn longest(&mut self, log: u32) -> u32 {
        self.map.longest(log)
    }

    /// The free runs, as start and length, in no order.
    pub(super) fn free_runs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.bins.runs(&self.entries, 0, usize::MAX).map(|run| (run, self.map.end_of(run) - run))
    }

    /// Checks the invariants, in time proportional to the size; how many quanta are free.
    #[cfg(all(test, not(loom)))]
    pub(super) fn check(&self) -> u32 {
        self.map.check();
        self.bins.check(&self.entries, |run| self.map.end_of(run) - run);
        let (mut at, mut free) = (0, Vec::new());
        while at < self.n {
            if let Some(withheld) = self.map.next_withheld(at..self.n)
                && withheld.start == at
            {
                at = withheld.end;
                continue;
            }
            assert_eq!(self.map.start_before(at), Some(at), "no run starts at {at}");
            let end = self.map.end_of(at);
            assert_eq!(self.map.next_withheld(at..end), None, "withheld, and in a run");
            let free_part = self.map.next_free(at..end);
            if free_part.is_some() {
                assert_eq!(free_part, Some(at..end), "only a part is free");
                free.push((at, end - at));
            }
            at = end;
        }
        assert_eq!(self.map.gaps(), free, "what is free in the bitmap; runs that touch are one there");
        let mut listed: Vec<_> = self.free_runs().collect();
        listed.sort_unstable();
        assert_eq!(listed, free);
        free.iter().map(|(_, len)| len).sum()
    }
}
