//! The thin shell around [`State`]: one lock, decide under it, act after it.

#![allow(
    clippy::inline_always,
    reason = "the way past the lock is a few tens of instructions, in its caller's frame"
)]

use std::io::Write;
use std::ptr::NonNull;

use crossbeam_utils::CachePadded;
use kva::bias::Bias;
use kva::holds::{Holds, as_nobody};
use kva::sync::{Arc, CHECKED, IS_MODEL, LeakCheck, Mutex, MutexGuard, Weak};
use kva::{Claim, Clock, GrowId, GrowTable, Reclaim, Refusal, Sink};

use crate::backend::Backend;
use crate::cache::{Depot, directory};
use crate::carve::Carve;
use crate::error::{ConfigError, TryGetError};
use crate::grows::Grows;
#[cfg(feature = "hardening")]
use crate::hardening::Returns;
use crate::hardening::{Hardened, Hardening, Quarantine, Unguarded};
use crate::index::{At, Index};
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::loan::{Loan, Loans, Rest, Round};
use crate::pages::{Pages, PutError};
use crate::state::{Arrival, End, Fixed, NoPage, State, Wanted};
use crate::stats::{Counts, PoolStats, outstanding};
use crate::timer::Timer;
use crate::todo::{Heir, Release, Todo};
use crate::trace::event;
use crate::waiter::{Class, Queue, Want, Watched, Watchers};
use crate::waits::Waits;
use kva::panics::FirstPanic;

/// A pool, as its handles, getters and pending grows share it.
pub(crate) struct Core<B: Backend> {
    pub(crate) this: Weak<Self>,
    /// Which pool of this process it is.
    pub(crate) id: u64,
    /// Whether threads may get from their caches and put there without the lock.
    pub(crate) bias: CachePadded<Bias>,
    backend: B,
    pub(crate) index: Arc<Index>,
    pub(crate) carve: Carve,
    pub(crate) name: Option<Box<str>>,
    pub(crate) timer: Option<Timer>,
    /// Destroys the object in an item, where objects are kept in them.
    pub(crate) destroy: Option<Destroy>,
    pub(crate) hardened: Option<Hardened>,
    table: Arc<GrowTable>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) holds: Holds,
    state: Mutex<State<B>>,
    _leak: LeakCheck,
}

/// Destroys the object at a place, which must hold one that nobody else has.
pub(crate) type Destroy = unsafe fn(NonNull<u8>);

/// Items on their way from under the lock to their getter. Between the two, what was
/// decided is done, and may panic in caller code: then they go back (P5).
pub(crate) struct Kept<'a, B: Backend> {
    core: &'a Core<B>,
    loans: Option<Loans>,
}

impl<'a, B: Backend> Kept<'a, B> {
    pub(crate) fn new(core: &'a Core<B>, loans: Loans) -> Self {
        Self { core, loans: Some(loans) }
    }

    #[cfg(feature = "hardening")]
    pub(crate) fn each(&self) -> impl Iterator<Item = &Loan> {
        self.loans.iter().flat_map(|loans| std::iter::once(&loans.first).chain(loans.rest.iter()))
    }

    pub(crate) fn into_loans(mut self) -> Loans {
        self.loans.take().expect("loans are taken once")
    }
}

impl<B: Backend> Drop for Kept<'_, B> {
    fn drop(&mut self) {
        if let Some(loans) = self.loans.take() {
            self.core.put_loans(&mut loans.into_iter());
        }
    }
}

/// A slot of the ledger that no grow holds. Given back when dropped, so also if the back-end
/// panics, unless a page took it.
struct HeldSlot<'a, B: Backend> {
    core: Option<&'a Core<B>>,
    give_back: fn(&mut State<B>),
}

impl<'a, B: Backend> HeldSlot<'a, B> {
    /// Of somebody who does not wait, and gathers what it wants.
    fn gathering(core: &'a Core<B>) -> Self {
        Self { core: Some(core), give_back: State::gathered }
    }

    /// Of a page that may come back.
    fn offered(core: &'a Core<B>) -> Self {
        Self { core: Some(core), give_back: |state| state.ledger.ended() }
    }

    /// The slot is somebody else's to give back.
    fn taken(mut self) {
        self.core = None;
    }
}

impl<B: Backend> Drop for HeldSlot<'_, B> {
    fn drop(&mut self) {
        if let Some(core) = self.core {
            core.change(|state, _| (self.give_back)(state));
        }
    }
}

/// What became of a page that might come back, still to be said to the pool.
pub(crate) struct Offered<'a, B: Backend> {
    slot: HeldSlot<'a, B>,
    to: Heir,
    /// It, or who has it. If it could not be guarded again, that is anybody.
    end: Result<Arrival<B>, Heir>,
}

/// How a grow ended, still to be said to the pool. Said when dropped, so also if caller code
/// panics before that: a back-end while it delivers, a task's waker.
pub(crate) struct Unsaid<'a, B: Backend> {
    core: &'a Core<B>,
    pub(crate) end: Option<(GrowId, End<B>)>,
}

impl<'a, B: Backend> Unsaid<'a, B> {
    pub(crate) fn new(core: &'a Core<B>, end: Option<(GrowId, End<B>)>) -> Self {
        Self { core, end }
    }
}

impl<B: Backend> Drop for Unsaid<'_, B> {
    fn drop(&mut self) {
        if let Some((id, end)) = self.end.take() {
            self.core.end_grow(id, end);
        }
    }
}

impl<B: Backend> Core<B> {
    pub(crate) fn new(
        backend: B,
        carve: Carve,
        limits: Limits,
        name: Option<Box<str>>,
        timer: Option<Timer>,
        destroy: Option<Destroy>,
        hardening: Option<Hardening>,
    ) -> Result<Arc<Self>, ConfigError> {
        limits.check(carve.items)?;
        let chosen = hardening.as_ref();
        let pages = Pages::new(carve, limits.hard, destroy.is_some(), B::CREATES, chosen);
        let pages = pages.ok_or(ConfigError::Tables { pages: limits.hard, items: carve.items })?;
        let quarantine = Quarantine::of(chosen)?;
        if quarantine.is_some() {
            Quarantine::check_reserve(limits.reserve)?;
        }
        let index = pages.index().clone();
        let table = GrowTable::new(limits.growing);
        let clock = backend.clock();
        let fixed = Fixed {
            items_per_page: carve.items as usize,
            bypass: limits.bypass,
            table: table.clone(),
            clock: clock.clone(),
        };
        let bias = Bias::new();
        let items = limits.hard as usize * carve.items as usize;
        let items = if limits.reserve > 0 { 0 } else { items };
        let depot = Depot::new(!B::CREATES && hardening.is_none(), limits.rounds, items, quarantine);
        if depot.is_scarce() {
            bias.revoke();
        }
        let state = State {
            ledger: Ledger::new(limits.hard, limits.low.unwrap_or(0), limits.high.unwrap_or(u32::MAX)),
            pages,
            queue: Queue::new(),
            grows: Grows::new(limits.growing),
            counts: Counts::default(),
            waits: Waits::new(),
            reserve: limits.reserve,
            gathering: 0,
            lowered: false,
            gives_way: false,
            wanted: Wanted::default(),
            closed: false,
            depot,
            #[cfg(feature = "hardening")]
            returns: Returns::new(),
            fixed,
        };
        let state = Mutex::new(state);
        let core = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            id: directory::next_pool(),
            bias: CachePadded::new(bias),
            backend,
            index,
            carve,
            name,
            timer,
            destroy,
            hardened: hardening.map(|hardening| Hardened::of(hardening, carve.stride)),
            table,
            clock,
            holds: Holds::new(),
            state,
            _leak: LeakCheck::new(),
        });
        let weak = Arc::downgrade(&core);
        let pool: Weak<dyn Reclaim> = weak;
        core.backend.attach(&core.table, pool);
        core.make_known();
        Ok(core)
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock()
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, State<B>>> {
        self.state.try_lock()
    }

    /// Decides under the lock, restores the law of rest, unlocks and acts.
    pub(crate) fn change<'a, R>(&'a self, decide: impl FnOnce(&mut State<B>, &mut Todo<'a, B>) -> R) -> R {
        self.change_locked(self.lock(), decide)
    }

    /// As [`change`](Self::change), with the lock that the caller has.
    pub(crate) fn change_locked<'a, R>(
        &'a self,
        state: MutexGuard<'_, State<B>>,
        decide: impl FnOnce(&mut State<B>, &mut Todo<'a, B>) -> R,
    ) -> R {
        let mut todo = Todo::new(self);
        let result;
        // After both, so that the lock is dropped before what is owed is done and what was decided is
        // taken back, also by a panic.
        let mut state = state;
        result = decide(&mut state, &mut todo);
        state.settle(&mut todo);
        drop(state);
        todo.act();
        result
    }

    /// Takes what is wanted, if it is one item, it is there and nobody waits. What most gets are.
    #[inline]
    pub(crate) fn take_now(&self, want: Want) -> Option<Loan> {
        if want.items > 1 {
            self.put_cache_back(want);
            return None;
        }
        let cached = if self.keeps_objects() {
            self.take_cached_of_many::<true>(want.caller)
        } else {
            self.take_cached_of_many::<false>(want.caller)
        };
        match cached {
            Some(round) => Some(self.loan(round)),
            None => self.take_at_rest(want),
        }
    }

    /// Goes on deciding where a batch was full.
    pub(crate) fn decide_again<'a>(&'a self, todo: &mut Todo<'a, B>) {
        self.state.lock().settle(todo);
    }

    /// Gives a page to the back-end. If a slot was held for it: what is to be said to the pool then.
    pub(crate) fn release(&self, Release { page, to, held }: Release<B::Page>) -> Option<Offered<'_, B>> {
        let layout = self.carve.page;
        // Before anything that may panic.
        let slot = held.then(|| HeldSlot::offered(self));
        let back = match to {
            Heir::Anybody => {
                self.backend.release(page, layout);
                None
            }
            Heir::Grow(id) => self.backend.release_to(page, layout, Claim::new(&self.table, id)),
            Heir::OlderThan(moment) => self.backend.yield_to_older(page, layout, moment),
        };
        match (back, slot) {
            (None, Some(slot)) => return Some(Offered { slot, to, end: Err(to) }),
            (Some(page), Some(slot)) => {
                let end = self.arrival(page).map_err(|_| Heir::Anybody);
                return Some(Offered { slot, to, end });
            }
            (Some(page), None) => self.backend.release(page, layout),
            (None, None) => {}
        }
        // Last: a subscriber may panic.
        self.gave_up(to);
        None
    }

    pub(crate) fn gave_up(&self, to: Heir) {
        event!(self, "gave a page up", heir = to);
    }

    /// Says what became of a page that was offered. With the `todo` of who offered it: whom it goes to
    /// next may be gone, too, and so on through all who sleep, which no stack has room for. Who has it, if
    /// it did not come back.
    pub(crate) fn offered<'a>(&'a self, offered: Offered<'a, B>, todo: &mut Todo<'a, B>) -> Option<Heir> {
        let Offered { slot, to, end } = offered;
        let mut state = self.state.lock();
        slot.taken();
        let by = end.as_ref().err().copied();
        match end {
            Ok(arrival) => state.came_back(arrival, to),
            Err(by) => state.taken(by),
        }
        state.settle(todo);
        by
    }

    /// Destroys an object that the pool gives up.
    pub(crate) fn destroy(&self, object: NonNull<u8>) {
        let destroy = self.destroy.expect("only a pool of objects has any constructed");
        // SAFETY: `Pages` says that there is an object in this item, which nobody can be
        // lent any more, and says so once.
        unsafe { destroy(object) };
    }

    /// Takes more objects out of the first page to dismantle, or sends it off.
    pub(crate) fn dismantle<'a>(&'a self, todo: &mut Todo<'a, B>) {
        self.state.lock().dismantle(todo);
    }

    /// As [`State::keep_shut`].
    pub(crate) fn keep_shut<'a>(&'a self, todo: &mut Todo<'a, B>) {
        self.state.lock().keep_shut(todo);
    }

    /// A page and where it starts. If it cannot be guarded, it has gone back.
    ///
    /// # Panics
    /// If no page starts there, or the pool has it already: nothing that safe code is lent may be lent
    /// twice. Callers hold what fails its request then.
    pub(crate) fn arrival(&self, page: B::Page) -> Result<Arrival<B>, Unguarded> {
        let base = self.backend.base(&page);
        let align = self.carve.page.align();
        if !base.addr().get().is_multiple_of(align) {
            self.backend.release(page, self.carve.page);
            panic!("a back-end brought a page at {base:p}, which is not aligned to {align} bytes");
        }
        let start = base.as_ptr().wrapping_add(self.carve.lead());
        let start = NonNull::new(start).expect("a page does not wrap around the address space");
        if self.index.overlaps(start) {
            // Whatever it is, what it stands for is in use.
            std::mem::forget(page);
            panic!("a back-end brought a page at {base:p}, which the pool has already");
        }
        if let Some(margin) = self.carve.margin
            && let Err(refused) = margin.close(base, self.carve.page.size())
        {
            self.return_unguarded(page);
            return Err(refused);
        }
        Ok((page, start))
    }

    /// How a grow ended that was answered so.
    pub(crate) fn end_of(&self, answer: Result<B::Page, Refusal<B::Error>>) -> End<B> {
        self.arrival(answer?).map_err(NoPage::Unguarded)
    }

    pub(crate) fn forget(&self, id: GrowId) {
        self.backend.forget(id);
    }

    fn end_grow(&self, id: GrowId, end: End<B>) {
        self.change(|state, todo| {
            if let Err(error) = state.end_grow(id, end, todo) {
                state.fail_one(error, todo);
            }
        });
    }

    #[inline(always)]
    pub(crate) fn put(&self, ptr: NonNull<u8>) -> Result<(), PutError> {
        // Not left to the optimiser: as a branch on what has no values it costs 16 instructions a pair.
        #[cfg(feature = "hardening")]
        if let Some(hardened) = &self.hardened {
            return self.put_hardened(hardened, ptr);
        }
        if self.put_cached_if_out(ptr) {
            return Ok(());
        }
        self.put_slowly(ptr)
    }

    #[inline(never)]
    fn put_slowly(&self, ptr: NonNull<u8>) -> Result<(), PutError> {
        if self.put_cached_of_many_if_out(ptr) {
            return Ok(());
        }
        let At::Item(slot) = self.index.at(ptr) else {
            return self.change(|state, todo| {
                let slot = state.pages.locate(ptr)?;
                state.put(slot, false, todo)
            });
        };
        self.put_by_lock(Loan { slot, ptr, constructed: false, fresh: false })
    }

    fn put_by_lock(&self, loan: Loan) -> Result<(), PutError> {
        if let Some(hardened) = &self.hardened {
            return self.put_hardened(hardened, loan.ptr);
        }
        self.note_puts(loan.slot);
        match self.put_at_rest(loan) {
            Ok(put) => put,
            Err(state) => {
                self.change_locked(state, |state, todo| {
                    // A pointer of anybody's may lie elsewhere by now, or nowhere.
                    let slot = if self.keeps_objects() { loan.slot } else { state.pages.locate(loan.ptr)? };
                    state.put(slot, loan.constructed, todo)
                })
            }
        }
    }

    /// Puts back what is known to be out.
    pub(crate) fn put_loan(&self, loan: Loan) {
        if loan.constructed && self.keeps_objects() {
            self.put_object(Round::of(loan));
        } else {
            self.put_locked(loan);
        }
    }

    /// Puts an item back that is known to be out, with the object in it.
    #[inline(always)]
    pub(crate) fn put_object(&self, round: Round) {
        if !self.put_cached(round) {
            self.put_object_slowly(round);
        }
    }

    /// Out of the way of those that have a cache at hand.
    #[inline(never)]
    fn put_object_slowly(&self, round: Round) {
        if !self.put_cached_of_many(round) {
            self.put_locked(self.loan(round));
        }
    }

    /// The loan of an item that is out and has what its kind has.
    pub(crate) fn loan(&self, round: Round) -> Loan {
        let slot = self.index.slot(round.ptr);
        Loan { slot, ptr: round.ptr, constructed: self.keeps_objects(), fresh: false }
    }

    /// An item stays out on purpose.
    pub(crate) fn leak(&self, round: Round) {
        self.note_puts_round(round);
        self.lock().leak(self.index.slot(round.ptr));
    }

    #[inline(never)]
    fn put_locked(&self, loan: Loan) {
        let put = self.put_by_lock(loan);
        debug_assert_eq!(put, Ok(()), "a loan is put once");
    }

    /// As [`put_loan`](Self::put_loan), for all of them, also if one of the puts panics: it may
    /// release a page, and destroy objects.
    pub(crate) fn put_loans(&self, loans: &mut dyn Iterator<Item = Loan>) {
        struct Others<'a, 'l, B: Backend>(&'a Core<B>, &'l mut dyn Iterator<Item = Loan>);
        impl<B: Backend> Drop for Others<'_, '_, B> {
            fn drop(&mut self) {
                self.0.put_loans(self.1);
            }
        }
        while let Some(loan) = loans.next() {
            let others = Others(self, loans);
            self.put_loan(loan);
            std::mem::forget(others);
        }
    }

    /// Gets what is wanted if it is there, or if the back-end has the pages for it right now:
    /// all or nothing. `rest` has room for all but the first item.
    pub(crate) fn try_get(&self, want: Want, rest: Rest) -> Result<Loans, TryGetError<B::Error>> {
        enum Look<'a, B: Backend> {
            Got(Kept<'a, B>),
            /// What it wants may be in caches.
            Sweeps,
            /// A slot is reserved: the page is ours to bring. Whether what it wants may have been in
            /// caches.
            Gathers(bool),
        }
        let mut rest = Some(rest);
        let mut arrived = None;
        loop {
            let look = self.change(|state, _| {
                if let Some(arrival) = arrived.take() {
                    state.gathered_page(arrival);
                }
                if state.closed {
                    state.counts.failures.closed += 1;
                    return Err(TryGetError::Closed);
                }
                let most = state.most(want.class);
                if want.items as usize > most {
                    state.counts.failures.too_many += 1;
                    return Err(TryGetError::TooMany { asked: want.items as usize, most });
                }
                if let Some(loans) = state.take(kva::NEVER, want, &mut rest) {
                    return Ok(Look::Got(Kept::new(self, loans)));
                }
                // Who waits has asked the back-end before; a page it has now is theirs.
                let elsewhere = !state.depot.is_scarce();
                if state.queue.is_empty() {
                    if B::CREATES && state.ledger.has_room() {
                        state.counts.failures.scarce += 1;
                        return Err(TryGetError::Scarce);
                    }
                    if !B::CREATES && state.gather() {
                        return Ok(Look::Gathers(elsewhere));
                    }
                }
                if elsewhere {
                    return Ok(Look::Sweeps);
                }
                state.depot.note_wait();
                state.counts.failures.exhausted += 1;
                Err(TryGetError::Exhausted)
            });
            match look? {
                Look::Got(kept) => {
                    let loans = kept.into_loans();
                    self.note_got_all(&loans);
                    return Ok(loans);
                }
                Look::Sweeps => self.sweep(),
                Look::Gathers(elsewhere) => match self.bring_page() {
                    Ok(Some(arrival)) => arrived = Some(arrival),
                    // Also if somebody else took it back meanwhile: then it is in the pool.
                    Ok(None) | Err(_) if elsewhere => self.sweep(),
                    Ok(None) => {
                        let mut state = self.lock();
                        state.depot.note_wait();
                        state.counts.failures.scarce += 1;
                        return Err(TryGetError::Scarce);
                    }
                    Err(error) => {
                        self.lock().counts.failures.backend += 1;
                        return Err(error);
                    }
                },
            }
        }
    }

    /// A place for an object of the caller's, if there is one right now. Where pages come with an
    /// object, an empty one for it, rather than that an idle object goes.
    pub(crate) fn try_get_place(&self, want: Want) -> Result<Loan, TryGetError<B::Error>> {
        let held = B::CREATES && self.change(|state, _| state.gather_for(want));
        if held {
            let slot = HeldSlot::gathering(self);
            if let Some(page) = as_nobody(|| self.backend.empty_page()) {
                let arrival = self.arrival(page)?;
                slot.taken();
                let loan = self.change(|state, _| state.lend_new_page(arrival, want));
                self.note_got(loan.slot);
                return Ok(loan);
            }
        }
        Ok(self.try_get(want, Rest::default())?.first)
    }

    /// Brings a page for a slot that is [held](State::gather), without sleeping. `None`:
    /// the back-end is scarce. Without a page, the slot is given back.
    pub(crate) fn bring_page(&self) -> Result<Option<Arrival<B>>, TryGetError<B::Error>> {
        let slot = HeldSlot::gathering(self);
        match as_nobody(|| self.backend.try_page(self.carve.page)) {
            Ok(Some(page)) => {
                let arrival =
                    self.arrival(page).inspect_err(|_| self.change(|state, _| state.counts.refused += 1))?;
                slot.taken();
                Ok(Some(arrival))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.change(|state, _| state.counts.refused += 1);
                Err(TryGetError::Backend(error))
            }
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let stats = PoolStats::of(self, &self.lock());
        PoolStats { name: self.name.as_deref().map(str::to_owned), ..stats }
    }

    /// The most items that a getter of this class can have.
    pub(crate) fn most(&self, class: Class) -> usize {
        self.lock().most(class)
    }

    /// Somebody wanted more items than it can have, or than can be listed.
    pub(crate) fn count_too_many(&self) {
        self.lock().counts.failures.too_many += 1;
    }

    /// What people call it.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("(no name)")
    }
}

/// Whose end is its close.
impl<B: Backend> Watched for Core<B> {
    type Error = B::Error;

    fn with_watchers<R>(&self, f: impl FnOnce(bool, &mut Watchers<B::Error>) -> R) -> R {
        let state = &mut *self.lock();
        f(state.closed, &mut state.queue.watchers)
    }
}

/// Where grows end that their back-end kept.
impl<B: Backend> Sink<B::Page, B::Error> for Core<B> {
    fn finish(&self, id: GrowId, end: Result<B::Page, Refusal<B::Error>>) {
        let delivered = end.is_ok();
        let mut unsaid = Unsaid::new(self, Some((id, Err(Refusal::Abandoned.into()))));
        unsaid.end = Some((id, self.end_of(end)));
        drop(unsaid);
        // Last: a subscriber may panic.
        event!(self, "a request for a page ended", grow = id, delivered = delivered);
    }
}

/// Items that nobody can put any more keep their page, whose guard is opened: memory that somebody owns
/// outlives its arena. The objects beside them are destroyed.
/// That they are lost is said, where things are checked.
impl<B: Backend> Drop for Core<B> {
    fn drop(&mut self) {
        let objects = self.lock().pages.take_objects();
        let mut panics = FirstPanic::default();
        for object in objects {
            panics.guard(|| self.destroy(object));
        }
        if self.carve.margin.is_some() {
            self.open_guards(&mut panics);
        }
        if !CHECKED || IS_MODEL || std::thread::panicking() {
            return;
        }
        let lost = self.lock().lost();
        if lost > 0 {
            let places = outstanding(self);
            let name = self.label();
            // Not by `eprintln`, which panics where nobody listens.
            let _ = writeln!(
                std::io::stderr(),
                "pool {name}: dropped, and items out that nobody put: {lost}{places}"
            );
        }
    }
}
