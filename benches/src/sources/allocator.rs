//! Allocators of bytes, asked for aligned quanta.

use std::alloc::{GlobalAlloc, Layout, System};
use std::marker::PhantomData;
use std::ptr::NonNull;

use kva::Shape;
use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

use crate::source::{Mapped, Room, Source};

/// Bytes of a quantum.
const QUANTUM: usize = 4096;

/// An allocator, by name.
pub trait Named: GlobalAlloc + 'static {
    /// Its name.
    const NAME: &'static str;

    /// It.
    const ALLOCATOR: Self;
}

/// What it calls where more is asked than what malloc(3) aligns to, as here.
impl Named for System {
    const NAME: &'static str = "posix_memalign + free";
    const ALLOCATOR: Self = Self;
}

impl Named for MiMalloc {
    const NAME: &'static str = "mimalloc";
    const ALLOCATOR: Self = Self;
}

impl Named for Jemalloc {
    const NAME: &'static str = "jemalloc";
    const ALLOCATOR: Self = Self;
}

/// An allocator.
pub struct Aligned<A>(PhantomData<A>);

fn layout(shape: Shape) -> Layout {
    let (len, align) = (shape.len() as usize * QUANTUM, shape.align() as usize * QUANTUM);
    Layout::from_size_align(len, align).expect("it is small")
}

impl<A: Named> Source for Aligned<A> {
    const NAME: &'static str = A::NAME;

    type Span = (NonNull<u8>, Shape);

    fn new(_: Room) -> Self {
        Self(PhantomData)
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<(NonNull<u8>, Shape)> {
        // SAFETY: a shape is of one quantum at least.
        let start = unsafe { A::ALLOCATOR.alloc(layout(shape)) };
        Some((NonNull::new(start)?, shape))
    }

    #[inline]
    fn free(&mut self, (start, shape): (NonNull<u8>, Shape)) {
        // SAFETY: it is of `alloc`, with that layout, and was not freed.
        unsafe { A::ALLOCATOR.dealloc(start.as_ptr(), layout(shape)) };
    }
}

// SAFETY: what an allocator gave is the caller's until it is freed, and good for writes.
unsafe impl<A: Named> Mapped for Aligned<A> {
    #[inline]
    fn start(&self, span: &(NonNull<u8>, Shape)) -> NonNull<u8> {
        span.0
    }
}
