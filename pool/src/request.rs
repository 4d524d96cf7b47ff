//! A get with more to say.

use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use kva::holds::Client;
use kva::sync::Arc;

use crate::backend::Backend;
use crate::core::Core;
use crate::error::{GetError, TryGetError};
use crate::getter::{Getter, Patience};
use crate::guard::{Item, OwnedItem};
use crate::loan::{Loan, Loans, Rest, Round};
use crate::object::Shelf;
use crate::raw::RawPool;
use crate::reservation::Reservation;
use crate::typed::Pool;
use crate::waiter::{Class, Want};

/// A get with more to say, as [`Pool::request`] and [`RawPool::request`] begin it: who asks,
/// and how long it would wait.
///
/// All ways to get wait in one line, oldest first: threads and tasks, for one item or several.
/// Whoever stops waiting, by its deadline or by dropping its future, has nothing and loses
/// nothing: an item that it was served in the last moment goes to the next.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::Pool;
/// use std::time::Duration;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(2, || [0_u8; 4096]).critical_reserve(1).build(arena)?;
/// let ordinary = pool.get()?;
/// assert!(pool.try_get().is_err()); // the last one is for root
/// let root = pool.request().critical().timeout(Duration::from_secs(1)).get()?;
/// # drop((ordinary, root));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a request gets nothing until it is told to"]
pub struct Request<'p, P> {
    pub(crate) pool: &'p P,
    class: Class,
    pub(crate) patience: Patience,
}

impl<P> Clone for Request<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Request<'_, P> {}

impl<P> fmt::Debug for Request<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("class", &self.class)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl<'p, P> Request<'p, P> {
    pub(crate) fn new(pool: &'p P) -> Self {
        Self { pool, class: Class::Ordinary, patience: Patience::default() }
    }

    /// For one who may take of the [reserve](crate::Builder::critical_reserve).
    pub fn critical(mut self) -> Self {
        self.class = Class::Critical;
        self
    }

    /// Until when it would wait, for whatever: for a put, or for a page. `try_` methods wait
    /// for nothing.
    ///
    /// A back-end that sleeps on its caller's thread is told of the deadline and has to keep
    /// it; a [`Factory`](crate::Factory) does not. A future has no clock to wake it but the pool's
    /// [`timer`](crate::Builder::timer). Without one it looks at the time when it is polled, so
    /// wrap it in your runtime's timeout, which may drop it at any moment.
    ///
    /// A [validation](crate::Builder::validate) is not waiting: no deadline ends it.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.patience.deadline = Some(deadline);
        self
    }

    /// [`deadline`](Self::deadline) from now on. One that is too long to be told is none.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.patience.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// How long it would wait for a page at most, within the deadline. When this time is up, and
    /// the back-end owes one, it gives up. If none is owed, since the hard limit allows no
    /// more pages, it waits on for a put, and looks again after as long, a
    /// millisecond at least. The time begins when
    /// it begins to wait, and again when it asks for a page itself.
    pub fn grow_timeout(mut self, timeout: Duration) -> Self {
        self.patience.for_page = Some(timeout);
        self
    }

    pub(crate) fn want(&self, items: u32, caller: &'static Location<'static>) -> Want {
        Want { items, class: self.class, client: Client::NOBODY, caller }
    }
}

/// A getter of several items, before it looks: it has room for all but the first.
pub(crate) struct Several {
    pub(crate) want: Want,
    pub(crate) rest: Rest,
}

/// Why nobody can even begin to wait for so many.
pub(crate) enum NotSeveral {
    TooMany { asked: usize, most: usize },
    NoMemory(usize),
}

impl<E> From<NotSeveral> for GetError<E> {
    fn from(error: NotSeveral) -> Self {
        match error {
            NotSeveral::TooMany { asked, most } => Self::TooMany { asked, most },
            NotSeveral::NoMemory(items) => Self::NoMemory(items),
        }
    }
}

impl<E> From<NotSeveral> for TryGetError<E> {
    fn from(error: NotSeveral) -> Self {
        match error {
            NotSeveral::TooMany { asked, most } => Self::TooMany { asked, most },
            NotSeveral::NoMemory(items) => Self::NoMemory(items),
        }
    }
}

impl Several {
    /// `items` for this request, at least one, with room for them in lists of `R` too.
    pub(crate) fn new<B: Backend, P, R>(
        request: &Request<'_, P>,
        core: &Core<B>,
        items: usize,
        caller: &'static Location<'static>,
    ) -> Result<(Self, Vec<R>), NotSeveral> {
        // Not only when it is its turn: the room is made before.
        let most = core.most(request.class);
        let few = u32::try_from(items).ok().filter(|_| items <= most);
        let several = few.ok_or(NotSeveral::TooMany { asked: items, most }).and_then(|few| {
            let mut list = Vec::new();
            // One more than needed: a reservation adds the first one.
            let rest = Rest::with_room(items).filter(|_| list.try_reserve_exact(items).is_ok());
            let rest = rest.ok_or(NotSeveral::NoMemory(items))?;
            Ok((Self { want: request.want(few, caller), rest }, list))
        });
        if several.is_err() {
            core.count_too_many();
        }
        several
    }
}

impl<B: Backend> Request<'_, RawPool<B>> {
    fn core(&self) -> &Arc<Core<B>> {
        &self.pool.handle().core
    }

    /// Gets an item, waiting until somebody puts one, a page comes, the pool is closed, or
    /// its time is up.
    ///
    /// # Errors
    /// As [`RawPool::get`], and [`GetError::TimedOut`].
    ///
    /// # Panics
    /// If the back-end does; the pool is as if the get had not been.
    #[track_caller]
    pub fn get(self) -> Result<NonNull<u8>, GetError<B::Error>> {
        let want = self.want(1, Location::caller());
        let loans = Getter::get(self.core(), want, Rest::default(), self.patience)?;
        Ok(self.core().vet(loans).first.ptr)
    }

    /// Gets an item if there is one, or if the back-end has a page right now.
    ///
    /// # Errors
    /// There is none, and why.
    #[track_caller]
    pub fn try_get(self) -> Result<NonNull<u8>, TryGetError<B::Error>> {
        let want = self.want(1, Location::caller());
        let loans = match self.core().take_now(want) {
            Some(loan) => Loans::one(loan),
            None => self.core().try_get(want, Rest::default())?,
        };
        Ok(self.core().vet(loans).first.ptr)
    }

    /// Gets `items` items, all or none, from one place in the queue: they gather until there
    /// are enough. The list is allocated before it waits.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TooMany`].
    #[track_caller]
    pub fn get_many(self, items: usize) -> Result<Vec<NonNull<u8>>, GetError<B::Error>> {
        self.get_several(items, Location::caller(), |loan| loan.ptr)
    }

    /// As [`get_many`](Self::get_many), in a list that may go to another thread.
    pub(crate) fn get_rounds(
        &self,
        items: usize,
        caller: &'static Location<'static>,
    ) -> Result<Vec<Round>, GetError<B::Error>> {
        self.get_several(items, caller, Round::of)
    }

    fn get_several<R>(
        &self,
        items: usize,
        caller: &'static Location<'static>,
        of: impl Fn(Loan) -> R,
    ) -> Result<Vec<R>, GetError<B::Error>> {
        if items == 0 {
            return Ok(Vec::new());
        }
        let (Several { want, rest }, mut list) = Several::new(self, self.core(), items, caller)?;
        let loans = Getter::get(self.core(), want, rest, self.patience)?;
        list.extend(self.core().vet(loans).into_iter().map(of));
        Ok(list)
    }

    /// As [`get_rounds`](Self::get_rounds), of what is there, or can be, right now: all or none.
    pub(crate) fn try_get_rounds(
        &self,
        items: usize,
        caller: &'static Location<'static>,
    ) -> Result<Vec<Round>, TryGetError<B::Error>> {
        if items == 0 {
            return Ok(Vec::new());
        }
        let (Several { want, rest }, mut list) = Several::new(self, self.core(), items, caller)?;
        let loans = match self.core().take_now(want) {
            Some(loan) => Loans::one(loan),
            None => self.core().try_get(want, rest)?,
        };
        list.extend(self.core().vet(loans).into_iter().map(Round::of));
        Ok(list)
    }
}

impl<'p, B: Backend> Request<'p, RawPool<B>> {
    /// Gets an item without blocking the thread. Needs no runtime.
    ///
    /// Nothing happens until it is first polled. Dropping the future leaves the line, and what
    /// it was served in the last moment goes to the next: it may be dropped at any time. While
    /// it exists and is not polled it may hold an item that others wait for, so poll it or
    /// drop it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_async(
        self,
    ) -> impl Future<Output = Result<NonNull<u8>, GetError<B::Error>>> + Send + use<'p, B> {
        const { assert!(!B::SLEEPS, "a back-end that sleeps on its caller's thread would block the executor") };
        let want = self.want(1, Location::caller());
        async move {
            let core = &self.pool.handle().core;
            let loans = Getter::get_async(core, want, Rest::default(), self.patience).await?;
            Ok(core.vet(loans).first.ptr)
        }
    }

    /// As [`get_rounds`](Self::get_rounds), without blocking the thread. The list is allocated at
    /// once.
    pub(crate) fn get_rounds_async(
        self,
        items: usize,
        caller: &'static Location<'static>,
    ) -> impl Future<Output = Result<Vec<Round>, GetError<B::Error>>> + Send + use<'p, B> {
        const { assert!(!B::SLEEPS, "a back-end that sleeps on its caller's thread would block the executor") };
        let several = (items > 0).then(|| Several::new(&self, self.core(), items, caller));
        async move {
            let Some(several) = several else {
                return Ok(Vec::new());
            };
            let (Several { want, rest }, mut list) = several?;
            let core = &self.pool.handle().core;
            let loans = Getter::get_async(core, want, rest, self.patience).await?;
            list.extend(core.vet(loans).into_iter().map(Round::of));
            Ok(list)
        }
    }
}

impl<'p, T: Send + 'static, B: Backend> Request<'p, Pool<T, B>> {
    pub(crate) fn shelf(&self) -> &'p Arc<Shelf<T, B>> {
        self.pool.shelf()
    }

    pub(crate) fn lend(&self, caller: &'static Location<'static>) -> Result<Round, GetError<B::Error>> {
        let (first, _) = self.shelf().lend(self.want(1, caller), Rest::default(), self.patience)?;
        Ok(Round::of(first))
    }

    pub(crate) fn try_lend(
        &self,
        caller: &'static Location<'static>,
    ) -> Result<Round, TryGetError<B::Error>> {
        let (first, _) = self.shelf().try_lend(self.want(1, caller), Rest::default())?;
        Ok(Round::of(first))
    }

    /// Gets an object, waiting until somebody puts one, a page comes, the pool is closed, or
    /// its time is up.
    ///
    /// # Errors
    /// As [`Pool::get`], and [`GetError::TimedOut`].
    ///
    /// # Panics
    /// If the constructor or the back-end does; the pool is as if the get had not been.
    #[track_caller]
    pub fn get(self) -> Result<Item<'p, T, B>, GetError<B::Error>> {
        Ok(Item::new(self.shelf(), self.lend(Location::caller())?))
    }

    /// Gets an object if there is one, or if the back-end has a page right now.
    ///
    /// # Errors
    /// There is none, and why.
    #[track_caller]
    pub fn try_get(self) -> Result<Item<'p, T, B>, TryGetError<B::Error>> {
        Ok(Item::new(self.shelf(), self.try_lend(Location::caller())?))
    }

    /// As [`get`](Self::get), with a guard that borrows nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_owned(self) -> Result<OwnedItem<T, B>, GetError<B::Error>> {
        Ok(OwnedItem::new(self.shelf().clone(), self.lend(Location::caller())?))
    }

    /// As [`try_get`](Self::try_get), with a guard that borrows nothing.
    ///
    /// # Errors
    /// As [`try_get`](Self::try_get).
    #[track_caller]
    pub fn try_get_owned(self) -> Result<OwnedItem<T, B>, TryGetError<B::Error>> {
        Ok(OwnedItem::new(self.shelf().clone(), self.try_lend(Location::caller())?))
    }

    /// Gets an object without blocking the thread. Needs no runtime.
    ///
    /// Nothing happens until it is first polled. Dropping the future leaves the line, and what
    /// it was served in the last moment goes to the next: it may be dropped at any time. While
    /// it exists and is not polled it may hold an object that others wait for, so poll it or
    /// drop it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_async(
        self,
    ) -> impl Future<Output = Result<Item<'p, T, B>, GetError<B::Error>>> + Send + use<'p, T, B> {
        let (want, patience, shelf) = (self.want(1, Location::caller()), self.patience, self.shelf());
        async move { Ok(Item::new(shelf, lend_async(shelf, want, patience).await?)) }
    }

    /// As [`get_async`](Self::get_async), with a future and a guard that borrow nothing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_owned_async(
        self,
    ) -> impl Future<Output = Result<OwnedItem<T, B>, GetError<B::Error>>> + Send + use<T, B> {
        let (want, patience) = (self.want(1, Location::caller()), self.patience);
        let shelf = self.shelf().clone();
        async move {
            let round = lend_async(&shelf, want, patience).await?;
            Ok(OwnedItem::new(shelf, round))
        }
    }

    /// Gets `items` objects, all or none, from one place in the queue: they gather until there
    /// are enough. The list is allocated before it waits.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`GetError::TooMany`].
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_many(self, items: usize) -> Result<Vec<Item<'p, T, B>>, GetError<B::Error>> {
        if items == 0 {
            return Ok(Vec::new());
        }
        let shelf = self.shelf();
        let (Several { want, rest }, mut list) =
            Several::new(&self, &*shelf.core, items, Location::caller())?;
        let (first, rest) = shelf.lend(want, rest, self.patience)?;
        list.extend(std::iter::once(first).chain(rest).map(|loan| Item::new(shelf, Round::of(loan))));
        Ok(list)
    }

    /// Sets `items` objects aside, all or none, waiting for them in one place in the queue:
    /// [`Reservation::get`] then neither waits nor fails.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn reserve(self, items: usize) -> Result<Reservation<T, B>, GetError<B::Error>> {
        if items == 0 {
            return Ok(Reservation::empty(self.shelf().clone()));
        }
        let shelf = self.shelf();
        let (Several { want, rest }, _) =
            Several::new::<_, _, ()>(&self, &shelf.core, items, Location::caller())?;
        Ok(Reservation::new(shelf.clone(), shelf.lend(want, rest, self.patience)?))
    }

    /// Sets `items` objects aside if they are there, or if the back-end has the pages for them
    /// right now: all or none.
    ///
    /// # Errors
    /// They cannot be had now, and why.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn try_reserve(self, items: usize) -> Result<Reservation<T, B>, TryGetError<B::Error>> {
        if items == 0 {
            return Ok(Reservation::empty(self.shelf().clone()));
        }
        let shelf = self.shelf();
        let (Several { want, rest }, _) =
            Several::new::<_, _, ()>(&self, &shelf.core, items, Location::caller())?;
        Ok(Reservation::new(shelf.clone(), shelf.try_lend(want, rest)?))
    }

    /// As [`reserve`](Self::reserve), without blocking the thread; the future borrows nothing.
    /// The list is allocated at once, and what can never be had is found at once.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    #[track_caller]
    pub fn reserve_async(
        self,
        items: usize,
    ) -> impl Future<Output = Result<Reservation<T, B>, GetError<B::Error>>> + Send + use<T, B> {
        const { assert!(!B::SLEEPS, "a back-end that sleeps on its caller's thread would block the executor") };
        let (patience, shelf, caller) = (self.patience, self.shelf().clone(), Location::caller());
        let several = (items > 0).then(|| Several::new::<_, _, ()>(&self, &shelf.core, items, caller));
        async move {
            let Some(several) = several else {
                return Ok(Reservation::empty(shelf));
            };
            let (Several { want, rest }, _) = several?;
            let good = shelf.lend_async(want, rest, patience).await?;
            Ok(Reservation::new(shelf, good))
        }
    }
}

async fn lend_async<T, B: Backend>(
    shelf: &Arc<Shelf<T, B>>,
    want: Want,
    patience: Patience,
) -> Result<Round, GetError<B::Error>> {
    const { assert!(!B::SLEEPS, "a back-end that sleeps on its caller's thread would block the executor") };
    let (first, _) = shelf.lend_async(want, Rest::default(), patience).await?;
    Ok(Round::of(first))
}
