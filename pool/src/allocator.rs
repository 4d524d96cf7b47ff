//! Collections in a pool: [`RawPool`] as an [`Allocator`] of the crate `allocator-api2`.

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use kva::empty_block;

use crate::backend::Backend;
use crate::raw::RawPool;

/// Collections in items of the pool, with the feature `allocator-api2`: as many as its limit
/// allows, and each as large as an item at most.
///
/// A block is one item, whatever its layout, so it grows and shrinks in place. One of no bytes
/// is none. A layout that is longer or more aligned than [an item](RawPool::item_layout) is an
/// `AllocError`, and so is whatever [`try_get`](RawPool::try_get) would refuse: it never waits.
/// Methods that return the error (`Box::try_new_in`, `try_reserve`) leave everything as it was;
/// those that don't (`push`) end the process, as ever.
///
/// Each collection keeps a handle, and so the pool open. A panic of somebody who is told of an
/// item that came back, a task's waker, goes no further.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use allocator_api2::boxed::Box;
/// use kva::{Arena, Region, Reserve};
/// use pool::RawPool;
/// use std::alloc::Layout;
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let sessions = RawPool::builder(Layout::new::<[u8; 1024]>(), 1).items_per_page(2).build(arena)?;
/// let first = Box::try_new_in([0_u8; 1024], sessions.clone())?;
/// let second = Box::try_new_in("anything that fits", sessions.clone())?;
/// assert!(Box::try_new_in(3, sessions.clone()).is_err(), "the limit");
/// drop(first);
/// assert!(Box::try_new_in(3, sessions.clone()).is_ok());
/// # drop(second);
/// # Ok::<_, std::boxed::Box<dyn std::error::Error>>(())
/// ```
//
// SAFETY: a block is an item that is out, which is nobody else's until it is put; `deallocate`
// puts it, and so does a `shrink` to nothing. Its page stays while it is out, and its memory is
// the back-end's, which lives as long as any handle of the pool. Clones are handles of the same
// pool, so each puts what another got, and moving one moves a pointer to it.
unsafe impl<B: Backend> Allocator for RawPool<B> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return Ok(empty_block(layout));
        }
        let item = self.item_layout();
        if layout.size() > item.size() || layout.align() > item.align() {
            return Err(AllocError);
        }
        let start = self.try_get().map_err(|_| AllocError)?;
        // For a block that grows in place: see `resize`.
        start.expose_provenance();
        Ok(NonNull::slice_from_raw_parts(start, item.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        // It has been put all the same; and a collection that unwinds from here might use it.
        let put = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the block is the caller's, who gives it up.
            unsafe { self.put(block) }
        }));
        debug_assert!(!matches!(put, Ok(Err(_))), "a block that is allocated is an item that is out");
    }

    kva::resize_methods!();
}

impl<B: Backend> RawPool<B> {
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
        let item = self.item_layout();
        if new.size() > item.size() || new.align() > item.align() {
            return Err(AllocError);
        }
        // By the pointer that was exposed: the caller's may be good for the old layout only.
        let start = NonNull::with_exposed_provenance(block.addr());
        Ok(NonNull::slice_from_raw_parts(start, item.size()))
    }
}
