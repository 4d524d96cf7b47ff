//! The window: the run that one request is to have, once all of it has come free.
//!
//! It is aimed at the good place with the least busy inside. What is free in it, or comes free,
//! is *withheld*: in no run, so that nobody else finds it. What others hold around it stays
//! theirs. When nothing in it is busy any more, it is claimed whole.
//!
//! It moves when quanta that come free make another place better; what it moves off becomes free.
//! So what is missing from it never grows but by a new [`Space::aim`]; and where a give leaves
//! nothing busy in any place, the window is there.
//!
//! # Search
//!
//! Good places are looked at in steps of a sixteenth of the length, or of the alignment where
//! that is more: whichever place is best, one not much worse overlaps it. Two edges go over the
//! bitmap and count what comes in and what goes out, so each step costs the words it goes over,
//! and the search the places and the words. It begins where the last one ended.

use std::ops::Range;

use super::runs::{Runs, Want};
use super::{Busy, Space};
use crate::placement::Placement;

/// The most places one search looks at.
const PLACES: u32 = 1 << 12;
/// The most places looked at when something comes free.
const NEAR_PLACES: u32 = 64;

/// The one window.
#[derive(Debug)]
pub(super) struct Window {
    /// The number of its region.
    region: usize,
    /// Its first quantum, counted from the region's.
    start: u32,
    /// How many of its quanta are busy.
    missing: u32,
    placement: Placement,
}

impl Window {
    fn len(&self) -> u32 {
        self.placement.shape().len()
    }

    /// Its quanta, counted from the region's first.
    pub(super) fn quanta(&self) -> Range<u32> {
        self.start..self.start + self.len()
    }

    pub(super) fn withheld(&self) -> u32 {
        self.len() - self.missing
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn is_in(&self, region: usize) -> bool {
        self.region == region
    }
}

/// A place for the window, and how many of its quanta are busy.
#[derive(Debug, Clone, Copy)]
struct Place {
    region: usize,
    start: u32,
    busy: u32,
}

/// A search for the place with the least busy inside.
struct Search {
    best: Option<Place>,
    /// A place with no more than this is good enough.
    enough: u32,
    /// How many places may still be looked at.
    left: u32,
}

impl Search {
    fn is_over(&self) -> bool {
        self.left == 0 || self.best.is_some_and(|best| best.busy <= self.enough)
    }

    /// Looks at good places that start in `starts`, `stride` apart or a little more. Where it
    /// ended.
    fn look(&mut self, number: usize, runs: &Runs, want: &Want, starts: Range<u32>, stride: u32) -> u32 {
        let len = want.placement.shape().len();
        let Range { start: min, end: max } = want.quanta();
        let Some(last) = max.checked_sub(len).map(|last| last.min(starts.end.saturating_sub(1))) else {
            return starts.end;
        };
        let good = |from: u32| {
            let position = want.placement.first_from(runs.origin() + u64::from(from))?;
            u32::try_from(position - runs.origin()).ok().filter(|&at| at <= last)
        };
        let map = runs.map();
        let mut at = starts.start.max(min);
        let (mut tail, mut head, mut busy) = (at, at, 0);
        while at < starts.end
            && !self.is_over()
            && let Some(place) = good(at)
        {
            if place >= head {
                (tail, head, busy) = (place, place, 0);
            }
            busy += map.busy_in(head..place + len);
            busy -= map.busy_in(tail..place);
            (tail, head) = (place, place + len);
            if self.best.is_none_or(|best| busy < best.busy) {
                self.best = Some(Place { region: number, start: place, busy });
            }
            self.left -= 1;
            at = place.saturating_add(stride);
        }
        if self.is_over() { at } else { starts.end }
    }
}

/// How far apart the places are that are looked at.
fn stride(placement: &Placement) -> u32 {
    let (len, align) = (placement.shape().len(), placement.shape().align());
    align.max(len / 16 / align * align)
}

impl Space {
    /// Aims the window at the good place with the least busy inside, if there is one: there is a
    /// window then. It replaces the one there is.
    pub(crate) fn aim(&mut self, placement: &Placement) {
        self.unaim();
        let place = match self.find(placement) {
            Some((region, found)) => Some(Place { region, start: found.at, busy: 0 }),
            None => self.least_busy(placement),
        };
        if let Some(place) = place {
            self.aim_at(place, *placement);
        }
    }

    /// The good place with the least busy inside, where none has nothing.
    fn least_busy(&mut self, placement: &Placement) -> Option<Place> {
        // Nowhere is less busy than if all that is free were in one place.
        let enough = placement.shape().len().saturating_sub(self.free).max(1);
        let mut search = Search { best: None, enough, left: PLACES };
        let regions = self.more.len() + 1;
        let first = self.region_of(self.cursor);
        let cursor = self.cursor - self.region(first).first;
        // Once round, and in the first region up to where it began.
        for step in 0..=regions {
            let number = (first + step) % regions;
            let region = self.region(number);
            let from = if step == 0 { cursor } else { 0 };
            let end = if step == regions { cursor } else { region.runs.size() };
            let want = region.want(placement);
            let ended = search.look(number, &region.runs, &want, from..end, stride(placement));
            if search.is_over() {
                self.cursor = (region.first + ended.min(region.runs.size())) % self.size;
                break;
            }
        }
        search.best
    }

    /// Moves the window to `start`, if that is a good place for it, however much is busy there.
    /// `false`: it is not, or there is no window.
    pub(crate) fn aim_from(&mut self, start: u32) -> bool {
        let Some(Window { region: was_in, start: was_at, placement, .. }) = self.window else { return false };
        if start >= self.size {
            return false;
        }
        let number = self.region_of(start);
        let region = self.region(number);
        let (at, want) = (start - region.first, region.want(&placement));
        let end = at.checked_add(placement.shape().len()).filter(|end| *end <= region.runs.size());
        let Some(end) = end.filter(|end| region.runs.fit(at, *end, &want) == Some(at)) else {
            return false;
        };
        if (was_in, was_at) != (number, at) {
            let busy = region.runs.map().busy_in(at..end);
            self.aim_at(Place { region: number, start: at, busy }, placement);
        }
        true
    }

    /// Sets the window, or moves it: what is in both stays withheld.
    fn aim_at(&mut self, place: Place, placement: Placement) {
        let Place { region, start, busy: missing } = place;
        let new = Window { region, start, missing, placement };
        if let Some(old) = self.window.take() {
            let (was, is) = (old.quanta(), new.quanta());
            let kept =
                if old.region == new.region { is.start.max(was.start)..is.end.min(was.end) } else { 0..0 };
            let runs = &mut self.region_mut(old.region).runs;
            let freed = if kept.is_empty() {
                runs.free_withheld(was)
            } else {
                runs.free_withheld(was.start..kept.start) + runs.free_withheld(kept.end..was.end)
            };
            self.free += freed;
        }
        self.free -= self.region_mut(region).runs.withhold_free(new.quanta());
        self.window = Some(new);
        self.aimings += 1;
    }

    /// There is no window any more: what is withheld becomes free.
    pub(crate) fn unaim(&mut self) {
        if let Some(window) = self.window.take() {
            self.free += self.region_mut(window.region).runs.free_withheld(window.quanta());
        }
    }

    /// The quanta of the window.
    pub(crate) fn window(&self) -> Option<Range<u32>> {
        self.window.as_ref().map(|window| {
            let first = self.region(window.region).first;
            first + window.start..first + window.start + window.len()
        })
    }

    /// How many quanta of the window are busy.
    pub(crate) fn missing(&self) -> u32 {
        self.window.as_ref().map_or(0, |window| window.missing)
    }

    /// How often a window was set or moved.
    pub(crate) fn aimings(&self) -> u64 {
        self.aimings
    }

    /// If nothing in the window is busy, it is one busy run of `client`, and there is no window
    /// any more.
    pub(crate) fn claim_window(&mut self, client: u32) -> Option<Busy> {
        let window = self.window.take_if(|window| window.missing == 0)?;
        let region = self.region_mut(window.region);
        region.runs.let_go(window.quanta());
        let start = region.first + window.start;
        Some(self.mark(window.region, start, window.len(), client))
    }

    /// [`give`](Self::give), where there is a window.
    pub(super) fn give_beside_window(&mut self, number: usize, busy: Busy) {
        let window = self.window.as_mut().expect("there is a window");
        let region = if number == 0 { &mut self.first } else { &mut self.more[number - 1] };
        let (start, end) = (busy.start - region.first, busy.end() - region.first);
        let inside = if window.region == number { window.quanta() } else { 0..0 };
        let inside = inside.start.clamp(start, end)..inside.end.clamp(start, end);
        window.missing -= inside.end - inside.start;
        let outside = busy.len - (inside.end - inside.start);
        self.free += outside;
        region.runs.free_around(start..end, inside);
        if outside > 0 {
            self.reconsider(number, start..end);
        }
    }

    /// These quanta came free: moves the window there if less is busy.
    fn reconsider(&mut self, number: usize, given: Range<u32>) {
        let Some(Window { placement, missing, .. }) = self.window else { return };
        let len = placement.shape().len();
        let starts = given.start.saturating_sub(len - 1)..given.end;
        let spread = (starts.end - starts.start).div_ceil(NEAR_PLACES);
        let region = self.region(number);
        let want = region.want(&placement);
        let mut search = Search { best: None, enough: 0, left: NEAR_PLACES };
        // Exactly, where it is done: the steps below might go over the one place that will do.
        let idle = region.runs.map().idle_around(given, len - 1);
        if let Some(at) = region.runs.fit(idle.start, idle.end, &want) {
            search.best = Some(Place { region: number, start: at, busy: 0 });
        }
        search.look(number, &region.runs, &want, starts, stride(&placement).max(spread));
        if let Some(place) = search.best
            && place.busy < missing
        {
            self.aim_at(place, placement);
        }
    }
}
