//! offset-allocator: two-level bins, and nodes in a table. It knows no alignment.

use kva::Shape;
use offset_allocator::{Allocation, Allocator};

use crate::source::{Room, Source, Unshared};

/// An `Allocator`.
pub struct Offset(Allocator);

impl Source for Offset {
    const NAME: &'static str = "offset-allocator, no lock";

    type Span = Allocation;

    fn new(room: Room) -> Self {
        // Between any two spans there may be a free run, and a node for each.
        Self(Allocator::with_max_allocs(room.quanta, 2 * room.spans + 2))
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<Allocation> {
        debug_assert_eq!(shape.align(), 1);
        self.0.allocate(shape.len())
    }

    #[inline]
    fn free(&mut self, span: Allocation) {
        self.0.free(span);
    }
}

impl Unshared for Offset {
    const LOCKED: &'static str = "offset-allocator";
}
