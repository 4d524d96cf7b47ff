//! A thread asleep in the arena.

use std::task::Poll;
use std::time::Instant;

use super::{AllocError, Arena, Inner};
use crate::grow::Claim;
use crate::holds::Asleep;
use crate::placement::Placement;
use crate::requests::Asker;
use crate::shape::Span;
use crate::sync::block_on_until;

/// What a first look at the arena found.
enum Look {
    Granted(Span),
    Queued(u32),
    Refused(AllocError),
}

impl Arena {
    /// Takes a span, asleep in the queue until there is one or the deadline passes.
    pub(super) fn sleep_for(
        &self,
        placement: Placement,
        claim: Option<Claim<'_>>,
        deadline: Option<Instant>,
    ) -> Result<Span, AllocError> {
        let (inner, client) = (&*self.inner, self.client_id());
        let asked_at = inner.clock.now();
        let mut sleeper: Option<Sleeper<'_>> = None;
        let mut asleep = Asleep::new();
        let found = block_on_until(deadline, |waker| {
            if let Some(sleeper) = &mut sleeper {
                return sleeper.poll();
            }
            let look = inner.change(|state, _| {
                let kept = claim.and_then(|claim| state.take_kept(inner, claim, &placement, client));
                let look = kept
                    .map_or_else(|| state.look(inner, &placement, client, asked_at), |kept| Ok(Some(kept)));
                if !matches!(look, Ok(None)) {
                    state.spend(claim);
                }
                match look {
                    Ok(Some(span)) => Look::Granted(span),
                    Ok(None) => {
                        let asker =
                            Asker::Sleeper { waker: waker.clone(), claim: claim.map(|claim| claim.id()) };
                        Look::Queued(state.queue(inner, placement, asked_at, client, asker))
                    }
                    Err(error) => Look::Refused(error),
                }
            });
            match look {
                Look::Granted(span) => Poll::Ready(Ok(span)),
                Look::Refused(error) => Poll::Ready(Err(error)),
                Look::Queued(at) => {
                    sleeper = Some(Sleeper { arena: inner, claim, at: Some(at) });
                    if deadline.is_none() {
                        asleep.begin(&inner.holds);
                    }
                    // Whoever answers from now on wakes us.
                    Poll::Pending
                }
            }
        });
        let found = found.unwrap_or_else(|| {
            let late = sleeper.as_mut().map(Sleeper::give_up);
            late.unwrap_or(Err(AllocError::TimedOut))
        });
        asleep.end();
        let span = inner.commit(found?)?;
        if claim.is_none() {
            inner.note_got(span);
        }
        Ok(span)
    }
}

/// A thread asleep in the arena. Dropping it gives up.
struct Sleeper<'a> {
    arena: &'a Inner,
    claim: Option<Claim<'a>>,
    at: Option<u32>,
}

impl Sleeper<'_> {
    fn poll(&mut self) -> Poll<Result<Span, AllocError>> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let answer = self.arena.change(|state, _| {
            let answer = state.requests.take_answer(at)?;
            state.spend(self.claim);
            Some(answer)
        });
        match answer {
            Some(answer) => {
                self.at = None;
                Poll::Ready(answer)
            }
            None => Poll::Pending,
        }
    }

    /// Leaves the queue; what was granted in the last moment is kept.
    fn give_up(&mut self) -> Result<Span, AllocError> {
        let Some(at) = self.at.take() else {
            return Err(AllocError::TimedOut);
        };
        let (answer, asker) = self.arena.change(|state, _| {
            state.spend(self.claim);
            match state.requests.take_answer(at) {
                Some(answer) => (answer, None),
                None => (Err(AllocError::TimedOut), Some(state.dequeue(at))),
            }
        });
        // The waker is dropped outside the lock.
        drop(asker);
        answer
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        if let Ok(span) = self.give_up() {
            self.arena.change(|state, _| state.give(span.busy()));
        }
    }
}
