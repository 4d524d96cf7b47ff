//! What is decided under the pool's lock and done after it.
//!
//! Wakers, back-ends and the destructors of errors are callers' code and never run under
//! the lock (P8). Each operation notes here what it owes, unlocks, and does it. There
//! is room for a bounded batch, on the stack (P7): an operation that owes more, such as
//! the close of a pool that a thousand wait for, goes round again.

use std::ptr::NonNull;
use std::task::Waker;

use arrayvec::ArrayVec;
use kva::sync::BATCH;
use kva::{GrowId, Work};

use crate::backend::Backend;
use crate::core::Core;
use crate::error::GetError;
use crate::hardening::{Guarded, Unguarded};
use crate::pages::ApartPage;
use kva::panics::FirstPanic;

/// A page to give back, and for whom.
pub(crate) struct Release<P> {
    pub(crate) page: P,
    pub(crate) to: Heir,
    /// Whether a slot of the ledger is held for it: it may come back.
    pub(crate) held: bool,
}

/// Whom a page is given up for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heir {
    /// Whoever waits for the back-end.
    Anybody,
    /// The pending grow of a getter that is asleep inside the back-end. If that had its answer just
    /// then, the page comes back, where the back-end understands claims.
    Grow(GrowId),
    /// A request of another client that came before this moment, if there is one that
    /// the page suits. If not, the page comes back.
    OlderThan(u64),
}

/// A page whose objects are to be destroyed, or whose guard is to be opened, before it is given back.
pub(crate) struct Dismantle {
    pub(crate) page: ApartPage,
    pub(crate) to: Heir,
    /// What is still to be opened.
    pub(crate) guarded: Option<Guarded>,
}

/// What is owed after the lock.
pub(crate) struct Todo<'a, B: Backend> {
    core: &'a Core<B>,
    pub(crate) dismantles: ArrayVec<Dismantle, BATCH>,
    /// Taken out of the first page to dismantle, not destroyed yet.
    pub(crate) objects: ArrayVec<Object, BATCH>,
    /// Of what was done.
    panics: FirstPanic,
    /// Of those who have an outcome.
    pub(crate) ended: ArrayVec<Waker, BATCH>,
    /// Of those who are to look.
    pub(crate) kicked: ArrayVec<Waker, BATCH>,
    pub(crate) releases: ArrayVec<Release<B::Page>, BATCH>,
    pub(crate) forgets: ArrayVec<GrowId, BATCH>,
    /// Of grows that nobody needs, dropped unlocked. That may end them.
    pub(crate) works: ArrayVec<Work, BATCH>,
    /// Wakers and errors that nobody wants, dropped unlocked.
    pub(crate) unused: ArrayVec<Unused<B::Error>, BATCH>,
    /// Guards that would not open, of which somebody is told when all else is done.
    shut: ArrayVec<(Guarded, Unguarded), BATCH>,
    /// How many pages were given up, those first that were first to go.
    pub(crate) gone: usize,
    /// There was more to decide than there is room for.
    pub(crate) more: bool,
}

/// An object that the pool gives up.
pub(crate) struct Object(pub(crate) NonNull<u8>);

// SAFETY: what is pooled is `Send`, and nobody else has it.
unsafe impl Send for Object {}

pub(crate) enum Unused<E> {
    Waker(#[allow(dead_code, reason = "dropped unlocked, that is all")] Waker),
    Error(#[allow(dead_code, reason = "dropped unlocked, that is all")] GetError<E>),
}

impl<'a, B: Backend> Todo<'a, B> {
    pub(crate) fn new(core: &'a Core<B>) -> Self {
        Self {
            core,
            dismantles: ArrayVec::new(),
            objects: ArrayVec::new(),
            panics: FirstPanic::default(),
            ended: ArrayVec::new(),
            kicked: ArrayVec::new(),
            releases: ArrayVec::new(),
            forgets: ArrayVec::new(),
            works: ArrayVec::new(),
            unused: ArrayVec::new(),
            shut: ArrayVec::new(),
            gone: 0,
            more: false,
        }
    }

    /// Whether no other page can be given up before what is owed was done.
    pub(crate) fn is_full_of_pages(&self) -> bool {
        self.releases.len() + self.dismantles.len() >= BATCH
    }

    /// Whether nobody else can be woken before what is owed was done.
    pub(crate) fn is_full_of_wakes(&self) -> bool {
        self.ended.is_full() || self.kicked.is_full()
    }

    /// Does what is owed, and goes round again while there is more to decide.
    ///
    /// Who has an outcome is woken first: nothing that follows matters to them, and a
    /// destructor may take long. Pages go back before those wake who are to look, so that one
    /// that asks again finds what was released.
    ///
    /// All of it is callers' code. What panics keeps nobody from the rest: the first panic
    /// goes on when all is done.
    pub(crate) fn act(&mut self) {
        let core = self.core;
        loop {
            while let Some(waker) = self.ended.pop_at(0) {
                self.panics.guard(|| waker.wake());
            }
            while let Some(unused) = self.unused.pop() {
                self.panics.guard(|| drop(unused));
            }
            while let Some(work) = self.works.pop_at(0) {
                self.panics.guard(|| drop(work));
            }
            self.dismantle();
            while let Some(release) = self.releases.pop_at(0) {
                let mut offered = None;
                self.panics.guard(|| offered = core.release(release));
                if let Some(offered) = offered
                    && let Some(by) = core.offered(offered, self)
                {
                    self.panics.guard(|| core.gave_up(by));
                }
            }
            while let Some(id) = self.forgets.pop_at(0) {
                self.panics.guard(|| core.forget(id));
            }
            while let Some(waker) = self.kicked.pop_at(0) {
                self.panics.guard(|| waker.wake());
            }
            if std::mem::take(&mut self.more) {
                core.decide_again(self);
            } else if self.owes_nothing() {
                break;
            }
        }
        for (guarded, refused) in std::mem::take(&mut self.shut) {
            self.panics.guard(|| core.tell_shut(&guarded, refused));
        }
        self.panics.go_on();
    }

    /// What comes back is settled in the middle of it, and may owe what was done before.
    fn owes_nothing(&self) -> bool {
        self.ended.is_empty()
            && self.kicked.is_empty()
            && self.unused.is_empty()
            && self.works.is_empty()
            && self.dismantles.is_empty()
            && self.releases.is_empty()
            && self.forgets.is_empty()
    }

    /// Opens the guards of pages that are to be given up, and destroys their objects, a batch at a time.
    fn dismantle(&mut self) {
        let core = self.core;
        while let Some(first) = self.dismantles.first_mut() {
            if let Some(guarded) = first.guarded.take()
                && let Err(refused) = guarded.open()
            {
                // Nor would any other open now.
                core.keep_shut(self);
                // Of as many as there is room for: one says what there is to say.
                let _ = self.shut.try_push((guarded, refused));
                continue;
            }
            while let Some(Object(object)) = self.objects.pop() {
                self.panics.guard(|| core.destroy(object));
            }
            core.dismantle(self);
        }
    }
}

/// Where deciding panicked, what was decided before is still done (P5).
impl<B: Backend> Drop for Todo<'_, B> {
    fn drop(&mut self) {
        self.act();
    }
}
