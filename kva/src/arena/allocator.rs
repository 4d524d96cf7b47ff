//! Collections in an arena: [`Arena`] as an [`Allocator`] of the crate `allocator-api2`.
//!
//! # Invariant
//!
//! 1. A block is a span of as many quanta as it takes to hold *any* layout that fits it,
//!    `ceil(size / quantum)`; one of no bytes is no span. So a layout says how long the
//!    span is, and the span's receipt is looked up by its address when it is wanted.
//!
//! What keeps it: a block is said to be as long as its span, a block that grows moves when
//! that takes more quanta, and one that shrinks gives those back that it needs no more.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::Arena;
use crate::shape::{Shape, Span};

/// The methods of an `Allocator` that come down to its `resize`, which both of ours have. No part
/// of the API.
#[doc(hidden)]
#[macro_export]
macro_rules! resize_methods {
    () => {
        unsafe fn grow(
            &self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, AllocError> {
            debug_assert!(new.size() >= old.size());
            // SAFETY: the caller's promise.
            unsafe { self.resize(block, old, new) }
        }

        unsafe fn grow_zeroed(
            &self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, AllocError> {
            // SAFETY: the caller's promise.
            let grown = unsafe { self.grow(block, old, new) }?;
            let rest = grown.cast::<u8>().as_ptr().wrapping_add(old.size());
            // SAFETY: the block is ours to write, from what the old layout has to its end.
            unsafe { rest.write_bytes(0, grown.len() - old.size()) };
            Ok(grown)
        }

        unsafe fn shrink(
            &self,
            block: NonNull<u8>,
            old: Layout,
            new: Layout,
        ) -> Result<NonNull<[u8]>, AllocError> {
            debug_assert!(new.size() <= old.size());
            // SAFETY: the caller's promise.
            unsafe { self.resize(block, old, new) }
        }
    };
}

/// Collections whose memory is taken from the arena, with the feature `allocator-api2`.
///
/// A block takes whole quanta, so this is for few and large ones. It never sleeps: what
/// [`try_alloc`](Arena::try_alloc) would refuse is an `AllocError`, for whatever reason, and
/// so is any block of an arena of numbers. Methods that return it (`try_reserve`,
/// `Box::try_new_in`) leave everything as it was; those that don't (`push`) end the process,
/// as ever.
///
/// A block that grows stays where it is as far as its last quantum goes, else it moves: the
/// old and the new one exist side by side for a moment. One that shrinks stays, and gives
/// back the quanta that it needs no more, to whoever waits for them. That never fails.
///
/// Collections keep a handle of the arena, and its memory with it. A panic of somebody who
/// is told of a block that was freed, a [`Sink`](crate::Sink), goes no further.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use allocator_api2::vec::Vec;
/// use kva::{Arena, Region, Reserve};
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let mut log = Vec::new_in(arena.clone());
/// log.try_reserve(100_000)?;
/// log.extend_from_slice(b"as far as the reservation goes, this does not fail");
/// assert!(log.try_reserve(2 << 20).is_err(), "more than there is");
/// assert_eq!(log.len(), 50, "and nothing is lost");
/// drop(log);
/// assert_eq!(arena.stats().free, arena.quanta());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
//
// SAFETY: a block is a span that is taken (invariant 1), which is nobody else's until it is
// freed; `deallocate` and a move free it, and nobody else has its receipt. Its memory is the
// region's, which lives as long as any handle of the arena. Clones are handles of the same
// arena, so each frees what another allocated, and moving one moves a pointer to it.
unsafe impl Allocator for Arena {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return Ok(empty_block(layout));
        }
        let shape = self.shape_for(layout).ok_or(AllocError)?;
        let span = self.try_alloc(shape).map_err(|_| AllocError)?;
        let start = self.ptr(span).expect("this arena has memory");
        Ok(NonNull::slice_from_raw_parts(start, span.len() as usize * self.quantum()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the block is the caller's, who gives it up.
            self.free_quietly(unsafe { self.span_of(block) });
        }
    }

    resize_methods!();
}

/// A block of no bytes. No part of the API.
#[doc(hidden)]
pub fn empty_block(layout: Layout) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(layout.dangling_ptr(), 0)
}

impl Arena {
    /// What is asked for a block of `layout`, if there can be one.
    fn shape_for(&self, layout: Layout) -> Option<Shape> {
        let quanta = |bytes: usize| u32::try_from(bytes.div_ceil(self.quantum())).ok();
        let shape = Shape::aligned(quanta(layout.size())?, quanta(layout.align())?).ok()?;
        self.has_memory().then_some(shape)
    }

    /// # Safety
    /// As that of [`Allocator::grow`] and [`Allocator::shrink`], whichever it is.
    unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate(new);
        }
        if new.size() == 0 {
            // SAFETY: the block is the caller's, who gives it up.
            unsafe { self.deallocate(block, old) };
            return Ok(empty_block(new));
        }
        let [has, wants] = [old, new].map(|layout| layout.size().div_ceil(self.quantum()));
        if wants > has || !block.addr().get().is_multiple_of(new.align()) {
            // SAFETY: the caller's promise; neither layout is empty.
            return unsafe { self.relocate(block, old, new) };
        }
        if wants < has {
            // SAFETY: the block is the caller's, and `has` quanta long (invariant 1).
            unsafe { self.cut(block, wants as u32) };
        }
        // By the region's own pointer: the caller's may be good for the old layout only.
        let (regions, quantum) = (&self.inner.regions, self.quantum());
        let start = regions.quantum_at(block.addr().get(), quantum).and_then(Result::ok);
        let start = start.and_then(|start| regions.address(start, quantum)).expect("a block is a span");
        Ok(NonNull::slice_from_raw_parts(start, wants * quantum))
    }

    /// Moves what is in a block to another.
    ///
    /// # Safety
    /// As [`resize`](Self::resize), and neither layout is empty.
    unsafe fn relocate(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let moved = self.allocate(new)?;
        let bytes = old.size().min(new.size());
        // SAFETY: both blocks hold so many bytes, and both are taken, so they do not overlap.
        unsafe { moved.cast::<u8>().copy_from_nonoverlapping(block, bytes) };
        // SAFETY: the block is the caller's, who gives it up.
        unsafe { self.deallocate(block, old) };
        Ok(moved)
    }

    /// Cuts a block to its first `len` quanta and frees the others.
    ///
    /// # Safety
    /// The block is the caller's, and longer than that; nobody uses what is freed.
    unsafe fn cut(&self, block: NonNull<u8>, len: u32) {
        // SAFETY: the block is the caller's.
        let span = unsafe { self.span_of(block) };
        // Nothing is free by this alone, so nobody could be granted anything yet.
        let (_, rest) = self.inner.lock().space.split(span.busy(), len);
        self.inner.holders.split(span.start as usize, rest.start as usize);
        self.free_quietly(self.inner.span(rest));
    }

    /// # Safety
    /// The block is the caller's.
    unsafe fn span_of(&self, block: NonNull<u8>) -> Span {
        // SAFETY: a block is a span (invariant 1), and this one is the caller's.
        let span = unsafe { self.span_at(block) };
        span.expect("a block that is allocated is a span that is taken")
    }

    /// Frees a span, and swallows a panic of those who get it: the block is gone all the same,
    /// and a collection that unwinds from here might use it.
    fn free_quietly(&self, span: Span) {
        let freed = catch_unwind(AssertUnwindSafe(|| self.free(span)));
        debug_assert!(!matches!(freed, Ok(Err(_))), "{span:?} is taken");
    }
}
