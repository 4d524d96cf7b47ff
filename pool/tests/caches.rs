//! Threads' caches: what is in them is everybody's who would wait (P2), they are as large as they
//! should be, and the figures of a pool add up all the same.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::convert::Infallible;
use std::ptr::NonNull;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::Mutex;
use kva::{Answer, Arena, Grow, GrowId};
use pool::{Backend, Factory, Item, Pool, RawPool, Reservation, TryGetError};

#[macro_use]
mod support;

use support::worker::Worker;
use support::{
    Block, CloseOnPanic, QUANTUM, Random, arena, assert_adds_up, assert_rests, blocks, get_and_put,
    get_and_put_raw, objects, pieces, put, put_all, until_waiting, visit_often, wait_for,
};

/// So many operations in which nobody had to wait follow a sweep before anything is cached again.
const CALM: usize = 256;

/// All that a thread keeps with magazines of `ROUNDS`: two at hand, and two in the depot.
const ROUNDS: usize = 4;
const ALL: usize = 4 * ROUNDS;

fn pool_of(limit: usize, rounds: usize) -> Pool<Block> {
    objects(limit as u32).magazine_rounds(rounds).build(arena(limit)).unwrap()
}

/// How to get some of the items of a pool, or all.
type Way = (&'static str, fn(&Pool<Block>));

/// Each would wait or fail if what is cached elsewhere were out of its reach.
const WAYS: [Way; 18] = [
    ("get", |pool| drop(pool.get().unwrap())),
    ("try_get", |pool| drop(pool.try_get().unwrap())),
    ("get_timeout", |pool| drop(pool.get_timeout(Duration::ZERO).unwrap())),
    ("get_deadline", |pool| drop(pool.get_deadline(Instant::now()).unwrap())),
    ("get_owned", |pool| drop(pool.get_owned().unwrap())),
    ("try_get_owned", |pool| drop(pool.request().try_get_owned().unwrap())),
    ("get_async", |pool| drop(wait_for(pool.get_async()).unwrap())),
    ("get_owned_async", |pool| drop(wait_for(pool.get_owned_async()).unwrap())),
    ("a critical get", |pool| drop(pool.request().critical().get().unwrap())),
    ("get_many", |pool| drop(pool.get_many(ALL).unwrap())),
    ("get_many with a deadline", |pool| drop(pool.request().timeout(Duration::ZERO).get_many(ALL).unwrap())),
    ("reserve", |pool| drop(pool.reserve(ALL).unwrap())),
    ("try_reserve", |pool| drop(pool.try_reserve(ALL).unwrap())),
    ("reserve_async", |pool| drop(wait_for(pool.request().reserve_async(ALL)).unwrap())),
    ("attach", |pool| drop(pool.attach([7; QUANTUM]).unwrap())),
    ("get of a handle", |pool| drop(pool.local().get().unwrap())),
    ("try_get of a handle", |pool| drop(pool.local().try_get().unwrap())),
    ("one after the other", |pool| get_and_put(pool, ALL)),
];

/// All that there is is cached elsewhere, as `hide` has it.
fn each_way_finds(hide: impl Fn(&Pool<Block>, &mut dyn FnMut())) {
    for (name, way) in WAYS {
        let pool = pool_of(ALL, ROUNDS);
        hide(&pool, &mut || {
            assert_eq!((pool.stats().cached, pool.stats().sweeps), (ALL, 0), "{name}");
            way(&pool);
        });
        let stats = pool.stats();
        assert_eq!((stats.pages as usize, stats.failures.total()), (ALL, 0), "{name}");
        assert_adds_up(&pool, 0);
    }
}

#[test]
fn what_an_idle_thread_and_the_depot_have_is_everybodys() {
    each_way_finds(|pool, then| {
        thread::scope(|scope| {
            let worker = Worker::new(scope);
            worker.run(|| get_and_put(pool, ALL));
            then();
        });
    });
}

#[test]
fn what_several_idle_threads_have_is_everybodys() {
    each_way_finds(|pool, then| {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| Worker::new(scope)).collect();
            let all: Vec<_> = (0..ALL).map(|_| pool.get_owned().unwrap()).collect();
            let mut all = all.into_iter();
            for worker in &workers {
                let some: Vec<_> = all.by_ref().take(ROUNDS).collect();
                worker.run(|| drop((pool.local(), some)));
            }
            then();
        });
    });
}

#[test]
fn what_a_thread_has_that_waits_elsewhere_is_everybodys() {
    let other = blocks(1).build(arena(1)).unwrap();
    each_way_finds(|pool, then| {
        let item = other.get().unwrap();
        thread::scope(|scope| {
            let _closes = CloseOnPanic(&other);
            let worker = Worker::new(scope);
            worker.run(|| get_and_put(pool, ALL));
            let waits = worker.start(|| support::visit(&other).unwrap());
            until_waiting(&other, 1);
            then();
            put(&other, item).unwrap();
            waits.recv().unwrap();
        });
    });
}

/// A thread inside a caller's code of this very pool.
#[test]
fn what_a_thread_has_that_hangs_in_a_reset_is_everybodys() {
    let (begins, begun) = mpsc::channel();
    let (goes_on, waits) = mpsc::channel::<()>();
    let gate = Mutex::new((begins, waits));
    let reset = move |block: &mut Block| {
        if std::mem::take(&mut block[0]) != 0 {
            let gate = gate.lock();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
        }
    };
    let pool = objects(ALL as u32 + 1).magazine_rounds(ROUNDS).reset(reset).build(arena(ALL + 1)).unwrap();
    thread::scope(|scope| {
        let worker = Worker::new(scope);
        let hangs = worker.start(|| {
            let mut last = pool.get().unwrap();
            get_and_put(&pool, ALL);
            last[0] = 1;
        });
        begun.recv().unwrap();
        assert_eq!(pool.stats().cached, ALL);
        drop(pool.get_many(ALL).unwrap());
        goes_on.send(()).unwrap();
        hangs.recv().unwrap();
    });
    assert_adds_up(&pool, 0);
}

#[test]
fn raw_items_that_an_idle_thread_has_are_everybodys() {
    let ways: [fn(&RawPool); 4] = [
        |pool| put(pool, pool.get().unwrap()).unwrap(),
        |pool| put(pool, pool.try_get().unwrap()).unwrap(),
        |pool| put(pool, pool.get_timeout(Duration::ZERO).unwrap()).unwrap(),
        |pool| put_all(pool, pool.get_many(ALL).unwrap()),
    ];
    for way in ways {
        let pool = pieces(ALL as u32).magazine_rounds(ROUNDS).build(arena(1)).unwrap();
        thread::scope(|scope| {
            let worker = Worker::new(scope);
            worker.run(|| get_and_put_raw(&pool, ALL));
            assert_eq!(pool.stats().cached, ALL);
            way(&pool);
            assert_eq!(pool.stats().sweeps, 1);
        });
        assert_adds_up(&pool, 0);
    }
}

/// An arena that says when it is asked for a page right now, and answers when it is told to.
struct Slow {
    arena: Arena,
    gate: Mutex<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
}

// SAFETY: all is passed on to the arena.
unsafe impl Backend for Slow {
    type Page = <Arena as Backend>::Page;
    type Error = <Arena as Backend>::Error;

    fn granule(&self) -> Option<usize> {
        Backend::granule(&self.arena)
    }

    fn ask(&self, page: Layout, grow: Grow<Self::Page, Self::Error>) -> Answer<Self::Page, Self::Error> {
        Backend::ask(&self.arena, page, grow)
    }

    fn try_page(&self, page: Layout) -> Result<Option<Self::Page>, Self::Error> {
        let found = Backend::try_page(&self.arena, page)?;
        if found.is_none() {
            let gate = self.gate.lock();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
        }
        Ok(found)
    }

    fn forget(&self, id: GrowId) {
        Backend::forget(&self.arena, id);
    }

    fn release(&self, page: Self::Page, layout: Layout) {
        Backend::release(&self.arena, page, layout);
    }

    fn base(&self, page: &Self::Page) -> NonNull<u8> {
        Backend::base(&self.arena, page)
    }
}

/// What is cached when one who would not wait looks is idle all the time, wherever somebody else has it
/// put meanwhile, while the back-end is asked in vain.
#[test]
fn who_would_not_wait_misses_nothing_that_is_swept_meanwhile() {
    let ((says, said), (tells, told)) = (mpsc::channel(), mpsc::channel());
    let slow = Slow { arena: arena(2), gate: Mutex::new((says, told)) };
    // The limit allows a page more than there is.
    let pool = objects(3).magazine_rounds(ROUNDS).build(slow).unwrap();
    thread::scope(|scope| {
        let (owner, getter) = (Worker::new(scope), Worker::new(scope));
        owner.run(|| get_and_put(&pool, 2));
        assert_eq!(pool.stats().cached, 2);
        let got = getter.start(|| pool.try_get().map(drop));
        said.recv().unwrap();
        drop(pool.get_many(2).unwrap());
        assert_eq!((pool.stats().idle, pool.stats().sweeps), (2, 1));
        tells.send(()).unwrap();
        assert_is!(got.recv().unwrap(), Ok(()), "two were idle all the time");
    });
    assert_adds_up(&pool, 0);
}

/// Once every thread has its cache, items go from one to the other by way of the depot.
#[test]
fn what_one_thread_puts_another_gets_without_a_sweep() {
    let pool = pool_of(ALL, ROUNDS);
    thread::scope(|scope| {
        let (puts, gets) = (Worker::new(scope), Worker::new(scope));
        gets.run(|| get_and_put(&pool, ALL));
        puts.run(|| drop(pool.local()));
        for _ in 0..10 {
            let some: Vec<_> = gets.run(|| (0..ROUNDS).map(|_| pool.get_owned().unwrap()).collect());
            puts.run(|| drop(some));
        }
    });
    assert_eq!((pool.stats().sweeps, pool.stats().pages as usize), (0, ALL));
}

/// Also by one who would not wait, and who wants several.
#[test]
fn who_would_not_wait_gets_by_way_of_the_depot_too() {
    for several in [1, 3] {
        let pool = &pool_of(ALL, ROUNDS);
        thread::scope(|scope| {
            let (puts, gets) = (Worker::new(scope), Worker::new(scope));
            puts.run(|| get_and_put(pool, ALL));
            gets.run(|| drop(pool.local()));
            // Half of it is in the depot.
            for _ in 0..10 {
                gets.run(move || {
                    drop(pool.try_reserve(1).unwrap());
                    drop(pool.try_reserve(several).unwrap());
                    drop(pool.try_get().unwrap());
                });
            }
        });
        assert_eq!(pool.stats().sweeps, 0, "{several}");
    }
}

#[test]
fn without_magazines_nothing_is_cached() {
    let pool = pool_of(64, 0);
    get_and_put(&pool, 64);
    let local = pool.local();
    drop(local.get().unwrap());
    drop(pool.get_many(64).unwrap());
    assert_eq!((pool.stats().cached, pool.stats().sweeps), (0, 0));
    assert_eq!(format!("{local:?}"), "Local { has_cache: false, .. }");
}

#[test]
fn a_size_that_is_set_is_kept_to() {
    // The limit, what is set, and what comes of it: two magazines at hand and two in the depot.
    for (limit, rounds, cached) in
        [(1, 1, 1), (3, 1, 3), (4, 1, 4), (12, 3, 12), (256, 64, 256), (256, usize::MAX, 256), (3, 64, 3)]
    {
        let pool = pool_of(limit, rounds);
        get_and_put(&pool, limit);
        assert_eq!(pool.stats().cached, cached, "{limit} items, {rounds} rounds");
        assert_adds_up(&pool, 0);
    }
    // Then no more: the magazines at hand go to where they came from.
    let pool = pool_of(20, 4);
    get_and_put(&pool, 17);
    assert_eq!((pool.stats().cached, pool.stats().idle), (9, 17));
}

#[test]
fn a_small_pool_has_no_caches_unless_it_is_told_so() {
    for (limit, cached) in [(1, false), (7, false), (8, true), (64, true)] {
        let pool = objects(limit).build(arena(limit as usize)).unwrap();
        get_and_put(&pool, limit as usize);
        assert_eq!(pool.stats().cached > 0, cached, "{limit} items");
        assert!(pool.stats().cached <= limit as usize / 2, "half of it is nobody's");
    }
    // Items count, not pages.
    let pool = Pool::builder(1, || [0_u8; 64]).build(arena(1)).unwrap();
    get_and_put(&pool, 64);
    assert_eq!(pool.stats().cached, 32);
}

#[test]
fn the_more_threads_the_less_each_keeps() {
    const LIMIT: usize = 128;
    let pool = objects(LIMIT as u32).build(arena(LIMIT)).unwrap();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for threads in 1..=LIMIT / 8 + 1 {
            workers.push(Worker::new(scope));
            // The second time, everybody has learned how many they are.
            for _ in 0..2 {
                for worker in &workers {
                    worker.run(|| get_and_put(&pool, LIMIT / 4));
                }
            }
            assert!(pool.stats().cached <= LIMIT / 2, "{threads} threads: {:?}", pool.stats());
            let has_cache = workers[threads - 1].run(|| format!("{:?}", pool.local()));
            assert_eq!(has_cache.contains("true"), threads <= LIMIT / 8, "{threads} threads");
        }
        assert_eq!(pool.stats().sweeps, 0, "there was enough beside what is cached");
        drop(workers.pop());
        workers.pop().unwrap().end();
        // There is room for a cache again.
        let another = Worker::new(scope);
        assert!(another.run(|| format!("{:?}", pool.local())).contains("true"));
    });
    assert_adds_up(&pool, 0);
}

/// What the last owner of a cache was told is of no use to the next.
#[test]
fn a_cache_that_is_taken_over_is_as_large_as_it_should_be_by_then() {
    let pool = objects(64).build(arena(64)).unwrap();
    thread::scope(|scope| {
        let alone = Worker::new(scope);
        alone.run(|| get_and_put(&pool, 16));
        assert_eq!(pool.stats().cached, 16);
        alone.end();
        assert_eq!(pool.stats().cached, 0);
        let workers: Vec<_> = (0..8).map(|_| Worker::new(scope)).collect();
        for worker in &workers {
            worker.run(|| drop(pool.local()));
        }
        for worker in &workers {
            worker.run(|| get_and_put(&pool, 16));
        }
        assert!(pool.stats().cached <= 32, "half of it is nobody's: {:?}", pool.stats());
    });
}

#[test]
fn the_less_the_limit_allows_the_less_is_kept() {
    let pool = objects(64).build(arena(64)).unwrap();
    get_and_put(&pool, 64);
    assert_eq!(pool.stats().cached, 32);
    for (limit, most) in [(16, 8), (7, 0), (1, 0), (32, 16), (64, 32)] {
        pool.set_hard_limit(limit).unwrap();
        assert_eq!(pool.stats().cached, 0, "it is all taken back");
        visit_often(&pool, CALM);
        get_and_put(&pool, limit as usize);
        let cached = pool.stats().cached;
        assert!(cached <= most && (cached > 0) == (most > 0), "{limit} items, {cached} cached");
        assert_adds_up(&pool, 0);
    }
}

#[test]
fn what_a_pool_with_a_reserve_or_a_factory_has_is_not_cached() {
    let pool = objects(64).critical_reserve(1).magazine_rounds(ROUNDS).build(arena(64)).unwrap();
    get_and_put(&pool, 63);
    visit_often(&pool, 2 * CALM);
    assert_eq!((pool.stats().cached, pool.stats().sweeps), (0, 0));
    pool.set_critical_reserve(0).unwrap();
    visit_often(&pool, CALM);
    assert_eq!(pool.stats().cached, 1);
    // The last one is the critical getters' from now on, wherever it was.
    get_and_put(&pool, 64);
    pool.set_critical_reserve(1).unwrap();
    assert_eq!(pool.stats().cached, 0);
    let all: Vec<_> = (0..63).map(|_| pool.get().unwrap()).collect();
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    drop(pool.request().critical().try_get().unwrap());
    drop(all);

    let factory = Factory::new(|| Ok::<_, Infallible>([0_u64; 8]));
    let pool = Pool::from_factory(64, factory).magazine_rounds(ROUNDS).build().unwrap();
    get_and_put(&pool, 64);
    assert_eq!((pool.stats().cached, pool.stats().sweeps), (0, 0));
}

#[test]
fn after_a_sweep_the_lock_is_taken_until_nobody_had_to_wait_for_a_while() {
    let pool = pool_of(ALL, ROUNDS);
    get_and_put(&pool, ALL);
    let all: Vec<_> = (0..ALL).map(|_| pool.get().unwrap()).collect();
    // Somebody has to wait, and who that is has all of them back.
    assert!(pool.get_timeout(Duration::ZERO).is_err());
    assert_eq!((pool.stats().cached, pool.stats().sweeps), (0, 1));
    drop(all);
    for operation in (ALL..CALM).step_by(2) {
        assert_eq!(pool.stats().cached, 0, "after {operation} operations");
        drop(pool.get().unwrap());
    }
    drop(pool.get().unwrap());
    assert_eq!(pool.stats().cached, 1);

    // Whoever has to wait meanwhile begins the count again, also where there is nothing to sweep.
    let all = pool.get_many(ALL).unwrap();
    assert!(pool.get_timeout(Duration::ZERO).is_err());
    drop(all);
    let rest = CALM - ALL - 2;
    visit_often(&pool, rest / 2);
    let all = pool.get_many(ALL).unwrap();
    assert!(pool.get_timeout(Duration::ZERO).is_err());
    drop(all);
    visit_often(&pool, rest / 2);
    assert_eq!(pool.stats().cached, 0);
    visit_often(&pool, 2);
    assert_eq!(pool.stats().cached, 1);
    assert_adds_up(&pool, 0);
}

/// Each sweep is a membarrier(2), which stops every thread of the process.
#[test]
fn a_pool_at_its_limit_does_not_sweep_for_each_operation() {
    const GETS: usize = 10_000;
    for (threads, limit) in [(2, 1), (4, 2), (4, 3), (8, 7)] {
        let pool = pool_of(limit, 1);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let _closes = CloseOnPanic(&pool);
                    for at in 0..GETS / threads {
                        let item = if at % 16 == 0 { pool.try_get().ok() } else { pool.get().ok() };
                        if at % 8 == 0 {
                            thread::yield_now();
                        }
                        drop(item);
                    }
                });
            }
        });
        let stats = pool.stats();
        let operations = (stats.gets + stats.puts) as usize;
        assert!(stats.sweeps as usize <= operations / CALM + 1, "{threads} and {limit}: {stats:?}");
        assert_adds_up(&pool, 0);
    }
    // Nor for each failure.
    let pool = pool_of(2, 1);
    let all = pool.get_many(2).unwrap();
    assert!((0..GETS).all(|_| pool.try_get().is_err()));
    assert!(pool.stats().sweeps <= 1);
    drop(all);
}

/// One step after the other on several threads, at random: after each the figures add up, and say how
/// many are out.
#[test]
fn the_figures_add_up_after_each_step() {
    let memory = arena(12);
    let pool = Pool::builder(8, || [0_u8; 500]).items_per_page(8).magazine_rounds(3).build(memory.clone());
    let pool = &pool.unwrap();
    let mut random = Random::new(7);
    thread::scope(|scope| {
        let mut workers: Vec<_> = (0..4).map(|_| Worker::new(scope)).collect();
        let mut held = Vec::new();
        for _ in 0..4000 {
            let at = random.below(4) as usize;
            let worker = &workers[at];
            match random.below(100) {
                0..35 => held.extend(worker.run(|| pool.request().try_get_owned().ok())),
                35..75 if !held.is_empty() => {
                    let item = held.swap_remove(random.below(held.len() as u64) as usize);
                    worker.run(|| drop(item));
                }
                75..80 => held.extend(worker.run(|| {
                    let mut some = pool.try_reserve(3).ok();
                    some.as_mut().and_then(Reservation::get)
                })),
                80..85 => drop(worker.run(|| pool.try_get().map(Item::discard).ok())),
                85..88 => {
                    let limit = 1 + random.below(8) as u32;
                    worker.run(move || pool.set_hard_limit(limit).unwrap());
                }
                88..90 => drop(worker.run(|| pool.drain())),
                90..92 => {
                    workers.swap_remove(at).end();
                    workers.push(Worker::new(scope));
                }
                92..98 => worker.run(|| {
                    let local = pool.local();
                    let some: Vec<_> = (0..4).map_while(|_| local.try_get().ok()).collect();
                    drop(some);
                }),
                _ => drop(worker.run(|| pool.attach([1; 500]).map(drop).ok())),
            }
            // A lowered limit is above what is out until that comes back.
            if pool.stats().pages > pool.stats().hard_limit {
                assert_eq!(pool.stats().out, held.len());
            } else {
                assert_adds_up(pool, held.len());
            }
        }
        assert!(pool.stats().sweeps > 4, "{:?}", pool.stats());
    });
    assert_rests(pool, &memory);
}

#[test]
fn draining_takes_what_is_cached() {
    let memory = arena(8);
    let pool = objects(8).low_water(2).magazine_rounds(ROUNDS).build(memory.clone()).unwrap();
    thread::scope(|scope| {
        let worker = Worker::new(scope);
        worker.run(|| get_and_put(&pool, 8));
        assert_eq!(pool.drain(), 6);
        assert_eq!((pool.stats().pages, pool.stats().cached, pool.stats().idle), (2, 0, 2));
        assert_eq!(pool.drain(), 0);
        assert_eq!(pool.stats().sweeps, 1, "there was nothing to sweep the second time");
    });
}

/// As the knob says: what is cached counts as out against high water, until it is taken back.
#[test]
fn what_is_cached_is_kept_above_high_water_until_it_is_swept() {
    let memory = arena(8);
    let pool = objects(8).high_water(1).magazine_rounds(ROUNDS).build(memory.clone()).unwrap();
    // The first put takes the lock, and finds how large the magazines are.
    get_and_put(&pool, 1);
    get_and_put(&pool, 8);
    assert_eq!((pool.stats().pages, pool.stats().cached), (8, 8));
    pool.set_water(0, 3).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().cached, memory.stats().free), (3, 0, 5));
    get_and_put(&pool, 8);
    assert_eq!(pool.stats().pages, 3, "nothing is cached for a while");
    assert_rests(&pool, &memory);
}

/// P2 between pools.
#[test]
fn pages_that_cached_items_pin_go_to_another_pool_that_waits() {
    let memory = arena(4);
    let [has, wants] = [(); 2].map(|()| objects(4).magazine_rounds(1).build(memory.clone()).unwrap());
    thread::scope(|scope| {
        let _closes = (CloseOnPanic(&has), CloseOnPanic(&wants));
        let worker = Worker::new(scope);
        worker.run(|| get_and_put(&has, 4));
        assert_eq!((has.stats().cached, memory.stats().free), (4, 0));
        let all = wants.get_many(4).unwrap();
        assert_eq!((has.stats().pages, wants.stats().pages), (0, 4));
        // And back, though nobody is idle there.
        let waits = worker.start(|| get_and_put(&has, 1));
        until_waiting(&has, 1);
        drop(all);
        waits.recv().unwrap();
        // While somebody waits for the arena, nothing is cached that could be given to them.
        let (one, rest) = (wants.get().unwrap(), wants.get_many(2).unwrap());
        let item = has.get().unwrap();
        let waits = worker.start(|| drop(wants.get_many(2).unwrap()));
        until_waiting(&wants, 1);
        drop(item);
        drop((one, rest));
        waits.recv().unwrap();
    });
    for pool in [has, wants] {
        pool.drain();
        assert_adds_up(&pool, 0);
    }
    support::assert_whole(&memory);
}

/// Builds that check say where what is out was got. What is cached is not out.
#[test]
fn what_is_cached_is_not_listed_as_out() {
    let pool = objects(ALL as u32).magazine_rounds(ROUNDS).build(arena(ALL)).unwrap();
    let raw = pieces(ALL as u32).magazine_rounds(ROUNDS).build(arena(1)).unwrap();
    get_and_put(&pool, ALL);
    get_and_put_raw(&raw, ALL);
    for text in [format!("{pool:?}"), format!("{raw:?}")] {
        assert!(text.contains(&format!("0 items out, {ALL} idle;")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    // By way of the cache, of the depot, and of a handle.
    let local = pool.local();
    let (got_at, items) = (line!() + 1, (0..ALL).map(|_| pool.get().unwrap()).collect::<Vec<_>>());
    drop(items);
    let (_one, _other) = (pool.get().unwrap(), local.get().unwrap());
    let line = line!() - 1;
    let _many: Vec<_> = (0..ALL - 2).map(|_| pool.get().unwrap()).collect();
    let item = raw.get().unwrap();
    let raw_line = line!() - 1;
    if cfg!(debug_assertions) {
        let (text, of_raw) = (format!("{pool:?}"), format!("{raw:?}"));
        assert!(text.contains(&format!("\n  1 out, got at {}:{line}:", file!())), "{text}");
        assert!(text.contains(&format!("\n  {} out, got at {}:{}:", ALL - 2, file!(), line + 2)), "{text}");
        assert!(!text.contains(&format!("{}:{got_at}:", file!())), "those were put: {text}");
        assert!(of_raw.contains(&format!("\n  1 out, got at {}:{raw_line}:", file!())), "{of_raw}");
    }
    put(&raw, item).unwrap();
}
