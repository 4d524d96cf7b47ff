//! When room is made: whenever somebody waits for a run, and again whenever something has changed
//! that may make it possible.
//!
//! The arena keeps what is freed in its own window for who waits, and aims that by how much is
//! busy, not knowing what is pinned or wired. So its window is cleared if that can be done. If not, it
//! is told of one that can.
//!
//! # That nobody is missed
//!
//! A look finds no window only if there is something in each that cannot be moved then, or too few
//! frames elsewhere. Whoever changes that looks again:
//!
//! - who unpins a page that was in the way, since it was marked (`pin.rs`);
//! - who frees frames: it sees that somebody waits, or has had the arena's lock before the request was
//!   queued, and the look that this is followed by finds what is free;
//! - who makes a page: it takes the arena's lock once more when the page is there. If that comes before the
//!   request, the look that follows the request finds the page; otherwise it is followed by a look.

use std::ops::Range;

use super::Inner;
use super::mover::Compaction;
use crate::arena::{AllocError, Reclaim, Shortage};
use crate::clock::NEVER;
use crate::placement::{Fit, Placement};
use crate::shape::{Shape, Span};

impl Inner {
    /// A frame outside the window, by `alloc`. Out of short runs first: what is moved is not to break up
    /// long ones.
    fn outside(
        &self,
        window: &Range<u32>,
        alloc: impl Fn(Placement) -> Result<Span, AllocError>,
    ) -> Option<Span> {
        let one = Placement::from(Shape::new(1).expect("not zero")).fit(Fit::Best);
        [0..window.start, window.end..self.arena.quanta()]
            .into_iter()
            .filter_map(|quanta| one.within(quanta).ok())
            .find_map(|placement| alloc(placement).ok())
    }

    /// Makes room for a run of `shape`, for who would not wait, and not past those who do.
    pub(super) fn clear_for(&self, shape: Shape) {
        if self.arena.clock().oldest() == NEVER {
            let alloc = |placement| self.arena.try_alloc(placement);
            self.make_room_for(shape, None, |_| {}, |window| self.outside(window, alloc));
        }
    }

    pub(super) fn compact(&self, window: Range<u32>) -> Compaction {
        let done = self
            .make_room(window.clone(), || self.outside(&window, |placement| self.arena.try_alloc(placement)));
        // A look that found these pages being moved, or frames taken to move them to, is made again.
        self.kick_if_short();
        done
    }

    /// Makes room again, if somebody waits.
    pub(super) fn kick(&self) {
        self.arena.reap();
    }

    /// The same, for who has just had the arena's lock.
    pub(super) fn kick_if_short(&self) {
        if self.arena.clock().oldest() != NEVER {
            self.kick();
        }
    }
}

impl Reclaim for Inner {
    fn reclaim(&self, shortage: &Shortage<'_>) {
        let shape = shortage.shape();
        // If there is any frame to move to, it has what it waits for.
        if (shape.len(), shape.align()) != (1, 1) {
            let alloc = |placement| shortage.try_alloc_elsewhere(placement);
            let aim = |window: &Range<u32>| {
                // If it moves nowhere, what is freed in there is found or taken like anything else.
                let _ = shortage.aim(window.start);
            };
            self.make_room_for(shape, shortage.window().as_ref(), aim, |window| self.outside(window, alloc));
        }
    }
}
