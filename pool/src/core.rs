//! The thin shell around [`State`]: one lock, decide under it, act after it.

use std::ptr::NonNull;

use kva::sync::{Arc, BATCH, LeakCheck, Mutex, MutexGuard, Weak};
use kva::{Claim, GrowId, GrowTable, Reclaim, Refusal, Shape, Sink};

use crate::backend::Backend;
use crate::carve::Carve;
use crate::error::{ConfigError, TryGetError};
use crate::grows::Grows;
use crate::ledger::Ledger;
use crate::pages::{Loan, Pages, PutError};
use crate::state::{Arrival, End, Fixed, State};
use crate::stats::{Counts, PoolStats};
use crate::todo::{Heir, Todo};
use crate::waiter::Queue;

/// A pool, as its handles, getters and pending grows share it.
pub(crate) struct Core<B: Backend> {
    backend: B,
    pub(crate) carve: Carve,
    table: Arc<GrowTable>,
    state: Mutex<State<B>>,
    _leak: LeakCheck,
}

/// An item on its way from under the lock to its getter. Between the two, what was
/// decided is done, and may panic in caller code: then the item goes back (P5).
pub(crate) struct Kept<'a, B: Backend> {
    core: &'a Core<B>,
    loan: Option<Loan>,
}

impl<'a, B: Backend> Kept<'a, B> {
    pub(crate) fn new(core: &'a Core<B>, loan: Loan) -> Self {
        Self { core, loan: Some(loan) }
    }

    pub(crate) fn into_loan(mut self) -> Loan {
        self.loan.take().expect("a loan is taken once")
    }
}

impl<B: Backend> Drop for Kept<'_, B> {
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            self.core.put_loan(loan);
        }
    }
}

/// A slot of the ledger that no grow holds. Given back when dropped, so also if the
/// back-end panics.
struct HeldSlot<'a, B: Backend>(Option<&'a Core<B>>);

impl<B: Backend> Drop for HeldSlot<'_, B> {
    fn drop(&mut self) {
        if let Some(core) = self.0 {
            core.change(|state, _| state.ledger.ended());
        }
    }
}

/// Refuses a grow when dropped: its back-end panicked while delivering.
struct EndsGrow<'a, B: Backend>(Option<(&'a Core<B>, GrowId)>);

impl<B: Backend> Drop for EndsGrow<'_, B> {
    fn drop(&mut self) {
        if let Some((core, id)) = self.0 {
            core.end_grow(id, Err(Refusal::Abandoned));
        }
    }
}

/// The limits a pool starts with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) hard: u32,
    pub(crate) low: u32,
    /// No bound but the hard limit, if not set.
    pub(crate) high: Option<u32>,
    pub(crate) growing: u32,
    pub(crate) bypass: u32,
}

/// The most grows that may be pending at once: their table is made at once.
const MOST_GROWING: u32 = 1 << 16;

impl Limits {
    fn check(self) -> Result<(), ConfigError> {
        let Self { hard, low, growing, .. } = self;
        let high = self.high.unwrap_or(hard);
        if hard == 0 {
            return Err(ConfigError::ZeroLimit);
        }
        if growing == 0 {
            return Err(ConfigError::ZeroGrowing);
        }
        if growing > MOST_GROWING {
            return Err(ConfigError::TooManyGrowing { growing, most: MOST_GROWING });
        }
        if low > high || low > hard {
            return Err(ConfigError::Water { low, high, limit: hard });
        }
        Ok(())
    }
}

impl<B: Backend> Core<B> {
    pub(crate) fn new(backend: B, carve: Carve, limits: Limits) -> Result<Arc<Self>, ConfigError> {
        limits.check()?;
        let pages = Pages::new(carve, limits.hard);
        let pages = pages.ok_or(ConfigError::Tables { pages: limits.hard, items: carve.items })?;
        let table = GrowTable::new(limits.growing);
        let fixed = Fixed {
            items_per_page: carve.items as usize,
            bypass: limits.bypass,
            table: table.clone(),
            clock: backend.clock(),
        };
        let state = State {
            ledger: Ledger::new(limits.hard, limits.low, limits.high.unwrap_or(u32::MAX)),
            pages,
            queue: Queue::new(),
            grows: Grows::new(limits.growing),
            counts: Counts::default(),
            closed: false,
            fixed,
        };
        let core =
            Arc::new(Self { backend, carve, table, state: Mutex::new(state), _leak: LeakCheck::new() });
        let weak = Arc::downgrade(&core);
        let pool: Weak<dyn Reclaim> = weak;
        core.backend.attach(&core.table, pool);
        Ok(core)
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock()
    }

    /// Decides under the lock, restores the law of rest, unlocks and acts.
    pub(crate) fn change<'a, R>(&'a self, decide: impl FnOnce(&mut State<B>, &mut Todo<'a, B>) -> R) -> R {
        let mut todo = Todo::new(self);
        let mut state = self.state.lock();
        let result = decide(&mut state, &mut todo);
        state.settle(&mut todo);
        drop(state);
        todo.act();
        result
    }

    /// Goes on deciding where a batch was full.
    pub(crate) fn decide_again<'a>(&'a self, todo: &mut Todo<'a, B>) {
        self.state.lock().settle(todo);
    }

    pub(crate) fn release(&self, page: B::Page, to: Heir) {
        let layout = self.carve.page;
        match to {
            Heir::Anybody => self.backend.release(page, layout),
            Heir::Grow(id) => self.backend.release_to(page, layout, Claim::new(&self.table, id)),
            Heir::OlderThan(moment) => {
                let mut slot = HeldSlot(Some(self));
                let back = self.backend.yield_to_older(page, layout, moment);
                let back = back.map(|page| self.arrival(page));
                slot.0 = None;
                self.change(|state, _| state.offered(back));
            }
        }
    }

    /// A page and where it starts.
    pub(crate) fn arrival(&self, page: B::Page) -> Arrival<B> {
        let base = self.backend.base(&page);
        (page, base)
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

    pub(crate) fn put(&self, ptr: NonNull<u8>) -> Result<(), PutError> {
        self.change(|state, todo| {
            let slot = state.pages.locate(ptr)?;
            state.put(slot, todo)
        })
    }

    /// Puts back what is known to be out.
    pub(crate) fn put_loan(&self, loan: Loan) {
        let put = self.change(|state, todo| state.put(loan.slot, todo));
        debug_assert_eq!(put, Ok(()), "a loan is put once");
    }

    pub(crate) fn try_get(&self) -> Result<Loan, TryGetError<B::Error>> {
        enum Look<'a, B: Backend> {
            Got(Kept<'a, B>),
            Reserved,
        }
        let look = self.change(|state, _| {
            if state.closed {
                return Err(TryGetError::Closed);
            }
            if let Some(loan) = state.take(kva::NEVER) {
                return Ok(Look::Got(Kept::new(self, loan)));
            }
            // Who waits has asked the back-end before; a page it has now is theirs.
            if state.queue.is_empty() && state.ledger.reserve() {
                return Ok(Look::Reserved);
            }
            Err(TryGetError::Exhausted)
        });
        match look? {
            Look::Got(kept) => Ok(kept.into_loan()),
            Look::Reserved => {
                let Some((page, base)) = self.bring_page()? else {
                    return Err(TryGetError::Scarce);
                };
                let kept = self.change(|state, _| {
                    state.arrive(page, base);
                    if state.closed {
                        return Err(TryGetError::Closed);
                    }
                    state.take(kva::NEVER).map(|loan| Kept::new(self, loan)).ok_or(TryGetError::Exhausted)
                });
                kept.map(Kept::into_loan)
            }
        }
    }

    /// Grows until `pages` are held, without waiting, or no more come.
    pub(crate) fn prime(&self, pages: u32) -> Result<u32, TryGetError<B::Error>> {
        loop {
            let (held, reserved) = self.change(|state, _| {
                let held = state.ledger.pages();
                if state.closed {
                    return Err(TryGetError::Closed);
                }
                Ok((held, held < pages && state.ledger.reserve()))
            })?;
            if !reserved {
                return Ok(held);
            }
            let Some((page, base)) = self.bring_page()? else {
                return Ok(held);
            };
            self.change(|state, _| state.arrive(page, base));
            if self.lock().ledger.pages() <= held {
                // It went back at once: above high water, or somebody else waits for it.
                return Ok(held);
            }
        }
    }

    /// Brings a page for a slot that was reserved in the ledger, without sleeping. `None`:
    /// the back-end is scarce. Without a page, the slot is given back.
    fn bring_page(&self) -> Result<Option<Arrival<B>>, TryGetError<B::Error>> {
        let mut slot = HeldSlot(Some(self));
        match self.backend.try_page(self.carve.page) {
            Ok(Some(page)) => {
                let arrival = self.arrival(page);
                slot.0 = None;
                Ok(Some(arrival))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.change(|state, _| state.counts.refused += 1);
                Err(TryGetError::Backend(error))
            }
        }
    }

    /// Gives up idle pages until only `keep` are held, or none is idle; how many it gave.
    pub(crate) fn give_up_idle(&self, keep: impl Fn(&State<B>) -> u32) -> usize {
        let mut all = 0;
        loop {
            let given = self.change(|state, todo| {
                let keep = keep(state);
                (0..BATCH).take_while(|_| state.give_up_idle(keep, todo)).count()
            });
            all += given;
            if given < BATCH {
                return all;
            }
        }
    }

    pub(crate) fn set_hard_limit(&self, limit: u32) -> Result<(), ConfigError> {
        if limit == 0 {
            return Err(ConfigError::ZeroLimit);
        }
        self.change(|state, _| {
            if !state.pages.reserve(limit) {
                return Err(ConfigError::Tables { pages: limit, items: self.carve.items });
            }
            state.ledger.set_limit(limit);
            Ok(())
        })
    }

    pub(crate) fn set_water(&self, low: u32, high: u32) -> Result<(), ConfigError> {
        self.change(|state, _| {
            let limit = state.ledger.limit();
            if low > high || low > limit {
                return Err(ConfigError::Water { low, high, limit });
            }
            state.ledger.set_water(low, high);
            Ok(())
        })
    }

    pub(crate) fn close(&self) {
        self.change(|state, _| state.closed = true);
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats::of(&self.lock(), &self.carve)
    }
}

/// Where grows end that their back-end kept.
impl<B: Backend> Sink<B::Page, B::Error> for Core<B> {
    fn finish(&self, id: GrowId, end: Result<B::Page, Refusal<B::Error>>) {
        let mut panicked = EndsGrow(Some((self, id)));
        let end = end.map(|page| self.arrival(page));
        panicked.0 = None;
        self.end_grow(id, end);
    }
}

/// Gives back what is idle above low water when somebody else waits for the back-end.
impl<B: Backend> Reclaim for Core<B> {
    fn reclaim(&self, _: Shape) {
        self.give_up_idle(|state| state.ledger.low());
    }
}
