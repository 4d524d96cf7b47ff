//! `buddy_system_allocator`'s allocator of frames: a tree of free blocks for each power of two. What it
//! hands out is a power of two long and aligned to that.

use buddy_system_allocator::FrameAllocator;
use kva::Shape;

use crate::source::{Room, Source, Unshared};

/// A `FrameAllocator`.
pub struct Buddy(FrameAllocator);

impl Source for Buddy {
    const NAME: &'static str = "buddy_system_allocator, no lock";

    /// The first frame, and how many.
    type Span = (u32, u32);

    fn new(room: Room) -> Self {
        let mut frames = FrameAllocator::new();
        frames.add_frame(0, room.quanta as usize);
        Self(frames)
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<(u32, u32)> {
        debug_assert!(shape.len().is_power_of_two() && shape.align() <= shape.len());
        let start = self.0.alloc(shape.len() as usize)?;
        Some((start as u32, shape.len()))
    }

    #[inline]
    fn free(&mut self, (start, len): (u32, u32)) {
        self.0.dealloc(start as usize, len as usize);
    }
}

impl Unshared for Buddy {
    const LOCKED: &'static str = "buddy_system_allocator";
}
