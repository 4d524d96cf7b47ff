//! Getters that are futures: cancelled while they are served, beside threads in one queue,
//! passed from task to task (P2, P5).

use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{Item, arena, assert_arena_whole, assert_pool_at_rest, block_on, get, pages, put};

/// A future is polled once and then dropped, or goes without a word: known bad.
fn cancelled(bypass: u32, says_so: bool, served: &Witness) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(bypass).build(arena.clone()).unwrap());
    let item = pool.try_get().unwrap();
    let impatient = {
        let pool = pool.clone();
        spawn(move || {
            let mut future = Box::pin(pool.get_async());
            let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(item) = first {
                put(&pool, item.unwrap());
                return false;
            }
            if !says_so {
                std::mem::forget(future);
            }
            true
        })
    };
    put(&pool, item);
    put(&pool, get(&pool).unwrap());
    let was_dropped = impatient.join().unwrap();
    let stats = assert_pool_at_rest(&pool, 0);
    // This thread got one before and one after.
    served.saw(was_dropped && stats.gets == 3);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn cancelled_against_a_hand_over() {
    witnessed("future/cancel_against_hand_over", "it was served as it was dropped", |served| {
        cancelled(0, true, served);
    });
}

#[test]
fn cancelled_against_a_kick() {
    model("future/cancel_against_kick", || cancelled(1, true, &Witness::default()));
}

#[test]
fn cancelled_without_a_word() {
    known_bad("future/not_passed_on", "rest: a page was lost", || cancelled(0, false, &Witness::default()));
}

/// A task and a thread wait for one item, which each puts back.
#[test]
fn beside_a_thread() {
    model("future/beside_a_thread", || {
        let arena = arena(1, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let item = pool.try_get().unwrap();
        let task = {
            let pool = pool.clone();
            spawn(move || {
                let item: Item = block_on(pool.get_async()).unwrap().into();
                put(&pool, item);
            })
        };
        put(&pool, item);
        put(&pool, get(&pool).unwrap());
        task.join().unwrap();
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn beside_a_thread_in_another_queue() {
    known_bad("future/another_queue", "deadlock", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::WakesThreadsOnly, 1));
        let task = {
            let pool = pool.clone();
            spawn(move || {
                block_on(pool.get_async());
                pool.put();
            })
        };
        pool.put();
        assert!(pool.get(None));
        pool.put();
        task.join().unwrap();
    });
}

/// A future is polled by one task and then driven by another.
#[test]
fn passed_to_another_task() {
    model("future/another_task", || {
        let arena = arena(1, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let item: Item = pool.try_get().unwrap().into();
        let putter = {
            let pool = pool.clone();
            spawn(move || put(&pool, item))
        };
        let got = {
            let mut future = pin!(pool.get_async());
            let first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(item) = first { item } else { block_on(future) }
        };
        put(&pool, got.unwrap());
        putter.join().unwrap();
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn passed_to_another_task_unheard() {
    known_bad("future/keeps_first_waker", "deadlock", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::KeepsFirstWaker, 1));
        let putter = {
            let pool = pool.clone();
            spawn(move || pool.put())
        };
        {
            let mut future = pin!(pool.get_async());
            if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                block_on(future);
            }
        }
        putter.join().unwrap();
    });
}

/// A waker that looks at the pool, which takes its lock, as one may that polls at once.
fn looking(look: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Looks<F>(F);
    impl<F: Fn() + Send + Sync + 'static> Wake for Looks<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    Waker::from(Arc::new(Looks(look)))
}

/// It waits, or is about to, while the item is put. It is polled until it has that.
fn woken<I>(get: impl Future<Output = I>, put: impl FnOnce() + Send + 'static, waker: &Waker) -> I {
    let mut future = pin!(get);
    let mut context = Context::from_waker(waker);
    let putter = spawn(put);
    let early = future.as_mut().poll(&mut context);
    putter.join().unwrap();
    let got = if early.is_ready() { early } else { future.as_mut().poll(&mut context) };
    let Poll::Ready(item) = got else { panic!("it was put, and not had") };
    item
}

/// Who is woken may take the lock: nobody who wakes has it (P8).
#[test]
fn woken_unlocked() {
    witnessed("future/woken_unlocked", "woken", |witness| {
        let arena = arena(1, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let item = Item::from(pool.try_get().unwrap());
        let puts = {
            let pool = pool.clone();
            move || put(&pool, item)
        };
        let times = Arc::new(AtomicUsize::new(0));
        let waker = {
            let (pool, times) = (pool.clone(), times.clone());
            looking(move || {
                let _ = pool.stats();
                times.fetch_add(1, Relaxed);
            })
        };
        let item = woken(pool.get_async(), puts, &waker);
        witness.saw(times.load(Relaxed) > 0);
        put(&pool, item.unwrap());
        drop(waker);
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn woken_by_who_has_the_lock() {
    known_bad("future/woken_locked", "deadlock", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::WakesLocked, 1));
        let puts = {
            let pool = pool.clone();
            move || pool.put()
        };
        let waker = {
            let pool = pool.clone();
            looking(move || {
                let _ = pool.idle();
            })
        };
        woken(pool.get_async(), puts, &waker);
    });
}
