//! The typed pool: objects are constructed once, kept, and destroyed exactly once, whatever panics.

#![cfg(not(loom))]

use std::borrow::{Borrow, BorrowMut};
use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::fmt::Display;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{AllocError, Arena, Shape};
use pool::{
    AttachError, Awaited, Backend, Builder, ConfigError, GetError, Item, Objects, OwnedItem, Pool, Request,
    Reservation, TryGetError,
};
use static_assertions::{assert_impl_all, assert_not_impl_any};

#[macro_use]
mod support;

use support::{CloseOnPanic, QUANTUM, arena, assert_whole, panics, poll_once, until_waiting, wait_for};

/// How often each object ended that was ever made, by number.
#[derive(Debug, Clone, Default)]
struct Lives(Arc<Mutex<Vec<u32>>>);

impl Lives {
    fn object<const BYTES: usize>(&self) -> Object<BYTES> {
        let mut ends = self.0.lock();
        ends.push(0);
        Object { lives: self.clone(), number: ends.len() - 1, bytes: [0; BYTES] }
    }

    /// How many were made, and how many of them ended. None did twice.
    fn made_and_ended(&self) -> (usize, usize) {
        let ends = self.0.lock();
        assert!(ends.iter().all(|&ends| ends <= 1), "ended twice: {ends:?}");
        (ends.len(), ends.iter().filter(|&&ends| ends == 1).count())
    }
}

/// An object that is known by its number, with something in it that a wrong drop would hurt.
#[derive(Debug)]
struct Object<const BYTES: usize> {
    lives: Lives,
    number: usize,
    bytes: [u8; BYTES],
}

impl<const BYTES: usize> Drop for Object<BYTES> {
    fn drop(&mut self) {
        self.lives.0.lock()[self.number] += 1;
    }
}

/// One to a page, a quantum.
type Block = Object<{ QUANTUM - 16 }>;
/// 128 to a page, a quantum.
type Small = Object<16>;
const SMALLS: usize = 128;

fn blocks(hard_limit: u32, lives: &Lives) -> Builder<Objects<Block>> {
    let lives = lives.clone();
    Pool::builder(hard_limit, move || lives.object())
}

fn smalls(hard_limit: u32, lives: &Lives) -> Builder<Objects<Small>> {
    let lives = lives.clone();
    Pool::builder(hard_limit, move || lives.object())
}

/// An object whose destructor panics if its number is the one that is armed.
#[derive(Debug)]
struct Bomb<const BYTES: usize> {
    object: Object<BYTES>,
    armed: Armed,
}

type BigBomb = Bomb<{ QUANTUM - 24 }>;

#[derive(Debug, Clone, Default)]
struct Armed(Arc<Mutex<Option<usize>>>);

impl Armed {
    /// Object `number` will panic when it is destroyed; `None`: no object.
    fn arm(&self, number: impl Into<Option<usize>>) {
        *self.0.lock() = number.into();
    }
}

impl<const BYTES: usize> Drop for Bomb<BYTES> {
    fn drop(&mut self) {
        let armed = *self.armed.0.lock();
        assert_ne!(armed, Some(self.object.number), "the destructor that was to panic does");
    }
}

fn bombs<const BYTES: usize>(hard_limit: u32, lives: &Lives, armed: &Armed) -> Builder<Objects<Bomb<BYTES>>> {
    let (lives, armed) = (lives.clone(), armed.clone());
    Pool::builder(hard_limit, move || Bomb { object: lives.object(), armed: armed.clone() })
}

// Auto traits: a handle, guard, reservation or request may go, or be seen, where its object may.

type NotSend = std::sync::MutexGuard<'static, u8>;

assert_impl_all!(Pool<u8>: Send, Sync, Clone, Unpin);
// A pool hands each object to one thread at a time.
assert_impl_all!(Pool<Cell<u8>>: Send, Sync);
assert_not_impl_any!(Pool<Rc<u8>>: Send, Sync);
assert_not_impl_any!(Pool<NotSend>: Send, Sync);
assert_not_impl_any!(Pool<*mut u8>: Send, Sync);

assert_impl_all!(Item<'static, u8>: Send, Sync, Unpin);
assert_impl_all!(Item<'static, Cell<u8>>: Send);
assert_not_impl_any!(Item<'static, Cell<u8>>: Sync);
assert_impl_all!(Item<'static, NotSend>: Sync);
assert_not_impl_any!(Item<'static, NotSend>: Send);
assert_not_impl_any!(Item<'static, Rc<u8>>: Send, Sync);
assert_not_impl_any!(Item<'static, *mut u8>: Send, Sync);
assert_not_impl_any!(Item<'static, u8>: Clone, Copy);

assert_impl_all!(OwnedItem<u8>: Send, Sync, Unpin);
assert_impl_all!(OwnedItem<Cell<u8>>: Send);
assert_not_impl_any!(OwnedItem<Cell<u8>>: Sync);
assert_impl_all!(OwnedItem<NotSend>: Sync);
assert_not_impl_any!(OwnedItem<NotSend>: Send);
assert_not_impl_any!(OwnedItem<Rc<u8>>: Send, Sync);
assert_not_impl_any!(OwnedItem<u8>: Clone, Copy);

// A shared reservation shows nothing of its objects.
assert_impl_all!(Reservation<u8>: Send, Sync, Unpin);
assert_impl_all!(Reservation<Cell<u8>>: Send, Sync);
assert_not_impl_any!(Reservation<NotSend>: Send, Sync);
assert_not_impl_any!(Reservation<Rc<u8>>: Send, Sync);
assert_not_impl_any!(Reservation<u8>: Clone, Copy);

assert_impl_all!(Request<'static, Pool<Cell<u8>>>: Send, Sync, Copy);
assert_not_impl_any!(Request<'static, Pool<Rc<u8>>>: Send, Sync);

// What constructs and resets may go anywhere, and there is no object yet.
assert_impl_all!(Builder<Objects<Cell<u8>>>: Send, Sync);
assert_not_impl_any!(Builder<Objects<u8>>: Clone);
assert_impl_all!(Builder<std::alloc::Layout>: Send, Sync, Clone);

assert_impl_all!(GetError<AllocError>: Error, Send, Sync);
assert_impl_all!(TryGetError<AllocError>: Error, Send, Sync);
assert_impl_all!(AttachError<Cell<u8>, AllocError>: Error, Send);
assert_impl_all!(ConfigError: Error, Send, Sync);

fn goes_to_other_threads(_: &impl Send) {}

fn borrows_nothing(_: &(impl Send + 'static)) {}

/// For each `T` that can be pooled, and each back-end: compiled, which is what it is for.
fn futures_go_to_other_threads<T: Send + 'static, B: Backend>(pool: &Pool<T, B>) {
    goes_to_other_threads(&pool.get_async());
    goes_to_other_threads(&pool.request().get_async());
    borrows_nothing(&pool.get_owned_async());
    borrows_nothing(&pool.request().get_owned_async());
    borrows_nothing(&pool.request().reserve_async(1));
}

#[test]
fn a_future_that_is_never_polled_does_nothing() {
    let pool = Pool::builder(1, || Cell::new(0)).build(arena(1)).unwrap();
    futures_go_to_other_threads(&pool);
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.pages, stats.failures.total()), (0, 0, 0));
}

// The life of an object.

#[test]
fn an_object_is_constructed_once_and_kept_from_put_to_get() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let mut item = pool.get().unwrap();
    item.bytes[QUANTUM - 17] = 42;
    drop(item);
    assert_eq!(lives.made_and_ended(), (1, 0));
    for _ in 0..3 {
        let item = pool.get().unwrap();
        assert_eq!((item.number, item.bytes[QUANTUM - 17]), (0, 42), "as it was left");
        assert_eq!((pool.stats().out, pool.stats().live), (1, 1));
        drop(item);
        assert_eq!((pool.stats().out, pool.stats().live), (0, 1));
    }
    assert_eq!(lives.made_and_ended(), (1, 0));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

#[test]
fn an_object_is_constructed_when_its_place_is_first_handed_out() {
    let (arena, lives) = (arena(2), Lives::default());
    let pool = smalls(2, &lives).build(arena.clone()).unwrap();
    assert_eq!(pool.stats().items_per_page as usize, SMALLS);
    assert_eq!(pool.prime(2).unwrap(), 2);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((0, 0), 0), "a page is not an object");
    let some: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((3, 0), 3));
    drop(some);
    let again: Vec<_> = (0..4).map(|_| pool.get().unwrap()).collect();
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 0), 4), "those that are kept go first");
    drop(again);
    drop(pool);
    assert_eq!(lives.made_and_ended(), (4, 4), "places that never had an object end none");
    assert_whole(&arena);
}

#[test]
fn an_object_is_reset_when_it_is_put_and_before_anybody_gets_it() {
    let resets = Arc::new(AtomicU32::new(0));
    let counts = resets.clone();
    let reset = move |line: &mut Vec<u8>| {
        line.clear();
        counts.fetch_add(1, SeqCst);
    };
    let pool = Pool::builder(1, || Vec::with_capacity(100)).reset(reset).build(arena(1)).unwrap();
    let mut item = pool.get().unwrap();
    item.extend_from_slice(b"left by somebody else");
    let whose = item.as_ptr();
    assert_eq!(resets.load(SeqCst), 0, "what is new need not be reset");
    drop(item);
    assert_eq!(resets.load(SeqCst), 1, "on put, and not on the next get");
    let item = pool.get().unwrap();
    assert_eq!((item.len(), item.as_ptr()), (0, whose), "the same, but reset");
    assert_eq!(resets.load(SeqCst), 1);
    OwnedItem::detach(pool.get_owned().unwrap());
    Item::discard(item);
    assert_eq!(resets.load(SeqCst), 1, "what does not come back is not reset");
    drop(pool.get_owned().unwrap());
    assert_eq!(resets.load(SeqCst), 2);
    drop(pool);
    assert_eq!(resets.load(SeqCst), 2, "nor is what is destroyed");
}

#[test]
fn a_reset_runs_before_a_waiter_is_served() {
    let arena = arena(1);
    let pool = Pool::builder(1, || [0_u8; QUANTUM]).reset(|block| block[0] = 0).build(arena.clone()).unwrap();
    let mut item = pool.get().unwrap();
    item[0] = 1;
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let waiter = scope.spawn(|| pool.get().unwrap()[0]);
        until_waiting(&pool, 1);
        drop(item);
        assert_eq!(waiter.join().unwrap(), 0);
    });
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_reset_that_panics_destroys_the_object_and_serves_who_waits() {
    let (arena, lives) = (arena(1), Lives::default());
    let reset = |block: &mut Block| assert_ne!(block.number, 0, "the first one cannot be reset");
    let pool = blocks(1, &lives).reset(reset).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let waiter = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        assert!(panics(|| drop(item)));
        assert_eq!(waiter.join().unwrap(), 1, "it has another object in the same place");
    });
    assert_eq!(lives.made_and_ended(), (2, 1));
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.live, stats.pages, stats.puts), (0, 1, 1, 1, 2));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (2, 2));
    assert_whole(&arena);
}

#[test]
fn a_reset_that_panics_with_an_owned_guard_does_the_same() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).reset(|_| panic!("it cannot be reset")).build(arena.clone()).unwrap();
    let item = pool.get_owned().unwrap();
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 0));
    assert!(panics(|| drop(item)), "after the last handle went, too");
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

// Constructors that fail or panic.

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no connection {0}")]
struct NoConnection(u32);

/// Its constructor fails this many times and then works.
fn failing(times: u32, lives: &Lives) -> Builder<Objects<Block>> {
    let (lives, calls) = (lives.clone(), AtomicU32::new(0));
    Pool::try_builder(1, move || match calls.fetch_add(1, SeqCst) {
        call if call < times => Err(NoConnection(call)),
        _ => Ok(lives.object()),
    })
}

#[test]
fn a_constructor_that_fails_tells_the_getter_why_and_gives_the_place_back() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = failing(8, &lives).build(arena.clone()).unwrap();
    let source =
        |error: &dyn Error| error.source().and_then(|why| why.downcast_ref()).map(|NoConnection(n)| *n);

    let error = pool.get().unwrap_err();
    assert_eq!(source(&error), Some(0));
    assert_eq!(error.to_string(), "the constructor failed");
    assert_is!(error, GetError::Construct(_));
    let error = pool.try_get().unwrap_err();
    assert_eq!(source(&error), Some(1));
    assert_eq!(error.to_string(), "the constructor failed");
    assert_is!(error, TryGetError::Construct(_));
    assert_eq!(source(&pool.get_timeout(Duration::ZERO).unwrap_err()), Some(2));
    assert_eq!(source(&pool.get_owned().unwrap_err()), Some(3));
    assert_eq!(source(&pool.request().try_get_owned().unwrap_err()), Some(4));
    assert_eq!(source(&wait_for(pool.get_async()).unwrap_err()), Some(5));
    assert_eq!(source(&wait_for(pool.get_owned_async()).unwrap_err()), Some(6));
    assert_eq!(source(&pool.get_many(1).unwrap_err()), Some(7));

    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.pages, stats.live), (0, 1, 1, 0));
    assert_eq!((stats.failures.construct, stats.failures.total()), (8, 8));
    drop(pool.try_get().unwrap());
    assert_eq!((lives.made_and_ended(), pool.stats().failures.total()), ((1, 0), 8));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

#[test]
fn a_constructor_that_panics_gives_the_place_back() {
    let (arena, lives) = (arena(1), Lives::default());
    let (calls, makes) = (AtomicU32::new(0), lives.clone());
    let construct = move || -> Block {
        assert!(calls.fetch_add(1, SeqCst) >= 4, "it cannot be made");
        makes.object()
    };
    let pool = Pool::builder(1, construct).build(arena.clone()).unwrap();
    assert!(panics(|| pool.get().is_ok()));
    assert!(panics(|| pool.try_get().is_ok()));
    assert!(panics(|| pool.get_many(1).is_ok()));
    assert!(panics(|| wait_for(pool.get_async()).is_ok()));
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.pages, stats.live), (0, 1, 1, 0));
    assert_eq!((stats.failures.construct, stats.failures.total()), (4, 4));
    drop(pool.try_get().unwrap());
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

/// A first constructor that ends badly, once somebody waits.
fn serves_who_waits(ends: impl Fn() -> Result<(), NoConnection> + Send + Sync + 'static) {
    let (arena, lives) = (arena(1), Lives::default());
    let (begun, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (makes, begins, goes) = (lives.clone(), begun.clone(), go.clone());
    let construct = move || {
        if !begins.swap(true, SeqCst) {
            while !goes.load(SeqCst) {
                thread::yield_now();
            }
            ends()?;
        }
        Ok::<Block, NoConnection>(makes.object())
    };
    let pool = Pool::try_builder(1, construct).build(arena.clone()).unwrap();
    thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let first = scope.spawn(|| panics(|| assert_is!(pool.get(), Err(GetError::Construct(_)))));
        while !begun.load(SeqCst) {
            thread::yield_now();
        }
        let waiter = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        assert_eq!(pool.stats().out, 1);
        go.store(true, SeqCst);
        let _ = first.join().unwrap();
        assert_eq!(waiter.join().unwrap(), 0);
    });
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.gets, stats.failures.construct), (0, 1, 2, 1));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

#[test]
fn a_constructor_that_fails_gives_the_place_to_who_waits() {
    serves_who_waits(|| Err(NoConnection(0)));
}

#[test]
fn a_constructor_that_panics_gives_the_place_to_who_waits() {
    serves_who_waits(|| panic!("it cannot be made"));
}

#[test]
fn a_constructor_that_fails_halfway_through_many_keeps_what_was_constructed() {
    let (arena, lives) = (arena(1), Lives::default());
    let (calls, makes) = (AtomicU32::new(0), lives.clone());
    let construct = move || match calls.fetch_add(1, SeqCst) {
        2 => Err(NoConnection(2)),
        3 => panic!("it cannot be made"),
        _ => Ok::<Small, _>(makes.object()),
    };
    let pool = Pool::try_builder(1, construct).build(arena.clone()).unwrap();
    assert_is!(pool.get_many(5), Err(GetError::Construct(_)));
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.live, stats.puts), (0, SMALLS, 2, 5));
    assert!(panics(|| pool.get_many(5).is_ok()), "now the third one panics");
    let stats = pool.stats();
    assert_eq!((stats.out, stats.idle, stats.live, stats.puts), (0, SMALLS, 2, 10));
    assert_eq!((stats.failures.construct, stats.failures.total()), (2, 2));
    let many = pool.get_many(5).unwrap();
    let numbers: BTreeSet<_> = many.iter().map(|item| item.number).collect();
    assert_eq!(numbers, (0..5).collect(), "two old ones and three new ones");
    drop(many);
    drop(pool);
    assert_eq!(lives.made_and_ended(), (5, 5));
    assert_whole(&arena);
}

#[test]
fn nothing_is_constructed_where_there_is_no_place() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    assert_is!(pool.get_timeout(Duration::ZERO), Err(GetError::TimedOut(Awaited::Put)));
    assert_is!(pool.try_get(), Err(TryGetError::Exhausted));
    assert_is!(pool.get_many(2), Err(GetError::TooMany { asked: 2, most: 1 }));
    pool.close();
    assert_is!(pool.get(), Err(GetError::Closed));
    assert_is!(pool.try_get(), Err(TryGetError::Closed));
    assert_eq!(lives.made_and_ended(), (1, 0));
    assert_eq!(item.number, 0, "what is out stays good");
    drop(item);
    assert_eq!((lives.made_and_ended(), pool.stats().pages), ((1, 1), 0));
    assert_whole(&arena);
}

// Ends: each object exactly once.

/// A pool of four pages with an object in each, all idle.
fn four(builder: Builder<Objects<Block>>, arena: &Arena) -> Pool<Block> {
    let pool = builder.build(arena.clone()).unwrap();
    drop(pool.get_many(4).unwrap());
    pool
}

#[test]
fn a_drain_destroys_the_objects_of_the_pages_that_go() {
    let (arena, lives) = (arena(4), Lives::default());
    let pool = four(blocks(4, &lives).low_water(1), &arena);
    assert_eq!(lives.made_and_ended(), (4, 0));
    let item = pool.get().unwrap();
    assert_eq!(pool.drain(), 3);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 3), 1), "not the one that is out");
    drop(item);
    assert_eq!(pool.drain(), 0, "low water");
    drop(pool);
    assert_eq!(lives.made_and_ended(), (4, 4));
    assert_whole(&arena);
}

#[test]
fn a_close_destroys_what_is_idle_and_then_what_is_put() {
    let (arena, lives) = (arena(4), Lives::default());
    let pool = four(blocks(4, &lives), &arena);
    let (item, owned) = (pool.get().unwrap(), pool.get_owned().unwrap());
    pool.close();
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 2), 2));
    drop(item);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 3), 1));
    pool.close();
    drop(owned);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 4), 0));
    assert_whole(&arena);
}

#[test]
fn the_last_handle_destroys_what_is_idle() {
    let (arena, lives) = (arena(4), Lives::default());
    let pool = four(blocks(4, &lives), &arena);
    let clone = pool.clone();
    drop(pool);
    assert_eq!(lives.made_and_ended(), (4, 0), "not the last one");
    assert!(!clone.is_closed());
    drop(clone);
    assert_eq!(lives.made_and_ended(), (4, 4));
    assert_whole(&arena);
}

#[test]
fn a_lowered_limit_destroys_what_is_above_it() {
    let (arena, lives) = (arena(4), Lives::default());
    let pool = four(blocks(4, &lives), &arena);
    let many = pool.get_many(3).unwrap();
    pool.set_hard_limit(2).unwrap();
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 1), 3), "the idle one");
    drop(many);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 2), 2), "one as it is put");
    drop(pool);
    assert_eq!(lives.made_and_ended(), (4, 4));
    assert_whole(&arena);
}

#[test]
fn high_water_destroys_what_is_put_above_it() {
    let (arena, lives) = (arena(4), Lives::default());
    let pool = four(blocks(4, &lives).high_water(1), &arena);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((4, 3), 1));
    let held = pool.get().unwrap();
    drop(pool.get().unwrap());
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((5, 4), 1), "one that was new");
    drop(held);
    pool.set_water(0, 0).unwrap();
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((5, 5), 0), "and when it is lowered");
    assert_whole(&arena);
}

#[test]
fn another_pool_that_needs_the_pages_has_their_objects_destroyed() {
    let (arena, lives, others) = (arena(4), Lives::default(), Lives::default());
    let pool = four(blocks(4, &lives).low_water(1), &arena);
    let other = blocks(4, &others).build(arena.clone()).unwrap();
    let items = other.get_many(3).unwrap();
    assert_eq!((lives.made_and_ended(), others.made_and_ended()), ((4, 3), (3, 0)), "but for low water");
    assert_eq!((pool.stats().live, other.stats().live), (1, 3));
    drop(items);
    drop((pool, other));
    assert_eq!((lives.made_and_ended(), others.made_and_ended()), ((4, 4), (3, 3)));
    assert_whole(&arena);
}

/// Fair between pools: the page goes there, the object nowhere.
#[test]
fn an_older_request_of_another_pool_has_the_object_destroyed_that_is_put() {
    let (arena, lives, others) = (arena(1), Lives::default(), Lives::default());
    let pool = blocks(2, &lives).bypass(0).build(arena.clone()).unwrap();
    let other = blocks(1, &others).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    thread::scope(|scope| {
        let _close = (CloseOnPanic(&pool), CloseOnPanic(&other));
        let older = scope.spawn(|| other.get().unwrap());
        until_waiting(&other, 1);
        while arena.stats().waiting != 1 {
            thread::yield_now();
        }
        let younger = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        drop(item);
        let page = older.join().unwrap();
        assert_eq!((lives.made_and_ended(), others.made_and_ended()), ((1, 1), (1, 0)));
        assert_eq!((pool.stats().waiting, pool.stats().yielded, pool.stats().live), (1, 1, 0));
        drop(page);
        assert_eq!(younger.join().unwrap(), 1);
    });
    assert_eq!(others.made_and_ended(), (1, 1), "and back");
    drop((pool, other));
    assert_eq!(lives.made_and_ended(), (2, 2));
    assert_whole(&arena);
}

/// Who asked has left, and who came later waits for what it asked for: that is older than they are.
#[test]
fn no_object_is_destroyed_for_an_older_request_of_its_own_pool() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(2, &lives).bypass(0).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let mut oldest = Box::pin(pool.get_async());
    assert!(poll_once(oldest.as_mut()).is_pending());
    let mut elsewhere = Box::pin(arena.alloc_async(Shape::new(1).unwrap()));
    assert!(poll_once(elsewhere.as_mut()).is_pending());
    let [mut older, mut younger] = [(); 2].map(|()| Box::pin(pool.get_async()));
    assert!(poll_once(older.as_mut()).is_pending() && poll_once(younger.as_mut()).is_pending());
    drop(oldest);
    drop(item);
    assert_eq!((pool.stats().yielded, pool.stats().released), (0, 0));
    let Poll::Ready(Ok(item)) = poll_once(older.as_mut()) else { panic!("it is its turn") };
    assert_eq!((item.number, lives.made_and_ended()), (0, (1, 0)));
    // Who is left asks anew, and is not older than the other any more.
    assert!(poll_once(younger.as_mut()).is_pending());
    drop(item);
    let Poll::Ready(Ok(span)) = poll_once(elsewhere.as_mut()) else { panic!("it was starved") };
    assert_eq!((pool.stats().yielded, lives.made_and_ended()), (1, (1, 1)));
    arena.free(span).unwrap();
    assert_is!(poll_once(younger.as_mut()), Poll::Ready(Ok(_)));
    drop((older, younger, elsewhere));
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn a_page_that_is_partly_constructed_ends_what_there_is() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = smalls(1, &lives).build(arena.clone()).unwrap();
    let mut items: Vec<_> = (0..10).map(|_| pool.get().unwrap()).collect();
    let detached = Item::detach(items.swap_remove(3));
    Item::discard(items.swap_remove(6));
    drop(items);
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.idle), (0, 8, SMALLS));
    assert_eq!(lives.made_and_ended(), (10, 1));
    assert_eq!(pool.drain(), 1);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((10, 9), 0));
    assert_whole(&arena);
    let item = pool.get().unwrap();
    assert_eq!(item.number, 10, "in a page that comes again there is nothing");
    drop(detached);
    drop(item);
    drop(pool);
    assert_eq!(lives.made_and_ended(), (11, 11));
    assert_whole(&arena);
}

#[test]
fn hundreds_of_objects_a_page_are_destroyed_with_it() {
    const EACH: usize = 700;
    let (arena, lives) = (arena(64), Lives::default());
    let pool = smalls(3, &lives).items_per_page(EACH as u32).build(arena.clone()).unwrap();
    let mut items = pool.get_many(3 * EACH).unwrap();
    let numbers: HashSet<_> = items.iter().map(|item| item.number).collect();
    assert_eq!(numbers, (0..3 * EACH).collect(), "nobody has another's");
    // In no order at all.
    let mut mixed = Vec::new();
    while !items.is_empty() {
        mixed.push(items.swap_remove(items.len() / 3));
    }
    drop(mixed);
    assert_eq!(pool.stats().live, 3 * EACH);
    assert_eq!(pool.drain(), 3);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((3 * EACH, 3 * EACH), 0));
    assert_whole(&arena);
}

/// On a small stack: it goes round, and not down.
#[test]
fn thousands_of_pages_are_destroyed_at_once() {
    const PAGES: usize = 5000;
    fn all(ends: impl FnOnce(Pool<Block>) + Send) {
        let (arena, lives) = (arena(PAGES), Lives::default());
        let pool = blocks(PAGES as u32, &lives).build(arena.clone()).unwrap();
        drop(pool.get_many(PAGES).unwrap());
        assert_eq!(pool.stats().live, PAGES);
        thread::scope(|scope| {
            let small = thread::Builder::new().stack_size(192 << 10);
            small.spawn_scoped(scope, move || ends(pool)).unwrap();
        });
        assert_eq!(lives.made_and_ended(), (PAGES, PAGES));
        assert_whole(&arena);
    }
    all(drop);
    all(|pool| {
        pool.close();
        assert_eq!(pool.stats().pages, 0);
    });
    all(|pool| assert_eq!(pool.drain(), PAGES));
    all(|pool| pool.set_water(0, 0).unwrap());
    all(|pool| {
        pool.set_hard_limit(1).unwrap();
        assert_eq!(pool.stats().pages, 1);
    });
}

/// An object that looks at its pool when it is made, reset and destroyed.
struct Looks(Watch);

#[derive(Clone)]
struct Watch {
    pool: Arc<Mutex<Option<Pool<Looks>>>>,
    name: &'static str,
    looks: Arc<AtomicU32>,
}

impl Watch {
    /// Hangs if a lock is held.
    fn look(&self) {
        let pool = self.pool.lock().clone();
        if let Some(pool) = pool {
            let _ = (pool.stats(), pool.wait_histogram(), format!("{pool:?}"), pool.backend().stats());
        }
        let pools = pool::registered();
        assert!(pools.iter().any(|pool| pool.name.as_deref() == Some(self.name)), "it is there yet");
        self.looks.fetch_add(1, SeqCst);
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.look();
    }
}

#[test]
fn callers_code_runs_with_no_lock_held() {
    let arena = arena(4);
    let looks = Arc::new(AtomicU32::new(0));
    let watch = Watch { pool: Arc::default(), name: "that is looked at", looks: looks.clone() };
    let makes = watch.clone();
    let construct = move || {
        makes.look();
        Looks(makes.clone())
    };
    let builder = Pool::builder(4, construct).items_per_page(1).name(watch.name);
    let pool = builder.reset(|looks| looks.0.look()).build(arena.clone()).unwrap();
    *watch.pool.lock() = Some(pool.clone());
    let mut before = 0;
    let mut looked = |times: u32, when: &str| {
        let now = looks.load(SeqCst);
        assert_eq!(now - before, times, "{when}");
        before = now;
    };

    drop(pool.get_many(4).unwrap());
    looked(8, "made and reset");
    assert_eq!(pool.drain(), 4);
    looked(4, "drained");
    drop(pool.get_many(4).unwrap());
    looked(8, "made again");
    pool.set_hard_limit(3).unwrap();
    looked(1, "above the limit");
    pool.set_water(0, 2).unwrap();
    looked(1, "above high water");
    let attached = pool.attach(Looks(watch.clone())).unwrap();
    looked(1, "in whose place another was attached");
    drop(attached);
    looked(1, "reset");
    Item::discard(pool.get().unwrap());
    looked(1, "discarded");
    let other = Pool::builder(4, || [0_u8; QUANTUM]).build(arena.clone()).unwrap();
    let all = other.get_many(4).unwrap();
    looked(1, "reclaimed");
    assert_eq!(pool.stats().pages, 0);
    drop(all);
    drop(other);
    drop(pool.get_many(2).unwrap());
    looked(4, "and made again");
    *watch.pool.lock() = None;
    drop(pool);
    looked(2, "by the last handle");
    assert_whole(&arena);
}

// Destructors that panic.

/// A pool of four pages with an object in each, all idle, one of which will panic.
fn four_bombs(
    builder: Builder<Objects<BigBomb>>,
    arena: &Arena,
    armed: &Armed,
    number: usize,
) -> Pool<BigBomb> {
    let pool = builder.items_per_page(1).build(arena.clone()).unwrap();
    drop(pool.get_many(4).unwrap());
    armed.arm(number);
    pool
}

#[test]
fn a_destructor_that_panics_strands_nothing() {
    type Ends = fn(&Pool<BigBomb>);
    let ends: [(&str, u32, Ends); 4] = [
        ("drain", 0, |pool| _ = pool.drain()),
        ("close", 0, Pool::close),
        ("limit", 1, |pool| pool.set_hard_limit(1).unwrap()),
        ("water", 1, |pool| pool.set_water(0, 1).unwrap()),
    ];
    for (what, left, ends) in ends {
        for number in 0..4 {
            let (arena, lives, armed) = (arena(4), Lives::default(), Armed::default());
            let pool = four_bombs(bombs(4, &lives, &armed), &arena, &armed, number);
            let panicked = panics(|| ends(&pool));
            armed.arm(None);
            let stats = pool.stats();
            let held = (stats.pages, stats.idle, stats.out, stats.live);
            let kept = left as usize;
            assert_eq!(held, (left, kept, 0, kept), "{what}, {number} panics");
            assert_eq!(arena.stats().free, 4 - left, "{what}, {number} panics");
            assert_eq!(panicked, lives.0.lock()[number] == 1, "{what}: unless it is the one that stays");
            assert_eq!(lives.made_and_ended(), (4, 4 - kept), "{what}, {number} panics");
            drop(pool);
            assert_eq!(lives.made_and_ended(), (4, 4));
            assert_whole(&arena);
        }
    }
}

/// The first panic goes on when all are destroyed; a second one does not end the process.
#[test]
fn many_destructors_that_panic_at_once_strand_nothing() {
    struct Always(Object<{ QUANTUM - 16 }>);
    impl Drop for Always {
        fn drop(&mut self) {
            panic!("object {} panics", self.0.number);
        }
    }
    const MANY: usize = 40;
    let (arena, lives) = (arena(MANY), Lives::default());
    let makes = lives.clone();
    let pool = Pool::builder(MANY as u32, move || Always(makes.object())).build(arena.clone()).unwrap();
    drop(pool.get_many(MANY).unwrap());
    assert!(panics(|| pool.close()));
    assert_eq!((pool.stats().pages, pool.stats().live), (0, 0));
    assert_eq!(lives.made_and_ended(), (MANY, MANY));
    assert_whole(&arena);
}

#[test]
fn a_destructor_that_panics_as_the_last_handle_goes_strands_nothing() {
    for number in 0..4 {
        let (arena, lives, armed) = (arena(4), Lives::default(), Armed::default());
        let pool = four_bombs(bombs(4, &lives, &armed), &arena, &armed, number);
        assert!(panics(|| drop(pool)));
        assert_eq!(lives.made_and_ended(), (4, 4));
        assert_whole(&arena);
    }
}

#[test]
fn a_destructor_that_panics_strands_no_object_beside_it() {
    for number in [0, 1, 64, 126, 127] {
        let (arena, lives, armed) = (arena(2), Lives::default(), Armed::default());
        let pool = bombs::<8>(2, &lives, &armed).items_per_page(128).build(arena.clone()).unwrap();
        drop(pool.get_many(2 * 128).unwrap());
        armed.arm(number);
        assert!(panics(|| pool.drain()));
        assert_eq!(lives.made_and_ended(), (256, 256), "{number} panics");
        assert_eq!((pool.stats().pages, pool.stats().live), (0, 0));
        assert_whole(&arena);
    }
}

#[test]
fn a_destructor_that_panics_in_a_put_gives_the_page_back() {
    let (arena, lives, armed) = (arena(2), Lives::default(), Armed::default());
    let pool = bombs::<{ QUANTUM - 24 }>(2, &lives, &armed).high_water(0).build(arena.clone()).unwrap();
    for number in 0..3 {
        let item = pool.get().unwrap();
        assert_eq!(item.object.number, number);
        armed.arm(number);
        assert!(panics(|| drop(item)));
        assert_eq!((lives.made_and_ended(), pool.stats().pages), ((number + 1, number + 1), 0));
        assert_whole(&arena);
    }
    let owned = pool.get_owned().unwrap();
    armed.arm(3);
    drop(pool);
    assert!(panics(|| drop(owned)), "after the last handle");
    assert_eq!(lives.made_and_ended(), (4, 4));
    assert_whole(&arena);
}

#[test]
fn a_destructor_that_panics_serves_who_waits() {
    type Ends = fn(Item<'_, BigBomb>);
    let ends: [Ends; 2] = [|item| Item::discard(item), |item| drop(Item::detach(item))];
    for ends in ends {
        let (arena, lives, armed) = (arena(1), Lives::default(), Armed::default());
        let pool = bombs(1, &lives, &armed).build(arena.clone()).unwrap();
        let item = pool.get().unwrap();
        thread::scope(|scope| {
            let _close = CloseOnPanic(&pool);
            let waiter = scope.spawn(|| pool.get().unwrap().object.number);
            until_waiting(&pool, 1);
            armed.arm(0);
            assert!(panics(|| ends(item)));
            assert_eq!(waiter.join().unwrap(), 1);
        });
        let stats = pool.stats();
        assert_eq!((stats.out, stats.live, stats.idle), (0, 1, 1));
        drop(pool);
        assert_eq!(lives.made_and_ended(), (2, 2));
        assert_whole(&arena);
    }
}

/// It panics on the thread of the getter for whom the page is reclaimed, which has nothing
/// to do with it.
#[test]
fn a_destructor_that_panics_in_a_reclaim_strands_neither_pool() {
    for number in 0..4 {
        let (arena, lives, armed) = (arena(4), Lives::default(), Armed::default());
        let pool = four_bombs(bombs(4, &lives, &armed), &arena, &armed, number);
        let other = Pool::builder(1, || [0_u8; QUANTUM]).build(arena.clone()).unwrap();
        assert!(panics(|| other.get().is_ok()));
        assert_eq!((pool.stats().pages, lives.made_and_ended()), (0, (4, 4)));
        let stats = other.stats();
        assert_eq!((stats.out, stats.waiting, stats.growing), (0, 0, 0), "as if the get had not been");
        drop(other.get().unwrap());
        drop((pool, other));
        assert_whole(&arena);
    }
}

#[test]
fn a_destructor_that_panics_when_its_place_is_attached_to_gives_the_place_back() {
    let (arena, lives, armed) = (arena(1), Lives::default(), Armed::default());
    let pool = bombs::<{ QUANTUM - 24 }>(1, &lives, &armed).build(arena.clone()).unwrap();
    drop(pool.get().unwrap());
    let new = Bomb { object: lives.object(), armed: armed.clone() };
    armed.arm(0);
    assert!(panics(|| pool.attach(new).is_ok()));
    assert_eq!(lives.made_and_ended(), (2, 2), "neither is in it");
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.idle), (0, 0, 1));
    assert_eq!(pool.get().unwrap().object.number, 2);
    drop(pool);
    assert_whole(&arena);
}

/// The items that one getter has at once are put one by one.
#[test]
fn a_destructor_that_panics_strands_no_other_item_of_the_same_getter() {
    let (arena, lives, armed) = (arena(4), Lives::default(), Armed::default());
    let pool = bombs::<{ QUANTUM - 24 }>(4, &lives, &armed).high_water(0).build(arena.clone()).unwrap();
    let items = pool.get_many(4).unwrap();
    armed.arm(1);
    assert!(panics(|| drop(items)));
    assert_eq!((lives.made_and_ended(), pool.stats().out), ((4, 4), 0));
    assert_whole(&arena);
}

/// What a future was served in the last moment goes back, all of it, although one that goes back
/// has its page given up and panics.
#[test]
fn a_destructor_that_panics_strands_nothing_that_a_dropped_future_was_served() {
    for number in 0..3 {
        let (arena, lives, armed) = (arena(3), Lives::default(), Armed::default());
        let pool = bombs::<{ QUANTUM - 24 }>(3, &lives, &armed).bypass(0).build(arena.clone()).unwrap();
        let items = pool.get_many(3).unwrap();
        {
            let mut future = Box::pin(pool.request().reserve_async(3));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
            drop(items);
            assert_eq!(pool.stats().out, 3, "it was served, and does not know");
            pool.close();
            armed.arm(number);
            assert!(panics(|| drop(future)));
        }
        assert_eq!((lives.made_and_ended(), pool.stats().out), ((3, 3), 0), "{number} panics");
        drop(pool);
        assert_whole(&arena);
    }
}

// Places.

#[test]
fn small_objects_share_a_page_and_do_not_overlap() {
    let arena = arena(2);
    let pool = Pool::builder(1, || [0_u64; 3]).build(arena.clone()).unwrap();
    let each = u64::from(pool.stats().items_per_page);
    assert!(each > 1);
    let mut items: Vec<_> = (0..each).map(|_| pool.get().unwrap()).collect();
    for (n, item) in (0..).zip(&mut items) {
        **item = [n, n + 1, n];
    }
    for (n, item) in (0..).zip(&items) {
        assert_eq!(**item, [n, n + 1, n]);
    }
    drop(items);
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn objects_are_aligned_as_they_ask() {
    #[repr(align(64))]
    struct Line(u8);
    #[repr(align(16384))]
    struct Table(u8);
    fn all_aligned<T: Send + 'static>(arena: &Arena, object: fn() -> T, byte: fn(&T) -> u8, items: u32) {
        let pool = Pool::builder(2, object).items_per_page(items).build(arena.clone()).unwrap();
        let all = pool.get_many(2 * items as usize).unwrap();
        for item in &all {
            assert!((&raw const **item).is_aligned());
            assert_eq!(byte(item), 7);
        }
        drop(all);
        drop(pool);
        assert_whole(arena);
    }
    let arena = arena(64);
    for items in [1, 2, 3] {
        all_aligned(&arena, || Line(7), |line| line.0, items);
        all_aligned(&arena, || Table(7), |table| table.0, items);
        all_aligned(&arena, || 7_u128, |number| *number as u8, items);
        all_aligned(&arena, || [7_u8; 3], |three| three[2], items);
    }
}

#[test]
fn objects_of_size_zero_cannot_be_pooled() {
    #[repr(align(64))]
    struct Nothing;
    let arena = arena(1);
    let errors = [
        Pool::builder(1, || ()).build(arena.clone()).err(),
        Pool::builder(1, || Nothing).items_per_page(3).build(arena.clone()).err(),
        Pool::builder(1, || [0_u64; 0]).build(arena.clone()).err(),
    ];
    for error in errors {
        assert_is!(error.unwrap(), ConfigError::Items(why) if why.contains("size zero"));
    }
}

#[test]
fn a_pool_can_be_configured() {
    let arena = arena(16);
    let build = |low: u32| {
        let builder = Pool::builder(3, || [0_u8; 100]).items_per_page(2).low_water(low).high_water(2);
        builder.bypass(0).build(arena.clone())
    };
    assert_eq!(build(3).err(), Some(ConfigError::Water { low: 3, high: 2, limit: 3 }));
    let pool = build(1).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.items_per_page, stats.low_water, stats.high_water, stats.hard_limit), (2, 1, 2, 3));
    assert_eq!(pool.prime(1).unwrap(), 1);
    assert!(format!("{pool:?}").starts_with("pool of 100-byte items, 2 a page: 1 of 3 pages"), "{pool:?}");
    drop(pool);
    assert_whole(&arena);
    let builder = format!("{:?}", Pool::builder(3, String::new));
    assert!(builder.contains("objects of type alloc::string::String"), "{builder}");
}

// Guards.

#[test]
fn a_panic_with_an_item_in_hand_puts_it_back() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    assert!(panics(|| {
        let item = pool.get().unwrap();
        panic!("with {} in hand", item.number);
    }));
    assert_eq!((pool.stats().out, lives.made_and_ended()), (0, (1, 0)));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

/// Each object is got by one thread and put by another.
#[test]
fn guards_go_to_other_threads() {
    const GETS: u32 = 200;
    let (arena, lives) = (arena(2), Lives::default());
    let pool = blocks(2, &lives).build(arena.clone()).unwrap();
    thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let pool = &pool;
        scope.spawn(move || {
            for n in 0..GETS {
                let mut item = pool.get().unwrap();
                item.bytes[..4].copy_from_slice(&n.to_ne_bytes());
                send.send(item).unwrap();
            }
        });
        scope.spawn(move || {
            for (n, item) in (0_u32..).zip(receive) {
                assert_eq!(item.bytes[..4], n.to_ne_bytes());
            }
        });
    });
    let stats = pool.stats();
    assert_eq!((stats.out, stats.gets, stats.puts), (0, u64::from(GETS), u64::from(GETS)));
    let (made, ended) = lives.made_and_ended();
    assert!(made <= 2 && ended == 0, "{made} made, {ended} ended");
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn an_owned_guard_outlives_the_last_handle() {
    let (arena, lives) = (arena(2), Lives::default());
    let pool = blocks(2, &lives).build(arena.clone()).unwrap();
    let mut items = [pool.get_owned().unwrap(), pool.get_owned().unwrap()];
    drop(pool);
    assert_eq!((lives.made_and_ended(), arena.stats().free), ((2, 0), 0));
    items[0].bytes[0] = 1;
    let [one, other] = items;
    let there = thread::spawn(move || {
        assert_eq!(one.bytes[0], 1);
        drop(one);
    });
    there.join().unwrap();
    assert_eq!((lives.made_and_ended(), arena.stats().free), ((2, 1), 1), "destroyed, and its page back");
    drop(other);
    assert_eq!(lives.made_and_ended(), (2, 2));
    assert_whole(&arena);
}

#[test]
fn an_owned_guard_goes_back_to_a_pool_that_is_open() {
    type Gets = fn(&Pool<Block>) -> OwnedItem<Block>;
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let guards: [Gets; 3] = [
        |pool| pool.get_owned().unwrap(),
        |pool| pool.request().try_get_owned().unwrap(),
        |pool| wait_for(pool.get_owned_async()).unwrap(),
    ];
    for get in guards {
        let item = get(&pool);
        assert_eq!((item.number, pool.stats().out), (0, 1));
        drop(item);
        assert_eq!((pool.stats().out, pool.stats().live), (0, 1));
    }
    drop(pool);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

#[test]
fn an_owned_future_does_not_keep_the_pool_open() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let item = pool.get_owned().unwrap();
    let mut waits = Box::pin(pool.get_owned_async());
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    let comes_later = pool.get_owned_async();
    drop(pool);
    assert_is!(wait_for(waits), Err(GetError::Closed));
    assert_is!(wait_for(comes_later), Err(GetError::Closed));
    drop(item);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}

#[test]
fn what_is_detached_is_the_callers_and_its_place_goes_back_empty() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let mut item = pool.get().unwrap();
    item.bytes[1] = 1;
    let first = Item::detach(item);
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.idle, stats.puts, stats.leaked), (0, 0, 1, 1, 0));
    let second = OwnedItem::detach(pool.get_owned().unwrap());
    assert_eq!((first.number, first.bytes[1], second.number), (0, 1, 1));
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((2, 0), 0));
    assert_eq!(pool.drain(), 1);
    assert_whole(&arena);
    let third = pool.get_owned().unwrap();
    drop(pool);
    let third = OwnedItem::detach(third);
    assert_whole(&arena);
    assert_eq!((third.number, lives.made_and_ended()), (2, (3, 0)), "nobody else ends them");
    drop((first, second, third));
    assert_eq!(lives.made_and_ended(), (3, 3));
}

#[test]
fn a_detach_serves_who_waits() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let detached = thread::scope(|scope| {
        let _close = CloseOnPanic(&pool);
        let waiter = scope.spawn(|| pool.get().unwrap().number);
        until_waiting(&pool, 1);
        let detached = Item::detach(item);
        assert_eq!(waiter.join().unwrap(), 1);
        detached
    });
    assert_eq!((detached.number, lives.made_and_ended()), (0, (2, 0)));
    drop(pool);
    assert_whole(&arena);
}

#[test]
fn what_is_discarded_is_destroyed_and_its_place_goes_back_empty() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    Item::discard(pool.get().unwrap());
    assert_eq!(lives.made_and_ended(), (1, 1));
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.idle, stats.puts), (0, 0, 1, 1));
    OwnedItem::discard(pool.get_owned().unwrap());
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((2, 2), 0));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (2, 2));
    assert_whole(&arena);
}

#[test]
fn what_is_leaked_stays_out_and_keeps_its_page() {
    let (arena, lives) = (arena(2), Lives::default());
    let pool = blocks(2, &lives).build(arena.clone()).unwrap();
    let leaked = Item::leak(pool.get().unwrap());
    leaked.bytes[0] = 1;
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.leaked, stats.pages), (1, 1, 1, 1));
    assert_is!(pool.request().timeout(Duration::ZERO).get_many(2), Err(GetError::TimedOut(Awaited::Put)));
    drop(pool.get().unwrap());
    assert_eq!((leaked.bytes[0], pool.stats().leaked), (1, 1));
    drop(pool);
    assert_eq!(lives.made_and_ended(), (2, 1), "the other one");
    assert_eq!(arena.stats().free, 1, "its page stays with the pool, which is gone");
}

#[test]
fn what_is_leaked_by_an_owned_guard_outlives_the_pool_and_the_arena() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena).unwrap();
    let leaked: &'static mut Block = OwnedItem::leak(pool.get_owned().unwrap());
    assert_eq!((pool.stats().out, pool.stats().leaked), (1, 1));
    drop(pool);
    leaked.bytes.fill(1);
    assert_eq!((leaked.number, leaked.bytes[QUANTUM - 17]), (0, 1));
    assert_eq!(lives.made_and_ended(), (1, 0));
}

#[test]
fn what_is_attached_is_out_and_comes_back() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).build(arena.clone()).unwrap();
    let stranger = lives.object();
    let item = pool.attach(stranger).unwrap();
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.gets, stats.pages), (1, 1, 1, 1));
    drop(item);
    assert_eq!(pool.get().unwrap().number, 0, "it is kept like any other");
    assert_eq!(lives.made_and_ended(), (1, 0), "and nothing else was constructed");
    let item = pool.attach(lives.object()).unwrap();
    assert_eq!(item.number, 1);
    assert_eq!((lives.made_and_ended(), pool.stats().live), ((2, 1), 1), "in the place of the idle one");
    drop(item);
    drop(pool);
    assert_eq!(lives.made_and_ended(), (2, 2));
    assert_whole(&arena);
}

#[test]
fn what_cannot_be_attached_comes_back_and_says_why() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(2, &lives).build(arena.clone()).unwrap();
    let item = pool.get().unwrap();
    let error = pool.attach(lives.object()).unwrap_err();
    assert_is!(&error.error, TryGetError::Scarce);
    assert!(error.to_string().starts_with("the object was not attached: every item is out"), "{error}");
    assert!(error.source().unwrap().is::<TryGetError<AllocError>>());
    assert!(!format!("{error:?}").contains("Object"), "the object need not be `Debug`");
    pool.set_hard_limit(1).unwrap();
    let error = pool.attach(error.object).unwrap_err();
    assert_is!(&error.error, TryGetError::Exhausted);
    pool.close();
    let error = pool.attach(error.object).unwrap_err();
    assert_is!(&error.error, TryGetError::Closed);
    assert_eq!((error.object.number, lives.made_and_ended()), (1, (2, 0)));
    let failures = pool.stats().failures;
    assert_eq!((failures.scarce, failures.exhausted), (1, 1));
    drop(item);
    assert_eq!(lives.made_and_ended(), (2, 1));
    drop(error);
    assert_eq!(lives.made_and_ended(), (2, 2));
    assert_whole(&arena);
}

/// Everything that both guards pass on, generically: no `Deref` helps.
fn passes_on<G>(one: G, mut same: G, greater: G)
where
    G: AsRef<String> + AsMut<String> + Borrow<String> + BorrowMut<String> + Display + std::fmt::Debug,
    G: Ord + std::hash::Hash,
{
    assert_eq!((one.to_string(), format!("{one:?}")), ("b".to_owned(), "\"b\"".to_owned()));
    assert_eq!((format!("{one:>3}"), format!("{one:#?}")), ("  b".to_owned(), "\"b\"".to_owned()));
    assert_eq!((one.as_ref(), Borrow::<String>::borrow(&one)), (&"b".to_owned(), &"b".to_owned()));
    assert!(one == same && one != greater && one < greater && one.cmp(&greater).is_lt());
    same.as_mut().push('1');
    BorrowMut::<String>::borrow_mut(&mut same).push('2');
    let mut names = HashSet::from([same, greater]);
    let [b, b12, c] = ["b", "b12", "c"].map(str::to_owned);
    assert!(names.contains(&b12) && !names.contains(&b));
    let found = names.take(&b12).unwrap();
    assert!(names.insert(found) && names.len() == 2);
    let sorted: BTreeSet<G> = names.into_iter().collect();
    assert_eq!(sorted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b12", "c"]);
    assert!(sorted.contains(&c));
}

#[test]
fn guards_pass_on_what_can_be_asked_of_an_object() {
    let pool = Pool::builder(1, String::new).build(arena(1)).unwrap();
    let with = |text: &str| {
        let mut item = pool.get().unwrap();
        item.push_str(text);
        item
    };
    passes_on(with("b"), with("b"), with("c"));
    let pool = Pool::builder(1, String::new).build(arena(1)).unwrap();
    let with = |text: &str| {
        let mut item = pool.get_owned().unwrap();
        item.push_str(text);
        item
    };
    passes_on(with("b"), with("b"), with("c"));
}

#[test]
fn guards_are_ordered_only_as_far_as_their_objects_are() {
    let pool = Pool::builder(1, || f64::NAN).build(arena(1)).unwrap();
    let (one, other) = (pool.get().unwrap(), pool.get().unwrap());
    assert!(one != other && one.partial_cmp(&other).is_none());
}

#[test]
fn a_clone_is_the_same_pool_and_the_last_one_closes_it() {
    let (arena, lives) = (arena(1), Lives::default());
    let pool = blocks(1, &lives).name("of which there is one").build(arena.clone()).unwrap();
    let clone = pool.clone();
    assert_eq!(clone.name(), Some("of which there is one"));
    drop(pool.get().unwrap());
    let item = clone.get().unwrap();
    assert_eq!((item.number, pool.stats(), clone.stats().out), (0, clone.stats(), 1));
    drop(item);
    let there = thread::spawn(move || drop(clone));
    there.join().unwrap();
    assert!(!pool.is_closed());
    let owned = pool.get_owned().unwrap();
    let waits = Box::pin(pool.get_owned_async());
    drop(pool);
    assert_is!(wait_for(waits), Err(GetError::Closed));
    drop(owned);
    assert_eq!(lives.made_and_ended(), (1, 1));
    assert_whole(&arena);
}
