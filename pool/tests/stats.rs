//! What a pool says of itself: its figures, its name in the table, who waits and who lost what.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::convert::Infallible;
use std::process::Command;
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicBool, Ordering::SeqCst};
use kva::sync::{Arc, CHECKED};
use kva::{AllocError, Arena, Claim, Shape};
use pool::{
    ArenaPages, Backend, Builder, Classic, GetError, Item, OwnedItem, PageAllocator, Pool, PoolStats,
    RawPool, TryGetError, WaitStats, registered,
};

#[macro_use]
mod support;

use support::{Block, CloseOnPanic, QUANTUM, arena, objects, poll_once, take, until_waiting, wait_for};

/// Pages of one item, a quantum each.
fn raw_blocks(hard_limit: u32) -> Builder<Layout> {
    RawPool::builder(Layout::new::<Block>(), hard_limit)
}

fn put<B: Backend>(pool: &RawPool<B>, item: NonNull<u8>) {
    support::put(pool, item).unwrap();
}

// The figures of a pool.

#[test]
fn a_new_pool_has_its_limits_and_nothing_else() {
    let builder = Pool::builder(9, || [0_u32; 6]).items_per_page(8).low_water(2).high_water(5);
    let pool = builder.critical_reserve(3).name("that is new").build(arena(9)).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.name.as_deref(), pool.name()), (Some("that is new"), Some("that is new")));
    assert_eq!((stats.item_size, stats.items_per_page), (24, 8));
    assert_eq!((stats.hard_limit, stats.low_water, stats.high_water, stats.critical_reserve), (9, 2, 5, 3));
    assert_eq!(
        (stats.pages, stats.growing, stats.idle, stats.cached, stats.out, stats.live),
        (0, 0, 0, 0, 0, 0)
    );
    assert_eq!((stats.waiting, stats.asleep_in_backend, stats.closed), (0, 0, false));
    assert_eq!((stats.gets, stats.puts, stats.leaked, stats.grows, stats.refused), (0, 0, 0, 0, 0));
    assert_eq!((stats.withdrawn, stats.released, stats.yielded, stats.released_to_heirs), (0, 0, 0, 0));
    assert_eq!((stats.released_below_low, stats.stolen, stats.most_overtaken), (0, 0, 0));
    assert_eq!((stats.most_out, stats.most_pages), (0, 0));
    assert_eq!((stats.failures.total(), stats.waits), (0, WaitStats::default()));
}

#[test]
fn limits_are_those_that_were_set_last() {
    let pool = objects(4).build(arena(4)).unwrap();
    assert_eq!((pool.stats().high_water, pool.stats().name), (4, None), "no bound but the hard limit");
    pool.set_water(1, 7).unwrap();
    pool.set_critical_reserve(2).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.low_water, stats.high_water, stats.critical_reserve), (1, 4, 2));
    pool.set_hard_limit(8).unwrap();
    assert_eq!((pool.stats().hard_limit, pool.stats().high_water), (8, 7));
    pool.set_hard_limit(1).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.hard_limit, stats.low_water, stats.high_water, stats.critical_reserve), (1, 1, 1, 0));
}

#[test]
fn an_items_size_is_from_one_to_the_next() {
    let pool = RawPool::builder(Layout::from_size_align(24, 16).unwrap(), 1).items_per_page(3);
    let stats = pool.build(arena(1)).unwrap().stats();
    assert_eq!((stats.item_size, stats.items_per_page), (32, 3));
}

#[test]
fn items_and_pages_are_counted_where_they_are() {
    let pool = Pool::builder(2, || 0_u64).items_per_page(4).build(arena(2)).unwrap();
    let mut items = pool.get_many(5).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.out, stats.idle, stats.live), (2, 5, 3, 5));
    assert_eq!((stats.gets, stats.puts, stats.most_out, stats.most_pages), (5, 0, 5, 2));
    items.truncate(2);
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.live), (2, 6, 5), "those that are kept live");
    assert_eq!((stats.gets, stats.puts, stats.most_out), (5, 3, 5));
    items.clear();
    assert_eq!(pool.drain(), 2);
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.out, stats.idle, stats.live), (0, 0, 0, 0));
    assert_eq!((stats.released, stats.most_out, stats.most_pages), (2, 5, 2), "what was, was");
    pool.close();
    assert!(pool.stats().closed && pool.is_closed());
}

#[test]
fn a_raw_pool_has_as_many_alive_as_are_out() {
    let pool = raw_blocks(2).build(arena(2)).unwrap();
    let items = pool.get_many(2).unwrap();
    put(&pool, items[0]);
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.live, stats.gets, stats.puts), (1, 1, 1, 2, 1));
    put(&pool, items[1]);
    assert_eq!(pool.stats().live, 0);
}

#[test]
fn what_is_leaked_is_counted_as_out_too() {
    let pool = objects(2).build(arena(2)).unwrap();
    let _ = Item::leak(pool.get().unwrap());
    let _ = OwnedItem::leak(pool.get_owned().unwrap());
    let stats = pool.stats();
    assert_eq!((stats.leaked, stats.out, stats.live, stats.puts), (2, 2, 2, 0));
}

#[test]
fn a_grow_is_pending_and_ends_in_one_of_three_ways() {
    let arena = arena(2);
    let span = take(&arena, 2);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.grows, stats.pages, stats.waiting), (1, 1, 0, 1));

    arena.free(span).unwrap();
    let Poll::Ready(Ok(item)) = poll_once(waits.as_mut()) else { panic!("a page came") };
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.grows, stats.pages, stats.waiting), (0, 1, 1, 0), "delivered");

    let span = take(&arena, 1);
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(item);
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.grows, stats.withdrawn, stats.pages), (0, 2, 1, 1), "withdrawn");
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));

    let item = pool.get().unwrap();
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    arena.close();
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Err(GetError::Backend(AllocError::Closed))));
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.grows, stats.refused, stats.withdrawn), (0, 3, 1, 1), "refused");
    assert_eq!((stats.failures.backend, stats.failures.total()), (1, 1));
    drop(item);
    arena.free(span).unwrap();
}

#[test]
fn a_page_that_goes_to_an_older_request_elsewhere_is_yielded() {
    let arena = arena(1);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let other = objects(1).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let mut older = Box::pin(other.get_async());
    assert!(poll_once(older.as_mut()).is_pending());
    let mut younger = Box::pin(pool.get_async());
    assert!(poll_once(younger.as_mut()).is_pending());
    drop(item);
    assert_eq!((pool.stats().yielded, pool.stats().released, pool.stats().pages), (1, 1, 0));
    assert_is!(poll_once(older.as_mut()), Poll::Ready(Ok(_)));
    assert_eq!(other.stats().yielded, 0);
}

#[test]
fn a_waiter_that_was_overtaken_is_counted() {
    let pool = objects(1).bypass(2).build(arena(1)).unwrap();
    let item = pool.get().unwrap();
    let mut slow = Box::pin(pool.get_owned_async());
    assert!(poll_once(slow.as_mut()).is_pending());
    drop(item);
    for overtaken in 1..=2 {
        drop(pool.try_get().unwrap());
        assert_eq!(pool.stats().most_overtaken, overtaken);
    }
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted), "and now it is its turn");
    assert_is!(poll_once(slow.as_mut()), Poll::Ready(Ok(_)));
    assert_eq!(pool.stats().most_overtaken, 2);
}

// Failures, by cause.

#[test]
fn failures_are_counted_by_cause() {
    let arena = arena(1);
    let pool = objects(2).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let failures = || {
        let of = pool.stats().failures;
        assert_eq!(of.total(), of.exhausted + of.scarce + of.timed_out + of.closed + of.too_many);
        (of.exhausted, of.scarce, of.timed_out, of.closed, of.too_many)
    };
    assert_eq!(failures(), (0, 0, 0, 0, 0));
    assert_is!(pool.try_get(), Err(TryGetError::Scarce));
    assert_eq!(failures(), (0, 1, 0, 0, 0));
    pool.set_hard_limit(1).unwrap();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    assert_eq!(failures(), (1, 1, 0, 0, 0));
    assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(_)));
    assert_eq!(failures(), (1, 1, 1, 0, 0));
    assert_is!(pool.get_many(2), Err(GetError::TooMany { asked: 2, most: 1 }));
    assert_eq!(failures(), (1, 1, 1, 0, 1));
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    pool.close();
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Err(GetError::Closed)));
    assert_eq!(failures(), (1, 1, 1, 1, 1), "one who waited");
    assert_is!(pool.get(), Err(GetError::Closed));
    assert_eq!(failures(), (1, 1, 1, 2, 1), "one who came later");
    drop(item);
}

#[test]
fn those_who_would_not_wait_for_a_closed_pool_are_counted_too() {
    let pool = objects(1).build(arena(1)).unwrap();
    pool.close();
    assert_is!(pool.try_get(), Err(TryGetError::Closed));
    assert_is!(pool.try_reserve(1), Err(TryGetError::Closed));
    let failures = pool.stats().failures;
    assert_eq!((failures.closed, failures.total()), (2, 2));
}

#[test]
fn failures_of_the_back_end_and_of_the_constructor_are_counted() {
    let arena = arena(1);
    let builder = Pool::try_builder(1, || Err::<Block, _>("it cannot be made"));
    let pool = builder.build(arena.clone()).unwrap();
    assert_is!(pool.get(), Err(GetError::Construct(_)));
    assert_is!(pool.try_get(), Err(TryGetError::Construct(_)));
    let failures = pool.stats().failures;
    assert_eq!((failures.construct, failures.total()), (2, 2));
    assert_eq!(pool.drain(), 1);
    arena.close();
    assert_is!(pool.try_get(), Err(TryGetError::Backend(AllocError::Closed)));
    assert_is!(pool.get(), Err(GetError::Backend(AllocError::Closed)));
    let stats = pool.stats();
    assert_eq!((stats.failures.backend, stats.failures.total(), stats.refused), (2, 4, 2));
}

#[test]
fn a_future_that_is_dropped_while_it_waits_is_counted() {
    let pool = objects(1).bypass(0).build(arena(1)).unwrap();
    let item = pool.get().unwrap();
    let cancelled = || (pool.stats().failures.cancelled, pool.stats().failures.total());
    let mut waits = Box::pin(pool.get_async());
    drop(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    assert_eq!(cancelled(), (0, 0), "one that never began to wait is none");
    drop(waits);
    assert_eq!(cancelled(), (1, 1));
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(item);
    drop(waits);
    assert_eq!(cancelled(), (1, 1), "one that was served has not failed");
    assert_eq!((pool.stats().gets, pool.stats().out), (2, 0));
}

#[test]
fn to_prime_is_no_get_and_fails_none() {
    let pool = objects(3).build(arena(2)).unwrap();
    assert_eq!(pool.prime(3).unwrap(), 2);
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.gets, stats.failures.total()), (2, 0, 0));
}

// How long they waited.

#[test]
fn only_those_who_waited_and_were_served_are_in_the_histogram() {
    let arena = arena(1);
    let pool = objects(2).bypass(0).build(arena.clone()).unwrap();
    let served = || {
        assert_eq!(pool.wait_histogram().len(), pool.stats().waits.served);
        pool.stats().waits.served
    };
    drop(pool.try_get().unwrap());
    assert_eq!(served(), 0, "who would not wait does not, though a page came");
    assert_eq!(pool.drain(), 1);
    drop(pool.get().unwrap());
    assert_eq!(served(), 1, "for a page, which the back-end had");
    drop(pool.get().unwrap());
    drop(pool.get_many(1).unwrap());
    drop(wait_for(pool.get_async()).unwrap());
    let item = pool.try_get().unwrap();
    assert_eq!(served(), 1, "there was one");
    assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(_)));
    assert_eq!(served(), 1, "waited for nothing");
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let waits = scope.spawn(|| pool.get());
        until_waiting(&pool, 1);
        drop(item);
        // Here, when the request it had made is forgotten: until then the arena is short.
        drop(waits.join().unwrap().unwrap());
    });
    assert_eq!(served(), 2, "a thread");
    let item = pool.get().unwrap();
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(item);
    assert_eq!(served(), 3, "a task, as soon as it is served");
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));
    assert_eq!(pool.drain(), 1);
    let span = take(&arena, 1);
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    arena.free(span).unwrap();
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));
    assert_eq!(served(), 4, "for a page that came later");
    let item = pool.get().unwrap();
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    pool.close();
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Err(GetError::Closed)));
    assert_eq!(served(), 4, "not served");
    drop(item);
}

#[test]
fn who_waits_for_several_waits_once() {
    let pool = objects(2).bypass(0).build(arena(2)).unwrap();
    pool.prime(2).unwrap();
    let items = pool.get_many(2).unwrap();
    let mut waits = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(items);
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));
    assert_eq!((pool.stats().waits.served, pool.stats().gets), (1, 4));
}

#[test]
fn the_summary_of_waits_is_that_of_the_histogram() {
    let pool = objects(1).bypass(0).build(arena(1)).unwrap();
    pool.prime(1).unwrap();
    let before = Instant::now();
    for _ in 0..20 {
        let item = pool.get().unwrap();
        let mut waits = Box::pin(pool.get_async());
        assert!(poll_once(waits.as_mut()).is_pending());
        drop(item);
        assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));
    }
    let (waits, histogram) = (pool.stats().waits, pool.wait_histogram());
    assert_eq!((waits.served, histogram.len()), (20, 20));
    let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
    assert_eq!((waits.p50, waits.p99, waits.p999), (at(0.5), at(0.99), at(0.999)));
    assert_eq!(waits.max, Duration::from_nanos(histogram.max()));
    let mean = Duration::from_secs_f64(histogram.mean() / 1e9);
    assert!(waits.mean.abs_diff(mean) <= Duration::from_nanos(1), "{waits:?}, {mean:?}");
    assert!(waits.p50 > Duration::ZERO && waits.p50 <= waits.p99 && waits.p99 <= waits.p999);
    assert!(waits.max <= before.elapsed() * 107 / 100, "none waited longer than all of it took");
}

// Back-ends that sleep on their caller's thread.

#[test]
fn who_is_asleep_in_the_back_end_waits_and_a_page_is_released_for_it() {
    let arena = arena(1);
    let pool = raw_blocks(2)
        .low_water(1)
        .name("that gives way")
        .build(Classic::new(ArenaPages(arena.clone())))
        .unwrap();
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let getter = scope.spawn(|| pool.get().unwrap().addr());
        while arena.stats().waiting != 1 {
            thread::yield_now();
        }
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.asleep_in_backend, stats.growing), (1, 1, 1));
        put(&pool, item);
        assert_eq!(getter.join().unwrap(), item.addr());
    });
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.asleep_in_backend), (0, 0));
    assert_eq!((stats.released_to_heirs, stats.released_below_low, stats.stolen), (1, 1, 0));
    assert_eq!(told_of_heirs("that gives way"), ["1", "1", "0"]);
    #[cfg(feature = "metrics")]
    recorder::assert_heirs_published("that gives way", [1.0, 1.0, 0.0]);
    put(&pool, item);
}

/// The last columns of a pool's row.
fn told_of_heirs(name: &str) -> [String; 3] {
    let table = registered().to_string();
    let row = table.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut cells = row.split_whitespace().rev().map(str::to_owned);
    let [stolen, below, heirs] = [(); 3].map(|()| cells.next().unwrap());
    [heirs, below, stolen]
}

/// An arena that understands no claims, and lets nobody have a page while it is shut.
struct Shut {
    arena: Arena,
    shut: Arc<AtomicBool>,
}

// SAFETY: an arena's pages, as they are.
unsafe impl PageAllocator for Shut {
    type Error = Infallible;

    fn alloc(&self, _: Layout, _: Claim<'_>, _: Option<Instant>) -> Result<Option<NonNull<u8>>, Infallible> {
        loop {
            if !self.shut.load(SeqCst)
                && let Ok(span) = self.arena.try_alloc(Shape::new(1).unwrap())
            {
                return Ok(self.arena.ptr(span));
            }
            thread::yield_now();
        }
    }
    fn try_alloc(&self, _: Layout) -> Result<Option<NonNull<u8>>, Infallible> {
        Ok(None)
    }
    fn free(&self, base: NonNull<u8>, _: Layout) {
        // SAFETY: the pool gives back what it was given.
        let span = unsafe { self.arena.span_at(base) };
        self.arena.free(span.unwrap()).unwrap();
    }
}

#[test]
fn a_page_that_did_not_reach_its_heir_was_stolen() {
    let (arena, shut) = (arena(2), Arc::new(AtomicBool::new(false)));
    let elsewhere = take(&arena, 1);
    let back_end = Classic::new(Shut { arena: arena.clone(), shut: shut.clone() });
    let pool = raw_blocks(2).name("that is robbed").build(back_end).unwrap();
    let item = pool.get().unwrap();
    assert!(!format!("{pool:?}").contains("stolen"), "there is nothing to tell");
    shut.store(true, SeqCst);
    thread::scope(|scope| {
        let getter = scope.spawn(|| pool.get().unwrap().addr());
        while pool.stats().asleep_in_backend != 1 {
            thread::yield_now();
        }
        put(&pool, item);
        assert_eq!((pool.stats().released_to_heirs, pool.stats().stolen), (1, 0), "it is on its way");
        let thief = take(&arena, 1);
        arena.free(elsewhere).unwrap();
        shut.store(false, SeqCst);
        let got = getter.join().unwrap();
        assert_ne!(got, item.addr(), "it has another");
        let stats = pool.stats();
        assert_eq!((stats.released_to_heirs, stats.released_below_low, stats.stolen), (1, 0, 1));
        let told =
            "pages released for getters asleep inside the back-end: 1, at low water or below 0, stolen 1";
        assert!(format!("{pool:?}").contains(told), "{pool:?}");
        assert_eq!(told_of_heirs("that is robbed"), ["1", "0", "1"]);
        #[cfg(feature = "metrics")]
        recorder::assert_heirs_published("that is robbed", [1.0, 0.0, 1.0]);
        arena.free(thief).unwrap();
        put(&pool, item.with_addr(got));
    });
}

// The table of all pools.

fn rows(name: &str) -> Vec<PoolStats> {
    registered().iter().filter(|pool| pool.name.as_deref() == Some(name)).cloned().collect()
}

/// Returns once `pools` are listed by this name: a test beside us that looks at the table at this
/// moment keeps those alive that it sees.
fn until_listed(name: &str, pools: usize) {
    while rows(name).len() != pools {
        thread::yield_now();
    }
}

#[test]
fn pools_with_a_name_are_listed_while_there_is_anything_of_them() {
    assert!(rows("that comes and goes").is_empty());
    let pool = objects(3).name("that comes and goes").build(arena(3)).unwrap();
    let item = pool.get_owned().unwrap();
    assert_eq!(rows("that comes and goes"), [pool.stats()]);
    let clone = pool.clone();
    drop(pool);
    assert_eq!(rows("that comes and goes"), [clone.stats()]);
    drop(clone);
    let closed = rows("that comes and goes");
    assert_eq!(closed.len(), 1, "an item is out");
    assert!(closed[0].closed && closed[0].out == 1);
    drop(item);
    until_listed("that comes and goes", 0);
}

#[test]
fn pools_of_one_name_are_both_listed() {
    let first = objects(3).name("of twins").build(arena(3)).unwrap();
    let second = raw_blocks(5).name("of twins").build(arena(5)).unwrap();
    let limits = || rows("of twins").iter().map(|pool| pool.hard_limit).collect::<Vec<_>>();
    assert_eq!(limits(), [3, 5]);
    drop(first);
    until_listed("of twins", 1);
    assert_eq!(limits(), [5]);
    drop(second);
    until_listed("of twins", 0);
}

#[test]
fn pools_without_a_name_are_not_listed() {
    const UNHEARD_OF: usize = 12_344;
    let unnamed = Pool::builder(1, || [0_u8; UNHEARD_OF]).build(arena(4)).unwrap();
    let of_size = || registered().iter().filter(|pool| pool.item_size == UNHEARD_OF).count();
    assert_eq!((unnamed.stats().item_size, unnamed.name(), of_size()), (UNHEARD_OF, None, 0));
    let _named = Pool::builder(1, || [0_u8; UNHEARD_OF]).name("").build(arena(4)).unwrap();
    assert_eq!(of_size(), 1, "any name does");
}

#[test]
fn pools_that_could_not_be_built_are_not_listed() {
    assert!(objects(0).name("that is none").build(arena(1)).is_err());
    assert!(rows("that is none").is_empty());
}

#[test]
fn pools_are_listed_by_name() {
    let pools =
        ["sorted b", "sorted c", "sorted a"].map(|name| objects(1).name(name).build(arena(1)).unwrap());
    let all = registered();
    let names: Vec<_> = all.iter().filter_map(|pool| pool.name.as_deref()).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(pools.iter().all(|pool| names.contains(&pool.name().unwrap())));
}

#[test]
fn the_table_has_a_header_aligned_columns_and_a_row_a_pool() {
    let wide = objects(4_000).low_water(3).name("Überläufer des Tages").build(arena(9)).unwrap();
    let narrow = objects(7).name("ñ").build(arena(1)).unwrap();
    let items = wide.get_many(3).unwrap();
    let mut fewer = items;
    fewer.truncate(2);
    assert_is!(narrow.get_many(8), Err(GetError::TooMany { .. }));
    drop(narrow.get().unwrap());
    assert_eq!(narrow.drain(), 1);
    let held = take(narrow.backend(), 1);
    let mut waits = Box::pin(narrow.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());

    let pools = registered();
    let table = pools.to_string();
    let lines: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
    assert_eq!((lines.len(), table.ends_with('\n')), (pools.len() + 1, false));
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    let heads = "Name Size Gets Fail Puts Out Hiout Idle Wait Pgreq Pgrel Npage Grow Minpg/Maxpg Held Unused \
                 Heirs Below Stolen";
    assert_eq!(header.join(" "), heads);
    // Where each column ends: numbers there end with their head.
    let ends = |line: &[char], at: usize| line[at] != ' ' && line.get(at + 1).is_none_or(|next| *next == ' ');
    let numbers: Vec<_> = (4..lines[0].len()).filter(|at| ends(&lines[0], *at)).collect();
    assert_eq!(numbers.len(), 18);
    for line in &lines {
        assert_eq!(line.len(), lines[0].len(), "{table}");
        assert!(numbers.iter().all(|at| ends(line, *at)), "{table}");
    }

    let row = |name: &str| {
        let row = table.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("Überläufer des Tages"), "4096 3 0 1 2 3 1 0 3 0 3 0 3/4000 12288 4096 0 0 0");
    assert_eq!(row("ñ"), "4096 1 1 1 0 1 0 1 2 1 0 1 0/7 0 0 0 0 0");
    drop((fewer, waits));
    narrow.backend().free(held).unwrap();
}

// Who waits, and who has what.

#[test]
fn a_pool_says_who_waits_for_what_and_why() {
    let arena = arena(2);
    let pool = objects(2).critical_reserve(1).bypass(0).build(arena.clone()).unwrap();
    let first = pool.request().critical().get_many(2).unwrap();
    let text = format!("{pool:?}");
    assert!(
        text.starts_with("pool of 4096-byte items, 1 a page: 2 of 2 pages, 0 growing, 2 items out, 0 idle")
    );
    assert!(text.contains("; 8192 bytes held, 0 unused"), "{text}");
    assert!(!text.contains("waits"), "{text}");
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let plain = named("plain").spawn_scoped(scope, || pool.get().map(drop)).unwrap();
        until_waiting(&pool, 1);
        let critical = || pool.request().critical().get_many(2).map(drop);
        let critical = named("root").spawn_scoped(scope, critical).unwrap();
        until_waiting(&pool, 2);
        let text = format!("{pool:?}");
        let lines: Vec<_> = text.lines().filter(|line| line.contains("waits")).collect();
        assert!(lines[0].starts_with("  thread \"root\", since "), "{text}");
        let why = "waits for a put: the hard limit allows no more pages";
        assert!(lines[0].ends_with(&format!("{why}, for 2 items, critical")), "{text}");
        assert!(lines[1].starts_with("  thread \"plain\", since "), "{text}");
        assert!(lines[1].ends_with(why), "{text}");
        assert_eq!(lines.len(), 2, "{text}");
        drop(first);
        plain.join().unwrap().unwrap();
        critical.join().unwrap().unwrap();
    });
    pool.set_critical_reserve(0).unwrap();
    assert_eq!(pool.drain(), 2);
    let span = take(&arena, 2);
    let mut waits = Box::pin(pool.get_async());
    assert!(poll_once(waits.as_mut()).is_pending());
    let text = format!("{pool:?}");
    assert!(text.contains("waits for a put or a page that the back-end owes"), "{text}");
    assert!(text.contains("is pending at the back-end"), "{text}");
    drop(waits);
    pool.close();
    assert!(format!("{pool:?}").ends_with("0 items out, 0 idle; 0 bytes held, 0 unused, closed"), "{pool:?}");
    arena.free(span).unwrap();
}

#[test]
fn a_pool_says_who_is_asleep_in_the_back_end() {
    let arena = arena(1);
    let pool = raw_blocks(2).build(Classic::new(ArenaPages(arena.clone()))).unwrap();
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let getter = scope.spawn(|| pool.get().unwrap().addr());
        while arena.stats().waiting != 1 {
            thread::yield_now();
        }
        let text = format!("{pool:?}");
        assert!(text.contains("ms, is asleep inside the back-end"), "{text}");
        put(&pool, item);
        getter.join().unwrap();
    });
    put(&pool, item);
}

/// Where the caller stands is where it was got; all on one line.
macro_rules! says_here {
    ($pool:expr, $get:expr) => {{
        let got = $get;
        let (text, here) = (format!("{:?}", $pool), format!("\n  1 out, got at {}:{}:", file!(), line!()));
        assert_eq!(text.contains(&here), CHECKED, "{here} is not in {text}");
        assert_eq!(text.matches("got at").count(), usize::from(CHECKED), "{text}");
        got
    }};
}

#[test]
fn a_pool_says_where_its_items_were_got() {
    let pool = objects(2).build(arena(2)).unwrap();
    let soon = Instant::now() + Duration::from_hours(1);
    drop(says_here!(pool, pool.get()).unwrap());
    drop(says_here!(pool, pool.get_timeout(Duration::ZERO)).unwrap());
    drop(says_here!(pool, pool.get_deadline(soon)).unwrap());
    drop(says_here!(pool, pool.try_get()).unwrap());
    drop(says_here!(pool, pool.get_owned()).unwrap());
    drop(says_here!(pool, pool.get_many(1)).unwrap());
    drop(says_here!(pool, pool.reserve(1)).unwrap());
    drop(says_here!(pool, pool.try_reserve(1)).unwrap());
    drop(says_here!(pool, pool.attach([0; QUANTUM])).unwrap());
    drop(says_here!(pool, wait_for(pool.get_async())).unwrap());
    drop(says_here!(pool, wait_for(pool.get_owned_async())).unwrap());
    let asks = pool.request();
    drop(says_here!(pool, asks.get()).unwrap());
    drop(says_here!(pool, asks.try_get()).unwrap());
    drop(says_here!(pool, asks.get_owned()).unwrap());
    drop(says_here!(pool, asks.try_get_owned()).unwrap());
    drop(says_here!(pool, asks.get_many(1)).unwrap());
    drop(says_here!(pool, asks.reserve(1)).unwrap());
    drop(says_here!(pool, asks.try_reserve(1)).unwrap());
    drop(says_here!(pool, wait_for(asks.get_async())).unwrap());
    drop(says_here!(pool, wait_for(asks.get_owned_async())).unwrap());
    assert!(!format!("{pool:?}").contains("got at"), "nothing is out");
}

#[test]
fn a_pool_says_where_a_future_reserved() {
    let pool = objects(2).build(arena(2)).unwrap();
    drop(says_here!(pool, wait_for(pool.request().reserve_async(1))).unwrap());
}

#[test]
fn a_raw_pool_says_where_its_items_were_got() {
    let pool = raw_blocks(2).build(arena(2)).unwrap();
    let soon = Instant::now() + Duration::from_hours(1);
    put(&pool, says_here!(pool, pool.get()).unwrap());
    put(&pool, says_here!(pool, pool.get_timeout(Duration::ZERO)).unwrap());
    put(&pool, says_here!(pool, pool.get_deadline(soon)).unwrap());
    put(&pool, says_here!(pool, pool.try_get()).unwrap());
    put(&pool, says_here!(pool, pool.get_many(1)).unwrap()[0]);
    put(&pool, says_here!(pool, wait_for(pool.get_async())).unwrap());
    let asks = pool.request();
    put(&pool, says_here!(pool, asks.get()).unwrap());
    put(&pool, says_here!(pool, asks.try_get()).unwrap());
    put(&pool, says_here!(pool, asks.get_many(1)).unwrap()[0]);
    put(&pool, says_here!(pool, wait_for(asks.get_async())).unwrap());
    assert!(!format!("{pool:?}").contains("got at"), "nothing is out");
}

#[test]
fn items_got_in_one_place_are_counted_together_and_a_waiter_says_where_it_stood() {
    let pool = objects(4).build(arena(4)).unwrap();
    let mut items: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    let (fourth, line) = (pool.get().unwrap(), line!());
    let text = format!("{pool:?}");
    assert_eq!(text.matches("\n  3 out, got at ").count(), usize::from(CHECKED), "{text}");
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let (waits, there) = (scope.spawn(|| pool.get().unwrap()), line!());
        until_waiting(&pool, 1);
        drop(items.pop());
        let item = waits.join().unwrap();
        let text = format!("{pool:?}");
        for (items, line) in [(1, line), (1, there)] {
            let at = format!("\n  {items} out, got at {}:{line}:", file!());
            assert_eq!(text.contains(&at), CHECKED, "{at} is not in {text}");
        }
        drop(item);
    });
    drop((items, fourth));
}

// What is lost.

const ACT: &str = "POOL_TEST_ACTS";

/// Does what it is told to by its environment, as a process of its own; else nothing.
#[test]
fn acts_as_it_is_told() {
    let Ok(act) = std::env::var(ACT) else { return };
    let raw = raw_blocks(4).name("of the child").build(arena(4)).unwrap();
    let typed = objects(4).name("of objects").build(arena(4)).unwrap();
    match &*act {
        "loses two" => {
            for _ in 0..2 {
                let _lost = raw.get().unwrap();
            }
        }
        "loses one without a name" => {
            let _lost = raw_blocks(1).build(arena(1)).unwrap().get().unwrap();
        }
        "puts" => put(&raw, raw.get().unwrap()),
        "leaks" => {
            Item::leak(typed.get().unwrap());
            OwnedItem::leak(typed.get_owned().unwrap());
        }
        "leaks and forgets" => {
            Item::leak(typed.get().unwrap());
            std::mem::forget(typed.get().unwrap());
        }
        "forgets" => std::mem::forget(typed.get().unwrap()),
        "outlives" => {
            let item = typed.get_owned().unwrap();
            drop(typed);
            drop(item);
        }
        "panics" => {
            let _lost = raw.get().unwrap();
            panic!("it was told to");
        }
        other => panic!("{other}?"),
    }
}

/// What a child that acts so says of pools, and whether all was well with it.
fn says(act: &str) -> (Vec<String>, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "acts_as_it_is_told", "--nocapture"]).env(ACT, act);
    let output = child.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test"));
    let said = String::from_utf8(output.stderr).unwrap();
    let of_pools = |line: &&str| line.starts_with("pool ") || line.contains("got at");
    (said.lines().filter(of_pools).map(str::to_owned).collect(), output.status.success())
}

#[test]
#[cfg_attr(miri, ignore = "no child processes")]
fn a_pool_that_is_dropped_with_items_out_says_how_many_and_where_they_were_got() {
    let (said, well) = says("loses two");
    assert!(well);
    if CHECKED {
        assert_eq!(said[0], "pool of the child: dropped, and items out that nobody put: 2");
        assert!(said[1].starts_with(&format!("  2 out, got at {}:", file!())), "{said:?}");
        assert_eq!(said.len(), 2);
        let (said, _) = says("loses one without a name");
        assert_eq!(said[0], "pool (no name): dropped, and items out that nobody put: 1");
        let (said, _) = says("forgets");
        assert_eq!(said[0], "pool of objects: dropped, and items out that nobody put: 1");
        let (said, _) = says("leaks and forgets");
        assert_eq!(said[0], "pool of objects: dropped, and items out that nobody put: 1");
    } else {
        assert_eq!(said, [""; 0]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "no child processes")]
fn a_pool_that_loses_nothing_says_nothing() {
    for act in ["puts", "leaks", "outlives"] {
        assert_eq!(says(act), (Vec::new(), true), "{act}");
    }
    assert_eq!(says("panics"), (Vec::new(), false), "who panics has other things to say");
}

// Features.

#[cfg(feature = "serde")]
#[test]
fn figures_survive_a_round_trip_through_json() {
    let pool = objects(2).low_water(1).name("that is written down").build(arena(2)).unwrap();
    let item = pool.get().unwrap();
    let mut waits = Box::pin(pool.request().reserve_async(2));
    assert!(poll_once(waits.as_mut()).is_pending());
    drop(item);
    assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));
    assert_is!(pool.get_many(3), Err(GetError::TooMany { .. }));

    let stats = pool.stats();
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["name"], "that is written down");
    assert_eq!((&json["low_water"], &json["failures"]["too_many"]), (&1.into(), &1.into()));
    assert_eq!(serde_json::from_value::<PoolStats>(json).unwrap(), stats);

    let all = registered();
    let text = serde_json::to_string(&all).unwrap();
    let back: pool::Pools = serde_json::from_str(&text).unwrap();
    assert_eq!((back.to_string(), &back), (all.to_string(), &all));
    assert!(back.contains(&stats), "and it is among them");
}

#[cfg(feature = "metrics")]
mod recorder {
    use super::*;
    use kva::sync::Mutex;
    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };
    use std::collections::BTreeMap;

    /// Exact: it is small.
    fn float(count: u64) -> f64 {
        f64::from(u32::try_from(count).unwrap())
    }

    /// The last figure of each metric of one pool.
    #[derive(Clone)]
    struct Figures(Arc<Mutex<BTreeMap<String, f64>>>, &'static str);

    struct Figure {
        of: Figures,
        key: Option<String>,
    }

    /// What was released to heirs, below low water, and stolen.
    pub(super) fn assert_heirs_published(pool: &'static str, expected: [f64; 3]) {
        let figures = Figures::of(pool);
        metrics::with_local_recorder(&figures, pool::publish_metrics);
        let names = ["released_to_heirs", "released_below_low", "stolen"];
        let expected = expected.map(Some);
        assert_eq!(
            names.map(|name| figures.0.lock().get(&format!("pool_pages_{name}_total")).copied()),
            expected
        );
    }

    impl Figures {
        fn of(pool: &'static str) -> Self {
            Self(Arc::default(), pool)
        }

        /// Of the pool whose figures these are; the cause is the rest of its name.
        fn figure(&self, key: &Key) -> Arc<Figure> {
            let label =
                |name: &str| key.labels().find(|label| label.key() == name).map(metrics::Label::value);
            let ours = label("pool") == Some(self.1);
            let cause = label("cause").map(|cause| format!(" {cause}")).unwrap_or_default();
            let key = ours.then(|| format!("{}{cause}", key.name()));
            Arc::new(Figure { of: self.clone(), key })
        }
    }

    impl GaugeFn for Figure {
        fn increment(&self, _: f64) {
            unreachable!("they are set");
        }
        fn decrement(&self, _: f64) {
            unreachable!("they are set");
        }
        fn set(&self, value: f64) {
            if let Some(key) = &self.key {
                self.of.0.lock().insert(key.clone(), value);
            }
        }
    }

    impl CounterFn for Figure {
        fn increment(&self, _: u64) {
            unreachable!("they are absolute");
        }
        fn absolute(&self, value: u64) {
            GaugeFn::set(self, float(value));
        }
    }

    impl Recorder for Figures {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.figure(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.figure(key))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            unreachable!("there are none")
        }
    }

    #[test]
    fn figures_reach_a_recorder() {
        let arena = arena(3);
        let pool = objects(3).bypass(0).name("that is published").build(arena.clone()).unwrap();
        pool.prime(2).unwrap();
        let item = pool.get().unwrap();
        let second = pool.get().unwrap();
        drop(pool.get().unwrap());
        pool.set_hard_limit(2).unwrap();
        let mut waits = Box::pin(pool.get_async());
        assert!(poll_once(waits.as_mut()).is_pending());
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
        drop(item);
        assert_is!(poll_once(waits.as_mut()), Poll::Ready(Ok(_)));
        assert_is!(pool.get_many(3), Err(GetError::TooMany { .. }));

        let figures = Figures::of("that is published");
        metrics::with_local_recorder(&figures, pool::publish_metrics);
        let stats = pool.stats();
        let seconds = |of: Duration| of.as_secs_f64();
        let expected = [
            ("pool_pages", 2.0),
            ("pool_pages_limit", 2.0),
            ("pool_pages_pending", 0.0),
            ("pool_pages_low_water", 0.0),
            ("pool_bytes_held", 8192.0),
            ("pool_bytes_unused", 4096.0),
            ("pool_items_idle", 1.0),
            ("pool_items_out", 1.0),
            ("pool_items_out_most", 3.0),
            ("pool_waiters", 0.0),
            ("pool_wait_seconds_p50", seconds(stats.waits.p50)),
            ("pool_wait_seconds_p99", seconds(stats.waits.p99)),
            ("pool_wait_seconds_max", seconds(stats.waits.max)),
            ("pool_gets_total", 4.0),
            ("pool_puts_total", 3.0),
            ("pool_waits_total", float(stats.waits.served)),
            ("pool_grows_total", 3.0),
            ("pool_grows_refused_total", 0.0),
            ("pool_grows_withdrawn_total", 0.0),
            ("pool_pages_released_total", 1.0),
            ("pool_pages_yielded_total", 0.0),
            ("pool_pages_released_to_heirs_total", 0.0),
            ("pool_pages_released_below_low_total", 0.0),
            ("pool_pages_stolen_total", 0.0),
            ("pool_objects_invalid_total", 0.0),
            ("pool_gets_failed_total exhausted", 1.0),
            ("pool_gets_failed_total scarce", 0.0),
            ("pool_gets_failed_total timed_out", 0.0),
            ("pool_gets_failed_total closed", 0.0),
            ("pool_gets_failed_total backend", 0.0),
            ("pool_gets_failed_total construct", 0.0),
            ("pool_gets_failed_total too_many", 1.0),
            ("pool_gets_failed_total cancelled", 0.0),
        ];
        let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(*figures.0.lock(), expected);
        drop(second);

        metrics::with_local_recorder(&figures, pool::publish_metrics);
        assert_eq!(figures.0.lock().get("pool_items_out"), Some(&0.0), "as often as it is called");
    }
}
