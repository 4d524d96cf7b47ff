//! P7: after construction and a warm-up, `get`, `put` and waiting allocate nothing, on
//! any thread. A test binary of its own, since it counts what the whole process does.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::io::{BufRead, IoSlice, Read, Seek, SeekFrom, Write};
use std::pin::pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use kva::sync::{Arc, Mutex};
use kva::{Arena, NEVER, Region, Reserve, Shape};
use pool::pieces::PieceBuf;
use pool::{Awaited, GetError, RawPool, TryGetError};

#[path = "support/heap.rs"]
mod heap;

use heap::{Allocated, allocated};

const QUANTUM: usize = 4096;

fn put(pool: &RawPool, item: NonNull<u8>) {
    // SAFETY: the test does not use an item after it put it.
    unsafe { pool.put(item) }.unwrap();
}

/// What the other thread is told to do.
const NOTHING: u32 = 0;
const VISIT: u32 = 1;
const TIME_OUT: u32 = 2;
const LOCK: u32 = 3;
const MANY: u32 = 4;
const PIECES: u32 = 5;
const STOP: u32 = 6;
/// Said by the other thread when it panics.
const BROKEN: u32 = 7;

/// The two threads' meeting place, all of it allocated before.
struct World {
    pool: RawPool,
    order: AtomicU32,
    /// The address of the item that the other thread was served.
    served: AtomicUsize,
    contended: Mutex<()>,
}

impl World {
    fn tell(&self, order: u32) {
        self.order.store(order, SeqCst);
    }

    fn until_done(&self) {
        while !self.is_done() {
            thread::yield_now();
        }
    }

    fn is_done(&self) -> bool {
        let order = self.order.load(SeqCst);
        assert_ne!(order, BROKEN, "the other thread panicked");
        order == NOTHING
    }

    /// The other thread: no channel and no condition variable, which might allocate.
    fn serve(&self) {
        loop {
            match self.order.load(SeqCst) {
                NOTHING => {
                    thread::yield_now();
                    continue;
                }
                VISIT => {
                    let item = self.pool.get().unwrap();
                    self.served.store(item.addr().get(), SeqCst);
                    put(&self.pool, item);
                }
                MANY => {
                    let items = self.pool.get_many(2).unwrap();
                    self.served.store(items[1].addr().get(), SeqCst);
                    for item in items {
                        put(&self.pool, item);
                    }
                }
                PIECES => fill_pieces(&self.pool, &self.served),
                TIME_OUT => {
                    let late = self.pool.get_timeout(Duration::from_millis(1));
                    assert!(matches!(late, Err(GetError::TimedOut(Awaited::Page))));
                }
                LOCK => drop(self.contended.lock()),
                _ => return,
            }
            self.order.store(NOTHING, SeqCst);
        }
    }

    /// Has the other thread get, and returns once it waits.
    fn until_it_waits(&self, order: u32) {
        self.served.store(0, SeqCst);
        self.tell(order);
        while self.pool.stats().waiting == 0 {
            assert!(!self.is_done(), "it did not wait");
            thread::yield_now();
        }
        // So that it is likelier to be really asleep, and not just about to be.
        thread::sleep(Duration::from_micros(200));
        assert_eq!(self.served.load(SeqCst), 0);
    }
}

/// Tells this thread if the other panics.
struct Broken<'a>(&'a World);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.tell(BROKEN);
        }
    }
}

/// Everything once. Two pages are the arena's, and the pool may hold three.
fn scenario(world: &World, arena: &Arena) {
    let pool = &world.pool;
    // Get and put, with pages that come and go.
    for _ in 0..20 {
        let (one, two) = (pool.get().unwrap(), pool.try_get().unwrap());
        assert!(matches!(pool.try_get(), Err(TryGetError::Scarce)));
        put(pool, one);
        put(pool, two);
        assert_eq!(pool.drain(), 2);
    }

    // Wait for the arena, and be served by a put: the request is withdrawn.
    let (one, two) = (pool.get().unwrap(), pool.get().unwrap());
    world.until_it_waits(VISIT);
    while arena.clock().oldest() == NEVER {
        thread::yield_now();
    }
    put(pool, one);
    world.until_done();
    assert_eq!(world.served.load(SeqCst), one.addr().get());

    // Wait at the hard limit, and be served by a put.
    let one = pool.get().unwrap();
    pool.set_hard_limit(2).unwrap();
    world.until_it_waits(VISIT);
    put(pool, two);
    world.until_done();
    assert_eq!(world.served.load(SeqCst), two.addr().get());
    pool.set_hard_limit(3).unwrap();

    // Wait, and be served by what somebody else gives back to the arena.
    pool.drain();
    let others = arena.try_alloc(Shape::new(1).unwrap()).unwrap();
    world.until_it_waits(VISIT);
    while arena.clock().oldest() == NEVER {
        thread::yield_now();
    }
    arena.free(others).unwrap();
    world.until_done();
    assert_ne!(world.served.load(SeqCst), one.addr().get(), "nobody put");

    // Wait in vain.
    let two = pool.get().unwrap();
    world.tell(TIME_OUT);
    world.until_done();

    put(pool, one);
    put(pool, two);
    assert_eq!(pool.drain(), 2);
    as_a_task(pool);
}

/// A task waits, and is served or dropped.
fn as_a_task(pool: &RawPool) {
    let (one, two) = (pool.get().unwrap(), pool.get().unwrap());
    let mut context = Context::from_waker(Waker::noop());
    let mut getter = pin!(pool.get_async());
    let mut dropped = pin!(Some(pool.request().critical().timeout(Duration::MAX).get_async()));
    assert!(matches!(getter.as_mut().poll(&mut context), Poll::Pending));
    let next = dropped.as_mut().as_pin_mut().unwrap();
    assert!(matches!(next.poll(&mut context), Poll::Pending));
    put(pool, one);
    assert!(matches!(getter.as_mut().poll(&mut context), Poll::Ready(Ok(item)) if item == one));
    dropped.set(None);
    let late = pin!(pool.request().timeout(Duration::ZERO).get_async());
    let late = late.poll(&mut context);
    assert!(matches!(late, Poll::Ready(Err(GetError::TimedOut(Awaited::Page)))));
    put(pool, one);
    put(pool, two);
    assert_eq!(pool.drain(), 2);
}

/// Waits for two pieces, and does with them what there is to do.
fn fill_pieces(pool: &RawPool, served: &AtomicUsize) {
    let mut buf = PieceBuf::with_capacity(pool, QUANTUM + 1).unwrap();
    served.store(buf.pieces(), SeqCst);
    buf.write_all(&[7; 100]).unwrap();
    buf.seek(SeekFrom::Start(2 * QUANTUM as u64 - 1)).unwrap();
    assert_eq!(buf.write_vectored(&[IoSlice::new(b"0"), IoSlice::new(b"1")]).unwrap(), 1);
    buf.truncate(QUANTUM + 4);
    assert_eq!(buf.spare_io_slices_mut(8).map(|slice| slice.len()).sum::<usize>(), 8);
    buf.commit(3);
    buf.rewind().unwrap();
    let mut byte = [0];
    assert_eq!((buf.read(&mut byte).unwrap(), buf.fill_buf().unwrap().len()), (1, QUANTUM - 1));
    assert_eq!((byte, buf.io_slices().count()), ([7], 2));
    let mut rest = buf.into_buf();
    rest.consume(QUANTUM);
    assert_eq!((rest.pieces(), rest.remaining()), (1, 6));
}

/// The other thread waits for two items, with a list that it made before; they come one by one.
fn several(world: &World, order: u32) -> Allocated {
    let pool = &world.pool;
    let (one, two) = (pool.get().unwrap(), pool.get().unwrap());
    world.until_it_waits(order);
    let found = allocated(|| {
        put(pool, one);
        put(pool, two);
        world.until_done();
    });
    assert_ne!(world.served.load(SeqCst), 0);
    assert_eq!(pool.drain(), 2);
    found
}

#[test]
fn get_put_and_waiting_allocate_nothing() {
    heap::assert_counts();
    let arena = Arena::new(Region::reserve(2 * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap();
    let block = Layout::from_size_align(QUANTUM, 8).unwrap();
    let pool = RawPool::builder(block, 3).build(arena.clone()).unwrap();
    let world = Arc::new(World {
        pool,
        order: AtomicU32::new(NOTHING),
        served: AtomicUsize::new(0),
        contended: Mutex::new(()),
    });
    let other = {
        let world = world.clone();
        thread::spawn(move || Broken(&world).0.serve())
    };

    // The warm-up: what a thread allocates once for its first wait, and the first time
    // that it sleeps for a lock.
    for _ in 0..5 {
        let held = world.contended.lock();
        world.tell(LOCK);
        thread::sleep(Duration::from_millis(5));
        drop(held);
        world.until_done();
    }
    assert!(world.pool.get_timeout(Duration::ZERO).is_ok_and(|item| {
        put(&world.pool, item);
        true
    }));
    let all = arena.try_alloc(Shape::new(1).unwrap()).unwrap();
    let one = world.pool.get().unwrap();
    assert!(world.pool.get_timeout(Duration::from_micros(1)).is_err());
    put(&world.pool, one);
    arena.free(all).unwrap();
    for _ in 0..5 {
        scenario(&world, &arena);
    }

    for round in 0..20 {
        let found = allocated(|| scenario(&world, &arena));
        assert_eq!(found.count, 0, "round {round}: {found:?}");
    }

    for round in 0..20 {
        for (order, what) in [(MANY, "several"), (PIECES, "pieces")] {
            let found = several(&world, order);
            assert_eq!(found.count, 0, "{what}, round {round}: {found:?}");
        }
    }

    world.tell(STOP);
    other.join().unwrap();
    let stats = world.pool.stats();
    assert_eq!((stats.out, stats.pages, stats.growing, stats.waiting), (0, 0, 0, 0));
    assert!(stats.withdrawn > 0 && stats.refused == 0);
    assert_eq!((arena.stats().free, arena.stats().waiting), (2, 0));
}
