//! range-alloc: a sorted vector of free ranges, all of which an alloc looks at.

use std::ops::Range;

use kva::Shape;
use range_alloc::RangeAllocator;

use crate::source::{Room, Source, Unshared};

/// A `RangeAllocator`.
pub struct Ranges(RangeAllocator<u32>);

impl Source for Ranges {
    const NAME: &'static str = "range-alloc, no lock";

    type Span = Range<u32>;

    fn new(room: Room) -> Self {
        Self(RangeAllocator::new(0..room.quanta))
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<Range<u32>> {
        match shape.align() {
            1 => self.0.allocate_range(shape.len()).ok(),
            align => self.0.allocate_range_aligned(shape.len(), align).ok(),
        }
    }

    #[inline]
    fn free(&mut self, span: Range<u32>) {
        self.0.free_range(span);
    }
}

impl Unshared for Ranges {
    const LOCKED: &'static str = "range-alloc";
}
