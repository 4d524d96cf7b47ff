//! Nothing at all: what the harness takes by itself.

use std::hint::black_box;

use kva::Shape;

use crate::source::{Room, Source};

/// Spans that nobody took from anywhere.
pub struct Nothing;

impl Source for Nothing {
    const NAME: &'static str = "the harness alone";

    type Span = Shape;

    fn new(_: Room) -> Self {
        Self
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<Shape> {
        Some(black_box(shape))
    }

    #[inline]
    fn free(&mut self, span: Shape) {
        black_box(span);
    }
}
