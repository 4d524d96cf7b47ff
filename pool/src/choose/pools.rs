//! Items and reservations of pools, and their close.

#![allow(clippy::type_complexity, reason = "they say what an event comes to, and that it may be sent")]

use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Poll;
use std::time::Instant;

use kva::sync::Arc;
use pin_project_lite::pin_project;

use super::attempt::{Attempt, TAKEN_ONCE};
use super::ended::Ended;
use super::event::{Begins, Event, Wait};
use crate::backend::Backend;
use crate::core::Core;
use crate::driver::Driver;
use crate::error::GetError;
use crate::guard::{Item, OwnedItem};
use crate::lending::{Care, Lending, Lent, Readied};
use crate::loan::{Loans, Rest, Round};
use crate::object::{Held, Shelf};
use crate::raw::RawPool;
use crate::request::{Request, Several};
use crate::reservation::Reservation;
use crate::typed::Pool;

pin_project! {
    /// Waits for what a pool lends, of which `convert` makes what was asked for.
    struct OfPool<'p, B: Backend, M, R, C> {
        // `None`: there is nothing to wait for.
        #[pin]
        lending: Option<Lending<'p, B, M, R>>,
        done: Option<Lent<'p, B>>,
        convert: Option<C>,
    }
}

impl<'p, B, M, R, C, O> Attempt for OfPool<'p, B, M, R, C>
where
    B: Backend,
    M: FnMut(Loans) -> R,
    R: Future<Output = Readied<'p, B>>,
    C: FnOnce(Option<Held<'p, B>>) -> O,
{
    type Output = Result<O, GetError<B::Error>>;

    fn try_now(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        if let Some(lending) = this.lending.as_pin_mut() {
            *this.done = lending.try_now();
            return this.done.is_some();
        }
        true
    }

    fn granted(self: Pin<&mut Self>, _: &mut Driver<'_, '_>) -> bool {
        let this = self.project();
        if let Some(lending) = this.lending.as_pin_mut() {
            *this.done = lending.granted();
        }
        this.done.is_some()
    }

    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        let this = self.project();
        match this.lending.as_pin_mut() {
            Some(lending) => lending.poll_driven(driver).map(|lent| *this.done = Some(lent)),
            None => Poll::Ready(()),
        }
    }

    fn take(self: Pin<&mut Self>) -> Self::Output {
        let this = self.project();
        let convert = this.convert.take().expect(TAKEN_ONCE);
        Ok(convert(this.done.take().transpose()?))
    }

    fn until(&self) -> Option<Instant> {
        self.lending.as_ref().and_then(Lending::until)
    }
}

/// Of those who wait for something: it is there once they are asked.
fn lent<B: Backend>(held: Option<Held<'_, B>>) -> Held<'_, B> {
    held.expect(TAKEN_ONCE)
}

fn round<B: Backend>(held: Option<Held<'_, B>>) -> Round {
    Round::of(lent(held).into_parts().0)
}

impl<'p, B: Backend> Request<'p, RawPool<B>> {
    /// An item, or why there is none, as [`get_async`](Self::get_async); see [`choose`](mod@crate::choose).
    ///
    /// An error is chosen like an item: whoever goes on choosing leaves that pool out.
    #[track_caller]
    pub fn get_event(
        self,
    ) -> Event<impl Wait<Output = Result<NonNull<u8>, GetError<B::Error>>, Attempt: Send> + Send + use<'p, B>>
    {
        const {
            assert!(
                !B::SLEEPS,
                "a back-end that sleeps on its caller's thread could not be left for another event"
            );
        };
        let want = self.want(1, Location::caller());
        let core: &'p Arc<Core<B>> = &self.pool.handle().core;
        let patience = self.patience;
        Event(Begins(move || {
            let good = |loans| std::future::ready(Ok(Some(Held::new(core, core.vet(loans)))));
            let lending = Lending::new(core, want, Rest::default(), patience, Care::Nothing, good);
            let convert = |held| round::<B>(held).ptr;
            OfPool { lending: Some(lending), done: None, convert: Some(convert) }
        }))
    }
}

impl<'p, T: Send + 'static, B: Backend> Request<'p, Pool<T, B>> {
    fn event_of<O: 'p>(
        self,
        caller: &'static Location<'static>,
        convert: impl FnOnce(&'p Arc<Shelf<T, B>>, Round) -> O + Send + 'p,
    ) -> Event<impl Wait<Output = Result<O, GetError<B::Error>>, Attempt: Send> + Send> {
        const {
            assert!(
                !B::SLEEPS,
                "a back-end that sleeps on its caller's thread could not be left for another event"
            );
        };
        let (want, patience, shelf) = (self.want(1, caller), self.patience, self.shelf());
        Event(Begins(move || {
            let good = |loans| shelf.ready(loans);
            let patience = shelf.came_now(patience);
            let lending = Lending::new(&shelf.core, want, Rest::default(), patience, shelf.care(), good);
            let convert = move |held| convert(shelf, round::<B>(held));
            OfPool { lending: Some(lending), done: None, convert: Some(convert) }
        }))
    }

    /// An object, or why there is none, as [`get_async`](Self::get_async); see
    /// [`choose`](mod@crate::choose).
    ///
    /// It is found to be good before it is chosen, and constructed where it has to be: one that is not
    /// does not keep another event from being chosen. If another is, while an
    /// [async validation](crate::Builder::validate_async) goes on, that object is destroyed; one begins
    /// only if nothing of the choice was ready.
    ///
    /// An error is chosen like an object: whoever goes on choosing leaves that pool out.
    #[track_caller]
    pub fn get_event(
        self,
    ) -> Event<
        impl Wait<Output = Result<Item<'p, T, B>, GetError<B::Error>>, Attempt: Send> + Send + use<'p, T, B>,
    > {
        self.event_of(Location::caller(), Item::new)
    }

    /// As [`get_event`](Self::get_event), with a guard that borrows nothing.
    #[track_caller]
    pub fn get_owned_event(
        self,
    ) -> Event<
        impl Wait<Output = Result<OwnedItem<T, B>, GetError<B::Error>>, Attempt: Send> + Send + use<'p, T, B>,
    > {
        self.event_of(Location::caller(), |shelf, round| OwnedItem::new(shelf.clone(), round))
    }

    /// `items` objects set aside, all or none, or why not, as [`reserve_async`](Self::reserve_async). The
    /// list is allocated when it is synced on, before it waits.
    #[track_caller]
    pub fn reserve_event(
        self,
        items: usize,
    ) -> Event<
        impl Wait<Output = Result<Reservation<T, B>, GetError<B::Error>>, Attempt: Send> + Send + use<'p, T, B>,
    > {
        const {
            assert!(
                !B::SLEEPS,
                "a back-end that sleeps on its caller's thread could not be left for another event"
            );
        };
        let (caller, patience, shelf) = (Location::caller(), self.patience, self.shelf());
        Event(Begins(move || {
            let several = (items > 0).then(|| Several::new::<_, _, ()>(&self, &shelf.core, items, caller));
            let (several, error) = match several.transpose() {
                Ok(several) => (several, None),
                Err(error) => (None, Some(Err(error.into()))),
            };
            let lending = several.map(|(Several { want, rest }, _)| {
                let good = |loans| shelf.ready(loans);
                Lending::new(&shelf.core, want, rest, shelf.came_now(patience), shelf.care(), good)
            });
            let convert = |held: Option<Held<'p, B>>| match held {
                Some(held) => Reservation::new(shelf.clone(), held.into_parts()),
                None => Reservation::empty(shelf.clone()),
            };
            OfPool { lending, done: error, convert: Some(convert) }
        }))
    }
}

impl<T: Send + 'static, B: Backend> Pool<T, B> {
    /// An object, or why there is none, to be chosen; see [`Request::get_event`].
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// use pool::{Pool, choose::choose};
    ///
    /// let pool_of = |at| Pool::builder(1, move || at).items_per_page(1).build(arena.clone());
    /// let (one, other) = (pool_of(1)?, pool_of(2)?);
    /// let out = one.get()?;
    /// let any = choose([one.get_event(), other.get_event()]).sync()?;
    /// assert_eq!(*any, 2); // the other one's
    /// # drop(out);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn get_event(
        &self,
    ) -> Event<
        impl Wait<Output = Result<Item<'_, T, B>, GetError<B::Error>>, Attempt: Send> + Send + use<'_, T, B>,
    > {
        self.request().get_event()
    }

    /// As [`get_event`](Self::get_event), with a guard that borrows nothing.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let pool = pool::Pool::builder(1, || 7).build(arena)?;
    /// let item = pool.get_owned_event().sync()?;
    /// drop(pool);
    /// assert_eq!(*item, 7);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn get_owned_event(
        &self,
    ) -> Event<
        impl Wait<Output = Result<OwnedItem<T, B>, GetError<B::Error>>, Attempt: Send> + Send + use<'_, T, B>,
    > {
        self.request().get_owned_event()
    }

    /// `items` objects set aside, to be chosen; see [`Request::reserve_event`].
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// use pool::{Pool, choose::{after, choose}};
    /// use std::time::Duration;
    ///
    /// let pool = Pool::builder(2, || [0_u8; 4096]).build(arena)?;
    /// let both = pool.reserve_event(2).wrap(Some);
    /// let late = after(Duration::from_secs(10)).wrap(|()| None);
    /// let mut both = choose((both, late)).sync().expect("they are there")?;
    /// assert_eq!(both.len(), 2);
    /// # let _ = both.get();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn reserve_event(
        &self,
        items: usize,
    ) -> Event<
        impl Wait<Output = Result<Reservation<T, B>, GetError<B::Error>>, Attempt: Send> + Send + use<'_, T, B>,
    > {
        self.request().reserve_event(items)
    }

    /// The pool is closed. Who waits for that alone is in nobody's way.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// let pool = pool::Pool::builder(1, || 0_u64).build(arena)?;
    /// pool.close();
    /// pool.closed_event().sync();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn closed_event(&self) -> Event<impl Wait<Output = (), Attempt: Send> + Send + use<'_, T, B>> {
        closed(&self.shelf().core)
    }
}

impl<B: Backend> RawPool<B> {
    /// An item, or why there is none, to be chosen; see [`Request::get_event`].
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// # use std::alloc::Layout;
    /// use pool::RawPool;
    ///
    /// let pool = RawPool::builder(Layout::new::<[u8; 4096]>(), 1).build(arena)?;
    /// let item = pool.get_event().sync()?;
    /// // SAFETY: it is not used after this.
    /// unsafe { pool.put(item) }?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn get_event(
        &self,
    ) -> Event<impl Wait<Output = Result<NonNull<u8>, GetError<B::Error>>, Attempt: Send> + Send + use<'_, B>>
    {
        self.request().get_event()
    }

    /// The pool is closed. Who waits for that alone is in nobody's way.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// # use kva::{Arena, Region, Reserve};
    /// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
    /// # use std::alloc::Layout;
    /// let pool = pool::RawPool::builder(Layout::new::<[u8; 4096]>(), 1).build(arena)?;
    /// pool.close();
    /// pool.closed_event().sync();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn closed_event(&self) -> Event<impl Wait<Output = (), Attempt: Send> + Send + use<'_, B>> {
        closed(&self.handle().core)
    }
}

fn closed<B: Backend>(core: &Core<B>) -> Event<impl Wait<Output = (), Attempt: Send> + Send + use<'_, B>> {
    Event(Begins(move || Ended::new(core)))
}
