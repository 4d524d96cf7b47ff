//! What an arena's handles share, and how it is changed: decided under the lock, acted upon after it.

use super::kept::Kept;
use super::regions::{self, Regions};
use super::state::State;
use super::todo::Todo;
use super::{AllocError, ArenaError, FreeError};
use crate::clock::{Clock, NEVER};
use crate::holds::{Holders, Holds};
use crate::placement::Placement;
use crate::region::Region;
use crate::shape::Span;
use crate::space::{Busy, Space};
use crate::sync::{Arc, LeakCheck, Mutex, MutexGuard, unique_id};

/// What all handles share.
pub(super) struct Inner {
    pub(super) id: u32,
    pub(super) quantum: usize,
    pub(super) bypass: u32,
    pub(super) state: Mutex<State>,
    /// What others may know of the queue without the lock.
    pub(super) clock: Arc<Clock>,
    pub(super) holds: Holds,
    /// By first quantum.
    pub(super) holders: Holders,
    _leak: LeakCheck,
    /// Last, so that memory is unmapped when nothing refers to it.
    pub(super) regions: Regions,
}

impl Inner {
    /// In its place at once: it is large, and the stacks of loom are small.
    pub(super) fn new(region: Region, quantum: usize, bypass: u32) -> Result<Arc<Self>, ArenaError> {
        let space = Space::of(regions::runs(&region, quantum)?);
        let quanta = space.size() as usize;
        let regions = Regions::new(region, quantum)?;
        Ok(Arc::new(Self {
            id: unique_id(),
            quantum,
            bypass,
            state: Mutex::new(State::new(space)),
            clock: Arc::new(Clock::new()),
            holds: Holds::new(),
            holders: Holders::new(quanta).ok_or(ArenaError::Tables(quanta))?,
            _leak: LeakCheck::new(),
            regions,
        }))
    }

    /// Frees what was taken and is not handed out. A client that relocates may have said meanwhile that
    /// it does not need it.
    pub(super) fn give_back(&self, span: Span) {
        self.change(|state, _| state.check_held(span).map(|()| state.give(span.busy()))).ok();
    }

    pub(super) const fn span(&self, busy: Busy) -> Span {
        Span { start: busy.start, len: busy.len, serial: busy.serial, arena: self.id }
    }

    /// Backs a span with memory, or frees it again.
    #[inline]
    pub(super) fn commit(&self, span: Span) -> Result<Span, AllocError> {
        self.try_commit(span).inspect_err(|_| self.give_back(span)).map(|()| span)
    }

    /// Backs a span with memory. If not, it is the caller's to give back.
    #[inline]
    pub(super) fn try_commit(&self, span: Span) -> Result<(), AllocError> {
        if self.regions.is_committed(span) { Ok(()) } else { self.commit_now(span) }
    }

    #[cold]
    fn commit_now(&self, span: Span) -> Result<(), AllocError> {
        let committed = self.regions.commit(span, self.quantum);
        committed.map_err(|error| AllocError::Commit(error.kind()))
    }

    /// Takes a span where there is more to it than that. Out of line: most takings need neither
    /// this nor what it has on its stack.
    #[cold]
    pub(super) fn look(
        &self,
        state: MutexGuard<'_, State>,
        placement: &Placement,
        client: u16,
    ) -> Result<Span, AllocError> {
        let taken = self.change_locked(state, |state, _| {
            let taken = state.look(self, placement, client, NEVER)?;
            taken.map(|span| Kept::new(self, span)).ok_or(AllocError::Scarce)
        });
        self.commit(taken?.into_span())
    }

    /// Decides under the lock, acts after it.
    pub(super) fn change<R>(&self, decide: impl FnOnce(&mut State, &mut Todo<'_>) -> R) -> R {
        self.change_locked(self.lock(), decide)
    }

    /// As [`change`](Self::change), by whoever has the lock already.
    pub(super) fn change_locked<R>(
        &self,
        state: MutexGuard<'_, State>,
        decide: impl FnOnce(&mut State, &mut Todo<'_>) -> R,
    ) -> R {
        let mut todo = Todo::new(self);
        let result;
        // After both, so that the lock is dropped before them, also by a panic.
        let mut state = state;
        result = decide(&mut state, &mut todo);
        state.settle(&mut todo);
        drop(state);
        todo.act();
        result
    }

    pub(super) fn release(&self, mut span: Span) -> Result<(), FreeError> {
        self.puts(span)?;
        if self.regions.decommit_any(span) {
            span = self.decommit(span)?;
        }
        let mut state = self.lock();
        if state.give_at_rest(span)? { Ok(()) } else { self.give(state, span) }
    }

    /// The calling thread gives away a span, if it is of this arena. Whether it was known to hold it.
    fn puts(&self, span: Span) -> Result<bool, FreeError> {
        if span.arena != self.id {
            return Err(FreeError::ForeignArena(span));
        }
        Ok(self.note_puts(span))
    }

    /// Gives a span to somebody, as `give` decides under the lock; whether it did. If not, it is still its
    /// owner's.
    pub(super) fn offer(
        &self,
        span: Span,
        give: impl FnOnce(&mut State, &mut Todo<'_>) -> bool,
    ) -> Result<bool, FreeError> {
        // Before somebody else has it.
        let held = self.puts(span)?;
        let given = self.change(|state, todo| state.check_held(span).map(|()| give(state, todo)))?;
        if held && !given {
            self.note_got(span);
        }
        Ok(given)
    }

    /// Gives the memory of a span back before the span. The system calls run unlocked: the receipt
    /// is changed first, so that a second free of the old one is an error all the while.
    #[cold]
    fn decommit(&self, span: Span) -> Result<Span, FreeError> {
        let mut state = self.lock();
        state.check_held(span)?;
        let span = self.span(state.renew(span.busy()));
        drop(state);
        self.regions.decommit(span, self.quantum);
        Ok(span)
    }

    /// Frees a span where somebody may want it. Out of line, as [`look`](Self::look) is.
    #[cold]
    fn give(&self, state: MutexGuard<'_, State>, span: Span) -> Result<(), FreeError> {
        self.change_locked(state, |state, _| {
            state.check_held(span)?;
            state.give(span.busy());
            Ok(())
        })
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
