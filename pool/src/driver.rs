//! Who drives a wait: a thread that sleeps in between, or a task that is polled.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Who drives a wait, each time that it goes on.
#[derive(Debug)]
pub enum Driver<'d, 'c> {
    /// A thread. It has a clock, and its waker is ours.
    Thread {
        /// What wakes it.
        waker: &'d Waker,
        /// The moment that it slept until, if that has passed.
        passed: Option<Instant>,
    },
    /// A task. It has no clock, and its waker is the caller's code: it is cloned before a lock is
    /// taken, and neither woken nor dropped under one (P8).
    Task(&'d mut Context<'c>),
}

impl Driver<'_, '_> {
    pub(crate) fn waker(&self) -> &Waker {
        match self {
            Self::Thread { waker, .. } => waker,
            Self::Task(context) => context.waker(),
        }
    }

    pub(crate) const fn is_task(&self) -> bool {
        matches!(self, Self::Task(_))
    }

    /// The waker, to be left where others find it.
    pub(crate) fn leaves(&self) -> Cow<'_, Waker> {
        match self {
            Self::Thread { waker, .. } => Cow::Borrowed(*waker),
            Self::Task(context) => Cow::Owned(context.waker().clone()),
        }
    }

    /// Notes which waker a task left, to know it again without the lock. Free, if it is the one that is
    /// there.
    pub(crate) fn note_left(&self, left: &mut Option<Waker>) {
        let Self::Task(context) = self else { return };
        match left {
            Some(left) => left.clone_from(context.waker()),
            None => *left = Some(context.waker().clone()),
        }
    }

    /// Whether a thread slept until `until`, or for longer.
    pub(crate) fn is_past(&self, until: Instant) -> bool {
        matches!(self, Self::Thread { passed: Some(passed), .. } if until <= *passed)
    }

    /// Polls a future of anybody's.
    pub(crate) fn poll<F: Future + ?Sized>(&mut self, future: Pin<&mut F>) -> Poll<F::Output> {
        match self {
            Self::Thread { waker, .. } => future.poll(&mut Context::from_waker(waker)),
            Self::Task(context) => future.poll(context),
        }
    }
}
