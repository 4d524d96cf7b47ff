//! The reserve: the last ones for root. Who leaves it, who may take it, and what it outlasts.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use kva::Arena;
use pool::{Awaited, Builder, ConfigError, GetError, RawPool, TryGetError};

#[macro_use]
mod support;

use support::{CloseOnPanic, arena, assert_whole, put, take, until_asked, until_waiting};

/// Pages of one item, a quantum each.
fn blocks(hard_limit: u32, reserve: u32) -> Builder<Layout> {
    support::blocks(hard_limit).critical_reserve(reserve)
}

fn put_all(pool: &RawPool, items: impl IntoIterator<Item = NonNull<u8>>) {
    for item in items {
        put(pool, item).unwrap();
    }
}

/// All that ordinary getters can have.
fn get_ordinary(pool: &RawPool) -> Vec<NonNull<u8>> {
    let mut items = Vec::new();
    loop {
        match pool.try_get() {
            Ok(item) => items.push(item),
            Err(none) => {
                assert_is!(none, TryGetError::Exhausted);
                return items;
            }
        }
    }
}

/// All that anybody can have.
fn get_all(pool: &RawPool) -> Vec<NonNull<u8>> {
    let mut items = get_ordinary(pool);
    while let Ok(item) = pool.request().critical().try_get() {
        items.push(item);
    }
    items
}

/// Gets, puts at once, and says which item it was.
fn visit(pool: &RawPool) -> usize {
    let item = pool.get().unwrap();
    put(pool, item).unwrap();
    item.addr().get()
}

/// Gets a critical one and keeps it; which item it was.
fn get_critical(pool: &RawPool) -> usize {
    pool.request().critical().get().unwrap().addr().get()
}

/// P6, but for the reserve: nothing is out, and after a close nothing is held.
fn assert_rests(pool: &RawPool, arena: &Arena) {
    let stats = pool.stats();
    assert_eq!((stats.out, stats.waiting, stats.growing), (0, 0, 0));
    assert_eq!(stats.gets, stats.puts);
    pool.close();
    assert_eq!(pool.stats().pages, 0, "a close takes the reserve, too");
    assert_whole(arena);
}

// Who may take it.

#[test]
fn ordinary_getters_leave_the_reserve_and_critical_ones_take_it() {
    for (limit, per_page, reserve) in [(3, 1, 1), (3, 1, 2), (2, 4, 3), (2, 4, 5), (2, 4, 7), (1, 4, 1)] {
        let all = (limit * per_page) as usize;
        let arena = arena(64);
        let pool = blocks(limit, reserve).items_per_page(per_page).build(arena.clone()).unwrap();
        assert_eq!((pool.stats().critical_reserve, pool.stats().pages), (reserve, 0), "nothing is held yet");
        let ordinary = get_ordinary(&pool);
        let stats = pool.stats();
        assert_eq!((ordinary.len(), stats.idle), (all - reserve as usize, reserve as usize));
        let late = pool.get_timeout(Duration::ZERO);
        assert_is!(late, Err(GetError::TimedOut(Awaited::Put)), "those who would wait leave it, too");
        assert_is!(pool.request().timeout(Duration::ZERO).get_many(1), Err(GetError::TimedOut(Awaited::Put)));

        let critical: Vec<_> = (0..reserve).map(|_| pool.request().critical().try_get().unwrap()).collect();
        assert_is!(pool.request().critical().try_get(), Err(TryGetError::Exhausted));
        let late = pool.request().critical().timeout(Duration::ZERO).get();
        assert_is!(late, Err(GetError::TimedOut(Awaited::Put)));

        // What comes back fills the reserve first.
        for (number, item) in (1..).zip(ordinary) {
            put(&pool, item).unwrap();
            let had = pool.try_get();
            if number <= reserve {
                assert_is!(had, Err(TryGetError::Exhausted));
            } else {
                put(&pool, had.unwrap()).unwrap();
            }
        }
        put_all(&pool, critical);
        assert_rests(&pool, &arena);
    }
}

#[test]
fn grows_fill_the_reserve_first() {
    for waits in [false, true] {
        let arena = arena(3);
        let pool = blocks(4, 2).build(arena.clone()).unwrap();
        let others = take(&arena, 1);
        if waits {
            assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Page)));
        } else {
            assert_is!(pool.try_get(), Err(TryGetError::Scarce));
        }
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.out), (2, 0), "two pages came, and both are the reserve");
        arena.free(others).unwrap();
        let ordinary = if waits { pool.get().unwrap() } else { pool.try_get().unwrap() };
        assert_eq!((pool.stats().pages, pool.stats().idle, pool.stats().out), (3, 2, 1));
        put(&pool, ordinary).unwrap();
        assert_rests(&pool, &arena);
    }
}

/// One who may take the reserve needs no more than it takes.
#[test]
fn a_critical_getter_does_not_fill_the_reserve() {
    for (per_page, idle) in [(1, 0), (4, 3)] {
        let arena = arena(64);
        let pool = blocks(4, 2).items_per_page(per_page).build(arena.clone()).unwrap();
        for waits in [false, true] {
            let request = pool.request().critical();
            let item = if waits { request.get().unwrap() } else { request.try_get().unwrap() };
            assert_eq!((pool.stats().pages, pool.stats().idle), (1, idle));
            put(&pool, item).unwrap();
            pool.set_critical_reserve(0).unwrap();
            pool.drain();
            pool.set_critical_reserve(2).unwrap();
        }
        assert_rests(&pool, &arena);
    }
}

/// Nor does it ask for more, as an ordinary one does.
#[test]
fn a_critical_waiter_asks_for_what_it_wants_only() {
    let arena = arena(8);
    let others = take(&arena, 8);
    let pool = blocks(8, 2).build(arena.clone()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut critical = pin!(pool.request().critical().get_async());
    assert_is!(critical.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (1, 1));
    let mut ordinary = Box::pin(pool.get_async());
    assert_is!(ordinary.as_mut().poll(&mut context), Poll::Pending);
    // The oldest may be who was told to ask for the rest.
    assert_is!(critical.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (4, 4), "and two for the reserve");
    drop(ordinary);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (1, 1), "that was its request, too");
    arena.free(others).unwrap();
    assert_is!(critical.as_mut().poll(&mut context), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    assert_eq!(pool.stats().pages, 1);
    assert_rests(&pool, &arena);
}

#[test]
fn one_who_wants_several_leaves_the_reserve_or_takes_it() {
    for per_page in [1, 2] {
        let arena = arena(64);
        let pool = blocks(4, 2).items_per_page(per_page).build(arena.clone()).unwrap();
        let all = 4 * per_page as usize;
        assert_is!(
            pool.get_many(all - 1),
            Err(GetError::TooMany { asked, most }) if (asked, most) == (all - 1, all - 2)
        );
        let critical = pool.request().critical();
        assert_is!(
            critical.get_many(all + 1),
            Err(GetError::TooMany { asked, most }) if (asked, most) == (all + 1, all)
        );
        let ordinary = pool.get_many(all - 2).unwrap();
        assert_eq!((ordinary.len(), pool.stats().idle), (all - 2, 2));
        let rest = critical.get_many(2).unwrap();
        put_all(&pool, ordinary.into_iter().chain(rest));
        let everything = critical.get_many(all).unwrap();
        assert_eq!((everything.len(), pool.stats().idle), (all, 0));
        put_all(&pool, everything);
        assert_rests(&pool, &arena);
    }
}

// Who waits.

#[test]
fn critical_getters_are_served_at_once_while_ordinary_ones_wait() {
    for per_page in [1, 4] {
        let arena = arena(64);
        let pool = blocks(2, 1).items_per_page(per_page).bypass(0).build(arena.clone()).unwrap();
        let ordinary = get_ordinary(&pool);
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getters = [(); 2].map(|()| scope.spawn(|| visit(&pool)));
            until_waiting(&pool, 2);
            for _ in 0..5 {
                let root = pool.request().critical().try_get().unwrap();
                assert_is!(pool.request().critical().try_get(), Err(TryGetError::Exhausted));
                put(&pool, root).unwrap();
                let root = pool.request().critical().get().unwrap();
                put(&pool, root).unwrap();
                let root = pool.request().critical().get_many(1).unwrap();
                put_all(&pool, root);
                let mut getter = pin!(pool.request().critical().get_async());
                let had = getter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert_is!(had, Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
                assert_eq!((pool.stats().waiting, pool.stats().idle), (2, 1), "and back it is the reserve");
            }
            assert_eq!(pool.stats().most_overtaken, 0, "they could not have had it");
            put_all(&pool, ordinary);
            for getter in getters {
                getter.join().unwrap();
            }
        });
        assert_rests(&pool, &arena);
    }
}

#[test]
fn what_comes_back_is_the_critical_waiters_first() {
    for bypass in [0, 32] {
        let arena = arena(2);
        let pool = blocks(2, 1).bypass(bypass).build(arena.clone()).unwrap();
        let held = get_all(&pool);
        assert_eq!(held.len(), 2);
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let ordinary = scope.spawn(|| visit(&pool));
            until_waiting(&pool, 1);
            let critical = scope.spawn(|| get_critical(&pool));
            until_waiting(&pool, 2);
            put(&pool, held[0]).unwrap();
            assert_eq!(critical.join().unwrap(), held[0].addr().get());
            assert_eq!(pool.stats().waiting, 1, "though that one is older");
            put(&pool, held[0]).unwrap();
            assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 1), "the reserve");
            put(&pool, held[1]).unwrap();
            ordinary.join().unwrap();
        });
        assert_eq!(pool.stats().most_overtaken, 0);
        assert_rests(&pool, &arena);
    }
}

/// What goes beyond the reserve goes by age. One that wants more than the reserve is served
/// from there.
#[test]
fn an_older_ordinary_waiter_keeps_its_place_for_what_is_beyond_the_reserve() {
    for ordinary_first in [true, false] {
        let arena = arena(3);
        let pool = blocks(3, 1).bypass(0).build(arena.clone()).unwrap();
        let held = get_all(&pool);
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let wait_ordinary = || scope.spawn(|| pool.get().unwrap().addr().get());
            let wait_critical = || scope.spawn(|| pool.request().critical().get_many(2).unwrap().len());
            if ordinary_first {
                let ordinary = wait_ordinary();
                until_waiting(&pool, 1);
                let critical = wait_critical();
                until_waiting(&pool, 2);
                put(&pool, held[0]).unwrap();
                assert_eq!(pool.stats().waiting, 2, "the reserve is one, and it wants two");
                put(&pool, held[1]).unwrap();
                ordinary.join().unwrap();
                assert_eq!((pool.stats().waiting, pool.stats().idle), (1, 1));
                put(&pool, held[2]).unwrap();
                assert_eq!(critical.join().unwrap(), 2);
            } else {
                let critical = wait_critical();
                until_waiting(&pool, 1);
                let ordinary = wait_ordinary();
                until_waiting(&pool, 2);
                put(&pool, held[0]).unwrap();
                assert_eq!(pool.stats().waiting, 2);
                put(&pool, held[1]).unwrap();
                assert_eq!(critical.join().unwrap(), 2);
                assert_eq!((pool.stats().waiting, pool.stats().idle), (1, 0));
                put(&pool, held[2]).unwrap();
                assert_eq!((pool.stats().waiting, pool.stats().idle), (1, 1), "that fills the reserve");
                put(&pool, held[0]).unwrap();
                ordinary.join().unwrap();
            }
        });
        let stats = pool.stats();
        assert_eq!((stats.out, stats.most_overtaken), (if ordinary_first { 3 } else { 2 }, 0));
        let out = held.iter().filter(|item| put(&pool, **item).is_ok()).count();
        assert_eq!(out, stats.out);
        assert_rests(&pool, &arena);
    }
}

/// What gathers for an older ordinary waiter is not a critical one's that wants more than the
/// reserve.
#[test]
fn what_gathers_beyond_the_reserve_goes_by_age() {
    let arena = arena(4);
    let pool = blocks(4, 1).bypass(0).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let ordinary = scope.spawn(|| pool.get_many(2).unwrap().into_iter().map(NonNull::addr).collect());
        until_waiting(&pool, 1);
        let critical = scope.spawn(|| pool.request().critical().get_many(2).unwrap().len());
        until_waiting(&pool, 2);
        put(&pool, held[0]).unwrap();
        put(&pool, held[1]).unwrap();
        assert_eq!((pool.stats().waiting, pool.stats().idle), (2, 2), "one of them is the reserve");
        put(&pool, held[2]).unwrap();
        assert_eq!((pool.stats().waiting, pool.stats().idle), (1, 1), "the older one has both");
        put(&pool, held[3]).unwrap();
        let had: Vec<_> = ordinary.join().unwrap();
        assert_eq!(had.len(), 2);
        assert_eq!(critical.join().unwrap(), 2);
    });
    let out = held.iter().filter(|item| put(&pool, **item).is_ok()).count();
    assert_eq!(out, 4);
    assert_rests(&pool, &arena);
}

/// A page of two comes: one item is beyond the reserve, and the older one's.
#[test]
fn a_page_of_several_is_shared_by_age_beyond_the_reserve() {
    let arena = arena(64);
    let others = take(&arena, 64);
    let base = arena.ptr(others).unwrap();
    let pool = blocks(1, 1).items_per_page(2).bypass(0).build(arena.clone()).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let ordinary = scope.spawn(|| pool.get().unwrap().addr().get());
        until_waiting(&pool, 1);
        let first = scope.spawn(|| get_critical(&pool));
        until_waiting(&pool, 2);
        let second = scope.spawn(|| get_critical(&pool));
        until_waiting(&pool, 3);
        until_asked(&arena, 1);
        arena.free(others).unwrap();
        let [ordinary, first] = [ordinary, first].map(|getter| {
            let item = getter.join().unwrap();
            NonNull::new(base.as_ptr().with_addr(item)).unwrap()
        });
        assert_eq!((pool.stats().waiting, pool.stats().idle, pool.stats().pages), (1, 0, 1));
        put(&pool, ordinary).unwrap();
        assert_eq!(second.join().unwrap(), ordinary.addr().get());
        put_all(&pool, [ordinary, first]);
    });
    assert_rests(&pool, &arena);
}

#[test]
fn ordinary_newcomers_do_not_overtake_a_critical_waiter() {
    let arena = arena(3);
    let pool = blocks(3, 1).bypass(0).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let critical =
            scope.spawn(|| pool.request().critical().get_many(3).map(|items| put_all(&pool, items)));
        until_waiting(&pool, 1);
        put_all(&pool, held[..2].iter().copied());
        assert_eq!((pool.stats().waiting, pool.stats().idle), (1, 2), "they gather");
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
        assert_is!(pool.request().critical().try_get(), Err(TryGetError::Exhausted), "in its own line, too");
        put(&pool, held[2]).unwrap();
        assert_is!(critical.join().unwrap(), Ok(()));
    });
    assert_eq!(pool.stats().most_overtaken, 0);
    assert_rests(&pool, &arena);
}

// What it outlasts.

#[test]
fn it_is_not_drained() {
    // Pages of four: as many stay as hold the reserve.
    for (per_page, reserve, pages) in
        [(1, 1, 1), (1, 3, 3), (4, 1, 1), (4, 3, 1), (4, 4, 1), (4, 5, 2), (4, 9, 3)]
    {
        let arena = arena(64);
        let pool = blocks(4, reserve).items_per_page(per_page).build(arena.clone()).unwrap();
        assert_eq!(pool.prime(4).unwrap(), 4);
        assert_eq!(pool.drain(), 4 - pages as usize, "{reserve} of pages of {per_page}");
        assert_eq!(pool.drain(), 0);
        assert_eq!(pool.stats().pages, pages);
        let root: Vec<_> = (0..reserve).map(|_| pool.request().critical().try_get().unwrap()).collect();
        assert_eq!(pool.stats().pages, pages, "it was all there");
        put_all(&pool, root);
        pool.set_critical_reserve(0).unwrap();
        assert_eq!(pool.drain(), pages as usize);
        assert_rests(&pool, &arena);
    }
}

#[test]
fn it_is_kept_above_high_water() {
    for (per_page, reserve, pages) in [(1, 2, 2), (4, 1, 1)] {
        let arena = arena(64);
        let pool = blocks(4, reserve).items_per_page(per_page).high_water(0).build(arena.clone()).unwrap();
        let items = get_ordinary(&pool);
        put_all(&pool, items);
        let stats = pool.stats();
        assert_eq!((stats.high_water, stats.pages), (0, pages));
        assert_rests(&pool, &arena);
    }
}

/// Another pool's getter waits at the same arena: it has all that is idle but the reserve.
#[test]
fn it_is_not_reclaimed_by_another_pool() {
    let arena = arena(4);
    let rich = blocks(4, 1).build(arena.clone()).unwrap();
    let poor = blocks(4, 0).build(arena.clone()).unwrap();
    assert_eq!(rich.prime(4).unwrap(), 4);
    let items: Vec<_> = (0..3).map(|_| poor.get().unwrap()).collect();
    assert_eq!((rich.stats().pages, poor.stats().pages), (1, 3));
    assert_is!(poor.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut(Awaited::Page)));
    thread::scope(|scope| {
        let _close = (CloseOnPanic(&rich), CloseOnPanic(&poor));
        let getter = scope.spawn(|| visit(&poor));
        until_asked(&arena, 1);
        let root = rich.request().critical().try_get().unwrap();
        put(&rich, root).unwrap();
        assert_eq!((rich.stats().pages, poor.stats().waiting), (1, 1), "put while somebody waits there");
        assert_eq!(rich.drain(), 0);
        rich.set_critical_reserve(0).unwrap();
        assert_eq!(rich.stats().pages, 0, "it is needed elsewhere");
        getter.join().unwrap();
    });
    put_all(&poor, items);
    poor.close();
    assert_rests(&rich, &arena);
}

/// Fair between pools, but for the reserve: a put while getters wait here and an older one
/// there.
#[test]
fn it_is_not_given_to_an_older_request_of_another_pool() {
    for reserve in [0, 1] {
        let arena = arena(2);
        let rich = blocks(2, reserve).build(arena.clone()).unwrap();
        let poor = blocks(1, 0).build(arena.clone()).unwrap();
        let held = get_all(&rich);
        thread::scope(|scope| {
            let _close = (CloseOnPanic(&rich), CloseOnPanic(&poor));
            let older = scope.spawn(|| visit(&poor));
            until_asked(&arena, 1);
            let younger = scope.spawn(|| visit(&rich));
            until_waiting(&rich, 1);
            put(&rich, held[0]).unwrap();
            if reserve == 1 {
                assert_eq!((rich.stats().yielded, rich.stats().idle), (0, 1));
                assert_eq!((rich.stats().waiting, poor.stats().waiting), (1, 1));
                // Beyond the reserve it goes to the older one, as ever.
                put(&rich, held[1]).unwrap();
            }
            older.join().unwrap();
            // Idle there now, it is asked for.
            younger.join().unwrap();
            assert_eq!(rich.stats().yielded, 1);
            if reserve == 0 {
                put(&rich, held[1]).unwrap();
            }
        });
        poor.close();
        assert_rests(&rich, &arena);
    }
}

#[test]
fn a_lowered_limit_takes_it() {
    let arena = arena(4);
    let pool = blocks(4, 2).build(arena.clone()).unwrap();
    pool.prime(4).unwrap();
    for (limit, reserve) in [(3, 2), (2, 1), (1, 0)] {
        pool.set_hard_limit(limit).unwrap();
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.critical_reserve), (limit, reserve), "one is for ordinary getters");
        let ordinary = get_ordinary(&pool);
        assert_eq!(ordinary.len(), (limit - reserve) as usize);
        put_all(&pool, ordinary);
    }
    assert_eq!(pool.drain(), 1);
    // It is what was asked for, as far as the limit allows.
    pool.set_hard_limit(4).unwrap();
    assert_eq!(pool.stats().critical_reserve, 2);
    assert_eq!(get_ordinary(&pool).into_iter().map(|item| put(&pool, item).unwrap()).count(), 2);
    assert_rests(&pool, &arena);
}

// At run time.

#[test]
fn a_lowered_reserve_serves_ordinary_waiters() {
    for bypass in [0, 32] {
        for per_page in [1, 4] {
            let arena = arena(64);
            let pool = blocks(4, 3).items_per_page(per_page).bypass(bypass).build(arena.clone()).unwrap();
            let held = get_ordinary(&pool);
            thread::scope(|scope| {
                let _close = CloseOnPanic(&pool);
                let getters = [(); 3].map(|()| scope.spawn(|| pool.get().unwrap().addr().get()));
                until_waiting(&pool, 3);
                for reserve in [2, 0] {
                    pool.set_critical_reserve(reserve).unwrap();
                    until_waiting(&pool, reserve as usize);
                    assert_eq!(pool.stats().critical_reserve, reserve);
                    assert_eq!(pool.stats().idle, reserve as usize);
                }
                for getter in getters {
                    let item = getter.join().unwrap();
                    let item = NonNull::new(held[0].as_ptr().with_addr(item)).unwrap();
                    put(&pool, item).unwrap();
                }
            });
            put_all(&pool, held);
            assert_rests(&pool, &arena);
        }
    }
}

#[test]
fn a_lowered_reserve_wakes_a_task() {
    let arena = arena(2);
    let pool = blocks(2, 1).bypass(0).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let mut getter = pin!(pool.get_async());
    let mut context = Context::from_waker(Waker::noop());
    assert_is!(getter.as_mut().poll(&mut context), Poll::Pending);
    pool.set_critical_reserve(0).unwrap();
    assert_eq!((pool.stats().waiting, pool.stats().out), (0, 2), "handed over");
    assert_is!(getter.as_mut().poll(&mut context), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_raised_reserve_is_left_and_filled_from_then_on() {
    let arena = arena(4);
    let pool = blocks(4, 0).build(arena.clone()).unwrap();
    let held = [pool.get().unwrap(), pool.get().unwrap()];
    put(&pool, held[0]).unwrap();
    pool.set_critical_reserve(2).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().idle), (2, 1), "by who comes next");
    let next = pool.get().unwrap();
    assert_eq!((pool.stats().pages, pool.stats().idle), (4, 2));
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    put_all(&pool, [held[1], next]);
    assert_eq!(pool.drain(), 2);
    assert_rests(&pool, &arena);
}

/// Who waits for the arena asks for the reserve, too, as soon as there is to be one; and takes
/// that back.
#[test]
fn who_waits_asks_for_a_changed_reserve() {
    for (per_page, asked) in [(1, [1, 3, 2]), (2, [1, 2, 1])] {
        let arena = arena(64);
        let others = take(&arena, 64);
        let pool = blocks(4, 0).items_per_page(per_page).build(arena.clone()).unwrap();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getter = scope.spawn(|| visit(&pool));
            for (reserve, asked) in [0, 2, 1].into_iter().zip(asked) {
                pool.set_critical_reserve(reserve).unwrap();
                until_asked(&arena, asked);
                assert_eq!((pool.stats().growing as usize, pool.stats().waiting), (asked, 1));
            }
            arena.free(others).unwrap();
            getter.join().unwrap();
        });
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_raised_reserve_tells_who_wants_more_than_it_leaves() {
    let arena = arena(4);
    let pool = blocks(4, 0).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let ordinary = scope.spawn(|| pool.get_many(3).map(drop));
        until_waiting(&pool, 1);
        let critical =
            scope.spawn(|| pool.request().critical().get_many(4).map(|items| put_all(&pool, items)));
        until_waiting(&pool, 2);
        pool.set_critical_reserve(1).unwrap();
        assert_eq!(pool.stats().waiting, 2, "it leaves just enough");
        pool.set_critical_reserve(2).unwrap();
        assert_is!(ordinary.join().unwrap(), Err(GetError::TooMany { asked: 3, most: 2 }));
        assert_eq!(pool.stats().waiting, 1);
        put_all(&pool, held);
        assert_is!(critical.join().unwrap(), Ok(()));
    });
    assert_rests(&pool, &arena);
}

#[test]
fn a_reserve_that_leaves_nothing_is_refused() {
    let arena = arena(64);
    for (limit, per_page) in [(1, 1), (3, 1), (2, 4)] {
        let items = limit * per_page;
        for reserve in [items, items + 1, u32::MAX] {
            let refused = Err(ConfigError::Reserve { reserve, items: u64::from(items) });
            let build = blocks(limit, reserve).items_per_page(per_page).build(arena.clone());
            assert_eq!(build.map(drop), refused);
            let pool = blocks(limit, items - 1).items_per_page(per_page).build(arena.clone()).unwrap();
            let before = pool.stats();
            assert_eq!(pool.set_critical_reserve(reserve), refused);
            assert_eq!(pool.stats(), before, "nothing was changed");
            assert_eq!(before.critical_reserve, items - 1);
            assert_eq!(get_ordinary(&pool).into_iter().map(|item| put(&pool, item).unwrap()).count(), 1);
            assert_rests(&pool, &arena);
        }
    }
}
