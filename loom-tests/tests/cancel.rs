//! A waiter's deadline passes while a put serves it: the item reaches the next (P5).

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kva::AllocError;
use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};
use pool::{Awaited, GetError, RawPool};

/// Under loom a deadline passes when loom wants.
const SOON: Duration = Duration::from_micros(50);

/// One waits with a deadline, and this thread, which puts and then gets, may have to wait
/// behind it.
fn world(bypass: u32, late: &Witness) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(bypass).build(arena.clone()).unwrap());
    let item = pool.try_get().unwrap();
    let impatient = {
        let pool = pool.clone();
        spawn(move || pool.get_timeout(SOON).map(|item| put(&pool, item)))
    };
    put(&pool, item);
    put(&pool, get(&pool).unwrap());
    let end = impatient.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(GetError::TimedOut(_))), "{end:?}");
    late.saw(end.is_err());
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn against_a_hand_over() {
    witnessed("cancel/against_hand_over", "it timed out", |late| world(0, late));
}

#[test]
fn against_a_kick() {
    witnessed("cancel/against_kick", "it timed out", |late| world(1, late));
}

#[test]
fn a_wake_that_is_not_passed_on() {
    known_bad("cancel/not_passed_on", "deadlock", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::ForgetsTheWoken, 1));
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
fn against_delivery(
    late: &Witness,
    get: impl Fn(&RawPool) -> Result<NonNull<u8>, GetError<AllocError>> + Send + 'static,
) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
    let others = arena.try_alloc(loom_tests::world::one()).unwrap();
    let impatient = {
        let pool = pool.clone();
        spawn(move || get(&pool).map(|item| put(&pool, item)))
    };
    arena.free(others).unwrap();
    let end = impatient.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(GetError::TimedOut(Awaited::Page))), "{end:?}");
    late.saw(end.is_err());
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn deadline_against_delivery() {
    witnessed("cancel/against_delivery", "it timed out", |late| {
        against_delivery(late, |pool| pool.get_timeout(SOON));
    });
}

#[test]
fn grow_timeout_against_delivery() {
    witnessed("cancel/grow_timeout", "it timed out", |late| {
        against_delivery(late, |pool| pool.request().grow_timeout(SOON).get());
    });
}

/// Only the time to wait for a page is up, and what it waits for is a put: it waits on.
fn patient_for_a_put(wait: impl Fn(&RawPool) -> Result<NonNull<u8>, GetError<AllocError>> + Send + 'static) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
    let item = pool.try_get().unwrap();
    let patient = {
        let pool = pool.clone();
        spawn(move || put(&pool, wait(&pool).expect("a put comes")))
    };
    put(&pool, item);
    patient.join().unwrap();
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn grow_timeout_and_a_put() {
    model("cancel/grow_timeout_and_put", || {
        patient_for_a_put(|pool| pool.request().grow_timeout(SOON).get());
    });
}

#[test]
fn one_timeout_for_both() {
    known_bad("cancel/one_timeout_for_both", "a put comes", || {
        patient_for_a_put(|pool| pool.get_timeout(SOON));
    });
}
