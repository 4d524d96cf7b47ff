//! P4: a waiter is overtaken at most `K` times, and is served in the end.

use std::task::{Context, Poll, Waker};

use kva::sync::Arc;
use kva::sync::thread::spawn;
use loom_tests::naive::{Flaw, Naive};
use loom_tests::run::{known_bad, model, witnessed};
use loom_tests::world::{Item, arena, assert_arena_whole, assert_pool_at_rest, get, pages, put};

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
    while again < 2
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

/// One waits and another comes, just as the item is put: it is for the one that came first.
fn in_order<I: Send + 'static, G: Future<Output = I>>(
    get: impl Fn() -> G,
    put: impl Fn(I) + Clone + Send + 'static,
    item: I,
) {
    let mut context = Context::from_waker(Waker::noop());
    let (mut first, mut second) = (Box::pin(get()), Box::pin(get()));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let putter = {
        let put = put.clone();
        spawn(move || put(item))
    };
    assert!(second.as_mut().poll(&mut context).is_pending(), "the second was served first");
    putter.join().unwrap();
    assert!(second.as_mut().poll(&mut context).is_pending(), "the second was served first");
    let Poll::Ready(item) = first.as_mut().poll(&mut context) else { panic!("nobody was served") };
    put(item);
    let Poll::Ready(item) = second.as_mut().poll(&mut context) else { panic!("the second was forgotten") };
    put(item);
}

#[test]
fn the_oldest_first() {
    model("bypass/oldest_first", || {
        let arena = arena(1, 0);
        let pool = Arc::new(pages(1).bypass(0).build(arena.clone()).unwrap());
        let item = Item::from(pool.try_get().unwrap());
        let puts = {
            let pool = pool.clone();
            move |item| put(&pool, item)
        };
        in_order(async || Item::from(pool.get_async().await.unwrap()), puts, item);
        assert_pool_at_rest(&pool, 0);
        drop(pool);
        assert_arena_whole(&arena);
    });
}

#[test]
fn whoever_looks_first() {
    known_bad("bypass/who_looks_first", "the second was served first", || {
        let pool = Arc::new(Naive::with_all_out(Flaw::ForgetsTheWoken, 1));
        let puts = {
            let pool = pool.clone();
            move |()| pool.put()
        };
        in_order(|| pool.get_async(), puts, ());
    });
}

/// One waits, and keeps what it gets. Another puts what it has, and passes as often as it can.
fn passes(bypass: u32) -> u32 {
    let arena = arena(1, 0);
    let pool = Arc::new(pages(1).bypass(bypass).build(arena.clone()).unwrap());
    let item = Item::from(pool.try_get().unwrap());
    let mut context = Context::from_waker(Waker::noop());
    let mut waiter = Box::pin(pool.get_async());
    assert!(waiter.as_mut().poll(&mut context).is_pending());
    let other = {
        let pool = pool.clone();
        spawn(move || {
            put(&pool, item);
            let mut passes = 0;
            while passes < 2
                && let Ok(item) = pool.try_get()
            {
                passes += 1;
                put(&pool, item);
            }
            passes
        })
    };
    let early = waiter.as_mut().poll(&mut context);
    let passes = other.join().unwrap();
    assert!(passes <= 1, "passed {passes} times");
    let served = if early.is_ready() { early } else { waiter.as_mut().poll(&mut context) };
    let Poll::Ready(item) = served else { panic!("passed, and forgotten") };
    put(&pool, item.unwrap());
    drop(waiter);
    assert_pool_at_rest(&pool, 0);
    drop(pool);
    assert_arena_whole(&arena);
    passes
}

#[test]
fn passed_once_and_no_more() {
    witnessed("bypass/passed_once", "passed", |passed| passed.saw(passes(1) == 1));
}

#[test]
fn passed_more_often_than_allowed() {
    known_bad("bypass/passed_twice", "passed 2 times", || {
        passes(2);
    });
}
