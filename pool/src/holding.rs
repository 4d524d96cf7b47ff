//! What a pool tells of itself to [`kva::holds`].
//!
//! Items are noted after the lock, by those that get on their own thread. What tasks get is nobody's:
//! they go on elsewhere.

use arrayvec::ArrayVec;
use kva::Arena;
use kva::holds::{Resource, TRACKS, Vitals};
use kva::sync::Weak;

use crate::backend::Backend;
use crate::backend::arena::shape_of;
use crate::core::Core;
use crate::loan::{Loans, Round, Slot};

impl<B: Backend> Core<B> {
    pub(crate) fn make_known(&self) {
        if !TRACKS {
            return;
        }
        let below = self.backend().arena().map(Arena::holds);
        self.holds.register("pool", self.name.as_deref(), below, || {
            let resource: Weak<dyn Resource> = self.this.clone();
            resource
        });
    }

    /// The calling thread got these.
    pub(crate) fn note_got_all(&self, loans: &Loans) {
        if TRACKS {
            self.note_got(loans.first.slot);
            loans.rest.iter().for_each(|loan| self.note_got(loan.slot));
        }
    }

    /// The calling thread got this one.
    pub(crate) fn note_got(&self, slot: Slot) {
        if TRACKS {
            let (holders, at) = self.index.holders(slot);
            self.holds.got(holders, at, 1);
        }
    }

    /// The calling thread is about to put this one. With no lock held, or told before.
    pub(crate) fn note_puts(&self, slot: Slot) {
        if TRACKS {
            let (holders, at) = self.index.holders(slot);
            self.holds.puts(holders, at, 1);
        }
    }

    /// As [`note_puts`](Self::note_puts), of one that is known to be out.
    pub(crate) fn note_puts_round(&self, round: Round) {
        if TRACKS {
            self.note_puts(self.index.slot(round.ptr));
        }
    }
}

impl<B: Backend> Resource for Core<B> {
    fn vitals(&self) -> Vitals {
        let quanta = self.backend().arena().map(|arena| shape_of(arena, self.carve.page).len());
        let state = self.lock();
        let (ledger, grows) = (&state.ledger, &state.grows);
        let pages = u64::from(ledger.pages());
        let (mut listed, mut fits) = (ArrayVec::new(), true);
        state.queue.each(|_, _, want| {
            if !want.client.is_nobody() {
                fits &= listed.try_push(want.client).is_ok();
            }
        });
        let growing = grows.iter().count();
        // Law 2: else somebody was told to look, or is about to be served.
        let comes_by_put_or_grow = state.queue.is_empty() || growing > 0 || !ledger.has_room();
        let under_way = state.closed || state.queue.any_kicked() || state.gathering > 0;
        Vitals {
            settled: fits && !under_way && comes_by_put_or_grow && ledger.staying() == ledger.pages(),
            out: state.pages.out_items() as u64,
            free: state.pages.free_items() as u64,
            waiting: state.queue.len(),
            listed: Some(listed),
            growing,
            tokens: growing - grows.asleep(),
            holds_below: quanta
                .filter(|_| state.pages.idle_page().is_none())
                .map(|quanta| u64::from(quanta) * pages),
            reclaimers: 0,
        }
    }
}
