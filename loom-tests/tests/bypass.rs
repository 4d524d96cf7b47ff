//! P4: a waiter is overtaken at most `K` times, and is served in the end.

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};

/// One waits while the other gets and puts twice.
fn world(bypass: u32) -> u64 {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(bypass).build(arena.clone()).unwrap());
    let item = pool.try_get().unwrap();
    let waiter = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    put(&pool, item);
    // Takes the item again as often as it can get it without waiting.
    let mut again = 0;
    while again < 3
        && let Ok(item) = pool.try_get()
    {
        again += 1;
        put(&pool, item);
    }
    put(&pool, waiter.join().unwrap());
    let stats = assert_pool_at_rest(&pool, 0);
    assert!(stats.most_overtaken <= 1, "overtaken {} times", stats.most_overtaken);
    drop(pool);
    assert_arena_whole(&arena);
    stats.most_overtaken
}

#[test]
fn overtaken_once_and_no_more() {
    witnessed("bypass/once", "overtaken", |witness| witness.saw(world(1) == 1));
}

#[test]
fn never_overtaken() {
    model("bypass/never", || assert_eq!(world(0), 0, "overtaken although none may"));
}

#[test]
fn overtaken_more_often_than_allowed() {
    known_bad("bypass/twice", "overtaken 2 times", || {
        world(2);
    });
}
