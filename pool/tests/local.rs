//! A thread's own handle: as good as the pool where there is a cache, and where there is none.

#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{GetError, Local, LocalItem, Pool, RawLocal, TryGetError};
use static_assertions::assert_not_impl_any;

#[macro_use]
mod support;

use support::worker::Worker;
use support::{
    Block, CloseOnPanic, arena, assert_adds_up, assert_rests, get_and_put, objects, pieces, put,
    until_waiting,
};

const ROUNDS: usize = 4;
const ALL: usize = 4 * ROUNDS;

assert_not_impl_any!(Local<'static, u64>: Send, Sync);
assert_not_impl_any!(LocalItem<'static, u64>: Send, Sync);
assert_not_impl_any!(RawLocal<'static>: Send, Sync);

fn pool_of(limit: usize, rounds: usize) -> Pool<Block> {
    objects(limit as u32).magazine_rounds(rounds).build(arena(limit)).unwrap()
}

/// With caches, without, and with less room in them than is got.
#[test]
fn a_handle_gets_and_puts_as_its_pool_does() {
    for (limit, rounds) in [(ALL, ROUNDS), (ALL, 0), (ALL, 1), (1, 0), (1, 1)] {
        let pool = pool_of(limit, rounds);
        let local = pool.local();
        for _ in 0..3 {
            let mut all: Vec<_> = (0..limit).map(|_| local.get().unwrap()).collect();
            for (at, item) in all.iter_mut().enumerate() {
                item[0] = at as u8;
            }
            assert_is!(local.try_get(), Err(TryGetError::Exhausted));
            assert_adds_up(&pool, limit);
            assert!(all.iter().enumerate().all(|(at, item)| item[0] == at as u8));
            drop(all);
            assert_adds_up(&pool, 0);
        }
        pool.close();
        assert_is!(local.get(), Err(GetError::Closed));
        assert_is!(local.try_get(), Err(TryGetError::Closed));
    }
}

#[test]
fn a_raw_handle_gets_and_puts_as_its_pool_does() {
    for (items, rounds) in [(ALL, ROUNDS), (ALL, 0), (ALL, 1), (1, 1)] {
        let pool = pieces(items as u32).magazine_rounds(rounds).build(arena(1)).unwrap();
        let local = pool.local();
        for _ in 0..3 {
            let all: Vec<_> = (0..items).map(|_| local.get().unwrap()).collect();
            assert_is!(local.try_get(), Err(TryGetError::Exhausted));
            assert_adds_up(&pool, items);
            // By the one or the other, whichever it was got by.
            for (at, item) in all.into_iter().enumerate() {
                if at % 2 == 0 {
                    // SAFETY: nobody uses it after this.
                    unsafe { local.put(item) }.unwrap();
                } else {
                    put(&pool, item).unwrap();
                }
            }
            let item = pool.get().unwrap();
            // SAFETY: as above.
            unsafe { local.put(item) }.unwrap();
            assert_adds_up(&pool, 0);
        }
        pool.close();
        assert_is!(local.get(), Err(GetError::Closed));
    }
}

/// Several handles of a thread, and its pool, have one cache.
#[test]
fn the_handles_of_a_thread_share_its_cache() {
    let pool = pool_of(1, 1);
    let (one, other) = (pool.local(), pool.local());
    let mut item = one.get().unwrap();
    item[0] = 7;
    drop(item);
    assert_eq!(pool.stats().cached, 1);
    assert_eq!(other.get().unwrap()[0], 7);
    assert_eq!(pool.get().unwrap()[0], 7);
    drop(one);
    assert_eq!(pool.stats().cached, 1, "the cache is the thread's");
    let item = other.get().unwrap();
    let another = pool.local();
    assert_is!(another.try_get(), Err(TryGetError::Exhausted));
    drop(item);
    assert_eq!(another.get().unwrap()[0], 7);
    assert_adds_up(&pool, 0);
}

/// What another thread's handle has is everybody's, as what its pool has cached for it.
#[test]
fn who_waits_has_what_a_handle_of_an_idle_thread_has() {
    let pool = pool_of(ALL, ROUNDS);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let pool = &pool;
        scope.spawn(move || {
            let local = pool.local();
            let all: Vec<_> = (0..ALL).map(|_| local.get().unwrap()).collect();
            drop(all);
            tell.send(pool.stats().cached).unwrap();
            waits.recv().unwrap();
            // It was swept meanwhile, and what it puts serves who waits.
            let item = local.get().unwrap();
            tell.send(0).unwrap();
            until_waiting(pool, 1);
            drop(item);
        });
        assert_eq!(told.recv().unwrap(), ALL);
        let all = pool.get_many(ALL).unwrap();
        assert_eq!((pool.stats().cached, pool.stats().sweeps), (0, 1));
        drop(all);
        go_on.send(()).unwrap();
        told.recv().unwrap();
        drop(pool.get_many(ALL).unwrap());
    });
    assert_adds_up(&pool, 0);
}

#[test]
fn an_object_of_a_handle_is_detached_or_discarded() {
    let memory = arena(8);
    let alive = Arc::new(());
    let made = alive.clone();
    let builder = Pool::builder(8, move || made.clone()).items_per_page(1).magazine_rounds(ROUNDS);
    let pool = builder.build(memory.clone()).unwrap();
    let local = pool.local();
    drop((local.get().unwrap(), local.get().unwrap()));
    assert_eq!((pool.stats().cached, pool.stats().live), (2, 2));
    let taken = LocalItem::detach(local.get().unwrap());
    assert_eq!((pool.stats().live, pool.stats().out, pool.stats().idle), (1, 0, 2));
    assert!(Arc::ptr_eq(&taken, &alive));
    drop(taken);
    let before = Arc::strong_count(&alive);
    LocalItem::discard(local.get().unwrap());
    assert_eq!(Arc::strong_count(&alive), before - 1);
    assert_eq!((pool.stats().live, pool.stats().out, pool.stats().idle), (0, 0, 2));
    // Empty places are not cached: there would be no object in them.
    assert_eq!(pool.stats().cached, 0);
    drop(local.get().unwrap());
    assert_eq!(pool.stats().live, 1);
    drop(local);
    assert_rests(&pool, &memory);
}

#[test]
fn what_a_handle_puts_is_reset() {
    let resets = Arc::new(AtomicUsize::new(0));
    let counts = resets.clone();
    let reset = move |number: &mut u64| {
        counts.fetch_add(1, SeqCst);
        assert_ne!(std::mem::take(number), 13, "the reset panics");
    };
    let pool = Pool::builder(1, || 0_u64).items_per_page(8).magazine_rounds(ROUNDS).reset(reset);
    let pool = pool.build(arena(1)).unwrap();
    let local = pool.local();
    for number in 1..20 {
        let mut item = local.get().unwrap();
        assert_eq!((*item, resets.load(SeqCst)), (0, number - 1));
        *item = number as u64;
        let put = catch_unwind(AssertUnwindSafe(|| drop(item)));
        assert_eq!(put.is_err(), number == 13);
        // What panicked is destroyed, and its place is not lost.
        assert_eq!(pool.stats().live, usize::from(number != 13));
        assert_adds_up(&pool, 0);
    }
    assert_eq!(pool.stats().sweeps, 0);
}

#[test]
fn what_a_handle_gets_is_validated() {
    let pool = Pool::builder(1, || 0_u64).items_per_page(8).magazine_rounds(ROUNDS);
    let pool = pool.validate(|number| *number < 3).build(arena(1)).unwrap();
    let local = pool.local();
    let mut seen = Vec::new();
    for _ in 0..4 {
        // What one puts is the next that is got.
        for get in [|local| Local::get(local).unwrap(), |local| Local::try_get(local).unwrap()] {
            let mut item: LocalItem<'_, u64> = get(&local);
            seen.push(*item);
            *item += 1;
        }
    }
    assert_eq!(seen, [0, 1, 2, 0, 1, 2, 0, 1]);
    assert_eq!(pool.stats().invalid, 2);
    assert_eq!(format!("{local:?}"), "Local { has_cache: false, .. }");
    assert_adds_up(&pool, 0);
}

/// It shares whatever there is, at any time: it was made when there was a cache, and is kept while there
/// is nothing cached.
#[test]
fn a_handle_that_is_kept_while_its_pool_is_scarce() {
    let pool = pool_of(ALL, ROUNDS);
    let local = pool.local();
    for _ in 0..3 {
        let all: Vec<_> = (0..ALL).map(|_| local.get().unwrap()).collect();
        assert_is!(local.try_get(), Err(_));
        drop(all);
        assert_eq!(pool.stats().cached, 0);
        // Until nobody had to wait for a while.
        for _ in 0..256 {
            drop(local.get().unwrap());
        }
        assert_eq!(pool.stats().cached, 1);
        assert_eq!(format!("{local:?}"), "Local { has_cache: true, .. }");
    }
    assert_eq!(pool.stats().sweeps, 3);
    pool.set_hard_limit(1).unwrap();
    drop(local.get().unwrap());
    pool.set_hard_limit(ALL as u32).unwrap();
    let all: Vec<_> = (0..ALL).map(|_| local.get().unwrap()).collect();
    drop(all);
    assert_adds_up(&pool, 0);
}

/// Where each thread may have a cache that the limit allows, one more gets on without.
#[test]
fn a_handle_of_one_thread_too_many() {
    let pool = objects(16).build(arena(16)).unwrap();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| Worker::new(scope)).collect();
        let has_cache: Vec<_> =
            workers.iter().map(|worker| worker.run(|| format!("{:?}", pool.local()))).collect();
        assert_eq!(has_cache.iter().filter(|text| text.contains("true")).count(), 2);
        for worker in &workers {
            worker.run(|| {
                let local = pool.local();
                let all: Vec<_> = (0..16).map(|_| local.get().unwrap()).collect();
                assert!(local.try_get().is_err());
                drop(all);
                get_and_put(&pool, 16);
            });
        }
    });
    assert_adds_up(&pool, 0);
}
