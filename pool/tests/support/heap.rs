//! The heap, with a count of what is allocated while somebody measures (P7), and of what is in use.
//!
//! It counts what the whole process does: a test that has this module is a test binary of its own, by
//! `#[path]` and not by way of `support`, which others have.

#![allow(dead_code, reason = "each test uses some of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

struct Counting;

static MEASURING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicUsize = AtomicUsize::new(0);
static IN_USE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HERE: Cell<Option<Allocated>> = const { Cell::new(None) };
}

/// What was allocated.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Allocated {
    pub(crate) count: usize,
    /// The size of the last, to find it by.
    pub(crate) last_bytes: usize,
}

fn count(bytes: usize) {
    IN_USE.fetch_add(bytes, SeqCst);
    if MEASURING.load(SeqCst) {
        COUNT.fetch_add(1, SeqCst);
        LAST.store(bytes, SeqCst);
    }
    let more = |before: Allocated| Allocated { count: before.count + 1, last_bytes: bytes };
    HERE.set(HERE.get().map(more));
}

// SAFETY: all is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's duties are those of this call.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        IN_USE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, bytes) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// What is allocated while this runs, by all threads. One at a time.
pub(crate) fn allocated(run: impl FnOnce()) -> Allocated {
    COUNT.store(0, SeqCst);
    LAST.store(0, SeqCst);
    MEASURING.store(true, SeqCst);
    run();
    MEASURING.store(false, SeqCst);
    Allocated { count: COUNT.load(SeqCst), last_bytes: LAST.load(SeqCst) }
}

/// As [`allocated`], by this thread; others may do so at the same time.
pub(crate) fn allocated_here(run: impl FnOnce()) -> Allocated {
    HERE.set(Some(Allocated::default()));
    run();
    HERE.take().expect("one at a time")
}

/// Bytes that are allocated and not freed, by anybody.
pub(crate) fn in_use() -> usize {
    IN_USE.load(SeqCst)
}

/// That it would be seen.
pub(crate) fn assert_counts() {
    let one = || drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocated(one).count, 1, "the counter counts");
    assert_eq!(allocated_here(one).count, 1, "the counter counts here");
}
