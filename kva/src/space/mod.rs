//! Which quanta are free: pure bookkeeping, no lock, no memory behind it.
//!
//! All regions' quanta are one row of numbers: those of region `i` come after those of region
//! `i - 1`. Runs never join across regions, and nothing is taken across. Nearly always there is
//! one region; it needs no search.
//!
//! | file | has |
//! | --- | --- |
//! | [`runs`] | one region's free and busy runs |
//! | [`bins`] | free runs in lists by length, for instant fit |
//! | [`map`] | the bitmaps: used, withheld, where runs start |
//! | [`tree`] | the summary of the bitmap, for the exact search |
//! | [`marks`] | sets of numbers with a next and a previous |
//! | [`window`] | what is withheld for one request |
//!
//! # Fit
//!
//! 1. Instant fit (vmem's `VM_INSTANTFIT`), O(1): the first run of the smallest bin in which
//!    every run is large enough, wherever it starts. What is aligned is first looked for at the
//!    first run of its own bin: there is what was given with the same shape a moment ago.
//! 2. A few runs of the smaller bins, which may do.
//! 3. The leftmost place there is, O(log n): what can be satisfied is satisfied.
//!
//! Best fit takes the second step first, and looks at more runs. What it finds there is longer
//! than the shortest that does by an eighth at most. If none of these runs did, it takes what the
//! other steps find.
//!
//! # Invariants
//!
//! 1. `free + withheld +` the quanta of busy runs `= size`.
//! 2. Withheld are the quanta in the window that are in no busy run, and no others.

#![allow(
    clippy::inline_always,
    reason = "most takings and frees: their stores are read back at once, in one frame"
)]

mod bins;
mod map;
mod marks;
mod runs;
#[cfg(all(test, not(loom)))]
mod tests;
mod tree;
mod window;

use std::ops::Range;

pub(crate) use runs::Runs;
use runs::{Found, Look, Want};
use window::Window;

use crate::placement::{Fit, Placement};

/// The most quanta an arena may have: a multiple of any alignment is less than 2^32 then.
pub(crate) const MAX_QUANTA: u32 = (1 << 31) - 1;

/// Free and busy runs over `[0, size)` quanta.
#[derive(Debug)]
pub(crate) struct Space {
    first: Region,
    more: Vec<Region>,
    size: u32,
    free: u32,
    serial: u32,
    window: Option<Window>,
    /// The quantum at which the next search for a window begins.
    cursor: u32,
    aimings: u64,
}

#[derive(Debug)]
struct Region {
    /// Its first quantum.
    first: u32,
    runs: Runs,
}

impl Region {
    fn want(&self, placement: &Placement) -> Want {
        Want::new(placement, self.first, self.runs.size())
    }
}

/// What is known of a busy run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) serial: u32,
}

impl Busy {
    const fn end(self) -> u32 {
        self.start + self.len
    }
}

impl Space {
    /// One region of `n` free quanta, the first of which is at position `origin`. `None`: there
    /// is no memory for its tables.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn new(n: u32, origin: usize) -> Option<Self> {
        Runs::new(n, origin).map(Self::of)
    }

    /// One region.
    pub(crate) fn of(runs: Runs) -> Self {
        let n = runs.size();
        Self {
            first: Region { first: 0, runs },
            more: Vec::new(),
            size: n,
            free: n,
            serial: 0,
            window: None,
            cursor: 0,
            aimings: 0,
        }
    }

    /// Adds a region; its first quantum. With it there are no more than [`MAX_QUANTA`].
    pub(crate) fn add(&mut self, runs: Runs) -> u32 {
        let (first, n) = (self.size, runs.size());
        assert!(n <= MAX_QUANTA - first, "more quanta than an arena may have");
        self.more.push(Region { first, runs });
        self.size += n;
        self.free += n;
        first
    }

    /// How many quanta there are.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// How many of them can be taken.
    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    /// How many are in no busy run and cannot be taken, since they are in the window.
    pub(crate) fn withheld(&self) -> u32 {
        self.window.as_ref().map_or(0, Window::withheld)
    }

    /// The number of the region that a quantum is in.
    #[inline]
    fn region_of(&self, at: u32) -> usize {
        if at < self.first.runs.size() { 0 } else { self.more.partition_point(|region| region.first <= at) }
    }

    #[inline]
    fn region(&self, number: usize) -> &Region {
        if number == 0 { &self.first } else { &self.more[number - 1] }
    }

    #[inline]
    fn region_mut(&mut self, number: usize) -> &mut Region {
        if number == 0 { &mut self.first } else { &mut self.more[number - 1] }
    }

    fn regions(&self) -> impl Iterator<Item = &Region> {
        std::iter::once(&self.first).chain(&self.more)
    }

    #[inline]
    fn find(&mut self, placement: &Placement) -> Option<(usize, Found)> {
        if self.more.is_empty() {
            let want = self.first.want(placement);
            return self.first.runs.find(&want).map(|found| (0, found));
        }
        self.find_in_many(placement)
    }

    /// Each step in all regions before the next.
    fn find_in_many(&mut self, placement: &Placement) -> Option<(usize, Found)> {
        let regions = 0..=self.more.len();
        let mut sure = regions
            .clone()
            .filter_map(|i| Some((i, self.region(i).runs.find_sure(&self.region(i).want(placement))?)));
        if placement.policy() == Fit::Instant
            && let Some(found) = sure.next()
        {
            return Some(found);
        }
        let near = regions.clone().filter_map(|i| {
            let region = self.region(i);
            match region.runs.find_near(&region.want(placement)) {
                Look::Found(found) => Some((i, found)),
                Look::None | Look::Unknown => None,
            }
        });
        let best = near.chain(sure).min_by_key(|(_, found)| found.run_len());
        best.or_else(|| {
            regions.into_iter().find_map(|i| {
                let region = self.region_mut(i);
                let want = region.want(placement);
                region.runs.search(&want).map(|found| (i, found))
            })
        })
    }

    /// Whether it could be taken now.
    pub(crate) fn fits(&mut self, placement: &Placement) -> bool {
        self.find(placement).is_some()
    }

    /// Takes what fits, for `client`.
    #[inline(always)]
    pub(crate) fn take(&mut self, placement: &Placement, client: u32) -> Option<Busy> {
        let shape = placement.shape();
        if self.more.is_empty()
            && placement.is_plain()
            && placement.policy() == Fit::Instant
            && let Some(start) = self.first.runs.take_sure(shape)
        {
            self.free -= shape.len();
            return Some(self.mark(0, start, shape.len(), client));
        }
        let (number, found) = self.find(placement)?;
        Some(self.cut(number, found, shape.len(), client))
    }

    fn cut(&mut self, number: usize, found: Found, len: u32, client: u32) -> Busy {
        self.free -= len;
        let region = self.region_mut(number);
        region.runs.cut(found, len);
        let start = region.first + found.at;
        self.mark(number, start, len, client)
    }

    #[inline(always)]
    fn mark(&mut self, number: usize, start: u32, len: u32, client: u32) -> Busy {
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let region = self.region_mut(number);
        region.runs.mark(start - region.first, serial, client);
        Busy { start, len, serial }
    }

    /// Takes just these quanta, if all of them are there and free.
    pub(crate) fn take_at(&mut self, start: u32, len: u32, client: u32) -> Option<Busy> {
        debug_assert!(0 < len);
        if start.checked_add(len)? > self.size {
            return None;
        }
        let number = self.region_of(start);
        let region = self.region(number);
        let at = start - region.first;
        let found = region.runs.find_at(at..at + len)?;
        Some(self.cut(number, found, len, client))
    }

    #[inline(always)]
    fn entry(&self, start: u32) -> Option<(u32, u32, u32)> {
        let region = self.region(self.region_of(start));
        region.runs.busy_at(start - region.first)
    }

    /// The busy run that starts at `start`, if one does.
    #[inline]
    pub(crate) fn busy_at(&self, start: u32) -> Option<Busy> {
        if start >= self.size {
            return None;
        }
        self.entry(start).map(|(len, serial, _)| Busy { start, len, serial })
    }

    /// What the taker of a busy run had remembered with it. `None`: there is no such run, or not
    /// of that taking.
    #[inline(always)]
    pub(crate) fn note_of_held(&self, busy: Busy) -> Option<u32> {
        if busy.start >= self.size {
            return None;
        }
        let (len, serial, note) = self.entry(busy.start)?;
        (len == busy.len && serial == busy.serial).then_some(note)
    }

    /// What the taker of a busy run had remembered with it.
    pub(crate) fn note_of(&self, busy: Busy) -> u32 {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        self.entry(busy.start).map_or(0, |(_, _, client)| client)
    }

    /// Remembers something else with a busy run.
    pub(crate) fn set_note(&mut self, busy: Busy, note: u32) {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        let region = self.region_mut(self.region_of(busy.start));
        let at = busy.start - region.first;
        region.runs.set_client(at, note);
    }

    /// Whether it fits at the start of the busy run: then the run can be passed on.
    pub(crate) fn suits(&self, busy: Busy, placement: &Placement) -> bool {
        let region = self.region(self.region_of(busy.start));
        let at = busy.start - region.first;
        let want = region.want(placement);
        want.quanta().start <= at && region.runs.fit(at, at + busy.len, &want) == Some(at)
    }

    /// Passes a busy run on to `client` without its ever being free, cut to what is asked for,
    /// which it must suit. What is left over becomes free.
    pub(crate) fn pass_on(&mut self, busy: Busy, placement: &Placement, client: u32) -> Busy {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        debug_assert!(self.suits(busy, placement));
        let number = self.region_of(busy.start);
        let len = placement.shape().len();
        if len < busy.len {
            let (_, rest) = self.split(busy, len);
            self.give(rest);
        }
        self.mark(number, busy.start, len, client)
    }

    /// Cuts a busy run in two, both busy, the first of them `len` quanta long.
    pub(crate) fn split(&mut self, busy: Busy, len: u32) -> (Busy, Busy) {
        debug_assert!(0 < len && len < busy.len);
        let client = self.note_of(busy);
        let number = self.region_of(busy.start);
        let region = self.region_mut(number);
        region.runs.split(busy.start - region.first + len);
        let kept = self.mark(number, busy.start, len, client);
        (kept, self.mark(number, busy.start + len, busy.len - len, client))
    }

    /// Gives a busy run back, and joins it with its free neighbours. What is in the window of it
    /// is withheld; and if it is not all in it, the window may move.
    #[inline]
    pub(crate) fn give(&mut self, busy: Busy) {
        debug_assert_eq!(self.busy_at(busy.start), Some(busy));
        let number = self.region_of(busy.start);
        if self.window.is_some() {
            return self.give_beside_window(number, busy);
        }
        self.free += busy.len;
        let region = self.region_mut(number);
        let at = busy.start - region.first;
        region.runs.free(at..at + busy.len);
    }

    /// Whether it would fit if nothing were busy.
    pub(crate) fn could_ever_fit(&self, placement: &Placement) -> bool {
        self.regions().any(|region| {
            let want = region.want(placement);
            want.quanta().start < want.quanta().end && region.runs.fit(0, region.runs.size(), &want).is_some()
        })
    }

    /// How many quanta the longest run that can be taken has that starts at a multiple of `align`
    /// positions.
    pub(crate) fn largest(&mut self, align: u32) -> u32 {
        let log = align.trailing_zeros();
        let more = self.more.iter_mut().map(|region| region.runs.longest(log)).max();
        self.first.runs.longest(log).max(more.unwrap_or(0))
    }

    /// The runs that can be taken, as start and length, in no order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, u32)> {
        self.regions()
            .flat_map(|region| region.runs.free_runs().map(|(start, len)| (region.first + start, len)))
    }

    /// The runs that are in no busy run and cannot be taken, in order.
    pub(crate) fn withheld_runs(&self) -> impl Iterator<Item = (u32, u32)> {
        let all = self.window().unwrap_or_default();
        let region = self.region(self.region_of(all.start));
        let next = move |from: u32| {
            let rest = from.saturating_sub(region.first)..all.end.saturating_sub(region.first);
            let run = region.runs.map().next_withheld(rest)?;
            Some((region.first + run.start, run.end - run.start))
        };
        std::iter::successors(next(all.start), move |&(start, len)| next(start + len))
    }

    /// The busy runs that have any of these quanta, in order. Looks at all runs that do, and at
    /// the words of the bitmap between them.
    // The last start before them is that of a run that has the first of them, or of what is
    // withheld: nothing lies between a run and the next start.
    pub(crate) fn busy_within(&self, quanta: Range<u32>) -> impl Iterator<Item = Busy> {
        let numbers = self.region_of(quanta.start)..=self.more.len();
        numbers.map(|number| self.region(number)).flat_map(move |region| {
            let from = quanta.start.saturating_sub(region.first);
            let end = quanta.end.saturating_sub(region.first).min(region.runs.size());
            let first = if from < end { region.runs.start_around(from) } else { None };
            std::iter::successors(first, |&run| region.runs.start_after(run))
                .take_while(move |&run| run < end)
                .filter_map(|run| {
                    let (len, serial, _) = region.runs.busy_at(run)?;
                    Some(Busy { start: region.first + run, len, serial })
                })
        })
    }

    /// Checks the invariants, in time proportional to the size.
    #[cfg(all(test, not(loom)))]
    fn check(&self) {
        let (mut free, mut withheld) = (0, 0);
        for (number, region) in self.regions().enumerate() {
            let runs = &region.runs;
            free += runs.check();
            let window = self.window.as_ref().filter(|window| window.is_in(number));
            let window = window.map_or(0..0, Window::quanta);
            let mut rest = 0..runs.size();
            while let Some(range) = runs.map().next_withheld(rest.clone()) {
                assert!(window.start <= range.start && range.end <= window.end, "withheld for nobody");
                withheld += range.end - range.start;
                rest.start = range.end;
            }
            assert_eq!(runs.map().next_free(window.clone()), None, "free in the window");
        }
        assert_eq!((free, withheld), (self.free, self.withheld()));
        let busy: u32 = self.busy_within(0..self.size).map(|busy| busy.len).sum();
        assert_eq!(free + withheld + busy, self.size);
    }
}
