//! An event that is being synced on.

use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use crate::driver::Driver;

/// An event that is being synced on: a state machine, driven by its one owner.
///
/// # Invariants
///
/// 1. It commits at most once. Then it holds what it committed with, is in no line, and is driven no
///    more.
/// 2. Dropping it withdraws it, wherever it stands: it leaves every line, and what it was granted, or
///    committed with and was not taken, goes back. That is its negative acknowledgement.
pub trait Attempt {
    /// What it commits with.
    type Output;

    /// Commits, if it can right now. Gets in no line and disturbs nobody. Called first, if at all.
    fn try_now(self: Pin<&mut Self>) -> bool;

    /// Commits, if it was granted what it waits for and is in line for. A look: it goes on with nothing, and
    /// runs no function of callers' to make something of it.
    fn granted(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> bool;

    /// Commits, or gets in line and leaves the waker there.
    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()>;

    /// What it committed with, once. Callers' functions that make something of it run here: all that
    /// was not chosen is withdrawn by now.
    fn take(self: Pin<&mut Self>) -> Self::Output;

    /// When a thread has to drive it though nobody woke it.
    fn until(&self) -> Option<Instant>;
}

/// The sooner of two moments.
pub(super) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// What an attempt that committed is asked for, once.
pub(super) const TAKEN_ONCE: &str = "an attempt that committed is taken once";
