//! What worlds of factories are made of: objects that are counted, and the factories that are
//! known to be wrong.

use std::alloc::Layout;
use std::convert::Infallible;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use kva::sync::{Arc, LeakCheck, thread};
use kva::{Answer, Grow, Work};
use pool::{Backend, ObjectFactory, Place, Pool};

use crate::world::block_on;

/// Counts objects, those included that are being made. loom does not see it.
#[derive(Debug, Clone)]
#[allow(clippy::disallowed_types, reason = "loom must not see it")]
pub struct Census {
    alive: Arc<std::sync::atomic::AtomicUsize>,
    ever: Arc<std::sync::atomic::AtomicUsize>,
    most: usize,
}

/// Something in the world, from when its making begins until nothing is left of it.
#[derive(Debug)]
pub struct Object {
    census: Census,
    _leak: LeakCheck,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.census.alive.fetch_sub(1, Relaxed);
    }
}

impl Census {
    /// Of nothing. There may be `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { alive: Arc::default(), ever: Arc::default(), most }
    }

    /// Another begins.
    ///
    /// # Panics
    /// If that is one too many (P1).
    #[must_use]
    pub fn begin(&self) -> Object {
        let before = self.alive.fetch_add(1, Relaxed);
        assert!(before < self.most, "bound: {} at once", before + 1);
        self.ever.fetch_add(1, Relaxed);
        Object { census: self.clone(), _leak: LeakCheck::new() }
    }

    /// How many were ever begun.
    #[must_use]
    pub fn ever(&self) -> usize {
        self.ever.load(Relaxed)
    }

    /// Asserts P6: nothing is pending, nobody waits, and drained there is nothing left.
    ///
    /// # Panics
    /// If it is not so.
    pub fn assert_at_rest<F: ObjectFactory<Object = Object>>(&self, pool: &Pool<Object, F>) {
        pool.drain();
        let stats = pool.stats();
        assert_eq!((stats.pages, stats.growing), (0, 0), "rest: a slot was lost: {stats:?}");
        assert_eq!((stats.out, stats.waiting), (0, 0), "rest: {stats:?}");
        self.assert_empty();
    }

    /// Asserts that nothing is left.
    ///
    /// # Panics
    /// If something is.
    pub fn assert_empty(&self) {
        assert_eq!(self.alive.load(Relaxed), 0, "rest: an object was lost");
    }
}

/// Ready when it is polled again.
pub async fn polled_twice() {
    let mut before = false;
    poll_fn(|context| {
        if std::mem::replace(&mut before, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A flag that loom does not see.
#[derive(Debug)]
#[allow(clippy::disallowed_types, reason = "loom must not see it")]
pub struct Flag(std::sync::atomic::AtomicBool);

impl Flag {
    /// Set or not.
    #[must_use]
    #[allow(clippy::disallowed_types, reason = "loom must not see it")]
    pub const fn new(set: bool) -> Self {
        Self(std::sync::atomic::AtomicBool::new(set))
    }

    /// Sets it, or not.
    pub fn set(&self, set: bool) {
        self.0.store(set, Relaxed);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How a factory that is known to be wrong goes about a request.
pub trait Flaw<T, E>: Send + Sync + 'static {
    /// Answers.
    fn ask(&self, grow: Grow<Place<T>, E>) -> Answer<Place<T>, E>;
}

/// A factory that breaks one rule, and nothing else.
#[derive(Debug)]
pub struct Flawed<T, E, F>(F, PhantomData<fn() -> (T, E)>);

impl<T, E, F: Flaw<T, E>> Flawed<T, E, F> {
    /// Goes about it like this.
    pub const fn new(flaw: F) -> Self {
        Self(flaw, PhantomData)
    }
}

// SAFETY: what is delivered are places.
unsafe impl<T: Send + 'static, E: Send + 'static, F: Flaw<T, E>> ObjectFactory for Flawed<T, E, F> {
    type Object = T;
}

// SAFETY: each place is on the heap, and nobody else's until it is freed.
unsafe impl<T: Send + 'static, E: Send + 'static, F: Flaw<T, E>> Backend for Flawed<T, E, F> {
    type Page = Place<T>;
    type Error = E;

    const CREATES: bool = true;

    fn granule(&self) -> Option<usize> {
        Some(1)
    }
    fn ask(&self, _: Layout, grow: Grow<Place<T>, E>) -> Answer<Place<T>, E> {
        self.0.ask(grow)
    }
    fn try_page(&self, _: Layout) -> Result<Option<Place<T>>, E> {
        Ok(None)
    }
    fn release(&self, page: Place<T>, _: Layout) {
        page.free();
    }
    fn base(&self, page: &Place<T>) -> NonNull<u8> {
        page.base()
    }
}

/// The request ends if its creation succeeds, and in no other way: one that fails, panics or
/// is dropped keeps its slot.
#[derive(Debug)]
pub struct EndsOnSuccessOnly<C>(pub C);

impl<T, E, C, F> Flaw<T, E> for EndsOnSuccessOnly<C>
where
    T: Send + 'static,
    E: Send + 'static,
    C: Fn() -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    fn ask(&self, grow: Grow<Place<T>, E>) -> Answer<Place<T>, E> {
        let Ok(committed) = grow.commit() else {
            return Answer::Withdrawn;
        };
        let (sink, create) = (ManuallyDrop::new(committed), self.0.clone());
        Answer::Driven(Work::new(async move {
            if let Ok(object) = create().await {
                ManuallyDrop::into_inner(sink).deliver(Place::new(object));
            }
        }))
    }
}

/// `deadpool`, `mobc` and `fast_pool` today: the getter awaits its own creation, and nothing else.
#[derive(Debug)]
pub struct AwaitsItsOwn<C>(pub C);

impl<T, E, C, F> Flaw<T, E> for AwaitsItsOwn<C>
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>>,
{
    fn ask(&self, grow: Grow<Place<T>, E>) -> Answer<Place<T>, E> {
        match grow.commit() {
            Ok(committed) => Answer::Now(committed, block_on((self.0)()).map(Place::new)),
            Err(_withdrawn) => Answer::Withdrawn,
        }
    }
}

/// Creates on a thread, and commits when it has something: a request that was withdrawn by then
/// has an object that nobody knows of.
#[derive(Debug)]
pub struct CommitsAfterwards<C>(pub C);

impl<T: Send + 'static, C: Fn() -> T + Clone + Send + Sync + 'static> Flaw<T, Infallible>
    for CommitsAfterwards<C>
{
    fn ask(&self, grow: Grow<Place<T>, Infallible>) -> Answer<Place<T>, Infallible> {
        let create = self.0.clone();
        thread::spawn(move || {
            let place = Place::new(create());
            if let Ok(committed) = grow.commit() {
                committed.deliver(place);
            }
        });
        Answer::Later
    }
}

/// Creates on a thread, and keeps it to itself that nobody else drives it: the pool cannot tell
/// that nobody needs it any more, and goes on counting on it.
#[derive(Debug)]
pub struct SaysNothing<C>(pub C);

impl<T: Send + 'static, C: Fn() -> T + Clone + Send + Sync + 'static> Flaw<T, Infallible> for SaysNothing<C> {
    fn ask(&self, grow: Grow<Place<T>, Infallible>) -> Answer<Place<T>, Infallible> {
        let Ok(committed) = grow.commit() else {
            return Answer::Withdrawn;
        };
        let create = self.0.clone();
        thread::spawn(move || committed.deliver(Place::new(create())));
        Answer::Later
    }
}
