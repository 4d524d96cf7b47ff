//! Objects set aside: all now or none, and then there whatever happens.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex, Weak};
use kva::{AllocError, Answer, Arena, Clock, GrowId, GrowTable, Reclaim, Shape, Span, SpanGrow};
use pool::{Awaited, Backend, Builder, GetError, Objects, Pool, Reservation, TryGetError};

#[macro_use]
mod support;

use support::{
    Block, CloseOnPanic, QUANTUM, arena, assert_rests, objects, panics, poll_once, until_waiting, wait_for,
};

// What is set aside.

type Reserves = fn(&Pool<Block>, usize) -> Reservation<Block>;

/// All ways to reserve what is there.
const ALL: [Reserves; 6] = [
    |pool, items| pool.reserve(items).unwrap(),
    |pool, items| pool.try_reserve(items).unwrap(),
    |pool, items| pool.request().reserve(items).unwrap(),
    |pool, items| pool.request().critical().try_reserve(items).unwrap(),
    |pool, items| wait_for(pool.request().reserve_async(items)).unwrap(),
    |pool, items| pool.request().timeout(Duration::ZERO).reserve(items).unwrap(),
];

#[test]
fn what_is_reserved_is_set_aside_now() {
    for reserve in ALL {
        let arena = arena(3);
        let pool = objects(3).build(arena.clone()).unwrap();
        let mut reserved = reserve(&pool, 2);
        assert_eq!((reserved.len(), reserved.is_empty()), (2, false));
        assert_eq!(format!("{reserved:?}"), "Reservation of 2 objects");
        let stats = pool.stats();
        assert_eq!((stats.out, stats.live, stats.gets, stats.pages), (2, 2, 2, 2), "constructed, and out");
        let third = pool.try_get().unwrap();
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
        assert_is!(pool.try_reserve(1), Err(TryGetError::Exhausted));

        let mut first = reserved.get().unwrap();
        assert_eq!((reserved.len(), pool.stats().out), (1, 3), "out as before");
        first.fill(1);
        let mut second = reserved.get().unwrap();
        second.fill(2);
        assert!(reserved.get().is_none() && reserved.is_empty());
        assert!(first.iter().all(|byte| *byte == 1), "each is another");
        drop(reserved);
        assert_eq!(pool.stats().out, 3, "what was got is not the reservation's");
        drop((first, second, third));
        assert_rests(&pool, &arena);
    }
}

#[test]
fn what_is_reserved_is_there_after_the_pool_was_closed() {
    let arena = arena(2);
    let pool = objects(2).build(arena.clone()).unwrap();
    let mut reserved = pool.reserve(2).unwrap();
    pool.close();
    assert_is!(pool.try_reserve(1), Err(TryGetError::Closed));
    assert_is!(pool.reserve(1), Err(GetError::Closed));
    let item = reserved.get().unwrap();
    drop(pool);
    let other = thread::spawn(move || reserved.get().unwrap()).join().unwrap();
    assert_eq!(arena.stats().free, 0);
    drop((item, other));
    assert_eq!((arena.stats().free, arena.stats().free_runs), (2, 1));
}

#[test]
fn a_limit_that_is_lowered_leaves_what_is_reserved() {
    let arena = arena(3);
    let pool = objects(3).build(arena.clone()).unwrap();
    let mut reserved = pool.reserve(3).unwrap();
    pool.set_hard_limit(1).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().out), (3, 3));
    drop(reserved.get().unwrap());
    assert_eq!((pool.stats().pages, reserved.len()), (2, 2), "it went as it was put");
    drop(reserved);
    assert_eq!(pool.stats().pages, 1);
    assert_rests(&pool, &arena);
}

#[test]
fn the_rest_goes_back_when_the_reservation_is_dropped() {
    let arena = arena(3);
    let pool = objects(3).build(arena.clone()).unwrap();
    let mut reserved = pool.reserve(3).unwrap();
    let item = reserved.get().unwrap();
    drop(reserved);
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.live, stats.puts), (1, 2, 3, 2));
    drop(item);
    assert_rests(&pool, &arena);
}

#[test]
fn the_rest_serves_who_waits() {
    let arena = arena(3);
    let pool = objects(3).build(arena.clone()).unwrap();
    let mut reserved = pool.reserve(3).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let one = scope.spawn(|| pool.get().map(drop));
        until_waiting(&pool, 1);
        let several = scope.spawn(|| pool.reserve(2).map(|mut reserved| drop(reserved.get())));
        until_waiting(&pool, 2);
        let item = reserved.get().unwrap();
        drop(reserved);
        one.join().unwrap().unwrap();
        several.join().unwrap().unwrap();
        drop(item);
    });
    assert_rests(&pool, &arena);
}

#[test]
fn a_reservation_waits_until_there_are_enough() {
    let arena = arena(3);
    let pool = objects(3).bypass(0).build(arena.clone()).unwrap();
    let mut items = pool.get_many(3).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let reserves = scope.spawn(|| pool.reserve(2).unwrap().len());
        until_waiting(&pool, 1);
        drop(items.pop());
        let stats = pool.stats();
        assert_eq!((stats.out, stats.idle, stats.waiting), (2, 1, 1), "one gathers and is nobody's yet");
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "and not for who comes later");
        drop(items.pop());
        assert_eq!(reserves.join().unwrap(), 2);
    });
    drop(items);
    assert_eq!((pool.stats().gets, pool.stats().failures.exhausted), (5, 1));
    assert_rests(&pool, &arena);
}

#[test]
fn a_reservation_that_gives_up_leaves_what_gathered_to_the_next() {
    let arena = arena(2);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let mut items = pool.get_many(2).unwrap();
    let mut reserves = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(reserves.as_mut()).is_pending());
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let next = scope.spawn(|| pool.get().map(drop));
        until_waiting(&pool, 2);
        drop(items.pop());
        assert_eq!((pool.stats().waiting, pool.stats().idle), (2, 1), "one gathers");
        drop(reserves);
        next.join().unwrap().unwrap();
    });
    drop(items);
    assert_rests(&pool, &arena);
}

#[test]
fn a_reservation_that_times_out_has_nothing() {
    let arena = arena(2);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let items = pool.get_many(1).unwrap();
    let mut asks = pool.request().timeout(Duration::ZERO);
    assert_is!(asks.reserve(2), Err(GetError::TimedOut(_)));
    asks = asks.critical();
    assert_is!(asks.reserve(2), Err(GetError::TimedOut(Awaited::Put)), "the other page is idle");
    assert_is!(wait_for(asks.reserve_async(2)), Err(GetError::TimedOut(Awaited::Put)));
    let stats = pool.stats();
    assert_eq!((stats.out, stats.waiting, stats.failures.timed_out), (1, 0, 3));
    drop(items);
    assert_rests(&pool, &arena);
}

#[test]
fn a_future_reserves_nothing_until_it_is_polled_and_has_nothing_when_it_is_dropped() {
    let arena = arena(2);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    drop(pool.request().reserve_async(2));
    assert_eq!((pool.stats().gets, pool.stats().pages), (0, 0));

    let items = pool.get_many(2).unwrap();
    let mut future = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(future.as_mut()).is_pending());
    assert_eq!(pool.stats().waiting, 1);
    drop(items);
    assert_eq!((pool.stats().waiting, pool.stats().out), (0, 2), "served");
    drop(future);
    assert_eq!((pool.stats().waiting, pool.stats().out), (0, 0), "and all of it came back");

    let items = pool.get_many(1).unwrap();
    let mut future = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(future.as_mut()).is_pending());
    drop(items);
    assert_is!(poll_once(future.as_mut()), Poll::Ready(Ok(reserved)) if reserved.len() == 2);
    drop(future);
    assert_rests(&pool, &arena);
}

#[test]
fn a_close_ends_the_wait_for_a_reservation() {
    let arena = arena(2);
    let pool = objects(2).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let mut future = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(future.as_mut()).is_pending());
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let waits = scope.spawn(|| assert_is!(pool.reserve(2), Err(GetError::Closed)));
        until_waiting(&pool, 2);
        pool.close();
        waits.join().unwrap();
    });
    assert_is!(poll_once(future.as_mut()), Poll::Ready(Err(GetError::Closed)));
    assert_eq!(pool.stats().failures.closed, 2);
    drop(item);
    assert_rests(&pool, &arena);
}

// Who is older.

#[test]
fn a_getter_that_waits_is_older_than_a_reservation_that_comes_later() {
    let arena = arena(2);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let mut items = pool.get_many(2).unwrap();
    let mut getter = Box::pin(pool.get_owned_async());
    assert!(poll_once(getter.as_mut()).is_pending());
    let mut reserves = Box::pin(pool.request().reserve_async(1));
    assert!(poll_once(reserves.as_mut()).is_pending());
    drop(items.pop());
    assert_is!(pool.try_reserve(1), Err(TryGetError::Exhausted));
    assert!(poll_once(reserves.as_mut()).is_pending(), "it is not its turn");
    let got = poll_once(getter.as_mut());
    assert_is!(&got, Poll::Ready(Ok(_)));
    drop(items.pop());
    assert_is!(poll_once(reserves.as_mut()), Poll::Ready(Ok(_)));
    drop((got, getter, reserves));
    assert_eq!(pool.stats().most_overtaken, 0);
    assert_rests(&pool, &arena);
}

#[test]
fn a_reservation_that_waits_is_older_than_a_getter_that_comes_later() {
    let arena = arena(2);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let mut items = pool.get_many(2).unwrap();
    let mut reserves = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(reserves.as_mut()).is_pending());
    let mut getter = Box::pin(pool.get_owned_async());
    assert!(poll_once(getter.as_mut()).is_pending());
    drop(items.pop());
    assert!(poll_once(getter.as_mut()).is_pending(), "one gathers");
    drop(items.pop());
    assert!(poll_once(getter.as_mut()).is_pending());
    let Poll::Ready(Ok(reserved)) = poll_once(reserves.as_mut()) else { panic!("there are two") };
    drop(reserved);
    assert_is!(poll_once(getter.as_mut()), Poll::Ready(Ok(_)));
    drop(getter);
    assert_rests(&pool, &arena);
}

// Too many, and none.

#[test]
fn a_reservation_of_nothing_is_empty_and_never_waits() {
    let arena = arena(1);
    let pool = objects(1).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    for reserve in ALL {
        let mut reserved = reserve(&pool, 0);
        assert!(reserved.is_empty() && reserved.get().is_none());
    }
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.out, stats.failures.total()), (1, 1, 0));
    drop(item);
    assert_rests(&pool, &arena);
}

#[test]
fn more_than_there_can_be_is_told_at_once() {
    let arena = arena(4);
    let pool = objects(4).critical_reserve(1).build(arena.clone()).unwrap();
    let (all, ordinary) = (pool.request().critical(), pool.request());
    assert_is!(ordinary.reserve(4), Err(GetError::TooMany { asked: 4, most: 3 }));
    assert_is!(ordinary.try_reserve(4), Err(TryGetError::TooMany { asked: 4, most: 3 }));
    assert_is!(all.reserve(5), Err(GetError::TooMany { asked: 5, most: 4 }));
    assert_is!(all.try_reserve(usize::MAX), Err(TryGetError::TooMany { asked: usize::MAX, most: 4 }));
    let too_many = wait_for(all.reserve_async(1 << 40));
    assert_is!(&too_many, Err(GetError::TooMany { asked: 0x100_0000_0000, most: 4 }));
    assert_eq!(too_many.unwrap_err().to_string(), "1099511627776 items: this getter can have 4 at most");
    let stats = pool.stats();
    assert_eq!((stats.failures.too_many, stats.failures.total(), stats.pages), (5, 5, 0));
    drop(all.try_reserve(4).unwrap());
    assert_eq!(pool.stats().most_out, 4);
    pool.set_critical_reserve(0).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_limit_that_is_lowered_turns_a_reservation_away() {
    let arena = arena(3);
    let pool = objects(3).build(arena.clone()).unwrap();
    let items = pool.get_many(2).unwrap();
    let mut too_many = Box::pin(pool.request().reserve_async(3));
    assert!(poll_once(too_many.as_mut()).is_pending());
    let mut fewer = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(fewer.as_mut()).is_pending());
    pool.set_hard_limit(2).unwrap();
    assert_is!(poll_once(too_many.as_mut()), Poll::Ready(Err(GetError::TooMany { asked: 3, most: 2 })));
    drop(items);
    assert_is!(poll_once(fewer.as_mut()), Poll::Ready(Ok(_)));
    assert_eq!(pool.stats().failures.too_many, 1);
    drop(fewer);
    assert_rests(&pool, &arena);
}

// Gathering.

#[test]
fn high_water_lets_go_only_what_is_not_reserved() {
    for reserve in ALL {
        let arena = arena(3);
        let pool = objects(3).high_water(0).build(arena.clone()).unwrap();
        let mut reserved = reserve(&pool, 3);
        assert_eq!((reserved.len(), pool.stats().pages), (3, 3), "more than high water");
        drop(reserved.get().unwrap());
        assert_eq!(pool.stats().pages, 2);
        drop(reserved);
        assert_eq!((pool.stats().pages, arena.stats().free), (0, 3));
        assert_rests(&pool, &arena);
    }
}

#[test]
fn more_than_can_be_brought_fails_now_and_leaves_nothing_above_high_water() {
    for high in 0..4 {
        let arena = arena(3);
        let elsewhere = arena.try_alloc(Shape::new(1).unwrap()).unwrap();
        let pool = objects(4).high_water(high).build(arena.clone()).unwrap();
        for round in 1..=3 {
            assert_is!(pool.try_reserve(3), Err(TryGetError::Scarce));
            let stats = pool.stats();
            assert_eq!((stats.out, stats.live, stats.growing, stats.waiting), (0, 0, 0, 0));
            assert_eq!((stats.pages, stats.idle), (high.min(2), high.min(2) as usize));
            assert_eq!((stats.failures.scarce, stats.failures.total()), (round, round));
        }
        let two = pool.try_reserve(2).unwrap();
        assert_is!(pool.try_get(), Err(TryGetError::Scarce));
        arena.free(elsewhere).unwrap();
        drop(pool.try_get().unwrap());
        drop(two);
        drop(pool.try_reserve(3).unwrap());
        assert_rests(&pool, &arena);
    }
}

#[test]
fn what_was_brought_for_a_reservation_that_failed_is_for_anybody() {
    let arena = arena(2);
    let pool = objects(4).build(arena.clone()).unwrap();
    assert_is!(pool.try_reserve(3), Err(TryGetError::Scarce));
    let items = (pool.try_get().unwrap(), pool.try_get().unwrap());
    assert_eq!(pool.stats().pages, 2);
    drop(items);
    // And another client has it when it needs it.
    let span = arena.alloc(Shape::new(2).unwrap()).unwrap();
    assert_eq!(pool.stats().pages, 0);
    arena.free(span).unwrap();
    assert_rests(&pool, &arena);
}

/// A reservation is full or not, whoever else gets and puts; nothing is out twice.
#[test]
fn reservations_race_with_getters_and_leave_everything_in_place() {
    const OBJECTS: usize = 4;
    let arena = arena(OBJECTS);
    let out = AtomicU32::new(0);
    let pool = Pool::builder(OBJECTS as u32, || [0_u8; QUANTUM]).high_water(1).build(arena.clone()).unwrap();
    let mark = |block: &mut Block| {
        assert_eq!(std::mem::replace(&mut block[0], 1), 0, "it is somebody else's");
        assert!(out.fetch_add(1, SeqCst) < OBJECTS as u32);
    };
    let unmark = |block: &mut Block| {
        out.fetch_sub(1, SeqCst);
        block[0] = 0;
    };
    thread::scope(|scope| {
        for asker in 0..4 {
            let (pool, mark, unmark) = (&pool, &mark, &unmark);
            scope.spawn(move || {
                let _close = CloseOnPanic(pool);
                for round in 0..300 {
                    let wanted = (asker + round) % OBJECTS + 1;
                    let reserved = match asker {
                        0 => pool.reserve(wanted).ok(),
                        _ => pool.try_reserve(wanted).ok(),
                    };
                    if asker == 3
                        && let Ok(mut item) = pool.try_get()
                    {
                        mark(&mut item);
                        unmark(&mut item);
                    }
                    let Some(mut reserved) = reserved else { continue };
                    assert_eq!(reserved.len(), wanted);
                    let mut items: Vec<_> = std::iter::from_fn(|| reserved.get()).collect();
                    assert_eq!(items.len(), wanted);
                    for item in &mut items {
                        mark(item);
                    }
                    for item in &mut items {
                        unmark(item);
                    }
                }
            });
        }
    });
    drop(pool.try_reserve(OBJECTS).unwrap());
    assert_eq!(pool.stats().most_out, OBJECTS);
    assert_rests(&pool, &arena);
}

/// An arena that is told what to do when it is asked for a page without waiting.
struct Scripted {
    arena: Arena,
    script: Script,
}

/// One for each time. What it says is the answer; `None`: what the arena says.
type Step = Box<dyn FnOnce() -> Option<Result<Option<Span>, AllocError>> + Send>;
type Script = Arc<Mutex<VecDeque<Step>>>;

// SAFETY: an arena's pages, as they are.
unsafe impl Backend for Scripted {
    type Page = Span;
    type Error = AllocError;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }
    fn ask(&self, page: Layout, grow: SpanGrow) -> Answer<Span, AllocError> {
        Backend::ask(&self.arena, page, grow)
    }
    fn try_page(&self, page: Layout) -> Result<Option<Span>, AllocError> {
        let step = self.script.lock().pop_front();
        step.and_then(|step| step()).unwrap_or_else(|| Backend::try_page(&self.arena, page))
    }
    fn forget(&self, id: GrowId) {
        Backend::forget(&self.arena, id);
    }
    fn release(&self, page: Span, layout: Layout) {
        Backend::release(&self.arena, page, layout);
    }
    fn base(&self, page: &Span) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }
    fn clock(&self) -> Arc<Clock> {
        Backend::clock(&self.arena)
    }
    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        Backend::attach(&self.arena, table, pool);
    }
}

/// A pool that is told what to do; see [`Scripted`].
struct Told {
    arena: Arena,
    pool: Pool<Block, Scripted>,
    script: Script,
}

impl Told {
    fn new(quanta: usize, builder: Builder<Objects<Block>>) -> Self {
        let (arena, script) = (arena(quanta), Script::default());
        let back_end = Scripted { arena: arena.clone(), script: script.clone() };
        Self { arena, pool: builder.build(back_end).unwrap(), script }
    }

    /// The next time that a page is asked for without waiting.
    fn then(
        &self,
        step: impl FnOnce(Pool<Block, Scripted>) -> Option<Result<Option<Span>, AllocError>> + Send + 'static,
    ) {
        let pool = self.pool.clone();
        self.script.lock().push_back(Box::new(|| step(pool)));
    }

    fn assert_rests(&self) {
        assert!(self.script.lock().is_empty(), "all of it was played");
        assert_rests(&self.pool, &self.arena);
    }
}

#[test]
fn a_page_that_is_refused_halfway_leaves_no_slot_behind() {
    let told = Told::new(3, objects(3));
    told.then(|_| None);
    told.then(|_| Some(Err(AllocError::Closed)));
    assert_is!(told.pool.try_reserve(3), Err(TryGetError::Backend(AllocError::Closed)));
    let stats = told.pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.out, stats.idle), (1, 0, 0, 1));
    assert_eq!((stats.refused, stats.failures.backend, stats.failures.total()), (1, 1, 1));
    drop(told.pool.try_reserve(3).unwrap());
    told.assert_rests();
}

#[test]
fn a_back_end_that_panics_halfway_leaves_no_slot_behind() {
    let told = Told::new(3, objects(3));
    told.then(|_| None);
    told.then(|_| panic!("the back-end panics"));
    assert!(panics(|| told.pool.try_reserve(3).is_ok()));
    let stats = told.pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.out, stats.idle), (1, 0, 0, 1));
    drop(told.pool.try_reserve(3).unwrap());
    told.assert_rests();
}

#[test]
fn a_getter_may_take_what_gathers_and_the_reservation_fails() {
    let told = Told::new(2, objects(2));
    let taken = Arc::new(Mutex::new(None));
    let takes = taken.clone();
    told.then(|_| None);
    told.then(move |pool| {
        *takes.lock() = Some(pool.request().try_get_owned().unwrap());
        None
    });
    assert_is!(told.pool.try_reserve(2), Err(TryGetError::Exhausted));
    let stats = told.pool.stats();
    assert_eq!((stats.out, stats.idle, stats.pages), (1, 1, 2));
    drop(taken.lock().take());
    drop(told.pool.try_reserve(2).unwrap());
    told.assert_rests();
}

#[test]
fn a_reservation_may_take_what_gathers_for_another() {
    let told = Told::new(2, objects(2));
    told.then(|_| None);
    told.then(|pool| {
        // It brings the second page itself, as far as anybody can see.
        assert_is!(pool.try_reserve(2), Err(TryGetError::Exhausted), "the slot is held");
        assert_eq!(pool.try_reserve(1).unwrap().len(), 1);
        None
    });
    assert_eq!(told.pool.try_reserve(2).unwrap().len(), 2);
    told.assert_rests();
}

#[test]
fn a_limit_that_is_lowered_while_pages_gather_takes_them_back() {
    let told = Told::new(3, objects(3));
    told.then(|_| None);
    told.then(|pool| {
        pool.set_hard_limit(1).unwrap();
        None
    });
    assert_is!(told.pool.try_reserve(3), Err(TryGetError::TooMany { asked: 3, most: 1 }));
    let stats = told.pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.out, stats.idle), (1, 0, 0, 1));
    drop(told.pool.try_reserve(1).unwrap());
    told.assert_rests();
}

#[test]
fn a_close_while_pages_gather_takes_them_back() {
    let told = Told::new(3, objects(3));
    told.then(|_| None);
    told.then(|pool| {
        pool.close();
        None
    });
    assert_is!(told.pool.try_reserve(3), Err(TryGetError::Closed));
    told.assert_rests();
}

/// How a page that gathers for somebody else ends, for whom the getter relied on it.
fn a_getter_comes_while_a_page_gathers(
    builder: Builder<Objects<Block>>,
    ends: impl FnOnce() -> Option<Result<Option<Span>, AllocError>> + Send + 'static,
    check: impl FnOnce(&Pool<Block, Scripted>),
) {
    let told = Told::new(1, builder);
    let getter = Arc::new(Mutex::new(None));
    let comes = getter.clone();
    told.then(move |pool| {
        let gets = pool.clone();
        *comes.lock() = Some(thread::spawn(move || gets.get().map(drop)));
        until_waiting(&pool, 1);
        assert_eq!((pool.stats().growing, pool.stats().grows), (1, 1), "it relies on ours");
        ends()
    });
    {
        let _close = CloseOnPanic(&told.pool);
        check(&told.pool);
    }
    let getter = getter.lock().take().unwrap();
    getter.join().unwrap().unwrap();
    told.assert_rests();
}

#[test]
fn a_page_that_gathers_is_asked_for_again_if_a_getter_relied_on_it() {
    let scarce = |pool: &Pool<_, Scripted>| assert_is!(pool.try_reserve(1), Err(TryGetError::Scarce));
    a_getter_comes_while_a_page_gathers(objects(1), || Some(Ok(None)), scarce);
    let refused = |pool: &Pool<_, Scripted>| {
        assert_is!(pool.try_reserve(1), Err(TryGetError::Backend(AllocError::Closed)));
    };
    a_getter_comes_while_a_page_gathers(objects(1), || Some(Err(AllocError::Closed)), refused);
    let panicked = |pool: &Pool<_, Scripted>| assert!(panics(|| pool.try_reserve(1).is_ok()));
    a_getter_comes_while_a_page_gathers(objects(1), || panic!("the back-end panics"), panicked);
}

#[test]
fn a_page_that_gathers_goes_to_the_getter_that_waits_if_nobody_may_overtake() {
    let exhausted = |pool: &Pool<_, Scripted>| assert_is!(pool.try_reserve(1), Err(TryGetError::Exhausted));
    a_getter_comes_while_a_page_gathers(objects(1).bypass(0), || None, exhausted);
    let overtakes = |pool: &Pool<_, Scripted>| assert_is!(pool.try_reserve(1), Ok(_));
    a_getter_comes_while_a_page_gathers(objects(1).bypass(1), || None, overtakes);
}

// Constructors and destructors.

/// Its constructor fails or panics when it is called for the `n`th time, from 0.
fn fails_at(n: u32, panics: bool) -> Builder<Objects<Block>> {
    let calls = AtomicU32::new(0);
    Pool::try_builder(3, move || match calls.fetch_add(1, SeqCst) {
        call if call == n && panics => panic!("it cannot be made"),
        call if call == n => Err("it cannot be made"),
        _ => Ok([0; QUANTUM]),
    })
}

#[test]
fn a_constructor_that_fails_gives_all_of_it_back() {
    type Fails = fn(&Pool<Block>) -> bool;
    let all: [Fails; 3] = [
        |pool| matches!(pool.reserve(3), Err(GetError::Construct(_))),
        |pool| matches!(pool.try_reserve(3), Err(TryGetError::Construct(_))),
        |pool| matches!(wait_for(pool.request().reserve_async(3)), Err(GetError::Construct(_))),
    ];
    for reserves in all {
        for n in 0..3 {
            for panic in [false, true] {
                let arena = arena(3);
                let pool = fails_at(n, panic).build(arena.clone()).unwrap();
                let failed = catch_unwind(AssertUnwindSafe(|| reserves(&pool)));
                assert_eq!(failed.ok(), (!panic).then_some(true));
                let stats = pool.stats();
                assert_eq!((stats.out, stats.idle, stats.live), (0, 3, n as usize), "what was made is kept");
                assert_eq!((stats.failures.construct, stats.failures.total()), (1, 1));
                assert_eq!(pool.try_reserve(3).unwrap().len(), 3);
                assert_rests(&pool, &arena);
            }
        }
    }
}

#[test]
fn a_constructor_that_fails_serves_who_waits() {
    let arena = arena(3);
    let pool = fails_at(2, false).bypass(0).build(arena.clone()).unwrap();
    let items = pool.get_many(2).unwrap();
    let mut reserves = Box::pin(pool.request().reserve_async(3));
    assert!(poll_once(reserves.as_mut()).is_pending());
    let mut getter = Box::pin(pool.get_owned_async());
    assert!(poll_once(getter.as_mut()).is_pending());
    drop(items);
    assert_is!(poll_once(reserves.as_mut()), Poll::Ready(Err(GetError::Construct(_))));
    assert_is!(poll_once(getter.as_mut()), Poll::Ready(Ok(_)));
    drop((reserves, getter));
    assert_rests(&pool, &arena);
}

/// Its destructor panics if it is the one that is to.
struct Bomb {
    number: u32,
    armed: Arc<AtomicU32>,
    ended: Arc<AtomicU32>,
    _long: [u8; QUANTUM - 24],
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.ended.fetch_add(1, SeqCst);
        assert_ne!(self.armed.load(SeqCst), self.number, "the destructor that was to panic does");
    }
}

/// Bombs, which of them is armed and how many ended. `made`: told the number of each.
fn bombs(
    made: impl Fn(u32) + Send + Sync + 'static,
) -> (Builder<Objects<Bomb>>, Arc<AtomicU32>, Arc<AtomicU32>) {
    let (armed, ended) = (Arc::new(AtomicU32::new(u32::MAX)), Arc::new(AtomicU32::new(0)));
    let (arms, ends, numbers) = (armed.clone(), ended.clone(), AtomicU32::new(0));
    let construct = move || {
        let number = numbers.fetch_add(1, SeqCst);
        made(number);
        Bomb { number, armed: arms.clone(), ended: ends.clone(), _long: [0; QUANTUM - 24] }
    };
    (Pool::builder(4, construct), armed, ended)
}

#[test]
fn a_destructor_that_panics_strands_nothing_of_a_reservation() {
    for number in 0..3 {
        let arena = arena(3);
        let (builder, armed, ended) = bombs(|_| ());
        let pool = builder.high_water(0).build(arena.clone()).unwrap();
        let reserved = pool.try_reserve(3).unwrap();
        armed.store(number, SeqCst);
        assert!(panics(|| drop(reserved)));
        assert_eq!((pool.stats().out, ended.load(SeqCst)), (0, 3), "{number} panics");
        assert_rests(&pool, &arena);
    }
}

/// The pool is closed while they are made, so that those that were go with their pages, one of
/// which panics: as the constructor fails, that is the only panic.
#[test]
fn a_destructor_that_panics_strands_nothing_of_a_constructor_that_fails() {
    for number in 0..2 {
        let arena = arena(3);
        let (armed, ended, calls) =
            (Arc::new(AtomicU32::new(number)), Arc::new(AtomicU32::new(0)), AtomicU32::new(0));
        let ends = ended.clone();
        let pool: Arc<Mutex<Option<Pool<Bomb>>>> = Arc::default();
        let closes = pool.clone();
        let construct = move || match calls.fetch_add(1, SeqCst) {
            2 => {
                let pool = closes.lock().take();
                pool.expect("is put there").close();
                Err("it cannot be made")
            }
            number => {
                Ok(Bomb { number, armed: armed.clone(), ended: ends.clone(), _long: [0; QUANTUM - 24] })
            }
        };
        let reserves = Pool::try_builder(3, construct).build(arena.clone()).unwrap();
        *pool.lock() = Some(reserves.clone());
        assert!(panics(|| reserves.try_reserve(3).is_ok()));
        assert_eq!((reserves.stats().out, ended.load(SeqCst)), (0, 2), "{number} panics");
        assert_rests(&reserves, &arena);
    }
}
