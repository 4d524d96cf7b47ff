//! Threads that end: what is in their caches goes back as by a put, whoever gets and puts while they
//! end. And pools that end before them.

#![cfg(not(loom))]

use std::cell::{Cell, RefCell};
use std::sync::mpsc;
use std::thread;

use kva::Arena;
use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{GetError, Local, LocalItem, OwnedItem, Pool};

#[macro_use]
mod support;

use support::worker::Worker;
use support::{
    Block, CloseOnPanic, QUANTUM, arena, assert_adds_up, assert_rests, assert_whole, get_and_put,
    get_and_put_raw, objects, pieces, until, until_waiting,
};

const ROUNDS: usize = 4;
const ALL: usize = 4 * ROUNDS;

fn pool_of(limit: usize, memory: &Arena) -> Pool<Block> {
    objects(limit as u32).magazine_rounds(ROUNDS).build(memory.clone()).unwrap()
}

/// Runs on a thread of its own, all of which is over when this returns, its thread-locals too.
fn on_a_thread<R: Send>(run: impl FnOnce() -> R + Send) -> thread::Result<R> {
    thread::scope(|scope| scope.spawn(run).join())
}

#[test]
fn what_a_thread_had_is_idle_when_it_has_ended() {
    let memory = arena(ALL);
    let (pool, raw) = (pool_of(8, &memory), pieces(8).magazine_rounds(ROUNDS));
    let raw = raw.build(memory.clone()).unwrap();
    on_a_thread(|| {
        get_and_put(&pool, 8);
        get_and_put_raw(&raw, 8);
        assert_eq!((pool.stats().cached, raw.stats().cached), (8, 8));
    })
    .unwrap();
    let panicked = on_a_thread(|| {
        get_and_put(&pool, 8);
        get_and_put_raw(&raw, 8);
        assert_eq!((pool.stats().cached, raw.stats().cached), (8, 8));
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(panicked.is_err());
    // One that nobody joins.
    let detached = pool.clone();
    let (tells, told) = mpsc::channel();
    thread::spawn(move || {
        get_and_put(&detached, 8);
        tells.send(detached.stats().cached).unwrap();
    });
    assert_eq!(told.recv().unwrap(), 8);
    until(|| pool.stats().cached == 0);

    for stats in [pool.stats(), raw.stats()] {
        assert_eq!((stats.cached, stats.idle, stats.sweeps), (0, 8, 0));
    }
    raw.drain();
    assert_rests(&pool, &memory);
}

/// Its thread's end is a put, which sheds what is above high water.
#[test]
fn pages_above_high_water_go_when_a_thread_ends() {
    let memory = arena(8);
    let pool = objects(8).high_water(1).magazine_rounds(ROUNDS).build(memory.clone()).unwrap();
    on_a_thread(|| {
        // The first put finds how large the magazines are.
        get_and_put(&pool, 1);
        get_and_put(&pool, 8);
        assert_eq!((pool.stats().pages, pool.stats().cached), (8, 8));
    })
    .unwrap();
    assert_eq!((pool.stats().pages, memory.stats().free), (1, 7));
    assert_rests(&pool, &memory);
}

thread_local! {
    static KEPT: RefCell<Option<OwnedItem<Block>>> = const { RefCell::new(None) };
}

#[test]
fn a_guard_in_a_thread_local_serves_who_waits_when_its_thread_ends() {
    let memory = arena(1);
    let pool = &pool_of(1, &memory);
    thread::scope(|scope| {
        let _closes = CloseOnPanic(pool);
        // Whether the guard goes before the thread's caches do, or after.
        for guard_first in [true, false] {
            let holder = Worker::new(scope);
            holder.run(move || {
                if guard_first {
                    KEPT.set(None);
                }
                let item = pool.get_owned().unwrap();
                KEPT.set(Some(item));
            });
            let waits = Worker::new(scope);
            let served = waits.start(|| pool.get().map(drop));
            until_waiting(pool, 1);
            holder.end();
            assert_is!(served.recv().unwrap(), Ok(()));
        }
    });
    assert_rests(pool, &memory);
}

#[test]
fn a_guard_in_a_thread_local_gives_its_page_to_another_pool_that_waits() {
    let memory = arena(1);
    let [has, wants] = [(); 2].map(|()| pool_of(1, &memory));
    thread::scope(|scope| {
        let _closes = (CloseOnPanic(&has), CloseOnPanic(&wants));
        let (holder, waits) = (Worker::new(scope), Worker::new(scope));
        holder.run(|| KEPT.set(Some(has.get_owned().unwrap())));
        let served = waits.start(|| wants.get().map(drop));
        until_waiting(&wants, 1);
        holder.end();
        assert_is!(served.recv().unwrap(), Ok(()));
    });
    assert_eq!((has.stats().pages, wants.stats().pages), (0, 1));
    assert_rests(&wants, &memory);
}

/// Gets and puts while its thread ends.
struct GetsAndPuts<'p>(&'p Pool<Block>, &'p AtomicUsize);

impl Drop for GetsAndPuts<'_> {
    fn drop(&mut self) {
        let Self(pool, visits) = self;
        get_and_put(pool, 1);
        get_and_put(pool, ALL);
        let local = pool.local();
        drop((local.get().unwrap(), pool.get_many(2).unwrap(), pool.try_get().unwrap()));
        visits.fetch_add(1, SeqCst);
    }
}

thread_local! {
    static AT_END: RefCell<Option<GetsAndPuts<'static>>> = const { RefCell::new(None) };
}

/// A pool for thread-locals, which borrow it.
fn leaked(memory: &Arena) -> &'static Pool<Block> {
    Box::leak(Box::new(pool_of(ALL, memory)))
}

#[test]
fn a_thread_that_gets_and_puts_while_it_ends() {
    static VISITS: AtomicUsize = AtomicUsize::new(0);
    let memory = arena(ALL);
    let pool = leaked(&memory);
    // Destructors of thread-locals run in some order of their first uses: in each. And one of a
    // thread that has no cache before it ends.
    on_a_thread(|| {
        AT_END.set(Some(GetsAndPuts(pool, &VISITS)));
        get_and_put(pool, ALL);
    })
    .unwrap();
    on_a_thread(|| {
        get_and_put(pool, ALL);
        AT_END.set(Some(GetsAndPuts(pool, &VISITS)));
    })
    .unwrap();
    on_a_thread(|| AT_END.set(Some(GetsAndPuts(pool, &VISITS)))).unwrap();
    assert_eq!(VISITS.load(SeqCst), 3);
    assert_adds_up(pool, 0);
    assert_rests(pool, &memory);
}

/// Where its cache is gone already, what it puts is idle; else that goes with the cache.
#[test]
fn what_a_thread_puts_while_it_ends_is_in_no_cache() {
    struct Puts(&'static Pool<Block>);
    impl Drop for Puts {
        fn drop(&mut self) {
            get_and_put(self.0, ROUNDS);
        }
    }
    thread_local! {
        static PUTS: RefCell<Option<Puts>> = const { RefCell::new(None) };
    }
    for cache_first in [true, false] {
        let memory = arena(ALL);
        let pool = leaked(&memory);
        on_a_thread(|| {
            if cache_first {
                get_and_put(pool, ROUNDS);
            }
            PUTS.set(Some(Puts(pool)));
            get_and_put(pool, ROUNDS);
            assert_eq!(pool.stats().cached, ROUNDS);
        })
        .unwrap();
        let stats = pool.stats();
        assert_eq!((stats.cached, stats.idle, stats.sweeps), (0, ROUNDS, 0));
        assert!(stats.gets >= 2 * ROUNDS as u64, "{stats:?}");
        assert_rests(pool, &memory);
    }
}

#[test]
fn a_thread_whose_destructor_has_to_wait_for_what_others_have_cached() {
    static VISITS: AtomicUsize = AtomicUsize::new(0);
    let memory = arena(ALL);
    let pool = leaked(&memory);
    thread::scope(|scope| {
        let owner = Worker::new(scope);
        owner.run(|| get_and_put(pool, ALL));
        on_a_thread(|| AT_END.set(Some(GetsAndPuts(pool, &VISITS)))).unwrap();
    });
    assert_eq!((VISITS.load(SeqCst), pool.stats().sweeps), (1, 1));
    assert_rests(pool, &memory);
}

thread_local! {
    static HANDLE: RefCell<Option<(LocalItem<'static, Block>, &'static Local<'static, Block>)>> =
        const { RefCell::new(None) };
}

/// A handle borrows its pool, so both are leaked. What it has is anybody's all the same.
#[test]
fn a_handle_in_a_thread_local() {
    let memory = arena(ALL);
    for handle_first in [true, false] {
        let pool = leaked(&memory);
        on_a_thread(|| {
            if handle_first {
                HANDLE.set(None);
            }
            let local: &'static Local<'_, _> = Box::leak(Box::new(pool.local()));
            drop((0..4).map(|_| local.get().unwrap()).collect::<Vec<_>>());
            HANDLE.set(Some((local.get().unwrap(), local)));
            assert_eq!((pool.stats().cached, pool.stats().out), (3, 1));
        })
        .unwrap();
        // The handle is never dropped, so its thread's end is not the cache's. A sweep reaches it.
        assert_adds_up(pool, 0);
        assert_rests(pool, &memory);
    }
}

/// Objects that are counted, and of which some panic as they are destroyed.
struct Counted {
    alive: Arc<AtomicUsize>,
    panics: bool,
    _rest: [u8; QUANTUM - 16],
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
        assert!(!self.panics, "a destructor panics");
    }
}

fn counted(limit: u32, high_water: u32, memory: &Arena) -> (Pool<Counted>, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let counts = alive.clone();
    let construct = move || {
        counts.fetch_add(1, SeqCst);
        Counted { alive: counts.clone(), panics: false, _rest: [0; _] }
    };
    let builder = Pool::builder(limit, construct).high_water(high_water).magazine_rounds(ROUNDS);
    (builder.build(memory.clone()).unwrap(), alive)
}

/// Into the caches: the first put finds how large the magazines are.
fn cache_some_that_panic(pool: &Pool<Counted>) {
    get_and_put(pool, 1);
    let mut all: Vec<_> = (0..8).map(|_| pool.get().unwrap()).collect();
    (all[2].panics, all[5].panics) = (true, true);
    drop(all);
    assert_eq!((pool.stats().cached, pool.stats().pages), (8, 8));
}

#[test]
fn destructors_that_panic_when_their_thread_ends() {
    let memory = arena(8);
    let (pool, alive) = counted(8, 1, &memory);
    // Nobody is told, and nothing is lost.
    on_a_thread(|| cache_some_that_panic(&pool)).unwrap();
    assert_eq!((alive.load(SeqCst), pool.stats().pages), (1, 1));
    get_and_put(&pool, 8);
    assert_rests(&pool, &memory);
}

#[test]
fn destructors_that_panic_when_caches_are_swept() {
    type Sweeps = fn(&Pool<Counted>);
    // And how many objects are left.
    let ways: [(Sweeps, usize); 4] = [
        (|pool| assert_eq!(pool.drain(), 0, "it panics"), 1),
        (|pool| pool.set_hard_limit(2).unwrap(), 1),
        (|pool| pool.set_water(0, 2).unwrap(), 2),
        (|pool| pool.close(), 0),
    ];
    for (sweeps, left) in ways {
        let memory = arena(8);
        let (pool, alive) = counted(8, 1, &memory);
        thread::scope(|scope| {
            let owner = Worker::new(scope);
            owner.run(|| cache_some_that_panic(&pool));
            assert!(support::panics(|| sweeps(&pool)), "whoever sweeps is told");
            assert_eq!((pool.stats().cached, pool.stats().idle, alive.load(SeqCst)), (0, left, left));
            if !pool.is_closed() {
                owner.run(|| get_and_put(&pool, 1));
            }
        });
        assert_rests(&pool, &memory);
    }
}

/// One of them while the other unwinds, in a thread that goes on.
#[test]
fn destructors_that_panic_before_caches_are_swept_and_then() {
    let memory = arena(9);
    let (pool, alive) = counted(9, 9, &memory);
    let _has_a_cache = pool.local();
    let mut all = pool.get_many(9).unwrap();
    let mut last = all.pop().unwrap();
    (last.panics, all[1].panics) = (true, true);
    drop(all);
    thread::scope(|scope| {
        let owner = Worker::new(scope);
        // One that has no cache: this one is idle.
        owner.run(|| drop(last));
    });
    assert_eq!((pool.stats().cached, pool.stats().idle), (8, 9));
    assert!(support::panics(|| pool.set_hard_limit(1)));
    assert_eq!((pool.stats().cached, pool.stats().pages), (0, 1));
    assert_eq!(alive.load(SeqCst), 1);
    drop(pool);
    assert_whole(&memory);
}

#[test]
fn a_pool_that_ends_before_the_threads_that_have_caches() {
    let memory = arena(ALL);
    let (alive, ended) = {
        let (pool, alive) = counted(8, 1, &memory);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..3).map(|_| Worker::new(scope)).collect();
            let mut late: Vec<_> = workers
                .iter()
                .map(|worker| {
                    let pool = pool.clone();
                    worker.run(move || {
                        get_and_put(&pool, 2);
                        pool.get_owned().unwrap()
                    })
                })
                .collect();
            drop(pool);
            // Closed, since nobody has a handle; those that are out are good still.
            assert_eq!((memory.stats().free as usize, alive.load(SeqCst)), (ALL - 3, 3));
            let (mine, others) = (late.pop().unwrap(), late);
            drop(mine);
            for (worker, item) in workers.iter().zip(others) {
                worker.run(|| drop(item));
            }
            assert_whole(&memory);
            // Each remembers a cache of a pool that is gone, and has others.
            let another = pool_of(ALL, &memory);
            for worker in &workers {
                let another = another.clone();
                worker.run(move || get_and_put(&another, ROUNDS));
            }
            for worker in workers {
                worker.end();
            }
            assert_rests(&another, &memory);
        });
        (alive, memory.stats().free as usize)
    };
    assert_eq!((alive.load(SeqCst), ended), (0, ALL));
}

#[test]
fn the_last_handle_ends_with_the_thread_that_has_the_cache() {
    thread_local! {
        static POOL: RefCell<Option<Pool<Block>>> = const { RefCell::new(None) };
    }
    let memory = arena(ALL);
    for pool_first in [true, false] {
        on_a_thread(|| {
            if pool_first {
                POOL.set(None);
            }
            let pool = pool_of(ALL, &memory);
            get_and_put(&pool, ALL);
            POOL.set(Some(pool));
            assert_eq!(memory.stats().free, 0);
        })
        .unwrap();
        assert_whole(&memory);
    }
}

#[test]
fn a_pool_is_closed_while_threads_are_at_it() {
    for limit in [2, 64] {
        let memory = arena(limit);
        let pool = pool_of(limit, &memory);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let pool = &pool;
                    scope.spawn(move || {
                        let local = pool.local();
                        loop {
                            let got = match number {
                                0 => local.get().map(drop),
                                1 => wait_and_drop(pool),
                                _ => pool.get().map(drop),
                            };
                            match got {
                                Ok(()) => {}
                                Err(GetError::Closed) => return,
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                    })
                })
                .collect();
            until(|| pool.stats().gets > 10_000);
            pool.close();
            for thread in threads {
                thread.join().unwrap();
            }
        });
        assert_eq!(pool.stats().cached, 0);
        assert_rests(&pool, &memory);
    }
}

fn wait_and_drop(pool: &Pool<Block>) -> Result<(), GetError<kva::AllocError>> {
    support::wait_for(pool.get_owned_async()).map(drop)
}

#[test]
fn a_thousand_threads_leave_nothing() {
    let memory = arena(ALL);
    let (pool, raw) = (pool_of(8, &memory), pieces(8).magazine_rounds(1));
    let raw = raw.build(memory.clone()).unwrap();
    thread::scope(|scope| {
        let _closes = (CloseOnPanic(&pool), CloseOnPanic(&raw));
        for _ in 0..250 {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        get_and_put(&pool, 2);
                        get_and_put_raw(&raw, 1);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.cached, stats.gets, stats.puts), (0, 2000, 2000));
    assert_eq!((raw.stats().cached, raw.stats().gets, raw.stats().puts), (0, 1000, 1000));
    assert_adds_up(&pool, 0);
    raw.drain();
    assert_rests(&pool, &memory);
}

/// Where a thread visits more pools than it has places for, and where pools go that it has visited.
#[test]
fn a_thread_with_caches_of_many_pools() {
    let memory = arena(300);
    on_a_thread(|| {
        let pools: Vec<_> = (0..150).map(|_| pool_of(2, &memory)).collect();
        for _ in 0..3 {
            for pool in &pools {
                get_and_put(pool, 2);
                assert_eq!(pool.stats().cached, 2);
            }
        }
        for (at, pool) in pools.into_iter().enumerate() {
            let another = pool_of(2, &memory);
            drop(pool);
            get_and_put(&another, 2);
            assert_eq!(another.stats().cached, 2, "{at}");
        }
    })
    .unwrap();
    assert_whole(&memory);
}

/// The objects of one pool have items of another: their ends put them.
#[test]
fn a_thread_whose_caches_hold_what_puts_into_others() {
    struct Nested(Cell<Option<OwnedItem<Block>>>);
    // SAFETY: a guard may go to another thread, and so may this.
    unsafe impl Send for Nested {}
    impl Drop for Nested {
        fn drop(&mut self) {
            drop(self.0.take());
        }
    }
    let memory = arena(8);
    let inner = pool_of(4, &memory);
    let of_inner = inner.clone();
    let construct = move || Nested(Cell::new(Some(of_inner.get_owned().unwrap())));
    let outer = Pool::builder(4, construct).items_per_page(1).high_water(1).magazine_rounds(ROUNDS);
    let outer = outer.build(memory.clone()).unwrap();
    for inner_first in [true, false] {
        on_a_thread(|| {
            if inner_first {
                get_and_put(&inner, 1);
            }
            get_and_put(&outer, 1);
            get_and_put(&outer, 4);
            assert_eq!((outer.stats().cached, inner.stats().out), (4, 4));
        })
        .unwrap();
        assert_eq!((outer.stats().live, inner.stats().out, inner.stats().cached), (1, 1, 0));
    }
    outer.drain();
    inner.drain();
    assert_rests(&outer, &memory);
}
