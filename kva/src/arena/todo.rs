//! What was decided under the lock and is done after it (P8).

use arrayvec::ArrayVec;

use super::reclaim::Calls;
use super::relocate::Step;
use super::{AllocError, Inner, SpanGrow};
use crate::grow::Committed;
use crate::panics::FirstPanic;
use crate::shape::Span;
use crate::sync::BATCH;

/// What was decided under the lock and is done after it.
pub(super) struct Todo<'a> {
    pub(super) arena: &'a Inner,
    pub(super) grants: ArrayVec<(Committed<Span, AllocError>, Result<Span, AllocError>), BATCH>,
    pub(super) wakes: ArrayVec<std::task::Waker, BATCH>,
    /// What was granted, and has no memory. It goes back by the same loop: whoever it is granted to next
    /// may have no more luck, and so on through all who wait, which no stack has room for.
    unbacked: ArrayVec<Span, BATCH>,
    /// What was kept for who will not come for it. It goes back by the same loop, without its memory.
    pub(super) abandoned: ArrayVec<Span, BATCH>,
    /// Withdrawn tokens, dropped outside the lock.
    pub(super) withdrawn: ArrayVec<SpanGrow, BATCH>,
    /// Hooks to be called.
    pub(super) calls: Calls,
    /// Hooks that were called.
    called: ArrayVec<u32, BATCH>,
    /// A span to be moved.
    pub(super) step: Option<Step>,
    /// Whether there was more to decide than fits in here.
    pub(super) more: bool,
    panics: FirstPanic,
}

impl<'a> Todo<'a> {
    pub(super) fn new(arena: &'a Inner) -> Self {
        Self {
            arena,
            grants: ArrayVec::new(),
            unbacked: ArrayVec::new(),
            abandoned: ArrayVec::new(),
            wakes: ArrayVec::new(),
            withdrawn: ArrayVec::new(),
            calls: Calls::new(),
            called: ArrayVec::new(),
            step: None,
            more: false,
            panics: FirstPanic::default(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.grants.is_full() || self.wakes.is_full() || self.withdrawn.is_full()
    }
}

impl Todo<'_> {
    /// Does what was decided, with no lock held. A panicking waker, sink, hook or owner strands nobody
    /// behind it (P5): the first panic of them goes on when all is done.
    pub(super) fn act(&mut self) {
        loop {
            while let Some(withdrawn) = self.withdrawn.pop() {
                self.panics.guard(|| drop(withdrawn));
            }
            while let Some(waker) = self.wakes.pop_at(0) {
                self.panics.guard(|| waker.wake());
            }
            while let Some((committed, end)) = self.grants.pop_at(0) {
                let backed = end.and_then(|span| {
                    let no_memory = |_: &AllocError| self.unbacked.push(span);
                    self.arena.try_commit(span).inspect_err(no_memory).map(|()| span)
                });
                self.panics.guard(|| match backed {
                    Ok(span) => committed.deliver(span),
                    Err(error) => committed.refuse(error),
                });
            }
            while let Some(call) = self.calls.pop_at(0) {
                self.called.push(call.at);
                self.panics.guard(|| call.make(self.arena));
            }
            if let Some(step) = self.step.take() {
                self.more = true;
                self.panics.guard(|| step.ask(self.arena));
            }
            for span in &self.abandoned {
                self.arena.regions.decommit(*span, self.arena.quantum);
            }
            let gives = !self.unbacked.is_empty() || !self.abandoned.is_empty();
            if !std::mem::take(&mut self.more) && self.called.is_empty() && !gives {
                return self.panics.go_on();
            }
            let mut state = self.arena.state.lock();
            for span in self.unbacked.drain(..).chain(self.abandoned.drain(..)) {
                // A client that relocates may have said meanwhile that it does not need it.
                if state.check_held(span).is_ok() {
                    state.give(span.busy());
                }
            }
            for at in self.called.drain(..) {
                state.hooks.returned(at);
            }
            state.settle(self);
        }
    }
}
