//! P4: a waiter is overtaken at most `K` times, and is served in the end.

#![allow(clippy::disallowed_types, reason = "counts executions from outside of them")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};

/// One waits while the other gets and puts twice.
fn world(bypass: u32, most: &AtomicU64) {
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
    most.fetch_max(stats.most_overtaken, Relaxed);
    assert!(stats.most_overtaken <= 1, "overtaken {} times", stats.most_overtaken);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn overtaken_once_and_no_more() {
    static MOST: AtomicU64 = AtomicU64::new(0);
    model("bypass/once", || world(1, &MOST));
    let ran = std::env::var_os("LOOM_KNOWN_BAD").is_none() && std::env::var_os("LOOM_ONLY").is_none();
    assert!(cfg!(not(loom)) || !ran || MOST.load(Relaxed) == 1, "nobody was ever overtaken");
}

#[test]
fn never_overtaken() {
    static MOST: AtomicU64 = AtomicU64::new(0);
    model("bypass/never", || world(0, &MOST));
    assert_eq!(MOST.load(Relaxed), 0, "overtaken although none may");
}

#[test]
fn overtaken_more_often_than_allowed() {
    static MOST: AtomicU64 = AtomicU64::new(0);
    known_bad("bypass/twice", "overtaken 2 times", || world(2, &MOST));
}
