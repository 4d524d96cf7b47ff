//! The raw pool over a real arena, with real threads: its items, its knobs, its ends.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, CHECKED, Mutex};
use kva::{AllocError, Answer, Arena, Clock, Committed, GrowId, Region, Shape, Span, SpanGrow};
use pool::{Awaited, Backend, Builder, ConfigError, GetError, PutError, RawPool, TryGetError};

#[macro_use]
mod support;

use support::{
    CloseOnPanic, QUANTUM, arena, assert_whole, blocks, put, take, until_asked, until_waiting, visit,
};

/// P6: nothing is out, and after a drain nothing is held or asked for.
fn assert_rests(pool: &RawPool<impl Backend>, arena: &Arena) {
    pool.drain();
    let stats = pool.stats();
    assert_eq!((stats.out, stats.waiting, stats.growing), (0, 0, 0));
    assert_eq!(stats.pages, stats.low_water);
    assert_eq!(stats.gets, stats.puts);
    if stats.low_water == 0 {
        assert_whole(arena);
    }
}

// Items.

#[test]
fn items_are_distinct_aligned_and_writable() {
    const PAGES: u32 = 3;
    let layouts = [
        (1, 1),
        (3, 1),
        (24, 8),
        (64, 64),
        (700, 4),
        (100, 2048),
        (QUANTUM, 1),
        (QUANTUM, QUANTUM),
        (100, QUANTUM),
        (QUANTUM + 1, 8),
        (5 * QUANTUM - 7, 16),
        (7 * QUANTUM, QUANTUM),
    ];
    for (size, align) in layouts {
        // Room for pages that are aligned to their length, wherever the arena starts.
        let arena = arena(64);
        let pool = RawPool::builder(Layout::from_size_align(size, align).unwrap(), PAGES)
            .build(arena.clone())
            .unwrap();
        let per_page = pool.stats().items_per_page;
        assert_eq!(per_page == 1, size.next_multiple_of(align) >= QUANTUM, "{size} at {align}");
        let mut items: Vec<_> = (0..PAGES * per_page).map(|_| pool.get().unwrap()).collect();
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted));

        for (number, item) in items.iter().enumerate() {
            assert!(item.addr().get().is_multiple_of(align), "{size} at {align}");
            // SAFETY: the item is ours and `size` long.
            unsafe { item.write_bytes(number as u8, size) };
        }
        for (number, item) in items.iter().enumerate() {
            // SAFETY: the item is ours, `size` long, and was just written.
            let bytes = unsafe { std::slice::from_raw_parts(item.as_ptr(), size) };
            assert!(bytes.iter().all(|byte| *byte == number as u8), "{size} at {align}: {number}");
        }
        items.sort();
        assert!(items.windows(2).all(|pair| pair[1].addr().get() - pair[0].addr().get() >= size));

        let stats = pool.stats();
        assert_eq!((stats.pages, stats.out, stats.idle), (PAGES, items.len(), 0));
        for item in items {
            put(&pool, item).unwrap();
        }
        assert_eq!((pool.stats().out, pool.stats().idle), (0, (PAGES * per_page) as usize));
        assert_rests(&pool, &arena);
    }
}

#[test]
fn wrong_puts_are_told_and_change_nothing() {
    let arena = arena(16);
    let small = RawPool::builder(Layout::from_size_align(48, 16).unwrap(), 2)
        .items_per_page(3)
        .build(arena.clone())
        .unwrap();
    let large = RawPool::builder(Layout::from_size_align(2 * QUANTUM, 8).unwrap(), 2);
    let large = large.build(arena.clone()).unwrap();

    for (pool, other, size) in [(&small, &large, 48), (&large, &small, 2 * QUANTUM)] {
        let item = pool.get().unwrap();
        let others = other.get().unwrap();
        let mut on_the_stack = 0_u8;
        let before = pool.stats();
        let at = |offset: usize| NonNull::new(item.as_ptr().wrapping_add(offset)).unwrap();
        for foreign in [others, NonNull::from(&mut on_the_stack), NonNull::dangling()] {
            assert_eq!(put(pool, foreign), Err(PutError::Foreign(foreign.addr().get())));
        }
        for offset in [1, 8, size / 2, size - 1] {
            let pointer = item.addr().get() + offset;
            assert_eq!(put(pool, at(offset)), Err(PutError::NotAnItem { pointer, offset }));
        }
        assert_eq!(pool.stats(), before);

        put(pool, item).unwrap();
        let before = pool.stats();
        assert_eq!(put(pool, item), Err(PutError::DoublePut(item.addr().get())));
        assert_eq!(pool.stats(), before);

        assert_eq!(pool.drain(), 1);
        let before = pool.stats();
        assert_eq!(put(pool, item), Err(PutError::Foreign(item.addr().get())), "its page went");
        assert_eq!(pool.stats(), before);
        put(other, others).unwrap();
        other.drain();
    }

    // Of three items a page: one that never was out, and what is left over after them.
    let item = small.get().unwrap();
    let before = small.stats();
    let at = |offset: usize| NonNull::new(item.as_ptr().wrapping_add(offset)).unwrap();
    assert_eq!(put(&small, at(48)), Err(PutError::DoublePut(item.addr().get() + 48)));
    let past = PutError::NotAnItem { pointer: item.addr().get() + 3 * 48, offset: 48 };
    assert_eq!(put(&small, at(3 * 48)), Err(past));
    assert_eq!(small.stats(), before);
    put(&small, item).unwrap();
    assert_rests(&small, &arena);
    assert_rests(&large, &arena);
}

#[test]
fn an_item_that_came_again_is_one_item() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let first = pool.get().unwrap();
    put(&pool, first).unwrap();
    pool.drain();
    let again = pool.get().unwrap();
    assert_eq!(again, first, "there is but one page");
    put(&pool, again).unwrap();
    assert_eq!(put(&pool, first), Err(PutError::DoublePut(first.addr().get())));
    assert_rests(&pool, &arena);
}

// Knobs.

#[test]
fn low_water_is_never_given_up() {
    let arena = arena(3);
    let pool = blocks(3).low_water(2).build(arena.clone()).unwrap();
    assert_eq!(pool.prime(3).unwrap(), 3);
    assert_eq!(pool.drain(), 1);
    assert_eq!(pool.drain(), 0);
    assert_eq!(pool.stats().pages, 2);

    // Nor to another client who waits for it: that has what is above low water, and no more.
    assert_eq!(pool.prime(3).unwrap(), 3);
    let one = arena.alloc(Shape::new(1).unwrap()).unwrap();
    assert_eq!(pool.stats().pages, 2);
    let two = arena.alloc_timeout(Shape::new(1).unwrap(), Duration::from_millis(1));
    assert_eq!(two, Err(AllocError::TimedOut));
    assert_eq!(pool.stats().pages, 2);
    arena.free(one).unwrap();

    pool.set_water(0, 3).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn high_water_is_all_that_is_kept_when_idle() {
    for (high, kept) in [(Some(0), 0), (Some(2), 2), (Some(9), 4), (None, 4)] {
        let arena = arena(4);
        let mut builder = blocks(4);
        if let Some(high) = high {
            builder = builder.high_water(high);
        }
        let pool = builder.build(arena.clone()).unwrap();
        let items: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
        assert_eq!(pool.stats().pages, 4);
        for item in items {
            put(&pool, item).unwrap();
        }
        assert_eq!((pool.stats().pages, arena.stats().free), (kept, 4 - kept));
        assert_rests(&pool, &arena);
    }
}

#[test]
fn water_can_be_changed() {
    let arena = arena(4);
    let pool = blocks(3).build(arena.clone()).unwrap();
    pool.prime(3).unwrap();
    let before = pool.stats();
    for (low, high) in [(2, 1), (4, 4)] {
        assert_eq!(pool.set_water(low, high), Err(ConfigError::Water { low, high, limit: 3 }));
    }
    assert_eq!(pool.stats(), before);
    pool.set_water(1, 2).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.low_water, stats.high_water, stats.pages), (1, 2, 2), "a page above goes at once");
    assert_eq!(pool.drain(), 1);
    assert_eq!(pool.stats().pages, 1);
    pool.set_water(0, 0).unwrap();
    assert_eq!(pool.stats().pages, 0);
    assert_rests(&pool, &arena);
}

#[test]
fn the_hard_limit_bounds_and_can_be_raised_while_getters_wait() {
    let arena = arena(4);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "though the arena has more");
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getters: Vec<_> = (0..2).map(|_| scope.spawn(|| pool.get().unwrap().addr())).collect();
        until_waiting(&pool, 2);
        assert_eq!((pool.stats().growing, arena.stats().free), (0, 3), "P1");
        pool.set_hard_limit(3).unwrap();
        let items = getters.into_iter().map(|getter| getter.join().unwrap().get());
        let items: Vec<_> = items.collect();
        let stats = pool.stats();
        assert_eq!((stats.hard_limit, stats.pages, stats.out, arena.stats().free), (3, 3, 3, 1));
        for item in items {
            put(&pool, NonNull::new(held.as_ptr().with_addr(item)).unwrap()).unwrap();
        }
    });
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_lowered_hard_limit_comes_down_as_items_come_back() {
    let arena = arena(4);
    let pool = blocks(4).low_water(3).build(arena.clone()).unwrap();
    let mut items: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    assert_eq!(pool.set_hard_limit(0), Err(ConfigError::ZeroLimit));
    pool.set_hard_limit(2).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.hard_limit, stats.low_water, stats.pages, stats.out), (2, 2, 4, 4));
    for pages in [3, 2] {
        put(&pool, items.pop().unwrap()).unwrap();
        assert_eq!(pool.stats().pages, pages, "it is given up at once");
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "and not brought back");
    }
    put(&pool, items.pop().unwrap()).unwrap();
    assert_eq!(pool.stats().pages, 2);
    let again = pool.try_get().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    put(&pool, again).unwrap();
    put(&pool, items.pop().unwrap()).unwrap();
    assert_eq!(arena.stats().free, 2);
    pool.set_water(0, 4).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_lowered_hard_limit_gives_up_what_is_idle() {
    let arena = arena(4);
    let pool = blocks(4).build(arena.clone()).unwrap();
    pool.prime(4).unwrap();
    pool.set_hard_limit(1).unwrap();
    assert_eq!((pool.stats().pages, arena.stats().free), (1, 3));
    assert_rests(&pool, &arena);
}

#[test]
fn a_lowered_hard_limit_withdraws_what_was_asked_for() {
    let arena = arena(2);
    let others = take(&arena, 1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool));
        until_asked(&arena, 1);
        pool.set_hard_limit(1).unwrap();
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.waiting, stats.withdrawn), (0, 1, 1));
        assert_eq!(arena.stats().waiting, 0);
        arena.free(others).unwrap();
        assert_eq!((pool.stats().waiting, arena.stats().free), (1, 1), "it may not have it");

        // Up again: it is asked again, by who waits.
        let others = take(&arena, 1);
        pool.set_hard_limit(2).unwrap();
        until_asked(&arena, 1);
        assert_eq!(pool.stats().growing, 1);
        pool.set_hard_limit(1).unwrap();
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap().unwrap(), held.addr().get(), "a put serves it at any limit");
        arena.free(others).unwrap();
    });
    assert_rests(&pool, &arena);
}

#[test]
fn max_growing_is_how_many_grows_are_asked_for_at_once() {
    for max in [1, 2, 5] {
        let arena = arena(3);
        let all = take(&arena, 3);
        let pool = blocks(3).max_growing(max).build(arena.clone()).unwrap();
        let pending = max.min(3) as usize;
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| visit(&pool).unwrap())).collect();
            until_waiting(&pool, 3);
            until_asked(&arena, pending);
            assert_eq!(pool.stats().growing as usize, pending);
            arena.free(all).unwrap();
            for getter in getters {
                getter.join().unwrap();
            }
        });
        assert_rests(&pool, &arena);
    }
}

/// One page of four items is enough for four waiters, a fifth needs another.
#[test]
fn items_per_page_is_how_many_one_grow_serves() {
    for (per_page, growing) in [(1, 3), (2, 3), (4, 2), (5, 1)] {
        // Pages are aligned to their length: twice what is needed is enough anywhere.
        let arena = arena(64);
        let others = take(&arena, 64);
        let pool = blocks(3).items_per_page(per_page).build(arena.clone()).unwrap();
        assert_eq!(pool.stats().items_per_page, per_page);
        let page_quanta = per_page.next_power_of_two();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getters: Vec<_> = (0..5).map(|_| scope.spawn(|| visit(&pool).unwrap())).collect();
            until_waiting(&pool, 5);
            until_asked(&arena, growing);
            assert_eq!(pool.stats().growing as usize, growing);
            arena.free(others).unwrap();
            for getter in getters {
                getter.join().unwrap();
            }
        });
        let stats = pool.stats();
        assert_eq!(arena.stats().free, 64 - stats.pages * page_quanta);
        assert!(stats.pages as usize <= growing);
        pool.drain();
        let items: Vec<_> = (0..per_page).map(|_| pool.get().unwrap()).collect();
        assert_eq!((pool.stats().pages, pool.stats().idle), (1, 0));
        for item in items {
            put(&pool, item).unwrap();
        }
        assert_rests(&pool, &arena);
    }
}

#[test]
fn without_bypass_every_put_is_the_oldest_waiters() {
    const WAITERS: usize = 5;
    let arena = arena(1);
    let pool = blocks(1).bypass(0).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let order = Mutex::new(Vec::new());
    let go_on = AtomicBool::new(false);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        for number in 0..WAITERS {
            let (pool, order, go_on) = (&pool, &order, &go_on);
            scope.spawn(move || {
                let item = pool.get().unwrap();
                order.lock().push(number);
                while !go_on.load(SeqCst) {
                    thread::yield_now();
                }
                put(pool, item).unwrap();
            });
            until_waiting(pool, number + 1);
        }
        put(&pool, held).unwrap();
        for _ in 0..10 {
            assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "the putter has no second chance");
        }
        assert_eq!(pool.stats().waiting, WAITERS - 1, "served before the put returned");
        go_on.store(true, SeqCst);
    });
    assert_eq!(*order.lock(), (0..WAITERS).collect::<Vec<_>>());
    assert_eq!(pool.stats().most_overtaken, 0);
    assert_rests(&pool, &arena);
}

/// P4 and its knob: who puts may take again, past a waiter that is not awake yet, but no
/// more often than the knob says.
#[test]
fn the_bypass_is_how_many_may_overtake() {
    const BYPASS: u64 = 3;
    let arena = arena(1);
    let pool = blocks(1).bypass(BYPASS as u32).build(arena.clone()).unwrap();
    // Until somebody was quick enough to overtake.
    while pool.stats().most_overtaken == 0 {
        let mut held = pool.get().unwrap();
        let served = AtomicBool::new(false);
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            scope.spawn(|| {
                let item = pool.get().unwrap();
                served.store(true, SeqCst);
                put(&pool, item).unwrap();
            });
            until_waiting(&pool, 1);
            let mut overtook = 0;
            loop {
                put(&pool, held).unwrap();
                let again = pool.try_get();
                if served.load(SeqCst) || again.is_err() {
                    if let Ok(again) = again {
                        put(&pool, again).unwrap();
                    }
                    break;
                }
                held = again.unwrap();
                overtook += 1;
                assert!(overtook <= BYPASS);
            }
        });
    }
    assert!(pool.stats().most_overtaken <= BYPASS);
    assert_rests(&pool, &arena);
}

// Prime, drain, try_get.

#[test]
fn prime_brings_what_there_is_without_waiting() {
    let arena = arena(3);
    let pool = blocks(2).build(arena.clone()).unwrap();
    assert_eq!(pool.prime(0).unwrap(), 0);
    assert_eq!(pool.prime(1).unwrap(), 1);
    assert_eq!(pool.prime(1).unwrap(), 1);
    assert_eq!(pool.prime(5).unwrap(), 2, "the hard limit");
    pool.set_hard_limit(5).unwrap();
    pool.set_water(0, 5).unwrap();
    assert_eq!(pool.prime(5).unwrap(), 3, "the back-end has no more");
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.idle, stats.growing, stats.gets), (3, 3, 0, 0));
    assert_eq!(pool.drain(), 3);

    let huge = RawPool::builder(Layout::from_size_align(4 * QUANTUM, 1).unwrap(), 2);
    let huge = huge.build(arena.clone()).unwrap();
    assert!(matches!(huge.prime(1), Err(TryGetError::Backend(AllocError::TooLarge { .. }))));
    assert_eq!((huge.stats().growing, huge.stats().refused), (0, 1));
    huge.close();
    assert_is!(huge.prime(1), Err(TryGetError::Closed));
    assert_rests(&pool, &arena);
}

/// What it tries to bring is not what the waiter waits for.
#[test]
fn prime_beside_a_waiter_leaves_its_request_alone() {
    let arena = arena(1);
    let pool = blocks(3).build(arena.clone()).unwrap();
    let others = take(&arena, 1);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| visit(&pool));
        until_asked(&arena, 1);
        assert_eq!(pool.prime(2).unwrap(), 0, "the back-end has none");
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.withdrawn, arena.stats().waiting), (1, 0, 1));
        arena.free(others).unwrap();
        waiter.join().unwrap().unwrap();
    });
    assert_rests(&pool, &arena);
}

/// What is brought above high water goes at once: priming must not go on for ever.
#[test]
fn prime_above_high_water_ends() {
    for (high, pages) in [(0, 1), (1, 3), (2, 4)] {
        let arena = arena(4);
        let pool = blocks(4).high_water(high).build(SlowHandle(Slow::new(&arena))).unwrap();
        let held = pool.prime(pages).unwrap();
        assert!((high..=pages).contains(&held), "{held} pages, {high} are kept when idle");
        assert_eq!(pool.stats().pages, held);
        assert_rests(&pool, &arena);
    }
}

#[test]
fn drain_gives_wholly_idle_pages_only() {
    let arena = arena(64);
    let pool = blocks(4).items_per_page(2).build(arena.clone()).unwrap();
    let items: Vec<_> = (0..6).map(|_| pool.get().unwrap()).collect();
    assert_eq!(pool.drain(), 0);
    let page = |item: &NonNull<u8>| item.addr().get() / (2 * QUANTUM);
    let first = page(&items[0]);
    let (kept, gone): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| page(item) == first);
    for item in gone {
        put(&pool, item).unwrap();
    }
    put(&pool, kept[0]).unwrap();
    assert_eq!(pool.drain(), 2);
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.out, stats.idle), (1, 1, 1));
    put(&pool, kept[1]).unwrap();
    assert_eq!(pool.drain(), 1);
    assert_rests(&pool, &arena);
}

/// More idle pages than are given up under one hold of the lock.
#[test]
fn drain_goes_round_again() {
    let arena = arena(100);
    let pool = blocks(100).low_water(3).build(arena.clone()).unwrap();
    assert_eq!(pool.prime(100).unwrap(), 100);
    assert_eq!(pool.drain(), 97);
    assert_eq!((pool.stats().pages, arena.stats().free), (3, 97));
    assert_eq!(pool.prime(100).unwrap(), 100);
    pool.close();
    assert_whole(&arena);
}

#[test]
fn try_get_says_why_there_is_none() {
    let arena = arena(2);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let one = pool.try_get().unwrap();
    let others = take(&arena, 1);
    assert_is!(pool.try_get(), Err(TryGetError::Scarce));
    arena.free(others).unwrap();
    let two = pool.try_get().unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    put(&pool, one).unwrap();
    put(&pool, two).unwrap();
    assert_eq!((pool.stats().growing, pool.stats().waiting), (0, 0), "it never links");
    assert_rests(&pool, &arena);
    arena.close();
    assert_is!(pool.try_get(), Err(TryGetError::Backend(AllocError::Closed)));
    assert_is!(pool.get(), Err(GetError::Backend(AllocError::Closed)));
    pool.close();
    assert_is!(pool.try_get(), Err(TryGetError::Closed));
    assert_is!(pool.get(), Err(GetError::Closed));
}

// Waiting.

/// NetBSD kern/45718: the getter waits for the arena, and a put serves it.
#[test]
fn a_put_serves_who_waits_for_the_arena() {
    let arena = arena(2);
    let others = take(&arena, 1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool));
        until_asked(&arena, 1);
        assert_eq!((pool.stats().waiting, pool.stats().growing), (1, 1));
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap().unwrap(), held.addr().get());
    });
    let stats = pool.stats();
    assert_eq!((stats.withdrawn, stats.growing, stats.pages), (1, 0, 1));
    assert_eq!(arena.stats().waiting, 0, "the request was taken back");
    arena.free(others).unwrap();
    assert_eq!(arena.stats().free, 1, "and takes no page later");
    assert_rests(&pool, &arena);
}

#[test]
fn the_arena_serves_who_waits_for_a_put() {
    let arena = arena(2);
    let others = take(&arena, 1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until_asked(&arena, 1);
        arena.free(others).unwrap();
        assert_ne!(getter.join().unwrap(), held.addr().get(), "nobody put");
    });
    let stats = pool.stats();
    assert_eq!((stats.grows, stats.withdrawn, stats.growing, stats.pages), (2, 0, 0, 2));
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_timeout_leaves_nothing_behind() {
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get_timeout(Duration::ZERO).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(3)] {
        assert_is!(pool.get_timeout(timeout), Err(GetError::TimedOut(Awaited::Page)));
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.growing, stats.out), (0, 0, 1));
        assert_eq!(arena.stats().waiting, 0);
    }
    assert_eq!(pool.stats().withdrawn, 2);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| {
            let item = pool.get_timeout(Duration::MAX).unwrap();
            put(&pool, item).unwrap();
        });
        until_waiting(&pool, 1);
        put(&pool, held).unwrap();
        getter.join().unwrap();
    });
    assert_rests(&pool, &arena);
}

/// A busy pool that recycles among its own must not starve another's older request.
#[test]
fn a_page_above_low_water_goes_to_the_older_request_of_another_pool() {
    for low in [0, 1] {
        let arena = arena(1);
        let rich = blocks(1).low_water(low).build(arena.clone()).unwrap();
        let poor = blocks(1).build(arena.clone()).unwrap();
        let held = rich.get().unwrap();
        thread::scope(|scope| {
            let _close = (CloseOnPanic(&rich), CloseOnPanic(&poor));
            let older = scope.spawn(|| visit(&poor).unwrap());
            until_asked(&arena, 1);
            let younger = scope.spawn(|| visit(&rich).unwrap());
            until_waiting(&rich, 1);
            put(&rich, held).unwrap();
            if low == 0 {
                older.join().unwrap();
                // Idle at the poor one now: it is asked to give it back.
                younger.join().unwrap();
                assert_eq!(rich.stats().yielded, 1);
            } else {
                younger.join().unwrap();
                assert_eq!(poor.stats().waiting, 1, "at low water it stays");
                assert_eq!(rich.stats().yielded, 0);
                rich.set_water(0, 0).unwrap();
                older.join().unwrap();
            }
        });
        rich.drain();
        assert_rests(&poor, &arena);
        assert_rests(&rich, &arena);
    }
}

/// One pool's idle pages are another's that has to wait.
#[test]
fn idle_pages_are_reclaimed_by_a_pool_that_waits() {
    let arena = arena(20);
    let rich = blocks(20).build(arena.clone()).unwrap();
    let poor = RawPool::builder(Layout::from_size_align(20 * QUANTUM, 1).unwrap(), 1);
    let poor = poor.build(arena.clone()).unwrap();
    rich.prime(20).unwrap();
    assert_is!(poor.try_get(), Err(TryGetError::Scarce));
    let all = poor.get().unwrap();
    assert_eq!(rich.stats().pages, 0);
    put(&poor, all).unwrap();
    let one = rich.get().unwrap();
    put(&rich, one).unwrap();
    assert_rests(&rich, &arena);
    assert_rests(&poor, &arena);
}

// The end.

#[test]
fn close_wakes_who_waits_and_takes_items_back() {
    const GETTERS: usize = 20;
    let arena = arena(3);
    let others = take(&arena, 1);
    let pool = blocks(3).build(arena.clone()).unwrap();
    let (one, two) = (pool.get().unwrap(), pool.get().unwrap());
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getters: Vec<_> = (0..GETTERS).map(|_| scope.spawn(|| visit(&pool))).collect();
        until_waiting(&pool, GETTERS);
        until_asked(&arena, 1);
        assert!(!pool.is_closed());
        pool.close();
        for getter in getters {
            assert_is!(getter.join().unwrap(), Err(GetError::Closed));
        }
    });
    assert!(pool.is_closed() && pool.stats().closed);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (0, 0));
    pool.close();
    assert_is!(pool.get_timeout(Duration::MAX), Err(GetError::Closed));
    assert_is!(pool.try_get(), Err(TryGetError::Closed));

    put(&pool, one).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().out), (1, 1), "its page went");
    assert_eq!(put(&pool, one), Err(PutError::Foreign(one.addr().get())));
    put(&pool, two).unwrap();
    assert_eq!(pool.stats().pages, 0);
    arena.free(others).unwrap();
    assert_whole(&arena);
}

#[test]
fn a_closed_arena_fails_everybody_who_waits_for_it() {
    for per_page in [1, 4] {
        let arena = arena(64);
        let pool = blocks(8).items_per_page(per_page).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let rest: Vec<_> = (1..per_page).map(|_| pool.get().unwrap()).collect();
        let others = std::iter::from_fn(|| arena.try_alloc(Shape::new(1).unwrap()).ok());
        let others: Vec<_> = others.collect();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| visit(&pool))).collect();
            until_waiting(&pool, 3);
            until_asked(&arena, 3_usize.div_ceil(per_page as usize));
            arena.close();
            for getter in getters {
                assert_is!(getter.join().unwrap(), Err(GetError::Backend(AllocError::Closed)));
            }
        });
        assert_eq!((pool.stats().waiting, pool.stats().growing), (0, 0));
        for item in rest.into_iter().chain([held]) {
            put(&pool, item).unwrap();
        }
        for span in others {
            arena.free(span).unwrap();
        }
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_dropped_pool_gives_its_pages_back() {
    let arena = arena(4);
    let pool = blocks(4).low_water(2).build(arena.clone()).unwrap();
    pool.prime(4).unwrap();
    assert_eq!(pool.backend().quanta(), 4);
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_dropped_pool_leaves_no_request_behind() {
    let arena = arena(1);
    let all = take(&arena, 1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Page)));
    drop(pool);
    assert_eq!(arena.stats().waiting, 0);
    arena.free(all).unwrap();

    // The last handle is a getter's own, whose pool is closed while it waits.
    let all = take(&arena, 1);
    let pool = Arc::new(blocks(1).build(arena.clone()).unwrap());
    let getter = {
        let pool = pool.clone();
        thread::spawn(move || visit(&pool))
    };
    until_asked(&arena, 1);
    pool.close();
    drop(pool);
    assert_is!(getter.join().unwrap(), Err(GetError::Closed));
    assert_eq!(arena.stats().waiting, 0);
    arena.free(all).unwrap();
    assert_whole(&arena);
}

/// A back-end that commits to what it is asked, keeps it, and answers when it is told to.
struct Slow {
    arena: Arena,
    kept: Mutex<Vec<Committed<Span, AllocError>>>,
    panics: AtomicU32,
    tries: AtomicU32,
}

impl Slow {
    fn new(arena: &Arena) -> Arc<Self> {
        Arc::new(Self {
            arena: arena.clone(),
            kept: Mutex::default(),
            panics: AtomicU32::new(0),
            tries: AtomicU32::new(0),
        })
    }
}

struct SlowHandle(Arc<Slow>);

// SAFETY: pages are spans of an arena.
unsafe impl Backend for SlowHandle {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Some(QUANTUM)
    }
    fn ask(&self, _: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        if self.0.panics.load(SeqCst) > 0 {
            self.0.panics.fetch_sub(1, SeqCst);
            panic!("a back-end panics");
        }
        match grow.commit() {
            Err(_withdrawn) => Answer::Withdrawn,
            Ok(committed) => {
                self.0.kept.lock().push(committed);
                Answer::Later
            }
        }
    }
    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        assert!(self.0.tries.fetch_add(1, SeqCst) < 100, "it asks for pages for ever");
        Backend::try_page(&self.0.arena, page)
    }
    fn forget(&self, _: GrowId) {
        panic!("what was committed to is not withdrawn");
    }
    fn release(&self, page: Span, _: Layout) {
        self.0.arena.free(page).unwrap();
    }
    fn base(&self, page: &Span) -> NonNull<u8> {
        self.0.arena.ptr(*page).unwrap()
    }
    fn clock(&self) -> Arc<Clock> {
        self.0.arena.clock().clone()
    }
}

#[test]
fn a_page_that_comes_after_the_pool_is_gone_goes_back() {
    let arena = arena(2);
    let slow = Slow::new(&arena);
    let pool = blocks(2).build(SlowHandle(slow.clone())).unwrap();
    for pending in 1..=2 {
        assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Page)));
        assert!(pool.stats().growing <= pending);
    }
    let growing = pool.stats().growing as usize;
    assert_eq!(growing, slow.kept.lock().len());
    assert!(growing >= 1, "what is committed to cannot be withdrawn");
    drop(pool);
    let kept = std::mem::take(&mut *slow.kept.lock());
    for committed in kept {
        committed.deliver(take(&arena, 1));
    }
    assert_whole(&arena);
    assert_eq!(Arc::strong_count(&slow), 1, "and the last grow took the pool along");
}

/// A page that nobody waits for any more stays in the bound, and serves who comes next.
#[test]
fn a_page_that_comes_late_serves_who_comes_next() {
    let arena = arena(1);
    let slow = Slow::new(&arena);
    let pool = blocks(1).build(SlowHandle(slow.clone())).unwrap();
    assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Page)));
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "P1: the pending grow counts");
    let committed = slow.kept.lock().pop().unwrap();
    committed.deliver(take(&arena, 1));
    let item = pool.try_get().unwrap();
    put(&pool, item).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_dropped_request_fails_who_waits_for_it() {
    let arena = arena(1);
    let slow = Slow::new(&arena);
    let pool = blocks(1).build(SlowHandle(slow.clone())).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool));
        let committed = loop {
            if let Some(committed) = slow.kept.lock().pop() {
                break committed;
            }
            thread::yield_now();
        };
        drop(committed);
        assert_is!(getter.join().unwrap(), Err(GetError::Abandoned));
    });
    assert_eq!((pool.stats().growing, pool.stats().refused), (0, 1));
    assert_rests(&pool, &arena);
}

#[test]
fn a_panicking_back_end_leaves_the_pool_as_it_was() {
    let arena = arena(1);
    let slow = Slow::new(&arena);
    let pool = blocks(1).build(SlowHandle(slow.clone())).unwrap();
    slow.panics.store(3, SeqCst);
    for _ in 0..3 {
        assert!(catch_unwind(AssertUnwindSafe(|| pool.get())).is_err());
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.waiting, stats.pages), (0, 0, 0));
    }
    let item = pool.try_get().unwrap();
    put(&pool, item).unwrap();
    assert_rests(&pool, &arena);
}

// What it says.

#[test]
fn pools_that_cannot_be_say_why() {
    let arena = arena(1);
    let build = |builder: Builder<Layout>| builder.build(arena.clone()).err();
    assert_eq!(build(blocks(0)), Some(ConfigError::ZeroLimit));
    assert_eq!(build(blocks(1).max_growing(0)), Some(ConfigError::ZeroGrowing));
    let numbers = Arena::new(Region::numbers(8), 1).unwrap();
    assert_eq!(blocks(1).build(numbers).err(), Some(ConfigError::NoMemory));
    let water = |low, high, limit| Some(ConfigError::Water { low, high, limit });
    assert_eq!(build(blocks(2).low_water(3).high_water(4)), water(3, 4, 2));
    assert_eq!(build(blocks(2).low_water(2).high_water(1)), water(2, 1, 2));
    assert_eq!(build(blocks(2).low_water(3)), water(3, 2, 2));
    let items = |size: usize| RawPool::builder(Layout::from_size_align(size, 1).unwrap(), u32::MAX);
    let zero = build(items(0)).unwrap();
    assert!(matches!(&zero, ConfigError::Items(why) if why.contains("size zero")), "{zero}");
    assert!(matches!(build(blocks(1).items_per_page(0)), Some(ConfigError::Items(_))));
    assert!(matches!(build(items(isize::MAX as usize)), Some(ConfigError::Items(_))));
    assert!(matches!(build(items(1 << 40).items_per_page(u32::MAX)), Some(ConfigError::Items(_))));
    assert!(matches!(build(items(1).items_per_page(u32::MAX)), Some(ConfigError::Items(_))));
    let most = build(blocks(1).max_growing(u32::MAX));
    assert!(matches!(most, Some(ConfigError::TooManyGrowing { growing: u32::MAX, .. })));
    // The most that a page may have, and the most pages.
    let many = u32::MAX - 3;
    let tables = build(items(1).items_per_page(many));
    assert_eq!(tables, Some(ConfigError::Tables { pages: u32::MAX, items: many }));
    assert_eq!(Arc::strong_count(arena.clock()), 1, "nothing of them is left");

    let pool = RawPool::builder(Layout::new::<u8>(), 1).items_per_page(many).build(arena.clone());
    if let Ok(pool) = pool {
        let before = pool.stats();
        let tables = ConfigError::Tables { pages: u32::MAX, items: many };
        assert_eq!(pool.set_hard_limit(u32::MAX), Err(tables));
        assert_eq!(pool.stats(), before);
    }
    assert_whole(&arena);
}

#[test]
fn debug_says_who_waits_and_why() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let (held, line) = (pool.get().unwrap(), line!());
    let said = format!("{pool:?}");
    let mut lines = said.lines();
    let first = "pool of 4096-byte items, 1 a page: 1 of 1 pages, 0 growing, 1 items out, 0 idle; \
                 4096 bytes held, 0 unused";
    assert_eq!(lines.next(), Some(first));
    if CHECKED {
        let place = format!("  1 out, got at {}:{line}:", file!());
        assert!(lines.next().is_some_and(|line| line.starts_with(&place)), "{said}");
    }
    assert_eq!(lines.next(), None);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = thread::Builder::new().name("Konrad".to_owned()).spawn_scoped(scope, || visit(&pool));
        until_waiting(&pool, 1);
        let said = format!("{pool:?}");
        let line = said.lines().nth(1).unwrap();
        assert!(line.contains("thread \"Konrad\""), "{said}");
        assert!(line.ends_with("waits for a put: the hard limit allows no more pages"), "{said}");

        pool.set_hard_limit(2).unwrap();
        until_asked(&arena, 1);
        let said = format!("{pool:?}");
        assert!(said.starts_with("pool of 4096-byte items, 1 a page: 1 of 2 pages, 1 growing"), "{said}");
        assert!(said.contains("waits for a put or a page that the back-end owes"), "{said}");
        assert!(said.contains("is pending at the back-end"), "{said}");
        put(&pool, held).unwrap();
        getter.unwrap().join().unwrap().unwrap();
    });
    pool.close();
    assert!(format!("{pool:?}").ends_with(", closed"));
    assert_whole(&arena);
}
