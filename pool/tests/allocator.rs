//! Collections in a pool.

#![cfg(all(not(loom), feature = "allocator-api2"))]

use std::alloc::Layout;
use std::task::Poll;
use std::thread;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use kva::Arena;
use pool::RawPool;
use proptest::prelude::*;
use static_assertions::assert_impl_all;

#[macro_use]
mod support;
use support::*;

assert_impl_all!(Box<Block, RawPool>: Send, Sync);

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Items of `item`, `items` to a page.
fn pool_of(item: Layout, items: u32, hard_limit: u32, arena: &Arena) -> RawPool {
    RawPool::builder(item, hard_limit).items_per_page(items).build(arena.clone()).unwrap()
}

#[test]
fn boxes_are_as_many_as_the_limit_allows() {
    let arena = arena(4);
    let pool = pool_of(Layout::new::<[u64; 128]>(), 4, 2, &arena);
    let mut boxes: std::vec::Vec<_> =
        (0..8_u64).map(|n| Box::try_new_in([n; 128], pool.clone()).unwrap()).collect();
    assert!(Box::try_new_in(8_u8, pool.clone()).is_err());
    assert!(boxes.iter().zip(0..).all(|(boxed, n)| **boxed == [n; 128]));
    boxes.swap_remove(3);
    boxes.push(Box::try_new_in([3; 128], pool.clone()).unwrap());
    assert_eq!((pool.stats().out, pool.stats().pages), (8, 2));
    drop(boxes);
    assert_rests(&pool, &arena);
}

#[test]
fn a_box_that_is_dropped_serves_who_waits() {
    let arena = arena(1);
    let pool = pool_of(layout(QUANTUM, 8), 1, 1, &arena);
    let boxed = Box::try_new_in([1_u8; QUANTUM], pool.clone()).unwrap();
    thread::scope(|scope| {
        let _closes = CloseOnPanic(&pool);
        let getter = scope.spawn(|| visit(&pool).unwrap());
        until_waiting(&pool, 1);
        let start = boxed.as_ptr().addr();
        drop(boxed);
        assert_eq!(getter.join().unwrap(), start);
    });
    assert_rests(&pool, &arena);
}

#[test]
fn a_vec_grows_in_its_item_and_no_further() {
    let arena = arena(2);
    let pool = pool_of(layout(512, 8), 2, 1, &arena);
    let mut bytes = Vec::new_in(&pool);
    bytes.try_reserve(1).unwrap();
    let start = bytes.as_ptr();
    while bytes.try_reserve(1).is_ok() {
        bytes.push(bytes.len() as u8);
    }
    assert_eq!((bytes.len(), bytes.as_ptr(), pool.stats().out), (512, start, 1));
    assert!(bytes.iter().zip(0..).all(|(byte, n)| usize::from(*byte) == n % 256));
    bytes.truncate(10);
    bytes.shrink_to_fit();
    assert_eq!((bytes.capacity(), bytes.as_ptr(), pool.stats().out), (10, start, 1));
    bytes.clear();
    bytes.shrink_to_fit();
    assert_eq!(pool.stats().out, 0, "an empty one has no item");
    bytes.extend_from_slice(b"again");
    drop(bytes);
    assert_rests(&pool, &arena);
}

#[test]
fn an_item_serves_what_fits_in_it() {
    let arena = arena(64);
    let page = RawPool::builder(layout(3 * QUANTUM, 8), 2).build(arena.clone()).unwrap();
    let lines = pool_of(layout(192, 64), 4, 2, &arena);
    for (pool, item) in [(&page, layout(3 * QUANTUM, 8)), (&lines, layout(192, 64))] {
        assert_eq!(pool.item_layout(), item);
        let (size, align) = (item.size(), item.align());
        for good in [layout(1, 1), item, layout(1, align), layout(size, 1)] {
            let block = pool.allocate(good).unwrap();
            assert_eq!(block.len(), size);
            assert!(block.cast::<u8>().addr().get().is_multiple_of(good.align()));
            // SAFETY: it is ours, and this layout fits it.
            unsafe { pool.clone().deallocate(block.cast(), layout(size, good.align())) };
        }
        for bad in [layout(size + 1, 1), layout(1, 2 * align)] {
            pool.allocate(bad).unwrap_err();
        }
        let block = pool.allocate(layout(1, 1)).unwrap();
        // SAFETY: the block is ours, and so long.
        unsafe { block.cast::<u8>().write_bytes(1, size) };
        // SAFETY: it is ours, and these are its layouts; and so on.
        unsafe { pool.grow(block.cast(), layout(1, 1), layout(size + 1, 1)) }.unwrap_err();
        // SAFETY: as above.
        unsafe { pool.shrink(block.cast(), layout(1, 1), layout(1, 2 * align)) }.unwrap_err();
        // SAFETY: as above.
        let same = unsafe { pool.grow_zeroed(block.cast(), layout(1, 1), item) }.unwrap();
        assert_eq!(same, block);
        // SAFETY: all of it was written, and it is ours.
        let bytes = unsafe { same.as_ref() };
        assert!(bytes[0] == 1 && bytes[1..].iter().all(|byte| *byte == 0));
        // SAFETY: as above.
        unsafe { pool.deallocate(same.cast(), item) };
        assert_rests(pool, &arena);
    }
}

#[test]
fn blocks_of_nothing_are_no_items() {
    let arena = arena(1);
    let pool = pool_of(layout(64, 8), 1, 1, &arena);
    let (nothing, some) = (layout(0, 4096), layout(8, 8));
    let empty = pool.allocate(nothing).unwrap();
    assert_eq!((empty.len(), empty.cast::<u8>().addr().get() % 4096, pool.stats().out), (0, 0, 0));
    // SAFETY: it is ours, and this is its layout; and so on.
    let block = unsafe { pool.grow(empty.cast(), nothing, some) }.unwrap();
    assert_eq!(pool.stats().out, 1);
    // SAFETY: as above.
    let empty = unsafe { pool.shrink(block.cast(), some, nothing) }.unwrap();
    assert_eq!((empty.len(), pool.stats().out), (0, 0));
    // SAFETY: as above.
    unsafe { pool.deallocate(empty.cast(), nothing) };
    assert_rests(&pool, &arena);
}

#[test]
fn a_collection_keeps_the_pool_open_but_not_against_a_close() {
    let arena = arena(1);
    let pool = pool_of(layout(128, 8), 2, 1, &arena);
    let first = Box::try_new_in(1_u64, pool.clone()).unwrap();
    drop(pool);
    let pool = Box::allocator(&first).clone();
    let second = Box::try_new_in(2_u64, pool.clone()).unwrap();
    pool.close();
    assert!(Box::try_new_in(3_u64, pool.clone()).is_err());
    assert_eq!((*first, *second), (1, 2));
    drop((first, pool));
    thread::spawn(move || drop(second)).join().unwrap();
    assert_whole(&arena);
}

/// A waker that panics does not reach the collection, which would take the item for its own still.
#[test]
fn a_panic_of_who_is_woken_goes_no_further() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: kva::sync::Arc<Self>) {
            panic!("woken");
        }
    }
    let arena = arena(1);
    let pool = pool_of(layout(QUANTUM, 8), 1, 1, &arena);
    let mut bytes = Vec::new_in(pool.clone());
    bytes.extend_from_slice(b"some");
    let waker = std::task::Waker::from(kva::sync::Arc::new(Panics));
    let mut waiter = std::boxed::Box::pin(pool.get_async());
    assert!(waiter.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    bytes.clear();
    bytes.shrink_to_fit();
    assert_eq!(bytes.capacity(), 0);
    assert_is!(poll_once(waiter.as_mut()), Poll::Ready(Ok(item)) if put(&pool, item).is_ok());
    drop(waiter);
    assert_rests(&pool, &arena);
}

proptest! {
    /// Vectors in a pool beside vectors on the heap, as many as there are items.
    #[test]
    fn agree_with_vectors_on_the_heap(ops in prop::collection::vec((0..4_usize, 0..80_usize, 0..6_u8), 1..100)) {
        let arena = arena(1);
        let pool = pool_of(layout(256, 4), 3, 1, &arena);
        let mut ours = [(); 4].map(|()| Vec::new_in(pool.clone()));
        let mut theirs = [(); 4].map(|()| std::vec::Vec::new());
        for (which, count, op) in ops {
            let (ours, theirs) = (&mut ours[which], &mut theirs[which]);
            match op {
                0 => ours.shrink_to_fit(),
                1 => {
                    ours.truncate(count);
                    theirs.truncate(count);
                }
                2 => {
                    *ours = Vec::new_in(pool.clone());
                    theirs.clear();
                }
                _ => {
                    let fits = ours.try_reserve_exact(count).is_ok();
                    let has_item = ours.capacity() > 0;
                    prop_assert_eq!(fits, theirs.len() + count <= 64 && (has_item || count == 0));
                    if fits {
                        let from = theirs.len() as u32;
                        ours.extend(from..from + count as u32);
                        theirs.extend(from..from + count as u32);
                    }
                }
            }
            prop_assert_eq!(&ours[..], &theirs[..]);
        }
        prop_assert_eq!(pool.stats().out, ours.iter().filter(|ours| ours.capacity() > 0).count());
        drop(ours);
        assert_rests(&pool, &arena);
    }
}
