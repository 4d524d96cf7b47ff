//! The end of something that is watched.

use std::ops::Deref;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use pin_project_lite::pin_project;

use super::attempt::Attempt;
use crate::driver::Driver;
use crate::waiter::{Watched, Watcher};

pin_project! {
    /// Waits for the end of what `P` refers to.
    pub(super) struct Ended<P: Deref>
    where
        P::Target: Watched,
    {
        #[pin]
        watcher: Watcher<P>,
    }
}

impl<P: Deref<Target: Watched>> Ended<P> {
    pub(super) fn new(watched: P) -> Self {
        Self { watcher: Watcher::new(watched) }
    }
}

impl<P: Deref<Target: Watched>> Attempt for Ended<P> {
    type Output = ();

    fn try_now(self: Pin<&mut Self>) -> bool {
        self.project().watcher.is_over()
    }
    fn granted(self: Pin<&mut Self>, _: &mut Driver<'_, '_>) -> bool {
        false
    }
    fn poll(self: Pin<&mut Self>, driver: &mut Driver<'_, '_>) -> Poll<()> {
        if self.project().watcher.poll_driven(driver) { Poll::Ready(()) } else { Poll::Pending }
    }
    fn take(self: Pin<&mut Self>) {}
    fn until(&self) -> Option<Instant> {
        None
    }
}
