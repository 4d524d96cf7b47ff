//! What wakes an async getter when its time is up: the caller's runtime, if the pool was told of
//! it. The pool itself has no clock that wakes anybody.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use kva::sync::Arc;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes futures that are ready at a moment.
#[derive(Clone)]
pub(crate) struct Timer(Arc<dyn Fn(Instant) -> Sleep + Send + Sync>);

impl Timer {
    pub(crate) fn new<S>(sleep_until: impl Fn(Instant) -> S + Send + Sync + 'static) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |moment| Box::pin(sleep_until(moment))))
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timer")
    }
}

/// One getter's sleep, if it has begun to.
#[derive(Default)]
pub(crate) struct Alarm(Option<(Instant, Sleep)>);

impl Alarm {
    /// Wakes the task at `until`, by `timer`.
    pub(crate) fn set(&mut self, timer: &Timer, until: Instant, context: &mut Context<'_>) {
        let set = self.0.take().filter(|(moment, _)| *moment == until);
        let (_, sleep) = self.0.insert(set.unwrap_or_else(|| (until, (timer.0)(until))));
        if let Poll::Ready(()) = sleep.as_mut().poll(context) {
            self.0 = None;
            context.waker().wake_by_ref();
        }
    }
}
