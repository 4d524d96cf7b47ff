//! mmap(2) and munmap(2). It is aligned to pages, and to no more: whoever wants more maps more, and unmaps
//! its ends.

use std::ptr::{NonNull, null_mut};

use kva::Shape;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::source::{Mapped, Room, Source};

/// Bytes of a quantum.
const QUANTUM: usize = 4096;

/// The kernel.
pub struct Mmap;

impl Source for Mmap {
    const NAME: &'static str = "mmap + munmap";

    /// Where it starts, and how many bytes it has.
    type Span = (NonNull<u8>, usize);

    fn new(_: Room) -> Self {
        Self
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<(NonNull<u8>, usize)> {
        let bytes = shape.len() as usize * QUANTUM;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a null hint and no MAP_FIXED: the kernel picks addresses that nobody uses.
        let start = unsafe { mmap_anonymous(null_mut(), bytes, protection, flags) }.ok()?;
        Some((NonNull::new(start.cast())?, bytes))
    }

    #[inline]
    fn free(&mut self, (start, bytes): (NonNull<u8>, usize)) {
        // SAFETY: it is a mapping of ours, which nobody uses any more.
        unsafe { munmap(start.as_ptr().cast(), bytes) }.expect("it was mapped");
    }
}

// SAFETY: a mapping is ours until it is unmapped, and good for writes.
unsafe impl Mapped for Mmap {
    #[inline]
    fn start(&self, span: &(NonNull<u8>, usize)) -> NonNull<u8> {
        span.0
    }
}
