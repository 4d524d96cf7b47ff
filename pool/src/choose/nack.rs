//! Negative acknowledgement: who is told that an event was not chosen.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use kva::panics::FirstPanic;
use kva::sync::{Arc, Mutex};
use pin_project_lite::pin_project;

use super::attempt::Attempt;
use super::ended::Ended;
use super::event::{Begins, Event, Sealed, Wait};
use crate::driver::Driver;
use crate::waiter::{Watched, Watchers};

/// What the event and those who would hear of it share.
struct Word {
    state: Mutex<State>,
}

struct State {
    told: bool,
    watchers: Watchers<Infallible>,
}

impl Word {
    /// Tells all who wait, and who come later.
    fn tell(&self) {
        let mut panics = FirstPanic::default();
        loop {
            let next = {
                let mut state = self.state.lock();
                state.told = true;
                state.watchers.tell_one()
            };
            let Some(waker) = next else { break };
            panics.guard(|| waker.wake());
        }
        panics.go_on();
    }
}

impl Watched for Word {
    type Error = Infallible;

    fn with_watchers<R>(&self, f: impl FnOnce(bool, &mut Watchers<Infallible>) -> R) -> R {
        let state = &mut *self.state.lock();
        f(state.told, &mut state.watchers)
    }
}

/// Tells when dropped, unless the event was chosen.
struct Tells(Option<Arc<Word>>);

impl Drop for Tells {
    fn drop(&mut self) {
        if let Some(word) = self.0.take() {
            word.tell();
        }
    }
}

/// The event that `f` makes when it is synced on, as [`guard`](super::guard), with its negative
/// acknowledgement: that comes, once, if the event is not chosen; because another was, time was up,
/// the future was dropped, or anything panicked before the choice was made. It never comes if the
/// event was chosen.
///
/// What waits for something of this crate is withdrawn without being told. This is for what `f` sets
/// going elsewhere, with a server that would otherwise go on with it. It allocates a word each time
/// it is synced on.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{always, choose, never, with_nack};
///
/// let mut told = None;
/// let asks = with_nack(|nack| {
///     told = Some(nack); // here one would send a request, and the nack with it
///     never()
/// });
/// assert_eq!(choose((asks, always(1))).sync(), 1);
/// told.expect("it was asked").event().sync(); // the request is not wanted any more
/// ```
///
/// # Panics
/// Where it is synced on, if `f` does: what else there is to choose from is withdrawn, and the
/// negative acknowledgement comes.
pub fn with_nack<W: Wait, F: FnOnce(Nack) -> Event<W>>(f: F) -> Event<WithNack<F>> {
    Event(WithNack(f))
}

/// What an event is of that is made [with a nack](with_nack).
pub struct WithNack<F>(F);

impl<F> fmt::Debug for WithNack<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithNack")
    }
}

impl<F> Sealed for WithNack<F> {}

impl<W: Wait, F: FnOnce(Nack) -> Event<W>> Wait for WithNack<F> {
    type Output = W::Output;
    type Attempt = Nacked<W::Attempt>;

    fn begin(self) -> Self::Attempt {
        let state = State { told: false, watchers: Watchers::new() };
        let word = Arc::new(Word { state: Mutex::new(state) });
        let tells = Tells(Some(word.clone()));
        let f = self.0;
        Nacked { inner: f(Nack(word)).0.begin(), tells }
    }
}

/// The negative acknowledgement of one event; see [`with_nack`]. Clones are of the same one.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{Nack, always, with_nack};
///
/// let mut told: Option<Nack> = None;
/// let event = with_nack(|nack| {
///     told = Some(nack);
///     always(1)
/// });
/// assert_eq!(event.sync(), 1);
/// assert!(!told.expect("it was synced on").is_told()); // it was chosen
/// ```
#[derive(Clone)]
pub struct Nack(Arc<Word>);

impl fmt::Debug for Nack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nack").field("told", &self.is_told()).finish()
    }
}

impl Nack {
    /// The event was not chosen, and is withdrawn. If it was chosen, this never comes: choose it together
    /// with what comes then.
    pub fn event(&self) -> Event<impl Wait<Output = (), Attempt: Send> + Send + use<>> {
        let word = self.0.clone();
        Event(Begins(move || Ended::new(word)))
    }

    /// Whether that has come.
    pub fn is_told(&self) -> bool {
        self.0.state.lock().told
    }
}

pin_project! {
    /// An attempt, and who is told if it is not chosen.
    pub struct Nacked<A> {
        // Before `tells`: who is told finds it withdrawn.
        #[pin]
        inner: A,
        tells: Tells,
    }
}

impl<A: Attempt> Attempt for Nacked<A> {
    type Output = A::Output;

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.project().inner.try_now()
    }
    fn granted(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> bool {
        self.project().inner.granted(driver)
    }
    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        self.project().inner.poll(driver)
    }
    fn take(self: Pin<&mut Self>) -> A::Output {
        let this = self.project();
        // It is chosen, whatever its functions do.
        this.tells.0 = None;
        this.inner.take()
    }
    fn until(&self) -> Option<Instant> {
        self.inner.until()
    }
}
