//! A source for one thread, behind a lock.

use kva::Shape;
use parking_lot::Mutex;

use crate::source::{Room, Source, Unshared};

/// A source behind a mutex of `parking_lot`, which is the one that our arenas have inside.
pub struct Locked<S>(Mutex<S>);

impl<S: Unshared> Source for Locked<S> {
    const NAME: &'static str = S::LOCKED;

    type Span = S::Span;

    fn new(room: Room) -> Self {
        Self(Mutex::new(S::new(room)))
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<S::Span> {
        self.0.lock().alloc(shape)
    }

    #[inline]
    fn free(&mut self, span: S::Span) {
        self.0.lock().free(span);
    }
}
