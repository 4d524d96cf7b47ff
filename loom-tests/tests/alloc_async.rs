//! Spans that futures wait for: cancelled while they are granted, beside threads in one queue,
//! passed from task to task (P2, P5).

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{assert_arena_whole, block_on, numbers, one};

/// A future is polled once and then dropped, or goes without a word: known bad.
fn cancelled(says_so: bool, granted: &Witness) {
    let arena = numbers(1, 0);
    let held = arena.try_alloc(one()).unwrap();
    let impatient = {
        let arena = arena.clone();
        spawn(move || {
            let mut future = arena.alloc_async(one());
            let first = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(span) = first {
                arena.free(span.unwrap()).unwrap();
                return false;
            }
            let granted = arena.stats().waiting == 0;
            if !says_so {
                std::mem::forget(future);
            }
            granted
        })
    };
    arena.free(held).unwrap();
    granted.saw(impatient.join().unwrap());
    assert_arena_whole(&arena);
}

#[test]
fn cancelled_against_a_free() {
    witnessed("alloc_async/cancelled_against_free", "it was granted as it was dropped", |granted| {
        cancelled(true, granted);
    });
}

#[test]
fn cancelled_without_a_word() {
    known_bad("alloc_async/granted_and_forgotten", "rest: a span was lost", || {
        cancelled(false, &Witness::default());
    });
}

/// A task and a thread wait for one quantum, which each frees.
#[test]
fn beside_a_thread() {
    model("alloc_async/beside_a_thread", || {
        let arena = numbers(1, 0);
        let held = arena.try_alloc(one()).unwrap();
        let task = {
            let arena = arena.clone();
            spawn(move || arena.free(block_on(arena.alloc_async(one())).unwrap()).unwrap())
        };
        arena.free(held).unwrap();
        arena.free(arena.alloc(one()).unwrap()).unwrap();
        task.join().unwrap();
        assert_arena_whole(&arena);
    });
}

/// A quantum is an item here.
#[test]
fn beside_a_thread_in_another_queue() {
    known_bad("alloc_async/another_queue", "deadlock", || {
        let arena = Arc::new(Naive::with_all_out(Flaw::WakesThreadsOnly, 1));
        let task = {
            let arena = arena.clone();
            spawn(move || {
                block_on(arena.get_async());
                arena.put();
            })
        };
        arena.put();
        assert!(arena.get(None));
        arena.put();
        task.join().unwrap();
    });
}

/// A future is polled by one task and then driven by another.
#[test]
fn passed_to_another_task() {
    witnessed("alloc_async/another_task", "the first was in line", |in_line| {
        let arena = numbers(1, 0);
        let held = arena.try_alloc(one()).unwrap();
        let freer = {
            let arena = arena.clone();
            spawn(move || arena.free(held).unwrap())
        };
        let got = {
            let mut future = pin!(arena.alloc_async(one()));
            let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            in_line.saw(first.is_pending());
            if let Poll::Ready(span) = first { span } else { block_on(future) }
        };
        arena.free(got.unwrap()).unwrap();
        freer.join().unwrap();
        assert_arena_whole(&arena);
    });
}

#[test]
fn passed_to_another_task_unheard() {
    known_bad("alloc_async/keeps_first_waker", "deadlock", || {
        let arena = Arc::new(Naive::with_all_out(Flaw::KeepsFirstWaker, 1));
        let freer = {
            let arena = arena.clone();
            spawn(move || arena.put())
        };
        {
            let mut future = pin!(arena.get_async());
            if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                block_on(future);
            }
        }
        freer.join().unwrap();
    });
}
