//! The way past the lock: getting from and putting into the cache of the thread that calls, and how
//! caches come, are swept and go.

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;

use kva::NEVER;
use kva::sync::{CHECKED, MutexGuard, Weak, thread};

use crate::backend::Backend;
use crate::cache::{Owned, Registered, Retire, Shelves, Spare, directory};
use crate::core::Core;
use crate::index::{At, CACHED, OUT};
use crate::loan::{Loan, Round};
use crate::pages::PutError;
use crate::state::State;
use crate::todo::Todo;
use crate::waiter::Want;
use kva::panics::FirstPanic;

impl<B: Backend> Core<B> {
    /// Whether there is an object in each item that may be in a cache. Where there is none, items are
    /// marked instead, since anybody may put any pointer.
    pub(crate) const fn keeps_objects(&self) -> bool {
        self.destroy.is_some()
    }

    /// Takes an item of the calling thread's cache. `OBJECTS`: as [`keeps_objects`](Self::keeps_objects)
    /// says, and known where the front is.
    #[inline(always)]
    pub(crate) fn take_cached<const OBJECTS: bool>(
        &self,
        caller: &'static Location<'static>,
    ) -> Option<Round> {
        let round = directory::with(self.id, |owned| owned.take(&self.bias))??;
        self.mark_out::<OBJECTS>(round, caller);
        Some(round)
    }

    /// As [`take_cached`](Self::take_cached), wherever the cache is.
    pub(crate) fn take_cached_of_many<const OBJECTS: bool>(
        &self,
        caller: &'static Location<'static>,
    ) -> Option<Round> {
        let take = |owned: &Owned| owned.take(&self.bias);
        let round =
            directory::with(self.id, take).or_else(|| directory::with_one_of_many(self.id, take))??;
        self.mark_out::<OBJECTS>(round, caller);
        Some(round)
    }

    /// As [`take_cached`](Self::take_cached), of a cache that is known.
    #[inline(always)]
    pub(crate) fn take_of<const OBJECTS: bool>(
        &self,
        owned: &Owned,
        caller: &'static Location<'static>,
    ) -> Option<Round> {
        let round = owned.take(&self.bias)?;
        self.mark_out::<OBJECTS>(round, caller);
        Some(round)
    }

    #[inline(always)]
    fn mark_out<const OBJECTS: bool>(&self, round: Round, caller: &'static Location<'static>) {
        debug_assert_eq!(OBJECTS, self.keeps_objects());
        if !OBJECTS {
            let mark = self.index.mark(round.ptr);
            mark.unwrap_or_else(|| self.index.link(self.index.slot(round.ptr))).set(OUT);
        }
        if CHECKED {
            let slot = self.index.slot(round.ptr);
            self.index.note_caller(slot, Some(caller));
            self.note_got(slot);
        }
    }

    /// Puts an object into the calling thread's cache.
    #[inline(always)]
    pub(crate) fn put_cached(&self, round: Round) -> bool {
        self.put_object_by(round, || self.put_here(round))
    }

    /// As [`put_cached`](Self::put_cached), into a cache that is known.
    #[inline(always)]
    pub(crate) fn put_into(&self, owned: &Owned, round: Round) -> bool {
        self.put_object_by(round, || owned.put(&self.bias, round))
    }

    /// As [`put_cached`](Self::put_cached), of memory: if an item starts at `ptr` and is out. If not,
    /// the lock tells what is wrong, if anything is.
    #[inline(always)]
    pub(crate) fn put_cached_if_out(&self, ptr: NonNull<u8>) -> bool {
        self.put_memory_by(ptr, || self.put_here(Round { ptr }))
    }

    /// As [`put_cached_if_out`](Self::put_cached_if_out), into a cache that is known.
    #[inline(always)]
    pub(crate) fn put_into_if_out(&self, owned: &Owned, ptr: NonNull<u8>) -> bool {
        self.put_memory_by(ptr, || owned.put(&self.bias, Round { ptr }))
    }

    /// As [`put_cached`](Self::put_cached), where the thread has so many caches that this one may be
    /// elsewhere.
    pub(crate) fn put_cached_of_many(&self, round: Round) -> bool {
        directory::has_many() && self.put_object_by(round, || self.put_here_of_many(round))
    }

    /// As [`put_cached_if_out`](Self::put_cached_if_out), where the thread has so many caches that this
    /// one may be elsewhere.
    pub(crate) fn put_cached_of_many_if_out(&self, ptr: NonNull<u8>) -> bool {
        directory::has_many() && self.put_memory_by(ptr, || self.put_here_of_many(Round { ptr }))
    }

    fn put_here_of_many(&self, round: Round) -> bool {
        directory::with_one_of_many(self.id, |owned| owned.put(&self.bias, round)) == Some(true)
    }

    #[inline(always)]
    fn put_here(&self, round: Round) -> bool {
        directory::with(self.id, |owned| owned.put(&self.bias, round)) == Some(true)
    }

    /// Forgets who has an object, if `put` puts it into a cache.
    #[inline(always)]
    fn put_object_by(&self, round: Round, put: impl FnOnce() -> bool) -> bool {
        debug_assert!(self.keeps_objects());
        self.note_puts_round(round);
        if CHECKED { self.forget_caller_if(round, put) } else { put() }
    }

    /// Marks an item as cached, if it is out and `put` puts it into a cache.
    #[inline(always)]
    fn put_memory_by(&self, ptr: NonNull<u8>, put: impl FnOnce() -> bool) -> bool {
        debug_assert!(!self.keeps_objects());
        let mark = self.index.mark(ptr).or_else(|| self.index.mark_of_later_look(ptr));
        let Some(mark) = mark.filter(|mark| mark.get() == OUT) else { return false };
        self.note_puts_round(Round { ptr });
        // Before it is in a cache: then it may be anybody's.
        mark.set(CACHED);
        let done = if CHECKED { self.forget_caller_if(Round { ptr }, put) } else { put() };
        if !done {
            mark.set(OUT);
        }
        done
    }

    fn forget_caller_if(&self, round: Round, put: impl FnOnce() -> bool) -> bool {
        let slot = self.index.slot(round.ptr);
        let caller = self.index.caller(slot);
        self.index.note_caller(slot, None);
        let done = put();
        if !done {
            self.index.note_caller(slot, caller);
        }
        done
    }

    /// The calling thread's cache, if it has one and may use it.
    fn own(&self) -> Option<Rc<Owned>> {
        if self.bias.is_revoked() { None } else { directory::share(self.id) }
    }

    /// Locks, for an operation that might have done without, had its cache had what it needs.
    fn lock_for_cache(&self) -> MutexGuard<'_, State<B>> {
        self.try_lock().unwrap_or_else(|| {
            let mut state = self.lock();
            if state.depot.is_caching() {
                state.depot.note_contention();
            }
            state
        })
    }

    /// Takes what is wanted, one item, if it is there and no law of rest can break by that: nobody
    /// waits, or who does knows. By way of the calling thread's cache, where there is one.
    pub(crate) fn take_at_rest(&self, want: Want) -> Option<Loan> {
        let owned = self.own();
        let mut state = self.lock_for_cache();
        if !state.is_at_rest() {
            let loan = state.take_beside(want);
            drop(state);
            return loan.inspect(|loan| self.note_got(loan.slot));
        }
        if let Some(round) = owned.as_ref().and_then(|owned| state.take_through(owned)) {
            drop(state);
            if self.keeps_objects() {
                self.mark_out::<true>(round, want.caller);
            } else {
                self.mark_out::<false>(round, want.caller);
            }
            return Some(self.loan(round));
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
        loan.inspect(|loan| self.note_got(loan.slot))
    }

    /// Puts an item where no law of rest can break by that: nobody waits, or who does knows. By way of
    /// the calling thread's cache, where there is one. Else the lock comes back, to go on with.
    pub(crate) fn put_at_rest(&self, loan: Loan) -> Result<Result<(), PutError>, MutexGuard<'_, State<B>>> {
        let cached = loan.constructed == self.keeps_objects();
        let owned = if cached { self.own() } else { None };
        let mut state = self.lock_for_cache();
        // A pointer of anybody's may lie elsewhere by now, or nowhere.
        if !self.keeps_objects() && self.index.at(loan.ptr) != At::Item(loan.slot) {
            return Err(state);
        }
        if !state.is_at_rest() {
            return if state.put_beside(loan) { Ok(Ok(())) } else { Err(state) };
        }
        if B::CREATES && !loan.constructed {
            return Err(state);
        }
        if let Some(owned) = &owned {
            // It is not out any more when others may have it.
            let put = || state.put_through(owned, Round::of(loan));
            let done = if self.keeps_objects() {
                self.put_object_by(Round::of(loan), put)
            } else {
                self.put_memory_by(loan.ptr, put)
            };
            if done {
                return Ok(Ok(()));
            }
        }
        let put = state.put_one(loan);
        let registers = cached && owned.is_none() && state.depot.is_caching() && state.has_room_for_cache();
        self.note_calm(&mut state);
        drop(state);
        if registers {
            self.register();
        }
        Ok(put)
    }

    /// Puts back what the calling thread's cache and the depot have, for one who wants several, if it
    /// takes that: what is idle there is as good as what is not.
    pub(crate) fn put_cache_back(&self, want: Want) {
        if let Some(owned) = self.own() {
            self.change_until(|state, todo| state.has(want) || state.put_back(&owned, todo));
        }
    }

    /// An operation in which nobody had to wait.
    pub(crate) fn note_calm(&self, state: &mut State<B>) {
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
        if state.depot.is_caching() {
            self.bias.revoke();
        }
        let Some(nth) = state.depot.begin_sweep() else { return };
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::alloc::Layout;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use kva::sync::block_on_future;
    use kva::{Arena, Region, Reserve};

    use super::*;
    use crate::{Pool, RawPool};

    /// Who has not come past the lock after so long does not.
    const PATIENCE: Duration = Duration::from_mins(1);

    fn arena() -> Arena {
        Arena::new(Region::reserve(1 << 16, Reserve::new()).unwrap(), 4096).unwrap()
    }

    /// Does it twice on another thread: the first time with the lock, and then while this thread has it.
    fn twice<B: Backend>(core: &Core<B>, run: impl Fn() + Send) -> bool {
        thread::scope(|scope| {
            let (done, is_done) = mpsc::channel();
            let (locks, is_locked) = mpsc::channel();
            scope.spawn(move || {
                run();
                done.send(()).unwrap();
                is_locked.recv().unwrap();
                run();
                let _ = done.send(());
            });
            is_done.recv().unwrap();
            let state = core.lock();
            locks.send(()).unwrap();
            let passes = is_done.recv_timeout(PATIENCE).is_ok();
            drop(state);
            passes
        })
    }

    #[test]
    fn cached_objects_are_got_and_put_past_the_lock() {
        let pool = Pool::builder(1, || [0_u8; 64]).magazine_rounds(4).build(arena()).unwrap();
        assert!(twice(&pool.shelf().core, || {
            // Both magazines.
            drop((0..8).map(|_| pool.get().unwrap()).collect::<Vec<_>>());
            drop(pool.get_owned().unwrap());
            drop(pool.try_get().unwrap());
            drop(pool.request().timeout(Duration::ZERO).get().unwrap());
            drop(block_on_future(pool.get_async()).unwrap());
        }));
    }

    /// A handle is made with the lock, so it is made before.
    #[test]
    fn handles_get_and_put_past_the_lock() {
        let pool = Pool::builder(1, || [0_u8; 64]).magazine_rounds(4).build(arena()).unwrap();
        let raw = RawPool::builder(Layout::new::<[u8; 64]>(), 1).magazine_rounds(4).build(arena()).unwrap();
        thread::scope(|scope| {
            let (says, said) = mpsc::channel();
            let (locks, is_locked) = mpsc::channel();
            let (pool, raw) = (&pool, &raw);
            scope.spawn(move || {
                let (local, raw) = (pool.local(), raw.local());
                for _ in 0..2 {
                    let items: Vec<_> = (0..7).map(|_| local.get().unwrap()).collect();
                    drop((local.try_get().unwrap(), items));
                    let items = [(); 8].map(|()| raw.get().unwrap());
                    for item in items {
                        // SAFETY: nobody uses it.
                        unsafe { raw.put(item) }.unwrap();
                    }
                    let _ = says.send(());
                    let _ = is_locked.recv();
                }
            });
            said.recv().unwrap();
            let states = (pool.shelf().core.lock(), raw.handle().core.lock());
            locks.send(()).unwrap();
            let passes = said.recv_timeout(PATIENCE).is_ok();
            drop((states, locks));
            assert!(passes);
        });
    }

    #[test]
    fn cached_memory_is_got_and_put_past_the_lock() {
        let pool = RawPool::builder(Layout::new::<[u8; 64]>(), 1).magazine_rounds(4).build(arena()).unwrap();
        assert!(twice(&pool.handle().core, || {
            let mut items: Vec<_> = (0..6).map(|_| pool.get().unwrap()).collect();
            items.push(pool.try_get().unwrap());
            items.push(block_on_future(pool.get_async()).unwrap());
            for item in items {
                // SAFETY: nobody uses it.
                unsafe { pool.put(item) }.unwrap();
            }
        }));
    }
}
