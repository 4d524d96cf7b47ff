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
use crate::loan::Round;
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
    /// Whether what is put is reset: that goes the long way, which knows of panics.
    resets: bool,
}

/// An object that is out of its pool by way of a [`Local`], to which it goes back when it is
/// dropped; else as [`Item`](crate::Item).
#[must_use = "an item goes back to its pool when it is dropped"]
pub struct LocalItem<'l, T, B: Backend = Arena> {
    local: &'l Local<'l, T, B>,
    round: Round,
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

/// The calling thread's cache, or one that never has anything.
struct LocalCache<'p, B: Backend> {
    core: &'p Core<B>,
    owned: Rc<Owned>,
}

impl<'p, B: Backend> LocalCache<'p, B> {
    /// `uses`: whether it is to be had at all.
    fn new(core: &'p Core<B>, uses: bool) -> Self {
        let owned = if uses { core.register() } else { None };
        Self { core, owned: owned.unwrap_or_else(|| Rc::new(Owned::of_nothing::<Core<B>>())) }
    }

    #[inline]
    fn take<const OBJECTS: bool>(&self, caller: &'static Location<'static>) -> Option<Round> {
        self.core.take_of::<OBJECTS>(&self.owned, caller)
    }

    #[inline]
    fn put(&self, round: Round) -> bool {
        self.core.put_into(&self.owned, round)
    }

    #[inline]
    fn put_if_out(&self, ptr: NonNull<u8>) -> bool {
        // A put of a hardened pool has to claim its item first.
        self.core.hardened.is_none() && self.core.put_into_if_out(&self.owned, ptr)
    }
}

impl<T: Send + 'static, B: Backend> Pool<T, B> {
    /// The calling thread's own handle.
    pub fn local(&self) -> Local<'_, T, B> {
        let shelf = self.shelf();
        // What is to be validated goes the long way.
        let cache = LocalCache::new(&shelf.core, !shelf.validates());
        Local { pool: self, cache, resets: shelf.resets() }
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
        let round = match self.cache.take::<true>(Location::caller()) {
            Some(round) => round,
            None => self.pool.lend_slowly(Location::caller())?,
        };
        Ok(LocalItem { local: self, round })
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
        let round = match self.cache.take::<true>(Location::caller()) {
            Some(round) => round,
            None => self.pool.request().try_lend(Location::caller())?,
        };
        Ok(LocalItem { local: self, round })
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
        this.local.shelf().take(this.round)
    }

    /// As [`Item::discard`](crate::Item::discard).
    ///
    /// # Panics
    /// If the object's destructor does; its place goes back all the same.
    pub fn discard(this: Self) {
        let this = ManuallyDrop::new(this);
        this.local.shelf().discard(this.round);
    }
}

guard!(LocalItem, '_);

impl<T, B: Backend> Drop for LocalItem<'_, T, B> {
    #[inline]
    fn drop(&mut self) {
        let Local { pool, cache, resets } = self.local;
        if *resets || !cache.put(self.round) {
            pool.shelf().put_slowly(self.round);
        }
    }
}

impl<B: Backend> RawPool<B> {
    /// The calling thread's own handle.
    pub fn local(&self) -> RawLocal<'_, B> {
        RawLocal { pool: self, cache: LocalCache::new(&self.handle().core, true) }
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
        match self.cache.take::<false>(Location::caller()) {
            Some(round) => Ok(round.ptr),
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
        match self.cache.take::<false>(Location::caller()) {
            Some(round) => Ok(round.ptr),
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
        if self.cache.put_if_out(item) {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.pool.put(item) }
    }
}

impl<T, B: Backend> fmt::Debug for Local<'_, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("has_cache", &!self.cache.owned.is_left()).finish_non_exhaustive()
    }
}

impl<B: Backend> fmt::Debug for RawLocal<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawLocal").field("has_cache", &!self.cache.owned.is_left()).finish_non_exhaustive()
    }
}
