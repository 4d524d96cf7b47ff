//! One who waits for a span: a state machine that a thread drives by sleeping, and a task by
//! polling.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{AllocError, Arena};
use crate::grow::Claim;
use crate::holds::{Asleep, as_nobody};
use crate::panics::FirstPanic;
use crate::placement::Placement;
use crate::requests::Asker;
use crate::shape::Span;
use crate::sync::block_on_until;

impl Arena {
    /// Takes a span, asleep in the queue until there is one or the deadline passes.
    pub(super) fn sleep_for(
        &self,
        placement: Placement,
        claim: Option<Claim<'_>>,
        deadline: Option<Instant>,
    ) -> Result<Span, AllocError> {
        let inner = &*self.inner;
        let mut sleeper = Sleeper::new(self, placement, claim);
        let mut asleep = Asleep::new();
        let found = block_on_until(deadline, |waker| {
            let found = sleeper.poll_by(Driver::Thread, waker);
            if found.is_pending() && deadline.is_none() {
                asleep.begin(&inner.holds);
            }
            found
        });
        let found = found.unwrap_or_else(|| sleeper.give_up());
        asleep.end();
        let span = inner.commit(found?)?;
        if claim.is_none() {
            inner.note_got(span);
        }
        Ok(span)
    }

    /// Takes a span without blocking the thread, in the same queue as those who sleep. Needs no
    /// runtime.
    ///
    /// Nothing happens until the future is first polled; that is when the request comes. Dropping
    /// it leaves the queue, and a span that it was granted in the last moment is free again: it may
    /// be dropped at any time. While it exists and is not polled it may hold a span that others wait
    /// for, so poll it or drop it. A future that is forgotten keeps its place.
    ///
    /// Waiting allocates nothing, but for the queue's table where more wait than ever before.
    ///
    /// # Errors
    /// As [`alloc`](Self::alloc).
    ///
    /// ```
    /// # if kva::sync::IS_MODEL { return Ok(()) }
    /// use kva::{Arena, Region, Shape};
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let arena = Arena::new(Region::numbers(8), 1)?;
    /// let all = arena.try_alloc(Shape::new(8)?)?;
    /// let mut table = std::pin::pin!(arena.alloc_async(Shape::aligned(4, 4)?));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(table.as_mut().poll(&mut context).is_pending()); // it is in line
    /// arena.free(all)?; // and has its span before this returns
    /// let Poll::Ready(table) = table.poll(&mut context) else { panic!("it was granted") };
    /// assert_eq!(table?.start() % 4, 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn alloc_async(&self, placement: impl Into<Placement>) -> Alloc<'_> {
        Alloc(Sleeper::new(self, placement.into(), None))
    }
}

/// A span to come: the future of [`Arena::alloc_async`].
///
/// ```
/// # if kva::sync::IS_MODEL { return Ok(()) }
/// # use kva::{Alloc, Arena, Region, Shape};
/// # let arena = Arena::new(Region::numbers(8), 1)?;
/// # let all = arena.try_alloc(Shape::new(8)?)?;
/// # use std::{pin::Pin, task::{Context, Waker}};
/// let mut one: Alloc<'_> = arena.alloc_async(Shape::new(1)?);
/// assert!(Pin::new(&mut one).poll(&mut Context::from_waker(Waker::noop())).is_pending());
/// assert_eq!(arena.stats().waiting, 1);
/// drop(one); // it leaves the queue
/// assert_eq!(arena.stats().waiting, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a future does nothing until it is polled"]
pub struct Alloc<'a>(Sleeper<'a>);

impl fmt::Debug for Alloc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sleeper { placement, stage, .. } = &self.0;
        f.debug_struct("Alloc").field("placement", placement).field("stage", stage).finish()
    }
}

impl Future for Alloc<'_> {
    type Output = Result<Span, AllocError>;

    /// # Panics
    /// If it was ready before.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sleeper = &mut self.0;
        // What is done for others meanwhile gets nothing for this thread's client.
        as_nobody(|| sleeper.poll_by(Driver::Task, context.waker()))
            .map(|found| sleeper.arena.inner.commit(found?))
    }
}

/// Who drives a sleeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// A thread, whose waker is ours and the same each time.
    Thread,
    /// A task, whose waker is the caller's code: it is cloned before the lock is taken, moved under
    /// it, and dropped after it (P8).
    Task,
}

impl Driver {
    fn leaves(self, waker: &Waker) -> Cow<'_, Waker> {
        match self {
            Self::Thread => Cow::Borrowed(waker),
            Self::Task => Cow::Owned(waker.clone()),
        }
    }
}

/// How far it has got. Set under the lock, so that it is true whatever panics after it: hooks and
/// wakers are called between a decision and its return (P5).
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It has not looked.
    New,
    /// The entry at this place is its own: it waits, or has its answer there.
    Queued(u32),
    /// It has its answer, which it has not handed out.
    Answered(Result<Span, AllocError>),
    /// It has handed its answer out, or has given up.
    Ended,
}

/// One who waits for a span. Dropping it gives up.
struct Sleeper<'a> {
    arena: &'a Arena,
    placement: Placement,
    claim: Option<Claim<'a>>,
    stage: Stage,
    /// A task's waker that its entry has, or was woken by: to know it again without the lock.
    left: Option<Waker>,
}

impl<'a> Sleeper<'a> {
    fn new(arena: &'a Arena, placement: Placement, claim: Option<Claim<'a>>) -> Self {
        Self { arena, placement, claim, stage: Stage::New, left: None }
    }

    fn poll_by(&mut self, driver: Driver, waker: &Waker) -> Poll<Result<Span, AllocError>> {
        match self.stage {
            Stage::New => self.begin(driver, waker),
            Stage::Queued(at) => self.look_again(at, driver, waker),
            Stage::Answered(_) => {}
            Stage::Ended => panic!("polled after it was ready"),
        }
        if let Stage::Answered(answer) = self.stage {
            self.stage = Stage::Ended;
            return Poll::Ready(answer);
        }
        if driver == Driver::Task {
            // Free, if it is the one that is there.
            match &mut self.left {
                Some(left) => left.clone_from(waker),
                None => self.left = Some(waker.clone()),
            }
        }
        Poll::Pending
    }

    /// Takes a span, or gets in line.
    fn begin(&mut self, driver: Driver, waker: &Waker) {
        let Self { arena, placement, claim, ref mut stage, .. } = *self;
        let (inner, client) = (&*arena.inner, arena.client_id());
        let asked_at = inner.clock.now();
        let leaves = driver.leaves(waker);
        inner.change(|state, _| {
            let kept = claim.and_then(|claim| state.take_kept(inner, claim, &placement, client));
            let look =
                kept.map_or_else(|| state.look(inner, &placement, client, asked_at), |kept| Ok(Some(kept)));
            let answer = match look {
                Ok(None) => {
                    // Whoever answers from now on wakes us.
                    let waker = leaves.into_owned();
                    let asker = Asker::Sleeper { waker, claim: claim.map(|claim| claim.id()) };
                    *stage = Stage::Queued(state.queue(inner, placement, asked_at, client, asker));
                    return None;
                }
                Ok(Some(span)) => Ok(span),
                Err(error) => Err(error),
            };
            state.spend(claim);
            *stage = Stage::Answered(answer);
            // To be dropped outside the lock.
            Some(leaves)
        });
    }

    /// Takes its answer, or leaves its waker, if another task has it now.
    fn look_again(&mut self, at: u32, driver: Driver, waker: &Waker) {
        let is_there =
            driver == Driver::Thread || self.left.as_ref().is_some_and(|left| left.will_wake(waker));
        let mut leaves = (!is_there).then(|| waker.clone());
        let Self { arena, claim, ref mut stage, .. } = *self;
        // What comes back is dropped outside the lock.
        arena.inner.change(|state, _| match state.requests.take_answer(at) {
            Some(answer) => {
                state.spend(claim);
                *stage = Stage::Answered(answer);
                leaves.take()
            }
            None => leaves.take().map(|waker| state.requests.rearm(at, waker)),
        });
    }

    /// Leaves the queue, if it is in it.
    fn leave(&mut self) {
        let Stage::Queued(at) = self.stage else { return };
        let Self { arena, claim, ref mut stage, .. } = *self;
        // Its waker comes back, and is dropped outside the lock.
        arena.inner.change(|state, _| {
            state.spend(claim);
            if let Some(answer) = state.requests.take_answer(at) {
                *stage = Stage::Answered(answer);
                return None;
            }
            *stage = Stage::Ended;
            Some(state.dequeue(at))
        });
    }

    /// Leaves the queue; what was granted in the last moment is kept.
    fn give_up(&mut self) -> Result<Span, AllocError> {
        self.leave();
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Answered(answer) => answer,
            Stage::New | Stage::Queued(_) | Stage::Ended => Err(AllocError::TimedOut),
        }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        panics.guard(|| self.leave());
        if let Stage::Answered(Ok(span)) = self.stage {
            panics.guard(|| self.arena.inner.change(|state, _| state.give(span.busy())));
        }
        panics.go_on();
    }
}
