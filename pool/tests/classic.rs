//! Back-ends that sleep on the getter's own thread: what option 3 of "pools and scarcity"
//! can do for who is asleep in there, with claims and without.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Arena, Claim, Region, Reserve, Shape, Span};
use pool::{ArenaPages, Backend, Builder, Classic, GetError, PageAllocator, PutError, RawPool, TryGetError};

const QUANTUM: usize = 4096;

fn arena(quanta: usize) -> Arena {
    Arena::new(Region::reserve(quanta * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap()
}

fn blocks(hard_limit: u32) -> Builder {
    RawPool::builder(Layout::from_size_align(QUANTUM, 8).unwrap(), hard_limit)
}

fn classic(builder: Builder, arena: &Arena) -> RawPool<Classic<ArenaPages>> {
    builder.build(Classic::new(ArenaPages(arena.clone()))).unwrap()
}

fn one() -> Shape {
    Shape::new(1).unwrap()
}

fn put<B: Backend>(pool: &RawPool<B>, item: NonNull<u8>) -> Result<(), PutError> {
    // SAFETY: no test uses an item after it put it.
    unsafe { pool.put(item) }
}

/// Gets, puts at once, and says which item it was.
fn visit<B: Backend>(pool: &RawPool<B>) -> Result<usize, GetError<B::Error>> {
    let item = pool.get()?;
    put(pool, item).unwrap();
    Ok(item.addr().get())
}

/// Returns once `waiting` getters wait, and `asleep` of them inside the back-end.
fn until<B: Backend>(pool: &RawPool<B>, waiting: usize, asleep: usize) {
    loop {
        let stats = pool.stats();
        if (stats.waiting, stats.asleep_in_backend) == (waiting, asleep) {
            return;
        }
        thread::yield_now();
    }
}

/// Returns once `waiting` requests are asleep in the arena.
fn until_asleep(arena: &Arena, waiting: usize) {
    while arena.stats().waiting != waiting {
        thread::yield_now();
    }
}

fn assert_whole(arena: &Arena) {
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0));
}

/// Lets a failed test end, instead of joining those who wait for ever.
struct EndOnPanic<'a, B: Backend>(&'a RawPool<B>, &'a Arena);

impl<B: Backend> Drop for EndOnPanic<'_, B> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
            self.1.close();
        }
    }
}

/// The deadlock of the title: the getter sleeps inside the back-end, which has nothing but
/// what the pool itself holds. Only giving a page up, even the last one, gets it out.
#[test]
fn a_put_of_a_whole_page_reaches_who_is_asleep_inside() {
    for on_its_way in [false, true] {
        let arena = arena(1);
        let pool = classic(blocks(2).low_water(1), &arena);
        let held = pool.get().unwrap();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &arena);
            let getter = scope.spawn(|| pool.get().unwrap().addr().get());
            until(&pool, 1, 1);
            if !on_its_way {
                until_asleep(&arena, 1);
            }
            assert!(format!("{pool:?}").contains("is asleep inside the back-end"), "{pool:?}");
            put(&pool, held).unwrap();
            for _ in 0..10 {
                assert_eq!(arena.try_alloc(one()), Err(AllocError::Scarce), "no thief has it (P3)");
            }
            assert_eq!(getter.join().unwrap(), held.addr().get());
        });
        let stats = pool.stats();
        assert_eq!((stats.released_to_heirs, stats.released_below_low, stats.stolen), (1, 1, 0));
        assert_eq!((stats.pages, stats.growing, stats.out, stats.refused), (1, 0, 1, 0));
        put(&pool, held).unwrap();
        drop(pool);
        assert_whole(&arena);
    }
}

#[test]
fn a_claim_goes_past_who_is_older_in_the_arena() {
    let arena = arena(1);
    let pool = classic(blocks(2).low_water(1), &arena);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let older = scope.spawn(|| arena.alloc(one()).unwrap());
        until_asleep(&arena, 1);
        let getter = scope.spawn(|| pool.get().unwrap().addr().get());
        until_asleep(&arena, 2);
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap(), held.addr().get());
        assert_eq!(arena.stats().waiting, 1, "it waits for a page that nobody owes it");
        assert_eq!(pool.stats().stolen, 0);
        put(&pool, held).unwrap();
        pool.set_water(0, 0).unwrap();
        let span = older.join().unwrap();
        arena.free(span).unwrap();
    });
    drop(pool);
    assert_whole(&arena);
}

/// Several asleep at once: each put of a page is for the next of them.
#[test]
fn each_put_reaches_another_sleeper() {
    const PAGES: usize = 3;
    let arena = arena(PAGES);
    let pool = classic(blocks(2 * PAGES as u32).low_water(PAGES as u32), &arena);
    let held: Vec<_> = (0..PAGES).map(|_| pool.get().unwrap()).collect();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let get = || pool.get().unwrap().addr().get();
        let getters: Vec<_> = (0..PAGES).map(|_| scope.spawn(get)).collect();
        until(&pool, PAGES, PAGES);
        for item in &held {
            put(&pool, *item).unwrap();
        }
        let mut got: Vec<_> = getters.into_iter().map(|getter| getter.join().unwrap()).collect();
        got.sort_unstable();
        let mut expected: Vec<_> = held.iter().map(|item| item.addr().get()).collect();
        expected.sort_unstable();
        assert_eq!(got, expected);
    });
    let stats = pool.stats();
    assert_eq!((stats.released_to_heirs, stats.stolen, stats.pages), (PAGES as u64, 0, PAGES as u32));
    for item in held {
        put(&pool, item).unwrap();
    }
    drop(pool);
    assert_whole(&arena);
}

/// What the module says of P2: a put that frees no whole page does not reach it.
#[test]
fn a_put_that_frees_no_page_is_for_who_waits_in_the_pool() {
    // A page is two quanta, aligned to its length: there is one such in three, anywhere.
    let arena = arena(3);
    let pool = classic(blocks(2).items_per_page(2).max_growing(1), &arena);
    let (first, second) = (pool.get().unwrap(), pool.get().unwrap());
    let others = arena.try_alloc(one()).unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let asleep = scope.spawn(|| visit(&pool).unwrap());
        until_asleep(&arena, 1);
        put(&pool, first).unwrap();
        assert_eq!((pool.stats().idle, pool.stats().asleep_in_backend), (1, 1));
        let again = pool.try_get().unwrap();
        assert_eq!(again, first, "who comes to the pool has it");

        // One asleep brings two items: a second waits in the pool, a third, too.
        let waiting: Vec<_> = (0..2).map(|_| scope.spawn(|| pool.get().unwrap().addr().get())).collect();
        until(&pool, 3, 1);
        put(&pool, again).unwrap();
        until(&pool, 2, 1);
        put(&pool, second).unwrap();
        until(&pool, 1, 1);
        let got: Vec<_> = waiting.into_iter().map(|getter| getter.join().unwrap()).collect();
        assert!(got.contains(&first.addr().get()) && got.contains(&second.addr().get()));
        assert_eq!(pool.stats().released_to_heirs, 0);
        put(&pool, first).unwrap();
        put(&pool, second).unwrap();
        assert!([first, second].map(|item| item.addr().get()).contains(&asleep.join().unwrap()));
    });
    assert_eq!((pool.stats().released_to_heirs, pool.stats().stolen), (1, 0));
    arena.free(others).unwrap();
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn the_arena_reaches_who_is_asleep_in_it() {
    let arena = arena(2);
    let others = arena.try_alloc(one()).unwrap();
    let pool = classic(blocks(2), &arena);
    let held = pool.get().unwrap();
    assert_eq!(pool.try_get(), Err(TryGetError::Scarce), "who may not sleep does not");
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until_asleep(&arena, 1);
        arena.free(others).unwrap();
        assert_ne!(getter.join().unwrap(), held.addr().get());
    });
    assert_eq!((pool.stats().released_to_heirs, pool.stats().pages), (0, 2));
    put(&pool, held).unwrap();
    assert_eq!(pool.drain(), 2);
    assert_whole(&arena);
}

#[test]
fn who_is_asleep_is_told_of_a_close_when_the_back_end_returns() {
    let arena = arena(1);
    let others = arena.try_alloc(one()).unwrap();
    let pool = classic(blocks(1), &arena);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let getter = scope.spawn(|| visit(&pool));
        until_asleep(&arena, 1);
        pool.close();
        assert_eq!(pool.stats().asleep_in_backend, 1);
        arena.free(others).unwrap();
        assert_eq!(getter.join().unwrap(), Err(GetError::Closed));
    });
    assert_eq!((pool.stats().pages, pool.stats().growing), (0, 0));
    assert_whole(&arena);
}

#[test]
fn who_is_asleep_is_told_of_an_error() {
    let arena = arena(1);
    let others = arena.try_alloc(one()).unwrap();
    let pool = classic(blocks(2).max_growing(1), &arena);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let getters = [(); 2].map(|()| scope.spawn(|| visit(&pool)));
        until(&pool, 2, 1);
        until_asleep(&arena, 1);
        arena.close();
        for getter in getters {
            assert_eq!(getter.join().unwrap(), Err(GetError::Backend(AllocError::Closed)));
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.growing, stats.refused, stats.waiting, stats.stolen), (0, 2, 0, 0));
    arena.free(others).unwrap();
    assert_whole(&arena);
}

/// Getters that come and go at a back-end that sleeps, with fewer pages than getters.
#[test]
fn many_getters_come_and_go() {
    let arena = arena(2);
    let pool = classic(blocks(4).low_water(1), &arena);
    let out = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let _end = EndOnPanic(&pool, &arena);
                for _ in 0..300 {
                    let item = pool.get().unwrap();
                    assert!(out.fetch_add(1, SeqCst) < 2, "there are two pages");
                    thread::yield_now();
                    out.fetch_sub(1, SeqCst);
                    put(&pool, item).unwrap();
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.out, stats.growing, stats.waiting), (0, 0, 0));
    // Not always none: a getter may have found another page by the time that one was
    // released for it.
    assert!(stats.stolen <= stats.released_to_heirs);
    drop(pool);
    assert_whole(&arena);
}

/// A classic allocator that knows no claims, with a thief: told to, it takes what is freed
/// before the one it was freed for looks. It sleeps by looking again and again.
struct Thieving {
    arena: Arena,
    steals: AtomicBool,
    loot: Mutex<Vec<Span>>,
    fails: AtomicBool,
}

struct Handle(Arc<Thieving>);

// SAFETY: pages are spans of an arena.
unsafe impl PageAllocator for Handle {
    type Error = &'static str;

    fn alloc(&self, page: Layout, _: Claim<'_>) -> Result<NonNull<u8>, Self::Error> {
        loop {
            if self.0.fails.load(SeqCst) {
                return Err("out of order");
            }
            if let Some(base) = self.try_alloc(page)? {
                return Ok(base);
            }
            thread::yield_now();
        }
    }

    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, Self::Error> {
        assert_eq!((page.size(), page.align()), (QUANTUM, 8));
        let span = self.0.arena.try_alloc(one()).ok();
        Ok(span.map(|span| self.0.arena.ptr(span).unwrap()))
    }

    fn free(&self, base: NonNull<u8>, page: Layout) {
        assert_eq!(page.size(), QUANTUM);
        // SAFETY: the page is the caller's, who gives it back.
        let span = unsafe { self.0.arena.span_at(base) }.unwrap();
        if self.0.steals.load(SeqCst) {
            self.0.loot.lock().push(span);
        } else {
            self.0.arena.free(span).unwrap();
        }
    }
}

fn thieving(quanta: usize) -> (Arc<Thieving>, RawPool<Classic<Handle>>) {
    let thieving = Arc::new(Thieving {
        arena: arena(quanta),
        steals: AtomicBool::new(false),
        loot: Mutex::default(),
        fails: AtomicBool::new(false),
    });
    let pool = blocks(2).low_water(1).build(Classic::new(Handle(thieving.clone()))).unwrap();
    (thieving, pool)
}

#[test]
fn without_claims_a_page_that_is_not_stolen_arrives_as_well() {
    let (thieving, pool) = thieving(1);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &thieving.arena);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until(&pool, 1, 1);
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap(), held.addr().get());
    });
    let stats = pool.stats();
    assert_eq!((stats.released_to_heirs, stats.released_below_low, stats.stolen), (1, 1, 0));
    drop(pool);
    assert_whole(&thieving.arena);
}

#[test]
fn without_claims_a_stolen_page_is_counted() {
    let (thieving, pool) = thieving(2);
    let others = thieving.arena.try_alloc(one()).unwrap();
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &thieving.arena);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until(&pool, 1, 1);
        thieving.steals.store(true, SeqCst);
        put(&pool, held).unwrap();
        thieving.steals.store(false, SeqCst);
        let stats = pool.stats();
        assert_eq!((stats.released_to_heirs, stats.asleep_in_backend, stats.pages), (1, 1, 0));
        assert_eq!(stats.stolen, 0, "nobody can know yet");
        assert!(format!("{pool:?}").contains("a page was released for it"), "{pool:?}");
        thieving.arena.free(others).unwrap();
        assert_ne!(getter.join().unwrap(), held.addr().get());
    });
    assert_eq!((pool.stats().stolen, pool.stats().pages), (1, 1));
    let loot = thieving.loot.lock().pop().unwrap();
    thieving.arena.free(loot).unwrap();
    drop(pool);
    assert_whole(&thieving.arena);
}

#[test]
fn without_claims_a_page_that_never_comes_back_is_counted() {
    let (thieving, pool) = thieving(1);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &thieving.arena);
        let getter = scope.spawn(|| visit(&pool));
        until(&pool, 1, 1);
        thieving.steals.store(true, SeqCst);
        put(&pool, held).unwrap();
        thieving.steals.store(false, SeqCst);
        thieving.fails.store(true, SeqCst);
        assert_eq!(getter.join().unwrap(), Err(GetError::Backend("out of order")));
    });
    let stats = pool.stats();
    assert_eq!((stats.stolen, stats.refused, stats.pages, stats.growing), (1, 1, 0, 0));
    let loot = thieving.loot.lock().pop().unwrap();
    thieving.arena.free(loot).unwrap();
    drop(pool);
    assert_whole(&thieving.arena);
}

/// A deadline is looked at when the back-end returns: what it brought is not lost.
#[test]
fn a_deadline_does_not_lose_the_page_that_comes_late() {
    let arena = arena(1);
    let others = arena.try_alloc(one()).unwrap();
    let pool = classic(blocks(1), &arena);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let getter = scope.spawn(|| {
            let got = pool.get_timeout(Duration::ZERO);
            got.map(|item| put(&pool, item).unwrap())
        });
        until_asleep(&arena, 1);
        arena.free(others).unwrap();
        let got = getter.join().unwrap();
        assert!(matches!(got, Ok(()) | Err(GetError::TimedOut)), "{got:?}");
    });
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.waiting, stats.out), (1, 0, 0, 0));
    drop(pool);
    assert_whole(&arena);
}
