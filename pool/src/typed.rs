//! The typed front: a bounded pool of objects.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::{Duration, Instant};

use kva::Arena;
use kva::holds::Client;
use kva::sync::{Arc, Mutex};

use crate::backend::{Backend, ObjectFactory};
use crate::builder::{Builder, Created, Objects};
use crate::error::{ConstructError, GetError, TryGetError};
use crate::guard::{Item, OwnedItem};
use crate::handle::Handle;
use crate::knobs::knobs;
use crate::loan::Round;
use crate::object::{Lifecycle, Shelf};
use crate::request::Request;
use crate::reservation::Reservation;
use crate::stats::describe;
use crate::waiter::{Class, Want};

/// A bounded pool of objects. Cheap to clone: clones are the same pool. Dropping the last one
/// closes it; guards that are out stay good.
///
/// As in `pool_cache(9)`, an object is constructed when its place is first handed out, or made by a
/// [factory](Pool::from_factory), and stays constructed from put to get. It is destroyed when the pool gives its page up: when it is
/// drained, above high water or the limit, for somebody else who needs the memory more, or
/// closed. Any thread may be the one that destroys it, so a `T` must be `Send` and `'static`.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// use kva::{Arena, Region, Reserve};
/// use pool::Pool;
///
/// let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// // At most 16 pages; cleared when they come back.
/// let pool = Pool::builder(16, || Vec::with_capacity(512)).reset(|line: &mut Vec<u8>| line.clear()).build(arena)?;
/// let mut line = pool.get()?;
/// line.extend_from_slice(b"hello");
/// assert_eq!(pool.stats().out, 1);
/// drop(line);
/// assert!(pool.get()?.is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T, B: Backend = Arena> {
    shelf: Arc<Shelf<T, B>>,
    handle: Handle<B>,
    // It hands its objects to any thread: it is `Send` and `Sync` if they are `Send`.
    _objects: PhantomData<Mutex<T>>,
}

impl<T, B: Backend> Clone for Pool<T, B> {
    fn clone(&self) -> Self {
        Self { shelf: self.shelf.clone(), handle: self.handle.clone(), _objects: PhantomData }
    }
}

/// An object that could not be [attached](Pool::attach), and why. Nothing is lost.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// # use pool::Pool;
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(1, || [0_u8; 4096]).build(arena)?;
/// pool.close();
/// let refused = pool.attach([1; 4096]).unwrap_err();
/// assert_eq!(refused.object[0], 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(thiserror::Error)]
#[error("the object was not attached: {error}")]
pub struct AttachError<T, E> {
    /// The object.
    pub object: T,
    /// Why it has no place in the pool now.
    #[source]
    pub error: TryGetError<E>,
}

impl<T, E: fmt::Debug> fmt::Debug for AttachError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Pool<T, Arena> {
    /// A pool of at most `hard_limit` pages of objects that `construct` makes.
    pub fn builder(
        hard_limit: u32,
        construct: impl Fn() -> T + Send + Sync + 'static,
    ) -> Builder<Objects<T>> {
        Builder::objects(hard_limit, move || Ok(construct()))
    }

    /// As [`builder`](Self::builder), with a constructor that may fail: the getter is told
    /// ([`GetError::Construct`]), and the place goes back.
    pub fn try_builder<E: Into<ConstructError>>(
        hard_limit: u32,
        construct: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Builder<Objects<T>> {
        Builder::objects(hard_limit, move || construct().map_err(Into::into))
    }
}

impl<F: ObjectFactory> Pool<F::Object, F> {
    /// A pool of at most `hard_limit` objects that `factory` makes: connections, files, whatever
    /// is slow to make, can fail, or may never come.
    pub fn from_factory(hard_limit: u32, factory: F) -> Builder<Created<F>> {
        Builder::created(hard_limit, factory)
    }
}

impl<T: Send + 'static, B: Backend> Pool<T, B> {
    pub(crate) fn new(handle: Handle<B>, life: Lifecycle<T>) -> Self {
        let shelf = Arc::new(Shelf::new(handle.core.clone(), life));
        Self { shelf, handle, _objects: PhantomData }
    }

    /// A get with more to say: a critical one, or one with a deadline.
    pub fn request(&self) -> Request<'_, Self> {
        Request::new(self)
    }

    /// Gets an object, waiting until somebody puts one, a page comes, or the pool is closed.
    ///
    /// # Errors
    /// The pool is closed, the back-end refused the page this getter waited for, or the
    /// constructor failed.
    ///
    /// # Panics
    /// If the constructor or the back-end does; the pool is as if the get had not been.
    #[track_caller]
    #[inline]
    pub fn get(&self) -> Result<Item<'_, T, B>, GetError<B::Error>> {
        match self.shelf.lend_cached(Location::caller()) {
            Some(round) => Ok(Item::new(&self.shelf, round)),
            None => Ok(Item::new(&self.shelf, self.lend_slowly(Location::caller())?)),
        }
    }

    /// Out of the way of those that find one at hand.
    #[inline(never)]
    pub(crate) fn lend_slowly(
        &self,
        caller: &'static Location<'static>,
    ) -> Result<Round, GetError<B::Error>> {
        match self.shelf.lend_cached_of_many(caller) {
            Some(round) => Ok(round),
            None => self.request().lend(caller),
        }
    }

    /// As [`get`](Self::get), for at most `timeout`; see [`Request::timeout`].
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    #[track_caller]
    pub fn get_timeout(&self, timeout: Duration) -> Result<Item<'_, T, B>, GetError<B::Error>> {
        self.request().timeout(timeout).get()
    }

    /// As [`get`](Self::get), until `deadline`; see [`Request::deadline`].
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TimedOut`].
    #[track_caller]
    pub fn get_deadline(&self, deadline: Instant) -> Result<Item<'_, T, B>, GetError<B::Error>> {
        self.request().deadline(deadline).get()
    }

    /// Gets an object if there is one, or if the back-end has a page right now.
    ///
    /// # Errors
    /// There is none, and why.
    #[track_caller]
    pub fn try_get(&self) -> Result<Item<'_, T, B>, TryGetError<B::Error>> {
        self.request().try_get()
    }

    /// As [`get`](Self::get), with a guard that borrows nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_owned(&self) -> Result<OwnedItem<T, B>, GetError<B::Error>> {
        self.request().get_owned()
    }

    /// Gets an object without blocking the thread; see [`Request::get_async`].
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_async(&self) -> impl Future<Output = Result<Item<'_, T, B>, GetError<B::Error>>> + Send {
        self.request().get_async()
    }

    /// As [`get_async`](Self::get_async), with a future and a guard that borrow nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_owned_async(
        &self,
    ) -> impl Future<Output = Result<OwnedItem<T, B>, GetError<B::Error>>> + Send + use<T, B> {
        self.request().get_owned_async()
    }

    /// Gets `items` objects, all or none, from one place in the queue.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TooMany`].
    #[track_caller]
    pub fn get_many(&self, items: usize) -> Result<Vec<Item<'_, T, B>>, GetError<B::Error>> {
        self.request().get_many(items)
    }

    /// Sets `items` objects aside, waiting for them: all or none. See [`Reservation`].
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    #[track_caller]
    pub fn reserve(&self, items: usize) -> Result<Reservation<T, B>, GetError<B::Error>> {
        self.request().reserve(items)
    }

    /// Sets `items` objects aside now, or fails now.
    ///
    /// # Errors
    /// They cannot be had now, and why.
    #[track_caller]
    pub fn try_reserve(&self, items: usize) -> Result<Reservation<T, B>, TryGetError<B::Error>> {
        self.request().try_reserve(items)
    }

    /// Brings an object of the caller's into the pool, which gives it a place right now or not
    /// at all. It is out, in the guard that comes back. If there was an idle object in the
    /// place, that is destroyed; in a pool of a factory only if the limit allows no more.
    ///
    /// # Errors
    /// There is no place now, and why; the object comes back.
    ///
    /// # Panics
    /// If the destructor of that idle object does. The caller's object is then dropped, and the
    /// place goes back.
    #[track_caller]
    pub fn attach(&self, object: T) -> Result<Item<'_, T, B>, AttachError<T, B::Error>> {
        let want =
            Want { items: 1, class: Class::Ordinary, client: Client::NOBODY, caller: Location::caller() };
        match self.shelf.core.try_get_place(want) {
            Ok(loan) => Ok(Item::new(&self.shelf, Round::of(self.shelf.fill(loan, object)))),
            Err(error) => Err(AttachError { object, error }),
        }
    }
}

impl<T, B: Backend> Pool<T, B> {
    pub(crate) const fn shelf(&self) -> &Arc<Shelf<T, B>> {
        &self.shelf
    }

    knobs!(handle.core);
}

/// Says who waits for what and why, and in builds that check, where what is out was got.
impl<T, B: Backend> fmt::Debug for Pool<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written after the lock: the writer is the caller's.
        f.write_str(&describe(&self.handle.core))
    }
}
