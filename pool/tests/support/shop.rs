//! Objects that are made to order: each creation is told how it is to end, and waits until then.
//! What is made is counted from when it is begun until nothing is left of it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};
use std::thread::{self, ScopedJoinHandle, ThreadId};

use kva::sync::{Arc, Mutex};
use pool::{
    AsyncFactory, Backend, Builder, Created, Factory, GetError, GrowerError, Growers, ObjectFactory, Pool,
};

use super::{AnyPool, poll_once, until};

/// How a creation is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Make,
    Fail,
    Panic,
}

/// The creation of this number failed, as it was told to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("creation {0} failed")]
pub(crate) struct Failed(pub(crate) usize);

/// Where objects are made. Cheap to clone: clones are the same shop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shop(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    /// By the number of the creation, in the order in which they are begun.
    /// `None`: it waits for its own, whatever all are told.
    orders: HashMap<usize, Option<Order>>,
    /// For those that have none of their own.
    standing: Option<Order>,
    wakers: HashMap<usize, Waker>,
    /// On which thread each was begun, and its name.
    begun: Vec<(ThreadId, Option<String>)>,
    creating: usize,
    live: usize,
    most_creating: usize,
    /// Of both.
    most: usize,
    /// How often each object ended.
    ends: HashMap<usize, u32>,
    /// The object whose destructor panics.
    bomb: Option<usize>,
    /// Whether destructors wait.
    closed_for_ends: bool,
    ending: usize,
    hook: Hook,
}

/// What is called at each beginning and each end, with no lock of the shop held.
#[derive(Clone, Default)]
struct Hook(Option<Arc<dyn Fn(Moment) + Send + Sync>>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A creation begins.
    Begins(usize),
    /// A creation ends, in whatever way.
    Ends(usize),
    /// An object is destroyed.
    Destroyed(usize),
}

impl Shop {
    /// Where each creation waits for its order.
    pub(crate) fn by_order() -> Self {
        Self::default()
    }

    /// Where everything is made at once.
    pub(crate) fn open() -> Self {
        let shop = Self::default();
        shop.order_all(Order::Make);
        shop
    }

    fn wake(&self, change: impl FnOnce(&mut Books)) {
        let mut books = self.0.lock();
        change(&mut books);
        let told = |number: &usize| books.orders.get(number).copied().unwrap_or(books.standing).is_some();
        let told: Vec<_> = books.wakers.keys().copied().filter(told).collect();
        let wakers: Vec<_> = told.iter().filter_map(|number| books.wakers.remove(number)).collect();
        drop(books);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Tells one creation how to end, also if it has not begun yet.
    pub(crate) fn order(&self, number: usize, order: Order) {
        self.wake(|books| {
            books.orders.insert(number, Some(order));
        });
    }

    /// This creation waits, whatever all that come are told.
    pub(crate) fn hang(&self, number: usize) {
        self.0.lock().orders.insert(number, None);
    }

    /// Tells all those that have no order of their own, those that hang, and all that come.
    pub(crate) fn order_all(&self, order: Order) {
        self.wake(|books| {
            books.orders.retain(|_, order| order.is_some());
            books.standing = Some(order);
        });
    }

    /// All that come wait for their orders.
    pub(crate) fn order_none(&self) {
        self.0.lock().standing = None;
    }

    /// The destructor of this object panics.
    pub(crate) fn arm(&self, number: impl Into<Option<usize>>) {
        self.0.lock().bomb = number.into();
    }

    /// Destructors wait for [`go_on_ending`](Self::go_on_ending).
    pub(crate) fn hold_ends(&self) {
        self.0.lock().closed_for_ends = true;
    }

    pub(crate) fn go_on_ending(&self) {
        self.0.lock().closed_for_ends = false;
    }

    /// How many creations ever began.
    pub(crate) fn begun(&self) -> usize {
        self.0.lock().begun.len()
    }

    /// How many are being created.
    pub(crate) fn creating(&self) -> usize {
        self.0.lock().creating
    }

    /// How many objects there are.
    pub(crate) fn live(&self) -> usize {
        self.0.lock().live
    }

    /// The most that were being created at once.
    pub(crate) fn most_creating(&self) -> usize {
        self.0.lock().most_creating
    }

    /// The most that there ever were, those included that were being created.
    pub(crate) fn most(&self) -> usize {
        self.0.lock().most
    }

    /// Where creation `number` was begun.
    pub(crate) fn begun_by(&self, number: usize) -> (ThreadId, Option<String>) {
        self.0.lock().begun[number].clone()
    }

    pub(crate) fn until_creating(&self, creating: usize) {
        until(|| self.creating() == creating);
    }

    pub(crate) fn until_begun(&self, begun: usize) {
        until(|| self.begun() == begun);
    }

    pub(crate) fn until_live(&self, live: usize) {
        until(|| self.live() == live);
    }

    /// Returns once so many destructors wait.
    pub(crate) fn until_ending(&self, ending: usize) {
        until(|| self.0.lock().ending == ending);
    }

    /// Calls `hook` at each beginning and end from now on.
    pub(crate) fn hook(&self, hook: impl Fn(Moment) + Send + Sync + 'static) {
        self.0.lock().hook = Hook(Some(Arc::new(hook)));
    }

    pub(crate) fn unhook(&self) {
        let hook = std::mem::take(&mut self.0.lock().hook);
        drop(hook);
    }

    fn call_hook(&self, moment: Moment) {
        let Hook(hook) = self.0.lock().hook.clone();
        if let Some(hook) = hook {
            hook(moment);
        }
    }

    /// Whether nobody else has this shop: no factory, no creation, no object.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn begin(&self) -> Creation {
        let mut books = self.0.lock();
        let number = books.begun.len();
        let here = thread::current();
        books.begun.push((here.id(), here.name().map(str::to_owned)));
        books.creating += 1;
        books.most_creating = books.most_creating.max(books.creating);
        books.most = books.most.max(books.creating + books.live);
        drop(books);
        let creation = Creation { shop: self.clone(), number };
        self.call_hook(Moment::Begins(number));
        creation
    }

    /// Makes an object, on this thread.
    pub(crate) fn create(&self) -> Result<Object, Failed> {
        let creation = self.begin();
        loop {
            if let Some(order) = creation.order(None) {
                return creation.end(order);
            }
            thread::yield_now();
        }
    }

    /// Makes an object, as it is polled.
    pub(crate) async fn create_async(self) -> Result<Object, Failed> {
        let creation = self.begin();
        let order = poll_fn(|context| match creation.order(Some(context.waker())) {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        });
        let order = order.await;
        creation.end(order)
    }
}

/// What was begun and has not ended.
#[derive(Debug)]
struct Creation {
    shop: Shop,
    number: usize,
}

impl Creation {
    /// What it is told; else it leaves `waker`.
    fn order(&self, waker: Option<&Waker>) -> Option<Order> {
        let mut books = self.shop.0.lock();
        let order = books.orders.get(&self.number).copied().unwrap_or(books.standing);
        if let (None, Some(waker)) = (order, waker) {
            books.wakers.insert(self.number, waker.clone());
        }
        order
    }

    fn end(self, order: Order) -> Result<Object, Failed> {
        match order {
            Order::Make => {
                let (shop, number) = (self.shop.clone(), self.number);
                drop(self);
                shop.0.lock().live += 1;
                Ok(Object { shop, number })
            }
            Order::Fail => Err(Failed(self.number)),
            Order::Panic => panic!("creation {} panics, as it was told to", self.number),
        }
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        let mut books = self.shop.0.lock();
        books.creating -= 1;
        let waker = books.wakers.remove(&self.number);
        drop(books);
        drop(waker);
        self.shop.call_hook(Moment::Ends(self.number));
    }
}

/// What is made. Known by the number of its creation.
#[derive(Debug)]
pub(crate) struct Object {
    shop: Shop,
    pub(crate) number: usize,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.shop.call_hook(Moment::Destroyed(self.number));
        self.shop.0.lock().ending += 1;
        until(|| !self.shop.0.lock().closed_for_ends);
        let mut books = self.shop.0.lock();
        books.ending -= 1;
        books.live -= 1;
        *books.ends.entry(self.number).or_default() += 1;
        let armed = books.bomb == Some(self.number);
        drop(books);
        assert!(!armed, "the destructor of object {} panics, as it was told to", self.number);
    }
}

/// What they all return.
pub(crate) fn join_all<'s, T>(threads: impl IntoIterator<Item = ScopedJoinHandle<'s, T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// A kind of factory that makes what a shop makes.
pub(crate) trait Kind: ObjectFactory<Object = Object> + Backend<Error: Debug> + Sized {
    /// Whether a getter is within reach of a put, a close and its deadline while its object is
    /// being created.
    const IN_REACH: bool;
    /// Whether a creation that panics is its getter's panic.
    const PANICS: bool;

    fn of(shop: &Shop) -> Self;

    /// Which creation failed, if that is the error.
    fn failed(error: Self::Error) -> Failed;

    /// Where there are tasks: polls a getter so often, and drops it.
    fn gives_up(pool: &Pool<Object, Self>, polls: u64);
}

impl Kind for Factory<Object, Failed> {
    const IN_REACH: bool = false;
    const PANICS: bool = true;

    fn of(shop: &Shop) -> Self {
        let shop = shop.clone();
        Self::new(move || shop.create())
    }

    fn failed(error: Failed) -> Failed {
        error
    }

    fn gives_up(_: &Pool<Object, Self>, _: u64) {}
}

impl Kind for Growers<Object, Failed> {
    const IN_REACH: bool = true;
    const PANICS: bool = false;

    /// As many threads as anybody needs.
    fn of(shop: &Shop) -> Self {
        growers(64, shop)
    }

    fn failed(error: GrowerError<Failed>) -> Failed {
        match error {
            GrowerError::Failed(failed) => failed,
            other => panic!("{other:?} is not what it was told to say"),
        }
    }

    fn gives_up(pool: &Pool<Object, Self>, polls: u64) {
        polls_and_drops(pool.get_async(), polls);
    }
}

impl Kind for AsyncFactory<Object, Failed> {
    const IN_REACH: bool = true;
    const PANICS: bool = true;

    fn of(shop: &Shop) -> Self {
        let shop = shop.clone();
        Self::new(move || shop.clone().create_async())
    }

    fn failed(error: Failed) -> Failed {
        error
    }

    fn gives_up(pool: &Pool<Object, Self>, polls: u64) {
        polls_and_drops(pool.get_async(), polls);
    }
}

fn polls_and_drops<F: Future>(future: F, polls: u64) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_once(future.as_mut()).is_ready() {
            return;
        }
        thread::yield_now();
    }
}

pub(crate) fn growers(threads: usize, shop: &Shop) -> Growers<Object, Failed> {
    let shop = shop.clone();
    Growers::new(threads, move || shop.create())
}

/// Whether that is how a getter is told that its creation panicked.
pub(crate) fn is_panic<K: Kind, T>(outcome: &thread::Result<Result<T, GetError<K::Error>>>) -> bool {
    if K::PANICS { outcome.is_err() } else { matches!(outcome, Ok(Err(GetError::Abandoned))) }
}

/// A pool of what the shop makes.
pub(crate) fn pool_of<K: Kind>(hard_limit: u32, shop: &Shop) -> Builder<Created<K>> {
    Pool::from_factory(hard_limit, K::of(shop))
}

/// Which creation failed.
pub(crate) fn failed<K: Kind>(error: GetError<K::Error>) -> Failed {
    match error {
        GetError::Backend(error) => K::failed(error),
        other => panic!("{other:?} is no creation that failed"),
    }
}

/// Returns once nothing is being created or destroyed: on a grower thread it ends by itself.
pub(crate) fn until_settled(pool: &impl AnyPool) {
    until(|| {
        let stats = pool.stats();
        stats.growing == 0 && stats.pages as usize == stats.idle + stats.out
    });
}

/// P5, P6: nothing is out or being created, and after a drain nothing is left. P1: at no time were
/// there more than `bound`, those included that were being created.
pub(crate) fn assert_rest(pool: &impl AnyPool, shop: &Shop, bound: usize) {
    until_settled(pool);
    pool.drain();
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.waiting, stats.growing, stats.pages), (0, 0, 0, 0, 0));
    assert_eq!(stats.gets, stats.puts);
    assert_sold_out(shop, bound);
}

/// As [`assert_rest`], of the objects alone.
pub(crate) fn assert_sold_out(shop: &Shop, bound: usize) {
    let books = shop.0.lock();
    assert_eq!((books.creating, books.live), (0, 0));
    assert!(books.ends.values().all(|&ends| ends == 1), "each ended once: {:?}", books.ends);
    assert!(books.wakers.is_empty(), "no waker is left");
    assert!(books.most <= bound, "{} at once", books.most);
}

/// Lets a failed test end, instead of joining those who wait or create for ever.
pub(crate) struct EndOnPanic<'a, P: AnyPool>(pub(crate) &'a P, pub(crate) &'a Shop);

impl<P: AnyPool> Drop for EndOnPanic<'_, P> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.1.go_on_ending();
            self.1.order_all(Order::Fail);
            self.0.close();
        }
    }
}

/// Each of these tests of each kind of factory.
macro_rules! of_each_kind {
    ($($(#[$attribute:meta])* $test:ident),* $(,)?) => {
        of_each_kind!(@ on_the_getters_thread, pool::Factory, $($(#[$attribute])* $test)*);
        of_each_kind!(@ on_grower_threads, pool::Growers, $($(#[$attribute])* $test)*);
        of_each_kind!(@ by_futures, pool::AsyncFactory, $($(#[$attribute])* $test)*);
    };
    (@ $kind:ident, $factory:path, $($(#[$attribute:meta])* $test:ident)*) => {
        mod $kind {
            use $factory as Kind;
            $(
                #[test]
                $(#[$attribute])*
                fn $test() {
                    super::$test::<Kind<super::Object, super::Failed>>();
                }
            )*
        }
    };
}

/// As [`of_each_kind`], of those whose getters are within reach while their object is created.
macro_rules! of_each_kind_in_reach {
    ($($test:ident),* $(,)?) => {
        of_each_kind!(@ on_grower_threads_in_reach, pool::Growers, $($test)*);
        of_each_kind!(@ by_futures_in_reach, pool::AsyncFactory, $($test)*);
    };
}
