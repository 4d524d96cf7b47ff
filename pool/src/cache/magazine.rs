//! Magazines: fixed-size stacks of items.

use std::ptr::NonNull;

use arrayvec::ArrayVec;
use kva::sync::ROUNDS;

use crate::loan::{Loan, Slot};

/// A free item in a magazine. If objects are kept, there is one in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) ptr: NonNull<u8>,
    pub(crate) slot: Slot,
}

// SAFETY: as for a loan: the right to use an item's memory.
unsafe impl Send for Round {}

impl Round {
    /// Lent, with an object in it or without.
    #[inline]
    pub(crate) const fn lent(self, constructed: bool) -> Loan {
        Loan { slot: self.slot, ptr: self.ptr, constructed, fresh: false }
    }

    /// Of a loan that goes back.
    #[inline]
    pub(crate) const fn of(loan: Loan) -> Self {
        Self { ptr: loan.ptr, slot: loan.slot }
    }
}

/// A stack of rounds. Aligned, so that those of two threads share no cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Magazine {
    rounds: ArrayVec<Round, ROUNDS>,
    /// How many it takes, at most [`ROUNDS`].
    capacity: usize,
}

impl Magazine {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { rounds: ArrayVec::new(), capacity: 0 })
    }

    pub(crate) const fn len(&self) -> usize {
        self.rounds.len()
    }

    /// Whether it takes no more.
    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// How many it takes from now on. What it has beyond that, it keeps until it is taken.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity.min(ROUNDS);
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Round> {
        self.rounds.pop()
    }

    /// Whether it took the round.
    #[inline]
    pub(crate) fn push(&mut self, round: Round) -> bool {
        !self.is_full() && self.rounds.try_push(round).is_ok()
    }
}
