//! What is decided under the pool's lock and done after it.
//!
//! Wakers, back-ends and the destructors of errors are callers' code and never run under
//! the lock (P8). Each operation notes here what it owes, unlocks, and does it. There
//! is room for a bounded batch, on the stack (P7): an operation that owes more, such as
//! the close of a pool that a thousand wait for, goes round again.

use std::task::Waker;

use arrayvec::ArrayVec;
use kva::GrowId;
use kva::sync::BATCH;

use crate::backend::Backend;
use crate::core::Core;
use crate::error::GetError;

/// A page to give back, and for whom.
pub(crate) struct Release<P> {
    pub(crate) page: P,
    pub(crate) to: Heir,
}

/// Whom a page is given up for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heir {
    /// Whoever waits for the back-end.
    Anybody,
    /// The pending grow of a getter that is asleep inside the back-end.
    Grow(GrowId),
    /// A request of another client that came before this moment, if there is one that
    /// the page suits. If not, the page comes back. A slot of the ledger is held for it.
    OlderThan(u64),
}

/// What is owed after the lock.
pub(crate) struct Todo<'a, B: Backend> {
    core: &'a Core<B>,
    pub(crate) wakes: ArrayVec<Waker, BATCH>,
    pub(crate) releases: ArrayVec<Release<B::Page>, BATCH>,
    pub(crate) forgets: ArrayVec<GrowId, BATCH>,
    /// Wakers and errors that nobody wants, dropped unlocked.
    pub(crate) unused: ArrayVec<Unused<B::Error>, BATCH>,
    /// There was more to decide than there is room for.
    pub(crate) more: bool,
}

pub(crate) enum Unused<E> {
    Waker(#[allow(dead_code, reason = "dropped unlocked, that is all")] Waker),
    Error(#[allow(dead_code, reason = "dropped unlocked, that is all")] GetError<E>),
}

impl<'a, B: Backend> Todo<'a, B> {
    pub(crate) fn new(core: &'a Core<B>) -> Self {
        Self {
            core,
            wakes: ArrayVec::new(),
            releases: ArrayVec::new(),
            forgets: ArrayVec::new(),
            unused: ArrayVec::new(),
            more: false,
        }
    }

    /// Does what is owed, and goes round again while there is more to decide.
    ///
    /// Pages go back before waiters wake, so that one that was told to ask again finds
    /// what was released.
    pub(crate) fn act(&mut self) {
        loop {
            self.unused.clear();
            while let Some(Release { page, to }) = self.releases.pop_at(0) {
                self.core.release(page, to);
            }
            while let Some(id) = self.forgets.pop_at(0) {
                self.core.forget(id);
            }
            while let Some(waker) = self.wakes.pop_at(0) {
                waker.wake();
            }
            if !std::mem::take(&mut self.more) {
                return;
            }
            self.core.decide_again(self);
        }
    }
}

/// Where something panicked in [`Todo::act`], the rest is still done: a panicking
/// back-end or waker strands nobody behind it (P5).
impl<B: Backend> Drop for Todo<'_, B> {
    fn drop(&mut self) {
        self.act();
    }
}
