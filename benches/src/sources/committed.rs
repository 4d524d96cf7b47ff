//! An arena of memory: what is taken may be written to.

use std::ptr::NonNull;

use kva::{Arena, Decommit, Region, Reserve, Shape, Span};

use crate::source::{Mapped, Room, Source};

/// Bytes of a quantum.
const QUANTUM: usize = 4096;

/// An arena of memory. What was freed stays resident, unless it is `DISCARDED`.
pub struct Committed<const DISCARDED: bool>(Arena);

impl<const DISCARDED: bool> Source for Committed<DISCARDED> {
    const NAME: &'static str = if DISCARDED { "ours, discarding" } else { "ours, with memory" };

    type Span = Span;

    /// All of it has been out before: what is measured is an arena that has been in use.
    fn new(room: Room) -> Self {
        let policy = if DISCARDED { Decommit::Discard } else { Decommit::Never };
        let bytes = room.quanta as usize * QUANTUM;
        let region = Region::reserve(bytes, Reserve::new().decommit(policy)).expect("address space");
        let arena = Arena::new(region, QUANTUM).expect("a good arena");
        let all = arena.try_alloc(Shape::new(room.quanta).expect("some")).expect("it is free");
        arena.free(all).expect("it was taken");
        Self(arena)
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

// SAFETY: a span that is held is readable and writable memory, which nobody else has.
unsafe impl<const DISCARDED: bool> Mapped for Committed<DISCARDED> {
    #[inline]
    fn start(&self, span: &Span) -> NonNull<u8> {
        self.0.ptr(*span).expect("it has memory")
    }
}
