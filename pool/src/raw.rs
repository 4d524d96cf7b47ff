//! The raw front: memory of one layout.

use std::alloc::Layout;
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kva::Arena;

use crate::backend::Backend;
use crate::builder::Builder;
use crate::error::{GetError, TryGetError};
use crate::handle::Handle;
use crate::knobs::knobs;
use crate::pages::PutError;
use crate::request::Request;
use crate::stats::describe;

/// A bounded pool of memory items of one layout. Cheap to clone: clones are the same pool.
///
/// Dropping the last handle closes it. Items that are out then keep their pages from the
/// back-end for ever, since nobody can put them any more: put them first. Builds with debug
/// assertions say so, and where they were got.
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
    handle: Handle<B>,
}

impl<B: Backend> Clone for RawPool<B> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl RawPool<Arena> {
    /// A pool of items of `item`, at most `hard_limit` pages of them (P1).
    pub fn builder(item: Layout, hard_limit: u32) -> Builder<Layout> {
        Builder::raw(item, hard_limit)
    }
}

impl<B: Backend> RawPool<B> {
    pub(crate) const fn new(handle: Handle<B>) -> Self {
        Self { handle }
    }

    pub(crate) const fn handle(&self) -> &Handle<B> {
        &self.handle
    }

    /// What every item is good for: as long and as aligned as was asked for, or more so.
    pub fn item_layout(&self) -> Layout {
        self.handle.core.carve.item()
    }

    /// A get with more to say: a critical one, or one with a deadline.
    pub fn request(&self) -> Request<'_, Self> {
        Request::new(self)
    }

    /// Gets an item, waiting until somebody puts one, a page comes, or the pool is closed.
    ///
    /// The memory is uninitialised, or as its last user left it.
    ///
    /// # Errors
    /// The pool is closed, or the back-end refused the page this getter waited for.
    ///
    /// # Panics
    /// If the back-end does, or a pool that was hardened (`Builder::harden`) finds that the item was used
    /// after it was put; the pool is as if the get had not been.
    #[track_caller]
    #[inline]
    pub fn get(&self) -> Result<NonNull<u8>, GetError<B::Error>> {
        match self.handle.core.take_cached::<false>(Location::caller()) {
            Some(round) => Ok(round.ptr),
            None => self.get_slowly(),
        }
    }

    /// Out of the way of those that find one at hand.
    #[track_caller]
    #[inline(never)]
    fn get_slowly(&self) -> Result<NonNull<u8>, GetError<B::Error>> {
        match self.handle.core.take_cached_of_many::<false>(Location::caller()) {
            Some(round) => Ok(round.ptr),
            None => self.request().get(),
        }
    }

    /// As [`get`](Self::get), for at most `timeout`; see [`Request::timeout`].
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<NonNull<u8>, GetError<B::Error>> {
        self.request().timeout(timeout).get()
    }

    /// As [`get`](Self::get), until `deadline`; see [`Request::deadline`].
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    #[track_caller]
    pub fn get_deadline(&self, deadline: Instant) -> Result<NonNull<u8>, GetError<B::Error>> {
        self.request().deadline(deadline).get()
    }

    /// Gets an item if there is one, or if the back-end has a page right now.
    ///
    /// # Errors
    /// There is none, and why.
    #[track_caller]
    pub fn try_get(&self) -> Result<NonNull<u8>, TryGetError<B::Error>> {
        self.request().try_get()
    }

    /// Gets an item without blocking the thread; see [`Request::get_async`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_async(&self) -> impl Future<Output = Result<NonNull<u8>, GetError<B::Error>>> + Send {
        self.request().get_async()
    }

    /// Gets `items` items, all or none, from one place in the queue.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TooMany`].
    #[track_caller]
    pub fn get_many(&self, items: usize) -> Result<Vec<NonNull<u8>>, GetError<B::Error>> {
        self.request().get_many(items)
    }

    /// Puts an item back. While anybody waits, this makes some waiter return, or brings the one
    /// whose turn it is nearer to the several it wants (P2).
    ///
    /// # Errors
    /// `item` is not an item of this pool that is out. Nothing was changed.
    ///
    /// # Panics
    /// In a pool that was hardened (`Builder::harden`), where that would be the error, unless somebody
    /// else is to be told; nothing was changed.
    ///
    /// # Safety
    /// - Nobody uses the item's memory after this.
    /// - The item is not put a second time while another thread puts it, after somebody else got it,
    ///   or just as its page is given up. Such a put may be taken, and memory is lent to two then. At
    ///   any other time a second put is found; in a hardened pool always, but after somebody else got it.
    #[inline]
    pub unsafe fn put(&self, item: NonNull<u8>) -> Result<(), PutError> {
        self.handle.core.put(item)
    }

    knobs!(handle.core);
}

/// Says who waits for what and why, and in builds that check, where what is out was got.
impl<B: Backend> fmt::Debug for RawPool<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written after the lock: the writer is the caller's.
        f.write_str(&describe(&self.handle.core))
    }
}
