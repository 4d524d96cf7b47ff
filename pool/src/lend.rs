//! From a wish to good objects: served, and then validated or constructed. Where an object that
//! came with its page is not good any more, its page goes and its getter begins again, as old as
//! it was, and nobody overtakes it any more (P4).

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use std::panic::Location;

use kva::sync::Arc;

use crate::backend::Backend;
use crate::error::{GetError, TryGetError};
use crate::getter::{Getter, Patience};
use crate::lending::Lending;
use crate::loan::{Loan, Loans, Rest, Round};
use crate::object::Shelf;
use crate::waiter::Want;

/// The first, and all others with room for it.
pub(crate) type Good = (Loan, Vec<Loan>);

impl<T, B: Backend> Shelf<T, B> {
    /// One that the calling thread has at hand, and of which nobody asks whether it is good.
    #[inline(always)]
    pub(crate) fn lend_cached(&self, caller: &'static Location<'static>) -> Option<Round> {
        if self.validates() { None } else { self.core.take_cached::<true>(caller) }
    }

    /// As [`lend_cached`](Self::lend_cached), wherever the thread's cache is.
    pub(crate) fn lend_cached_of_many(&self, caller: &'static Location<'static>) -> Option<Round> {
        if self.validates() { None } else { self.core.take_cached_of_many::<true>(caller) }
    }

    /// Gets what is wanted, sleeping. `rest` has room for all but the first.
    pub(crate) fn lend(
        self: &Arc<Self>,
        want: Want,
        mut rest: Rest,
        patience: Patience,
    ) -> Result<Good, GetError<B::Error>> {
        let mut patience = self.came_now(patience);
        loop {
            let loans = Getter::get(&self.core, want, rest, patience)?;
            if let Some(good) = self.ready_now(loans).map_err(GetError::Construct)? {
                return Ok(good);
            }
            rest = Rest::of(want.items).ok_or(GetError::NoMemory(want.items as usize))?;
            patience.returns = true;
        }
    }

    /// As [`lend`](Self::lend), without blocking the thread.
    pub(crate) async fn lend_async(
        self: &Arc<Self>,
        want: Want,
        rest: Rest,
        patience: Patience,
    ) -> Result<Good, GetError<B::Error>> {
        let patience = self.came_now(patience);
        let ready = |loans| self.ready(loans);
        let held = Lending::new(&self.core, want, rest, patience, self.care(), ready).await?;
        Ok(held.into_parts())
    }

    /// Gets what is wanted if it can be had right now.
    pub(crate) fn try_lend(&self, want: Want, mut rest: Rest) -> Result<Good, TryGetError<B::Error>> {
        loop {
            let loans = match self.core.take_now(want) {
                Some(loan) => Loans::one(loan),
                None => self.core.try_get(want, rest)?,
            };
            if let Some(good) = self.ready_now(loans).map_err(TryGetError::Construct)? {
                return Ok(good);
            }
            rest = Rest::of(want.items).ok_or(TryGetError::NoMemory(want.items as usize))?;
        }
    }

    /// So that one whose object is not good does not lose its place in line.
    pub(crate) fn came_now(&self, patience: Patience) -> Patience {
        if B::CREATES && self.validates() {
            Patience { asked_at: self.core.clock.now(), ..patience }
        } else {
            patience
        }
    }
}
