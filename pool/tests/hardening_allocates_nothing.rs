//! P7 with all knobs of the feature `hardening`: after construction, no get, put or wait of a thread
//! allocates, nor is a violation noticed by allocating: only a report does. A test binary of its own,
//! since it counts what the whole process does.

#![cfg(all(feature = "hardening", not(loom)))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Region, Reserve};
use pool::{Hardening, RawPool, TryGetError, Violation};

const QUANTUM: usize = 4096;

/// Counts what is allocated while somebody measures.
struct Counting;

static MEASURING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn count() {
    if MEASURING.load(SeqCst) {
        COUNT.fetch_add(1, SeqCst);
    }
}

// SAFETY: all is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's duties are those of this call.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, bytes) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    COUNT.store(0, SeqCst);
    MEASURING.store(true, SeqCst);
    run();
    MEASURING.store(false, SeqCst);
    COUNT.load(SeqCst)
}

fn put(pool: &RawPool, item: NonNull<u8>) {
    // SAFETY: what the test does with it after this is the bug.
    let _ = unsafe { pool.put(item) };
}

/// Everything once: pages come and go, the quarantine is filled and swept, a task waits, and both kinds
/// of violations are told.
fn scenario(pool: &RawPool) {
    for _ in 0..600 {
        put(pool, pool.get().unwrap());
    }
    let (one, two) = (pool.get().unwrap(), pool.try_get().unwrap());
    let (three, four) = (pool.get_timeout(Duration::MAX).unwrap(), pool.get().unwrap());
    assert!(matches!(pool.try_get(), Err(TryGetError::Exhausted)));
    let mut getter = pin!(pool.get_async());
    let mut context = Context::from_waker(Waker::noop());
    assert!(getter.as_mut().poll(&mut context).is_pending());
    put(pool, one);
    assert!(matches!(getter.as_mut().poll(&mut context), Poll::Ready(Ok(item)) if item == one));
    for item in [one, two, three, four] {
        put(pool, item);
    }
    put(pool, one);
    // SAFETY: the arena has the memory still.
    unsafe { one.write(1) };
    for item in [(); 4].map(|()| pool.get().unwrap()) {
        put(pool, item);
    }
    assert_eq!(TOLD.swap(0, SeqCst), 2, "both were told");
    pool.drain();
}

#[test]
fn get_put_and_waiting_allocate_nothing() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1, "the counter counts");
    // What a thread allocates once, for its first wait, by a pool that is not hardened.
    let other = Arena::new(Region::reserve(QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap();
    let other = RawPool::builder(Layout::new::<u64>(), 1).magazine_rounds(0).build(other).unwrap();
    put(&other, other.get().unwrap());
    for guards in [true, false] {
        let memory = Region::reserve(8 * QUANTUM, Reserve::new()).unwrap();
        let arena = Arena::new(memory, QUANTUM).unwrap();
        let tell = |violation: &Violation<'_>| {
            assert!(violation.put().is_some() && violation.got().is_some() && violation.here().is_some());
            TOLD.fetch_add(1, SeqCst);
        };
        let harden = Hardening::all().guard_pages(guards).quarantine(2).on_violation(tell);
        let layout = Layout::from_size_align(QUANTUM / 2, 8).unwrap();
        let (limit, items) = if guards { (4, 1) } else { (2, 2) };
        let builder = RawPool::builder(layout, limit).items_per_page(items);
        let pool = builder.harden(harden).build(arena.clone()).unwrap();
        // Not even the first.
        for round in 0..5 {
            let count = allocations(|| scenario(&pool));
            assert_eq!(count, 0, "guards: {guards}, round {round}");
        }
        assert_eq!((arena.stats().free, arena.stats().free_runs), (8, 1));
    }
}
