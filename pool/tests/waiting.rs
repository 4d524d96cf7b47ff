//! How long a getter waits and for what: deadlines, the time for a page, several items from
//! one place in the queue.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, Clock, GrowId, GrowTable, Reclaim, Span, SpanGrow};
use pool::{Awaited, Backend, GetError, RawPool, TryGetError};

#[macro_use]
mod support;

use support::{
    CloseOnPanic, arena, assert_rests, blocks, get_all, put, take, until_asked, until_waiting, visit,
};

/// Long enough that a getter is asleep by then, more often than not. Decides nothing.
const SOON: Duration = Duration::from_millis(3);

fn put_all<B: Backend>(pool: &RawPool<B>, items: impl IntoIterator<Item = NonNull<u8>>) {
    for item in items {
        put(pool, item).unwrap();
    }
}

/// As [`visit`], for several; how many it had.
fn visit_many<B: Backend>(pool: &RawPool<B>, items: usize) -> Result<usize, GetError<B::Error>> {
    let items = pool.get_many(items)?;
    let mut distinct: Vec<_> = items.iter().map(|item| item.addr()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    put_all(pool, items);
    Ok(distinct.len())
}

// Deadlines.

#[test]
fn a_getter_without_time_has_what_is_there() {
    let arena = arena(2);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let brought = pool.get_timeout(Duration::ZERO).unwrap();
    put(&pool, brought).unwrap();
    assert_eq!(pool.get_timeout(Duration::ZERO).unwrap(), brought, "idle");
    let long_ago = Instant::now();
    let other = pool.get_deadline(long_ago).unwrap();
    put_all(&pool, [brought, other]);
    assert_eq!(pool.stats().failures.total(), 0);
    assert_rests(&pool, &arena);
}

#[test]
fn at_the_hard_limit_it_is_a_put_that_was_waited_for() {
    let arena = arena(2);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    for time in [Duration::ZERO, SOON] {
        let deadline = Instant::now() + time;
        assert_is!(pool.get_deadline(deadline), Err(GetError::TimedOut(Awaited::Put)));
        assert!(Instant::now() >= deadline, "not before its time");
        assert_is!(pool.get_timeout(time), Err(GetError::TimedOut(Awaited::Put)));
        assert_is!(pool.request().timeout(time).get(), Err(GetError::TimedOut(Awaited::Put)));
    }
    let stats = pool.stats();
    assert_eq!((stats.failures.timed_out, stats.failures.total()), (6, 6));
    assert_eq!((stats.grows, stats.waiting, stats.out), (1, 0, 1));
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn below_the_hard_limit_it_is_a_page_that_was_waited_for() {
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    for time in [Duration::ZERO, SOON] {
        let deadline = Instant::now() + time;
        assert_is!(pool.get_deadline(deadline), Err(GetError::TimedOut(Awaited::Page)));
        assert!(Instant::now() >= deadline, "not before its time");
        assert_is!(pool.get_timeout(time), Err(GetError::TimedOut(Awaited::Page)));
        assert_eq!((pool.stats().growing, arena.stats().waiting), (0, 0), "it is withdrawn");
    }
    assert_eq!((pool.stats().withdrawn, pool.stats().failures.timed_out), (4, 4));
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// The page is asked for by another, and the hard limit allows no second one.
#[test]
fn a_page_that_another_asked_for_is_waited_for_too() {
    for (limit, max_growing) in [(1, 1), (1, 4), (4, 1)] {
        let arena = arena(1);
        let others = take(&arena, 1);
        let pool = blocks(limit).max_growing(max_growing).build(arena.clone()).unwrap();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getter = scope.spawn(|| visit(&pool).unwrap());
            until_asked(&arena, 1);
            assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Page)));
            assert_is!(pool.get_timeout(SOON), Err(GetError::TimedOut(Awaited::Page)));
            let request = pool.request().grow_timeout(SOON);
            assert_is!(request.get(), Err(GetError::TimedOut(Awaited::Page)), "it is owed to this one, too");
            let stats = pool.stats();
            assert_eq!((stats.growing, stats.waiting, stats.withdrawn), (1, 1, 0), "that is the other's");
            arena.free(others).unwrap();
            getter.join().unwrap();
        });
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_timeout_too_long_to_be_told_is_none() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get_timeout(Duration::MAX).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| {
            let request = pool.request().timeout(Duration::ZERO).timeout(Duration::MAX);
            request.grow_timeout(Duration::MAX).get().unwrap().addr()
        });
        until_waiting(&pool, 1);
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap(), held.addr());
    });
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// Who gives up at the head of the line leaves what it was to have to the next.
#[test]
fn who_gives_up_leaves_its_place_to_the_next() {
    let arena = arena(1);
    let pool = blocks(1).bypass(0).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let first = scope.spawn(|| pool.get_timeout(SOON).map(|item| put(&pool, item).unwrap()));
        while pool.stats().waiting == 0 && !first.is_finished() {
            thread::yield_now();
        }
        let second = scope.spawn(|| visit(&pool));
        assert_is!(first.join().unwrap(), Err(GetError::TimedOut(Awaited::Put)));
        until_waiting(&pool, 1);
        put(&pool, held).unwrap();
        assert_is!(second.join().unwrap(), Ok(_));
    });
    assert_rests(&pool, &arena);
}

/// Served in the moment that its time is up: it has the item, or the pool does.
#[test]
fn a_put_and_a_deadline_at_the_same_time_lose_nothing() {
    for bypass in [0, 1] {
        let arena = arena(1);
        let pool = blocks(1).bypass(bypass).build(arena.clone()).unwrap();
        for round in 0..300 {
            let held = pool.get().unwrap();
            thread::scope(|scope| {
                let _close = CloseOnPanic(&pool);
                let getter = scope.spawn(|| {
                    pool.get_timeout(Duration::from_micros(round)).map(|item| put(&pool, item).unwrap())
                });
                while pool.stats().waiting == 0 && !getter.is_finished() {
                    thread::yield_now();
                }
                put(&pool, held).unwrap();
                assert_is!(getter.join().unwrap(), Ok(()) | Err(GetError::TimedOut(Awaited::Put)));
            });
            let stats = pool.stats();
            assert_eq!((stats.idle, stats.out, stats.waiting), (1, 0, 0));
        }
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_request_can_be_made_again() {
    let arena = arena(2);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let request = pool.request().timeout(Duration::ZERO);
    let copy = request;
    let items = [request.get().unwrap(), copy.get().unwrap()];
    assert_is!(request.get(), Err(GetError::TimedOut(Awaited::Put)));
    assert_is!(request.try_get(), Err(TryGetError::Exhausted));
    put_all(&pool, items);
    assert_rests(&pool, &arena);
}

// Not waiting.

#[test]
fn try_get_does_not_ask_the_back_end_past_who_waits() {
    let arena = arena(1);
    let others = take(&arena, 1);
    let pool = blocks(4).max_growing(1).build(arena.clone()).unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Scarce));
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until_asked(&arena, 1);
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
        assert_is!(pool.request().timeout(Duration::MAX).try_get(), Err(TryGetError::Exhausted));
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.waiting), (1, 1), "it never links");
        assert_eq!((stats.failures.scarce, stats.failures.exhausted), (1, 2));
        arena.free(others).unwrap();
        getter.join().unwrap();
    });
    assert_rests(&pool, &arena);
}

// The time for a page.

#[test]
fn the_time_for_a_page_runs_while_one_is_owed() {
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    for time in [Duration::ZERO, SOON] {
        let began = Instant::now();
        assert_is!(pool.request().grow_timeout(time).get(), Err(GetError::TimedOut(Awaited::Page)));
        assert!(began.elapsed() >= time, "not before its time");
        // Within the deadline, whichever is first.
        let request = pool.request().timeout(Duration::MAX).grow_timeout(time);
        assert_is!(request.get(), Err(GetError::TimedOut(Awaited::Page)));
        let request = pool.request().timeout(time).grow_timeout(Duration::MAX);
        assert_is!(request.get(), Err(GetError::TimedOut(Awaited::Page)));
    }
    let stats = pool.stats();
    assert_eq!((stats.failures.timed_out, stats.withdrawn, stats.growing), (6, 6, 0));
    assert_eq!(arena.stats().waiting, 0);
    put(&pool, held).unwrap();
    let found = pool.request().grow_timeout(Duration::ZERO).get().unwrap();
    put(&pool, found).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn the_time_for_a_page_does_not_run_while_the_hard_limit_is_waited_for() {
    let arena = arena(2);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| pool.request().grow_timeout(Duration::ZERO).get().unwrap().addr());
        until_waiting(&pool, 1);
        let deadline = Instant::now() + SOON;
        let late = pool.request().grow_timeout(Duration::ZERO).deadline(deadline).get();
        assert_is!(late, Err(GetError::TimedOut(Awaited::Put)));
        assert!(Instant::now() >= deadline, "that was its deadline, and no time for a page");
        assert_eq!(pool.stats().waiting, 1, "the other waits on");
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap(), held.addr());
    });
    assert_eq!(pool.stats().failures.timed_out, 1);
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn the_time_for_a_page_begins_when_one_is_owed_after_all() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| pool.request().grow_timeout(SOON).get().map(drop));
        until_waiting(&pool, 1);
        pool.set_hard_limit(2).unwrap();
        assert_is!(getter.join().unwrap(), Err(GetError::TimedOut(Awaited::Page)));
    });
    assert_eq!((pool.stats().withdrawn, arena.stats().waiting), (1, 0));
    put(&pool, held).unwrap();
    assert_rests(&pool, &arena);
}

/// As above, for one that is not the oldest: the page is asked for by another.
#[test]
fn the_time_for_a_page_begins_for_all_who_wait() {
    let arena = arena(1);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let oldest = scope.spawn(|| visit(&pool).unwrap());
        until_waiting(&pool, 1);
        let next = scope.spawn(|| pool.request().grow_timeout(SOON).get().map(drop));
        until_waiting(&pool, 2);
        // So that it is likelier to be asleep.
        assert_is!(pool.get_timeout(SOON), Err(GetError::TimedOut(Awaited::Put)));
        pool.set_hard_limit(2).unwrap();
        assert_is!(next.join().unwrap(), Err(GetError::TimedOut(Awaited::Page)));
        until_waiting(&pool, 1);
        put(&pool, held).unwrap();
        oldest.join().unwrap();
    });
    assert_rests(&pool, &arena);
}

/// What was owed is not owed any more when the time is up: the limit came down.
#[test]
fn the_time_for_a_page_is_nothing_once_none_is_owed() {
    const TIME: Duration = Duration::from_millis(20);
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    loop {
        let held = pool.get().unwrap();
        pool.set_hard_limit(2).unwrap();
        let waited_on = thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getter =
                scope.spawn(|| pool.request().grow_timeout(TIME).get().map(|item| put(&pool, item).unwrap()));
            while arena.stats().waiting == 0 && !getter.is_finished() {
                thread::yield_now();
            }
            pool.set_hard_limit(1).unwrap();
            let waits = pool.stats().waiting == 1;
            if waits {
                // As long as it would wait for a page, and longer.
                assert_is!(pool.get_timeout(2 * TIME), Err(GetError::TimedOut(Awaited::Put)));
            }
            put(&pool, held).unwrap();
            match getter.join().unwrap() {
                Ok(()) => {}
                late => {
                    assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
                    assert!(!waits, "it gave up while the hard limit was what it waited for");
                }
            }
            waits
        });
        if waited_on {
            break;
        }
    }
    assert_rests(&pool, &arena);
}

// Several items.

#[test]
fn several_are_had_at_once() {
    for per_page in [1, 3] {
        let arena = arena(64);
        let pool = blocks(4).items_per_page(per_page).build(arena.clone()).unwrap();
        assert_is!(pool.get_many(0).map(|items| items.len()), Ok(0));
        assert_eq!(pool.stats().gets, 0);
        for items in 1..=4 * per_page as usize {
            let many = pool.get_many(items).unwrap();
            assert_eq!((many.len(), pool.stats().out), (items, items));
            put_all(&pool, many);
            assert_is!(visit_many(&pool, items), Ok(n) if n == items, "all of them differ");
            pool.drain();
        }
        let none: Vec<_> = get_all(&pool);
        assert_is!(pool.get_many(0), Ok(_), "of nothing there is always enough");
        assert_is!(pool.request().timeout(Duration::ZERO).get_many(1), Err(GetError::TimedOut(Awaited::Put)));
        put_all(&pool, none);
        assert_rests(&pool, &arena);
    }
}

#[test]
fn several_are_all_or_none() {
    let arena = arena(3);
    let pool = blocks(3).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    for time in [Duration::ZERO, SOON] {
        let many = pool.request().timeout(time).get_many(3);
        assert_is!(many, Err(GetError::TimedOut(Awaited::Put)));
        let stats = pool.stats();
        assert_eq!((stats.out, stats.idle, stats.waiting, stats.growing), (1, 2, 0, 0), "what came stays");
    }
    assert_eq!((pool.stats().gets, pool.stats().failures.timed_out), (1, 2));
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let many = scope.spawn(|| visit_many(&pool, 3));
        until_waiting(&pool, 1);
        assert_eq!((pool.stats().idle, pool.stats().out), (2, 1), "it holds none while it waits");
        put(&pool, held).unwrap();
        assert_is!(many.join().unwrap(), Ok(3));
    });
    assert_rests(&pool, &arena);
}

/// One that wants several asks for all the pages it takes, as far as it may.
#[test]
fn pages_gather_for_one_who_wants_several() {
    for max_growing in [1, 2, 5] {
        let arena = arena(4);
        let others = [(); 4].map(|()| take(&arena, 1));
        let pool = blocks(4).max_growing(max_growing).build(arena.clone()).unwrap();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let many = scope.spawn(|| visit_many(&pool, 3));
            for (came, span) in others.into_iter().enumerate().take(3) {
                until_asked(&arena, (max_growing as usize).min(3 - came));
                let stats = pool.stats();
                assert_eq!((stats.pages as usize, stats.waiting), (came, 1));
                arena.free(span).unwrap();
            }
            assert_is!(many.join().unwrap(), Ok(3));
        });
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.growing, stats.withdrawn), (3, 0, 0), "and for no more");
        arena.free(others[3]).unwrap();
        assert_rests(&pool, &arena);
    }
}

#[test]
fn one_who_wants_several_is_told_of_a_refusal_and_a_close() {
    let arena = arena(3);
    let others = take(&arena, 1);
    let pool = blocks(3).build(arena.clone()).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let many = scope.spawn(|| visit_many(&pool, 3));
        until_asked(&arena, 1);
        arena.close();
        assert_is!(many.join().unwrap(), Err(GetError::Backend(AllocError::Closed)));
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.out, stats.growing, stats.refused), (2, 0, 0, 1), "what came stays");

        pool.set_hard_limit(2).unwrap();
        let held = pool.get().unwrap();
        let many = scope.spawn(|| visit_many(&pool, 2));
        until_waiting(&pool, 1);
        pool.close();
        assert_is!(many.join().unwrap(), Err(GetError::Closed));
        put(&pool, held).unwrap();
    });
    arena.free(others).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn without_bypass_nobody_has_what_gathers_for_another() {
    let arena = arena(4);
    let pool = blocks(3).bypass(0).build(arena.clone()).unwrap();
    let mut held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let many = scope.spawn(|| pool.get_many(2).unwrap().into_iter().map(NonNull::addr).collect());
        until_waiting(&pool, 1);
        let single = scope.spawn(|| pool.get().unwrap().addr());
        until_waiting(&pool, 2);
        let first = held.pop().unwrap();
        put(&pool, first).unwrap();
        assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 2), "it waits behind");
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "as does who comes later");
        assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Put)));
        let second = held.pop().unwrap();
        put(&pool, second).unwrap();
        assert_eq!((pool.stats().idle, pool.stats().waiting), (0, 1), "one place for both");
        let mut had: Vec<_> = many.join().unwrap();
        let mut put_back = vec![first.addr(), second.addr()];
        had.sort_unstable();
        put_back.sort_unstable();
        assert_eq!(had, put_back);
        let third = held.pop().unwrap();
        put(&pool, third).unwrap();
        assert_eq!(single.join().unwrap(), third.addr());
        put_all(&pool, [first, second, third]);
    });
    assert_eq!(pool.stats().most_overtaken, 0);
    assert_rests(&pool, &arena);
}

/// P4: who comes later may have what gathers for another, and no more often than that.
#[test]
fn later_arrivals_have_what_gathers_as_often_as_the_bypass_says() {
    for bypass in [1, 3] {
        for waits in [false, true] {
            let arena = arena(2);
            let pool = blocks(2).bypass(bypass).build(arena.clone()).unwrap();
            let held = get_all(&pool);
            thread::scope(|scope| {
                let _close = CloseOnPanic(&pool);
                let many = scope.spawn(|| visit_many(&pool, 2));
                until_waiting(&pool, 1);
                for _ in 0..bypass {
                    put(&pool, held[0]).unwrap();
                    let again = if waits { pool.get().unwrap() } else { pool.try_get().unwrap() };
                    assert_eq!(again, held[0]);
                }
                put(&pool, held[0]).unwrap();
                assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "once too often");
                assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Put)));
                assert_eq!((pool.stats().idle, pool.stats().waiting), (1, 1));
                put(&pool, held[1]).unwrap();
                assert_eq!(pool.stats().waiting, 0, "handed over");
                assert_is!(many.join().unwrap(), Ok(2));
            });
            assert_eq!(pool.stats().most_overtaken, u64::from(bypass));
            assert_rests(&pool, &arena);
        }
    }
}

#[test]
fn what_gathered_for_who_gives_up_is_the_next_waiters() {
    let arena = arena(3);
    let pool = blocks(3).bypass(0).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    let deadline = Instant::now() + SOON;
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let many = scope.spawn(|| pool.request().deadline(deadline).get_many(3).map(drop));
        while pool.stats().waiting == 0 && !many.is_finished() {
            thread::yield_now();
        }
        let singles = [(); 2].map(|()| scope.spawn(|| visit(&pool).unwrap()));
        put_all(&pool, held[..2].iter().copied());
        assert_is!(many.join().unwrap(), Err(GetError::TimedOut(Awaited::Put)));
        for single in singles {
            let item = single.join().unwrap();
            assert!(held[..2].iter().any(|put| put.addr().get() == item), "nobody put another");
        }
    });
    put(&pool, held[2]).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn two_who_want_several_come_one_after_the_other() {
    let arena = arena(3);
    let pool = blocks(3).bypass(0).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        for (number, items) in [(1, 2), (2, 3), (3, 1)] {
            let (pool, order) = (&pool, &order);
            scope.spawn(move || {
                let items = pool.get_many(items).unwrap();
                order.lock().push(number);
                put_all(pool, items);
            });
            until_waiting(pool, number);
        }
        put_all(&pool, held);
    });
    assert_eq!(*order.lock(), [1, 2, 3]);
    assert_rests(&pool, &arena);
}

#[test]
fn more_than_there_can_ever_be_is_too_many_at_once() {
    for per_page in [1_u32, 4] {
        let arena = arena(64);
        let pool = blocks(2).items_per_page(per_page).build(arena.clone()).unwrap();
        let all = 2 * per_page as usize;
        let held = get_all(&pool);
        let huge = [u32::MAX as usize, u32::MAX as usize + 1, usize::MAX / 2, usize::MAX];
        for (number, items) in (1..).zip([all + 1, all + 2].into_iter().chain(huge)) {
            assert_is!(
                pool.get_many(items),
                Err(GetError::TooMany { asked, most }) if (asked, most) == (items, all)
            );
            let stats = pool.stats();
            assert_eq!((stats.failures.too_many, stats.failures.total()), (number, number));
            assert_eq!((stats.waiting, stats.out, stats.growing), (0, all, 0));
        }
        put_all(&pool, held);
        assert_is!(visit_many(&pool, all), Ok(n) if n == all, "and that is not too many");
        assert_rests(&pool, &arena);
    }
}

/// As many as could be, and no memory for a list of them: an error, and no abort. Where there
/// is, it has them.
#[test]
fn a_huge_list_is_no_abort() {
    const MANY: u32 = (1 << 31) - 3;
    let arena = arena(1);
    let pool = RawPool::builder(Layout::new::<u8>(), 1).items_per_page(MANY).build(arena.clone());
    // No memory for its tables: nothing to see here.
    let Ok(pool) = pool else { return };
    let many = pool.get_many(MANY as usize);
    assert_is!(many, Err(GetError::NoMemory(_) | GetError::Backend(AllocError::TooLarge { .. })));
    assert_rests(&pool, &arena);
}

#[test]
fn who_waits_for_more_than_a_lowered_limit_allows_is_told() {
    for per_page in [1_u32, 2] {
        let arena = arena(64);
        let pool = blocks(4).items_per_page(per_page).build(arena.clone()).unwrap();
        let all = 4 * per_page as usize;
        let held = get_all(&pool);
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let many = scope.spawn(|| pool.get_many(all - 1).map(drop));
            until_waiting(&pool, 1);
            let few = scope.spawn(|| visit_many(&pool, per_page as usize));
            until_waiting(&pool, 2);
            pool.set_hard_limit(3).unwrap();
            let most = 3 * per_page as usize;
            if most < all - 1 {
                assert_is!(
                    many.join().unwrap(),
                    Err(GetError::TooMany { asked, most: told }) if (asked, told) == (all - 1, most)
                );
                assert_eq!((pool.stats().waiting, pool.stats().failures.too_many), (1, 1));
            } else {
                assert_eq!((pool.stats().waiting, pool.stats().failures.too_many), (2, 0), "just enough");
                pool.set_hard_limit(2).unwrap();
                assert_is!(many.join().unwrap(), Err(GetError::TooMany { asked: 3, most: 2 }));
            }
            until_waiting(&pool, 1);
            put_all(&pool, held);
            assert_is!(few.join().unwrap(), Ok(_), "it can still be");
        });
        assert_rests(&pool, &arena);
    }
}

/// Law 6 is for all who wait, and not for the oldest only.
#[test]
fn who_waits_behind_another_for_too_many_is_told() {
    let arena = arena(4);
    let pool = blocks(4).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let few = scope.spawn(|| visit(&pool));
        until_waiting(&pool, 1);
        let many = scope.spawn(|| pool.get_many(4).map(drop));
        until_waiting(&pool, 2);
        pool.set_hard_limit(2).unwrap();
        assert_eq!(pool.stats().waiting, 1, "it waits for what will never be");
        assert_is!(many.join().unwrap(), Err(GetError::TooMany { asked: 4, most: 2 }));
        put_all(&pool, held);
        assert_is!(few.join().unwrap(), Ok(_));
    });
    assert_rests(&pool, &arena);
}

/// An arena that panics when it is asked for the second time.
struct Fickle {
    arena: Arena,
    asked: AtomicU32,
}

// SAFETY: all is an arena's.
unsafe impl Backend for Fickle {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        self.arena.granule()
    }
    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        assert_ne!(self.asked.fetch_add(1, SeqCst), 1, "a back-end panics");
        Backend::ask(&self.arena, page, grow)
    }
    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        self.arena.try_page(page)
    }
    fn forget(&self, id: GrowId) {
        Backend::forget(&self.arena, id);
    }
    fn release(&self, page: Span, layout: Layout) {
        self.arena.release(page, layout);
    }
    fn base(&self, page: &Span) -> NonNull<u8> {
        self.arena.base(page)
    }
    fn clock(&self) -> Arc<Clock> {
        Backend::clock(&self.arena)
    }
    fn attach(&self, table: &GrowTable, pool: kva::sync::Weak<dyn Reclaim>) {
        self.arena.attach(table, pool);
    }
}

#[test]
fn a_panic_while_pages_gather_loses_nothing() {
    let arena = arena(3);
    let pool = blocks(3).build(Fickle { arena: arena.clone(), asked: AtomicU32::new(0) }).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| pool.get_many(3))).is_err());
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.out, stats.growing, stats.waiting), (1, 0, 0, 0), "the first one came");
    assert_is!(visit_many(&pool, 3), Ok(3));
    assert_rests(&pool, &arena);
}
