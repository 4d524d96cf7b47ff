//! Pools of different shapes in one arena: what is idle goes where it is of use, floors hold,
//! nobody has more than it is lent, and a busy pool starves no other.

#![cfg(not(loom))]

#[macro_use]
mod support;

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Weak};
use kva::{AllocError, Arena, Client, GrowTable, Reclaim, Shape, Shortage};
use pool::{Builder, GetError, RawPool};
use support::{
    CloseOnPanic, QUANTUM, Random, arena, assert_whole, blocks, poll_once, put, put_all, take, until,
};

/// Pages of one item, so many quanta, at a multiple of as many.
fn runs(quanta: usize, hard_limit: u32) -> Builder<Layout> {
    let bytes = quanta * QUANTUM;
    RawPool::builder(Layout::from_size_align(bytes, bytes).unwrap(), hard_limit)
}

/// Holds so many pages, all of them idle.
fn stock(pool: &RawPool, pages: usize) -> Vec<NonNull<u8>> {
    let items: Vec<_> = (0..pages).map(|_| pool.get().unwrap()).collect();
    put_all(pool, items.iter().copied());
    assert_eq!(pool.stats().pages as usize, pages);
    items
}

fn extent(item: NonNull<u8>, quanta: usize) -> Range<usize> {
    item.addr().get()..item.addr().get() + quanta * QUANTUM
}

/// The arena, once a pool beside the one that is looked at has given up all it has.
fn arena_but(other: &RawPool, arena: &Arena) -> Arena {
    other.drain();
    arena.clone()
}

/// Low water allows four to go, which must be those of the window: as many are cached as there are,
/// and are swept for it.
#[test]
fn what_is_idle_in_the_window_goes_first() {
    let arena = arena(8);
    let small = blocks(8).low_water(4).build(arena.clone()).unwrap();
    stock(&small, 8);
    let large = runs(4, 1).build(arena.clone()).unwrap();
    let run = large.get_timeout(Duration::from_mins(1)).unwrap();
    let left: Vec<_> = std::iter::from_fn(|| small.try_get().ok()).collect();
    assert_eq!((left.len(), small.stats().pages), (4, 4));
    assert!(left.iter().all(|item| !extent(run, 4).contains(&item.addr().get())));
    put_all(&small, left);
    put(&large, run).unwrap();
    small.set_water(0, 8).unwrap();
    support::assert_rests(&large, &arena_but(&small, &arena));
}

/// How often it was told that somebody is short.
#[derive(Default)]
struct Told(AtomicU32);

impl Reclaim for Told {
    fn reclaim(&self, _: &Shortage<'_>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_floor_holds_whoever_is_short() {
    for low in [5, 6, 8] {
        let arena = arena(8);
        let small = blocks(8).low_water(low).build(arena.clone()).unwrap();
        stock(&small, 8);
        let large = runs(4, 1).build(arena.clone()).unwrap();
        // The last hook: when it has been told, the pools have been.
        let told = Arc::new(Told::default());
        arena.register(&GrowTable::new(0), Arc::downgrade(&told) as Weak<dyn Reclaim>);
        let none = large.get_timeout(Duration::from_millis(5));
        assert_is!(none, Err(GetError::TimedOut(_)));
        arena.reap();
        assert_eq!(small.stats().pages, low, "all that may go, and no more");
        assert_eq!((arena.stats().withheld, arena.stats().waiting), (0, 0));
        // With a lower one, who waits is served.
        let run = thread::scope(|scope| {
            let _close = CloseOnPanic(&large);
            let before = told.0.load(SeqCst);
            let getter = scope.spawn(|| large.get().unwrap().addr());
            until(|| told.0.load(SeqCst) > before);
            small.set_water(4, 8).unwrap();
            getter.join().unwrap()
        });
        assert_eq!(small.stats().pages, 4);
        put(&large, NonNull::without_provenance(run)).unwrap();
        small.set_water(0, 8).unwrap();
        support::assert_rests(&large, &arena_but(&small, &arena));
    }
}

/// A client's pools have its quota together, and others have the rest, whatever their limits say.
#[test]
fn a_quota_is_for_all_pools_of_a_client() {
    let arena = arena(16);
    let client = arena.client(Client::new("lent").quota(6)).unwrap();
    let singles = blocks(16).build(client.clone()).unwrap();
    let pairs = runs(2, 8).build(client.clone()).unwrap();
    let two: Vec<_> = [pairs.try_get().unwrap(), pairs.try_get().unwrap()].into();
    let singles_out: Vec<_> = std::iter::from_fn(|| singles.try_get().ok()).collect();
    assert_eq!((singles_out.len(), client.used()), (2, 6));
    assert!(pairs.try_get().is_err());
    let others = blocks(16).build(arena.clone()).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| others.try_get().ok()).collect();
    assert_eq!(rest.len(), 10);
    put_all(&others, rest);
    put_all(&singles, singles_out);
    put_all(&pairs, two);

    // What one of them keeps idle is the other's, though nobody outside may have it.
    let all: Vec<_> = (0..6).map(|_| singles.get().unwrap()).collect();
    assert_eq!(pairs.stats().pages, 0);
    put_all(&singles, all);
    let pair = pairs.get().unwrap();
    assert_eq!(client.used(), 2 + singles.stats().pages);
    assert_eq!(others.stats().pages, 10, "nobody else was asked");
    put(&pairs, pair).unwrap();
    for pool in [&singles, &pairs, &others] {
        pool.drain();
    }
    assert_eq!(client.used(), 0);
    assert_whole(&arena);
    let never = runs(8, 1).build(client.clone()).unwrap();
    assert_is!(never.get(), Err(GetError::Backend(AllocError::OverQuota { quota: 6, .. })));
}

/// The pool that is busy always has who waits: what comes back goes to its own, but for who has
/// waited longer in the other. (If that waits for more than a page of this pool's, no single put could
/// serve it, and each must serve somebody.)
#[test]
fn a_busy_pool_starves_no_other() {
    const WANTED: u32 = 50;
    const ROUNDS: u32 = 100_000;
    const THREADS: u32 = 6;
    let arena = arena(4);
    let busy = blocks(4).build(arena.clone()).unwrap();
    let other = blocks(1).build(arena.clone()).unwrap();
    let (stop, live) = (AtomicBool::new(false), AtomicU32::new(THREADS));
    let mut served = 0;
    thread::scope(|scope| {
        let (_close, _too) = (CloseOnPanic(&busy), CloseOnPanic(&other));
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    if stop.load(SeqCst) {
                        break;
                    }
                    let item = busy.get().unwrap();
                    thread::yield_now();
                    put(&busy, item).unwrap();
                }
                live.fetch_sub(1, SeqCst);
            });
        }
        for _ in 0..WANTED {
            let item = other.get().unwrap();
            put(&other, item).unwrap();
            // So that it has to get it back.
            other.drain();
            served += u32::from(live.load(SeqCst) == THREADS);
        }
        stop.store(true, SeqCst);
    });
    assert_eq!(served, WANTED, "while the others were at it");
    for pool in [&busy, &other] {
        pool.drain();
    }
    assert_whole(&arena);
}

/// Four shapes, floors and a quota, on threads: all that is wanted is had, floors hold meanwhile,
/// and the arena is whole at the end.
#[test]
fn pools_of_different_shapes_at_once() {
    const ROUNDS: u32 = 300;
    let arena = arena(32);
    let client = arena.client(Client::new("lent").quota(16)).unwrap();
    let sizes = [1_usize, 2, 4, 8];
    let pools: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(at, &size)| {
            let backend = if at % 2 == 0 { arena.clone() } else { client.clone() };
            let pool = runs(size, 8).low_water(1).build(backend).unwrap();
            pool.prime(1).unwrap();
            Arc::new(pool)
        })
        .collect();
    let live = AtomicU32::new(4);
    thread::scope(|scope| {
        let _close: Vec<_> = pools.iter().map(|pool| CloseOnPanic(&**pool)).collect();
        for thread in 0..4 {
            let (pools, live) = (&pools, &live);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                for _ in 0..ROUNDS {
                    // One at a time: holding while waiting for more can deadlock.
                    let at = random.below(4) as usize;
                    let item = pools[at].get().unwrap();
                    let bytes = sizes[at] * QUANTUM;
                    assert_eq!(item.addr().get() % bytes, 0);
                    // SAFETY: the item is this thread's.
                    unsafe { item.as_ptr().write_bytes(thread as u8, bytes) };
                    thread::yield_now();
                    // SAFETY: its last byte is within it.
                    let last = unsafe { item.as_ptr().add(bytes - 1) };
                    // SAFETY: as above, and it was written.
                    let last = unsafe { last.read() };
                    assert_eq!(last, thread as u8, "somebody else's");
                    put(&pools[at], item).unwrap();
                }
                live.fetch_sub(1, SeqCst);
            });
        }
        until(|| {
            assert!(client.used() <= 16, "more than it is lent");
            for pool in &pools {
                let stats = pool.stats();
                assert!(stats.pages >= 1, "below its floor: {stats:?}");
            }
            live.load(SeqCst) == 0
        });
    });
    for pool in &pools {
        pool.set_water(0, 8).unwrap();
        pool.drain();
    }
    assert_eq!(client.used(), 0);
    assert_whole(&arena);
}

/// Of two requests the older has the better place in the arena's line, before somebody else's: it is the
/// younger that goes when one is needed no more.
#[test]
fn the_youngest_request_is_withdrawn() {
    let arena = arena(3);
    let pool = blocks(3).bypass(0).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let [one, rest] = [(); 2].map(|()| take(&arena, 1));
    let mut served = Box::pin(pool.get_async());
    assert!(poll_once(served.as_mut()).is_pending());
    let mut other = Box::pin(arena.alloc_async(Shape::new(1).unwrap()));
    assert!(poll_once(other.as_mut()).is_pending());
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    assert_eq!((pool.stats().growing, arena.stats().waiting), (2, 3));
    put(&pool, item).unwrap();
    let Poll::Ready(Ok(item)) = poll_once(served.as_mut()) else { panic!("it was put: {pool:?}") };
    assert_eq!((pool.stats().withdrawn, arena.stats().waiting), (1, 2));
    arena.free(one).unwrap();
    assert!(poll_once(other.as_mut()).is_pending(), "P4: it is past who asked before it");
    let Poll::Ready(Ok(more)) = poll_once(waits.as_mut()) else { panic!("it is free: {pool:?}") };
    arena.free(rest).unwrap();
    let Poll::Ready(Ok(span)) = poll_once(other.as_mut()) else { panic!("it is free: {arena:?}") };
    arena.free(span).unwrap();
    put_all(&pool, [item, more]);
    support::assert_rests(&pool, &arena);
}
