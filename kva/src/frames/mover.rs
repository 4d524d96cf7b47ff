//! Moving pages out of the way of runs.
//!
//! A page is moved by one copy and one `mmap(2)`: its word is taken, so that nobody has it pinned
//! and nobody can; its frame is copied to another through the alias; its address is mapped onto the
//! copy; its word is let go, and the old frame is freed. If the system does not map it, it
//! stays where it was, and the other frame is freed instead.
//!
//! # Where there is to be room
//!
//! What is wired stays, and what is pinned stays for as long as it is; so the run that is
//! cleared, the *window*, is the one that costs the fewest moves of those that can be cleared
//! altogether. Where there is none, each page that is in the way is marked. Whoever makes one
//! movable then looks again; so does who frees frames, since it may be frames to move to that are
//! missing; and who makes a page of a frame, since until then nobody could move it.

use std::ops::Range;

use super::Inner;
use super::gate::Unmovable;
use super::table::Owner;
use super::window::{Cost, cheapest};
use crate::shape::{Shape, Span};

/// What became of an attempt to empty a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Eviction {
    /// Its page is elsewhere, and this is the caller's to free.
    Moved(Span),
    /// Its page is pinned; the last unpin says so.
    Kept,
    /// The system did not map the copy.
    Refused,
    /// No page is in it any more, or none that can be moved.
    NoPage,
}

/// What [`Frames::compact`](super::Frames::compact) came to.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::Frames;
///
/// let frames = Frames::new(4)?;
/// let (one, other) = (frames.page()?, frames.page()?);
/// let pin = one.pin();
/// let done = frames.compact(0..2);
/// assert_eq!((done.moved, done.kept), (1, 1));
/// # drop((pin, other));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Compaction {
    /// Pages that were moved out.
    pub moved: u32,
    /// Pages that were pinned, or just being pinned, unpinned or moved by another.
    pub kept: u32,
    /// Pages that the system did not map elsewhere.
    pub refused: u32,
    /// Pages for which there was no free frame elsewhere.
    pub no_room: u32,
    /// Frames of runs, which stay.
    pub wired: u32,
}

impl Inner {
    /// Moves the page in this frame, if there is one, to the frame of `to`, which is the caller's again
    /// unless it was moved.
    pub(super) fn evict(&self, frame: u32, to: Span) -> Eviction {
        let Owner::Page(page) = self.table.owner(frame) else {
            return Eviction::NoPage;
        };
        let moved = self.at(page).relocate(|rest| {
            let from = self.table.span_of(page);
            if from.start() != frame {
                return (Eviction::NoPage, rest); // another page by that number
            }
            self.memory.copy(frame, to.start());
            if self.memory.map_page(page, to.start(), self.rest).is_err() {
                self.memory.mend_page(page, frame, rest);
                return (Eviction::Refused, rest);
            }
            self.table.clear(from);
            self.table.put(page, to);
            (Eviction::Moved(from), self.rest)
        });
        let done = match moved {
            Ok(done) => done,
            Err(Unmovable::Kept) => Eviction::Kept,
            Err(Unmovable::Vacant) => Eviction::NoPage,
        };
        match done {
            Eviction::Moved(_) => self.counts.moved.add(1),
            Eviction::Kept => self.counts.kept.add(1),
            Eviction::Refused => self.counts.refused.add(1),
            Eviction::NoPage => 0,
        };
        done
    }

    /// Moves what can be moved out of `window`, each page to a span of one frame that `elsewhere` gives.
    pub(super) fn make_room(
        &self,
        window: Range<u32>,
        mut elsewhere: impl FnMut() -> Option<Span>,
    ) -> Compaction {
        let mut done = Compaction::default();
        let mut spare = None;
        for frame in window {
            match self.table.owner(frame) {
                Owner::Nobody => continue,
                Owner::Wired => {
                    done.wired += 1;
                    continue;
                }
                Owner::Page(_) => {}
            }
            let Some(to) = spare.take().or_else(&mut elsewhere) else {
                done.no_room += 1;
                continue;
            };
            let eviction = self.evict(frame, to);
            match eviction {
                Eviction::Moved(old) => {
                    done.moved += 1;
                    self.give(old);
                    continue;
                }
                Eviction::Kept => done.kept += 1,
                Eviction::Refused => done.refused += 1,
                Eviction::NoPage => {}
            }
            spare = Some(to);
        }
        if let Some(spare) = spare {
            self.give(spare);
        }
        done
    }

    /// The window for `shape` that can be cleared by the fewest moves, as it looks, or the one that is
    /// preferred, if that can be. `marks`: if there
    /// is none, each page that is in the way is marked, so that whoever makes it movable says so. A
    /// page that is pinned after it was looked at was in nobody's way then.
    fn clearable(&self, shape: Shape, preferred: Option<&Range<u32>>, marks: bool) -> Option<Range<u32>> {
        let mut costs = self.costs.lock();
        for (frame, cost) in costs.iter_mut().enumerate() {
            *cost = match self.table.owner(frame as u32) {
                Owner::Nobody => Cost::Nothing,
                Owner::Wired => Cost::Wired,
                Owner::Page(page) => {
                    let page = self.at(page);
                    let stays = !page.is_movable() && (!marks || page.want());
                    if stays { Cost::Pinned } else { Cost::Move }
                }
            };
        }
        let stays = |window: &Range<u32>| {
            costs[window.start as usize..window.end as usize].iter().any(|cost| cost.stays() > 0)
        };
        if let Some(window) = preferred.filter(|window| !stays(window)) {
            return Some(window.clone());
        }
        let start = cheapest(&costs, shape)?;
        Some(start..start + shape.len())
    }

    /// Makes room for `shape` where that can be done, or sees to it that who makes it possible does.
    /// `aim` is told where, unless that is where it is preferred; `elsewhere` gives spans of one frame
    /// outside of it.
    pub(super) fn make_room_for(
        &self,
        shape: Shape,
        preferred: Option<&Range<u32>>,
        aim: impl Fn(&Range<u32>),
        mut elsewhere: impl FnMut(&Range<u32>) -> Option<Span>,
    ) {
        // Marks are for when there is no other way: each costs its page's last unpin a look.
        let look =
            || self.clearable(shape, preferred, false).or_else(|| self.clearable(shape, preferred, true));
        while let Some(window) = look() {
            if preferred != Some(&window) {
                aim(&window);
            }
            let done = self.make_room(window.clone(), || elsewhere(&window));
            if done.kept == 0 {
                return; // all of it, or as much as there are frames for
            }
        }
    }
}
