//! P7 with all knobs of the feature `hardening`: after construction, no get, put or wait of a thread
//! allocates, nor is a violation noticed by allocating: only a report does. A test binary of its own,
//! since it counts what the whole process does.

#![cfg(all(feature = "hardening", not(loom)))]

use std::alloc::Layout;
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Region, Reserve};
use pool::{Hardening, RawPool, TryGetError, Violation};

#[path = "support/heap.rs"]
mod heap;

use heap::allocated;

const QUANTUM: usize = 4096;

static TOLD: AtomicUsize = AtomicUsize::new(0);

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
    heap::assert_counts();
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
            let found = allocated(|| scenario(&pool));
            assert_eq!(found.count, 0, "guards: {guards}, round {round}: {found:?}");
        }
        assert_eq!((arena.stats().free, arena.stats().free_runs), (8, 1));
    }
}
