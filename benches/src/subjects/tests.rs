//! That each subject gives distinct objects, takes them back, and gives them again.

use std::collections::HashSet;
use std::ptr::from_mut;
use std::thread;

use mimalloc::MiMalloc;

use super::*;
use crate::subject::{Seat, Shared, Stock, Subject};

/// Gets `count` objects and returns where they are, having put them back.
fn addresses<S: Seat>(seat: &S, count: usize) -> HashSet<usize> {
    let mut held: Vec<_> = (0..count).map(|_| seat.get()).collect();
    let addresses = held.iter_mut().map(|item| from_mut(S::first_byte(item)).addr()).collect();
    for item in held {
        seat.put(item);
    }
    addresses
}

fn gives_distinct_objects<S: Subject>() {
    let subject = S::new(Stock::Ample(32));
    subject.enter(|seat| {
        for _ in 0..3 {
            assert_eq!(addresses(seat, 32).len(), 32, "{}", S::NAME);
        }
        // What was put is given again: else there would soon be none.
        let seen: HashSet<_> = (0..10_000).flat_map(|_| addresses(seat, 1)).collect();
        assert!(seen.len() < 10_000, "{}: {} places", S::NAME, seen.len());
    });
}

fn gives_what_there_is_and_waits_for_more<S: Shared>() {
    let subject = S::new(Stock::Scarce { objects: 2, counted: true });
    let first = subject.get();
    let second = subject.get();
    thread::scope(|scope| {
        let third = scope.spawn(|| {
            let item = subject.get();
            subject.put(item);
        });
        // It is served whether it waits by now or not: nothing here depends on time.
        subject.put(first);
        third.join().unwrap();
    });
    subject.put(second);
    assert_eq!(addresses(&&subject, 2).len(), 2, "{}", S::NAME);
}

fn items_can_be_put_elsewhere<S: Shared>()
where
    for<'a> S::Item<'a>: Send,
{
    let subject = S::new(Stock::Ample(32));
    for _ in 0..100 {
        let items: Vec<_> = (0..32).map(|_| subject.get()).collect();
        thread::scope(|scope| {
            scope.spawn(|| items.into_iter().for_each(|item| subject.put(item)));
        });
    }
}

#[test]
fn all_give_distinct_objects() {
    gives_distinct_objects::<ours::Ours<64>>();
    gives_distinct_objects::<ours::Ours<{ 256 * 1024 }>>();
    gives_distinct_objects::<ours_by_handle::OursByHandle<64>>();
    gives_distinct_objects::<ours_raw::OursRaw<64>>();
    gives_distinct_objects::<ours_raw_by_handle::OursRawByHandle<64>>();
    gives_distinct_objects::<allocator::Allocator<MiMalloc, 64>>();
    gives_distinct_objects::<allocator::Allocator<tikv_jemallocator::Jemalloc, 64>>();
    gives_distinct_objects::<allocator::Allocator<std::alloc::System, 64>>();
    gives_distinct_objects::<array_queue::ArrayQueue>();
    gives_distinct_objects::<bare_array::BareArray>();
    gives_distinct_objects::<channel::Channel>();
    gives_distinct_objects::<deadpool_unmanaged::DeadpoolUnmanaged>();
    gives_distinct_objects::<hand_off::HandOff>();
    gives_distinct_objects::<lockfree_object_pool::Linear>();
    gives_distinct_objects::<mutex_condvar::MutexCondvar<mutex_condvar::Std<_>>>();
    gives_distinct_objects::<mutex_condvar::MutexCondvar<mutex_condvar::ParkingLot<_>>>();
    gives_distinct_objects::<object_pool::ObjectPool>();
    gives_distinct_objects::<opool::Opool>();
    gives_distinct_objects::<sharded_slab::ShardedSlab>();
    gives_distinct_objects::<sharded_slab::ShardedSlabOwned>();
}

#[test]
fn those_with_a_bound_wait() {
    gives_what_there_is_and_waits_for_more::<ours::Ours<64>>();
    gives_what_there_is_and_waits_for_more::<ours_raw::OursRaw<64>>();
    gives_what_there_is_and_waits_for_more::<channel::Channel>();
    gives_what_there_is_and_waits_for_more::<deadpool_unmanaged::DeadpoolUnmanaged>();
    gives_what_there_is_and_waits_for_more::<hand_off::HandOff>();
    gives_what_there_is_and_waits_for_more::<mutex_condvar::MutexCondvar<mutex_condvar::Std<_>>>();
    gives_what_there_is_and_waits_for_more::<mutex_condvar::MutexCondvar<mutex_condvar::ParkingLot<_>>>();
}

#[test]
fn what_one_thread_got_another_puts() {
    items_can_be_put_elsewhere::<ours::Ours<64>>();
    items_can_be_put_elsewhere::<ours_raw::OursRaw<64>>();
    items_can_be_put_elsewhere::<allocator::Allocator<MiMalloc, 64>>();
    items_can_be_put_elsewhere::<lockfree_object_pool::Linear>();
    items_can_be_put_elsewhere::<sharded_slab::ShardedSlabOwned>();
}
