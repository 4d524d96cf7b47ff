//! The hard limit changes while others get, wait and put (P1, P2).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};

/// One waits for the item that is out; a raised limit serves it.
#[test]
fn raised_for_a_waiter() {
    witnessed("limit/raised_for_waiter", "it waited", |waited| {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let item = pool.try_get().unwrap();
        let waiter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        pool.set_hard_limit(2).unwrap();
        let other = waiter.join().unwrap();
        waited.saw(pool.stats().waits.served > 0);
        put(&pool, item);
        put(&pool, other);
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn raised_and_nobody_told() {
    known_bad("limit/raised_quietly", "deadlock", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::RaisesQuietly, 1));
        let waiter = {
            let pool = pool.clone();
            spawn(move || assert!(pool.get(None)))
        };
        pool.raise();
        waiter.join().unwrap();
    });
}

/// Lowered while items are out and one waits, and raised again.
#[test]
fn lowered_and_raised() {
    model("limit/lowered_and_raised", || {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(2).bypass(0).build(arena.clone()).unwrap());
        let [one, other] = [(); 2].map(|()| pool.try_get().unwrap());
        let waiter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        pool.set_hard_limit(1).unwrap();
        put(&pool, one);
        assert!(pool.stats().pages <= 1, "bound: above the lowered limit");
        pool.set_hard_limit(2).unwrap();
        put(&pool, other);
        put(&pool, waiter.join().unwrap());
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}
