//! Events, and what is done with them.

use std::fmt;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use kva::sync::block_on;
use pin_project_lite::pin_project;

use super::attempt::{Attempt, TAKEN_ONCE, sooner};
use crate::driver::Driver;

mod sealed {
    pub trait Sealed {}
}

/// What an [`Event`] is of: how an attempt at it begins. Implemented here only; it is named to say
/// what an event comes to, as in `Event<impl Wait<Output = Span>>`.
///
/// ```
/// use pool::choose::{Event, Wait, always};
///
/// fn twice(event: Event<impl Wait<Output = u32>>) -> Event<impl Wait<Output = u32>> {
///     event.wrap(|number| 2 * number)
/// }
/// # if !kva::sync::IS_MODEL {
/// assert_eq!(twice(always(21)).sync(), 42);
/// # }
/// ```
pub trait Wait: sealed::Sealed {
    /// What it comes to.
    type Output;

    #[doc(hidden)]
    type Attempt: Attempt<Output = Self::Output>;

    #[doc(hidden)]
    fn begin(self) -> Self::Attempt;
}

pub(super) use sealed::Sealed;

/// What only begins: by a function.
pub(super) struct Begins<F>(pub(super) F);

impl<F> Sealed for Begins<F> {}

impl<F: FnOnce() -> A, A: Attempt> Wait for Begins<F> {
    type Output = A::Output;
    type Attempt = A;

    fn begin(self) -> A {
        (self.0)()
    }
}

/// Something that can be waited for, and has not been: a value that does nothing until it is
/// [synced](Self::sync) on or awaited, and then happens once or not at all.
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Arena, Region, Reserve};
/// use pool::{Pool, choose::{after, choose}};
/// use std::time::Duration;
///
/// # let arena = Arena::new(Region::reserve(1 << 20, Reserve::new())?, 4096)?;
/// let pool = Pool::builder(1, || [0_u8; 4096]).build(arena)?;
/// let out = pool.get()?;
/// let item = pool.get_event().wrap(Some);
/// let late = after(Duration::from_millis(1)).wrap(|()| None);
/// assert!(choose((item, late)).sync().is_none());
/// assert_eq!(pool.stats().waiting, 0); // what was not chosen is withdrawn
/// # drop(out);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an event does nothing until it is synced on or awaited"]
pub struct Event<W>(pub(super) W);

impl<W> fmt::Debug for Event<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Event")
    }
}

impl<W: Wait> Event<W> {
    /// Waits for it, asleep.
    ///
    /// Allocates nothing that its events do not (P7). Nobody takes a chooser for one who waits for a
    /// particular thing: [`kva::deadlock`] does not know of it.
    ///
    /// # Panics
    /// If a function or a destructor of the event does. Nothing is lost, and nothing is committed to,
    /// unless it is the function of a [`wrap`](Self::wrap), or the destructor of what was chosen: then
    /// what that came to is dropped.
    pub fn sync(self) -> W::Output {
        self.sync_until(None).expect("there is no deadline")
    }

    /// Waits for it until `deadline`. `None`: that has passed, and all of it is withdrawn. What could
    /// be had by then is had.
    ///
    /// # Panics
    /// As [`sync`](Self::sync).
    pub fn sync_deadline(self, deadline: Instant) -> Option<W::Output> {
        self.sync_until(Some(deadline))
    }

    /// [`sync_deadline`](Self::sync_deadline) from now on. A time that is too long to be told is none.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return }
    /// use std::time::Duration;
    ///
    /// let never = pool::choose::never::<u32>();
    /// assert_eq!(never.sync_timeout(Duration::from_millis(1)), None);
    /// ```
    ///
    /// # Panics
    /// As [`sync`](Self::sync).
    pub fn sync_timeout(self, timeout: Duration) -> Option<W::Output> {
        self.sync_until(Instant::now().checked_add(timeout))
    }

    fn sync_until(self, deadline: Option<Instant>) -> Option<W::Output> {
        let mut slot = pin!(Some(self.0.begin()));
        let mut attempt = slot.as_mut().as_pin_mut().expect("it has begun");
        let committed = attempt.as_mut().try_now()
            || block_on(|waker, passed| {
                let mut driver = Driver::Thread { waker, passed };
                if attempt.as_mut().poll(&mut driver).is_ready() {
                    return ControlFlow::Break(true);
                }
                if deadline.is_some_and(|deadline| driver.is_past(deadline)) {
                    return ControlFlow::Break(false);
                }
                ControlFlow::Continue(sooner(attempt.until(), deadline))
            });
        let output = committed.then(|| attempt.take());
        // Not by its own destructor, callers' code, after the value is out: if that panics, what is
        // being returned is lost (rust-lang/rust#47949).
        slot.set(None);
        output
    }

    /// The same, and `f` of what it comes to. `f` runs when the event was chosen and all others are
    /// withdrawn; on the thread or task that synced, with no lock held.
    ///
    /// If `f` panics, the event was chosen all the same, and what it came to is `f`'s to lose: a guard
    /// puts back what it guards, a [`Span`](kva::Span) is only a receipt.
    pub fn wrap<U, F: FnOnce(W::Output) -> U>(self, f: F) -> Event<Wrap<W, F>> {
        Event(Wrap { inner: self.0, f })
    }

    /// The same as a type that can be named, so that events of different kinds go into one list. It
    /// allocates here, and when it is synced on.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return }
    /// use pool::choose::{BoxedEvent, always, choose, never};
    ///
    /// let mut events: Vec<BoxedEvent<'_, u32>> = vec![never().boxed()];
    /// events.push(always(1).boxed());
    /// assert_eq!(choose(events).sync(), 1);
    /// ```
    pub fn boxed<'a>(self) -> BoxedEvent<'a, W::Output>
    where
        W: Send + 'a,
        W::Attempt: Send + 'a,
    {
        Event(Boxed(Box::new(move || Box::pin(self.0.begin()))))
    }
}

type BoxedAttempt<'a, T> = Pin<Box<dyn Attempt<Output = T> + Send + 'a>>;

/// What a [`BoxedEvent`] is of.
pub struct Boxed<'a, T>(Box<dyn FnOnce() -> BoxedAttempt<'a, T> + Send + 'a>);

impl<T> fmt::Debug for Boxed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed")
    }
}

/// An event whose type can be named; see [`Event::boxed`].
pub type BoxedEvent<'a, T> = Event<Boxed<'a, T>>;

impl<T> Sealed for Boxed<'_, T> {}

impl<'a, T> Wait for Boxed<'a, T> {
    type Output = T;
    type Attempt = BoxedAttempt<'a, T>;

    fn begin(self) -> Self::Attempt {
        (self.0)()
    }
}

impl<A: Attempt + ?Sized> Attempt for Pin<Box<A>> {
    type Output = A::Output;

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.get_mut().as_mut().try_now()
    }
    fn granted(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> bool {
        self.get_mut().as_mut().granted(driver)
    }
    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        self.get_mut().as_mut().poll(driver)
    }
    fn take(self: Pin<&mut Self>) -> A::Output {
        self.get_mut().as_mut().take()
    }
    fn until(&self) -> Option<Instant> {
        self.as_ref().get_ref().until()
    }
}

/// What an event that was [wrapped](Event::wrap) is of.
pub struct Wrap<W, F> {
    inner: W,
    f: F,
}

impl<W, F> fmt::Debug for Wrap<W, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrap")
    }
}

impl<W, F> Sealed for Wrap<W, F> {}

impl<W: Wait, U, F: FnOnce(W::Output) -> U> Wait for Wrap<W, F> {
    type Output = U;
    type Attempt = Wrapped<W::Attempt, F>;

    fn begin(self) -> Self::Attempt {
        Wrapped { inner: self.inner.begin(), f: Some(self.f) }
    }
}

pin_project! {
    /// An attempt, and what is made of its output.
    pub struct Wrapped<A, F> {
        #[pin]
        inner: A,
        f: Option<F>,
    }
}

impl<A: Attempt, U, F: FnOnce(A::Output) -> U> Attempt for Wrapped<A, F> {
    type Output = U;

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.project().inner.try_now()
    }
    fn granted(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> bool {
        self.project().inner.granted(driver)
    }
    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        self.project().inner.poll(driver)
    }
    fn take(self: Pin<&mut Self>) -> U {
        let this = self.project();
        let f = this.f.take().expect(TAKEN_ONCE);
        f(this.inner.take())
    }
    fn until(&self) -> Option<Instant> {
        self.inner.until()
    }
}

pin_project! {
    /// An event that is awaited. Nothing happens until it is first polled; dropping it withdraws all
    /// of it, at any time. It needs no runtime.
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return }
    /// # use kva::sync::block_on_future as block_on;
    /// use pool::choose::{always, choose, never};
    ///
    /// assert_eq!(block_on(async { choose((never(), always(1))).await }), 1);
    /// ```
    #[must_use = "a future does nothing until it is polled"]
    pub struct Awaited<W: Wait> {
        event: Option<W>,
        #[pin]
        attempt: Option<W::Attempt>,
        was_ready: bool,
    }
}

impl<W: Wait> fmt::Debug for Awaited<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awaited")
    }
}

impl<W: Wait> IntoFuture for Event<W> {
    type Output = W::Output;
    type IntoFuture = Awaited<W>;

    fn into_future(self) -> Awaited<W> {
        Awaited { event: Some(self.0), attempt: None, was_ready: false }
    }
}

impl<W: Wait> Future for Awaited<W> {
    type Output = W::Output;

    /// # Panics
    /// As [`Event::sync`], and if it was ready before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<W::Output> {
        let mut this = self.project();
        assert!(!*this.was_ready, "polled after it was ready");
        let begins = this.event.take();
        let is_new = begins.is_some();
        if let Some(event) = begins {
            this.attempt.set(Some(event.begin()));
        }
        let mut attempt = this.attempt.as_mut().as_pin_mut().expect("not polled after it panicked");
        let committed = (is_new && attempt.as_mut().try_now())
            || attempt.as_mut().poll(&mut Driver::Task(context)).is_ready();
        *this.was_ready = committed;
        if !committed {
            return Poll::Pending;
        }
        let output = attempt.take();
        // As in `sync_until`.
        this.attempt.set(None);
        Poll::Ready(output)
    }
}
