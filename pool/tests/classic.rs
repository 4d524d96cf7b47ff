//! Back-ends that sleep on the getter's own thread: what option 3 of "pools and scarcity"
//! can do for who is asleep in there, with claims and without.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;
use std::time::{Duration, Instant};

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex, Weak};
use kva::{AllocError, Arena, Claim, Clock, GrowId, GrowTable, Heir, Reclaim, Shape, Span};
use pool::{
    ArenaPages, Awaited, Backend, Builder, Classic, GetError, PageAllocator, RawPool, Request, TryGetError,
};

#[macro_use]
mod support;

use support::{QUANTUM, arena, assert_whole, blocks, put, visit};

fn classic(builder: Builder<Layout>, arena: &Arena) -> RawPool<Classic<ArenaPages>> {
    builder.build(Classic::new(ArenaPages(arena.clone()))).unwrap()
}

fn one() -> Shape {
    Shape::new(1).unwrap()
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
    assert_is!(pool.try_get(), Err(TryGetError::Scarce), "who may not sleep does not");
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
        assert_is!(getter.join().unwrap(), Err(GetError::Closed));
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
            assert_is!(getter.join().unwrap(), Err(GetError::Backend(AllocError::Closed)));
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

    fn alloc(
        &self,
        page: Layout,
        _: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, Self::Error> {
        loop {
            if self.0.fails.load(SeqCst) {
                return Err("out of order");
            }
            let base = self.try_alloc(page)?;
            if base.is_some() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
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
        assert_is!(getter.join().unwrap(), Err(GetError::Backend("out of order")));
    });
    let stats = pool.stats();
    assert_eq!((stats.stolen, stats.refused, stats.pages, stats.growing), (1, 1, 0, 0));
    let loot = thieving.loot.lock().pop().unwrap();
    thieving.arena.free(loot).unwrap();
    drop(pool);
    assert_whole(&thieving.arena);
}

#[test]
fn without_claims_a_deadline_reaches_who_is_asleep_inside() {
    let (thieving, pool) = thieving(1);
    let held = pool.get().unwrap();
    assert_is!(pool.get_timeout(Duration::from_millis(1)), Err(GetError::TimedOut(Awaited::Page)));
    assert_is!(pool.get_deadline(Instant::now()), Err(GetError::TimedOut(Awaited::Page)));
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.waiting, stats.refused), (1, 0, 0, 0));
    put(&pool, held).unwrap();
    drop(pool);
    assert_whole(&thieving.arena);
}

// Deadlines, which the pool can but pass on.

type Impatient<'p> = Request<'p, RawPool<Classic<ArenaPages>>>;

#[test]
fn a_deadline_reaches_who_is_asleep_inside() {
    let requests: [fn(Impatient<'_>) -> Impatient<'_>; 6] = [
        |request| request.timeout(Duration::ZERO),
        |request| request.timeout(Duration::from_millis(2)),
        |request| request.deadline(Instant::now()),
        |request| request.grow_timeout(Duration::ZERO),
        |request| request.grow_timeout(Duration::from_millis(2)),
        // Whichever is first.
        |request| request.timeout(Duration::MAX).grow_timeout(Duration::from_millis(1)),
    ];
    let arena = arena(1);
    let others = arena.try_alloc(one()).unwrap();
    let pool = classic(blocks(1), &arena);
    for (number, patient) in (1..).zip(requests) {
        assert_is!(patient(pool.request()).get(), Err(GetError::TimedOut(Awaited::Page)));
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.waiting, stats.asleep_in_backend, stats.pages), (0, 0, 0, 0));
        assert_eq!((stats.failures.timed_out, stats.failures.total(), stats.grows), (number, number, number));
        assert_eq!((stats.refused, stats.stolen), (0, 0), "late is not refused");
        assert_eq!(arena.stats().waiting, 0);
    }
    arena.free(others).unwrap();
    for patient in requests {
        let item = patient(pool.request()).get().unwrap();
        put(&pool, item).unwrap();
        pool.drain();
    }
    drop(pool);
    assert_whole(&arena);
}

/// One who waits in the pool for the page that another is asleep for.
#[test]
fn a_deadline_reaches_who_waits_for_a_sleepers_page() {
    let arena = arena(1);
    let others = arena.try_alloc(one()).unwrap();
    let pool = classic(blocks(2).max_growing(1), &arena);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let asleep = scope.spawn(|| visit(&pool).unwrap());
        until_asleep(&arena, 1);
        assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Page)));
        let patient = pool.request().grow_timeout(Duration::from_millis(1));
        assert_is!(patient.get(), Err(GetError::TimedOut(Awaited::Page)));
        until(&pool, 1, 1);
        assert_eq!((pool.stats().grows, arena.stats().waiting), (1, 1), "the sleeper sleeps on");
        arena.free(others).unwrap();
        asleep.join().unwrap();
    });
    assert_eq!((pool.stats().pages, pool.stats().out), (1, 0));
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn the_time_for_a_page_does_not_run_while_the_hard_limit_is_waited_for() {
    let arena = arena(2);
    let pool = classic(blocks(1), &arena);
    let held = pool.get().unwrap();
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let getter = scope.spawn(|| pool.request().grow_timeout(Duration::ZERO).get().unwrap().addr());
        until(&pool, 1, 0);
        let deadline = Instant::now() + Duration::from_millis(1);
        let late = pool.request().grow_timeout(Duration::ZERO).deadline(deadline).get();
        assert_is!(late, Err(GetError::TimedOut(Awaited::Put)));
        assert!(Instant::now() >= deadline, "that was its deadline, and no time for a page");
        assert_eq!(pool.stats().waiting, 1, "it waits on");
        put(&pool, held).unwrap();
        assert_eq!(getter.join().unwrap(), held.addr());
    });
    assert_eq!((pool.stats().failures.timed_out, pool.stats().grows), (1, 1));
    put(&pool, held).unwrap();
    drop(pool);
    assert_whole(&arena);
}

/// A page that is freed for a sleeper whose time is up just then: it comes or goes, and in
/// no case it stays with a request that is no more.
#[test]
fn a_deadline_and_a_put_at_the_same_time_lose_nothing() {
    for round in 0..300_u64 {
        let arena = arena(1);
        let pool = classic(blocks(2).low_water(1), &arena);
        let held = pool.get().unwrap();
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &arena);
            let getter = scope.spawn(|| {
                let time = Duration::from_micros(round);
                let request = pool.request();
                let request = if round % 2 == 0 { request.timeout(time) } else { request.grow_timeout(time) };
                request.get().map(|item| put(&pool, item).unwrap())
            });
            while pool.stats().grows == 1 && !getter.is_finished() {
                thread::yield_now();
            }
            put(&pool, held).unwrap();
            assert_is!(getter.join().unwrap(), Ok(()) | Err(GetError::TimedOut(Awaited::Page)));
        });
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.waiting, stats.out, arena.stats().waiting), (0, 0, 0, 0));
        assert_eq!(stats.pages + arena.stats().free, 1, "{stats:?}");
        let again = pool.try_get().unwrap();
        put(&pool, again).unwrap();
        drop(pool);
        assert_whole(&arena);
    }
}

/// An arena's pages, with two places where getters are stopped on their way to one.
struct Dawdling {
    pages: ArenaPages,
    stop_at: AtomicU32,
    is_at: AtomicU32,
    /// Once let go, it does not even look: its time is up.
    gives_up: AtomicBool,
}

const NOWHERE: u32 = 0;
/// Has committed to the request, and has not asked the arena.
const BEFORE: u32 = 1;
/// Has the arena's answer, and has not come back with it.
const AFTER: u32 = 2;

impl Dawdling {
    fn pass(&self, place: u32) {
        while self.stop_at.load(SeqCst) == place && !self.pages.0.is_closed() {
            self.is_at.store(place, SeqCst);
            thread::yield_now();
        }
        self.is_at.store(NOWHERE, SeqCst);
    }

    fn until_stopped(&self) {
        while self.is_at.load(SeqCst) != self.stop_at.load(SeqCst) {
            thread::yield_now();
        }
    }

    fn let_go(&self) {
        self.stop_at.store(NOWHERE, SeqCst);
    }
}

struct Dawdler(Arc<Dawdling>);

// SAFETY: as for `ArenaPages`, whose pages these are.
unsafe impl PageAllocator for Dawdler {
    type Error = AllocError;

    const CLAIMS: bool = true;

    fn alloc(
        &self,
        page: Layout,
        claim: Claim<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        self.0.pass(BEFORE);
        let base =
            if self.0.gives_up.load(SeqCst) { None } else { self.0.pages.alloc(page, claim, deadline)? };
        self.0.pass(AFTER);
        Ok(base)
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, AllocError> {
        self.0.pages.try_alloc(page)
    }
    fn free(&self, base: NonNull<u8>, page: Layout) {
        self.0.pages.free(base, page);
    }
    fn free_to(&self, base: NonNull<u8>, page: Layout, claim: Claim<'_>) -> Heir {
        self.0.pages.free_to(base, page, claim)
    }
    fn forget(&self, id: GrowId) {
        self.0.pages.forget(id);
    }
    fn clock(&self) -> Arc<Clock> {
        self.0.pages.clock()
    }
    fn attach(&self, table: &GrowTable, pool: Weak<dyn Reclaim>) {
        self.0.pages.attach(table, pool);
    }
}

fn dawdling(
    builder: Builder<Layout>,
    arena: &Arena,
    stop_at: u32,
) -> (Arc<Dawdling>, RawPool<Classic<Dawdler>>) {
    let dawdling = Arc::new(Dawdling {
        pages: ArenaPages(arena.clone()),
        stop_at: AtomicU32::new(NOWHERE),
        is_at: AtomicU32::new(NOWHERE),
        gives_up: AtomicBool::new(false),
    });
    let pool = builder.build(Classic::new(Dawdler(dawdling.clone()))).unwrap();
    dawdling.stop_at.store(stop_at, SeqCst);
    (dawdling, pool)
}

/// The back-end had the page in time, and comes back with it too late.
#[test]
fn a_page_that_comes_after_the_deadline_is_had() {
    let arena = arena(1);
    let (dawdling, pool) = dawdling(blocks(1), &arena, AFTER);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let getter = scope.spawn(|| pool.get_timeout(Duration::ZERO).map(|item| put(&pool, item).unwrap()));
        dawdling.until_stopped();
        dawdling.let_go();
        assert_is!(getter.join().unwrap(), Ok(()));
    });
    assert_eq!((pool.stats().pages, pool.stats().failures.timed_out), (1, 0));
    drop(pool);
    assert_whole(&arena);
}

/// A put frees a page for one whose time is up, wherever that stands: it has the page if it looks
/// once more. If it has its answer, the page comes back, and the pool serves it. If it never looks, the
/// page is anybody's.
#[test]
fn a_page_freed_for_who_is_late_is_not_lost() {
    for (stop_at, gives_up) in [(BEFORE, false), (BEFORE, true), (AFTER, false)] {
        let arena = arena(1);
        let (dawdling, pool) = dawdling(blocks(2).low_water(1), &arena, NOWHERE);
        let held = pool.get().unwrap();
        dawdling.stop_at.store(stop_at, SeqCst);
        dawdling.gives_up.store(gives_up, SeqCst);
        let comes_back = u32::from(stop_at == AFTER);
        thread::scope(|scope| {
            let _end = EndOnPanic(&pool, &arena);
            let getter =
                scope.spawn(|| pool.get_timeout(Duration::ZERO).map(|item| put(&pool, item).unwrap()));
            dawdling.until_stopped();
            put(&pool, held).unwrap();
            let stats = pool.stats();
            assert_eq!((stats.released_to_heirs, stats.pages, stats.asleep_in_backend), (1, comes_back, 1));
            dawdling.let_go();
            match getter.join().unwrap() {
                Ok(()) => assert!(!gives_up),
                late => {
                    assert_is!(late, Err(GetError::TimedOut(Awaited::Page)));
                    assert!(gives_up);
                    assert_whole(&arena);
                }
            }
        });
        let stats = pool.stats();
        assert_eq!((stats.growing, stats.waiting, stats.refused), (0, 0, 0));
        assert_eq!(stats.stolen, u64::from(gives_up));
        let again = pool.try_get().unwrap();
        put(&pool, again).unwrap();
        drop(pool);
        assert_whole(&arena);
    }
}

/// Who was asleep for the others, too, leaves: the next of them sleeps in its place (law 2).
#[test]
fn who_is_late_inside_leaves_its_grow_to_who_waits_in_the_pool() {
    let arena = arena(1);
    let others = arena.try_alloc(one()).unwrap();
    let (dawdling, pool) = dawdling(blocks(1), &arena, AFTER);
    thread::scope(|scope| {
        let _end = EndOnPanic(&pool, &arena);
        let late = scope.spawn(|| pool.get_timeout(Duration::ZERO).map(drop));
        dawdling.until_stopped();
        let waits = scope.spawn(|| visit(&pool));
        until(&pool, 2, 1);
        dawdling.let_go();
        assert_is!(late.join().unwrap(), Err(GetError::TimedOut(Awaited::Page)));
        until(&pool, 1, 1);
        until_asleep(&arena, 1);
        arena.free(others).unwrap();
        assert_is!(waits.join().unwrap(), Ok(_));
    });
    let stats = pool.stats();
    assert_eq!((stats.pages, stats.growing, stats.waiting, stats.failures.total()), (1, 0, 0, 1));
    drop(pool);
    assert_whole(&arena);
}
