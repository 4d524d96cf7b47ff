//! Two clients of one arena: neither starves the other, and nobody hangs on what the other
//! holds without need.

use kva::sync::thread::{spawn, yield_now};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Answer, Arena, GrowId, GrowTable, Refusal, Sink, Span};
use loom_tests::historical::{KeepsOwnTime, YieldsToAnybody, YieldsToNobody};
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{
    QUANTUM, Shelves, arena, assert_arena_whole, assert_pool_at_rest, block_on, get, one, pages, put, shape,
    waiting,
};
use pool::{ArenaPages, Backend, Classic, Pool};

/// Another client's request, older than everybody's here.
#[derive(Default)]
struct Older(Mutex<Vec<Span>>);

impl Sink<Span, AllocError> for Older {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        self.0.lock().extend(end);
    }
}

/// A pool recycles its only page among its own getters while an older request waits.
fn recycling<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap());
    let item = pool.try_get().unwrap();
    let (older, table) = (Arc::new(Older::default()), GrowTable::new(1));
    let token = table.reserve(0, arena.clock().now(), older.clone());
    assert!(matches!(arena.ask(one(), token), Answer::Later));
    let younger = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    put(&pool, item);
    let served = older.0.lock().pop();
    let served = served.expect("the older request was starved");
    arena.free(served).unwrap();
    put(&pool, younger.join().unwrap());
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn the_older_request_first() {
    model("two_pools/older_first", || recycling(|arena| arena));
}

#[test]
fn a_pool_that_keeps_its_own_time() {
    known_bad("two_pools/own_time", "the older request was starved", || recycling(KeepsOwnTime));
}

/// Each of two pools needs the arena's only page once; the first to have it keeps it idle.
fn sharing<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(1, 0);
    let pools = [(); 2].map(|()| Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap()));
    let [first, second] = &pools;
    let getter = {
        let pool = first.clone();
        spawn(move || put(&pool, pool.get().unwrap()))
    };
    put(second, second.get().unwrap());
    getter.join().unwrap();
    for pool in pools {
        assert_pool_at_rest(&pool, 0);
    }
    assert_arena_whole(&arena);
}

#[test]
fn no_deadlock() {
    model("two_pools/no_deadlock", || sharing(|arena| arena));
}

#[test]
fn no_deadlock_where_getters_sleep_in_the_back_end() {
    model("two_pools/classic", || sharing(|arena| Classic::new(ArenaPages(arena))));
}

#[test]
fn a_pool_that_keeps_what_others_wait_for() {
    known_bad("two_pools/keeps_idle", "deadlock", || sharing(KeepsOwnTime));
}

/// The older request wants more than the pool's page: that is of no use to it, and is the
/// getter's of the pool.
fn unsatisfiable<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(3, 0);
    let pool = Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap());
    let item = pool.try_get().unwrap();
    let pinned = arena.try_alloc(one()).unwrap();
    let (older, table) = (Arc::new(Older::default()), GrowTable::new(1));
    let token = table.reserve(0, arena.clock().now(), older.clone());
    assert!(matches!(arena.ask(shape(3), token), Answer::Later));
    let getter = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    // It waits in the pool before the page is put: later it would wait behind the older one.
    while pool.stats().waiting == 0 {
        yield_now();
    }
    put(&pool, item);
    put(&pool, getter.join().unwrap());
    assert_eq!(pool.stats().pages, 0, "with nobody waiting here, the page goes where somebody does");
    arena.free(pinned).unwrap();
    let served = older.0.lock().pop();
    arena.free(served.expect("the older request was starved")).unwrap();
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn an_older_request_that_the_page_does_not_suit() {
    model("two_pools/unsatisfiable_older", || unsatisfiable(|arena| arena));
}

#[test]
fn a_page_given_to_who_cannot_use_it() {
    known_bad("two_pools/yields_to_anybody", "deadlock", || unsatisfiable(YieldsToAnybody));
}

/// Somebody asked for a page, and leaves while one is put. Who came later waits for what it asked for, and
/// that is older than they are, and than what another pool waits for: the page that is put stands in for
/// it, and the next is the other pool's.
#[test]
fn a_page_that_stands_in_for_an_older_request() {
    witnessed("two_pools/stands_in", "who had asked left first", |left| {
        let arena = arena(1, 0);
        let [pool, other] =
            [2, 1].map(|limit| Arc::new(pages(limit).bypass(0).build(arena.clone()).unwrap()));
        let item = get(&pool).unwrap();
        let oldest = waiting(pool.get_async());
        let elsewhere = waiting(other.get_async());
        let [older, younger] = [(); 2].map(|()| waiting(pool.get_async()));
        let putter = {
            let pool = pool.clone();
            spawn(move || put(&pool, item))
        };
        drop(oldest);
        putter.join().unwrap();
        let stats = pool.stats();
        left.saw(stats.gets == 2);
        assert_eq!(stats.yielded, 0, "the page went to its own pool");
        put(&pool, block_on(older).unwrap());
        assert_eq!(pool.stats().yielded, 1, "the older request of another pool was starved");
        put(&other, block_on(elsewhere).unwrap());
        put(&pool, block_on(younger).unwrap());
        for pool in [pool, other] {
            assert_pool_at_rest(&pool, 0);
        }
        assert_arena_whole(&arena);
    });
}

/// As before, but it is granted just then: it has its page, or the one that is put stands in for it. Either
/// way two are served here and elsewhere, each with one of the two pages.
#[test]
fn a_page_that_stands_in_for_what_is_granted() {
    witnessed("two_pools/stands_in_against_grant", "it was granted", |granted| {
        let arena = arena(2, 0);
        let [pool, other] =
            [2, 1].map(|limit| Arc::new(pages(limit).bypass(0).build(arena.clone()).unwrap()));
        let (item, held) = (get(&pool).unwrap(), arena.try_alloc(one()).unwrap());
        let oldest = waiting(pool.get_async());
        let elsewhere = waiting(other.get_async());
        let [older, younger] = [(); 2].map(|()| waiting(pool.get_async()));
        drop(oldest);
        let freer = {
            let arena = arena.clone();
            spawn(move || arena.free(held).unwrap())
        };
        put(&pool, item);
        freer.join().unwrap();
        granted.saw(pool.stats().withdrawn == 0);
        let item = block_on(older).unwrap();
        put(&other, block_on(elsewhere).unwrap());
        put(&pool, item);
        put(&pool, block_on(younger).unwrap());
        for pool in [pool, other] {
            assert_pool_at_rest(&pool, 0);
        }
        assert_arena_whole(&arena);
    });
}

/// Another client's request, which frees at once what it is granted, and notes it.
struct Brief(Arena, Mutex<bool>);

impl Sink<Span, AllocError> for Brief {
    fn finish(&self, _: GrowId, end: Result<Span, Refusal<AllocError>>) {
        self.0.free(end.unwrap()).unwrap();
        *self.1.lock() = true;
    }
}

/// A pool's waiter gives up while the arena grants to it, so that its page comes to nobody
/// there; somebody else waits for one. Whether the page was delivered to it.
fn surplus<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) -> bool {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap());
    let held = arena.try_alloc(one()).unwrap();
    let impatient = waiting(pool.get_async());
    let (other, table) = (Arc::new(Brief(arena.clone(), Mutex::default())), GrowTable::new(1));
    let token = table.reserve(0, arena.clock().now(), other.clone());
    assert!(matches!(arena.ask(one(), token), Answer::Later));
    let freed = {
        let arena = arena.clone();
        spawn(move || arena.free(held).unwrap())
    };
    drop(impatient);
    freed.join().unwrap();
    assert!(*other.1.lock(), "a page lies idle beside a request");
    let stats = assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
    stats.withdrawn == 0
}

#[test]
fn a_page_that_came_for_nobody() {
    witnessed("two_pools/surplus", "it came", |came| came.saw(surplus(|arena| arena)));
}

#[test]
fn a_page_that_came_for_nobody_is_kept() {
    known_bad("two_pools/surplus_kept", "a page lies idle beside a request", || {
        surplus(KeepsOwnTime);
    });
}

/// Each wants both pages and has got one of them: what the younger one gathered is the older
/// one's.
fn both_gather<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let mut shelves = Shelves::new();
    // SAFETY: the pools are dropped below, with nothing out.
    let arena = unsafe { shelves.arena(2) };
    let [older, younger] = [(); 2].map(|()| {
        let builder = Pool::builder(2, || [0_u8; QUANTUM]).max_growing(1).bypass(0);
        builder.build(backend(arena.clone())).unwrap()
    });
    let others = [(); 2].map(|()| arena.try_alloc(one()).unwrap());
    let both = waiting(older.request().reserve_async(2));
    let both_too = waiting(younger.request().reserve_async(2));
    let [first, second] = others;
    arena.free(first).unwrap();
    let thread = {
        let arena = arena.clone();
        spawn(move || arena.free(second).unwrap())
    };
    drop(block_on(both).unwrap());
    thread.join().unwrap();
    drop(both_too);
    for pool in [older, younger] {
        pool.drain();
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.growing, stats.out, stats.waiting), (0, 0, 0, 0), "rest: {stats:?}");
    }
    assert_arena_whole(&arena);
}

#[test]
fn what_gathers_in_two_pools() {
    model("two_pools/gathering", || both_gather(|arena| arena));
}

#[test]
fn what_gathers_and_is_yielded_to_nobody() {
    known_bad("two_pools/yields_to_nobody", "deadlock", || both_gather(YieldsToNobody));
}
