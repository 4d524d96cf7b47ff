//! The typed pool: values made and dropped exactly once, whatever panics.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::{Arena, Region, Reserve};
use pool::{ConfigError, GetError, Item, Pool, TryGetError};
use static_assertions::{assert_impl_all, assert_not_impl_any};

const QUANTUM: usize = 4096;

fn arena(quanta: usize) -> Arena {
    Arena::new(Region::reserve(quanta * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap()
}

fn assert_whole(arena: &Arena) {
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0));
}

/// A value that counts its drops, and a page long so that a page has one of them.
struct Counted<'a> {
    drops: &'a AtomicU32,
    number: u32,
    _long: [u8; QUANTUM - 16],
}

impl<'a> Counted<'a> {
    const fn new(drops: &'a AtomicU32, number: u32) -> Self {
        Self { drops, number, _long: [0; QUANTUM - 16] }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
    }
}

// A guard may go, or be seen, where its value may.
assert_impl_all!(Item<'static, u8>: Send, Sync);
assert_impl_all!(Item<'static, Cell<u8>>: Send);
assert_not_impl_any!(Item<'static, Cell<u8>>: Sync);
assert_impl_all!(Item<'static, std::sync::MutexGuard<'static, u8>>: Sync);
assert_not_impl_any!(Item<'static, std::sync::MutexGuard<'static, u8>>: Send);
assert_not_impl_any!(Item<'static, Rc<u8>>: Send, Sync);
assert_not_impl_any!(Item<'static, *mut u8>: Send, Sync);
assert_not_impl_any!(Item<'static, u8>: Clone, Copy);
// A pool holds no values: it is anybody's.
assert_impl_all!(Pool<Rc<u8>>: Send, Sync);

#[test]
fn values_are_dropped_exactly_once() {
    let arena = arena(2);
    let drops = AtomicU32::new(0);
    let pool: Pool<Counted<'_>> = Pool::new(2, arena.clone()).unwrap();
    let one = pool.get_with(|| Counted::new(&drops, 1)).unwrap();
    let mut two = pool.get_with(|| Counted::new(&drops, 2)).unwrap();
    two.number += 40;
    assert_eq!((one.number, two.number, drops.load(SeqCst)), (1, 42, 0));
    assert_eq!(pool.stats().out, 2);
    drop(one);
    assert_eq!((drops.load(SeqCst), pool.stats().out), (1, 1));
    assert_eq!(two.number, 42, "the other is untouched");
    drop(two);
    assert_eq!((drops.load(SeqCst), pool.stats().out), (2, 0));
    drop(pool);
    assert_eq!(drops.load(SeqCst), 2, "an idle place holds no value");
    assert_whole(&arena);
}

#[test]
fn small_values_share_a_page_and_do_not_overlap() {
    let arena = arena(2);
    let pool: Pool<[u64; 3]> = Pool::new(1, arena.clone()).unwrap();
    let per_page = u64::from(pool.stats().items_per_page);
    assert!(per_page > 1);
    let mut items: Vec<_> = (0..per_page).map(|n| pool.get_with(|| [n; 3]).unwrap()).collect();
    for item in &mut items {
        item[1] += 1;
    }
    for (n, item) in (0..).zip(&items) {
        assert_eq!(**item, [n, n + 1, n]);
    }
    assert_eq!(format!("{:?}", items[7]), "[7, 8, 7]");
    drop(items);
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn values_are_aligned_as_they_ask() {
    #[repr(align(16384))]
    struct Table(u8);
    let arena = arena(16);
    let pool: Pool<Table> = Pool::new(2, arena.clone()).unwrap();
    let tables = [1, 2].map(|n| pool.get_with(|| Table(n)).unwrap());
    for (n, table) in (1..).zip(&tables) {
        assert!((&raw const **table).addr().is_multiple_of(16384));
        assert_eq!(table.0, n);
    }
    drop(tables);
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_make_that_panics_gives_the_place_back() {
    let arena = arena(1);
    let drops = AtomicU32::new(0);
    let pool: Pool<Counted<'_>> = Pool::new(1, arena.clone()).unwrap();
    for _ in 0..3 {
        let got = catch_unwind(AssertUnwindSafe(|| drop(pool.get_with(|| panic!("it cannot be made")))));
        assert!(got.is_err());
        let stats = pool.stats();
        assert_eq!((stats.out, stats.idle, stats.pages), (0, 1, 1));
    }
    assert_eq!(drops.load(SeqCst), 0, "what was not made is not dropped");
    drop(pool.get_with_timeout(Duration::ZERO, || Counted::new(&drops, 1)).unwrap());
    assert_eq!(drops.load(SeqCst), 1);
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_make_that_panics_gives_the_place_to_who_waits() {
    let arena = arena(1);
    let pool: Pool<[u8; QUANTUM]> = Pool::new(1, arena.clone()).unwrap();
    thread::scope(|scope| {
        let got = catch_unwind(AssertUnwindSafe(|| {
            drop(pool.get_with(|| {
                scope.spawn(|| drop(pool.get_with(|| [1; QUANTUM]).unwrap()));
                while pool.stats().waiting == 0 {
                    thread::yield_now();
                }
                panic!("it cannot be made");
            }));
        }));
        assert!(got.is_err());
    });
    assert_eq!((pool.stats().out, pool.stats().gets), (0, 2));
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_drop_that_panics_gives_the_place_back() {
    struct Bomb<'a>(Counted<'a>);
    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            panic!("a destructor of {} panics", self.0.number);
        }
    }
    let arena = arena(1);
    let drops = AtomicU32::new(0);
    let pool: Pool<Bomb<'_>> = Pool::new(1, arena.clone()).unwrap();
    for round in 1..=3 {
        let item = pool.get_with_timeout(Duration::ZERO, || Bomb(Counted::new(&drops, round))).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| drop(item))).is_err());
        assert_eq!(
            (pool.stats().out, drops.load(SeqCst)),
            (0, round),
            "and the rest of the value is dropped"
        );
    }
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_panic_with_an_item_in_hand_puts_it_back() {
    let arena = arena(1);
    let drops = AtomicU32::new(0);
    let pool: Pool<Counted<'_>> = Pool::new(1, arena.clone()).unwrap();
    let got = catch_unwind(AssertUnwindSafe(|| {
        let item = pool.get_with(|| Counted::new(&drops, 7)).unwrap();
        panic!("with {} in hand", item.number);
    }));
    assert!(got.is_err());
    assert_eq!((pool.stats().out, drops.load(SeqCst)), (0, 1));
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn nothing_is_made_where_there_is_no_place() {
    let arena = arena(1);
    let pool: Pool<[u8; QUANTUM]> = Pool::new(1, arena.clone()).unwrap();
    let item = pool.get_with(|| [1; QUANTUM]).unwrap();
    let made = || -> [u8; QUANTUM] { unreachable!("there is no place for it") };
    assert_eq!(pool.get_with_timeout(Duration::ZERO, made).err(), Some(GetError::TimedOut));
    assert_eq!(pool.raw().try_get(), Err(TryGetError::Exhausted));
    pool.raw().close();
    assert_eq!(pool.get_with(made).err(), Some(GetError::Closed));
    assert_eq!(item[QUANTUM - 1], 1, "what is out stays good");
    drop(item);
    assert_eq!(pool.stats().pages, 0);
    assert_whole(&arena);
}

/// Each value is made by one thread and dropped by another.
#[test]
fn guards_go_to_other_threads() {
    const VALUES: u32 = 200;
    let arena = arena(2);
    let drops = AtomicU32::new(0);
    let pool: Pool<Counted<'_>> = Pool::new(2, arena.clone()).unwrap();
    thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let (pool, drops) = (&pool, &drops);
        scope.spawn(move || {
            for number in 0..VALUES {
                send.send(pool.get_with(|| Counted::new(drops, number)).unwrap()).unwrap();
            }
        });
        scope.spawn(move || {
            for (number, item) in receive.iter().enumerate() {
                assert_eq!(item.number as usize, number);
            }
        });
    });
    assert_eq!((drops.load(SeqCst), pool.stats().out), (VALUES, 0));
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn values_of_size_zero_cannot_be_pooled() {
    #[repr(align(64))]
    struct Nothing;
    let arena = arena(1);
    for error in [Pool::<()>::new(1, arena.clone()).err(), Pool::<Nothing>::new(1, arena.clone()).err()] {
        let error = error.unwrap();
        assert!(matches!(&error, ConfigError::Items(why) if why.contains("size zero")), "{error}");
    }
    assert_eq!(Layout::new::<Nothing>().size(), 0);
}

#[test]
fn a_pool_can_be_configured() {
    let arena = arena(16);
    let build = |low: u32| {
        Pool::<[u8; 100]>::build(3, arena.clone(), |builder| {
            builder.items_per_page(2).low_water(low).high_water(2).bypass(0)
        })
    };
    assert_eq!(build(3).err(), Some(ConfigError::Water { low: 3, high: 2, limit: 3 }));
    let pool = build(1).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.items_per_page, stats.low_water, stats.high_water, stats.hard_limit), (2, 1, 2, 3));
    assert_eq!(pool.raw().prime(1), Ok(1));
    assert!(format!("{pool:?}").starts_with("pool of 100-byte items, 2 a page: 1 of 3 pages"), "{pool:?}");
    drop(pool);
    assert_whole(&arena);
}
