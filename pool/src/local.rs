//! A thread's own handle to a pool: its cache, found once.

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;

use kva::Arena;
use kva::sync::Arc;

use crate::backend::Backend;
use crate::cache::Owned;
use crate::core::Core;
use crate::error::{GetError, TryGetError};
use crate::guard::guard;
use crate::loan::Loan;
use crate::object::Shelf;
use crate::pages::PutError;
use crate::raw::RawPool;
use crate::typed::Pool;

/// The calling thread's own handle to a [`Pool`]: a little faster than the pool itself, which looks
/// its cache up by each get and put. It is neither `Send` nor `Sync`, and nor is what it gets.
///
/// It shares the thread's cache with the pool. Where there is none, since the pool is small or of a
/// factory, or as many threads have one as the limit allows, it is as good as the pool.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::Pool;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(16, || [0_u8; 64]).build(arena)?;
/// let local = pool.local();
/// let mut item = local.get()?;
/// item[0] = 1;
/// drop(item);
/// assert_eq!(local.get()?[0], 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Local<'p, T, B: Backend = Arena> {
    pool: &'p Pool<T, B>,
    cache: LocalCache<'p, B>,
}

/// An object that is out of its pool by way of a [`Local`], to which it goes back when it is
/// dropped; else as [`Item`](crate::Item).
#[must_use = "an item goes back to its pool when it is dropped"]
pub struct LocalItem<'l, T, B: Backend = Arena> {
    local: &'l Local<'l, T, B>,
    loan: Loan,
}

/// The calling thread's own handle to a [`RawPool`]; see [`Local`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::RawPool;
/// use std::alloc::Layout;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 16).build(arena)?;
/// let local = pool.local();
/// let item = local.get()?;
/// // SAFETY: we do not use it after this.
/// unsafe { local.put(item) }?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct RawLocal<'p, B: Backend = Arena> {
    pool: &'p RawPool<B>,
    cache: LocalCache<'p, B>,
}

/// The calling thread's cache, if it has one.
struct LocalCache<'p, B: Backend> {
    core: &'p Core<B>,
    owned: Option<Rc<Owned>>,
}

impl<'p, B: Backend> LocalCache<'p, B> {
    fn new(core: &'p Core<B>) -> Self {
        Self { core, owned: core.register() }
    }

    #[inline]
    fn take(&self, caller: &'static Location<'static>) -> Option<Loan> {
        self.core.take_of(self.owned.as_ref()?, caller)
    }

    #[inline]
    fn put(&self, loan: Loan) -> bool {
        self.owned.as_ref().is_some_and(|owned| self.core.put_into(owned, loan))
    }
}

impl<T: Send + 'static, B: Backend> Pool<T, B> {
    /// The calling thread's own handle.
    pub fn local(&self) -> Local<'_, T, B> {
        Local { pool: self, cache: LocalCache::new(&self.shelf().core) }
    }
}

impl<T: Send + 'static, B: Backend> Local<'_, T, B> {
    /// As [`Pool::get`].
    ///
    /// # Errors
    /// As [`Pool::get`].
    ///
    /// # Panics
    /// As [`Pool::get`].
    #[track_caller]
    #[inline]
    pub fn get(&self) -> Result<LocalItem<'_, T, B>, GetError<B::Error>> {
        let loan = match self.lend(Location::caller()) {
            Some(loan) => loan,
            None => self.pool.request().lend(Location::caller())?,
        };
        Ok(LocalItem { local: self, loan })
    }

    /// As [`Pool::try_get`].
    ///
    /// # Errors
    /// As [`Pool::try_get`].
    ///
    /// # Panics
    /// As [`Pool::get`].
    #[track_caller]
    #[inline]
    pub fn try_get(&self) -> Result<LocalItem<'_, T, B>, TryGetError<B::Error>> {
        let loan = match self.lend(Location::caller()) {
            Some(loan) => loan,
            None => self.pool.request().try_lend(Location::caller())?,
        };
        Ok(LocalItem { local: self, loan })
    }

    #[inline]
    fn lend(&self, caller: &'static Location<'static>) -> Option<Loan> {
        if self.pool.shelf().validates() { None } else { self.cache.take(caller) }
    }
}

impl<T, B: Backend> Local<'_, T, B> {
    fn shelf(&self) -> &Arc<Shelf<T, B>> {
        self.pool.shelf()
    }
}

impl<T, B: Backend> LocalItem<'_, T, B> {
    /// As [`Item::detach`](crate::Item::detach).
    pub fn detach(this: Self) -> T {
        let this = ManuallyDrop::new(this);
        this.local.shelf().take(this.loan)
    }

    /// As [`Item::discard`](crate::Item::discard).
    ///
    /// # Panics
    /// If the object's destructor does; its place goes back all the same.
    pub fn discard(this: Self) {
        let this = ManuallyDrop::new(this);
        this.local.shelf().discard(this.loan);
    }
}

guard!(LocalItem, '_);

impl<T, B: Backend> Drop for LocalItem<'_, T, B> {
    #[inline]
    fn drop(&mut self) {
        let Local { pool, cache } = self.local;
        let shelf = pool.shelf();
        // What is reset is put the long way, which knows of panics.
        if shelf.resets() || !cache.put(self.loan) {
            shelf.put(self.loan);
        }
    }
}

impl<B: Backend> RawPool<B> {
    /// The calling thread's own handle.
    pub fn local(&self) -> RawLocal<'_, B> {
        RawLocal { pool: self, cache: LocalCache::new(&self.handle().core) }
    }
}

impl<B: Backend> RawLocal<'_, B> {
    /// As [`RawPool::get`].
    ///
    /// # Errors
    /// As [`RawPool::get`].
    ///
    /// # Panics
    /// As [`RawPool::get`].
    #[track_caller]
    #[inline]
    pub fn get(&self) -> Result<NonNull<u8>, GetError<B::Error>> {
        match self.cache.take(Location::caller()) {
            Some(loan) => Ok(loan.ptr),
            None => self.pool.get(),
        }
    }

    /// As [`RawPool::try_get`].
    ///
    /// # Errors
    /// As [`RawPool::try_get`].
    #[track_caller]
    #[inline]
    pub fn try_get(&self) -> Result<NonNull<u8>, TryGetError<B::Error>> {
        match self.cache.take(Location::caller()) {
            Some(loan) => Ok(loan.ptr),
            None => self.pool.try_get(),
        }
    }

    /// As [`RawPool::put`].
    ///
    /// # Errors
    /// As [`RawPool::put`].
    ///
    /// # Safety
    /// As [`RawPool::put`].
    #[inline]
    pub unsafe fn put(&self, item: NonNull<u8>) -> Result<(), PutError> {
        if let Some(loan) = self.cache.core.loan_at(item)
            && self.cache.put(loan)
        {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.pool.put(item) }
    }
}

impl<T, B: Backend> fmt::Debug for Local<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("has_cache", &self.cache.owned.is_some()).finish_non_exhaustive()
    }
}

impl<B: Backend> fmt::Debug for RawLocal<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawLocal").field("has_cache", &self.cache.owned.is_some()).finish_non_exhaustive()
    }
}
