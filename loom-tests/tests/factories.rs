//! Objects that a factory makes: creations that fail, panic, hang, come too late or change hands
//! (P1, P2, P5).

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Waker};

use kva::sync::thread::spawn;
use kva::sync::{Arc, Mutex};
use loom_tests::factories::{
    AwaitsItsOwn, Census, CommitsAfterwards, EndsOnSuccessOnly, Flag, Flawed, Object, SaysNothing,
    polled_twice,
};
use loom_tests::run::{Witness, known_bad, witnessed};
use loom_tests::world::block_on;
use pool::{AsyncFactory, Builder, Created, Factory, GetError, Growers, ObjectFactory, Pool};

/// A pool of at most `limit` objects.
fn pool<F: ObjectFactory>(limit: u32, factory: F) -> Builder<Created<F>> {
    // Few slots: each is an object to loom.
    Pool::from_factory(limit, factory).max_growing(2).bypass(0)
}

/// Makes an object, but for the first.
fn fails_once(census: &Census) -> Result<Object, &'static str> {
    let (first, object) = (census.ever() == 0, census.begin());
    if first { Err("nobody answers") } else { Ok(object) }
}

/// The first creation fails, with two waiting for it, while an object is brought.
fn failure<F: ObjectFactory<Object = Object, Error = &'static str>>(
    factory: impl Fn(Census) -> F,
    both: &Witness,
) {
    let census = Census::new(1);
    let pool = pool(1, factory(census.clone())).build().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get().map(drop))
    };
    let ends = [pool.get().map(drop), getter.join().unwrap()];
    let failed = ends.iter().filter(|end| matches!(end, Err(GetError::Backend(_)))).count();
    let served = ends.iter().filter(|end| end.is_ok()).count();
    assert_eq!((failed, served), (1, 1), "one has the error, the other is served: {ends:?}");
    both.saw(pool.stats().waits.served > 0);
    census.assert_at_rest(&pool);
}

#[test]
fn failure_against_waiter() {
    witnessed("factories/failure_against_waiter", "the other waited", |both| {
        failure(|census| AsyncFactory::new(move || ready(fails_once(&census))), both);
    });
}

#[test]
fn failure_on_the_getters_thread() {
    witnessed("factories/failure_on_own_thread", "the other waited", |both| {
        failure(|census| Factory::new(move || fails_once(&census)), both);
    });
}

#[test]
fn failure_that_keeps_its_slot() {
    known_bad("factories/failure_keeps_slot", "deadlock", || {
        let flawed = |census: Census| Flawed::new(EndsOnSuccessOnly(move || ready(fails_once(&census))));
        failure(flawed, &Witness::default());
    });
}

/// The first is made, the second fails.
fn fails_second(census: &Census) -> Result<Object, &'static str> {
    let (second, object) = (census.ever() == 1, census.begin());
    if second { Err("nobody answers") } else { Ok(object) }
}

/// A creation fails while an object is put.
fn failure_or_put<F: ObjectFactory<Object = Object, Error = &'static str>>(
    factory: impl Fn(Census) -> F,
    failed: &Witness,
) {
    let census = Census::new(2);
    let pool = pool(2, factory(census.clone())).build().unwrap();
    let object = pool.get_owned().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || pool.get().map(drop))
    };
    drop(object);
    let end = getter.join().unwrap();
    failed.saw(end.is_err());
    assert!(matches!(end, Ok(()) | Err(GetError::Backend(_))), "{end:?}");
    census.assert_at_rest(&pool);
}

#[test]
fn failure_against_put() {
    witnessed("factories/failure_against_put", "the creation failed first", |failed| {
        failure_or_put(|census| AsyncFactory::new(move || ready(fails_second(&census))), failed);
    });
}

#[test]
fn failure_against_put_that_keeps_its_slot() {
    known_bad("factories/failed_for_ever", "rest: a slot was lost", || {
        let flawed = |census: Census| Flawed::new(EndsOnSuccessOnly(move || ready(fails_second(&census))));
        failure_or_put(flawed, &Witness::default());
    });
}

/// Makes an object, but panics at first.
fn panics_once(census: &Census) -> Object {
    let (first, object) = (census.ever() == 0, census.begin());
    if first {
        // Without the noise of the panic hook.
        resume_unwind(Box::new("the creator panics"));
    }
    object
}

/// The first creation panics while another getter waits for it.
fn panic<F: ObjectFactory<Object = Object, Error = Infallible>>(
    factory: impl Fn(Census) -> F,
    waited: &Witness,
) {
    let census = Census::new(1);
    let pool = pool(1, factory(census.clone())).build().unwrap();
    let get = |pool: &Pool<Object, F>| catch_unwind(AssertUnwindSafe(|| pool.get().map(drop))).ok();
    let getter = {
        let pool = pool.clone();
        spawn(move || get(&pool))
    };
    let ends = [get(&pool), getter.join().unwrap()];
    assert_eq!(ends.iter().filter(|end| end.is_none()).count(), 1, "the panic is one getter's");
    assert!(ends.iter().any(|end| matches!(end, Some(Ok(())))), "the other is served: {ends:?}");
    waited.saw(pool.stats().waits.served > 0);
    census.assert_at_rest(&pool);
}

#[test]
fn panic_against_waiter() {
    witnessed("factories/panic_against_waiter", "the other waited", |waited| {
        panic(|census| AsyncFactory::new(move || ready(Ok(panics_once(&census)))), waited);
    });
}

#[test]
fn panic_on_the_getters_thread() {
    witnessed("factories/panic_on_own_thread", "the other waited", |waited| {
        panic(|census| Factory::new(move || Ok(panics_once(&census))), waited);
    });
}

#[test]
fn panic_that_keeps_its_slot() {
    known_bad("factories/panic_keeps_slot", "deadlock", || {
        let flawed = |census: Census| Flawed::new(EndsOnSuccessOnly(move || ready(Ok(panics_once(&census)))));
        panic(flawed, &Witness::default());
    });
}

/// Makes one object, and then hangs.
async fn hangs_second(census: Census) -> Result<Object, Infallible> {
    let (second, object) = (census.ever() == 1, census.begin());
    if second {
        pending::<()>().await;
    }
    Ok(object)
}

/// A getter's creation never ends; an object is put.
fn hang<F: ObjectFactory<Object = Object, Error = Infallible>>(
    bypass: u32,
    factory: impl Fn(Census) -> F,
    hung: &Witness,
) {
    let census = Census::new(2);
    let pool = pool(2, factory(census.clone())).bypass(bypass).build().unwrap();
    let object = pool.get_owned().unwrap();
    let getter = {
        let pool = pool.clone();
        spawn(move || drop(pool.get().unwrap()))
    };
    drop(object);
    getter.join().unwrap();
    hung.saw(census.ever() == 2);
    census.assert_at_rest(&pool);
}

#[test]
fn hang_against_put() {
    witnessed("factories/hang_against_put", "the creation hung", |hung| {
        hang(0, |census| AsyncFactory::new(move || hangs_second(census.clone())), hung);
    });
}

#[test]
fn hang_against_put_that_is_left_for_whoever_comes_first() {
    witnessed("factories/hang_against_kick", "the creation hung", |hung| {
        hang(1, |census| AsyncFactory::new(move || hangs_second(census.clone())), hung);
    });
}

#[test]
fn hang_in_the_getter() {
    known_bad("factories/awaits_its_own", "deadlock", || {
        let flawed = |census: Census| Flawed::new(AwaitsItsOwn(move || hangs_second(census.clone())));
        hang(0, flawed, &Witness::default());
    });
}

/// A thread creates for a getter that leaves, while the pool is closed. loom says if the object
/// is lost.
fn surplus<F>(factory: impl Fn(Census) -> F, surplus: &Witness)
where
    F: ObjectFactory<Object = Object>,
{
    let census = Census::new(1);
    let pool = pool(1, factory(census.clone())).build().unwrap();
    let mut future = Box::pin(pool.get_owned_async());
    let begun = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let closer = {
        let pool = pool.clone();
        spawn(move || pool.close())
    };
    drop((begun, future));
    closer.join().unwrap();
    let stats = pool.stats();
    surplus.saw(stats.growing == 1);
    assert_eq!((stats.out, stats.waiting, stats.idle), (0, 0, 0), "rest: {stats:?}");
}

#[test]
fn surplus_against_close() {
    witnessed("factories/surplus_against_close", "nobody needed it", |witness| {
        surplus(|census| Growers::new(1, move || Ok::<_, Infallible>(census.begin())), witness);
    });
}

#[test]
fn surplus_that_nobody_takes() {
    known_bad("factories/commits_afterwards", "leaked", || {
        let flawed = |census: Census| Flawed::new(CommitsAfterwards(move || census.begin()));
        surplus(flawed, &Witness::default());
    });
}

/// What creations wait for that begin early.
struct Hang {
    early: Flag,
    over: Mutex<()>,
}

impl Hang {
    fn create(&self, census: &Census) -> Object {
        let object = census.begin();
        if self.early.is_set() {
            drop(self.over.lock());
        }
        object
    }
}

/// A creation hangs on its thread and its getter leaves. Another comes, who is served by one of its
/// own.
fn hung_thread<F>(factory: impl Fn(Census, Arc<Hang>) -> F, hung: &Witness)
where
    F: ObjectFactory<Object = Object, Error: Debug>,
{
    let census = Census::new(2);
    let hang = Arc::new(Hang { early: Flag::new(true), over: Mutex::new(()) });
    let hangs = hang.over.lock();
    let pool = pool(2, factory(census.clone(), hang.clone())).build().unwrap();
    let mut future = Box::pin(pool.get_owned_async());
    let begun = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending());
    drop(future);
    hang.early.set(false);
    drop(pool.get().unwrap());
    hung.saw(census.ever() == 2);
    drop(hangs);
}

#[test]
fn hung_thread_against_newcomer() {
    witnessed("factories/hung_thread", "it hung to the end", |hung| {
        let growers = |census: Census, hang: Arc<Hang>| {
            Growers::new(2, move || Ok::<_, Infallible>(hang.create(&census)))
        };
        hung_thread(growers, hung);
    });
}

#[test]
fn hung_thread_that_is_counted_on() {
    known_bad("factories/says_nothing", "deadlock", || {
        let flawed = |census: Census, hang: Arc<Hang>| Flawed::new(SaysNothing(move || hang.create(&census)));
        hung_thread(flawed, &Witness::default());
    });
}

/// Takes two polls to make an object.
async fn slowly(census: Census) -> Result<Object, Infallible> {
    let object = census.begin();
    polled_twice().await;
    Ok(object)
}

/// A getter leaves in the midst of its creation, while another comes who needs it.
fn handed_over<F>(factory: impl Fn(Census) -> F, handed_over: &Witness)
where
    F: ObjectFactory<Object = Object, Error = Infallible>,
{
    let census = Census::new(1);
    let pool = pool(1, factory(census.clone())).build().unwrap();
    let mut future = Box::pin(pool.get_owned_async());
    let begun = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending());
    let getter = {
        let pool = pool.clone();
        spawn(move || drop(pool.get().unwrap()))
    };
    drop(future);
    getter.join().unwrap();
    handed_over.saw(census.ever() == 1);
    census.assert_at_rest(&pool);
}

#[test]
fn handed_over_against_cancellation() {
    witnessed("factories/handed_over_against_cancellation", "the other went on with it", |witness| {
        handed_over(|census| AsyncFactory::new(move || slowly(census.clone())), witness);
    });
}

#[test]
fn dropped_without_a_word() {
    known_bad("factories/dropped_without_a_word", "deadlock", || {
        let flawed = |census: Census| Flawed::new(EndsOnSuccessOnly(move || slowly(census.clone())));
        handed_over(flawed, &Witness::default());
    });
}

/// A getter leaves in the midst of its creation while another waits, and an object is put.
fn handed_over_or_put<F>(factory: impl Fn(Census) -> F, handed_over: &Witness)
where
    F: ObjectFactory<Object = Object, Error = Infallible>,
{
    let census = Census::new(2);
    let pool = pool(2, factory(census.clone())).build().unwrap();
    let object = pool.get_owned().unwrap();
    let mut future = Box::pin(pool.get_owned_async());
    let begun = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending());
    let mut other = Box::pin(pool.get_owned_async());
    let waits = other.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(waits.is_pending());
    let putter = spawn(move || drop(object));
    drop(future);
    drop(block_on(other).unwrap());
    putter.join().unwrap();
    let stats = pool.stats();
    handed_over.saw(stats.grows == 2 && stats.withdrawn == 0);
    census.assert_at_rest(&pool);
}

#[test]
fn handed_over_against_put() {
    witnessed("factories/handed_over_against_put", "the other went on with it to the end", |witness| {
        handed_over_or_put(|census| AsyncFactory::new(move || slowly(census.clone())), witness);
    });
}

#[test]
fn dropped_for_a_put_without_a_word() {
    known_bad("factories/put_without_a_word", "rest: a slot was lost", || {
        let flawed = |census: Census| Flawed::new(EndsOnSuccessOnly(move || slowly(census.clone())));
        handed_over_or_put(flawed, &Witness::default());
    });
}

type Made = AsyncFactory<Object, Infallible>;

/// A getter finds the only object bad, while another behind it leaves.
fn bad(get: &impl AsyncFn(&Pool<Object, Made>), validates: bool, waited: &Witness) {
    let census = Census::new(1);
    let factory = {
        let census = census.clone();
        AsyncFactory::new(move || ready(Ok(census.begin())))
    };
    let mut builder = Pool::from_factory(1, factory).max_growing(1).bypass(0);
    if validates {
        // Only the first that is looked at is bad.
        let good = Flag::new(false);
        builder = builder.validate(move |_| good.swap(true));
    }
    let pool = builder.build().unwrap();
    let object = pool.get_owned().unwrap();
    {
        let mut first = pin!(get(&pool));
        let mut second = Box::pin(pool.get_owned_async());
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(object);
        let other = spawn(move || drop(second));
        block_on(first);
        other.join().unwrap();
    }
    waited.saw(census.ever() == 2);
    census.assert_at_rest(&pool);
}

#[test]
fn bad_object_against_cancellation() {
    witnessed("factories/bad_object_against_cancellation", "another was made", |waited| {
        bad(&async |pool| drop(pool.get_async().await.unwrap()), true, waited);
    });
}

/// Who keeps a bad object and asks for another waits for itself.
#[test]
fn bad_object_that_keeps_its_place() {
    known_bad("factories/bad_keeps_its_place", "deadlock", || {
        let keeps = async |pool: &Pool<Object, Made>| {
            let _bad = pool.get_async().await.unwrap();
            drop(pool.get_async().await.unwrap());
        };
        bad(&keeps, false, &Witness::default());
    });
}
