//! Objects that are made for each request, by all three kinds of factory: creations that fail, panic,
//! and are given up, objects that turn out bad, getters that leave (P1, P2, P5).

use std::convert::Infallible;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

use kva::sync::Arc;
use kva::sync::thread::yield_now;
use loom_tests::factories::{
    AwaitsItsOwn, Census, CommitsAfterwards, EndsOnSuccessOnly, Flawed, Object, polled_twice,
};
use loom_tests::run::{known_bad, model};
use loom_tests::world::block_on;
use pool::{AsyncFactory, Factory, Growers, ObjectFactory, Pool};

use crate::dice::{IN_TIME, below, one_in, pause};
use crate::holders::{join_all, threads};

const LIMIT: u32 = 3;
const GETTERS: usize = 10;

/// Makes an object, or fails, or panics.
fn make(census: &Census) -> Result<Object, &'static str> {
    let object = census.begin();
    pause();
    match below(6) {
        0 => Err("nobody answers"),
        // Without the noise of the panic hook.
        1 => resume_unwind(Box::new("the creator panics")),
        _ => Ok(object),
    }
}

/// One that takes a while.
async fn make_slowly(census: Census) -> Result<Object, &'static str> {
    let object = census.begin();
    polled_twice().await;
    match below(6) {
        0 => Err("nobody answers"),
        1 => resume_unwind(Box::new("the creator panics")),
        _ => Ok(object),
    }
}

/// How it is got. Whatever the error, the slot is not lost.
type Way<F> = fn(&Pool<Object, F>);

fn waits<F: ObjectFactory<Object = Object>>(pool: &Pool<Object, F>) {
    let _end = pool.get().map(|_object| pause());
}

fn times_out<F: ObjectFactory<Object = Object>>(pool: &Pool<Object, F>) {
    let _end = pool.get_timeout(IN_TIME).map(|_object| pause());
}

fn wants_two<F: ObjectFactory<Object = Object>>(pool: &Pool<Object, F>) {
    let _end = pool.get_many(2).map(|_objects| pause());
}

fn awaits<F: ObjectFactory<Object = Object>>(pool: &Pool<Object, F>) {
    let _end = block_on(pool.get_async()).map(|_object| pause());
}

/// Polled so often, and dropped: with it, what it drove.
fn drops_a_future<F: ObjectFactory<Object = Object>>(pool: &Pool<Object, F>) {
    let mut getter = pin!(pool.get_async());
    for _ in 0..=below(2) {
        if getter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            break;
        }
        pause();
    }
}

fn crowd<F: ObjectFactory<Object = Object>>(
    factory: impl FnOnce(Census) -> F,
    ways: impl IntoIterator<Item = Way<F>>,
) where
    Pool<Object, F>: Clone + Send,
{
    crowd_of(LIMIT as usize, factory, ways);
}

/// There are at most so many objects.
fn crowd_of<F: ObjectFactory<Object = Object>>(
    most: usize,
    factory: impl FnOnce(Census) -> F,
    ways: impl IntoIterator<Item = Way<F>>,
) where
    Pool<Object, F>: Clone + Send,
{
    let (census, ways) = (Census::new(most), Arc::<[Way<F>]>::from_iter(ways));
    let builder = Pool::from_factory(LIMIT, factory(census.clone())).max_growing(2);
    let pool = builder.validate(|_| !one_in(6)).build().unwrap();
    join_all(threads(GETTERS, {
        let pool = pool.clone();
        move |_| {
            for _ in 0..2 {
                let way = ways[below(ways.len())];
                let _panic = catch_unwind(AssertUnwindSafe(|| way(&pool)));
            }
        }
    }));
    // What goes on by itself ends by itself, and soon.
    for _ in 0..1000 {
        if pool.stats().growing > 0 {
            yield_now();
        }
    }
    census.assert_at_rest(&pool);
}

fn of_threads<F: ObjectFactory<Object = Object>>() -> [Way<F>; 3] {
    [waits, times_out, wants_two]
}

fn of_all<F: ObjectFactory<Object = Object>>() -> [Way<F>; 5] {
    [waits, times_out, wants_two, awaits, drops_a_future]
}

#[test]
fn made_by_the_getter() {
    model("large/factory", || crowd(|census| Factory::new(move || make(&census)), of_threads()));
}

#[test]
fn made_by_futures() {
    model("large/async_factory", || {
        crowd(|census| AsyncFactory::new(move || make_slowly(census.clone())), of_all());
    });
}

#[test]
fn made_by_growers() {
    model("large/growers", || crowd(|census| Growers::new(2, move || make(&census)), of_all()));
}

#[test]
fn made_and_then_committed() {
    known_bad("large/factory/commits_afterwards", "rest: an object was lost", || {
        // So that this is what it fails with, and not that there were too many before.
        let any = usize::MAX;
        crowd_of(any, |census| Flawed::new(CommitsAfterwards(move || census.begin())), of_all());
    });
}

/// The first creation never ends, and there is one more slot: all others are served by what is put.
fn hung<F: ObjectFactory<Object = Object, Error = Infallible>>(factory: impl FnOnce(Census) -> F)
where
    Pool<Object, F>: Clone + Send,
{
    let census = Census::new(2);
    let pool = Pool::from_factory(2, factory(census.clone())).max_growing(2).build().unwrap();
    join_all(threads(GETTERS, {
        let pool = pool.clone();
        move |_| {
            let object = pool.get().unwrap();
            pause();
            drop(object);
        }
    }));
    pool.close();
    drop(pool);
    census.assert_empty();
}

async fn hangs_first(census: Census) -> Result<Object, Infallible> {
    let (first, object) = (census.ever() == 0, census.begin());
    if first {
        pending::<()>().await;
    }
    Ok(object)
}

#[test]
fn the_first_hangs() {
    model("large/hang", || hung(|census| AsyncFactory::new(move || hangs_first(census.clone()))));
}

#[test]
fn whoever_makes_it_hangs() {
    known_bad("large/hang/awaits_its_own", "deadlock", || {
        hung(|census| Flawed::new(AwaitsItsOwn(move || hangs_first(census.clone()))));
    });
}

/// One that takes a while, and only fails.
async fn fail_slowly(census: Census) -> Result<Object, &'static str> {
    let _object = census.begin();
    polled_twice().await;
    Err("nobody answers")
}

/// Nobody waits without a deadline: who does would hang.
#[test]
fn a_slot_that_failure_keeps() {
    known_bad("large/factory/failure_keeps_slot", "rest: a slot was lost", || {
        let flawed = |census: Census| Flawed::new(EndsOnSuccessOnly(move || fail_slowly(census.clone())));
        crowd(flawed, [times_out as Way<_>, drops_a_future]);
    });
}
