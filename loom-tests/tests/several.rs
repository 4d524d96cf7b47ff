//! One getter wants several items, all or none, beside others that want one (P2, P4).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{Item, arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};

/// Two items are put one after the other; one wants both, and this thread then one.
fn world(bypass: u32, gathered: &Witness) {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).bypass(bypass).build(arena.clone()).unwrap());
    let items = pool.get_many(2).unwrap();
    let both = {
        let pool = pool.clone();
        spawn(move || {
            for item in pool.get_many(2).unwrap() {
                put(&pool, item);
            }
        })
    };
    for item in items {
        put(&pool, item);
    }
    let single = get(&pool).unwrap();
    let stats = pool.stats();
    gathered.saw(stats.idle == 1 && stats.waiting == 1);
    put(&pool, single);
    both.join().unwrap();
    let stats = assert_pool_at_rest(&pool, 0);
    assert!(stats.most_overtaken <= u64::from(bypass), "overtaken {} times", stats.most_overtaken);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn against_a_single() {
    model("several/against_single", || world(0, &Witness::default()));
}

#[test]
fn against_a_single_that_may_pass() {
    witnessed("several/against_passing_single", "items gathered beside a waiter", |gathered| {
        world(1, gathered);
    });
}

/// Two want both items.
#[test]
fn against_several() {
    model("several/against_several", || {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(2).bypass(0).build(arena.clone()).unwrap());
        let both = || pool.get_many(2).unwrap().into_iter().map(Item::from).collect::<Vec<_>>();
        let items = both();
        let other = {
            let pool = pool.clone();
            spawn(move || {
                for item in pool.get_many(2).unwrap() {
                    put(&pool, item);
                }
            })
        };
        for item in items {
            put(&pool, item);
        }
        for item in both() {
            put(&pool, item);
        }
        other.join().unwrap();
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

/// As those do who have no such call: each holds one and waits for the other's.
#[test]
fn piece_by_piece() {
    known_bad("several/piece_by_piece", "deadlock", || {
        let arena = arena(2, 0);
        let pool = Arc::new(pages(2).bypass(0).build(arena.clone()).unwrap());
        let both_and_put = |pool: &_| {
            for item in [(); 2].map(|()| get(pool).unwrap()) {
                put(pool, item);
            }
        };
        let other = {
            let pool = pool.clone();
            spawn(move || both_and_put(&pool))
        };
        both_and_put(&pool);
        other.join().unwrap();
    });
}
