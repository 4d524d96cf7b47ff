//! The last items are for critical getters, whoever else gets or waits.

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{
    Item, arena, assert_arena_whole, assert_pool_at_rest, block_on, pages, put, waiting,
};
use pool::RawPool;

/// Two ordinary getters take what they can of two items, one of which is for root.
fn against_gets(reserve: u32, take: impl Fn(&RawPool) -> Option<Item> + Copy + Send + 'static) {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).bypass(0).critical_reserve(reserve).build(arena.clone()).unwrap());
    assert_eq!(pool.prime(2).unwrap(), 2);
    let ordinary = [(); 2].map(|()| {
        let pool = pool.clone();
        spawn(move || take(&pool))
    });
    let root = pool.request().critical().try_get();
    assert!(root.is_ok(), "the last one was not for root: {root:?}");
    let ordinary = ordinary.map(|thread| thread.join().unwrap());
    assert!(ordinary.iter().flatten().count() <= 1, "both had one, and root too");
    for item in ordinary.into_iter().flatten().chain(root.ok().map(Item::from)) {
        put(&pool, item);
    }
    pool.set_critical_reserve(0).unwrap();
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn held_against_gets() {
    model("reserve/against_gets", || {
        against_gets(1, |pool| pool.try_get().ok().map(Item::from));
    });
}

/// As those do who look and then take.
#[test]
fn looked_at_and_taken() {
    known_bad("reserve/looks_and_takes", "the last one was not for root", || {
        against_gets(0, |pool| {
            (pool.stats().idle > 1).then(|| pool.try_get().ok()).flatten().map(Item::from)
        });
    });
}

/// An ordinary getter waits, and a critical one comes as one item comes back.
fn a_put_against_waiters(reserve: u32, waited: &Witness) {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).bypass(0).critical_reserve(reserve).build(arena.clone()).unwrap());
    let [one, other] = [(); 2].map(|()| pool.request().critical().try_get().unwrap());
    let ordinary = waiting(pool.get_async());
    let root = {
        let pool = pool.clone();
        spawn(move || Item::from(pool.request().critical().get().unwrap()))
    };
    waited.saw(pool.stats().waiting == 2);
    put(&pool, one);
    // No other is put before root has this one.
    put(&pool, root.join().unwrap());
    put(&pool, other);
    put(&pool, block_on(ordinary).unwrap());
    pool.set_critical_reserve(0).unwrap();
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn a_put_serves_root() {
    witnessed("reserve/put_serves_root", "both waited", |waited| a_put_against_waiters(1, waited));
}

#[test]
fn a_put_without_a_reserve() {
    known_bad("reserve/put_serves_anybody", "deadlock", || a_put_against_waiters(0, &Witness::default()));
}
