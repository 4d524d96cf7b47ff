//! The raw front: memory of one layout.

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kva::Arena;
use kva::sync::Arc;

use crate::backend::Backend;
use crate::carve::Carve;
use crate::core::{Core, Limits};
use crate::error::{ConfigError, GetError, TryGetError};
use crate::getter::Getter;
use crate::pages::{Loan, PutError};
use crate::stats::{PoolStats, describe};

/// How a pool is made; see [`RawPool::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder builds nothing until it is told to"]
pub struct Builder {
    item: Layout,
    items_per_page: Option<u32>,
    hard: u32,
    low: u32,
    high: Option<u32>,
    growing: u32,
    bypass: u32,
}

impl Builder {
    /// How often a waiter may be overtaken, unless [`bypass`](Self::bypass) says otherwise.
    pub const DEFAULT_BYPASS: u32 = 32;
    /// How many grows may be pending at once, unless
    /// [`max_growing`](Self::max_growing) says otherwise.
    pub const DEFAULT_MAX_GROWING: u32 = 64;

    pub(crate) const fn new(item: Layout, hard: u32) -> Self {
        Self {
            item,
            items_per_page: None,
            hard,
            low: 0,
            high: None,
            growing: Self::DEFAULT_MAX_GROWING,
            bypass: Self::DEFAULT_BYPASS,
        }
    }

    /// Pages never given up when idle. Default 0.
    pub const fn low_water(mut self, pages: u32) -> Self {
        self.low = pages;
        self
    }

    /// Pages kept when idle: a page that becomes wholly free while more are held goes back
    /// at once. Default: no bound but the hard limit, so that all are kept until the
    /// back-end is scarce or the pool is drained.
    pub const fn high_water(mut self, pages: u32) -> Self {
        self.high = Some(pages);
        self
    }

    /// How many items a page has. Default: as many as fit into a page of eight items or
    /// more, or one, if an item is as large as the back-end's smallest page.
    pub const fn items_per_page(mut self, items: u32) -> Self {
        self.items_per_page = Some(items);
        self
    }

    /// How often a waiter may be overtaken by later arrivals (P4). 0 is strict first-in
    /// first-out, and slow under contention: every item is handed to a thread that must
    /// wake up first.
    pub const fn bypass(mut self, times: u32) -> Self {
        self.bypass = times;
        self
    }

    /// How many grows may be pending at once. Getters beyond that wait for those.
    pub const fn max_growing(mut self, grows: u32) -> Self {
        self.growing = grows;
        self
    }

    /// Makes a pool that is fed by `backend`. It holds no pages yet.
    ///
    /// All that `get`, `put` and waiting need is allocated here: tables of about 80 bytes a page
    /// and 4 bytes an item, backed by the kernel as far as they are used.
    ///
    /// # Errors
    /// The limits contradict each other, the items cannot be carved from pages, or there
    /// is no memory for the tables.
    pub fn build<B: Backend>(self, backend: B) -> Result<RawPool<B>, ConfigError> {
        let granule = backend.granule().ok_or(ConfigError::NoMemory)?;
        let carve = Carve::new(self.item, granule, self.items_per_page);
        let carve = carve.map_err(|error| ConfigError::Items(error.to_string()))?;
        let limits = Limits {
            hard: self.hard,
            low: self.low,
            high: self.high,
            growing: self.growing,
            bypass: self.bypass,
        };
        Ok(RawPool { core: Core::new(backend, carve, limits)? })
    }
}

/// A bounded pool of memory items of one layout.
///
/// Dropping it closes it. Items that are out then keep their pages from the back-end
/// for ever, since nobody can put them any more: put them first.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve};
/// use pool::RawPool;
/// use std::alloc::Layout;
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let block = Layout::from_size_align(64 * 1024, 8)?;
/// let pool = RawPool::builder(block, 4).build(arena)?; // at most 4 pages, of one item each
///
/// let item = pool.get()?;
/// // SAFETY: the item is ours, 64 KiB long, until it is put.
/// unsafe { item.write_bytes(0, 64 * 1024) };
/// // SAFETY: we do not use it after this.
/// unsafe { pool.put(item) }?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct RawPool<B: Backend = Arena> {
    core: Arc<Core<B>>,
}

impl RawPool<Arena> {
    /// A pool of items of `item`, at most `hard_limit` pages of them (P1).
    pub const fn builder(item: Layout, hard_limit: u32) -> Builder {
        Builder::new(item, hard_limit)
    }
}

impl<B: Backend> RawPool<B> {
    /// Gets an item, waiting until somebody puts one, a page comes, or the pool is closed.
    ///
    /// The memory is uninitialised, or as its last user left it.
    ///
    /// # Errors
    /// The pool is closed, or the back-end refused the page this getter waited for.
    ///
    /// # Panics
    /// If the back-end does; the pool is as if the get had not been.
    pub fn get(&self) -> Result<NonNull<u8>, GetError<B::Error>> {
        Ok(self.lend(None)?.ptr)
    }

    /// Gets an item, waiting at most `timeout` in the pool.
    ///
    /// A back-end that sleeps on its caller's thread cannot be left before it returns, and
    /// the getter may have to go there more than once: the deadline is looked at while it
    /// waits in the pool.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    pub fn get_timeout(&self, timeout: Duration) -> Result<NonNull<u8>, GetError<B::Error>> {
        Ok(self.lend(Instant::now().checked_add(timeout))?.ptr)
    }

    /// Gets an item if there is one, or if the back-end has a page right now.
    ///
    /// # Errors
    /// There is none, and why.
    pub fn try_get(&self) -> Result<NonNull<u8>, TryGetError<B::Error>> {
        Ok(self.core.try_get()?.ptr)
    }

    pub(crate) fn lend(&self, deadline: Option<Instant>) -> Result<Loan, GetError<B::Error>> {
        Getter::new(&self.core).run(deadline)
    }

    pub(crate) fn put_loan(&self, loan: Loan) {
        self.core.put_loan(loan);
    }

    /// Puts an item back. While anybody waits, this makes some waiter return (P2).
    ///
    /// # Errors
    /// `item` is not an item of this pool that is out. Nothing was changed.
    ///
    /// # Safety
    /// Nobody uses the item's memory after this.
    pub unsafe fn put(&self, item: NonNull<u8>) -> Result<(), PutError> {
        self.core.put(item)
    }

    /// Grows until `pages` are held, without waiting; how many are held then. Fewer than
    /// asked for: the hard limit or high water is lower, the back-end has no more right now,
    /// or somebody else waits for it.
    ///
    /// # Errors
    /// The pool is closed, or the back-end refused a page.
    pub fn prime(&self, pages: u32) -> Result<u32, TryGetError<B::Error>> {
        self.core.prime(pages)
    }

    /// Gives idle pages back to the back-end, down to low water; how many it gave.
    pub fn drain(&self) -> usize {
        self.core.give_up_idle(|state| state.ledger.low())
    }

    /// Changes the hard limit. What is held above a lowered limit goes as it becomes idle,
    /// even past those who wait; nothing new is begun meanwhile. Low water comes down
    /// with the limit.
    ///
    /// # Errors
    /// The limit is zero, or there is no memory for larger tables.
    pub fn set_hard_limit(&self, pages: u32) -> Result<(), ConfigError> {
        self.core.set_hard_limit(pages)
    }

    /// Changes low and high water, in pages.
    ///
    /// # Errors
    /// Not `low <= high`, or not `low <= hard limit`.
    pub fn set_water(&self, low: u32, high: u32) -> Result<(), ConfigError> {
        self.core.set_water(low, high)
    }

    /// Closes the pool: who waits and who comes later gets
    /// [`GetError::Closed`], idle pages go back to the back-end, the others as their items
    /// are put. A getter asleep inside a back-end is told when that returns. Closing
    /// twice is once.
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.core.lock().closed
    }

    /// A snapshot.
    pub fn stats(&self) -> PoolStats {
        self.core.stats()
    }

    /// Where the pages come from.
    pub fn backend(&self) -> &B {
        self.core.backend()
    }
}

impl<B: Backend> Drop for RawPool<B> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Says who waits for what and why.
impl<B: Backend> fmt::Debug for RawPool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written after the lock: the writer is the caller's.
        let text = describe(&self.core.lock(), &self.core.carve);
        f.write_str(&text)
    }
}
