//! The heap with a count of what is in use. The kernel's figure of the process's memory says nothing of
//! a small leak for minutes; this says it at once.

use std::alloc::{GlobalAlloc, Layout, System};

use kva::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

// Relaxed, both: they are looked at where all who allocate have been joined, or do nothing.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(1, Relaxed);
        // SAFETY: the caller's duties are those of this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        FREED.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Blocks in use.
pub(crate) fn blocks() -> usize {
    ALLOCATED.load(Relaxed).wrapping_sub(FREED.load(Relaxed))
}
