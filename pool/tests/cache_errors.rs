//! Bad puts where items are cached: each is told from a good one, and nothing is changed by it. And what
//! moves meanwhile: limits, and pages.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::thread;

use pool::{PutError, RawPool};

#[macro_use]
mod support;

use support::worker::Worker;
use support::{QUANTUM, arena, assert_adds_up, assert_rests, get_and_put_raw, put, put_all};

const SIZE: usize = 64;
const ITEMS: usize = QUANTUM / SIZE;
const ROUNDS: usize = 4;
const ALL: usize = 4 * ROUNDS;

/// An item, on its way to another thread.
#[derive(Clone, Copy, Debug)]
struct Sent(NonNull<u8>);

// SAFETY: no test reads or writes an item.
unsafe impl Send for Sent {}

impl Sent {
    fn get(self) -> NonNull<u8> {
        self.0
    }
}

fn pool_of(pages: u32, memory: &kva::Arena) -> RawPool {
    let builder = RawPool::builder(Layout::from_size_align(SIZE, SIZE).unwrap(), pages);
    builder.items_per_page(ITEMS as u32).magazine_rounds(ROUNDS).build(memory.clone()).unwrap()
}

fn double(item: NonNull<u8>) -> Result<(), PutError> {
    Err(PutError::DoublePut(item.addr().get()))
}

/// Puts what is no item that is out, in the ways there are.
fn assert_refused(pool: &RawPool, item: NonNull<u8>, expected: Result<(), PutError>) {
    let before = pool.stats();
    assert_eq!(put(pool, item), expected);
    let local = pool.local();
    // SAFETY: nobody uses it.
    assert_eq!(unsafe { local.put(item) }, expected, "by a handle");
    assert_eq!(pool.stats(), before, "nothing was changed");
}

#[test]
fn a_double_put_of_a_cached_item() {
    let pool = &pool_of(1, &arena(1));
    thread::scope(|scope| {
        let (one, other) = (Worker::new(scope), Worker::new(scope));
        let everywhere = move |item: Sent, sweeps: u64| {
            assert_eq!(pool.stats().sweeps, sweeps);
            assert_refused(pool, item.get(), double(item.get()));
        };
        // In the caches of this thread and of another, loaded and not, and in the depot.
        let items: Vec<_> = (0..ALL).map(|_| pool.get().unwrap()).collect();
        put_all(pool, items.iter().copied());
        assert_eq!(pool.stats().cached, ALL);
        let sent: Vec<_> = items.into_iter().map(Sent).collect();
        for item in &sent {
            let item = *item;
            everywhere(item, 0);
            one.run(move || everywhere(item, 0));
        }
        // By whoever got it last, of those through whose hands it went.
        let item = Sent(pool.get().unwrap());
        one.run(move || {
            drop(pool.local());
            put(pool, item.get()).unwrap();
            everywhere(item, 0);
        });
        other.run(move || everywhere(item, 0));
        everywhere(item, 0);
        // And where it was taken back: all of it is idle now.
        put_all(pool, pool.get_many(ITEMS).unwrap());
        assert_eq!(pool.stats().cached, 0);
        for item in sent {
            everywhere(item, 1);
            other.run(move || everywhere(item, 1));
        }
    });
    let all: BTreeSet<_> = (0..ITEMS).map(|_| pool.get().unwrap()).collect();
    assert_eq!(all.len(), ITEMS, "each is there once");
    put_all(pool, all);
    assert_adds_up(pool, 0);
}

#[test]
fn a_pointer_that_is_no_item() {
    let memory = arena(2);
    let (pool, other) = (pool_of(1, &memory), pool_of(1, &memory));
    get_and_put_raw(&pool, ALL);
    let (item, foreign) = (pool.get().unwrap(), other.get().unwrap());
    let nowhere = NonNull::from(&memory).cast::<u8>();
    for ptr in [foreign, nowhere, NonNull::without_provenance(1.try_into().unwrap())] {
        assert_refused(&pool, ptr, Err(PutError::Foreign(ptr.addr().get())));
    }
    for offset in [1, SIZE - 1, SIZE / 2] {
        let ptr = item.map_addr(|addr| addr.checked_add(offset).unwrap());
        let pointer = ptr.addr().get();
        assert_refused(&pool, ptr, Err(PutError::NotAnItem { pointer, offset }));
    }
    put(&pool, item).unwrap();
    put(&other, foreign).unwrap();
    assert_eq!((pool.stats().cached, other.stats().cached), (ALL, 1));
}

/// A page that went, and one that came to the same place: what was of the first is not of the second.
#[test]
fn items_of_a_page_that_went() {
    let memory = arena(1);
    let pool = pool_of(1, &memory);
    let items: Vec<_> = (0..ALL).map(|_| pool.get().unwrap()).collect();
    put_all(&pool, items.iter().copied());
    assert_eq!(pool.drain(), 1);
    for item in &items {
        assert_refused(&pool, *item, Err(PutError::Foreign(item.addr().get())));
    }
    let item = pool.get().unwrap();
    assert!(items.contains(&item), "there is one place only");
    for other in items.iter().filter(|other| **other != item) {
        assert_refused(&pool, *other, double(*other));
    }
    put(&pool, item).unwrap();
    assert_rests(&pool, &memory);
}

/// The tables have a second segment then, and a third.
#[test]
fn a_limit_that_is_raised_and_lowered() {
    let memory = arena(64);
    let pool = pool_of(1, &memory);
    let mut all = BTreeSet::new();
    for pages in [2, 5, 40] {
        pool.set_hard_limit(pages).unwrap();
        while all.len() < pages as usize * ITEMS {
            assert!(all.insert(pool.get().unwrap()), "it was lent twice");
        }
        assert!(pool.try_get().is_err());
        for item in &all {
            put(&pool, *item).unwrap();
            assert_refused(&pool, *item, double(*item));
            assert!(all.contains(&pool.get().unwrap()));
            assert_adds_up(&pool, all.len());
        }
    }
    pool.set_hard_limit(1).unwrap();
    let in_use = all.len();
    for (at, item) in all.into_iter().enumerate() {
        put(&pool, item).unwrap();
        assert_eq!(pool.stats().out, in_use - at - 1);
        let again = put(&pool, item).unwrap_err();
        let address = item.addr().get();
        assert!([PutError::DoublePut(address), PutError::Foreign(address)].contains(&again), "{again:?}");
    }
    assert_eq!((pool.stats().pages, pool.stats().idle), (1, ITEMS));
    pool.set_hard_limit(64).unwrap();
    get_and_put_raw(&pool, 64 * ITEMS);
    assert_rests(&pool, &memory);
}

/// Pages come and go beside items that threads get and put without the lock, which find theirs all
/// the same.
#[test]
fn pages_that_come_and_go_beside_cached_items() {
    const PAGES: u32 = 8;
    let memory = arena(PAGES as usize);
    let pool = pool_of(PAGES, &memory);
    thread::scope(|scope| {
        for number in 0..3_usize {
            let pool = &pool;
            scope.spawn(move || {
                let _closes = support::CloseOnPanic(pool);
                for step in 0..300 {
                    let items = 1 + (step * (number + 3)) % (2 * ITEMS);
                    get_and_put_raw(pool, items);
                    if step % 7 == number {
                        pool.drain();
                    }
                    if step % 50 == number {
                        pool.set_hard_limit(PAGES - (step as u32 / 50) % 2).unwrap();
                    }
                }
            });
        }
    });
    assert!(pool.stats().released > 0);
    assert_rests(&pool, &memory);
}
