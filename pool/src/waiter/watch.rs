//! Those who wait for an end and for nothing else: of a pool, of a choice that went another way.
//! They stand in a line of their own, which nobody serves, and are in nobody's way.

use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::task::Waker;

use kva::NEVER;
use kva::holds::Client;

use super::line::Line;
use super::{Class, Leaves, News, Waiter, Want};
use crate::driver::Driver;
use crate::error::GetError;
use crate::loan::Rest;

/// Somebody who wants nothing of the pool.
const WANT: Want =
    Want { items: 1, class: Class::Ordinary, client: Client::NOBODY, caller: Location::caller() };

/// Who waits for an end.
#[derive(Debug)]
pub(crate) struct Watchers<E>(Line<E>);

impl<E> Watchers<E> {
    /// Nobody waits.
    pub(crate) const fn new() -> Self {
        Self(Line::new())
    }

    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// It is over: tells one of them. Wake what comes back after the lock.
    pub(crate) fn tell_one(&mut self) -> Option<Waker> {
        self.0.finish_head(Err(GetError::Closed))
    }

    /// The equations.
    pub(crate) fn check(&self) {
        self.0.check();
    }

    /// Leaves a waker in the line. What comes back is to be dropped outside the lock.
    fn leave_waker(&mut self, node: Pin<&Waiter<E>>, waker: &mut Option<Leaves<'_>>) -> Option<Waker> {
        if self.0.is_linked(node) {
            return self.0.rearm(node, waker);
        }
        self.0.link(node, waker.take()?.into_owned());
        None
    }
}

/// What ends, and has its watchers under its lock.
pub(crate) trait Watched {
    /// What its waiters fail with.
    type Error;

    /// Calls `f` with the lock held: whether it is over, and who waits for that. Who ends it tells
    /// them after that is seen.
    fn with_watchers<R>(&self, f: impl FnOnce(bool, &mut Watchers<Self::Error>) -> R) -> R;
}

/// One who waits for the end of what `P` refers to. Dropping it leaves the line.
pub(crate) struct Watcher<P: Deref<Target: Watched>> {
    watched: P,
    node: Waiter<<P::Target as Watched>::Error>,
    /// Whether the node may be linked.
    started: bool,
    is_over: bool,
    /// A task's waker that the node has, or was woken by.
    left: Option<Waker>,
}

impl<P: Deref<Target: Watched>> Watcher<P> {
    /// One who has not looked.
    pub(crate) fn new(watched: P) -> Self {
        let node = Waiter::new(WANT, Rest::default(), NEVER, false);
        Self { watched, node, started: false, is_over: false, left: None }
    }

    #[allow(clippy::type_complexity, reason = "its fields")]
    fn parts(
        self: Pin<&mut Self>,
    ) -> (&P, Pin<&Waiter<<P::Target as Watched>::Error>>, &mut bool, &mut bool, &mut Option<Waker>) {
        // SAFETY: the node is pinned as the watcher is: it is never moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let node = unsafe { Pin::new_unchecked(&this.node) };
        (&this.watched, node, &mut this.started, &mut this.is_over, &mut this.left)
    }

    /// Whether it is over. Gets in no line.
    pub(crate) fn is_over(self: Pin<&mut Self>) -> bool {
        let (watched, _, _, is_over, _) = self.parts();
        *is_over = *is_over || watched.with_watchers(|over, _| over);
        *is_over
    }

    /// Whether it is over; gets in line if not.
    pub(crate) fn poll_driven(self: Pin<&mut Self>, driver: &Driver<'_, '_>) -> bool {
        let (watched, node, started, is_over, left) = self.parts();
        let waker = driver.waker();
        if *started && !*is_over {
            match node.look() {
                News::Done(_) => *is_over = true,
                News::None if left.as_ref().is_none_or(|left| left.will_wake(waker)) => return false,
                News::None | News::Kicked => {}
            }
        }
        if *is_over {
            return true;
        }
        let mut leaves = Some(driver.leaves());
        *started = true;
        // What comes back is dropped outside the lock.
        let _unused = watched.with_watchers(|over, watchers| {
            *is_over = over;
            if over { None } else { watchers.leave_waker(node, &mut leaves) }
        });
        if !*is_over {
            driver.note_left(left);
        }
        *is_over
    }

    fn leave(self: Pin<&mut Self>) {
        let (watched, node, started, ..) = self.parts();
        if std::mem::take(started) {
            // What comes back is dropped outside the lock.
            let _unused = watched.with_watchers(|_, watchers| watchers.0.cancel(node));
        }
    }
}

impl<P: Deref<Target: Watched>> Drop for Watcher<P> {
    fn drop(&mut self) {
        // SAFETY: it was pinned if it was ever driven, and is not moved any more.
        unsafe { Pin::new_unchecked(&mut *self) }.leave();
    }
}
