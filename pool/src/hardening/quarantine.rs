//! Items that were put and are lent to nobody for a while: a ring, under the pool's lock.
//!
//! Use after put pays for an attacker who has the item lent again at once, to an owner of their
//! choice: free lists are stacks. Here at least as many other puts come before that as the ring is
//! long, and with poison each of them is time in which the use is seen. The oldest leaves; in random
//! order, any of them, so that not even the number of puts tells when (`hardened_malloc` has both,
//! one behind the other).
//!
//! An item in here is *out* for `pages.rs`, with the mark of one that is cached. The ring is the
//! depot's: what takes back what is cached takes back what is in here. That is why it never holds
//! more than half of what the pool may have: a getter that finds the rest gone has to sweep.

use std::collections::VecDeque;

use super::Hardening;
use super::order::Draw;
use crate::error::ConfigError;
use crate::loan::Round;

/// The ring.
#[derive(Debug)]
pub(crate) struct Quarantine {
    /// Never more than it has had room for from the beginning.
    ring: VecDeque<Round>,
    most: usize,
    draw: Option<Draw>,
}

impl Quarantine {
    /// `Some` if any is wanted.
    pub(crate) fn of(hardening: Option<&Hardening>) -> Result<Option<Self>, ConfigError> {
        let Some(hardening) = hardening.filter(|hardening| hardening.quarantine > 0) else {
            return Ok(None);
        };
        let most = hardening.quarantine;
        let mut ring = VecDeque::new();
        ring.try_reserve_exact(most).map_err(|_| ConfigError::Quarantine(most))?;
        Ok(Some(Self { ring, most, draw: Draw::of(hardening, Draw::QUARANTINE) }))
    }

    /// How many it may hold, of a pool of so many items.
    pub(crate) fn room(&self, items: usize) -> usize {
        self.most.min(items / 2)
    }

    /// Each get must know how much of the reserve is there.
    pub(crate) fn check_reserve(reserve: u32) -> Result<(), ConfigError> {
        if reserve == 0 { Ok(()) } else { Err(ConfigError::QuarantineAndReserve { reserve }) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Takes an item in that was put, for which there is room by another that leaves, if need be.
    pub(crate) fn exchange(&mut self, round: Round, items: usize) -> Option<Round> {
        let leaves = if self.ring.len() < self.room(items) { None } else { self.leave() };
        self.ring.push_back(round);
        leaves
    }

    fn leave(&mut self) -> Option<Round> {
        if let Some(draw) = &mut self.draw {
            let at = draw.below(self.ring.len() as u32) as usize;
            self.ring.swap(0, at);
        }
        self.ring.pop_front()
    }

    /// One that is taken back.
    pub(crate) fn pop(&mut self) -> Option<Round> {
        self.ring.pop_front()
    }
}
