//! A pool is drained, or its limit lowered, while others get, put and grow.

use kva::sync::Arc;
use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::backends::Manual;
use loom_tests::historical::{ReleasesNothing, deliver_taking_first};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{
    arena, assert_arena_whole, assert_pool_at_rest, block_on, get, pages, put, take_rest, waiting,
};
use pool::Backend;

fn against_get_and_put<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).bypass(0).build(backend(arena.clone())).unwrap());
    let item = pool.try_get().unwrap();
    let drainer = {
        let pool = pool.clone();
        spawn(move || pool.drain())
    };
    put(&pool, item);
    put(&pool, get(&pool).unwrap());
    drainer.join().unwrap();
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn drained_against_get_and_put() {
    model("drain/against_get_and_put", || against_get_and_put(|arena| arena));
}

#[test]
fn drained_into_nothing() {
    known_bad("drain/releases_nothing", "rest: a span was lost", || against_get_and_put(ReleasesNothing));
}

/// The limit is lowered to what is held while a grow is pending: the grow is withdrawn, or
/// its page goes back, and the waiter has the item that is put.
fn lowered_while_growing(deliver: impl Fn(&Manual) + Copy + Send + 'static, withdrawn: &Witness) {
    let arena = arena(2, 0);
    let manual = Manual::new(arena.clone());
    let pool = pages(2).bypass(0).build(manual.clone()).unwrap();
    let item = pool.try_get().unwrap();
    let getter = waiting(pool.get_async());
    let deliverer = spawn(move || deliver(&manual));
    pool.set_hard_limit(1).unwrap();
    put(&pool, item);
    put(&pool, block_on(getter).unwrap());
    deliverer.join().unwrap();
    assert!(pool.stats().pages <= 1, "bound: above the lowered limit at rest");
    let stats = assert_pool_at_rest(&pool, 0);
    withdrawn.saw(stats.withdrawn > 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn limit_lowered_while_growing() {
    witnessed("limit/lowered_while_growing", "it was withdrawn", |withdrawn| {
        let deliver = |manual: &Manual| {
            manual.deliver();
        };
        lowered_while_growing(deliver, withdrawn);
    });
}

#[test]
fn limit_lowered_and_a_page_taken_for_nobody() {
    known_bad("limit/taken_before_commit", "rest: a span was lost", || {
        lowered_while_growing(deliver_taking_first, &Witness::default());
    });
}

/// The same as it asks for its page, of which there is none: it asks, and is withdrawn, in any order.
#[test]
fn limit_lowered_as_it_asks() {
    witnessed("limit/lowered_as_it_asks", "it was withdrawn", |withdrawn| {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(2).low_water(1).bypass(0).build(arena.clone()).unwrap());
        let item = pool.try_get().unwrap();
        let others = take_rest(&arena);
        let getter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        pool.set_hard_limit(1).unwrap();
        assert!(pool.stats().growing == 0, "bound: a grow is pending above the lowered limit");
        put(&pool, item);
        put(&pool, getter.join().unwrap());
        assert_eq!(arena.stats().waiting, 0, "a request was left behind");
        let stats = assert_pool_at_rest(&pool, 1);
        withdrawn.saw(stats.withdrawn > 0);
        drop(pool);
        for span in others {
            arena.free(span).unwrap();
        }
        assert_arena_whole(&arena);
    });
}
