//! P7: a choice of an array or a tuple allocates nothing, neither where it waits. A test binary of its
//! own, since it counts what the whole process does.

#![cfg(not(loom))]

use std::alloc::Layout;
use std::thread;
use std::time::Duration;

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::{Arena, Region, Reserve, Shape};
use pool::RawPool;
use pool::choose::{after, choose, span};

#[path = "support/heap.rs"]
mod heap;

use heap::allocated;

const QUANTUM: usize = 4096;

/// Who is asleep in a choice is found by this thread, which puts.
fn put_to_one_asleep(pools: &[RawPool; 2], asleep: &AtomicUsize, round: usize) {
    let item = pools[round % 2].get().unwrap();
    asleep.store(round, SeqCst);
    while pools[round % 2].stats().waiting == 0 {
        thread::yield_now();
    }
    // SAFETY: it is not used after this.
    unsafe { pools[round % 2].put(item) }.unwrap();
}

#[test]
fn a_choice_allocates_nothing() {
    let arena = Arena::new(Region::reserve(8 * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap();
    let layout = Layout::from_size_align(QUANTUM, 8).unwrap();
    let pools = [(); 2].map(|()| RawPool::builder(layout, 1).bypass(0).build(arena.clone()).unwrap());
    let one = Shape::new(1).unwrap();
    let numbers = Arena::new(Region::numbers(1), 1).unwrap();
    let all = numbers.try_alloc(one).unwrap();
    let event = |at: usize| pools[at].get_event().wrap(move |item| Some((at, item.unwrap())));
    let ready = || choose([event(0), event(1)]).sync();
    let put = |(at, item): (usize, _)| {
        // SAFETY: it is not used after this.
        unsafe { pools[at].put(item) }.unwrap();
    };
    let waits = || {
        let held = [0, 1].map(|at: usize| pools[at].get().unwrap());
        let late = choose((
            event(0),
            event(1),
            pools[0].closed_event().wrap(|()| None),
            span(&numbers, one).wrap(|_| None),
            after(Duration::from_millis(2)).wrap(|()| None),
        ));
        assert!(late.sync().is_none());
        held.into_iter().enumerate().for_each(put);
    };
    // The threads' first use, their first sleep, and the queue's table.
    put(ready().unwrap());
    waits();
    assert_eq!(allocated(|| put(ready().unwrap())).count, 0, "what is there");
    assert_eq!(allocated(waits).count, 0, "who waits in vain");
    let of_a_list = || put(choose(vec![event(0), event(1)]).sync().unwrap());
    assert!(allocated(of_a_list).count > 0, "a list does, and is counted");

    // Served while asleep.
    let round = AtomicUsize::new(0);
    thread::scope(|scope| {
        let putter = scope.spawn(|| {
            for at in 1..=4 {
                while round.load(SeqCst) != 2 * at {
                    thread::yield_now();
                }
                put_to_one_asleep(&pools, &round, 2 * at + 1);
            }
        });
        for at in 1..=4 {
            let run = || {
                // The pool of an odd round is the second; the first has nothing either.
                let held = pools[0].get().unwrap();
                round.store(2 * at, SeqCst);
                while round.load(SeqCst) != 2 * at + 1 {
                    thread::yield_now();
                }
                let (from, item) = choose([event(0), event(1)]).sync().unwrap();
                assert_eq!(from, 1);
                put((1, item));
                put((0, held));
            };
            let found = allocated(run);
            assert!(at < 3 || found.count == 0, "who is served: {found:?}");
        }
        putter.join().unwrap();
    });
    numbers.free(all).unwrap();
}
