//! A waiter's deadline passes while a put serves it: the item reaches the next (P5).

use std::time::{Duration, Instant};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::historical::WakesAndForgets;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::GetError;

/// Under loom a deadline passes when loom wants.
const SOON: Duration = Duration::from_micros(50);

fn world(bypass: u32) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(bypass).build(arena.clone()).unwrap());
    let item = pool.try_get().unwrap();
    let impatient = {
        let pool = pool.clone();
        spawn(move || pool.get_timeout(SOON).map(|item| put(&pool, item)))
    };
    let patient = {
        let pool = pool.clone();
        spawn(move || get(&pool).unwrap())
    };
    put(&pool, item);
    put(&pool, patient.join().unwrap());
    let end = impatient.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(GetError::TimedOut)), "{end:?}");
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn against_a_hand_over() {
    model("cancel/against_hand_over", || world(0));
}

#[test]
fn against_a_kick() {
    model("cancel/against_kick", || world(1));
}

#[test]
fn a_wake_that_is_not_passed_on() {
    known_bad("cancel/not_passed_on", "deadlock", || {
        let pool = Arc::new(WakesAndForgets::default());
        let impatient = {
            let pool = pool.clone();
            spawn(move || pool.get(Some(Instant::now() + SOON)).then(|| pool.put()))
        };
        let patient = {
            let pool = pool.clone();
            spawn(move || pool.get(None))
        };
        pool.put();
        patient.join().unwrap();
        impatient.join().unwrap();
    });
}

/// A grow's waiter gives up while the back-end delivers: the page is kept or released,
/// the request gone.
#[test]
fn against_delivery() {
    model("cancel/against_delivery", || {
        let arena = arena(1, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let others = arena.try_alloc(loom_tests::world::one()).unwrap();
        let impatient = {
            let pool = pool.clone();
            spawn(move || pool.get_timeout(SOON).map(|item| put(&pool, item)))
        };
        arena.free(others).unwrap();
        let end = impatient.join().unwrap();
        assert!(matches!(end, Ok(()) | Err(GetError::TimedOut)), "{end:?}");
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}
