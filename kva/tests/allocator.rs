//! Collections in an arena.

#![cfg(all(not(loom), feature = "allocator-api2"))]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use kva::{Arena, Decommit, GrowTable, Region, Reserve, Shape};
use proptest::prelude::*;

const QUANTUM: usize = 4096;

fn arena_that(quanta: usize, decommit: Decommit) -> Arena {
    let region = Region::reserve(quanta * QUANTUM, Reserve::new().decommit(decommit)).unwrap();
    Arena::new(region, QUANTUM).unwrap()
}

fn arena(quanta: usize) -> Arena {
    arena_that(quanta, Decommit::Never)
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn assert_whole(arena: &Arena) {
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0));
}

/// How many quanta are taken.
fn taken(arena: &Arena) -> u32 {
    arena.quanta() - arena.stats().free
}

#[test]
fn a_vec_that_fills_the_arena_is_told_and_loses_nothing() {
    let arena = arena(16);
    let mut numbers = Vec::new_in(arena.clone());
    let error = loop {
        if let Err(error) = numbers.try_reserve(1) {
            break error;
        }
        numbers.push(numbers.len());
    };
    assert!(error.to_string().contains("alloc"), "{error}");
    // Twice as much, beside what there is, is more than there is.
    assert_eq!((numbers.len() * size_of::<usize>(), taken(&arena)), (8 * QUANTUM, 8));
    assert!(numbers.iter().copied().eq(0..numbers.len()));
    drop(numbers);
    assert_whole(&arena);
}

#[test]
fn a_block_is_all_of_its_quanta() {
    let arena = arena(8);
    let page = arena.allocate(layout(1, 1)).unwrap();
    assert_eq!((page.len(), taken(&arena)), (QUANTUM, 1));
    let two = arena.allocate(layout(QUANTUM + 1, 8)).unwrap();
    assert_eq!((two.len(), taken(&arena)), (2 * QUANTUM, 3));
    // SAFETY: both are ours, and each layout fits its block: one is as long as was said.
    unsafe { arena.deallocate(page.cast(), layout(QUANTUM, 1)) };
    // SAFETY: as above.
    unsafe { arena.clone().deallocate(two.cast(), layout(QUANTUM + 1, 8)) };
    assert_whole(&arena);
}

#[test]
fn growing_stays_within_the_last_quantum_and_moves_beyond() {
    let arena = arena(8);
    let mut dirt = Vec::with_capacity_in(8 * QUANTUM, &arena);
    dirt.resize(8 * QUANTUM, 1_u8);
    drop(dirt);
    let start = arena.allocate(layout(100, 8)).unwrap().cast::<u8>();
    // SAFETY: the block is ours.
    unsafe { start.write_bytes(7, 100) };
    // SAFETY: it is ours, and this is its layout.
    let same = unsafe { arena.grow(start, layout(100, 8), layout(QUANTUM, 8)) }.unwrap();
    assert_eq!((same.cast(), same.len(), taken(&arena)), (start, QUANTUM, 1));
    // SAFETY: as above.
    let moved = unsafe { arena.grow_zeroed(start, layout(100, 8), layout(QUANTUM + 1, 8)) }.unwrap();
    assert_eq!((moved.len(), taken(&arena)), (2 * QUANTUM, 2));
    assert_ne!(moved.cast(), start);
    // SAFETY: all of it was written, and it is ours.
    let bytes = unsafe { moved.as_ref() };
    assert!(bytes[..100].iter().all(|byte| *byte == 7));
    assert!(bytes[100..].iter().all(|byte| *byte == 0));
    // SAFETY: it is ours, and this is its layout.
    unsafe { arena.deallocate(moved.cast(), layout(QUANTUM + 1, 8)) };
    assert_whole(&arena);
}

#[test]
fn shrinking_stays_and_gives_quanta_back_by_each_policy() {
    for policy in [Decommit::Never, Decommit::Discard, Decommit::Protect] {
        let arena = arena_that(4, policy);
        let mut bytes = Vec::new_in(&arena);
        bytes.try_reserve_exact(4 * QUANTUM).unwrap();
        bytes.resize(QUANTUM + 1, 3_u8);
        let start = bytes.as_ptr();
        bytes.shrink_to_fit();
        assert_eq!((bytes.as_ptr(), taken(&arena)), (start, 2));
        let rest = Box::try_new_in([0_u8; 2 * QUANTUM], &arena).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 3), "{policy:?}");
        bytes.clear();
        bytes.shrink_to_fit();
        assert_eq!(taken(&arena), 2, "an empty one has no block");
        drop((bytes, rest));
        assert_whole(&arena);
    }
}

/// What a collection gives back serves those who wait, and none of them waits longer for it.
#[test]
fn what_shrinks_and_what_is_dropped_serves_who_waits() {
    let arena = arena(4);
    let bytes = Box::try_new_in([1_u8; 4 * QUANTUM], arena.clone()).unwrap();
    let mut bytes: Vec<u8, _> = Vec::from(bytes as Box<[u8; 4 * QUANTUM], _>);
    let waits = |shape| {
        let other = arena.clone();
        let waiter = thread::spawn(move || other.alloc(shape).unwrap());
        while arena.stats().waiting != 1 {
            thread::yield_now();
        }
        waiter
    };
    let waiter = waits(Shape::new(3).unwrap());
    bytes.truncate(QUANTUM);
    bytes.shrink_to_fit();
    let span = waiter.join().unwrap();
    let waiter = waits(Shape::new(1).unwrap());
    drop(bytes);
    let other = waiter.join().unwrap();
    arena.free(span).unwrap();
    arena.free(other).unwrap();
    assert_whole(&arena);
}

#[test]
fn alignment_is_kept_or_an_error() {
    let arena = arena(64);
    for log in 0..18 {
        let layout = layout(3, 1 << log);
        let block = arena.allocate(layout).unwrap();
        assert!(block.cast::<u8>().addr().get().is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: it is ours, and this is its layout.
        unsafe { arena.deallocate(block.cast(), layout) };
    }
    arena.allocate(layout(1, 1 << 30)).unwrap_err();
    assert_whole(&arena);
}

/// A block may be asked to be more aligned than it was: then it moves, unless it happens to be.
#[test]
fn a_block_may_change_its_alignment() {
    let arena = arena(64);
    let first = arena.try_alloc(Shape::new(1).unwrap()).unwrap();
    let (old, new) = (layout(100, 1), layout(100, 16 * QUANTUM));
    let block = arena.allocate(old).unwrap().cast::<u8>();
    // SAFETY: the block is ours.
    unsafe { block.write_bytes(9, 100) };
    // SAFETY: it is ours, and this is its layout.
    let moved = unsafe { arena.shrink(block, old, new) }.unwrap();
    assert_eq!(moved.cast::<u8>().addr().get() % new.align(), 0);
    assert_eq!(taken(&arena), 2);
    // SAFETY: so many were written, and it is ours.
    let bytes = unsafe { moved.cast::<[u8; 100]>().as_ref() };
    assert_eq!(bytes, &[9; 100]);
    // SAFETY: it is ours, and this is its layout.
    unsafe { arena.deallocate(moved.cast(), new) };
    arena.free(first).unwrap();
    assert_whole(&arena);
}

#[test]
fn blocks_of_nothing_take_nothing() {
    let arena = arena(1);
    let (nothing, some) = (layout(0, 64), layout(8, 64));
    let empty = arena.allocate(nothing).unwrap();
    assert_eq!((empty.len(), empty.cast::<u8>().addr().get() % 64, taken(&arena)), (0, 0, 0));
    // SAFETY: it is ours, and this is its layout; and so on.
    let block = unsafe { arena.grow(empty.cast(), nothing, some) }.unwrap();
    assert_eq!(taken(&arena), 1);
    // SAFETY: as above.
    let empty = unsafe { arena.shrink(block.cast(), some, nothing) }.unwrap();
    assert_eq!((empty.len(), taken(&arena)), (0, 0));
    // SAFETY: as above.
    let empty = unsafe { arena.grow(empty.cast(), nothing, nothing) }.unwrap();
    // SAFETY: as above.
    unsafe { arena.deallocate(empty.cast(), nothing) };
    let units = Box::try_new_in((), &arena).unwrap();
    drop(units);
    assert_whole(&arena);
}

#[test]
fn numbers_are_no_memory_and_a_closed_arena_gives_none() {
    let numbers = Arena::new(Region::numbers(8), 1).unwrap();
    numbers.allocate(layout(1, 1)).unwrap_err();
    assert_whole(&numbers);

    let arena = arena(2);
    let mut bytes = Vec::new_in(arena.clone());
    bytes.try_reserve(1).unwrap();
    arena.close();
    bytes.extend_from_slice(&[1_u8; 8]);
    assert!(bytes.try_reserve(QUANTUM).is_err());
    assert_eq!(&bytes[..], [1; 8]);
    drop(bytes);
    assert_whole(&arena);
}

/// The memory is there as long as a collection in it, which any thread may drop.
#[test]
fn a_collection_keeps_its_memory() {
    let arena = arena(2);
    let mut bytes = Vec::new_in(arena.clone());
    bytes.extend_from_slice(&[5_u8; QUANTUM]);
    drop(arena);
    let copy = thread::spawn(move || bytes.clone()).join().unwrap();
    assert!(copy.iter().all(|byte| *byte == 5));
    let leaked: &'static mut [u8] = copy.leak();
    assert_eq!(leaked.len(), QUANTUM);
}

/// A panic where a freed block is delivered does not reach the collection, which would take the
/// block for its own still.
#[test]
fn a_panic_of_who_gets_a_block_goes_no_further() {
    struct Panics;
    impl kva::Sink<kva::Span, kva::AllocError> for Panics {
        fn finish(&self, _: kva::GrowId, end: Result<kva::Span, kva::Refusal<kva::AllocError>>) {
            panic!("{end:?}");
        }
    }
    let arena = arena(3);
    let mut bytes = Vec::new_in(arena.clone());
    bytes.extend_from_slice(&[6_u8; QUANTUM]);
    let table = GrowTable::new(1);
    let others = arena.try_alloc(Shape::new(2).unwrap()).unwrap();
    let grow = table.reserve(0, arena.clock().now(), kva::sync::Arc::new(Panics));
    assert!(matches!(arena.ask(Shape::new(1).unwrap(), grow), kva::Answer::Later));
    drop(bytes);
    arena.free(others).unwrap();
    assert_eq!(taken(&arena), 1, "what was delivered is lost by him");
}

#[derive(Debug, Clone)]
enum Op {
    Push(u32),
    Extend(usize),
    Reserve(usize),
    Truncate(usize),
    Shrink,
    Clone,
    Boxed,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<u32>().prop_map(Op::Push),
        (0..3000_usize).prop_map(Op::Extend),
        (0..9000_usize).prop_map(Op::Reserve),
        (0..6000_usize).prop_map(Op::Truncate),
        Just(Op::Shrink),
        Just(Op::Clone),
        Just(Op::Boxed),
    ]
}

proptest! {
    /// A vector in an arena beside one on the heap; what there is no memory for is not done.
    #[test]
    fn agrees_with_a_vector_on_the_heap(quanta in 1..24_usize, ops in prop::collection::vec(op(), 1..60)) {
        let arena = arena(quanta);
        let mut ours = Vec::new_in(arena.clone());
        let mut theirs = std::vec::Vec::new();
        for op in ops {
            match op {
                Op::Push(number) => if ours.try_reserve(1).is_ok() {
                    ours.push(number);
                    theirs.push(number);
                },
                Op::Extend(more) => if ours.try_reserve(more).is_ok() {
                    let from = theirs.len() as u32;
                    ours.extend(from..from + more as u32);
                    theirs.extend(from..from + more as u32);
                },
                Op::Reserve(more) => if ours.try_reserve_exact(more).is_ok() {
                    prop_assert!(ours.capacity() >= theirs.len() + more);
                },
                Op::Truncate(len) => {
                    ours.truncate(len);
                    theirs.truncate(len);
                }
                Op::Shrink => {
                    ours.shrink_to_fit();
                    prop_assert_eq!(taken(&arena) as usize, (theirs.len() * 4).div_ceil(QUANTUM));
                }
                Op::Clone => {
                    let mut other = Vec::new_in(arena.clone());
                    if other.try_reserve(ours.len()).is_ok() {
                        other.extend_from_slice(&ours);
                        ours = other;
                    }
                }
                Op::Boxed => ours = Vec::from(ours.into_boxed_slice()),
            }
            prop_assert_eq!(&ours[..], &theirs[..]);
        }
        drop(ours);
        assert_whole(&arena);
    }
}

/// An arena over somebody's memory serves collections too.
#[test]
fn memory_of_the_callers_will_do() {
    let memory = std::boxed::Box::leak(std::boxed::Box::new([0_u128; 64]));
    let memory = NonNull::slice_from_raw_parts(NonNull::from(memory).cast(), 1024);
    // SAFETY: it was leaked, and nobody else knows it.
    let arena = Arena::new(unsafe { Region::borrowed(memory) }, 16).unwrap();
    let mut numbers = Vec::new_in(&arena);
    numbers.extend(0..100_u64);
    assert_eq!(numbers.iter().sum::<u64>(), 4950);
    assert_eq!(taken(&arena), numbers.capacity() as u32 * 8 / 16);
    drop(numbers);
    assert_whole(&arena);
}
