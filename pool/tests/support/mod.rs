//! What the tests of this folder share: small arenas and pools, waiting for others to wait, and
//! the checks of rest (P6).

#![allow(dead_code, unused_imports, unused_macros, reason = "each test uses some of it")]

use std::alloc::Layout;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use kva::sync::Arc;
use kva::sync::atomic::{AtomicU32, Ordering::SeqCst};
use kva::{Arena, Region, Reserve, Shape, Span};
use pool::{Backend, Builder, GetError, Objects, Pool, PoolStats, PutError, RawPool};

#[macro_use]
pub(crate) mod shop;
pub(crate) mod filter;
pub(crate) mod stuck;
pub(crate) mod worker;

pub(crate) const QUANTUM: usize = 4096;

/// An object that has a page, and a quantum, to itself.
pub(crate) type Block = [u8; QUANTUM];

/// `assert!(matches!(..))` that says what there was instead.
macro_rules! assert_is {
    ($value:expr, $pattern:pat $(if $guard:expr)? $(, $why:literal)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            other => panic!("{other:?} is not {}{}", stringify!($pattern), concat!("" $(, ": ", $why)?)),
        }
    };
}

pub(crate) fn arena(quanta: usize) -> Arena {
    Arena::new(Region::reserve(quanta * QUANTUM, Reserve::new()).unwrap(), QUANTUM).unwrap()
}

/// Pages of one item, a quantum each.
pub(crate) fn blocks(hard_limit: u32) -> Builder<Layout> {
    RawPool::builder(Layout::from_size_align(QUANTUM, 8).unwrap(), hard_limit)
}

/// One page of so many items: none of them is in the way of another where the page of a pointer is
/// looked up, so that all of them can be cached.
pub(crate) fn pieces(items: u32) -> Builder<Layout> {
    let layout = Layout::from_size_align(QUANTUM / items as usize, 8).unwrap();
    RawPool::builder(layout, 1).items_per_page(items)
}

/// Pages of one object, a quantum each.
pub(crate) fn objects(hard_limit: u32) -> Builder<Objects<Block>> {
    Pool::builder(hard_limit, || [0; QUANTUM])
}

/// What both kinds of pools are, to a test that looks on.
pub(crate) trait AnyPool {
    fn stats(&self) -> PoolStats;
    fn drain(&self);
    fn close(&self);
}

impl<B: Backend> AnyPool for RawPool<B> {
    fn stats(&self) -> PoolStats {
        self.stats()
    }
    fn drain(&self) {
        self.drain();
    }
    fn close(&self) {
        self.close();
    }
}

impl<T, B: Backend> AnyPool for Pool<T, B> {
    fn stats(&self) -> PoolStats {
        self.stats()
    }
    fn drain(&self) {
        self.drain();
    }
    fn close(&self) {
        self.close();
    }
}

/// Takes quanta from the arena as another client of it.
pub(crate) fn take(arena: &Arena, quanta: u32) -> Span {
    arena.try_alloc(Shape::new(quanta).unwrap()).unwrap()
}

pub(crate) fn put<B: Backend>(pool: &RawPool<B>, item: NonNull<u8>) -> Result<(), PutError> {
    // SAFETY: no test uses an item after it put it.
    unsafe { pool.put(item) }
}

pub(crate) fn put_all<B: Backend>(pool: &RawPool<B>, items: impl IntoIterator<Item = NonNull<u8>>) {
    for item in items {
        put(pool, item).unwrap();
    }
}

/// Gets, puts at once, and says which item it was.
pub(crate) fn visit<B: Backend>(pool: &RawPool<B>) -> Result<usize, GetError<B::Error>> {
    let item = pool.get()?;
    put(pool, item).unwrap();
    Ok(item.addr().get())
}

/// All that the limit allows.
pub(crate) fn get_all(pool: &RawPool) -> Vec<NonNull<u8>> {
    let stats = pool.stats();
    (0..stats.hard_limit * stats.items_per_page).map(|_| pool.get().unwrap()).collect()
}

/// Gets so many, and then puts them: into the calling thread's cache, as far as there is room.
pub(crate) fn get_and_put<T: Send + 'static, B: Backend>(pool: &Pool<T, B>, items: usize) {
    let all: Vec<_> = (0..items).map(|_| pool.get().ok().unwrap()).collect();
    drop(all);
}

/// Gets and puts one, so many times.
pub(crate) fn visit_often<T: Send + 'static, B: Backend>(pool: &Pool<T, B>, times: usize) {
    for _ in 0..times {
        drop(pool.get().ok().unwrap());
    }
}

/// As [`get_and_put`], of memory.
pub(crate) fn get_and_put_raw(pool: &RawPool, items: usize) {
    let all: Vec<_> = (0..items).map(|_| pool.get().unwrap()).collect();
    put_all(pool, all);
}

/// What a pool says of itself while nobody is at it.
pub(crate) fn assert_adds_up(pool: &impl AnyPool, out: usize) {
    let stats = pool.stats();
    let items = stats.pages as usize * stats.items_per_page as usize;
    assert_eq!((stats.idle + stats.out, stats.out), (items, out), "{stats:?}");
    assert_eq!(stats.gets - stats.puts, out as u64, "{stats:?}");
    assert!(stats.cached <= stats.idle && stats.out <= stats.most_out, "{stats:?}");
    assert!(stats.pages <= stats.hard_limit, "P1: {stats:?}");
}

/// Returns once it is so.
pub(crate) fn until(mut it_is_so: impl FnMut() -> bool) {
    while !it_is_so() {
        thread::yield_now();
    }
}

/// Returns once `waiting` getters wait in the pool.
pub(crate) fn until_waiting(pool: &impl AnyPool, waiting: usize) {
    until(|| pool.stats().waiting == waiting);
}

/// Returns once `waiting` requests wait in the arena.
pub(crate) fn until_asked(arena: &Arena, waiting: usize) {
    until(|| arena.stats().waiting == waiting);
}

/// P6: nothing is out, and after a drain nothing is held or asked for.
pub(crate) fn assert_rests(pool: &impl AnyPool, arena: &Arena) {
    pool.drain();
    let stats = pool.stats();
    assert_eq!((stats.out, stats.live, stats.waiting, stats.growing, stats.pages), (0, 0, 0, 0, 0));
    assert_eq!(stats.gets, stats.puts);
    assert_whole(arena);
}

/// P6: the arena is one free run, and nobody waits for it.
pub(crate) fn assert_whole(arena: &Arena) {
    let stats = arena.stats();
    assert_eq!((stats.free, stats.free_runs, stats.waiting), (stats.quanta, 1, 0));
}

/// Whether it panics.
pub(crate) fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Lets a failed test end, instead of joining those who wait for ever.
pub(crate) struct CloseOnPanic<'a, P: AnyPool>(pub(crate) &'a P);

impl<P: AnyPool> Drop for CloseOnPanic<'_, P> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
        }
    }
}

pub(crate) use kva::sync::block_on_future as wait_for;

pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A task's waker that counts how often it was woken.
#[derive(Default)]
pub(crate) struct Task {
    pub(crate) woken: AtomicU32,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, SeqCst);
    }
}

impl Task {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let task = Arc::new(Self::default());
        (task.clone(), Waker::from(task))
    }

    pub(crate) fn woken(&self) -> u32 {
        self.woken.load(SeqCst)
    }

    /// Polls if it was woken since.
    pub(crate) fn poll_if_woken<F: Future + ?Sized>(
        self: &Arc<Self>,
        future: Pin<&mut F>,
    ) -> Poll<F::Output> {
        if self.woken.swap(0, SeqCst) == 0 {
            return Poll::Pending;
        }
        self.poll(future)
    }

    pub(crate) fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }
}

/// xorshift64*: the same on every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}
