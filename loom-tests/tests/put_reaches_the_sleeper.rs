//! NetBSD kern/45718: a getter is asleep because the arena has nothing, and an item is
//! put. The getter must have it, wherever its grow stands (P2).

use kva::sync::Arc;
use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::historical::SleepsUnreachably;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, one, pages, put};
use pool::Backend;

/// One page, which is out; everything else of the arena is somebody else's.
fn world<B: Backend<Error = AllocError>>(bypass: u32, backend: impl Fn(Arena) -> B) {
    let arena = arena(2, 0);
    let others = arena.try_alloc(one()).unwrap();
    let pool = Arc::new(pages(2).low_water(1).bypass(bypass).build(backend(arena.clone())).unwrap());
    let item = pool.try_get().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || put(&pool, pool.get().unwrap()))
    };
    put(&pool, item);
    getter.join().unwrap();
    assert_pool_at_rest(&pool, 1);
    drop(pool);
    arena.free(others).unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn handed_over() {
    model("put_reaches_the_sleeper", || world(0, |arena| arena));
}

#[test]
fn left_for_whoever_comes_first() {
    model("put_reaches_the_sleeper/bypass", || world(1, |arena| arena));
}

#[test]
fn unless_it_sleeps_in_the_back_end() {
    known_bad("put_reaches_the_sleeper/status_quo", "deadlock", || world(0, SleepsUnreachably));
}
