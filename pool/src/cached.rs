//! The way past the lock: getting from and putting into the cache of the thread that calls, and how
//! caches come, are swept and go.

use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;

use kva::NEVER;
use kva::sync::{MutexGuard, Weak, thread};

use crate::backend::Backend;
use crate::cache::{Owned, Registered, Retire, Round, Shelves, Spare, directory};
use crate::core::Core;
use crate::index::{At, CACHED, OUT};
use crate::loan::Loan;
use crate::panics::FirstPanic;
use crate::state::State;
use crate::todo::Todo;
use crate::waiter::Want;

impl<B: Backend> Core<B> {
    /// Whether there is an object in each item that may be in a cache, where pools of memory have
    /// marks instead.
    pub(crate) const fn keeps_objects(&self) -> bool {
        self.destroy.is_some()
    }

    /// Takes an item of the calling thread's cache.
    #[inline]
    pub(crate) fn take_cached(&self, caller: &'static Location<'static>) -> Option<Loan> {
        let round = directory::with(self.id, |owned| owned.take(&self.bias))??;
        Some(self.lend_round(round, caller))
    }

    /// As [`take_cached`](Self::take_cached), of a cache that is known.
    #[inline]
    pub(crate) fn take_of(&self, owned: &Owned, caller: &'static Location<'static>) -> Option<Loan> {
        Some(self.lend_round(owned.take(&self.bias)?, caller))
    }

    #[inline]
    fn lend_round(&self, round: Round, caller: &'static Location<'static>) -> Loan {
        if !self.keeps_objects() {
            self.index.link(round.slot).set(OUT);
        }
        self.index.note_caller(round.slot, Some(caller));
        round.lent(self.keeps_objects())
    }

    /// Puts an item into the calling thread's cache.
    #[inline]
    pub(crate) fn put_cached(&self, loan: Loan) -> bool {
        loan.constructed == self.keeps_objects()
            && self.put_round(loan, |round| {
                directory::with(self.id, |owned| owned.put(&self.bias, round)).unwrap_or(false)
            })
    }

    /// As [`put_cached`](Self::put_cached), into a cache that is known.
    #[inline]
    pub(crate) fn put_into(&self, owned: &Owned, loan: Loan) -> bool {
        self.put_round(loan, |round| owned.put(&self.bias, round))
    }

    /// Marks an item as cached, if `put` puts it into a cache.
    #[inline]
    fn put_round(&self, loan: Loan, put: impl FnOnce(Round) -> bool) -> bool {
        let (slot, marks) = (loan.slot, !self.keeps_objects());
        // Before it is in a cache: then it may be anybody's.
        if marks {
            self.index.link(slot).set(CACHED);
        }
        let caller = self.index.caller(slot);
        self.index.note_caller(slot, None);
        let done = put(Round::of(loan));
        if !done {
            self.index.note_caller(slot, caller);
            if marks {
                self.index.link(slot).set(OUT);
            }
        }
        done
    }

    /// The item that starts at `ptr`, if it is out. `None`: it may be, or not; the lock tells.
    #[inline]
    pub(crate) fn loan_at(&self, ptr: NonNull<u8>) -> Option<Loan> {
        match self.index.at(ptr) {
            At::Item(slot) if self.index.link(slot).get() == OUT => {
                Some(Loan { slot, ptr, constructed: false, fresh: false })
            }
            _ => None,
        }
    }

    /// The calling thread's cache, if it has one and may use it.
    fn own(&self) -> Option<Rc<Owned>> {
        if self.bias.is_revoked() { None } else { directory::share(self.id) }
    }

    /// Locks, for an operation that might have done without, had its cache had what it needs.
    fn lock_for_cache(&self) -> MutexGuard<'_, State<B>> {
        self.try_lock().unwrap_or_else(|| {
            let mut state = self.lock();
            state.depot.note_contention();
            state
        })
    }

    /// Takes what is wanted, one item, if it is there and nobody waits: no law of rest can break by
    /// that. By way of the calling thread's cache, where there is one.
    pub(crate) fn take_at_rest(&self, want: Want) -> Option<Loan> {
        let owned = self.own();
        let mut state = self.lock_for_cache();
        if !state.is_at_rest() {
            return None;
        }
        if let Some(round) = owned.as_ref().and_then(|owned| state.take_through(owned)) {
            drop(state);
            return Some(self.lend_round(round, want.caller));
        }
        let loan = state.take(NEVER, want, &mut None).map(|loans| loans.first);
        let registers = owned.is_none() && state.depot.is_caching() && state.has_room_for_cache();
        if loan.is_some() {
            self.note_calm(&mut state);
        }
        drop(state);
        if registers {
            self.register();
        }
        loan
    }

    /// Puts an item where nobody waits: no law of rest can break by that. By way of the calling
    /// thread's cache, where there is one.
    pub(crate) fn put_at_rest(&self, loan: Loan) -> bool {
        let cached = loan.constructed == self.keeps_objects();
        let owned = if cached { self.own() } else { None };
        let mut state = self.lock_for_cache();
        if !state.is_at_rest() || (B::CREATES && !loan.constructed) {
            return false;
        }
        if let Some(owned) = &owned {
            // It is not out any more when others may have it.
            let put = self.put_round(loan, |round| state.put_through(owned, round));
            if put {
                return true;
            }
        }
        let put = state.put_one(loan);
        let registers = cached && owned.is_none() && state.depot.is_caching() && state.has_room_for_cache();
        self.note_calm(&mut state);
        drop(state);
        if registers {
            self.register();
        }
        put.is_ok()
    }

    /// Puts back what the calling thread's cache and the depot have, for one who wants several: what
    /// is idle there is as good as what is not.
    pub(crate) fn put_cache_back(&self) {
        if let Some(owned) = self.own() {
            self.change_until(|state, todo| state.put_back(&owned, todo));
        }
    }

    /// An operation in which nobody had to wait.
    fn note_calm(&self, state: &mut State<B>) {
        if state.note_calm() {
            // Under the lock, as the bias asks.
            self.bias.restore();
        }
    }

    /// A cache for the calling thread. It has one already, if what allocates it uses the pool.
    #[cold]
    pub(crate) fn register(&self) -> Option<Rc<Owned>> {
        let (mut spare, mut shelves) = (None, Shelves::default());
        loop {
            if let Some(owned) = directory::share(self.id) {
                return Some(owned);
            }
            let registered = self.lock().register(&mut spare, &mut shelves);
            match registered {
                Registered::Enough => return None,
                Registered::Needs(caches) => {
                    spare = Some(Spare::new());
                    shelves = Shelves::with_room(caches.next_power_of_two());
                }
                Registered::Cache(cache) => {
                    let pool: Weak<dyn Retire> = self.this.clone();
                    // SAFETY: the depot gives each cache to one, until that is retired.
                    let owned = Rc::new(unsafe { Owned::new(cache, pool) });
                    // If not, it goes back as this is dropped.
                    return directory::insert(self.id, &owned).then_some(owned);
                }
            }
        }
    }

    /// Takes back what is in caches, and in the depot. When this returns, all is back that was there,
    /// and nothing comes in until the pool has been at rest for a while.
    ///
    /// # Panics
    /// If what is done for pages that become idle by it does; all is back nevertheless.
    pub(crate) fn sweep(&self) {
        let mut state = self.lock();
        let caching = state.depot.is_caching();
        let Some(nth) = state.depot.begin_sweep() else { return };
        if caching {
            self.bias.revoke();
        }
        drop(state);
        self.bias.barrier();
        self.change_until(|state, todo| state.sweep(nth, todo));
    }

    /// Changes until that is done, also if what is done after the lock panics.
    fn change_until<'a>(&'a self, mut step: impl FnMut(&mut State<B>, &mut Todo<'a, B>) -> bool) {
        let mut panics = FirstPanic::default();
        loop {
            let mut decided = None;
            panics.guard(|| self.change(|state, todo| decided = Some(step(state, todo))));
            match decided {
                // Some owner is inside, for a few instructions, unless it was preempted there.
                Some(false) => thread::yield_now(),
                Some(true) | None => break,
            }
        }
        panics.go_on();
    }
}

impl<B: Backend> Retire for Core<B> {
    fn retire(&self, owned: &Owned) {
        self.change_until(|state, todo| state.retire(owned, todo));
    }
}
