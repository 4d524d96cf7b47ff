//! What worlds are made of.

use std::alloc::Layout;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Waker};

use kva::{Arena, Region, Shape, Span};
use pool::{Backend, Builder, GetError, PoolStats, PutError, RawPool};

/// The quantum of the arenas here, and the size of an item.
pub const QUANTUM: usize = 64;

/// The most that an arena has. For loom's worlds an eighth of it would do.
const QUANTA: usize = 64;

#[repr(align(4096))]
struct Memory([u8; QUANTUM * QUANTA]);

/// Addresses for arenas. One for all worlds, also those that run at the same time:
/// nobody reads or writes it.
static MEMORY: Memory = Memory([0; QUANTUM * QUANTA]);

/// An arena of `quanta` quanta, whose waiters are overtaken at most `bypass` times.
///
/// # Panics
/// If there are more than 64.
#[must_use]
pub fn arena(quanta: usize, bypass: u32) -> Arena {
    let memory = NonNull::from(&MEMORY.0[..quanta * QUANTUM]);
    // SAFETY: nobody reads or writes this memory: in these worlds items are addresses.
    let region = unsafe { Region::borrowed(memory) };
    Arena::with_bypass(region, QUANTUM, bypass).expect("a good arena")
}

/// An arena of numbers, with nothing behind them.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn numbers(quanta: u32, bypass: u32) -> Arena {
    Arena::with_bypass(Region::numbers(quanta), 1, bypass).expect("a good arena")
}

/// One quantum.
#[must_use]
pub fn one() -> Shape {
    shape(1)
}

/// `quanta` quanta.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn shape(quanta: u32) -> Shape {
    Shape::new(quanta).expect("not zero")
}

/// `quanta` quanta, at a multiple of as many.
///
/// # Panics
/// If that is no power of two.
#[must_use]
pub fn aligned(quanta: u32) -> Shape {
    Shape::aligned(quanta, quanta).expect("a power of two")
}

/// Takes all quanta there are, in order, each as a span.
///
/// # Panics
/// If one is taken already.
#[must_use]
pub fn take_each(arena: &Arena) -> Vec<Span> {
    let mut all = take_rest(arena);
    all.sort_by_key(|span| span.start());
    assert_eq!(all.len(), arena.quanta() as usize);
    all
}

/// A builder of pools of one item a page, a quantum each.
///
/// # Panics
/// Never: the layout is a good one.
pub fn pages(hard_limit: u32) -> Builder<Layout> {
    let item = Layout::from_size_align(QUANTUM, 1).expect("a good layout");
    // Few slots: each is an object to loom.
    RawPool::builder(item, hard_limit).max_growing(2)
}

/// Takes everything that is left of the arena, a quantum at a time.
#[must_use]
pub fn take_rest(arena: &Arena) -> Vec<Span> {
    std::iter::from_fn(|| arena.try_alloc(one()).ok()).collect()
}

/// An item that is out: an address, in these worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item(NonNull<u8>);

// SAFETY: nobody reads or writes items in these worlds.
unsafe impl Send for Item {}

impl From<NonNull<u8>> for Item {
    fn from(item: NonNull<u8>) -> Self {
        Self(item)
    }
}

/// Gets an item.
///
/// # Errors
/// As the pool says.
pub fn get<B: Backend>(pool: &RawPool<B>) -> Result<Item, GetError<B::Error>> {
    pool.get().map(Item)
}

/// Puts an item.
///
/// # Panics
/// If it is not out.
pub fn put<B: Backend>(pool: &RawPool<B>, item: impl Into<Item>) {
    try_put(pool, item.into()).expect("an item that is out");
}

/// Puts what may not be out.
///
/// # Errors
/// It is not.
pub fn try_put<B: Backend>(pool: &RawPool<B>, Item(item): Item) -> Result<(), PutError> {
    // SAFETY: nobody reads or writes items in these worlds.
    unsafe { pool.put(item) }
}

/// Asserts P6, once everything has been put: drained, the pool holds `low` pages, nothing
/// is pending, and nobody waits.
///
/// # Panics
/// If it is not so.
pub fn assert_pool_at_rest<B: Backend>(pool: &RawPool<B>, low: u32) -> PoolStats {
    pool.drain();
    let stats = pool.stats();
    assert_eq!(stats.pages, low, "rest: a page was lost or kept: {stats:?}");
    assert_eq!((stats.growing, stats.out, stats.waiting), (0, 0, 0), "rest: {stats:?}");
    assert_eq!(stats.gets, stats.puts, "rest: what was got was put: {stats:?}");
    stats
}

/// Asserts that the arena is what it was: one free span, and nobody waits.
///
/// # Panics
/// If it is not so.
pub fn assert_arena_whole(arena: &Arena) {
    let stats = arena.stats();
    assert_eq!(stats.free, stats.quanta, "rest: a span was lost: {stats:?}");
    assert_eq!((stats.free_runs, stats.waiting), (1, 0), "rest: {stats:?}");
}

/// Drives a future on this thread.
pub use kva::sync::block_on_future as block_on;

/// Somebody who waits from now on: a future that was polled. In a world where that somebody waits is
/// where the race begins, a thread that comes to wait would only be a race more.
///
/// # Panics
/// If there is nothing to wait for.
pub fn waiting<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it does not wait");
    future
}

/// Memory that objects may be written to, for one world: unlike that of [`arena`].
#[derive(Debug)]
pub struct Shelves(Box<Words>);

/// The most quanta that are in them.
const SHELVES: usize = 8;

#[derive(Debug)]
#[repr(align(512))]
struct Words([u64; QUANTUM * SHELVES / 8]);

impl Shelves {
    /// Fresh memory.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it is not one of many values")]
    pub fn new() -> Self {
        Self(Box::new(Words([0; QUANTUM * SHELVES / 8])))
    }

    /// An arena of `quanta` quanta in it, strictly fair.
    ///
    /// # Panics
    /// If there are more than eight.
    ///
    /// # Safety
    /// All items of pools over the arena are gone before the memory is.
    pub unsafe fn arena(&mut self, quanta: usize) -> Arena {
        assert!(quanta <= SHELVES);
        let memory = NonNull::from(&mut self.0.0).cast::<u8>();
        let memory = NonNull::slice_from_raw_parts(memory, quanta * QUANTUM);
        // SAFETY: the memory is exclusively borrowed now, and the caller keeps it.
        let region = unsafe { Region::borrowed(memory) };
        Arena::with_bypass(region, QUANTUM, 0).expect("a good arena")
    }
}
