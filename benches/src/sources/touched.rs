//! A source whose spans are used: their first byte is written.

use std::hint::black_box;
#[cfg(test)]
use std::ptr::NonNull;

use kva::Shape;

use crate::source::{Mapped, Room, Source};

/// A source, and a byte written to all that it gives.
pub struct Touched<S>(S);

impl<S: Mapped> Touched<S> {
    #[cfg(test)]
    pub(super) fn start(&self, span: &S::Span) -> NonNull<u8> {
        self.0.start(span)
    }
}

impl<S: Mapped> Source for Touched<S> {
    const NAME: &'static str = S::NAME;

    type Span = S::Span;

    fn new(room: Room) -> Self {
        Self(S::new(room))
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<S::Span> {
        let span = self.0.alloc(shape)?;
        // SAFETY: the span is out, and ours alone.
        unsafe { black_box(self.0.start(&span)).write(1) };
        Some(span)
    }

    #[inline]
    fn free(&mut self, span: S::Span) {
        self.0.free(span);
    }
}
