//! The typed front: a bounded pool of places for a `T`.

use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kva::Arena;

use crate::backend::Backend;
use crate::error::{ConfigError, GetError};
use crate::pages::Loan;
use crate::raw::{Builder, RawPool};
use crate::stats::PoolStats;

/// A bounded pool of places for a `T`, each filled when it is got and emptied when its
/// guard is dropped.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve};
/// use pool::Pool;
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool: Pool<[u64; 8]> = Pool::new(16, arena)?; // at most 16 pages
/// let mut item = pool.get_with(|| [0; 8])?;
/// item[0] = 7;
/// assert_eq!(pool.stats().out, 1);
/// drop(item);
/// assert_eq!(pool.stats().out, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T, B: Backend = Arena> {
    raw: RawPool<B>,
    // A pool holds no `T`: it makes and drops them where its caller is.
    _items: PhantomData<fn() -> T>,
}

impl<T, B: Backend> Pool<T, B> {
    /// A pool of at most `hard_limit` pages from `backend`.
    ///
    /// # Errors
    /// See [`Builder::build`]; a `T` of size zero cannot be pooled.
    pub fn new(hard_limit: u32, backend: B) -> Result<Self, ConfigError> {
        Self::build(hard_limit, backend, |builder| builder)
    }

    /// As [`new`](Self::new), with what `configure` sets.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn build(
        hard_limit: u32,
        backend: B,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Result<Self, ConfigError> {
        let builder = configure(Builder::new(Layout::new::<T>(), hard_limit));
        Ok(Self { raw: builder.build(backend)?, _items: PhantomData })
    }

    /// Gets a place and fills it with what `make` returns, waiting as
    /// [`RawPool::get`] does. `make` is called only once there is a place.
    ///
    /// # Errors
    /// As [`RawPool::get`].
    ///
    /// # Panics
    /// If `make` does; the place goes back to the pool.
    pub fn get_with(&self, make: impl FnOnce() -> T) -> Result<Item<'_, T, B>, GetError<B::Error>> {
        Ok(self.fill(self.raw.lend(None)?, make))
    }

    /// As [`get_with`](Self::get_with), waiting at most `timeout`.
    ///
    /// # Errors
    /// As [`RawPool::get_timeout`].
    ///
    /// # Panics
    /// As [`get_with`](Self::get_with).
    pub fn get_with_timeout(
        &self,
        timeout: Duration,
        make: impl FnOnce() -> T,
    ) -> Result<Item<'_, T, B>, GetError<B::Error>> {
        Ok(self.fill(self.raw.lend(Instant::now().checked_add(timeout))?, make))
    }

    fn fill(&self, loan: Loan, make: impl FnOnce() -> T) -> Item<'_, T, B> {
        let place = Place { pool: &self.raw, loan };
        let value = make();
        let ptr = place.loan.ptr.cast::<T>();
        // SAFETY: a loan is the exclusive use of an item, whose layout is `T`'s.
        unsafe { ptr.write(value) };
        Item { ptr, _place: place }
    }

    /// The raw pool, for its limits, draining and closing.
    pub const fn raw(&self) -> &RawPool<B> {
        &self.raw
    }

    /// A snapshot.
    pub fn stats(&self) -> PoolStats {
        self.raw.stats()
    }
}

impl<T, B: Backend> fmt::Debug for Pool<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// An item without its value: goes back to the pool whatever happens.
struct Place<'a, B: Backend> {
    pool: &'a RawPool<B>,
    loan: Loan,
}

impl<B: Backend> Drop for Place<'_, B> {
    fn drop(&mut self) {
        self.pool.put_loan(self.loan);
    }
}

/// A `T` in a place of a [`Pool`]. Dropping it drops the `T` and puts the place back.
#[must_use = "an item goes back to its pool when it is dropped"]
pub struct Item<'a, T, B: Backend = Arena> {
    ptr: NonNull<T>,
    // Dropped after the value, even if the value's destructor panics.
    _place: Place<'a, B>,
}

// SAFETY: an item owns its `T` and shares its pool, which is `Sync`.
unsafe impl<T: Send, B: Backend> Send for Item<'_, T, B> {}
// SAFETY: a shared item gives out shared references to its `T`, and nothing else.
unsafe impl<T: Sync, B: Backend> Sync for Item<'_, T, B> {}

impl<T, B: Backend> Deref for Item<'_, T, B> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the place is ours alone and holds a `T` until the item is dropped.
        unsafe { self.ptr.as_ref() }
    }
}

impl<T, B: Backend> DerefMut for Item<'_, T, B> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { self.ptr.as_mut() }
    }
}

impl<T, B: Backend> Drop for Item<'_, T, B> {
    fn drop(&mut self) {
        // SAFETY: the place holds a `T`, which nobody uses after this.
        unsafe { self.ptr.drop_in_place() };
    }
}

impl<T: fmt::Debug, B: Backend> fmt::Debug for Item<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
