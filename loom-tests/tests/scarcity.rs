//! A pool that is scarce, and is not any more: nothing is cached beside somebody who waits (P2),
//! here or in another pool of the same arena.

use std::task::{Context, Poll, Waker};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::caching::flawed::{Flaw, Flawed};
use loom_tests::caching::{Caching, Production};
use loom_tests::historical::KeepsOwnTime;
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::Backend;

/// The first of two puts may end the scarcity, so that the second is into the cache. Another begins
/// to wait for both.
fn restored_against_wait<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    pool.warm_up();
    let mut both = pool.get_many(2).into_iter();
    pool.put(both.next().unwrap());
    let second = both.next().unwrap();
    let first = pool.almost_calm();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get_many(2))
    };
    pool.put(first);
    pool.put(second);
    pool.put_all(getter.join().unwrap());
    pool.assert_at_rest();
}

#[test]
fn calm_again_while_another_begins_to_wait() {
    model("scarcity/restored_against_wait", || restored_against_wait(Production::with_one_cache(2)));
}

#[test]
fn calm_while_another_waits() {
    known_bad("scarcity/restored_beside_waiters", "deadlock", || {
        restored_against_wait(Flawed::new(Flaw::RestoresBesideWaiters, 2));
    });
}

/// What is cached keeps a page, for which somebody waits in another pool.
fn pinned<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(1, 0);
    let pools = [1, 0].map(|rounds| {
        let builder = pages(1).max_growing(1).bypass(0).magazine_rounds(rounds);
        Arc::new(builder.build(backend(arena.clone())).unwrap())
    });
    let [keeps, waits] = &pools;
    put(keeps, get(keeps).unwrap());
    let item = get(keeps).unwrap();
    let getter = {
        let waits = waits.clone();
        spawn(move || get(&waits).unwrap())
    };
    put(keeps, item);
    put(waits, getter.join().unwrap());
    for pool in pools {
        assert_pool_at_rest(&pool, 0);
    }
    assert_arena_whole(&arena);
}

#[test]
fn cached_while_another_waits_elsewhere() {
    model("scarcity/put_against_wait_elsewhere", || pinned(|arena| arena));
}

#[test]
fn cached_and_nobody_tells_the_pool_who_waits_elsewhere() {
    known_bad("scarcity/keeps_cached", "deadlock", || pinned(KeepsOwnTime));
}

/// A future takes back what is cached, is about to wait, and is dropped, or goes without a word:
/// known bad. An owner puts what it may have been handed.
fn dropped_after_sweep(says_so: bool, waited: &Witness) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).max_growing(1).bypass(0).magazine_rounds(1).build(arena.clone()).unwrap());
    put(&pool, get(&pool).unwrap());
    let item = get(&pool).unwrap();
    let impatient = {
        let pool = pool.clone();
        spawn(move || {
            let mut future = Box::pin(pool.get_async());
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(item) => put(&pool, item.unwrap()),
                Poll::Pending if says_so => return true,
                Poll::Pending => std::mem::forget(future),
            }
            false
        })
    };
    put(&pool, item);
    waited.saw(impatient.join().unwrap());
    put(&pool, get(&pool).unwrap());
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn dropped_after_it_swept() {
    witnessed("scarcity/dropped_after_sweep", "it had to wait", |waited| dropped_after_sweep(true, waited));
}

#[test]
fn gone_without_a_word_after_it_swept() {
    known_bad("scarcity/gone_after_sweep", "deadlock", || dropped_after_sweep(false, &Witness::default()));
}
