//! A put serves the waiter whose grow is pending, so that the grow is withdrawn: on its way
//! to the back-end, in its queue, or while it is being delivered. No page is lost and
//! no request left behind (P5, P6).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::backends::Manual;
use loom_tests::historical::{QueuesBlindly, deliver_taking_first};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{
    arena, assert_arena_whole, assert_pool_at_rest, block_on, get, pages, put, take_rest, waiting,
};

/// The getter asks while a put serves it. Nothing else happens: whatever the order, the
/// request is gone in the end.
#[test]
fn before_it_is_asked() {
    model("withdraw/before_ask", || {
        let arena = arena(1, 0);
        let pool = Arc::new(pages(2).low_water(1).bypass(0).build(arena.clone()).unwrap());
        let item = pool.try_get().unwrap();
        let getter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        put(&pool, item);
        let item = getter.join().unwrap();
        assert_eq!(arena.stats().waiting, 0, "a request was left behind");
        put(&pool, item);
        assert_pool_at_rest(&pool, 1);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn queued_without_a_look() {
    known_bad("withdraw/queued_blindly", "a request was left behind", || {
        let arena = arena(1, 0);
        let backend = QueuesBlindly::new(arena.clone());
        let pool = Arc::new(pages(2).low_water(1).bypass(0).build(backend.clone()).unwrap());
        let item = pool.try_get().unwrap();
        let getter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        put(&pool, item);
        let item = getter.join().unwrap();
        let queued = backend.queued();
        backend.clear();
        put(&pool, item);
        assert_eq!(queued, 0, "a request was left behind");
    });
}

/// A put serves the getter while the back-end delivers to it.
fn against_delivery(deliver: impl Fn(&Manual) + Copy + Send + 'static, withdrawn: &Witness) {
    let arena = arena(2, 0);
    let manual = Manual::new(arena.clone());
    let pool = pages(2).bypass(0).build(manual.clone()).unwrap();
    let item = pool.try_get().unwrap();
    let getter = waiting(pool.get_async());
    let deliverer = spawn(move || deliver(&manual));
    put(&pool, item);
    put(&pool, block_on(getter).unwrap());
    deliverer.join().unwrap();
    let stats = assert_pool_at_rest(&pool, 0);
    withdrawn.saw(stats.withdrawn > 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn while_it_is_delivered() {
    witnessed("withdraw/against_delivery", "it was withdrawn", |withdrawn| {
        let deliver = |manual: &Manual| {
            manual.deliver();
        };
        against_delivery(deliver, withdrawn);
    });
}

#[test]
fn delivered_before_it_is_committed() {
    known_bad("withdraw/taken_before_commit", "rest: a span was lost", || {
        against_delivery(deliver_taking_first, &Witness::default());
    });
}

/// The same against the arena itself: a free grants to the getter's request while a put
/// serves the getter.
#[test]
fn while_the_arena_grants() {
    witnessed("withdraw/against_grant", "it was withdrawn", |withdrawn| {
        let arena = arena(2, 0);
        let pool = pages(2).low_water(1).bypass(0).build(arena.clone()).unwrap();
        let item = pool.try_get().unwrap();
        let rest = take_rest(&arena);
        let getter = waiting(pool.get_async());
        let other = {
            let arena = arena.clone();
            spawn(move || rest.into_iter().for_each(|span| arena.free(span).unwrap()))
        };
        put(&pool, item);
        put(&pool, block_on(getter).unwrap());
        other.join().unwrap();
        let stats = assert_pool_at_rest(&pool, 1);
        withdrawn.saw(stats.withdrawn > 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}
