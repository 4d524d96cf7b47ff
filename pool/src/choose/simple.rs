//! Events that need nothing of anybody's: always, never, made when they are synced on, any future.

use std::fmt;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use pin_project_lite::pin_project;

use super::attempt::{Attempt, TAKEN_ONCE};
use super::event::{Event, Sealed, Wait};
use crate::driver::Driver;

/// What [`always`] and [`never()`] are of.
pub struct Value<T>(Option<T>);

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "always" } else { "never" })
    }
}

impl<T> Sealed for Value<T> {}

impl<T> Wait for Value<T> {
    type Output = T;
    type Attempt = Self;

    fn begin(self) -> Self {
        self
    }
}

/// Nothing of it is pinned.
impl<T> Unpin for Value<T> {}

impl<T> Attempt for Value<T> {
    type Output = T;

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.0.is_some()
    }
    fn granted(self: Pin<&mut Self>, _: &mut Driver<'_, '_>) -> bool {
        false
    }
    fn poll(self: Pin<&mut Self>, _: &mut Driver<'_, '_>) -> Poll<()> {
        if self.0.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }
    fn take(self: Pin<&mut Self>) -> T {
        self.get_mut().0.take().expect(TAKEN_ONCE)
    }
    fn until(&self) -> Option<Instant> {
        None
    }
}

/// Comes to `value` at once. In a choice it is one of those that are ready, not the last resort.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// assert_eq!(pool::choose::always(1).sync(), 1);
/// ```
pub const fn always<T>(value: T) -> Event<Value<T>> {
    Event(Value(Some(value)))
}

/// Never comes to anything: it adds nothing to a choice.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{always, choose, never};
///
/// assert_eq!(choose((never(), always(1))).sync(), 1);
/// ```
pub const fn never<T>() -> Event<Value<T>> {
    Event(Value(None))
}

/// The event that `f` makes when it is synced on, once each time: its preparations are made then,
/// before anything is waited for.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{always, guard};
///
/// let mut made = 0;
/// let event = guard(|| {
///     made += 1;
///     always(made)
/// });
/// assert_eq!(event.sync(), 1);
/// ```
///
/// # Panics
/// Where it is synced on, if `f` does: what else there is to choose from is withdrawn.
pub const fn guard<W: Wait, F: FnOnce() -> Event<W>>(f: F) -> Event<Guard<F>> {
    Event(Guard(f))
}

/// What an event is of that is made when it is [synced on](guard).
pub struct Guard<F>(F);

impl<F> fmt::Debug for Guard<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl<F> Sealed for Guard<F> {}

impl<W: Wait, F: FnOnce() -> Event<W>> Wait for Guard<F> {
    type Output = W::Output;
    type Attempt = W::Attempt;

    fn begin(self) -> W::Attempt {
        let f = self.0;
        f().0.begin()
    }
}

/// What the event of a [`future`](future()) is of.
pub struct OfFuture<F>(F);

impl<F> fmt::Debug for OfFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfFuture")
    }
}

impl<F> Sealed for OfFuture<F> {}

impl<F: Future> Wait for OfFuture<F> {
    type Output = F::Output;
    type Attempt = Polled<F>;

    fn begin(self) -> Polled<F> {
        Polled { future: self.0, done: None }
    }
}

pin_project! {
    /// A future, and what it came to.
    pub struct Polled<F: Future> {
        #[pin]
        future: F,
        done: Option<F::Output>,
    }
}

impl<F: Future> Attempt for Polled<F> {
    type Output = F::Output;

    fn try_now(self: Pin<&mut Self>) -> bool {
        false
    }
    fn granted(self: Pin<&mut Self>, _: &mut Driver<'_, '_>) -> bool {
        false
    }
    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        let this = self.project();
        driver.poll(this.future).map(|output| *this.done = Some(output))
    }
    fn take(self: Pin<&mut Self>) -> F::Output {
        self.project().done.take().expect(TAKEN_ONCE)
    }
    fn until(&self) -> Option<Instant> {
        None
    }
}

/// What the future comes to: a socket that is readable, a runtime's sleep. It is dropped if it is not
/// chosen, so it must be one that may be. What it came to is dropped too if a destructor panics,
/// another event's or its own.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{choose, future, never};
///
/// assert_eq!(choose((never(), future(async { 1 }))).sync(), 1);
/// ```
pub const fn future<F: Future>(future: F) -> Event<OfFuture<F>> {
    Event(OfFuture(future))
}
