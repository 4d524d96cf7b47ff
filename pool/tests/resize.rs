//! Knobs that are turned while getters wait and items are out; and P1, while all of it
//! happens at once.

#![cfg(not(loom))]

use std::pin::pin;
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use kva::Shape;
use kva::sync::Arc;
use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use pool::{Awaited, ConfigError, GetError, RawPool, TryGetError};

#[macro_use]
mod support;

use support::{
    CloseOnPanic, QUANTUM, Task, arena, assert_rests, blocks, get_all, take, until_asked, until_waiting,
};

fn put(pool: &RawPool, item: NonNull<u8>) {
    support::put(pool, item).unwrap();
}

/// Gets, puts at once, and says which item it was.
fn visit(pool: &RawPool) -> usize {
    let item = pool.get().unwrap();
    put(pool, item);
    item.addr().get()
}

// The hard limit, up.

#[test]
fn a_raised_limit_serves_tasks_that_wait() {
    const TASKS: usize = 3;
    for max_growing in [1, 2, 64] {
        let arena = arena(1 + TASKS);
        let pool = blocks(1).max_growing(max_growing).build(arena.clone()).unwrap();
        let held = pool.get().unwrap();
        let tasks: [Arc<Task>; TASKS] = Default::default();
        let mut getters = [(); TASKS].map(|()| Box::pin(pool.get_async()));
        for (task, getter) in tasks.iter().zip(&mut getters) {
            assert_is!(task.poll(getter.as_mut()), Poll::Pending);
        }
        assert_eq!((pool.stats().waiting, pool.stats().growing, arena.stats().free), (TASKS, 0, 3), "P1");
        pool.set_hard_limit(1 + TASKS as u32).unwrap();
        assert_eq!(tasks[0].woken.load(SeqCst), 1, "the oldest asks");
        let mut items = vec![held];
        while items.len() <= TASKS {
            let before = items.len();
            for (task, getter) in tasks.iter().zip(&mut getters) {
                if let Poll::Ready(item) = task.poll_if_woken(getter.as_mut()) {
                    items.push(item.unwrap());
                }
            }
            let woken = tasks.iter().any(|task| task.woken.load(SeqCst) > 0);
            assert!(items.len() > before || woken, "those who are left sleep on");
        }
        let stats = pool.stats();
        assert_eq!((stats.pages as usize, stats.out, stats.waiting), (1 + TASKS, 1 + TASKS, 0));
        drop(getters);
        for item in items {
            put(&pool, item);
        }
        assert_rests(&pool, &arena);
    }
}

#[test]
fn a_raised_limit_serves_threads_as_far_as_it_goes() {
    let arena = arena(4);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getters = [(); 3].map(|()| scope.spawn(|| pool.get().unwrap().addr().get()));
        until_waiting(&pool, 3);
        pool.set_hard_limit(3).unwrap();
        until_waiting(&pool, 1);
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.growing, stats.out, arena.stats().free), (3, 0, 3, 1));
        put(&pool, held);
        for getter in getters {
            put(&pool, NonNull::new(held.as_ptr().with_addr(getter.join().unwrap())).unwrap());
        }
    });
    assert_rests(&pool, &arena);
}

/// The arena is scarce: who waits for a put waits for a page from then on.
#[test]
fn a_raised_limit_asks_for_pages_for_who_waits() {
    for per_page in [1, 2] {
        let arena = arena(64);
        let pool = blocks(1).items_per_page(per_page).build(arena.clone()).unwrap();
        let held = get_all(&pool);
        let others: Vec<_> = std::iter::from_fn(|| arena.try_alloc(Shape::new(1).unwrap()).ok()).collect();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let getters = [(); 4].map(|()| scope.spawn(|| visit(&pool)));
            until_waiting(&pool, 4);
            assert_eq!(arena.stats().waiting, 0);
            for (limit, asked) in [(2, 1), (3, 2), (9, 4 / per_page as usize)] {
                pool.set_hard_limit(limit).unwrap();
                until_asked(&arena, asked);
                assert_eq!((pool.stats().growing as usize, pool.stats().waiting), (asked, 4));
            }
            for span in others {
                arena.free(span).unwrap();
            }
            for getter in getters {
                getter.join().unwrap();
            }
        });
        for item in held {
            put(&pool, item);
        }
        assert_rests(&pool, &arena);
    }
}

/// Many more than there was room for at first: the tables grow along.
#[test]
fn a_raised_limit_is_good_for_all_its_pages() {
    const PAGES: u32 = 1000;
    let arena = arena(PAGES as usize);
    let pool = blocks(1).build(arena.clone()).unwrap();
    let first = pool.get().unwrap();
    pool.set_hard_limit(PAGES).unwrap();
    let mut items: Vec<_> = (1..PAGES).map(|_| pool.get().unwrap()).collect();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    items.push(first);
    items.sort_unstable();
    items.dedup();
    assert_eq!((items.len(), pool.stats().most_pages), (PAGES as usize, PAGES));
    for item in items {
        put(&pool, item);
    }
    assert_eq!(pool.stats().pages, PAGES, "high water was no bound, and is none now");
    assert_rests(&pool, &arena);
}

// The hard limit, down.

#[test]
fn what_is_above_a_lowered_limit_goes_past_who_waits() {
    let arena = arena(4);
    let pool = blocks(4).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getters = [(); 2].map(|()| scope.spawn(|| pool.get().unwrap().addr().get()));
        until_waiting(&pool, 2);
        pool.set_hard_limit(2).unwrap();
        for (number, pages) in [3, 2].into_iter().enumerate() {
            put(&pool, held[number]);
            let stats = pool.stats();
            assert_eq!((stats.pages, stats.waiting, stats.growing), (pages, 2, 0));
            assert_eq!(arena.stats().free, 4 - pages);
        }
        put(&pool, held[2]);
        put(&pool, held[3]);
        let mut had: Vec<_> = getters.into_iter().map(|getter| getter.join().unwrap()).collect();
        let mut put_back = [held[2].addr().get(), held[3].addr().get()];
        had.sort_unstable();
        put_back.sort_unstable();
        assert_eq!(had, put_back, "at the limit they have what comes back");
        put(&pool, held[2]);
        put(&pool, held[3]);
    });
    assert_rests(&pool, &arena);
}

/// A page that is not wholly free cannot go: its items serve who waits.
#[test]
fn free_items_of_pages_in_use_serve_at_any_limit() {
    let arena = arena(64);
    let pool = blocks(2).items_per_page(2).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    pool.set_hard_limit(1).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| pool.get().unwrap().addr());
        until_waiting(&pool, 1);
        put(&pool, held[0]);
        assert_eq!(getter.join().unwrap(), held[0].addr());
    });
    assert_eq!((pool.stats().pages, pool.stats().out), (2, 4));
    put(&pool, held[0]);
    assert_eq!(pool.try_get().unwrap(), held[0], "and who does not wait");
    let page = |item: NonNull<u8>| item.addr().get() / (2 * QUANTUM);
    let (first, rest): (Vec<_>, Vec<_>) = held.iter().partition(|item| page(**item) == page(held[0]));
    put(&pool, first[0]);
    put(&pool, rest[0]);
    assert_eq!((pool.stats().pages, pool.stats().idle), (2, 2));
    put(&pool, first[1]);
    assert_eq!((pool.stats().pages, pool.stats().idle), (1, 1), "the first to be idle went");
    put(&pool, rest[1]);
    assert_rests(&pool, &arena);
}

#[test]
fn a_limit_that_goes_down_and_up_again_serves_who_waits() {
    let arena = arena(3);
    let pool = blocks(3).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| pool.get().unwrap().addr().get());
        until_waiting(&pool, 1);
        pool.set_hard_limit(1).unwrap();
        put(&pool, held[0]);
        assert_eq!((pool.stats().pages, pool.stats().waiting), (2, 1));
        pool.set_hard_limit(2).unwrap();
        assert_eq!(pool.stats().waiting, 1, "there is still as much as that");
        pool.set_hard_limit(3).unwrap();
        assert_eq!(getter.join().unwrap(), held[0].addr().get(), "the arena has but that one");
    });
    for item in held {
        put(&pool, item);
    }
    assert_rests(&pool, &arena);
}

#[test]
fn a_lowered_limit_reaches_tasks_that_wait() {
    let arena = arena(1);
    let pool = blocks(2).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let task = Arc::new(Task::default());
    let mut getter = pin!(pool.get_async());
    assert_is!(task.poll(getter.as_mut()), Poll::Pending);
    assert_eq!((pool.stats().growing, arena.stats().waiting), (1, 1));
    pool.set_hard_limit(1).unwrap();
    assert_eq!((pool.stats().growing, arena.stats().waiting), (0, 0), "P1");
    assert_eq!(pool.stats().waiting, 1);
    assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Put)));
    put(&pool, held);
    assert_is!(task.poll_if_woken(getter.as_mut()), Poll::Ready(Ok(item)) if item == held);
    put(&pool, held);
    assert_rests(&pool, &arena);
}

/// Low water comes down with the limit and goes up with it again; what is idle goes down to it
/// at once.
#[test]
fn low_water_comes_down_with_the_limit() {
    let arena = arena(4);
    let pool = blocks(4).low_water(3).high_water(3).build(arena.clone()).unwrap();
    pool.prime(3).unwrap();
    pool.set_hard_limit(2).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.low_water, stats.high_water, stats.pages), (2, 2, 2));
    assert_eq!(pool.drain(), 0);
    pool.set_hard_limit(4).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.low_water, stats.high_water), (3, 3), "both are as they were set");
    pool.set_water(0, 4).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn limits_that_cannot_be_change_nothing() {
    let arena = arena(4);
    let pool = blocks(4).low_water(1).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    let before = pool.stats();
    assert_eq!(pool.set_hard_limit(0), Err(ConfigError::ZeroLimit));
    for (low, high) in [(2, 1), (5, 5), (5, u32::MAX), (u32::MAX, u32::MAX)] {
        assert_eq!(pool.set_water(low, high), Err(ConfigError::Water { low, high, limit: 4 }));
    }
    assert_eq!(pool.stats(), before);
    for (low, high) in [(4, 4), (0, 0), (0, u32::MAX)] {
        pool.set_water(low, high).unwrap();
        assert_eq!((pool.stats().low_water, pool.stats().high_water), (low, high.min(4)));
    }
    put(&pool, held);
    assert_rests(&pool, &arena);
}

// Water.

#[test]
fn raised_low_water_keeps_what_there_is_and_brings_nothing() {
    let arena = arena(4);
    let pool = blocks(4).build(arena.clone()).unwrap();
    pool.prime(2).unwrap();
    pool.set_water(3, 4).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().growing), (2, 0));
    assert_eq!(pool.drain(), 0);
    pool.prime(4).unwrap();
    assert_eq!(pool.drain(), 1);
    // Another client who waits for it has none below low water.
    let last = take(&arena, 1);
    let none = arena.alloc_timeout(Shape::new(1).unwrap(), Duration::from_millis(1));
    assert!(none.is_err(), "{none:?}");
    assert_eq!(pool.stats().pages, 3);
    arena.free(last).unwrap();
    pool.set_water(0, 4).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn lowered_low_water_gives_pages_to_another_client_who_waits() {
    let arena = arena(2);
    let pool = blocks(2).low_water(2).build(arena.clone()).unwrap();
    pool.prime(2).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let other = scope.spawn(|| arena.alloc(Shape::new(1).unwrap()).unwrap());
        until_asked(&arena, 1);
        assert_eq!(pool.stats().pages, 2);
        pool.set_water(1, 2).unwrap();
        assert_eq!(pool.stats().pages, 1, "at once");
        arena.free(other.join().unwrap()).unwrap();
    });
    pool.set_water(0, 2).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn lowered_high_water_gives_up_what_is_and_what_becomes_idle() {
    let arena = arena(4);
    let pool = blocks(4).build(arena.clone()).unwrap();
    let held = get_all(&pool);
    put(&pool, held[0]);
    put(&pool, held[1]);
    assert_eq!(pool.stats().pages, 4);
    pool.set_water(0, 3).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().idle), (3, 1), "at once");
    pool.set_water(0, 1).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().idle), (2, 0));
    put(&pool, held[2]);
    assert_eq!(pool.stats().pages, 1, "as they come back");
    put(&pool, held[3]);
    assert_eq!((pool.stats().pages, pool.stats().idle), (1, 1), "and no more than that");
    pool.set_water(0, 4).unwrap();
    let held = get_all(&pool);
    for item in held {
        put(&pool, item);
    }
    assert_eq!(pool.stats().pages, 4, "raised, it keeps them again");
    assert_rests(&pool, &arena);
}

/// High water is for what nobody wants.
#[test]
fn high_water_takes_nothing_from_who_waits() {
    let arena = arena(1);
    let pool = blocks(1).high_water(0).build(arena.clone()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let getter = scope.spawn(|| pool.get().unwrap().addr());
        until_waiting(&pool, 1);
        pool.set_water(0, 0).unwrap();
        put(&pool, held);
        assert_eq!(getter.join().unwrap(), held.addr());
    });
    assert_eq!((pool.stats().released, pool.stats().grows), (0, 1));
    put(&pool, held);
    assert_eq!(pool.stats().pages, 0);
    assert_rests(&pool, &arena);
}

#[test]
fn a_name_is_what_people_call_the_pool() {
    let arena = arena(1);
    let pool = blocks(1).name("blocks of a resize").build(arena.clone()).unwrap();
    assert_eq!(pool.name(), Some("blocks of a resize"));
    assert_eq!(pool.stats().name.as_deref(), Some("blocks of a resize"));
    assert_eq!(blocks(1).build(arena).unwrap().name(), None);
}

// All at once.

/// xorshift64*: the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

const MOST: u32 = 6;
const BYPASS: u32 = 3;

/// What a getter does, for a moment; nobody holds anything while it waits without end.
fn one_of_many(pool: &RawPool, random: &mut Random) {
    let time = Duration::from_micros(random.below(200));
    let request = pool.request();
    let request = if random.below(4) == 0 { request.critical() } else { request };
    let items = match random.below(7) {
        0 => vec![request.get().unwrap()],
        1 => request.try_get().into_iter().collect(),
        2 => request.timeout(time).get().into_iter().collect(),
        3 => request.grow_timeout(time).timeout(10 * time).get_many(2).unwrap_or_default(),
        4 => match request.get_many(1 + random.below(3) as usize) {
            Ok(items) => items,
            Err(error) => {
                assert_is!(error, GetError::TooMany { .. });
                Vec::new()
            }
        },
        5 => {
            // Polled now and then, and dropped if that was not enough.
            let mut getter = pin!(request.get_async());
            let task = Arc::new(Task::default());
            let item = (0..random.below(4)).find_map(|_| match task.poll(getter.as_mut()) {
                Poll::Ready(item) => Some(item.unwrap()),
                Poll::Pending => {
                    thread::yield_now();
                    None
                }
            });
            item.into_iter().collect()
        }
        _ => {
            pool.drain();
            Vec::new()
        }
    };
    for _ in 0..random.below(3) {
        thread::yield_now();
    }
    for item in items {
        put(pool, item);
    }
}

/// P1 while the limit goes up and down: never more than it allows, or than there was when it
/// came down. Only this thread changes it, so that each sample says which limit it is under.
#[test]
fn the_bound_holds_while_the_limit_changes() {
    const CHANGES: u32 = 300;
    const SAMPLES: u32 = 20;
    for (per_page, quanta) in [(1, 4), (2, 64)] {
        let arena = arena(quanta);
        let pool = blocks(MOST).items_per_page(per_page).bypass(BYPASS).build(arena.clone()).unwrap();
        let resizing = AtomicU32::new(1);
        thread::scope(|scope| {
            for number in 1..=5_u64 {
                let (pool, resizing) = (&pool, &resizing);
                scope.spawn(move || {
                    let _close = CloseOnPanic(pool);
                    let mut random = Random(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    while resizing.load(SeqCst) > 0 && !pool.is_closed() {
                        one_of_many(pool, &mut random);
                    }
                });
            }
            let _close = CloseOnPanic(&pool);
            let mut random = Random(7);
            let (mut limit, mut most) = (MOST, MOST);
            for _ in 0..CHANGES {
                // What there may be by now, under the old limit.
                let before = most.max(limit);
                limit = 1 + random.below(u64::from(MOST)) as u32;
                pool.set_hard_limit(limit).unwrap();
                most = before.max(limit);
                match random.below(4) {
                    0 => pool.set_water(random.below(2) as u32, random.below(4) as u32 + 1).unwrap(),
                    1 => {
                        let reserve = random.below(u64::from(limit * per_page)) as u32;
                        pool.set_critical_reserve(reserve).unwrap();
                    }
                    _ => {}
                }
                for _ in 0..SAMPLES {
                    let stats = pool.stats();
                    assert_eq!(stats.hard_limit, limit);
                    let now = stats.pages + stats.growing;
                    assert!(now <= most.max(limit), "P1: {now} of {limit}, {most} before: {stats:?}");
                    // Above the limit it goes down only.
                    most = now;
                    assert!(stats.critical_reserve < limit * per_page);
                    assert!(stats.low_water <= limit && stats.high_water <= limit);
                    assert!(stats.most_overtaken <= u64::from(BYPASS), "P4: {stats:?}");
                    thread::yield_now();
                }
            }
            pool.set_critical_reserve(0).unwrap();
            pool.set_hard_limit(MOST).unwrap();
            pool.set_water(0, MOST).unwrap();
            resizing.store(0, SeqCst);
        });
        assert!(pool.stats().refused == 0 && pool.stats().gets > 0);
        assert_rests(&pool, &arena);
    }
}
