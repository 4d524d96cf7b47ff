//! A pool is closed or dropped while somebody waits and a grow is pending: the waiter is
//! told, and the page that comes too late goes back (P5).

use std::task::{Context, Waker};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use kva::{AllocError, Arena};
use loom_tests::backends::Manual;
use loom_tests::historical::{QueuesBlindly, ReleasesNothing, deliver_taking_first};
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{Witness, known_bad, model, witnessed};
use loom_tests::world::{Item, arena, assert_arena_whole, block_on, get, one, pages, put, waiting};
use pool::{Backend, GetError};

/// Closed while the back-end delivers.
fn against_delivery(deliver: impl Fn(&Manual) + Copy + Send + 'static, served: &Witness) {
    let arena = arena(1, 0);
    let manual = Manual::new(arena.clone());
    let pool = pages(1).bypass(0).build(manual.clone()).unwrap();
    let getter = waiting(pool.get_async());
    let deliverer = spawn(move || deliver(&manual));
    pool.close();
    let end = block_on(getter).map(|item| put(&pool, item));
    served.saw(end.is_ok());
    assert!(matches!(end, Ok(()) | Err(GetError::Closed)), "{end:?}");
    deliverer.join().unwrap();
    assert!(matches!(pool.get(), Err(GetError::Closed)));
    drop(pool);
    assert_arena_whole(&arena);
}

#[test]
fn while_a_page_is_delivered() {
    witnessed("close/against_delivery", "it was delivered to", |served| {
        let deliver = |manual: &Manual| {
            manual.deliver();
        };
        against_delivery(deliver, served);
    });
}

#[test]
fn while_a_page_is_taken_for_nobody() {
    known_bad("close/taken_before_commit", "rest: a span was lost", || {
        against_delivery(deliver_taking_first, &Witness::default());
    });
}

/// Closed while somebody comes and asks for a page, of which there is none. Whatever the order, the
/// request is gone.
fn against_ask<B: Backend<Error = AllocError> + Clone>(
    backend: impl FnOnce(Arena) -> B,
    left_behind: impl FnOnce(&B) -> usize,
    withdrawn: &Witness,
) {
    let arena = arena(1, 0);
    let others = arena.try_alloc(one()).unwrap();
    let backend = backend(arena.clone());
    let pool = Arc::new(pages(1).bypass(0).build(backend.clone()).unwrap());
    let getter = {
        let pool = pool.clone();
        spawn(move || assert!(matches!(pool.get(), Err(GetError::Closed))))
    };
    pool.close();
    getter.join().unwrap();
    assert_eq!(left_behind(&backend), 0, "a request was left behind");
    let stats = pool.stats();
    withdrawn.saw(stats.withdrawn > 0);
    assert_eq!(stats.growing, 0, "its slot was kept");
    drop(pool);
    arena.free(others).unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn while_somebody_asks() {
    witnessed("close/as_it_asks", "it was withdrawn", |withdrawn| {
        against_ask(|arena| arena, |arena| arena.stats().waiting, withdrawn);
    });
}

#[test]
fn while_somebody_is_queued_without_a_look() {
    known_bad("close/queued_blindly", "a request was left behind", || {
        let left_behind = |backend: &QueuesBlindly| {
            let queued = backend.queued();
            backend.clear();
            queued
        };
        against_ask(QueuesBlindly::new, left_behind, &Witness::default());
    });
}

/// Closed, and dropped by whoever is last, while an item is put and somebody waits for it.
fn against_put<B: Backend<Error = AllocError>>(backend: impl Fn(Arena) -> B) {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(0).build(backend(arena.clone())).unwrap());
    let item = pool.try_get().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || get(&pool).map(|item| put(&pool, item)))
    };
    let putter = {
        let pool = pool.clone();
        let item = Item::from(item);
        spawn(move || put(&pool, item))
    };
    pool.close();
    drop(pool);
    let end = getter.join().unwrap();
    assert!(matches!(end, Ok(()) | Err(GetError::Closed)), "{end:?}");
    putter.join().unwrap();
    assert_arena_whole(&arena);
}

#[test]
fn while_an_item_is_put() {
    model("close/against_put", || against_put(|arena| arena));
}

#[test]
fn and_its_pages_are_not_given_back() {
    known_bad("close/releases_nothing", "rest: a span was lost", || against_put(ReleasesNothing));
}

/// Closed while one waits, and another has or is about to: both are told.
fn tells_all(first: impl Future<Output = ()>, second: impl FnOnce() + Send + 'static, close: impl FnOnce()) {
    let mut first = waiting(first);
    let second = spawn(second);
    close();
    second.join().unwrap();
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

/// One of them is critical, so that there are two lines to be told.
#[test]
fn while_two_wait() {
    model("close/tells_all", || {
        let arena = arena(2, 0);
        let builder = pages(2).max_growing(1).critical_reserve(1).bypass(0);
        let pool = Arc::new(builder.build(arena.clone()).unwrap());
        let out = [(); 2].map(|()| pool.request().critical().try_get().unwrap());
        let critical =
            async || assert!(matches!(pool.request().critical().get_async().await, Err(GetError::Closed)));
        let ordinary = {
            let pool = pool.clone();
            move || assert!(matches!(pool.get(), Err(GetError::Closed)))
        };
        tells_all(critical(), ordinary, || pool.close());
        for item in out {
            put(&pool, item);
        }
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn while_two_wait_and_one_is_told() {
    known_bad("close/tells_one", "deadlock", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::OpensForOne, 1));
        let other = {
            let pool = pool.clone();
            move || assert!(pool.get(None))
        };
        tells_all(pool.get_async(), other, || pool.open());
    });
}
