//! How much there is for whom, and how much it takes to serve all who wait.

use std::panic::Location;

use kva::NEVER;
use kva::holds::Client;

use super::State;
use crate::backend::Backend;
use crate::waiter::{Class, Supply, Want};

/// Somebody of whom it is only known that it wants little.
pub(super) const ANYBODY: Want =
    Want { items: 1, class: Class::Ordinary, client: Client::NOBODY, caller: Location::caller() };

impl<B: Backend> State<B> {
    /// How many getters wait, on their nodes or inside the back-end.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.grows.asleep()
    }

    /// Whether anybody waits or gathers who has use for what is idle. Who creates on its own thread
    /// is out of reach, and comes back with an object: it needs more only if it wants several.
    pub(super) fn is_wanted(&self) -> bool {
        let brings = if B::CREATES { self.grows.asleep() } else { 0 };
        !self.queue.is_empty() || self.gathering > 0 || self.grows.wanted().0 > brings
    }

    /// The most items that the limit allows.
    pub(super) fn capacity(&self) -> usize {
        self.ledger.limit() as usize * self.fixed.items_per_page
    }

    /// Items for critical getters only: all but one at most.
    pub(crate) fn reserve(&self) -> usize {
        (self.reserve as usize).min(self.capacity() - 1)
    }

    /// The most items that a getter of this class can ever have at once.
    pub(crate) fn most(&self, class: Class) -> usize {
        let reserve = if class == Class::Ordinary { self.reserve() } else { 0 };
        self.capacity() - reserve
    }

    pub(super) fn supply(&self) -> Supply {
        Supply { free: self.pages.free_items(), reserve: self.reserve(), bypass: self.fixed.bypass }
    }

    /// How many free items it takes to serve all who wait, and `also`: what they want, and
    /// the reserve, which ordinary getters leave.
    pub(super) fn demand(&self, also: Option<Want>) -> usize {
        let (queued, ordinary_queued) = self.queue.wanted();
        let (asleep, ordinary_asleep) = self.grows.wanted();
        let ordinary =
            ordinary_queued || ordinary_asleep || also.is_some_and(|also| also.class == Class::Ordinary);
        let reserve = if ordinary { self.reserve() } else { 0 };
        queued + asleep + also.map_or(0, |also| also.items as usize) + reserve
    }

    /// Whether `demand` is more than what is free or pending. What is being brought by one who
    /// does not wait is that one's.
    pub(super) fn is_uncovered(&self, demand: usize) -> bool {
        demand > self.grows.counted_on() * self.fixed.items_per_page + self.pages.free_items()
    }

    /// How many grows are needed for those who wait. What is free counts only as far as no
    /// later arrival may take it.
    pub(super) fn needed_grows(&self) -> usize {
        if self.closed {
            return 0;
        }
        let supply = self.supply();
        let up_for_grabs = self.queue.may_take(NEVER, ANYBODY, supply);
        let secure = if up_for_grabs { supply.free.min(supply.reserve) } else { supply.free };
        self.demand(None).saturating_sub(secure).div_ceil(self.fixed.items_per_page)
    }
}
