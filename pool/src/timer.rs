//! What wakes an async getter when its time is up: the caller's runtime, if the pool was told of
//! it. The pool itself has no clock that wakes anybody.

use std::fmt;
use std::pin::Pin;
use std::task::Context;
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
    /// Whether `until` has come, by `timer`. If not, the task is woken when it has.
    pub(crate) fn rings(&mut self, timer: &Timer, until: Instant, context: &mut Context<'_>) -> bool {
        let set = self.0.take().filter(|(moment, _)| *moment == until);
        let (_, sleep) = self.0.insert(set.unwrap_or_else(|| (until, (timer.0)(until))));
        let rings = sleep.as_mut().poll(context).is_ready();
        if rings {
            self.0 = None;
        }
        rings
    }
}
