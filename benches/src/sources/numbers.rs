//! An arena of numbers.

use kva::{Arena, Region, Shape, Span};

use crate::contestants::OURS;
use crate::source::{Room, Source};

/// An arena of numbers: nothing but which quanta are free.
pub struct Numbers(Arena);

impl Source for Numbers {
    const NAME: &'static str = OURS;

    type Span = Span;

    fn new(room: Room) -> Self {
        Self(Arena::new(Region::numbers(room.quanta), 1).expect("a good arena"))
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<Span> {
        self.0.try_alloc(shape).ok()
    }

    #[inline]
    fn free(&mut self, span: Span) {
        self.0.free(span).expect("it was taken");
    }
}
