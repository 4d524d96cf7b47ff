//! P7 where it is tracked who holds what: a client gets, puts, and looks for deadlocks as it falls
//! asleep, and allocates nothing. A test binary of its own, since it counts what the whole process does.

#![cfg(all(debug_assertions, not(loom)))]

use std::thread;

use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use kva::{Shape, client, deadlock};

#[path = "support/heap.rs"]
mod heap;
mod support;

use support::*;

#[test]
fn a_client_that_falls_asleep_with_something_allocates_nothing() {
    let arena = arena(3);
    let [held, wanted] = [1, 1].map(|limit| blocks(limit).build(arena.clone()).unwrap());
    // Taken turns at: what the other thread should do next, and has done.
    let (turn, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let _client = client::enter("one who runs");
    heap::assert_counts();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _client = client::enter("one who waits");
            for round in 1..4 {
                until(|| turn.load(SeqCst) == round);
                let items = [held.get().unwrap(), wanted.get().unwrap()];
                put(&held, items[0]).unwrap();
                put(&wanted, items[1]).unwrap();
                let span = arena.alloc(Shape::new(1).unwrap()).unwrap();
                arena.free(span).unwrap();
                done.store(round, SeqCst);
            }
        });
        let mut waited = 0;
        for round in 1..4 {
            // The first two set up the threads: their wakers, and the locks that they contend for.
            let found = heap::allocated(|| {
                let item = wanted.get().unwrap();
                turn.store(round, SeqCst);
                until(|| wanted.stats().waiting == 1);
                // So that it has fallen asleep, looked, and found that there is one who runs.
                for _ in 0..1000 {
                    thread::yield_now();
                }
                waited += wanted.stats().waiting;
                put(&wanted, item).unwrap();
                until(|| done.load(SeqCst) == round);
            });
            assert!(round < 3 || found.count == 0, "{found:?}");
        }
        assert_eq!(waited, 3);
    });
    assert_eq!(deadlock::check(), []);
}
