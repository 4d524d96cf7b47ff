//! What is in a cache when its owner's thread ends, or the pool is closed or dropped, is in the
//! pool again, or goes where it came from (P5, P6).

use kva::sync::Arc;
use kva::sync::thread::{spawn, yield_now};
use kva::{AllocError, Arena};
use loom_tests::caching::flawed::{Flaw, Flawed};
use loom_tests::caching::{Caching, Production};
use loom_tests::historical::ReleasesNothing;
use loom_tests::run::{known_bad, model};
use loom_tests::world::{QUANTUM, Shelves, assert_arena_whole};
use pool::{Backend, Pool};

/// Leaves an item in the cache of a thread that is about to end: a modelled thread can be joined
/// before its locals are gone.
fn end<P: Caching>(pool: &Arc<P>) {
    let pool = pool.clone();
    spawn(move || pool.warm_up()).join().unwrap();
}

/// What it has goes back by itself.
fn empties<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    end(&pool);
    while pool.uncached() == 0 {
        yield_now();
    }
    pool.assert_at_rest();
}

#[test]
fn ended_while_nobody_sweeps() {
    model("caches/end_empties", || empties(Production::new(1)));
}

#[test]
fn ended_and_forgotten_for_ever() {
    known_bad("caches/end_empties_nothing", "maximum number of branches", || {
        empties(Flawed::new(Flaw::ForgetsTheDead, 1));
    });
}

/// Somebody waits for what a thread has that ends.
fn end_against_wait<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    end(&pool);
    pool.put(pool.get());
    pool.assert_at_rest();
}

#[test]
fn ended_while_another_begins_to_wait() {
    model("caches/end_against_wait", || end_against_wait(Production::new(1)));
}

#[test]
fn ended_and_forgotten() {
    known_bad("caches/forgets_the_dead", "deadlock", || {
        end_against_wait(Flawed::new(Flaw::ForgetsTheDead, 1));
    });
}

/// A drain finds what a thread has that ends.
fn end_against_drain<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    end(&pool);
    pool.assert_at_rest();
}

#[test]
fn ended_while_another_drains() {
    model("caches/end_against_drain", || end_against_drain(Production::new(1)));
}

#[test]
fn ended_and_forgotten_by_a_drain() {
    known_bad("caches/drained_without_the_dead", "rest: an item was lost", || {
        end_against_drain(Flawed::new(Flaw::ForgetsTheDead, 1));
    });
}

/// So does a close.
fn end_against_close<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    end(&pool);
    pool.close();
    pool.assert_all_gone();
}

#[test]
fn ended_while_another_closes() {
    // Others of the page's items are out until then: else it may be the thread that ends that gives
    // the page back, which it may be at still.
    model("caches/end_against_close", || end_against_close(Production::with_one_cache(1)));
}

#[test]
fn ended_and_forgotten_by_a_close() {
    known_bad("caches/closed_without_the_dead", "rest: an item was lost", || {
        end_against_close(Flawed::new(Flaw::ForgetsTheDead, 1));
    });
}

/// A pool is closed while an owner puts, which may be into its cache.
fn put_against_close<P: Caching>(pool: P) {
    let pool = Arc::new(pool);
    pool.warm_up();
    let item = pool.get();
    let closer = {
        let pool = pool.clone();
        spawn(move || pool.close())
    };
    pool.put(item);
    closer.join().unwrap();
    pool.assert_all_gone();
}

#[test]
fn put_while_another_closes() {
    model("caches/put_against_close", || put_against_close(Production::new(1)));
}

#[test]
fn put_while_another_closes_and_sweeps_nothing() {
    known_bad("caches/closes_unswept", "rest: an item was lost", || {
        put_against_close(Flawed::new(Flaw::ClosesUnswept, 1));
    });
}

/// The last handle is dropped while an owner puts an object that it has without a handle, and the
/// owner's thread ends after the pool has.
fn put_against_drop<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let mut shelves = Shelves::new();
    // SAFETY: the pool is dropped below, with nothing out.
    let arena = unsafe { shelves.arena(1) };
    let builder = Pool::builder(1, || [0_u8; QUANTUM]).max_growing(1).bypass(0).magazine_rounds(1);
    let pool = builder.build(backend(arena.clone())).unwrap();
    drop(pool.get().unwrap());
    let object = pool.get_owned().unwrap();
    let dropper = spawn(move || drop(pool));
    drop(object);
    dropper.join().unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn put_while_the_last_handle_is_dropped() {
    model("caches/put_against_drop", || put_against_drop(|arena| arena));
}

#[test]
fn put_while_the_last_handle_is_dropped_and_nothing_released() {
    known_bad("caches/drop_releases_nothing", "rest: a span was lost", || {
        put_against_drop(ReleasesNothing);
    });
}
