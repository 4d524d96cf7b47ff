//! Moments.

use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::event::{Begins, Event, Wait};
use crate::driver::Driver;
use crate::timer::{Alarm, Timer};

/// A moment to come; `None`: it is too far away to be told.
struct Moment {
    at: Option<Instant>,
    timer: Option<Timer>,
    alarm: Alarm,
}

impl Attempt for Moment {
    type Output = ();

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    fn granted(self: Pin<&mut Self>, _: &mut Driver<'_, '_>) -> bool {
        false
    }
    fn poll(mut self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        let this = &mut *self;
        let Some(at) = this.at else { return Poll::Pending };
        let has_come = match (driver, &this.timer) {
            (driver @ Driver::Thread { .. }, _) => driver.is_past(at),
            (Driver::Task(context), Some(timer)) => {
                // The runtime's clock need not be the system's: in tests it may run ahead.
                at <= Instant::now() || this.alarm.rings(timer, at, context)
            }
            (Driver::Task(_), None) => at <= Instant::now(),
        };
        if has_come { Poll::Ready(()) } else { Poll::Pending }
    }

    fn take(self: Pin<&mut Self>) {}

    fn until(&self) -> Option<Instant> {
        self.at
    }
}

/// `at` has come.
///
/// A thread that syncs on it sleeps until then. As a future it has no clock to wake it: it looks at
/// the time when it is polled. [`deadline_by`] has one, or choose your runtime's sleep as a
/// [`future`](super::future()).
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// use pool::choose::{choose, deadline, never};
/// use std::time::{Duration, Instant};
///
/// let at = Instant::now() + Duration::from_millis(1);
/// choose((never(), deadline(at))).sync();
/// assert!(Instant::now() >= at);
/// ```
pub fn deadline(at: Instant) -> Event<impl Wait<Output = (), Attempt: Send> + Send> {
    Event(Begins(move || Moment { at: Some(at), timer: None, alarm: Alarm::default() }))
}

/// As [`deadline`], where a future is woken by the runtime whose sleep `sleep_until` makes, as for
/// [`Builder::timer`](crate::Builder::timer). It allocates this here, and a sleep when it is awaited.
/// A thread that syncs on it uses its own clock.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// # use kva::sync::block_on_future as block_on;
/// # mod runtime { pub async fn sleep_until(_: std::time::Instant) {} }
/// use pool::choose::deadline_by;
/// use std::time::{Duration, Instant};
///
/// let at = Instant::now() + Duration::from_secs(1);
/// block_on(deadline_by(at, |at| runtime::sleep_until(at)).into_future());
/// ```
pub fn deadline_by<S>(
    at: Instant,
    sleep_until: impl Fn(Instant) -> S + Send + Sync + 'static,
) -> Event<impl Wait<Output = (), Attempt: Send> + Send>
where
    S: Future<Output = ()> + Send + 'static,
{
    let timer = Timer::new(sleep_until);
    Event(Begins(move || Moment { at: Some(at), timer: Some(timer), alarm: Alarm::default() }))
}

/// So much time has passed since it was synced on; see [`deadline`]. A time that is too long to be told
/// never has.
///
/// ```
/// # if kva::sync::IS_MODEL { return }
/// pool::choose::after(std::time::Duration::from_millis(1)).sync();
/// ```
pub fn after(time: Duration) -> Event<impl Wait<Output = (), Attempt: Send> + Send> {
    let begin = move || Moment { at: Instant::now().checked_add(time), timer: None, alarm: Alarm::default() };
    Event(Begins(begin))
}
