//! When room is made: whenever somebody waits for a run, and again whenever something has changed
//! that may make it possible.
//!
//! For now the arena has no window of its own, so what is free is held while pages are moved.

use std::ops::Range;

use super::Inner;
use super::mover::Compaction;
use crate::arena::Reclaim;
use crate::clock::NEVER;
use crate::shape::{Shape, Span};
use crate::sync::Mutex;

/// Makes room once at a time.
#[derive(Debug, Default)]
pub(super) struct Kicks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    wanted: Option<Shape>,
    is_running: bool,
    again: bool,
}

impl Inner {
    fn hold_free(&self) -> Vec<Span> {
        let one = Shape::new(1).expect("not zero");
        std::iter::from_fn(|| self.arena.try_alloc(one).ok()).collect()
    }

    fn outside(held: &mut Vec<Span>, window: &Range<u32>) -> Option<Span> {
        let at = held.iter().position(|span| !window.contains(&span.start()))?;
        Some(held.swap_remove(at))
    }

    /// Makes room for a run of `shape`, for who would not wait.
    pub(super) fn clear_for(&self, shape: Shape) {
        let mut held = self.hold_free();
        self.make_room_for(shape, |window| Self::outside(&mut held, window));
        held.into_iter().for_each(|span| self.give(span));
        self.kick();
    }

    pub(super) fn compact(&self, window: Range<u32>) -> Compaction {
        let mut held = self.hold_free();
        let done = self.make_room(window.clone(), || Self::outside(&mut held, &window));
        held.into_iter().for_each(|span| self.give(span));
        self.kick();
        done
    }

    fn relieve(&self, shape: Shape) {
        let mut held = self.hold_free();
        self.make_room_for(shape, |window| Self::outside(&mut held, window));
        held.into_iter().for_each(|span| self.give(span));
    }

    /// Makes room again, if somebody waits.
    pub(super) fn kick(&self) {
        let _ = self.arena.is_closed();
        if self.arena.clock().oldest() == NEVER {
            return;
        }
        {
            let mut state = self.kicks.0.lock();
            if state.is_running {
                state.again = true;
                return;
            }
            state.is_running = true;
        }
        loop {
            let Some(shape) = ({
                let mut state = self.kicks.0.lock();
                state.again = false;
                state.wanted
            }) else {
                self.kicks.0.lock().is_running = false;
                return;
            };
            self.relieve(shape);
            let mut state = self.kicks.0.lock();
            if !state.again || self.arena.clock().oldest() == NEVER {
                state.is_running = false;
                return;
            }
        }
    }
}

impl Reclaim for Inner {
    fn reclaim(&self, shape: Shape) {
        if (shape.len(), shape.align()) == (1, 1) {
            return;
        }
        self.kicks.0.lock().wanted = Some(shape);
        self.kick();
    }
}
