//! One get, from the first look to its end: a state machine that a thread drives by
//! sleeping, and a future will drive by being polled.

use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Instant;

use kva::Answer;
use kva::sync::{Arc, block_on_until};

use crate::backend::Backend;
use crate::core::{Core, Kept};
use crate::error::GetError;
use crate::pages::Loan;
use crate::state::Step;
use crate::waiter::{News, Waiter};

/// One get. Dropping it cancels: what it was served in the last moment goes to the next.
pub(crate) struct Getter<'a, B: Backend> {
    core: &'a Arc<Core<B>>,
    node: Waiter<B::Error>,
    /// Whether the node may be linked or served.
    started: bool,
}

impl<'a, B: Backend> Getter<'a, B> {
    pub(crate) fn new(core: &'a Arc<Core<B>>) -> Self {
        Self { core, node: Waiter::new(), started: false }
    }

    /// Gets, sleeping until `deadline` at most.
    pub(crate) fn run(self, deadline: Option<Instant>) -> Result<Loan, GetError<B::Error>> {
        let mut getter = std::pin::pin!(self);
        let got = block_on_until(deadline, |waker| getter.as_mut().poll(waker));
        got.unwrap_or_else(|| getter.cancel().unwrap_or(Err(GetError::TimedOut)))
    }

    #[allow(clippy::type_complexity, reason = "its three fields")]
    fn parts(self: Pin<&mut Self>) -> (&'a Arc<Core<B>>, Pin<&Waiter<B::Error>>, &mut bool) {
        // SAFETY: the node is pinned as the getter is: it is never moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let node = unsafe { Pin::new_unchecked(&this.node) };
        (this.core, node, &mut this.started)
    }

    fn poll(self: Pin<&mut Self>, waker: &Waker) -> Poll<Result<Loan, GetError<B::Error>>> {
        let (core, node, started) = self.parts();
        if *started {
            match node.look() {
                News::None => return Poll::Pending,
                News::Done(outcome) => {
                    *started = false;
                    return Poll::Ready(outcome);
                }
                News::Kicked => {}
            }
        }
        *started = true;
        let mut end = None;
        loop {
            match core.change(|state, todo| state.step(node, waker, end.take(), core, todo)) {
                Step::Done(outcome) => {
                    *started = false;
                    return Poll::Ready(outcome.map(Kept::into_loan));
                }
                Step::Ask(grow) => match core.backend().ask(core.carve.page, grow) {
                    Answer::Now(committed, answer) => {
                        // Before the token is given up: if this panics, it refuses itself.
                        let answer = answer.map(|page| core.arrival(page));
                        end = Some((committed.into_id(), answer.map_err(kva::Refusal::Error)));
                        continue;
                    }
                    Answer::Later | Answer::Withdrawn => {}
                },
                Step::Sleep => {}
            }
            // It may have been served or kicked while this thread was elsewhere.
            match node.look() {
                News::None => return Poll::Pending,
                News::Kicked => {}
                News::Done(outcome) => {
                    *started = false;
                    return Poll::Ready(outcome);
                }
            }
        }
    }

    /// Leaves the line. What it was served before comes back.
    fn cancel(self: Pin<&mut Self>) -> Option<Result<Loan, GetError<B::Error>>> {
        let (core, node, started) = self.parts();
        if !std::mem::take(started) {
            return None;
        }
        core.change(|state, todo| {
            if state.queue.is_linked(node) {
                state.leave(node, todo);
            }
        });
        match node.look() {
            News::Done(outcome) => Some(outcome),
            News::None | News::Kicked => None,
        }
    }
}

impl<B: Backend> Drop for Getter<'_, B> {
    fn drop(&mut self) {
        // SAFETY: it was pinned if it was ever polled, and is not moved any more.
        let getter = unsafe { Pin::new_unchecked(&mut *self) };
        let core = getter.core;
        if let Some(Ok(loan)) = getter.cancel() {
            core.put_loan(loan);
        }
    }
}
