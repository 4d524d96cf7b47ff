//! rlsf: two-level segregated fit over bytes of memory, with headers in that memory.
//!
//! A quantum is one of its granules of 32 bytes, and a span as many of them with its header of 16: so
//! that a span is as much of the whole as it is of others. It touches that memory where others have
//! tables. Alignment would cost it padding, which others do not have.

use std::alloc::Layout;
use std::ptr::NonNull;

use kva::{Arena, Shape};

use crate::source::{Room, Source, Unshared};

/// Bytes of a quantum.
const GRANULE: usize = 32;

/// Bytes of a header.
const HEADER: usize = 16;

/// A `Tlsf` with lists enough for a free block of 2 GiB.
pub struct Tlsf {
    free: rlsf::Tlsf<'static, u32, u16, 26, 16>,
    /// Whose memory its blocks are in.
    _memory: Arena,
}

const fn bytes(len: u32) -> Layout {
    match Layout::from_size_align(len as usize * GRANULE - HEADER, HEADER) {
        Ok(layout) => layout,
        Err(_) => panic!("it is small"),
    }
}

impl Source for Tlsf {
    const NAME: &'static str = "rlsf, no lock";

    type Span = NonNull<u8>;

    fn new(room: Room) -> Self {
        // One is its sentinel.
        let bytes = (room.quanta as usize + 1) * GRANULE;
        let memory = crate::arena(bytes.next_multiple_of(4096));
        let all = memory.try_alloc(Shape::new(memory.quanta()).expect("some")).expect("it is free");
        let block = NonNull::slice_from_raw_parts(memory.ptr(all).expect("it has memory"), bytes);
        let mut free = rlsf::Tlsf::new();
        // SAFETY: the span is large enough, nobody else has it, it is never freed, and its arena is dropped
        // after `free`.
        let inserted = unsafe { free.insert_free_block_ptr(block) };
        assert!(inserted.is_some(), "it is large enough");
        Self { free, _memory: memory }
    }

    #[inline]
    fn alloc(&mut self, shape: Shape) -> Option<NonNull<u8>> {
        debug_assert_eq!(shape.align(), 1);
        self.free.allocate(bytes(shape.len()))
    }

    #[inline]
    fn free(&mut self, span: NonNull<u8>) {
        // SAFETY: it is of `allocate`, with that alignment, and was not freed.
        unsafe { self.free.deallocate(span, HEADER) };
    }
}

impl Unshared for Tlsf {
    const LOCKED: &'static str = "rlsf";
}
