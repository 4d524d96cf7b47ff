//! The hard limit changes while others get, wait and put (P1, P2).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{Item, arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::{GetError, RawPool};

/// One waits for the item that is out; a raised limit serves it.
#[test]
fn raised_for_a_waiter() {
    witnessed("limit/raised_for_waiter", "it waited already", |waited| {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let item = pool.try_get().unwrap();
        let waiter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        waited.saw(pool.stats().waiting > 0);
        pool.set_hard_limit(2).unwrap();
        let other = waiter.join().unwrap();
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

/// Two items are out and one waits, while the limit comes down to one: what is put first is one too
/// many, and the other is the waiter's.
#[test]
fn lowered_while_one_waits() {
    model("limit/lowered_beside_waiter", || {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(2).bypass(0).build(arena.clone()).unwrap());
        let [one, other] = [(); 2].map(|()| Item::from(pool.try_get().unwrap()));
        let waiter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        pool.set_hard_limit(1).unwrap();
        put(&pool, one);
        put(&pool, other);
        let item = waiter.join().unwrap();
        // Also a page that was brought since: it would be where the first was.
        assert_eq!(item, other, "bound: it has one above the lowered limit");
        put(&pool, item);
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

/// It comes down, so that the page of what is put goes, and up again, so that there is another.
#[test]
fn lowered_and_raised() {
    model("limit/lowered_and_raised", || {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(2).bypass(0).build(arena.clone()).unwrap());
        let [one, other] = [(); 2].map(|()| pool.try_get().unwrap());
        pool.set_hard_limit(1).unwrap();
        let waiter = {
            let pool = pool.clone();
            spawn(move || get(&pool).unwrap())
        };
        put(&pool, one);
        pool.set_hard_limit(2).unwrap();
        put(&pool, waiter.join().unwrap());
        put(&pool, other);
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

/// One wants two items, while the limit comes down to one.
fn below_what_is_wanted(both: impl FnOnce(&RawPool) -> Vec<Item> + Send + 'static, waited: &Witness) {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).max_growing(1).bypass(0).build(arena.clone()).unwrap());
    let out = [(); 2].map(|()| pool.try_get().unwrap());
    let waiter = {
        let pool = pool.clone();
        spawn(move || {
            let items = both(&pool);
            let none = items.is_empty();
            for item in items {
                put(&pool, item);
            }
            none
        })
    };
    waited.saw(pool.stats().waiting > 0);
    pool.set_hard_limit(1).unwrap();
    for item in out {
        put(&pool, item);
    }
    assert!(waiter.join().unwrap(), "two items, and the limit is one");
    assert_eq!(pool.stats().failures.too_many, 1);
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn lowered_below_what_is_wanted() {
    witnessed("limit/lowered_below_want", "it waited already", |waited| {
        let both = |pool: &RawPool| match pool.get_many(2) {
            Ok(items) => items.into_iter().map(Item::from).collect(),
            Err(error) => {
                assert!(matches!(error, GetError::TooMany { .. }), "{error}");
                Vec::new()
            }
        };
        below_what_is_wanted(both, waited);
    });
}

/// As those do who have no such call: it has one, and waits for ever for the other.
#[test]
fn lowered_below_what_is_wanted_piece_by_piece() {
    known_bad("limit/lowered_piece_by_piece", "deadlock", || {
        below_what_is_wanted(|pool| [(); 2].map(|()| get(pool).unwrap()).into(), &Witness::default());
    });
}
