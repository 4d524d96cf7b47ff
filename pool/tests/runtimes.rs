//! What a runtime does for a pool that is told of it: its clock wakes who is late, its tasks go on
//! with what is created.

#![cfg(not(loom))]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use kva::sync::Arc;
use kva::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use pool::{AsyncFactory, Awaited, Builder, Created, Factory, GetError, ObjectFactory, Pool};

#[macro_use]
mod support;

use support::{arena, poll_once, until};

/// What its clock is told and does.
fn with_clock<Of>(builder: Builder<Of>) -> Builder<Of> {
    #[cfg(feature = "tokio")]
    return builder.tokio_timer();
    #[cfg(not(feature = "tokio"))]
    builder.timer(|moment| tokio::time::sleep_until(moment.into()))
}

const SOON: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_clock_wakes_who_is_late() {
    let pool = with_clock(Pool::builder(1, || [0_u8; 4096])).build(arena(2)).unwrap();
    let item = pool.get().unwrap();
    let late = pool.request().timeout(SOON).get_async().await.map(drop);
    assert_is!(late, Err(GetError::TimedOut(Awaited::Put)));
    drop(item);
    assert_eq!((pool.stats().waiting, pool.stats().failures.timed_out), (0, 1));
}

/// The object that a hanging factory never makes.
fn hanging() -> Builder<Created<impl ObjectFactory<Object = u8>>> {
    Pool::from_factory(1, AsyncFactory::new(pending::<Result<u8, Infallible>>))
}

/// The runtime's clock says when it is late, though the system's does not yet.
#[tokio::test(start_paused = true)]
async fn a_clock_that_runs_ahead_is_believed() {
    let pool = with_clock(Pool::builder(1, || [0_u8; 4096])).build(arena(2)).unwrap();
    let item = pool.get().unwrap();
    let hour = Duration::from_hours(1);
    let (polls, mut late) = (Cell::new(0), Box::pin(pool.request().timeout(hour).get_async()));
    let late = poll_fn(|context| {
        polls.set(polls.get() + 1);
        late.as_mut().poll(context)
    });
    assert_is!(late.await.map(drop), Err(GetError::TimedOut(Awaited::Put)));
    assert!(polls.get() < 10, "{} polls", polls.get());
    drop(item);
}

#[tokio::test]
async fn a_clock_ends_the_wait_for_a_page() {
    let pool = with_clock(hanging()).build().unwrap();
    let late = pool.request().grow_timeout(SOON).get_async().await.map(drop);
    assert!(matches!(late, Err(GetError::TimedOut(Awaited::Page))));
    assert_eq!((pool.stats().growing, pool.stats().withdrawn), (0, 1), "its creation was given up");
}

#[test]
fn without_a_clock_nobody_is_woken() {
    let pool = hanging().build().unwrap();
    let mut late = Box::pin(pool.request().deadline(Instant::now() + SOON).get_async());
    let mut poll = || poll_once(late.as_mut()).map_ok(drop);
    // Who looks late, on a busy machine, sees at once.
    let first = poll();
    if first.is_ready() {
        return;
    }
    std::thread::sleep(SOON);
    assert!(matches!(poll(), Poll::Ready(Err(GetError::TimedOut(Awaited::Page)))), "who looks, sees");
}

/// A future that is polled once and then left alone would hold up the creation that it drives, but
/// not one that a task of its own drives.
fn goes_on(factory: impl Fn(Arc<AtomicUsize>) -> AsyncFactory<usize, Infallible>) {
    let made = Arc::new(AtomicUsize::new(0));
    let pool = Pool::from_factory(1, factory(made.clone())).build().unwrap();
    let mut future = Box::pin(pool.get_async());
    assert!(poll_once(future.as_mut()).is_pending());
    until(|| made.load(SeqCst) == 1);
    until(|| pool.stats().growing == 0);
    let poll = poll_once(future.as_mut());
    assert!(matches!(poll, Poll::Ready(Ok(_))));
}

async fn slowly(made: Arc<AtomicUsize>) -> Result<usize, Infallible> {
    tokio::time::sleep(SOON).await;
    Ok(made.fetch_add(1, SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_task_goes_on_by_itself() {
    let runtime = tokio::runtime::Handle::current();
    let spawned = move |made: Arc<AtomicUsize>| {
        let runtime = runtime.clone();
        AsyncFactory::spawned(move || slowly(made.clone()), move |work| runtime.spawn(work))
    };
    tokio::task::spawn_blocking(|| goes_on(spawned)).await.unwrap();
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_task_goes_on_by_itself() {
        let on_tokio = |made: Arc<AtomicUsize>| AsyncFactory::on_tokio(move || slowly(made.clone()));
        tokio::task::spawn_blocking(move || goes_on(on_tokio)).await.unwrap();
    }

    #[test]
    fn a_thread_outside_of_the_runtime_gets() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let factory = runtime.block_on(async { AsyncFactory::on_tokio(async || Ok::<_, Infallible>(7)) });
        let pool = Pool::from_factory(1, factory).build().unwrap();
        assert_eq!(*pool.get().unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_task_that_nobody_needs_is_aborted() {
        let factory = AsyncFactory::on_tokio(pending::<Result<u8, Infallible>>);
        let pool = Pool::from_factory(1, factory).build().unwrap();
        let late = tokio::time::timeout(SOON, pool.get_async()).await.is_err();
        assert!(late);
        tokio::task::spawn_blocking(move || until(|| pool.stats().growing == 0)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_task_that_panics_is_told_to_one() {
        let tries = Arc::new(AtomicUsize::new(0));
        let create = {
            let tries = tries.clone();
            move || {
                let first = tries.fetch_add(1, SeqCst) == 0;
                async move {
                    if first {
                        std::panic::resume_unwind(Box::new("the creator panics"));
                    }
                    Ok::<_, Infallible>(7_u8)
                }
            }
        };
        let pool = Pool::from_factory(1, AsyncFactory::on_tokio(create)).build().unwrap();
        let (one, other) =
            tokio::join!(pool.get_async(), async { pool.get_async().await.map(|object| *object) });
        assert!(matches!(one, Err(GetError::Abandoned)), "{one:?}");
        assert!(matches!(other, Ok(7)), "{other:?}");
        assert_eq!(tries.load(SeqCst), 2);
    }
}

/// Nothing of a runtime is needed where nothing of it is used.
#[test]
fn a_factory_of_threads_needs_none() {
    let pool = Pool::from_factory(1, Factory::new(|| Ok::<_, Infallible>(1_u8))).build().unwrap();
    assert_eq!(*pool.get().unwrap(), 1);
}

/// A getter leaves before there is its object, which is made all the same, and is there for the next.
#[tokio::test]
async fn a_task_that_is_not_stopped_creates_for_the_next() {
    let made = Arc::new(AtomicUsize::new(0));
    let create = {
        let made = made.clone();
        move || slowly(made.clone())
    };
    let detached = AsyncFactory::spawned(create, |work| drop(tokio::spawn(work)));
    let pool = Pool::from_factory(1, detached).build().unwrap();
    let mut impatient = Box::pin(pool.get_async());
    assert!(poll_once(impatient.as_mut()).is_pending());
    drop(impatient);
    while pool.stats().idle == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((*pool.try_get().unwrap(), made.load(SeqCst)), (0, 1));
}
