//! Taking and putting beside those who wait, without restoring the law of rest, where it cannot break.
//!
//! In a scarce pool somebody always waits. The oldest has been told to look, and until it has, later
//! arrivals may take what comes back, within the bound on bypass (P4). So most gets and puts change
//! nothing that anybody could be told.

use kva::NEVER;

use super::State;
use super::supply::ANYBODY;
use crate::backend::Backend;
use crate::loan::Loan;
use crate::waiter::{Supply, Want};

impl<B: Backend> State<B> {
    /// Takes one item past who waits, as the bypass allows. Law 1 holds as before, since less is free;
    /// law 2, since somebody was told to look and will see whether it needs a grow.
    pub(crate) fn take_beside(&mut self, want: Want) -> Option<Loan> {
        if !self.queue.any_kicked() || self.gathering > 0 || !self.is_quiet() {
            return None;
        }
        self.depot.note_wait();
        self.take(NEVER, want, &mut None).map(|loans| loans.first)
    }

    /// Puts an item that is left for whoever comes first: the oldest waiter knows. Law 1 holds then,
    /// and the others hold since nothing is pending that could be withdrawn.
    pub(crate) fn put_beside(&mut self, loan: Loan) -> bool {
        if B::CREATES || !self.queue.any_kicked() || self.gathering > 0 || !self.is_quiet() {
            return false;
        }
        let now = self.supply();
        let then = Supply { free: now.free + 1, ..now };
        self.is_left(then) && self.put_one(loan).is_ok()
    }

    /// Whether law 1 has nobody served or told to look, of what is free.
    fn is_left(&self, supply: Supply) -> bool {
        let Some(class) = self.queue.next(supply) else { return true };
        let items = self.queue.head_want(class).unwrap_or_default();
        let newcomer = Want { items: items as u32, class, ..ANYBODY };
        items == supply.of(class)
            && self.queue.is_alone(class)
            && self.queue.is_head_kicked(class)
            && self.queue.may_take(NEVER, newcomer, supply)
    }
}
