//! Magazines: fixed-size stacks of items.

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use kva::sync::ROUNDS;

use crate::loan::Round;

/// A stack of rounds. Aligned, so that those of two threads share no cache line, and in this order,
/// so that the first rounds are in one line with their number.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Magazine {
    /// How many of the first rounds it has. No more than `ROUNDS`.
    len: usize,
    /// How many it takes, at most `ROUNDS`.
    capacity: usize,
    rounds: [Option<Round>; ROUNDS],
}

/// Folds an index that is below `ROUNDS` anyway, so that the compiler knows it too, without a branch.
const fn fold(index: usize) -> usize {
    const { assert!(ROUNDS.is_power_of_two()) };
    index & (ROUNDS - 1)
}

impl Magazine {
    #[allow(clippy::unnecessary_box_returns, reason = "they are exchanged, not moved")]
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { len: 0, capacity: 0, rounds: [None; ROUNDS] })
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// How many it takes from now on. What it has beyond that, it keeps until it is taken.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.capacity = capacity.min(ROUNDS);
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Round> {
        let last = self.len.checked_sub(1)?;
        self.len = last;
        self.rounds[fold(last)]
    }

    /// Whether it took the round.
    #[inline(always)]
    pub(crate) fn push(&mut self, round: Round) -> bool {
        let is_full = self.len >= self.capacity;
        if !is_full {
            self.rounds[fold(self.len)] = Some(round);
            self.len += 1;
        }
        !is_full
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::ptr::NonNull;

    use super::*;

    fn round(number: usize) -> Round {
        Round { ptr: NonNull::without_provenance(number.try_into().unwrap()) }
    }

    #[test]
    fn the_last_is_first_and_the_capacity_holds() {
        let mut magazine = Magazine::new();
        assert!(!magazine.push(round(1)), "it takes none until it is told");
        magazine.resize(usize::MAX);
        for number in 1..=ROUNDS {
            assert!(magazine.push(round(number)));
        }
        assert!(!magazine.push(round(1)));
        magazine.resize(2);
        for number in (1..=ROUNDS).rev() {
            assert!(!magazine.push(round(1)) || number == 1);
            assert_eq!(magazine.pop().map(|round| round.ptr.addr().get()), Some(number));
            if number == 2 {
                break;
            }
        }
        assert_eq!(magazine.len(), 1, "what it had beyond is given out, and not taken again");
        assert!(magazine.push(round(7)) && !magazine.push(round(8)));
        assert!(magazine.pop().is_some() && magazine.pop().is_some() && magazine.pop().is_none());
    }
}
