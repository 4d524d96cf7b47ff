//! What an arena decides under its lock. Plain data: nothing here locks, wakes or waits.

use arrayvec::ArrayVec;

use super::todo::Todo;
use super::{AllocError, FreeError, Inner, Reclaim};
use crate::grow::{Claim, GrowId};
use crate::requests::{Asker, LOOKAHEAD, Requests};
use crate::shape::{Shape, Span};
use crate::space::{Busy, Space};
use crate::sync::{Arc, BATCH, CHECKED, Weak};

#[derive(Debug)]
pub(super) struct State {
    pub(super) space: Space,
    pub(super) requests: Requests,
    pub(super) reclaimers: Vec<Reclaimer>,
    /// What the clock was last told, so that it is told only what changed.
    pub(super) published: u64,
    pub(super) closed: bool,
}

/// Who may hold memory it doesn't need, and the table of its own requests.
#[derive(Debug)]
pub(super) struct Reclaimer {
    pub(super) owner: u32,
    pub(super) requests: usize,
    pub(super) hook: Weak<dyn Reclaim>,
}

/// A batch of reclaimers, those that still live, to be called unlocked.
pub(super) type Reclaimers = ArrayVec<Option<Arc<dyn Reclaim>>, BATCH>;

impl State {
    /// Restores invariant 1, or as much of it as `todo` has room for, and publishes
    /// what others may know without the lock.
    pub(super) fn settle(&mut self, todo: &mut Todo<'_>) {
        let arena = todo.arena;
        let mut looked = 0;
        let mut at = self.requests.head();
        let mut refused: Option<Shape> = None;
        while let Some(this) = at
            && (self.closed || looked < LOOKAHEAD)
        {
            if todo.is_full() {
                todo.more = true;
                break;
            }
            at = self.requests.after(this);
            let (shape, asked_at) = (self.requests.get(this).shape, self.requests.get(this).asked_at);
            if self.closed {
                let _ = self.answer(this, Err(AllocError::Closed), todo);
                continue;
            }
            if !self.requests.may_pass(asked_at, arena.bypass) && self.requests.head() != Some(this) {
                break;
            }
            if refused.is_some_and(|no| shape.covers(no)) {
                looked += 1;
                continue;
            }
            if let Some(busy) = self.space.take(&shape.into(), 0) {
                if self.answer(this, Ok(arena.span(busy)), todo) {
                    self.requests.note_pass(asked_at);
                }
            } else {
                looked += 1;
                refused = Some(shape);
            }
        }
        let oldest = self.requests.oldest();
        if oldest != self.published {
            self.published = oldest;
            arena.clock.set_oldest(oldest);
        }
        if CHECKED {
            self.requests.check();
        }
    }

    /// Ends the request at `at`. `false`: it was withdrawn, and a span that it would have
    /// had is free again.
    pub(super) fn answer(&mut self, at: u32, answer: Result<Span, AllocError>, todo: &mut Todo<'_>) -> bool {
        if let Some(waker) = self.requests.answer_sleeper(at, answer) {
            todo.wakes.push(waker);
            return true;
        }
        let Asker::Grow(grow) = self.requests.remove(at) else {
            unreachable!("sleepers were answered above");
        };
        match grow.commit() {
            Ok(committed) => {
                self.spend(Some(committed.claim()));
                todo.grants.push((committed, answer));
                true
            }
            Err(withdrawn) => {
                todo.withdrawn.push(withdrawn);
                if let Ok(span) = answer {
                    self.space.give(span.busy());
                }
                false
            }
        }
    }

    /// Takes a span for somebody who came at `asked_at`, if that is allowed. The caller
    /// commits its memory after the lock.
    pub(super) fn look(
        &mut self,
        arena: &Inner,
        shape: Shape,
        asked_at: u64,
    ) -> Result<Option<Span>, AllocError> {
        if self.closed {
            return Err(AllocError::Closed);
        }
        if !self.space.could_ever_fit(&shape.into()) {
            return Err(AllocError::TooLarge { shape, quanta: self.space.size() });
        }
        if !self.requests.may_pass(asked_at, arena.bypass) {
            return Ok(None);
        }
        let taken = self.space.take(&shape.into(), 0);
        if taken.is_some() {
            self.requests.note_pass(asked_at);
        }
        Ok(taken.map(|busy| arena.span(busy)))
    }

    /// A batch of those who may hold memory they don't need.
    pub(super) fn reclaimers_from(&self, first: usize, owner: Option<u32>) -> Reclaimers {
        let batch = self.reclaimers.iter().skip(first).take(BATCH);
        let upgrade = |other: &Reclaimer| {
            if owner == Some(other.owner) { None } else { other.hook.upgrade() }
        };
        batch.map(upgrade).collect()
    }

    /// A span that was freed to `claim` before it came here, cut to `shape`.
    pub(super) fn take_kept(&mut self, arena: &Inner, claim: Claim<'_>, shape: Shape) -> Option<Span> {
        while let Some(kept) = self.requests.take_parked(claim.id()) {
            if self.space.suits(kept.busy(), &shape.into()) {
                return Some(arena.span(self.space.pass_on(kept.busy(), &shape.into(), 0)));
            }
            self.space.give(kept.busy());
        }
        None
    }

    /// The request of `claim` leaves with its answer: nothing is kept for it any more.
    pub(super) fn spend(&mut self, claim: Option<Claim<'_>>) {
        let Some(claim) = claim else { return };
        claim.spend();
        self.let_go(claim.id());
    }

    /// Frees what is kept for a grow that will not come for it.
    pub(super) fn let_go(&mut self, claim: GrowId) {
        while let Some(parked) = self.requests.take_parked(claim) {
            self.space.give(parked.busy());
        }
    }

    pub(super) fn check_held(&self, span: Span) -> Result<(), FreeError> {
        match self.space.busy_at(span.start) {
            Some(busy) if busy == span.busy() => Ok(()),
            _ => Err(FreeError::DoubleFree(span)),
        }
    }
}

impl Span {
    pub(super) const fn busy(self) -> Busy {
        Busy { start: self.start, len: self.len, serial: self.serial }
    }
}
