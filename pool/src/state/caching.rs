//! What is decided about caches under the pool's lock.

#[cfg(feature = "hardening")]
use kva::NEVER;
use kva::sync::Arc;

use super::State;
use crate::backend::Backend;
use crate::cache::{Magazines, Owned, Registered, Shelves, Spare};
use crate::loan::{Loan, Round};
use crate::pages::PutError;
use crate::todo::Todo;
use crate::waiter::Want;

/// So many rounds are put back under one hold of the lock, so that nobody waits long for it.
const BUDGET: usize = 256;

impl<B: Backend> State<B> {
    /// Whether owners may get from their caches and put there without the lock again, after an
    /// operation in which nobody had to wait. The caller restores the bias.
    #[must_use]
    pub(crate) fn note_calm(&mut self) -> bool {
        self.depot.is_scarce()
            && self.reserve == 0
            && !self.is_wanted()
            && self.depot.note_calm(self.capacity())
    }

    /// Whether what is in caches may keep pages from being given up that are more than `keep`, and that
    /// nobody here waits for.
    pub(crate) fn is_worth_sweeping(&self, keep: u32) -> bool {
        !self.depot.is_scarce() && self.ledger.staying() > keep && !self.is_wanted()
    }

    /// Whether what somebody wants is in the pages, for its class, with objects where those are kept.
    pub(crate) fn has(&self, want: Want) -> bool {
        want.items as usize <= self.supply().of(want.class).min(self.pages.ready_items())
    }

    /// Whether a thread that has no cache may have one.
    pub(crate) fn has_room_for_cache(&self) -> bool {
        self.depot.has_room(self.capacity())
    }

    /// A cache for a thread that has none.
    pub(crate) fn register(&mut self, spare: &mut Option<Spare>, shelves: &mut Shelves) -> Registered {
        if self.closed {
            return Registered::Enough;
        }
        self.depot.register(self.capacity(), spare, shelves)
    }

    /// Puts an item back and leaves it at that.
    pub(crate) fn put_one(&mut self, loan: Loan) -> Result<(), PutError> {
        self.pages.put(loan.slot, loan.constructed)?;
        self.counts.puts += 1;
        Ok(())
    }

    /// Takes an item through the cache of the thread that calls.
    pub(crate) fn take_through(&mut self, owned: &Owned) -> Option<Round> {
        if !self.depot.is_caching() {
            return None;
        }
        // SAFETY: the phase is `Caching`, and the caller has the lock.
        let round = unsafe { self.depot.load(owned, self.capacity()) };
        if round.is_some() {
            owned.count_get();
        }
        round
    }

    /// Puts an item through the cache of the thread that calls, where nobody waits.
    pub(crate) fn put_through(&mut self, owned: &Owned, round: Round) -> bool {
        if !self.depot.is_caching() {
            return false;
        }
        let items = self.capacity();
        // SAFETY: the phase is `Caching`, and the caller has the lock.
        let mut stowed = unsafe { self.depot.stow(owned, round, items) };
        if !stowed {
            // The depot is full.
            let pages = &mut self.pages;
            let depot = &mut self.depot;
            // SAFETY: as above.
            unsafe {
                owned.locked(|magazines| {
                    while let Some(round) = magazines.pop() {
                        let slot = pages.index().slot(round.ptr);
                        pages.put_cached(slot);
                        depot.note_moved_out();
                    }
                });
            }
            // SAFETY: as above.
            stowed = unsafe { self.depot.stow(owned, round, items) };
        }
        if stowed {
            owned.count_put();
        }
        stowed
    }

    /// Takes back what is in caches, the `nth` time, after the barrier that followed the revocation.
    /// Whether that is done.
    pub(crate) fn sweep(&mut self, nth: u64, todo: &mut Todo<'_, B>) -> bool {
        if !self.depot.is_sweeping(nth) {
            return true;
        }
        let mut budget = BUDGET;
        self.put_depot_back(&mut budget, todo);
        let mut all = true;
        let mut at = 0;
        while let Some(cache) = self.depot.cache(at).map(Arc::clone) {
            at += 1;
            // SAFETY: the caller's promise: the bias is revoked, and a barrier came after that. It
            // is revoked as long as the phase is `Sweeping`.
            let swept = unsafe {
                cache.swept(|magazines| {
                    while budget > 0
                        && !todo.is_full_of_pages()
                        && let Some(round) = magazines.pop()
                    {
                        budget -= 1;
                        self.depot.note_moved_out();
                        self.put_round(round, todo);
                    }
                    // Whoever is next to put there takes the lock, and learns how many they take by then.
                    magazines.resize(0);
                })
            };
            all &= swept.is_some();
        }
        let done = all && budget > 0 && !todo.is_full_of_pages();
        if done {
            self.depot.end_sweep();
        }
        done
    }

    fn put_depot_back(&mut self, budget: &mut usize, todo: &mut Todo<'_, B>) {
        while *budget > 0
            && !todo.is_full_of_pages()
            && let Some(round) = self.depot.pop()
        {
            *budget -= 1;
            self.put_round(round, todo);
        }
    }

    /// Takes back what is in the cache of the thread that calls, and then the cache. Whether that is
    /// done.
    pub(crate) fn retire(&mut self, owned: &Owned, todo: &mut Todo<'_, B>) -> bool {
        // SAFETY: the owner ends.
        let done = unsafe { self.empty(owned, todo) };
        if done {
            // As after a sweep.
            // SAFETY: as above.
            unsafe { owned.locked(|magazines| magazines.resize(0)) };
            self.depot.retire(owned);
        }
        done
    }

    /// Takes back what is in the cache of the thread that calls, and in the depot. Whether that is
    /// done.
    pub(crate) fn put_back(&mut self, owned: &Owned, todo: &mut Todo<'_, B>) -> bool {
        if !self.depot.is_caching() {
            return true;
        }
        let mut budget = BUDGET;
        self.put_depot_back(&mut budget, todo);
        // SAFETY: the phase is `Caching`.
        let empty = unsafe { self.empty(owned, todo) };
        empty && budget > 0
    }

    /// Takes back what is in a cache. Whether that is done.
    ///
    /// # Safety
    /// As for [`Owned::locked`].
    unsafe fn empty(&mut self, owned: &Owned, todo: &mut Todo<'_, B>) -> bool {
        while !todo.is_full_of_pages() {
            // SAFETY: the caller's promise, who has the lock.
            let Some(round) = (unsafe { owned.locked(Magazines::pop) }) else { return true };
            self.depot.note_moved_out();
            self.put_round(round, todo);
        }
        false
    }

    /// Takes an item back whose put has claimed it: into quarantine, where there is one and nobody has
    /// use for it elsewhere. What that has no room for any more goes into the pages.
    #[cfg(feature = "hardening")]
    pub(crate) fn put_claimed(&mut self, round: Round, todo: &mut Todo<'_, B>) {
        self.counts.puts += 1;
        let is_spare =
            !self.closed && !self.is_wanted() && !self.ledger.is_over() && self.fixed.clock.oldest() == NEVER;
        let goes = if is_spare { self.depot.quarantine(round, self.capacity()) } else { Some(round) };
        if let Some(round) = goes {
            self.put_round(round, todo);
        }
    }

    /// Takes an item back that was in a cache.
    fn put_round(&mut self, round: Round, todo: &mut Todo<'_, B>) {
        let slot = self.pages.index().slot(round.ptr);
        self.pages.put_cached(slot);
        if let Some(page) = self.pages.idle_page_of(slot) {
            self.offer(page, todo);
        }
    }
}
