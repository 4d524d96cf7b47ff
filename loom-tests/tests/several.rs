//! One getter wants several items, all or none, beside others that want one (P2, P4).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{
    QUANTUM, arena, assert_arena_whole, assert_pool_at_rest, block_on, get, pages, put, waiting,
};

/// Somebody waits for two items, which are put one after the other. Another comes meanwhile and wants
/// so many.
fn world(bypass: u32, want: usize, passed: &Witness) {
    let arena = arena(2, 0);
    let pool = Arc::new(pages(2).bypass(bypass).build(arena.clone()).unwrap());
    let items = pool.get_many(2).unwrap();
    let both = waiting(pool.request().get_pieces_async(2 * QUANTUM));
    let other = {
        let pool = pool.clone();
        spawn(move || {
            for item in pool.get_many(want).unwrap() {
                put(&pool, item);
            }
        })
    };
    for item in items {
        put(&pool, item);
    }
    drop(block_on(both).unwrap());
    other.join().unwrap();
    let stats = assert_pool_at_rest(&pool, 0);
    assert!(stats.most_overtaken <= u64::from(bypass), "overtaken {} times", stats.most_overtaken);
    passed.saw(stats.most_overtaken > 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn against_a_single() {
    model("several/against_single", || world(0, 1, &Witness::default()));
}

#[test]
fn against_a_single_that_may_pass() {
    witnessed("several/against_passing_single", "what was gathered for two served one", |passed| {
        world(1, 1, passed);
    });
}

#[test]
fn against_several() {
    model("several/against_several", || world(0, 2, &Witness::default()));
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
