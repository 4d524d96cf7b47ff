//! Pools that are built primed: all pages are there from the beginning, the back-end is never asked
//! again, and a build that gets too few keeps none. What a pool holds, and what of it nobody uses.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::task::Poll;
use std::thread;
use std::time::Instant;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Claim, Decommit, Region, Reserve};
use pool::{
    ArenaPages, AsyncFactory, Builder, Classic, ConfigError, Factory, GetError, GrowerError, Growers, Item,
    PageAllocator, Pool, PrimeError, RawPool, TryGetError, registered,
};

#[macro_use]
mod support;

use support::shop::{Failed, Object, Order, Shop, growers};
use support::{
    QUANTUM, Random, arena, assert_adds_up, assert_rests, assert_whole, blocks, get_all, objects, panics,
    poll_once, put, put_all, take, until, wait_for,
};

/// An arena's pages, by a pair of functions that count, and that refuse or panic from some page on.
struct Counting {
    arena: Arena,
    calls: Arc<AtomicUsize>,
    pages: usize,
    panics: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no page after the {0}th")]
struct Enough(usize);

impl Counting {
    fn new(arena: &Arena) -> (Self, Arc<AtomicUsize>) {
        let calls = Arc::<AtomicUsize>::default();
        (Self { arena: arena.clone(), calls: calls.clone(), pages: usize::MAX, panics: false }, calls)
    }
}

// SAFETY: an arena's pages, as they are.
unsafe impl PageAllocator for Counting {
    type Error = Enough;

    fn alloc(
        &self,
        page: Layout,
        claim: Claim<'_>,
        until: Option<Instant>,
    ) -> Result<Option<NonNull<u8>>, Enough> {
        self.calls.fetch_add(1, SeqCst);
        ArenaPages(self.arena.clone()).alloc(page, claim, until).map_err(|_| Enough(0))
    }
    fn try_alloc(&self, page: Layout) -> Result<Option<NonNull<u8>>, Enough> {
        if self.calls.fetch_add(1, SeqCst) >= self.pages {
            assert!(!self.panics, "it panics");
            return Err(Enough(self.pages));
        }
        ArenaPages(self.arena.clone()).try_alloc(page).map_err(|_| Enough(0))
    }
    fn free(&self, base: NonNull<u8>, page: Layout) {
        self.calls.fetch_add(1, SeqCst);
        ArenaPages(self.arena.clone()).free(base, page);
    }
}

/// A storm of threads that get and put in every way, at a back-end that others want everything of.
#[test]
fn a_primed_pool_never_calls_its_back_end_again() {
    const PAGES: u32 = 6;
    for rounds in [0, 2] {
        let arena = arena(PAGES as usize);
        let (back_end, calls) = Counting::new(&arena);
        let builder = Pool::builder(PAGES, || [0_u8; QUANTUM / 4]).items_per_page(4).magazine_rounds(rounds);
        let pool = builder.build_primed(Classic::new(back_end)).unwrap();
        assert_eq!(calls.swap(0, SeqCst), PAGES as usize, "once for each page");
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let storm = [0, 1, 2, 3].map(|seed| {
                let pool = &pool;
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..2000 {
                        match random.below(5) {
                            0 => drop(pool.get().unwrap()),
                            1 => drop(pool.get_many(1 + random.below(9) as usize).unwrap()),
                            2 => Item::discard(pool.get().unwrap()),
                            3 => assert_eq!(pool.drain(), 0),
                            // The hard limit allows no page: that is why, whatever the back-end has.
                            _ => match pool.try_get() {
                                Ok(item) => drop(item),
                                Err(error) => assert_is!(error, TryGetError::Exhausted),
                            },
                        }
                    }
                })
            });
            let other = scope.spawn(|| {
                while !ended.load(SeqCst) {
                    assert!(arena.try_alloc(kva::Shape::new(1).unwrap()).is_err(), "all is the pool's");
                    thread::yield_now();
                }
            });
            for thread in storm {
                thread.join().unwrap();
            }
            ended.store(true, SeqCst);
            other.join().unwrap();
        });
        assert_eq!(calls.load(SeqCst), 0);
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.grows, stats.released), (PAGES, u64::from(PAGES), 0));
        assert_eq!((stats.failures.scarce, stats.asleep_in_backend), (0, 0));
        assert_adds_up(&pool, 0);
        drop(pool);
        assert_eq!(calls.load(SeqCst), PAGES as usize, "each page goes back");
        assert_whole(&arena);
    }
}

#[test]
fn a_build_that_has_too_few_pages_keeps_none_and_says_how_many_there_were() {
    let arena = arena(3);
    let error = objects(4).name("that is not primed").build_primed(arena.clone()).unwrap_err();
    assert_is!(error, PrimeError::Scarce { pages: 3, wanted: 4 });
    assert_eq!(error.to_string(), "3 of 4 pages: the back-end has no more right now");
    assert_whole(&arena);
    let taken = take(&arena, 2);
    assert_is!(blocks(3).build_primed(arena.clone()), Err(PrimeError::Scarce { pages: 1, wanted: 3 }));
    arena.free(taken).unwrap();
    assert_whole(&arena);
    assert!(registered().iter().all(|pool| pool.name.as_deref() != Some("that is not primed")));
    let pool = blocks(3).build_primed(arena.clone()).unwrap();
    assert_eq!(pool.stats().pages, 3, "and all that there is, is enough");
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_build_whose_back_end_refuses_keeps_nothing_and_has_the_error() {
    let arena = arena(8);
    let refuses = |panics| Classic::new(Counting { pages: 2, panics, ..Counting::new(&arena).0 });
    let error = blocks(4).build_primed(refuses(false)).unwrap_err();
    assert_eq!(error.to_string(), "2 of 4 pages: the back-end refused a page");
    assert_eq!(error.source().unwrap().source().unwrap().to_string(), "no page after the 2th");
    assert_is!(error, PrimeError::Failed { pages: 2, wanted: 4, error: GetError::Backend(Enough(2)) });
    assert_whole(&arena);
    assert!(panics(|| blocks(4).build_primed(refuses(true))));
    assert_whole(&arena);
}

#[test]
fn a_configuration_that_primes_for_nothing_is_refused() {
    let arena = arena(4);
    let error = blocks(4).low_water(1).high_water(3).build_primed(arena.clone()).unwrap_err();
    assert_is!(error, PrimeError::Config(ConfigError::PrimedAboveHigh { high: 3, limit: 4 }));
    let text = "primed to the hard limit, 4 pages: above high water, 3, they would go back at once";
    assert_eq!(error.to_string(), text);
    assert_is!(blocks(0).build_primed(arena.clone()), Err(PrimeError::Config(ConfigError::ZeroLimit)));
    assert_is!(
        blocks(2).low_water(3).build_primed(arena.clone()),
        Err(PrimeError::Config(ConfigError::Water { .. }))
    );
    assert_whole(&arena);
    drop(blocks(4).high_water(4).build_primed(arena).unwrap());
}

#[test]
fn as_many_pages_come_as_are_asked_for() {
    let arena = arena(4);
    let pool = blocks(4).build(arena.clone()).unwrap();
    for pages in [2, 2, 1, 3] {
        assert_eq!(pool.prime(pages).unwrap(), pages.max(pool.stats().pages));
        assert!(pool.stats().pages <= pages.max(2));
    }
    assert_rests(&pool, &arena);
}

/// Nobody has what it holds: not by a drain, not by need. Unless it was told to keep less.
#[test]
fn what_is_primed_is_kept_as_low_water_says() {
    for (low, given) in [(None, 0), (Some(4), 0), (Some(1), 3)] {
        let arena = arena(4);
        let builder = low.into_iter().fold(blocks(4), Builder::low_water);
        let pool = builder.build_primed(arena.clone()).unwrap();
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.low_water, stats.high_water), (4, low.unwrap_or(4), 4));
        let held = get_all(&pool);
        assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
        put_all(&pool, held);
        // Somebody who waits for memory asks pools for what they can spare.
        thread::scope(|scope| {
            let other = scope.spawn(|| arena.alloc(kva::Shape::new(1).unwrap()));
            if given == 0 {
                until(|| arena.stats().waiting == 1);
                assert_eq!((pool.stats().pages, pool.drain()), (4, 0));
                arena.close();
                assert!(other.join().unwrap().is_err());
            } else {
                arena.free(other.join().unwrap().unwrap()).unwrap();
                pool.drain();
                assert_eq!(pool.stats().pages, 1);
            }
        });
    }
}

#[test]
fn a_hard_limit_that_is_lowered_gives_pages_back_and_one_that_is_raised_primes_none() {
    let arena = arena(6);
    let pool = blocks(4).build_primed(arena.clone()).unwrap();
    pool.set_hard_limit(2).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().low_water, arena.stats().free), (2, 2, 4));
    pool.set_hard_limit(4).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().low_water), (2, 4), "what went is not brought again");
    assert_eq!(pool.prime(4).unwrap(), 4);
    pool.set_hard_limit(6).unwrap();
    assert_eq!((pool.stats().pages, pool.stats().low_water), (4, 4));
    put_all(&pool, get_all(&pool));
    assert_eq!(pool.stats().pages, 6, "beyond, as ever: when somebody needs it");
    pool.drain();
    assert_eq!(pool.stats().pages, 4);
    pool.set_water(0, 6).unwrap();
    assert_rests(&pool, &arena);
}

#[test]
fn a_primed_pool_has_its_memory_if_its_region_populates() {
    let resident = |populate| {
        let how = Reserve::new().populate(populate).decommit(Decommit::Protect);
        let arena = Arena::new(Region::reserve(64 * QUANTUM, how).unwrap(), QUANTUM).unwrap();
        let pool = blocks(64).build_primed(arena).unwrap();
        let items = get_all(&pool);
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let is_there = |item: &&NonNull<u8>| {
            let mut word = [0; size_of::<u64>()];
            let page = item.addr().get() / rustix::param::page_size();
            pagemap.read_exact_at(&mut word, (page * size_of::<u64>()) as u64).unwrap();
            u64::from_ne_bytes(word) >> 62 != 0 // present, or swapped out
        };
        let there = items.iter().filter(is_there).count();
        put_all(&pool, items);
        there
    };
    assert_eq!((resident(false), resident(true)), (0, 64));
}

// Factories.

#[test]
fn a_primed_pool_of_a_factory_has_all_its_objects() {
    fn check<F: pool::ObjectFactory<Object = Object>>(pool: &Pool<Object, F>, shop: &Shop) {
        let stats = pool.stats();
        assert_eq!((stats.live, stats.idle, stats.pages, stats.out), (3, 3, 3, 0));
        assert_eq!((stats.low_water, pool.drain(), shop.begun()), (3, 0, 3));
        let mut all = pool.request().critical().get_many(3).ok().unwrap();
        Item::discard(all.pop().unwrap());
        drop(all);
        assert_eq!((pool.stats().live, shop.begun()), (2, 3), "it is not made again before somebody waits");
    }
    let (shop, making) = (Shop::open(), Shop::open());
    let factory = Factory::new({
        let shop = shop.clone();
        move || shop.create()
    });
    check(&Pool::from_factory(3, factory).critical_reserve(1).build_primed().unwrap(), &shop);
    check(&Pool::from_factory(3, growers(2, &making)).critical_reserve(1).build_primed().unwrap(), &making);
    for is_async in [false, true] {
        let shop = Shop::open();
        let making = shop.clone();
        let factory = AsyncFactory::new(move || {
            let shop = making.clone();
            async move { shop.create() }
        });
        let builder = Pool::from_factory(3, factory).critical_reserve(2).max_growing(2);
        let pool = if is_async {
            let mut build = Box::pin(builder.build_primed_async());
            match poll_once(build.as_mut()) {
                Poll::Ready(pool) => pool,
                Poll::Pending => wait_for(build),
            }
        } else {
            builder.build_primed()
        };
        check(&pool.unwrap(), &shop);
        assert_eq!(shop.live(), 0);
    }
    assert_eq!((shop.live(), making.live()), (0, 0), "nothing outlives its pool");
}

#[test]
fn a_factory_that_fails_fails_the_build_and_what_it_made_is_destroyed() {
    let shop = Shop::open();
    shop.order(2, Order::Fail);
    let making = shop.clone();
    let error = Pool::from_factory(4, Factory::new(move || making.create())).build_primed().unwrap_err();
    assert_eq!(error.to_string(), "2 of 4 pages: the back-end refused a page");
    assert_is!(error, PrimeError::Failed { pages: 2, wanted: 4, error: GetError::Backend(Failed(2)) });
    assert_eq!((shop.begun(), shop.live()), (3, 0));

    let shop = Shop::open();
    shop.order(2, Order::Panic);
    let making = shop.clone();
    assert!(panics(|| Pool::from_factory(4, Factory::new(move || making.create())).build_primed()));
    assert_eq!(shop.live(), 0);

    let shop = Shop::open();
    shop.order(0, Order::Fail);
    let made: Result<Pool<_, Growers<_, _>>, _> = Pool::from_factory(4, growers(1, &shop)).build_primed();
    let refused = GetError::Backend(GrowerError::Failed(Failed(0)));
    assert_is!(made, Err(PrimeError::Failed { error, wanted: 4, .. }) if format!("{error:?}") == format!("{refused:?}"));
    // What was begun goes as it comes.
    until(|| shop.live() == 0 && shop.creating() == 0);
}

#[test]
fn a_build_that_is_dropped_keeps_nothing() {
    let shop = Shop::by_order();
    let making = shop.clone();
    let factory = AsyncFactory::new(move || {
        let shop = making.clone();
        let mut first = true;
        // One is made, and the other never is.
        std::future::poll_fn(move |_| {
            if std::mem::take(&mut first) && shop.begun() > 0 {
                return Poll::Pending;
            }
            if shop.begun() > 0 {
                return Poll::Pending;
            }
            shop.order_all(Order::Make);
            Poll::Ready(shop.create())
        })
    });
    let mut build = Box::pin(Pool::from_factory(2, factory).build_primed_async());
    assert!(poll_once(build.as_mut()).is_pending());
    assert_eq!((shop.begun(), shop.live()), (1, 1));
    drop(build);
    assert_eq!(shop.live(), 0);
}

// What is held, and what of it nobody uses.

#[test]
fn what_is_held_and_not_used_adds_up_whatever_is_done() {
    // 5 items of 700 bytes to a page of 4096, of which 596 are left over; cached and not.
    for (seed, rounds) in [(1, 0), (2, 3), (3, 3)] {
        let arena = arena(8);
        let layout = Layout::from_size_align(700, 4).unwrap();
        let builder = RawPool::builder(layout, 8).items_per_page(5).magazine_rounds(rounds);
        let pool = builder.build(arena.clone()).unwrap();
        let mut random = Random::new(seed);
        let mut out = Vec::new();
        let mut cached = 0;
        for _ in 0..4000 {
            match random.below(8) {
                0..2 => out.extend(pool.try_get().ok()),
                2..5 if !out.is_empty() => {
                    let item = out.swap_remove(random.below(out.len() as u64) as usize);
                    put(&pool, item).unwrap();
                }
                5 if random.below(10) == 0 => drop(pool.prime(random.below(9) as u32)),
                6 if random.below(50) == 0 => drop(pool.drain()),
                // Seldom: what is cached is swept.
                7 if random.below(50) == 0 => pool.set_hard_limit(1 + random.below(8) as u32).unwrap(),
                _ => {}
            }
            let stats = pool.stats();
            let pages = arena.stats().quanta - arena.stats().free;
            assert_eq!((stats.page_size, stats.item_size), (QUANTUM, 700));
            assert_eq!(stats.held_bytes(), pages as usize * QUANTUM, "what the arena has not");
            assert_eq!(stats.held_bytes() - stats.unused_bytes(), out.len() * 700, "what we have");
            assert_eq!(stats.unused_bytes(), stats.idle_bytes() + stats.wasted_bytes());
            assert_eq!(stats.wasted_bytes(), pages as usize * 596);
            cached = cached.max(stats.cached);
        }
        assert_eq!(cached > 0, rounds > 0, "of what is idle, some is cached");
        put_all(&pool, out);
        pool.set_hard_limit(8).unwrap();
        assert_rests(&pool, &arena);
        assert_eq!((pool.stats().held_bytes(), pool.stats().unused_bytes()), (0, 0));
    }
}
